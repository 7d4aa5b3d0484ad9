"""FDI's API: one method for each documented operation, and nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlencode

from airflow_provider_fdi.client import models, rules
from airflow_provider_fdi.client.auth import AkSkAuth, FdiAuth, SdkAuth, canonical_query
from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.errors import (
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiProtocolError,
    FdiResponseError,
    describe,
)
from airflow_provider_fdi.client.models import (
    BatchItem,
    BatchResult,
    Column,
    CompositeInit,
    Datasource,
    ExecuteStatus,
    Listing,
    Page,
    Run,
    RunSteps,
    Schedule,
    TableMapping,
    Task,
    TaskCounts,
    TaskMonitor,
    TaskStatus,
    TaskType,
)
from airflow_provider_fdi.client.task_detail import secret_values, to_json_text
from airflow_provider_fdi.client.transport import Answer, Gate, Resend, RetryPolicy, Timeout, Transport

__all__ = ["FdiClient"]

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"
MAX_PAGES = 1100
"""Bound of any listing, whatever the service says: its offsets end at a million rows."""


class FdiClient:
    """A client of one ROMA Connect instance. Threads may share it; closing it closes its connections.

    Every method raises :class:`~airflow_provider_fdi.client.errors.FdiError`, and nothing else. Bad arguments
    are refused before anything is sent. Times are epoch milliseconds UTC, time limits are seconds.

    :param endpoint: ``https://roma.{region}.myhuaweicloud.com``, or a host
    :param project_id: id of the project that the instance belongs to; a token is bound to the same one
    :param instance_id: id of the ROMA Connect instance
    :param auth: one of ``StaticTokenAuth``, ``TokenAuth``, ``AkSkAuth``, ``SdkAuth``; clients may share it
    :param timeout: connect and read time limit of one request
    :param retry: how often and how long a request is sent again; ``RetryPolicy()`` by default
    :param verify: True, a CA file or directory, or False, which is logged as a warning
    :param proxies: as ``requests`` takes them; by default those of the environment
    :param allow_http: take plain http to other than loopback addresses
    :param gate: what holds requests back after a 429; one of its own unless shared with other clients
    """

    def __init__(
        self,
        endpoint: str,
        project_id: str,
        instance_id: str,
        auth: FdiAuth,
        *,
        timeout: Timeout = (10, 60),
        retry: RetryPolicy | None = None,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        allow_http: bool = False,
        gate: Gate | None = None,
    ) -> None:
        project = rules.path_id(project_id, "project_id", operation="FdiClient")
        instance = rules.path_id(instance_id, "instance_id", operation="FdiClient")
        if not isinstance(auth, FdiAuth):
            rule = "must be an FdiAuth such as TokenAuth, AkSkAuth, StaticTokenAuth or SdkAuth"
            raise FdiInvalidRequestError.local("FdiClient", "auth", type(auth).__name__, rule)
        # The official SDK sends (and signs) the project with signed requests only.
        signs = isinstance(auth, (AkSkAuth, SdkAuth))
        self._transport = Transport(
            "FdiClient",
            endpoint,
            auth,
            timeout=timeout,
            retry=RetryPolicy() if retry is None else retry,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            headers={"X-Project-Id": project} if signs else {},
            gate=gate,
        )
        self.gate = self._transport.gate
        self.endpoint = self._transport.wire.base
        self.project_id = project_id
        self.instance_id = instance_id
        self._project_path = f"/v2/{project}/fdi"
        self._base = f"{self._project_path}/instances/{instance}"

    def __repr__(self) -> str:
        return (
            f"FdiClient({self.endpoint!r}, project_id={self.project_id!r}, instance_id={self.instance_id!r})"
        )

    def __enter__(self) -> FdiClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of the login too; a later call opens new ones."""
        self._transport.close()

    # Common tasks

    def create_task(
        self,
        *,
        task_name: str,
        task_type: TaskType | str,
        source_datasource_id: str,
        target_datasource_id: str,
        task_detail: Mapping[str, Any] | str,
        description: str | None = None,
        task_tag: str | None = None,
    ) -> Task | None:
        """CreateCommonTask. The new task is stopped. None if the answer is ``null``: look it up by name."""
        operation = "create_task"
        body, secrets = _task_body(
            operation,
            task_name,
            task_type,
            source_datasource_id,
            target_datasource_id,
            task_detail,
            description,
            task_tag,
        )
        return self._task(
            operation,
            "POST",
            "/tasks",
            {"task_name": task_name},
            body=body,
            resend=Resend.UNSENT,
            secrets=secrets,
        )

    def update_task(
        self,
        task_id: str,
        *,
        task_name: str,
        task_type: TaskType | str,
        source_datasource_id: str,
        target_datasource_id: str,
        task_detail: Mapping[str, Any] | str,
        description: str | None = None,
        task_tag: str | None = None,
    ) -> Task | None:
        """UpdateTask: replaces the whole task, which must be stopped. None if the answer is ``null``."""
        operation = "update_task"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}"
        body, secrets = _task_body(
            operation,
            task_name,
            task_type,
            source_datasource_id,
            target_datasource_id,
            task_detail,
            description,
            task_tag,
        )
        return self._task(operation, "PUT", path, {"task_id": task_id}, body=body, secrets=secrets)

    def get_task(self, task_id: str) -> Task:
        """ShowTask. The answer has the task's activation and its ``task_detail``, but no state of a run."""
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation='get_task')}"
        ids = {"task_id": task_id}
        answer = self._call("get_task", "GET", path, ids)
        return self._read("get_task", ids, answer, Task.from_wire)

    def delete_task(self, task_id: str) -> None:
        """DeleteTask, common or composite. The task must be stopped."""
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation='delete_task')}"
        self._delete("delete_task", path, {"task_id": task_id})

    def list_tasks(
        self,
        *,
        task_id: str | None = None,
        name: str | None = None,
        status: TaskStatus | str | int | None = None,
        task_type: TaskType | str | None = None,
        execute_status: ExecuteStatus | str | None = None,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        datasource_id: str | None = None,
        task_tag: str | None = None,
        source_app_id: str | None = None,
        target_app_id: str | None = None,
        task_mode: str | None = None,
        sort_field: str | None = None,
        sort_type: str | None = None,
    ) -> Listing[Task]:
        """ListTasks, all pages.

        ``name`` is a fuzzy filter, of which the service takes 64 characters: compare the names yourself.
        """
        operation = "list_tasks"
        query = {
            "task_id": rules.optional_identifier(task_id, "task_id", operation=operation),
            # The documentation names this filter in both ways.
            "name": _filter_text(operation, "name", name, 100, 64),
            "task_name": _filter_text(operation, "name", name, 100, 64),
            "status": _status_query(operation, status),
            "task_type": None
            if task_type is None
            else rules.task_type(task_type, operation=operation).lower(),
            "execute_status": _execute_status_query(operation, execute_status),
            "task_tag": _optional_text(operation, "task_tag", task_tag, 64),
            "task_mode": _optional_text(operation, "task_mode", task_mode, 64),
            "sort_field": _upper_text(operation, "sort_field", sort_field),
            "sort_type": _upper_text(operation, "sort_type", sort_type),
        }
        for field, value in (
            ("source_datasource_id", source_datasource_id),
            ("target_datasource_id", target_datasource_id),
            ("datasource_id", datasource_id),
            ("source_app_id", source_app_id),
            ("target_app_id", target_app_id),
        ):
            query[field] = rules.optional_identifier(value, field, operation=operation)
        pages = self._pages(
            operation,
            "/tasks",
            query,
            _dropped(task_id=task_id, name=name),
            Task.from_wire,
            lambda t: t.task_id,
            first=0,
            limit=rules.PAGE_SIZE,
        )
        return _joined(pages)

    def count_tasks(self) -> TaskCounts:
        """CountTasks: numbers of tasks by kind and state."""
        answer = self._call("count_tasks", "GET", "/statistics/tasks", {})
        return self._read("count_tasks", {}, answer, TaskCounts.from_wire)

    def run_task(self, task_id: str, *, resend: bool = True) -> None:
        """RunTask: one run now. The service gives no run id; find the run by ``list_runs``.

        An error that is ``ambiguous`` may have started the run. ``resend=False`` sends the request once, and
        again only with a renewed token (401), not after a 429 or a connection that was never made.
        """
        operation = "run_task"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/run"
        again = Resend.UNSENT if rules.flag(resend, "resend", operation=operation) else Resend.NEVER
        ids = {"task_id": task_id}
        self._call(operation, "POST", path, ids, resend=again, opaque=True).check(operation, ids)

    def terminate_task(self, task_id: str, *, resend: bool = True) -> None:
        """StopTask: ends the run in progress, whoever started it. The task stays activated.

        ``resend=False`` sends the request once, as ``run_task`` does: sent again, it could end the next run.
        """
        operation = "terminate_task"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/terminate"
        ids = {"task_id": task_id}
        again = Resend.ALWAYS if rules.flag(resend, "resend", operation=operation) else Resend.NEVER
        answer = self._call(operation, "POST", path, ids, resend=again)
        self._read(operation, ids, answer, lambda _: None)

    # Starting and stopping many

    def batch_operate_tasks(self, action: str, task_ids: Iterable[str]) -> BatchResult:
        """BatchStartOrStopTasks for one to ten tasks.

        Success and failure of each task are in the result; a refusal of the whole request raises.
        """
        operation = "batch_operate_tasks"
        action = rules.action(action, operation=operation)
        ids = rules.task_ids(task_ids, operation=operation, maximum=rules.MAX_BATCH)
        return self._batch(operation, action, ids)

    def start_tasks(self, task_ids: Iterable[str], *, max_parallel_requests: int = 4) -> BatchResult:
        """BatchStartOrStopTasks (start) for any number of tasks, ten in each request.

        The result has every task once, in the order given. A refusal of a whole request (a task that does not
        exist, no schedule, already running) is broken down to the single tasks. Anything else raises, with
        ``partial`` set to what is known to be done.
        """
        return self._batches("start_tasks", "start", task_ids, max_parallel_requests)

    def stop_tasks(self, task_ids: Iterable[str], *, max_parallel_requests: int = 4) -> BatchResult:
        """BatchStartOrStopTasks (stop) for any number of tasks; otherwise like ``start_tasks``."""
        return self._batches("stop_tasks", "stop", task_ids, max_parallel_requests)

    def _batch(self, operation: str, action: str, task_ids: list[str]) -> BatchResult:
        ids = (
            {"task_id": task_ids[0]}
            if len(task_ids) == 1
            else {"task_ids": f"{task_ids[0]} and {len(task_ids) - 1} more"}
        )
        body = {"action_id": action, "list": [{"task_id": task_id} for task_id in task_ids]}
        answer = self._call(operation, "POST", "/batch-operation/tasks", ids, body=body)
        return self._read(operation, ids, answer, lambda data: BatchResult.from_wire(data, task_ids))

    def _batch_in_pieces(self, operation: str, action: str, task_ids: list[str]) -> BatchResult:
        """One request; if the service refuses it as a whole, one for each task."""
        try:
            return self._batch(operation, action, task_ids)
        except FdiResponseError as refusal:
            if not _is_refusal_of_tasks(refusal):
                raise
            if len(task_ids) == 1:
                item = BatchItem(task_ids[0], None, refusal.error_code, refusal.error_msg)
                return BatchResult(failed=(item,))
        return self._one_by_one(operation, action, [[task_id] for task_id in task_ids], task_ids)

    def _one_by_one(
        self, operation: str, action: str, chunks: list[list[str]], order: list[str]
    ) -> BatchResult:
        done: list[BatchResult] = []
        try:
            for chunk in chunks:
                result = self._batch_in_pieces(operation, action, chunk)
                done.append(result)  # at once: what is done must be known when the next one fails
        except FdiError as error:
            error.partial = _merged([*done, *([error.partial] if error.partial else [])], order)
            raise
        return _merged(done, order)

    def _batches(self, operation: str, action: str, task_ids: Iterable[str], workers: int) -> BatchResult:
        ids = rules.task_ids(task_ids, operation=operation)
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            rule = "must be a whole number of 1 or more"
            raise FdiInvalidRequestError.local(operation, "max_parallel_requests", workers, rule)
        chunks = [ids[i : i + rules.MAX_BATCH] for i in range(0, len(ids), rules.MAX_BATCH)]
        if workers == 1 or len(chunks) == 1:
            return self._one_by_one(operation, action, chunks, ids)
        futures: list[Future[BatchResult]] = []
        failed = False

        def work(chunk: list[str]) -> BatchResult:
            nonlocal failed
            if failed:  # whatever stopped one will stop the rest
                return BatchResult()
            try:
                return self._batch_in_pieces(operation, action, chunk)
            except BaseException:
                failed = True
                raise

        pool = ThreadPoolExecutor(min(workers, len(chunks)), thread_name_prefix="fdi-batch")
        try:
            futures = [pool.submit(work, chunk) for chunk in chunks]
            for future in futures:
                future.exception()  # waits
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        errors = [e for f in futures if (e := f.exception()) is not None]
        if errors:
            known = [f.result() for f in futures if f.exception() is None]
            known += [e.partial for e in errors if isinstance(e, FdiError) and e.partial is not None]
            if isinstance(errors[0], FdiError):
                errors[0].partial = _merged(known, ids)
            raise errors[0]
        return _merged([f.result() for f in futures], ids)

    # Schedules

    def create_schedule(
        self,
        task_id: str,
        *,
        start_time: object = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        cron: str | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
    ) -> Schedule:
        """CreateDispatches: runs by ``cron``, or every ``dispatch_interval`` periods.

        ``cron`` has any form that ``to_quartz`` takes, ``start_time`` is a datetime, ISO text or epoch
        milliseconds, ``period`` is MIN, HOUR, DAY, WEEK or MON.
        """
        operation = "create_schedule"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/dispatches"
        body = _schedule_body(operation, start_time, period, dispatch_interval, cron, cron_timezone, remark)
        ids = {"task_id": task_id}
        answer = self._call(operation, "POST", path, ids, body=body, resend=Resend.UNSENT)
        return self._read(operation, ids, answer, Schedule.from_wire)

    def update_schedule(
        self,
        task_id: str,
        dispatch_id: str,
        *,
        start_time: object = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        cron: str | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
    ) -> Schedule:
        """UpdateDispatches; arguments as for ``create_schedule``."""
        operation = "update_schedule"
        task = rules.path_id(task_id, "task_id", operation=operation)
        dispatch = rules.path_id(dispatch_id, "dispatch_id", operation=operation)
        body = _schedule_body(operation, start_time, period, dispatch_interval, cron, cron_timezone, remark)
        ids = {"task_id": task_id, "dispatch_id": dispatch_id}
        answer = self._call(operation, "PUT", f"/tasks/{task}/dispatches/{dispatch}", ids, body=body)
        return self._read(operation, ids, answer, Schedule.from_wire)

    def get_schedule(self, task_id: str) -> Schedule | None:
        """ShowDispatches: the task's schedule, None if it has none. A task that does not exist raises."""
        operation = "get_schedule"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/dispatches"
        ids = {"task_id": task_id}
        try:
            answer = self._call(operation, "GET", path, ids)
        except FdiNotFoundError as error:
            # What a task without a schedule is answered is not documented; of these codes we know that they
            # mean a missing task, instance or API.
            silent = not error.error_code and not error.error_msg
            if error.error_code in _MISSING_ELSE or not (silent or error.said_by_fdi):
                raise
            return None
        return self._read(operation, ids, answer, _optional_schedule)

    # Composite tasks

    def init_composite_task(
        self,
        *,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        task_id: str | None = None,
        auto_mapping: bool | None = None,
        server_id: str | None = None,
    ) -> tuple[CompositeInit, ...]:
        """InstallMultiTasks: hands out the id of a composite task to be, with its first mappings.

        ``server_id`` is that of a MySQL source.
        """
        operation = "init_composite_task"
        optional = rules.optional_identifier
        body = _dropped(
            ext_info=_ext_info(operation, server_id),
            source_datasource_id=optional(source_datasource_id, "source_datasource_id", operation=operation),
            target_datasource_id=optional(target_datasource_id, "target_datasource_id", operation=operation),
            task_id=_composite_id(operation, task_id),
            auto_mapping=_optional_flag(operation, "auto_mapping", auto_mapping),
        )
        ids = _dropped(task_id=task_id)
        answer = self._call(operation, "POST", "/multi-tasks/init", ids, body=body, resend=Resend.UNSENT)
        return self._read(operation, ids, answer, CompositeInit.many_from_wire)

    def create_composite_task(
        self,
        *,
        task_name: str,
        operation_types: Iterable[str],
        task_id: str | None = None,
        task_type: TaskType | str = "REALTIME",
        description: str | None = None,
        task_tag: str | None = None,
        source_app_id: str | None = None,
        target_app_id: str | None = None,
    ) -> str | None:
        """CreateMultiTasks: the task's id; None if the service does not tell it.

        ``task_id`` is the one handed out by ``init_composite_task``. Composite tasks are REALTIME only.
        """
        operation = "create_composite_task"
        kind = rules.task_type(task_type, operation=operation)
        if kind != "REALTIME":
            raise FdiInvalidRequestError.local(
                operation, "task_type", kind, "composite tasks are REALTIME only"
            )
        body = _dropped(
            task_name=rules.task_name(task_name, operation=operation),
            task_id=_composite_id(operation, task_id),
            task_type=kind,
            description=rules.description(description, operation=operation),
            task_tag=rules.task_tag(task_tag, operation=operation),
            operation_types=rules.operation_types(operation_types, operation=operation),
            source_app_id=rules.optional_identifier(source_app_id, "source_app_id", operation=operation),
            target_app_id=rules.optional_identifier(target_app_id, "target_app_id", operation=operation),
        )
        ids = _dropped(task_name=task_name, task_id=task_id)
        answer = self._call(operation, "POST", "/multi-tasks", ids, body=body, resend=Resend.UNSENT)
        return self._read(operation, ids, answer, lambda data: _id_in(data, "task_id"))

    def update_composite_task(
        self,
        task_id: str,
        *,
        operation_types: Iterable[str],
        repulling_snapshot: bool,
        description: str | None = None,
        task_tag: str | None = None,
    ) -> str | None:
        """UpdateMultiTasks. ``repulling_snapshot``: copy the existing data once more."""
        operation = "update_composite_task"
        path = f"/multi-tasks/{rules.path_id(task_id, 'task_id', operation=operation)}"
        body = _dropped(
            description=rules.description(description, operation=operation),
            task_tag=rules.task_tag(task_tag, operation=operation),
            operation_types=rules.operation_types(operation_types, operation=operation),
            repulling_snapshot=rules.flag(repulling_snapshot, "repulling_snapshot", operation=operation),
        )
        ids = {"task_id": task_id}
        answer = self._call(operation, "PUT", path, ids, body=body)
        return self._read(operation, ids, answer, lambda data: _id_in(data, "task_id"))

    def reset_composite_task(self, task_id: str, *, date_from: object = None) -> None:
        """ResetMultiTaskOffset: go on from ``date_from`` (as for ``start_time``), or from the beginning."""
        operation = "reset_composite_task"
        path = f"/multi-tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/reset"
        body = {} if date_from is None else {"date_from": _past_ms(operation, "date_from", date_from)}
        ids = {"task_id": task_id}
        self._read(operation, ids, self._call(operation, "POST", path, ids, body=body), lambda _: None)

    def create_mapping(
        self,
        task_id: str,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        source_table: str,
        target_table: str,
        source_columns: Iterable[Mapping[str, Any]] | None = None,
        target_columns: Iterable[Mapping[str, Any]] | None = None,
        mapping_columns: Iterable[Mapping[str, Any]] | None = None,
        server_id: str | None = None,
    ) -> str | None:
        """CreateMultiTaskMappings: the mapping's id; None if the service does not tell it."""
        operation = "create_mapping"
        path = f"/multi-tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/mappings"
        body = _mapping_body(
            operation,
            source_datasource_id,
            target_datasource_id,
            source_table,
            target_table,
            source_columns,
            target_columns,
            mapping_columns,
            server_id,
        )
        ids = {"task_id": task_id}
        answer = self._call(operation, "POST", path, ids, body=body, resend=Resend.UNSENT)
        return self._read(operation, ids, answer, lambda data: _id_in(data, "mapping_id", "id"))

    def list_mappings(
        self,
        task_id: str,
        *,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        source_table: str | None = None,
        target_table: str | None = None,
        table_name: str | None = None,
    ) -> Listing[TableMapping]:
        """ListMultiTaskMappings, all pages. ``table_name`` filters either side."""
        operation = "list_mappings"
        path = f"/multi-tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/mappings"
        optional = rules.optional_identifier
        query = {
            "source_datasource_id": optional(
                source_datasource_id, "source_datasource_id", operation=operation
            ),
            "target_datasource_id": optional(
                target_datasource_id, "target_datasource_id", operation=operation
            ),
            "source_table": _optional_text(operation, "source_table", source_table, 256),
            "target_table": _optional_text(operation, "target_table", target_table, 256),
            "table_name": _optional_text(operation, "table_name", table_name, 256),
        }
        pages = self._pages(
            operation,
            path,
            query,
            {"task_id": task_id},
            TableMapping.from_wire,
            lambda m: m.mapping_id or f"{m.source_table}\0{m.target_table}",
            first=0,
            limit=rules.PAGE_SIZE,
            read=models.mapping_page,
        )
        return _joined(pages)

    def update_mapping(
        self,
        task_id: str,
        mapping_id: str,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        source_table: str,
        target_table: str,
        source_columns: Iterable[Mapping[str, Any]] | None = None,
        target_columns: Iterable[Mapping[str, Any]] | None = None,
        mapping_columns: Iterable[Mapping[str, Any]] | None = None,
        server_id: str | None = None,
    ) -> str | None:
        """UpdateMultiTaskMappings; arguments as for ``create_mapping``."""
        operation = "update_mapping"
        task = rules.path_id(task_id, "task_id", operation=operation)
        mapping = rules.path_id(mapping_id, "mapping_id", operation=operation)
        body = _mapping_body(
            operation,
            source_datasource_id,
            target_datasource_id,
            source_table,
            target_table,
            source_columns,
            target_columns,
            mapping_columns,
            server_id,
        )
        ids = {"task_id": task_id, "mapping_id": mapping_id}
        answer = self._call(operation, "PUT", f"/multi-tasks/{task}/mappings/{mapping}", ids, body=body)
        return self._read(operation, ids, answer, lambda data: _id_in(data, "mapping_id", "id"))

    def delete_mapping(self, task_id: str, mapping_id: str) -> None:
        """DeleteMultiTaskMapping."""
        operation = "delete_mapping"
        task = rules.path_id(task_id, "task_id", operation=operation)
        mapping = rules.path_id(mapping_id, "mapping_id", operation=operation)
        ids = {"task_id": task_id, "mapping_id": mapping_id}
        self._delete(operation, f"/multi-tasks/{task}/mappings/{mapping}", ids)

    def auto_create_mappings(
        self,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        task_id: str | None = None,
        source_group: str | None = None,
        target_group: str | None = None,
        task_type: TaskType | str | None = None,
        mapping_prefix: str | None = None,
        mapping_suffix: str | None = None,
        source_tables: str | Iterable[str] | None = None,
        target_tables: str | Iterable[str] | None = None,
        ext_info: str | None = None,
    ) -> Any:
        """CreateMultiTaskMappingsAutomatically: maps at most 2000 tables, by their names.

        The target's name is prefix + source + suffix. ``source_tables`` and ``target_tables`` select by
        ``schema.table`` or ``schema.*``. The answer is not documented: it is given as parsed JSON, or None.
        """
        operation = "auto_create_mappings"
        kind = None if task_type is None else rules.task_type(task_type, operation=operation)
        form = _dropped(
            source_ds_id=rules.identifier(source_datasource_id, "source_datasource_id", operation=operation),
            target_ds_id=rules.identifier(target_datasource_id, "target_datasource_id", operation=operation),
            source_group=_optional_text(operation, "source_group", source_group, 255),
            target_group=_optional_text(operation, "target_group", target_group, 255),
            task_id=_composite_id(operation, task_id),
            ext_info=_optional_text(operation, "ext_info", ext_info, 4096),
            task_type=None if kind is None else "1" if kind == "REALTIME" else "2",
            mapping_prefix=_optional_text(operation, "mapping_prefix", mapping_prefix, 255),
            mapping_suffix=_optional_text(operation, "mapping_suffix", mapping_suffix, 255),
            source_select_mapping_tables=_table_list(operation, "source_tables", source_tables),
            target_select_mapping_tables=_table_list(operation, "target_tables", target_tables),
        )
        ids = _dropped(task_id=task_id)
        answer = self._transport.call(
            operation,
            "POST",
            # The one operation that is not below an instance.
            f"{self._project_path}/multi-tasks/mappings/auto",
            ids=ids,
            body=urlencode(form).encode(),
            content_type=FORM,
            resend=Resend.UNSENT,
        )
        return self._read(operation, ids, answer, lambda data: data)

    # Monitoring

    def list_task_monitors(
        self,
        *,
        task_name: str | None = None,
        execute_status: ExecuteStatus | str | None = None,
        limit: int = rules.PAGE_SIZE,
        max_pages: int | None = None,
    ) -> Listing[TaskMonitor]:
        """ListMonitorInfos: all tasks with their latest runs; of the first ``max_pages`` pages if given.

        ``task_name`` is a fuzzy, case-sensitive filter.
        """
        pages = self.task_monitor_pages(
            task_name=task_name, execute_status=execute_status, limit=limit, max_pages=max_pages
        )
        return _joined(pages)

    def task_monitor_pages(
        self,
        *,
        task_name: str | None = None,
        execute_status: ExecuteStatus | str | None = None,
        limit: int = rules.PAGE_SIZE,
        max_pages: int | None = None,
    ) -> Iterator[Listing[TaskMonitor]]:
        """ListMonitorInfos page by page, each requested when it is asked for."""
        operation = "list_task_monitors"
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= rules.PAGE_SIZE:
            rule = f"must be a whole number from 1 to {rules.PAGE_SIZE}"
            raise FdiInvalidRequestError.local(operation, "limit", limit, rule)
        query = {
            "task_name": _optional_text(operation, "task_name", task_name, 100),
            "execute_status": _execute_status_query(operation, execute_status),
        }
        return self._pages(
            operation,
            "/task-monitors",
            query,
            _dropped(task_name=task_name),
            TaskMonitor.from_wire,
            lambda m: m.task_id,
            first=1,
            limit=limit,
            max_pages=max_pages,
        )

    def list_runs(self, task_id: str, *, begin_time: object = None, end_time: object = None) -> Listing[Run]:
        """ListMonitorLog, all pages: the task's runs, in no documented order."""
        operation = "list_runs"
        path = f"/tasks/{rules.path_id(task_id, 'task_id', operation=operation)}/monitor-logs"
        query = {
            "begin_time": None if begin_time is None else _filter_ms(operation, "begin_time", begin_time),
            "end_time": None if end_time is None else _filter_ms(operation, "end_time", end_time),
        }
        pages = self._pages(
            operation,
            path,
            query,
            {"task_id": task_id},
            Run.from_wire,
            lambda r: r.run_id,
            first=1,
            limit=rules.PAGE_SIZE,
        )
        return _joined(pages)

    def get_run_steps(self, task_id: str, run_id: str) -> RunSteps:
        """ShowMonitorLogDetail: the steps of one run. The run's own state is in ``list_runs`` only."""
        operation = "get_run_steps"
        task = rules.path_id(task_id, "task_id", operation=operation)
        run = rules.path_id(run_id, "run_id", operation=operation)
        ids = {"task_id": task_id, "run_id": run_id}
        answer = self._call(operation, "GET", f"/tasks/{task}/monitor-logs/{run}", ids)
        return self._read(operation, ids, answer, RunSteps.from_wire)

    # Data sources

    def create_datasource(
        self,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> Datasource | None:
        """CreateDatasourceInfo. ``content`` is the service's own structure and is sent as is."""
        operation = "create_datasource"
        body = _datasource_body(operation, datasource_name, datasource_type, app_id, content, description)
        ids = {"datasource_name": datasource_name}
        answer = self._call(
            operation,
            "POST",
            "/datasources",
            ids,
            body=body,
            resend=Resend.UNSENT,
            secrets=secret_values(content),
        )
        return self._read(operation, ids, answer, lambda data: Datasource.from_wire(data) if data else None)

    def get_datasource(self, datasource_id: str) -> Datasource:
        """ShowDataourceDetail (sic)."""
        path = f"/datasources/{rules.path_id(datasource_id, 'datasource_id', operation='get_datasource')}"
        ids = {"datasource_id": datasource_id}
        answer = self._call("get_datasource", "GET", path, ids)
        return self._read("get_datasource", ids, answer, Datasource.from_wire)

    def list_datasources(
        self,
        *,
        name: str | None = None,
        datasource_type: str | None = None,
        app_id: str | None = None,
        custom_plugin_id: str | None = None,
        customized: bool | str | None = None,
        sort_field: str | None = None,
        sort_type: str | None = None,
    ) -> Listing[Datasource]:
        """ListDatasources, all pages. ``name`` is a fuzzy filter; the service takes 30 characters of it."""
        operation = "list_datasources"
        query = {
            "datasource_type": _optional_text(operation, "datasource_type", datasource_type, 64),
            "sort_field": _upper_text(operation, "sort_field", sort_field),
            "sort_type": _upper_text(operation, "sort_type", sort_type),
            "name": _filter_text(operation, "name", name, 255, 30),
            "app_id": rules.optional_identifier(app_id, "app_id", operation=operation),
            "custom_plugin_id": rules.optional_identifier(
                custom_plugin_id, "custom_plugin_id", operation=operation
            ),
            "customized": customized
            if isinstance(customized, bool)
            else _optional_text(operation, "customized", customized, 64),
        }
        pages = self._pages(
            operation,
            "/datasources",
            query,
            _dropped(name=name),
            Datasource.from_wire,
            lambda d: d.datasource_id,
            first=0,
            limit=rules.DATASOURCE_PAGE_SIZE,
        )
        return _joined(pages)

    def update_datasource(
        self,
        datasource_id: str,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> Datasource | None:
        """UpdateDatasourceInfo: replaces the whole data source."""
        operation = "update_datasource"
        path = f"/datasources/{rules.path_id(datasource_id, 'datasource_id', operation=operation)}"
        body = _datasource_body(operation, datasource_name, datasource_type, app_id, content, description)
        ids = {"datasource_id": datasource_id}
        answer = self._call(operation, "PUT", path, ids, body=body, secrets=secret_values(content))
        return self._read(operation, ids, answer, lambda data: Datasource.from_wire(data) if data else None)

    def delete_datasource(self, datasource_id: str) -> None:
        """DeleteDatasourceInfoById."""
        path = f"/datasources/{rules.path_id(datasource_id, 'datasource_id', operation='delete_datasource')}"
        self._delete("delete_datasource", path, {"datasource_id": datasource_id})

    def test_datasource(
        self,
        datasource_id: str,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> bool:
        """StartTestDatasource: True if FDI can connect. If not (FDI.3016), FdiResponseError says why."""
        operation = "test_datasource"
        segment = rules.path_id(datasource_id, "datasource_id", operation=operation)
        body = _datasource_body(operation, datasource_name, datasource_type, app_id, content, description)
        ids = {"datasource_id": datasource_id}
        answer = self._call(
            operation,
            "POST",
            f"/datasources/{segment}/test-connect",
            ids,
            body=body,
            secrets=secret_values(content),
        )
        return self._read(operation, ids, answer, _is_true)

    def list_tables(
        self,
        datasource_id: str,
        *,
        position: str,
        db_name: str | None = None,
        db_schema: str | None = None,
        filter: str | None = None,
    ) -> tuple[str, ...]:
        """ListDatasourceTables: names as ``schema.table``.

        ``position`` is SOURCE or TARGET, ``filter`` is fuzzy.
        """
        operation = "list_tables"
        segment = rules.path_id(datasource_id, "datasource_id", operation=operation)
        query = {
            "position": rules.position(position, operation=operation),
            "db_name": _optional_text(operation, "db_name", db_name, 255),
            "db_schema": _optional_text(operation, "db_schema", db_schema, 255),
            "filter": _optional_text(operation, "filter", filter, 255),
        }
        ids = {"datasource_id": datasource_id}
        answer = self._call(operation, "GET", f"/datasources/{segment}/tables", ids, query=query)
        return self._read(operation, ids, answer, _table_names)

    def list_columns(
        self,
        datasource_id: str,
        *,
        position: str,
        db_name: str | None = None,
        table_name: str | None = None,
    ) -> tuple[Column, ...]:
        """ListDatasourceColumns: the columns of one table."""
        operation = "list_columns"
        segment = rules.path_id(datasource_id, "datasource_id", operation=operation)
        query = {
            "position": rules.position(position, operation=operation),
            "db_name": _optional_text(operation, "db_name", db_name, 255),
            "table_name": _optional_text(operation, "table_name", table_name, 256),
        }
        ids = {"datasource_id": datasource_id}
        answer = self._call(operation, "GET", f"/datasources/{segment}/columns", ids, query=query)
        return self._read(operation, ids, answer, models.columns)

    def test_sql(self, datasource_id: str, sql: str) -> tuple[Column, ...]:
        """StartCheckDatasourceSql: the columns a query yields. Bad SQL raises with the database's words."""
        operation = "test_sql"
        segment = rules.path_id(datasource_id, "datasource_id", operation=operation)
        body = {"sql": rules.text(sql, "sql", operation=operation, maximum=1_000_000)}
        ids = {"datasource_id": datasource_id}
        answer = self._call(operation, "POST", f"/datasources/{segment}/test-sql", ids, body=body)
        return self._read(operation, ids, answer, models.columns)

    # What all have in common

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        ids: Mapping[str, str],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        resend: Resend = Resend.ALWAYS,
        opaque: bool = False,
        secrets: Iterable[str] = (),
    ) -> Answer:
        return self._transport.call(
            operation,
            method,
            self._base + path,
            ids=ids,
            query=_query(query) if query else "",
            body=None if body is None else _json(operation, body),
            resend=resend,
            opaque=opaque,
            secrets=secrets,
        )

    def _read(self, operation: str, ids: Mapping[str, str], answer: Answer, parse: Callable[[Any], T]) -> T:
        """The parsed answer. Raises FdiProtocolError if it is not what the operation answers."""
        data = answer.json(operation, ids)
        try:
            return parse(data)
        except (ValueError, RecursionError) as error:
            raise FdiProtocolError(
                f"{describe(operation, ids)}: the service answered HTTP {answer.status} with something "
                f"unexpected: {error}.",
                operation=operation,
                ids=ids,
                attempts=answer.attempts,
            ) from None

    def _task(
        self,
        operation: str,
        method: str,
        path: str,
        ids: Mapping[str, str],
        *,
        body: Mapping[str, Any],
        resend: Resend = Resend.ALWAYS,
        secrets: Iterable[str] = (),
    ) -> Task | None:
        answer = self._call(operation, method, path, ids, body=body, resend=resend, secrets=secrets)
        return self._read(operation, ids, answer, _optional_task)

    def _delete(self, operation: str, path: str, ids: Mapping[str, str]) -> None:
        try:
            answer = self._call(operation, "DELETE", path, ids)
        except FdiNotFoundError as error:
            # An earlier attempt, whose answer was lost, has deleted it.
            if error.unsettled and error.said_by_fdi:
                return
            raise
        self._read(operation, ids, answer, lambda _: None)

    def _pages(
        self,
        operation: str,
        path: str,
        query: Mapping[str, Any],
        ids: Mapping[str, str],
        parse: Callable[[Any], T],
        key: Callable[[T], str],
        *,
        first: int,
        limit: int,
        max_pages: int | None = None,
        read: Callable[[Any], Page] = Page.from_wire,
    ) -> Iterator[Listing[T]]:
        """Pages of a listing, each row once.

        Tasks and data sources count rows from 0 (``first``). The monitoring pages count from 1, and the
        documentation leaves open whether rows or pages: rows are tried first, then pages. It ends when
        as many rows have come as there are said to be; where that is not said, when a page brings no new one.
        """
        seen: set[str] = set()
        received = number = 0
        offset = first
        by_page = False
        most = MAX_PAGES if max_pages is None else max(1, min(max_pages, MAX_PAGES))

        def rows_of(data: Any) -> tuple[Page, list[T]]:
            page = read(data)
            return page, [parse(row) for row in page.entities]

        while True:
            fields = {**query, "limit": limit, "offset": offset}
            answer = self._call(operation, "GET", path, ids, query=fields)
            page, rows = self._read(operation, ids, answer, rows_of)
            number += 1
            fresh = []
            for row in rows:
                name = key(row)
                if name not in seen:
                    seen.add(name)
                    fresh.append(row)
            total, size, news = page.total, page.size, bool(fresh)
            listing = Listing(tuple(fresh), total, answer.server_time) if fresh or number == 1 else None
            # A page is megabytes, as text and as objects: never held twice, nor two of them at once.
            del answer, page, rows, fresh
            if listing is not None:
                yield listing
            del listing
            received += size
            if number >= most or (total is not None and len(seen) >= total):
                return
            if news:
                offset = offset + 1 if by_page else first + received
            elif by_page or total is None or number == 1:
                return
            else:
                # Nothing new at this row, and yet there should be more: offset may be the number of a page.
                by_page, offset = True, first + 1


_MISSING_ELSE = frozenset({"FDI.3021", "FDI.3081", "FDI.3180"})


def _query(fields: Mapping[str, Any]) -> str:
    """A query in canonical form, without what is None."""
    return canonical_query((k, v) for k, v in fields.items() if v is not None)


def _json(operation: str, body: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON body. Raises FdiInvalidRequestError for what JSON cannot hold."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        rule = f"cannot be written as JSON ({type(error).__name__})"
        raise FdiInvalidRequestError.local(operation, "body", "…", rule) from None


def _dropped(**fields: Any) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v is not None}


def _joined(pages: Iterator[Listing[T]]) -> Listing[T]:
    items: list[T] = []
    total: int | None = None
    server_time: int | None = None
    for number, page in enumerate(pages):
        items += page.items
        if number == 0:
            server_time = page.server_time
        total = page.total if page.total is not None else total
    return Listing(tuple(items), len(items) if total is None else total, server_time)


def _merged(results: Iterable[BatchResult], order: list[str]) -> BatchResult:
    place = {task_id: i for i, task_id in enumerate(order)}
    good = {item.task_id: item for result in results for item in result.succeeded}
    bad = {item.task_id: item for result in results for item in result.failed}

    def sorted_items(items: Mapping[str, BatchItem]) -> tuple[BatchItem, ...]:
        return tuple(sorted(items.values(), key=lambda item: place.get(item.task_id, len(place))))

    return BatchResult(sorted_items(good), sorted_items(bad))


def _is_refusal_of_tasks(error: FdiResponseError) -> bool:
    """Whether the service refused tasks of a batch, not the caller or the instance."""
    return error.status in (400, 404) and error.error_code.startswith("FDI.")


def _optional_task(data: Any) -> Task | None:
    if isinstance(data, dict) and (not data or ("task" in data and not data["task"])):
        return None
    return None if data is None else Task.from_wire(data)


def _optional_schedule(data: Any) -> Schedule | None:
    if isinstance(data, list) and len(data) <= 1:
        data = data[0] if data else None
    if data is None or data == {} or (isinstance(data, dict) and not any(data.values())):
        return None
    return Schedule.from_wire(data)


def _id_in(data: Any, *keys: str) -> str | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise ValueError(f"no JSON object but {type(data).__name__}")
    for key in keys:
        if isinstance(data.get(key), (str, int)) and data[key] != "":
            return str(data[key])
    return None


def _is_true(data: Any) -> bool:
    result = data.get("result") if isinstance(data, dict) else data
    if result in (True, "true", "True"):
        return True
    if result in (False, "false", "False"):
        return False
    raise ValueError("no result")


def _table_names(data: Any) -> tuple[str, ...]:
    rows = data.get("tables") if isinstance(data, dict) else data
    if rows is None and isinstance(data, dict) and "tables" in data:
        return ()
    if not isinstance(rows, list):
        raise ValueError("the tables are no list")
    return tuple(row for row in rows if isinstance(row, str))


def _optional_text(operation: str, field: str, value: object, maximum: int) -> str | None:
    return (
        None
        if value is None
        else rules.text(value, field, operation=operation, minimum=0, maximum=maximum) or None
    )


def _filter_text(operation: str, field: str, value: object, maximum: int, taken: int) -> str | None:
    """A fuzzy filter cut to the length ``taken`` by the service, which finds as much and more."""
    text = _optional_text(operation, field, value, maximum)
    return None if text is None else text[:taken]


def _upper_text(operation: str, field: str, value: object) -> str | None:
    text = _optional_text(operation, field, value, 64)
    return None if text is None else text.upper()


def _optional_flag(operation: str, field: str, value: object) -> bool | None:
    return None if value is None else rules.flag(value, field, operation=operation)


def _status_query(operation: str, value: object) -> int | None:
    """0 or 1, as ListTasks wants the activation."""
    if value is None:
        return None
    status = TaskStatus.UNKNOWN if isinstance(value, bool) else models.task_status(value)
    if status is TaskStatus.UNKNOWN:
        raise FdiInvalidRequestError.local(operation, "status", value, "must be STOPPED (0) or RUNNING (1)")
    return 0 if status is TaskStatus.STOPPED else 1


def _execute_status_query(operation: str, value: object) -> str | None:
    if value is None:
        return None
    status = models.execute_status(value)
    if status is ExecuteStatus.UNKNOWN:
        rule = "must be one of UNSTARTED, WAITING, RUNNING, SUCCESS, CANCELLED, ERROR"
        raise FdiInvalidRequestError.local(operation, "execute_status", value, rule)
    return str(status.value)


def _past_ms(operation: str, field: str, value: object) -> int:
    return _since_1970(operation, field, value, rules.parse_time_ms(value, field, operation=operation))


def _filter_ms(operation: str, field: str, value: object) -> int:
    # Plain numbers are computed by code: a look far back may well end in 1970.
    if type(value) is int:
        return _since_1970(operation, field, value, value)
    return _past_ms(operation, field, value)


def _since_1970(operation: str, field: str, value: object, ms: int) -> int:
    if not 1 <= ms <= 9_999_999_999_999:
        raise FdiInvalidRequestError.local(
            operation, field, value, "must be later than 1970 and earlier than 2286"
        )
    return ms


def _composite_id(operation: str, task_id: object) -> str | None:
    if task_id is None:
        return None
    text = rules.identifier(task_id, "task_id", operation=operation, maximum=50)
    if len(text) < 3:
        raise FdiInvalidRequestError.local(operation, "task_id", task_id, "must have 3 to 50 characters")
    return text


def _ext_info(operation: str, server_id: object) -> dict[str, str] | None:
    if server_id is None:
        return None
    if isinstance(server_id, int) and not isinstance(server_id, bool):
        server_id = str(server_id)
    return {"server_id": rules.text(server_id, "server_id", operation=operation, maximum=20)}


def _task_body(
    operation: str,
    task_name: object,
    task_type: object,
    source_datasource_id: object,
    target_datasource_id: object,
    task_detail: Mapping[str, Any] | str,
    description: object,
    task_tag: object,
) -> tuple[dict[str, Any], list[str]]:
    """Body of create and update, and the secrets in it."""
    task = _dropped(
        task_name=rules.task_name(task_name, operation=operation),
        task_type=rules.task_type(task_type, operation=operation),
        source_datasource_id=rules.identifier(
            source_datasource_id, "source_datasource_id", operation=operation
        ),
        target_datasource_id=rules.identifier(
            target_datasource_id, "target_datasource_id", operation=operation
        ),
        description=rules.description(description, operation=operation),
        task_tag=rules.task_tag(task_tag, operation=operation),
    )
    text = to_json_text(task_detail, operation=operation)
    return {"task": task, "task_detail": text}, secret_values(text)


def _schedule_body(
    operation: str,
    start_time: object,
    period: object,
    dispatch_interval: object,
    cron: object,
    cron_timezone: object,
    remark: object,
) -> dict[str, Any]:
    by_interval = period is not None or dispatch_interval is not None
    refuse = FdiInvalidRequestError.local
    if cron is not None and by_interval:
        rule = "a schedule goes by cron or by period and dispatch_interval, not by both"
        raise refuse(
            operation, "cron", cron, f"{rule} (period={period!r}, dispatch_interval={dispatch_interval!r})"
        )
    if cron is None and not by_interval:
        raise refuse(operation, "cron", cron, "give either cron, or period and dispatch_interval")
    if by_interval and (period is None or dispatch_interval is None):
        missing = "period" if period is None else "dispatch_interval"
        raise refuse(operation, missing, None, "period and dispatch_interval belong together")
    if cron_timezone is not None and cron is None:
        raise refuse(operation, "cron_timezone", cron_timezone, "a time zone goes with cron only")
    fields = _dropped(
        start_datetime=None if start_time is None else rules.start_time(start_time, operation=operation),
        remark=None if remark is None else rules.text(remark, "remark", operation=operation, minimum=0),
    )
    if cron is not None:
        zone = _optional_text(operation, "cron_timezone", cron_timezone, 64)
        quartz = to_quartz(cron, operation=operation)
        return {"use_quartz_cron": True, "cron": quartz, **_dropped(cron_timezone=zone), **fields}
    return {
        "use_quartz_cron": False,
        "period": rules.period(period, operation=operation),
        "dispatch_interval": rules.dispatch_interval(dispatch_interval, operation=operation),
        **fields,
    }


def _mapping_body(
    operation: str,
    source_datasource_id: object,
    target_datasource_id: object,
    source_table: object,
    target_table: object,
    source_columns: object,
    target_columns: object,
    mapping_columns: object,
    server_id: object,
) -> dict[str, Any]:
    return _dropped(
        source_datasource_id=rules.identifier(
            source_datasource_id, "source_datasource_id", operation=operation
        ),
        target_datasource_id=rules.identifier(
            target_datasource_id, "target_datasource_id", operation=operation
        ),
        ext_info=_ext_info(operation, server_id),
        source_columns=_objects(operation, "source_columns", source_columns),
        target_columns=_objects(operation, "target_columns", target_columns),
        source_table=rules.table(source_table, "source_table", operation=operation),
        target_table=rules.table(target_table, "target_table", operation=operation),
        mapping_columns=_objects(operation, "mapping_columns", mapping_columns),
    )


def _objects(operation: str, field: str, value: object) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise FdiInvalidRequestError.local(
            operation, field, type(value).__name__, "must be a list of mappings"
        )
    return [rules.mapping(v, f"{field}[{i}]", operation=operation) for i, v in enumerate(value)]


def _table_list(operation: str, field: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return _optional_text(operation, field, value, 200_000)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise FdiInvalidRequestError.local(operation, field, value, "must be a list of tables")
    return ",".join(
        rules.text(v, f"{field}[{i}]", operation=operation, maximum=256) for i, v in enumerate(value)
    )


def _datasource_body(
    operation: str, name: object, kind: object, app_id: object, content: object, description: object
) -> dict[str, Any]:
    return _dropped(
        datasource_name=rules.datasource_name(name, operation=operation),
        datasource_type=rules.text(kind, "datasource_type", operation=operation, maximum=64),
        app_id=rules.identifier(app_id, "app_id", operation=operation),
        description=rules.description(description, operation=operation),
        content=rules.mapping(content, "content", operation=operation),
    )
