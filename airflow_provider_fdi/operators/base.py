"""What the operators and the sensor share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.errors import FdiArgumentError, task_label
from airflow_provider_fdi.client.secrets import secret_values
from airflow_provider_fdi.compat import BaseOperator, mask_secrets
from airflow_provider_fdi.links import FdiRunLink, FdiTaskLink, push_link
from airflow_provider_fdi.validation import identifier, not_rendered_none

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.errors import FdiError
    from airflow_provider_fdi.hooks.fdi import FdiHook


class FdiConnectionMixin:
    """The hook, the FDI task that is meant, links, and reports of a run, for operators and the sensor.

    A class that uses it sets the three fields in its own ``__init__``, because Airflow applies
    ``default_args`` only to the parameters of classes that derive from ``BaseOperator``.
    """

    connection_fields: Sequence[str] = ("fdi_conn_id", "project_id", "instance_id")
    """The template fields that say which instance of FDI is used."""

    fdi_conn_id: str
    project_id: str | None
    instance_id: str | None
    outlets: Any
    _summary: dict[str, Any] | None = None
    """The run record that was reported last, for OpenLineage."""

    @cached_property
    def hook(self) -> FdiHook:
        """The hook for the connection, project and instance.

        :raises FdiArgumentError: the project or the instance comes from a template over an empty XCom.
        """
        # Deferred: reading connections costs as much as all the operators, and no DAG file does it.
        from airflow_provider_fdi.hooks.fdi import FdiHook

        not_rendered_none("project_id", self.project_id)
        not_rendered_none("instance_id", self.instance_id)
        return FdiHook(self.fdi_conn_id, project_id=self.project_id, instance_id=self.instance_id)

    @property
    def client(self) -> FdiClient:
        return self.hook.get_conn()

    def _task_id_of(self, fdi_task_id: str | None, fdi_task_name: str | None) -> str:
        """The id of a task given by id or by exact name; a name is looked up in FDI.

        :raises FdiArgumentError: none or both are given, or the name does not belong to exactly one task.
        """
        if bool(fdi_task_id) == bool(fdi_task_name):
            rule = "give either fdi_task_id or fdi_task_name" + (
                f", not both (fdi_task_name={fdi_task_name!r})"
                if fdi_task_id
                else "; if one is given, the value it comes from (an XCom?) is empty"
            )
            raise FdiArgumentError("fdi_task_id", fdi_task_id, rule)
        if fdi_task_id:
            return identifier("fdi_task_id", fdi_task_id)
        not_rendered_none("fdi_task_name", fdi_task_name)
        task_id = self.hook.task_named(str(fdi_task_name)).task_id
        self._task_names[task_id] = str(fdi_task_name)
        return task_id

    @cached_property
    def _task_names(self) -> dict[str, str]:
        """Names of tasks by id, as far as they have become known."""
        return {}

    def _label(self, task_id: str) -> str:
        """The task as messages name it."""
        return task_label(task_id, self._task_names.get(task_id))

    def _completed(self, error: FdiError) -> FdiError:
        """The error with the names of the task and the connection."""
        name = error.task_name or self._task_names.get(error.ids.get("task_id", ""))
        return error.replace(task_name=name, connection=error.connection or self.fdi_conn_id)

    def _push_task_link(self, context: Context, fdi_task_id: str) -> None:
        push_link(context, FdiTaskLink, self.hook.console_link(fdi_task_id))

    def _push_run_link(self, context: Context, fdi_task_id: str, fdi_run_id: str) -> str:
        """Push the link to a run, and return its address."""
        url = self.hook.console_link(fdi_task_id, fdi_run_id)
        push_link(context, FdiRunLink, url)
        return url

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
    fields_from_files: Sequence[str] = ()
    """Template fields that may be the path of a ``.json`` file. With ``template_ext``, Airflow would take any
    text that ends in ``.json``, in any field and at any depth, for a path."""

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
                setattr(self, field, jinja_env.loader.get_source(jinja_env, path)[0])
        # Airflow logs a template that fails to render, and stores what was rendered: mask before and after.
        self._mask_secrets()
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, *args, **kwargs)
        self._mask_secrets()

    def _mask_secrets(self) -> None:
        for field in self.fields_with_secrets:
            mask_secrets(s for s in secret_values(getattr(self, field)) if not s.startswith("{{"))
