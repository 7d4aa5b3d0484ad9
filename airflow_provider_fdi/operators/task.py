"""Creating, updating and deleting common FDI tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.errors import FdiError, FdiNotFoundError, said_with_code, task_label
from airflow_provider_fdi.client.task_detail import describe_detail, to_json_text
from airflow_provider_fdi.exceptions import FdiBatchFailed, FdiTaskBusy, fail_without_retry
from airflow_provider_fdi.links import FdiTaskLink
from airflow_provider_fdi.operators.base import ONE_TASK, TASK_CHECKS, FdiBaseOperator
from airflow_provider_fdi.operators.creation import (
    CREATE_KEY,
    IF_EXISTS,
    already_exists,
    change_record,
    create_once,
)
from airflow_provider_fdi.status import (
    TARGET_STATUS,
    require_stopped,
    still_to_do,
)
from airflow_provider_fdi.validation import Check, boolean, choice, identifier, if_given

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.runs.state import CreateRecord, TryState

UPDATE_KEY = "fdi_was_started"
DELETE_KEY = "fdi_delete"

CHECKS: dict[str, Check] = {
    "task_name": validation.task_name,
    "task_type": validation.task_type,
    "source_datasource_id": identifier,
    "target_datasource_id": identifier,
    "description": validation.description,
    "task_tag": validation.task_tag,
}
"""The check of each field of a common task, by its name in the client."""
OTHER_FIELDS = ("task_detail", "source_datasource_id", "target_datasource_id", "description", "task_tag")
"""The fields of a common task whose parameter has the same name."""


def _log_detail(operator: FdiBaseOperator, task_detail: str) -> None:
    """Log what a task moves, if its ``task_detail`` says so in a known way."""
    moved = describe_detail(task_detail)
    if moved:
        operator.log.info("%s", moved)


def _json_text(field: str, value: Any) -> str:
    return to_json_text(value, field=field)


class FdiCreateTaskOperator(FdiBaseOperator):
    """Create a common FDI task (one table, API, queue or file to one target); returns its id.

    Source: CreateCommonTask, UpdateTask, ListTasks.

    :param fdi_task_name: 3 to 100 letters, digits, ``.``, ``_``, ``-``; starts with a letter or digit.
    :param fdi_task_type: ``TIMING`` or ``REALTIME``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param task_detail: what is moved, and how: a dict, JSON text, or the path of a ``.json`` template.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param if_exists: what to do if the name exists: ``fail``, ``reuse`` the task as it is, or ``update`` it.
    :param stop_first: stop a started task before it is updated; it is left stopped.

    :raises FdiAlreadyExists: the task exists and ``if_exists="fail"``.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_name",
        "fdi_task_type",
        "source_datasource_id",
        "target_datasource_id",
        "task_detail",
        "description",
        "task_tag",
        "if_exists",
        "stop_first",
    )
    _checks = {
        **FdiBaseOperator._checks,
        "fdi_task_name": CHECKS["task_name"],
        "fdi_task_type": CHECKS["task_type"],
        "source_datasource_id": identifier,
        "target_datasource_id": identifier,
        "task_detail": _json_text,
        "description": CHECKS["description"],
        "task_tag": CHECKS["task_tag"],
        "if_exists": partial(choice, allowed=IF_EXISTS),
        "stop_first": boolean,
    }
    fields_from_files = ("task_detail",)
    template_fields_renderers = {"task_detail": "json"}
    fields_with_secrets = ("task_detail",)
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_name: str,
        source_datasource_id: str,
        target_datasource_id: str,
        task_detail: dict[str, Any] | str,
        fdi_task_type: str = "TIMING",
        description: str | None = None,
        task_tag: str | None = None,
        if_exists: str = "fail",
        stop_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_name = fdi_task_name
        self.fdi_task_type = fdi_task_type
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.task_detail = task_detail
        self.description = description
        self.task_tag = task_tag
        self.if_exists = if_exists
        self.stop_first = stop_first
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> str:
        given = self._arguments
        body = {
            "task_name": given.fdi_task_name,
            "task_type": given.fdi_task_type,
            **{field: getattr(given, field) for field in OTHER_FIELDS},
        }
        client = self.client

        def create() -> str | None:
            task = client.create_task(**body)
            return task.task_id if task is not None else None

        try_state, record = change_record(context, CREATE_KEY, self.fdi_task_name)
        task_id, existing = create_once(self.hook, self.fdi_task_name, create, try_state, record)
        self._push_task_link(context, task_id)
        if existing is None:
            self.log.info("Created %s", task_label(task_id, self.fdi_task_name))
            _log_detail(self, given.task_detail)
            return task_id
        if self.if_exists == "fail":
            raise already_exists(self.fdi_task_name, task_id)
        if self.if_exists == "update":
            require_stopped(client, existing, given.stop_first, "update")
            client.update_task(task_id, **body)
            self.log.info("Updated %s", task_label(task_id, self.fdi_task_name))
            _log_detail(self, given.task_detail)
        else:
            self.log.info("%s exists and is not changed", task_label(task_id, self.fdi_task_name))
        return task_id


