"""What the operators and the sensor share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.errors import FdiArgumentError, task_label
from airflow_provider_fdi.compat import (
    AirflowFailException,
    ArgNotSet,
    BaseOperator,
    from_mapped,
    mask_secrets,
)
from airflow_provider_fdi.exceptions import in_dag_file
from airflow_provider_fdi.links import FdiConsoleLink, FdiRunLink, FdiTaskLink
from airflow_provider_fdi.validation import (
    Check,
    existing_name,
    identifier,
    if_given,
    is_reference,
    not_rendered_none,
    one_task,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.errors import FdiError
    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.hooks.fdi import FdiHook


TASK_CHECKS: Mapping[str, Check] = {
    "fdi_task_id": if_given(identifier),
    "fdi_task_name": if_given(existing_name),
}
"""The checks of the two parameters that say which task is meant."""
ONE_TASK: Mapping[tuple[str, ...], Callable[..., None]] = {("fdi_task_id", "fdi_task_name"): one_task}


class FdiConnectionMixin:
    """Checks of parameters, the hook, the FDI task that is meant, links, and reports of a run.

    Operators and the sensor share it.

    A class that uses it sets the three fields in its own ``__init__``, because Airflow applies
    ``default_args`` only to the parameters of classes that derive from ``BaseOperator``.
    """

    connection_fields: Sequence[str] = ("fdi_conn_id", "project_id", "instance_id")
    """The template fields that say which instance of FDI is used."""

    _checks: Mapping[str, Check] = {
        "fdi_conn_id": existing_name,
        "project_id": if_given(identifier),
        "instance_id": if_given(identifier),
    }
    """The check of each parameter: of literals when the DAG is parsed, of all values when the task runs."""
    _joint_checks: Mapping[tuple[str, ...], Callable[..., None]] = {}
    """Checks of several parameters together; each takes their values as they are."""
    fields_from_files: Sequence[str] = ()
    """Template fields that may be the path of a ``.json`` file. With ``template_ext``, Airflow would take any
    text that ends in ``.json``, in any field and at any depth, for a path."""

    template_fields: Sequence[str]
    template_ext: Sequence[str]
    task_id: str
    fdi_conn_id: str
    project_id: str | None
    instance_id: str | None
    outlets: Any
    _summary: dict[str, Any] | None = None
    """The run record that was reported last, for OpenLineage."""
    pushed_links: dict[str, str] | None = None
    """The links that were pushed, by their keys; None: not executed here, or only since a deferral."""
    _resumed = False

    def resume_execution(self, *args: Any, **kwargs: Any) -> Any:
        self._resumed = True
        return super().resume_execution(*args, **kwargs)  # type: ignore[misc]

    def _check_literals(self) -> None:
        """Check what is known while the DAG is parsed; ``__init__`` ends with it.

        Left for :attr:`_arguments`: what Airflow renders or resolves later, paths of files, and mapped
        operators, whose values come from other tasks.

        :raises FdiArgumentError: names the parameter, the task, and the line of the DAG file.
        """
        if from_mapped(self):
            return
        later = {field for field in self._checks if self._is_known_later(field)}
        try:
            for field in self._checks:
                if field not in later:
                    self._check(field)
            for fields, check in self._joint_checks.items():
                if later.isdisjoint(fields):
                    check(*(getattr(self, field) for field in fields))
        except FdiArgumentError as error:
            raise in_dag_file(error, f"{type(self).__name__}(task_id={self.task_id!r})") from None

    @cached_property
    def _arguments(self) -> SimpleNamespace:
        """The parameters as the task uses them, each by its name; checked, after they were rendered.

        :raises FdiArgumentError: one of them is wrong.
        """
        if not self._resumed:
            self.pushed_links = {}
        checked = {field: self._check(field) for field in self._checks}
        for fields, check in self._joint_checks.items():
            check(*(getattr(self, field) for field in fields))
        return SimpleNamespace(**checked)

    def _check(self, field: str) -> Any:
        value = getattr(self, field)
        if field in self.template_fields:
            not_rendered_none(field, value)
        return self._checks[field](field, value)

    def _is_known_later(self, field: str) -> bool:
        value = getattr(self, field)
        if field not in self.template_fields:
            return False
        files = (*self.template_ext, *((".json",) if field in self.fields_from_files else ()))
        # An ArgNotSet stands for what a function will return; an iterator can be read only once.
        return (
            isinstance(value, (ArgNotSet, Iterator))
            or is_reference(value)
            or (isinstance(value, str) and value.endswith(files))
        )

    @cached_property
    def hook(self) -> FdiHook:
        """The hook for the connection, project and instance."""
        # Deferred: reading connections costs as much as all the operators, and no DAG file does it.
        from airflow_provider_fdi.hooks.fdi import FdiHook

        return FdiHook(self.fdi_conn_id, project_id=self.project_id, instance_id=self.instance_id)

    @property
    def client(self) -> FdiClient:
        return self.hook.get_conn()

    def _fdi_task_id(self) -> str:
        """The id of the task that is meant; a name is looked up in FDI.

        :raises FdiArgumentError: an argument is wrong, or the name does not belong to exactly one task.
        """
        return self._find_task()[0]

    def _find_task(self) -> tuple[str, Task | None, int | None]:
        """The id of the task that is meant; if found by its name, also its row and the server's time (ms).

        :raises FdiArgumentError: as of :meth:`_fdi_task_id`.
        """
        # Deferred: only a task that runs looks for names.
        from airflow_provider_fdi.client.names import task_named

        arguments = self._arguments
        if arguments.fdi_task_id:
            return str(arguments.fdi_task_id), None, None
        task, read_at = task_named(self.client, arguments.fdi_task_name)
        self._task_names[task.task_id] = arguments.fdi_task_name
        return task.task_id, task, read_at

    @cached_property
    def _task_names(self) -> dict[str, str]:
        """Names of tasks by id, as far as they have become known."""
        return {}

    def _label(self, task_id: str) -> str:
        """The task as messages name it."""
        return task_label(task_id, self._task_names.get(task_id))

    def _completed(self, error: FdiError) -> FdiError:
        """The error with the names of the task and the connection."""
        name = self._task_names.get(error.ids.get("task_id", ""))
        return error.completed(task_name=name, connection=self.fdi_conn_id)

    def _push_task_link(self, context: Context, fdi_task_id: str) -> None:
        self._push_link(context, FdiTaskLink, self.hook.console_link(fdi_task_id))

    def _push_run_link(self, context: Context, fdi_task_id: str, fdi_run_id: str) -> str:
        """Push the link to a run, and return its address."""
        url = self.hook.console_link(fdi_task_id, fdi_run_id)
        self._push_link(context, FdiRunLink, url)
        return url

    def _push_link(self, context: Context, link: type[FdiConsoleLink], url: str) -> None:
        context["ti"].xcom_push(key=link.key, value=url)
        if self.pushed_links is not None:
            self.pushed_links[link.key] = url

    def _report_to_outlets(self, context: Context, summary: dict[str, Any]) -> None:
        """Add the run record to the events of the task's outlets, and keep it for OpenLineage."""
        self._summary = summary
        if self.outlets:
            # Deferred: loads client.models.
            from airflow_provider_fdi.lineage.assets import report_to_outlets

            report_to_outlets(context, self.outlets, summary)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The datasets that the run read and wrote; OpenLineage calls this after the task."""
        # Deferred: loads client.models.
        from airflow_provider_fdi.lineage.openlineage import lineage_of

        return lineage_of(self.client, self._summary) if self._summary else None


class FdiBaseOperator(FdiConnectionMixin, BaseOperator):
    """The base of all operators.

    :param fdi_conn_id: connection of type ``fdi``.
    :param project_id: project of Huawei Cloud; from the connection when None.
    :param instance_id: instance of ROMA Connect; from the connection when None.
    """

    template_fields: Sequence[str] = FdiConnectionMixin.connection_fields
    ui_color = "#fbe9e7"
    fields_with_secrets: Sequence[str] = ()
    """Template fields whose values under secret-named keys are masked before Airflow stores or logs them."""

    def __init__(
        self,
        *,
        fdi_conn_id: str = "fdi_default",
        project_id: str | None = None,
        instance_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: Any,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        # The one step of rendering that mapped tasks go through as well.
        for field in self.fields_from_files:
            path = getattr(self, field)
            if isinstance(path, str) and path.endswith(".json"):
                try:
                    setattr(self, field, jinja_env.loader.get_source(jinja_env, path)[0])
                except LookupError:  # Jinja's TemplateNotFound
                    rule = "no such file\nPaths begin at the DAG file's folder, or at template_searchpath."
                    raise AirflowFailException(str(FdiArgumentError(field, path, rule))) from None
        # Airflow logs a template that fails to render, and stores what was rendered: mask before and after.
        self._mask_secrets()
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, *args, **kwargs)
        self._mask_secrets()

    def _mask_secrets(self) -> None:
        # Deferred: only a task that runs has something to mask.
        from airflow_provider_fdi.client.secrets import secret_values

        for field in self.fields_with_secrets:
            mask_secrets(s for s in secret_values(getattr(self, field)) if not s.startswith("{{"))
