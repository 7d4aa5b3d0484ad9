"""Common tasks: create, change, find, run, start and stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.api.base import Api, joined, nothing
from airflow_provider_fdi.client.api.bodies import (
    execute_status_filter,
    fuzzy_filter,
    status_filter,
    task_body,
    upper_filter,
)
from airflow_provider_fdi.client.batch import operate_all
from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType
from airflow_provider_fdi.client.models import BatchResult, Listing, Task, TaskCounts
from airflow_provider_fdi.client.transport import Resend
from airflow_provider_fdi.constants import MAX_BATCH, PAGE_SIZE
from airflow_provider_fdi.validation import boolean, choice, optional_identifier, optional_text, whole
from airflow_provider_fdi.validation import task_ids as task_ids_of

TASK = "/tasks/{task_id}"


class Tasks(Api):
    """Operations on tasks."""

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
        body, secrets = task_body(
            task_name,
            task_type,
            source_datasource_id,
            target_datasource_id,
            task_detail,
            description,
            task_tag,
        )
        answer = self._call(
            "create_task",
            "POST",
            "/tasks",
            {"task_name": task_name},
            body=body,
            resend=Resend.UNSENT,
            secrets=secrets,
        )
        return answer.parse(Task.optional_from_wire)

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
        body, secrets = task_body(
            task_name,
            task_type,
            source_datasource_id,
            target_datasource_id,
            task_detail,
            description,
            task_tag,
        )
        answer = self._call("update_task", "PUT", TASK, {"task_id": task_id}, body=body, secrets=secrets)
        return answer.parse(Task.optional_from_wire)

    def get_task(self, task_id: str) -> Task:
        """ShowTask: whether the task is started, and its ``task_detail``, but not the state of a run."""
        return self._call("get_task", "GET", TASK, {"task_id": task_id}).parse(Task.from_wire)

    def delete_task(self, task_id: str) -> None:
        """DeleteTask, common or composite. The task must be stopped."""
        self._delete("delete_task", TASK, {"task_id": task_id})

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
        query = {
            "task_id": optional_identifier("task_id", task_id),
            # The documentation names this filter in both ways.
            "name": fuzzy_filter("name", name, 100, 64),
            "task_name": fuzzy_filter("name", name, 100, 64),
            "status": status_filter(status),
            "task_type": None if task_type is None else validation.task_type("task_type", task_type).lower(),
            "execute_status": execute_status_filter(execute_status),
            "source_datasource_id": optional_identifier("source_datasource_id", source_datasource_id),
            "target_datasource_id": optional_identifier("target_datasource_id", target_datasource_id),
            "datasource_id": optional_identifier("datasource_id", datasource_id),
            "source_app_id": optional_identifier("source_app_id", source_app_id),
            "target_app_id": optional_identifier("target_app_id", target_app_id),
            "task_tag": optional_text("task_tag", task_tag, maximum=64),
            "task_mode": optional_text("task_mode", task_mode, maximum=64),
            "sort_field": upper_filter("sort_field", sort_field),
            "sort_type": upper_filter("sort_type", sort_type),
        }
        pages = self._pages(
            "list_tasks",
            "/tasks",
            query,
            {"task_id": task_id, "name": name},
            Task.from_wire,
            lambda t: t.task_id,
            first=0,
            limit=PAGE_SIZE,
        )
        return joined(pages)

    def count_tasks(self) -> TaskCounts:
        """CountTasks: numbers of tasks by kind and state."""
        return self._call("count_tasks", "GET", "/statistics/tasks").parse(TaskCounts.from_wire)

    def run_task(self, task_id: str, *, resend: bool = True) -> None:
        """RunTask: one run now. The service gives no run id; find the run by ``list_runs``.

        An error that is ``ambiguous`` may have started the run. ``resend=False`` sends the request once, and
        again only with a renewed token (401), not after a 429 or a connection that was never made.
        """
        again = Resend.UNSENT if boolean("resend", resend) else Resend.NEVER
        answer = self._call(
            "run_task", "POST", f"{TASK}/run", {"task_id": task_id}, resend=again, opaque=True
        )
        answer.check()

    def terminate_task(self, task_id: str, *, resend: bool = True) -> None:
        """StopTask: ends the run in progress, whoever started it. The task stays activated.

        ``resend=False`` sends the request once, as ``run_task`` does: sent again, it could end the next run.
        """
        again = Resend.ALWAYS if boolean("resend", resend) else Resend.NEVER
        answer = self._call("terminate_task", "POST", f"{TASK}/terminate", {"task_id": task_id}, resend=again)
        answer.parse(nothing)

    def batch_operate_tasks(self, action: str, task_ids: Iterable[str]) -> BatchResult:
        """BatchStartOrStopTasks for one to ten tasks.

        Success and failure of each task are in the result; a refusal of the whole request raises.
        """
        ids = task_ids_of("task_ids", task_ids, maximum=MAX_BATCH)
        return self._batch("batch_operate_tasks", choice("action", action, ("start", "stop")), ids)

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

    def _batches(
        self, operation: str, action: str, task_ids: Iterable[str], max_parallel_requests: int
    ) -> BatchResult:
        ids = task_ids_of("task_ids", task_ids)
        parallel = whole("max_parallel_requests", max_parallel_requests, minimum=1)
        return operate_all(lambda chunk: self._batch(operation, action, chunk), ids, parallel)

    def _batch(self, operation: str, action: str, task_ids: list[str]) -> BatchResult:
        single = {"task_id": task_ids[0]}
        many = {"task_ids": f"{task_ids[0]} and {len(task_ids) - 1} more"}
        body = {"action_id": action, "list": [{"task_id": task_id} for task_id in task_ids]}
        ids = single if len(task_ids) == 1 else many
        answer = self._call(operation, "POST", "/batch-operation/tasks", ids, body=body)
        return answer.parse(lambda data: BatchResult.from_wire(data, task_ids))