class FdiUpdateTaskOperator(FdiBaseOperator):
    """Change a common FDI task; returns its id.

    What is not given stays as it is, except ``task_detail``, which the service replaces as a whole. A run
    takes no parameters, so a backfill moves the time window of a task with this operator and a templated
    ``task_detail``.

    Source: ShowTask, UpdateTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param task_detail: a dict, JSON text, or the path of a ``.json`` template.
    :param new_fdi_task_name: rename the task.
    :param fdi_task_type: ``TIMING`` or ``REALTIME``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param stop_first: stop a started task first: FDI changes stopped tasks only.
    :param restart: start the task again if ``stop_first`` stopped it, also when the service refuses the
        change. On Airflow >= 3.3 a retry starts it if the process died in between.

    :raises FdiBatchFailed: the task was changed, but could not be started again; on Airflow >= 3.3 a retry
        starts it.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "task_detail",
        "new_fdi_task_name",
        "fdi_task_type",
        "source_datasource_id",
        "target_datasource_id",
        "description",
        "task_tag",
        "stop_first",
        "restart",
    )
    _checks = {
        **FdiBaseOperator._checks,
        **TASK_CHECKS,
        "task_detail": _json_text,
        # An empty description or tag clears it; an empty name, type or id leaves the old one.
        "new_fdi_task_name": if_given(CHECKS["task_name"]),
        "fdi_task_type": if_given(CHECKS["task_type"]),
        "source_datasource_id": if_given(identifier),
        "target_datasource_id": if_given(identifier),
        "description": CHECKS["description"],
        "task_tag": CHECKS["task_tag"],
        "stop_first": boolean,
        "restart": boolean,
    }
    _joint_checks = ONE_TASK
    fields_from_files = ("task_detail",)
    template_fields_renderers = {"task_detail": "json"}
    fields_with_secrets = ("task_detail",)
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        task_detail: dict[str, Any] | str,
        new_fdi_task_name: str | None = None,
        fdi_task_type: str | None = None,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        description: str | None = None,
        task_tag: str | None = None,
        stop_first: bool = False,
        restart: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.task_detail = task_detail
        self.new_fdi_task_name = new_fdi_task_name
        self.fdi_task_type = fdi_task_type
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.description = description
        self.task_tag = task_tag
        self.stop_first = stop_first
        self.restart = restart
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> str:
        given = self._arguments
        values = {
            "task_name": given.new_fdi_task_name,
            "task_type": given.fdi_task_type,
            **{field: getattr(given, field) for field in OTHER_FIELDS},
        }
        changes = {field: value for field, value in values.items() if value is not None}
        task_id = self._fdi_task_id()
        client = self.client
        self._push_task_link(context, task_id)
        task = client.get_task(task_id)
        self._task_names[task_id] = task.task_name or ""
        body = {
            "task_name": task.task_name or "",
            "task_type": task.task_type.value,
            "source_datasource_id": task.source_datasource_id or "",
            "target_datasource_id": task.target_datasource_id or "",
            "description": task.description,
            "task_tag": task.task_tag,
            **changes,
        }
        # Also what stays as it is: a task must not be stopped for a request that the client then refuses.
        for field, check in CHECKS.items():
            if field not in changes:
                check(field, body[field])
        was_started = given.restart and given.stop_first and self._was_started(context, task)
        try:
            require_stopped(client, task, given.stop_first, "update")
            client.update_task(task_id, **body)
        except (FdiError, FdiTaskBusy):
            # The task was started before, so it must not be left stopped.
            if was_started:
                self._start_again(task_id)
            raise
        self.log.info("Updated %s", task_label(task_id, body["task_name"]))
        _log_detail(self, given.task_detail)
        failed = self._start_again(task_id) if was_started else None
        if failed:
            raise FdiBatchFailed.because(
                f"The task was updated, but is left stopped: {failed}.",
                f"{task_label(task_id, body['task_name'])}.",
                "A retry starts it (Airflow >= 3.3); or start it in the console.",
            )
        return task_id

    def _was_started(self, context: Context, task: Task) -> bool:
        """Whether the task was started before the first try stopped it.

        Stored before the task is stopped, so that a retry starts it again if this try dies.
        """
        started = task.status == TARGET_STATUS["start"]
        try_state, record = change_record(context, UPDATE_KEY, task.task_id)
        if started:
            try_state.remember(record)
        return started or try_state.remembers(record)

    def _start_again(self, task_id: str) -> str | None:
        """Start the task; returns why that failed, or None."""
        client = self.client
        try:
            failed = still_to_do(client, client.start_tasks([task_id]).failed, "start")
        except FdiError as error:
            reason = error.brief
        else:
            if not failed:
                self.log.info("Started %s again", self._label(task_id))
                return None
            reason = said_with_code(failed[0].error_code, failed[0].error_msg)
        self.log.error("%s is left stopped: %s", self._label(task_id), reason)
        return reason


class FdiDeleteTaskOperator(FdiBaseOperator):
    """Delete an FDI task, common or composite.

    Source: DeleteTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param stop_first: stop a started task first: FDI deletes stopped tasks only.
    :param missing_ok: succeed if the task does not exist.

    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "stop_first",
        "missing_ok",
    )
    _checks = {**FdiBaseOperator._checks, **TASK_CHECKS, "stop_first": boolean, "missing_ok": boolean}
    _joint_checks = ONE_TASK

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        stop_first: bool = False,
        missing_ok: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.stop_first = stop_first
        self.missing_ok = missing_ok
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> None:
        given = self._arguments
        try_state, record = change_record(context, DELETE_KEY, given.fdi_task_id or given.fdi_task_name)
        # An earlier try may have deleted it.
        may_miss = given.missing_ok or try_state.remembers(record)
        task: Task | None
        try:
            task = self._task(may_miss)
            if task is not None:
                require_stopped(self.client, task, given.stop_first, "delete")
                self._delete(task, try_state, record)
        except FdiNotFoundError as error:
            if not (may_miss and error.said_by_fdi):
                raise
            task = None
        if task is None:
            self.log.info("FDI task %s does not exist", self.fdi_task_id or self.fdi_task_name)
        else:
            self.log.info("Deleted %s", task_label(task.task_id, task.task_name))

    def _delete(self, task: Task, try_state: TryState, record: CreateRecord) -> None:
        try_state.remember(record)
        try:
            self.client.delete_task(task.task_id)
        except FdiError as error:
            if not error.ambiguous:
                # The task still exists: if it is gone when the next try comes, somebody else deleted it.
                try_state.forget(record)
            raise

    def _task(self, may_miss: bool) -> Task | None:
        given = self._arguments
        if may_miss and given.fdi_task_name:
            return self.hook.find_task(given.fdi_task_name)
        return self.client.get_task(self._fdi_task_id())
