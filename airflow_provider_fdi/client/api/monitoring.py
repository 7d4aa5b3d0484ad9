"""Runs of tasks: the monitoring page, the log of runs, and the steps of one."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_fdi.client.api.base import Api, joined
from airflow_provider_fdi.client.api.bodies import execute_status_filter
from airflow_provider_fdi.client.enums import ExecuteStatus
from airflow_provider_fdi.client.models import Listing, Run, RunSteps, TaskMonitor
from airflow_provider_fdi.client.times import past_ms
from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.validation import optional_text, whole


class Monitoring(Api):
    """Operations that look at runs."""

    def list_task_monitors(
        self,
        *,
        task_name: str | None = None,
        execute_status: ExecuteStatus | str | None = None,
        limit: int = PAGE_SIZE,
        max_pages: int | None = None,
    ) -> Listing[TaskMonitor]:
        """ListMonitorInfos: all tasks with their latest runs; of the first ``max_pages`` pages if given.

        ``task_name`` is a fuzzy, case-sensitive filter.
        """
        pages = self.task_monitor_pages(
            task_name=task_name, execute_status=execute_status, limit=limit, max_pages=max_pages
        )
        return joined(pages)

    def task_monitor_pages(
        self,
        *,
        task_name: str | None = None,
        execute_status: ExecuteStatus | str | None = None,
        limit: int = PAGE_SIZE,
        max_pages: int | None = None,
    ) -> Iterator[Listing[TaskMonitor]]:
        """ListMonitorInfos page by page, each requested when it is asked for."""
        query = {
            "task_name": optional_text("task_name", task_name, maximum=100),
            "execute_status": execute_status_filter(execute_status),
        }
        return self._pages(
            "list_task_monitors",
            "/task-monitors",
            query,
            {"task_name": task_name},
            TaskMonitor.from_wire,
            lambda m: m.task_id,
            first=1,
            limit=whole("limit", limit, minimum=1, maximum=PAGE_SIZE),
            max_pages=max_pages,
        )

    def list_runs(self, task_id: str, *, begin_time: object = None, end_time: object = None) -> Listing[Run]:
        """ListMonitorLog, all pages: the task's runs, in no documented order."""
        query = {
            "begin_time": None if begin_time is None else past_ms("begin_time", begin_time, computed=True),
            "end_time": None if end_time is None else past_ms("end_time", end_time, computed=True),
        }
        pages = self._pages(
            "list_runs",
            "/tasks/{task_id}/monitor-logs",
            query,
            {"task_id": task_id},
            Run.from_wire,
            lambda r: r.run_id,
            first=1,
            limit=PAGE_SIZE,
        )
        return joined(pages)

    def get_run_steps(self, task_id: str, run_id: str) -> RunSteps:
        """ShowMonitorLogDetail: the steps of one run. The run's own state is in ``list_runs`` only."""
        path = "/tasks/{task_id}/monitor-logs/{run_id}"
        answer = self._call("get_run_steps", "GET", path, {"task_id": task_id, "run_id": run_id})
        return answer.parse(RunSteps.from_wire)
