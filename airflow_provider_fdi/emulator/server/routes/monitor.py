"""Monitoring: the state of tasks, the log of their runs, the steps of a run."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import PathId, TaskDep
from airflow_provider_fdi.emulator.server.routes.route import service_router
from airflow_provider_fdi.emulator.server.schemas import (
    LogQuery,
    MonitorQuery,
    TaskMonitorList,
    TaskMonitorLogDetail,
    TaskMonitorLogList,
)
from airflow_provider_fdi.emulator.service.errors import service_error
from airflow_provider_fdi.emulator.service.state import Run, Store

_LOGS = "/tasks/{task_id}/monitor-logs"


def _page(query: MonitorQuery | LogQuery, switches: Switches) -> slice:
    """The rows of a page; the 1-based offset counts rows, or pages (`offset_is_page_index`)."""
    limit = min(query.limit, switches.clamp_limit)
    first = max(1, query.offset) - 1
    if switches.offset_is_page_index:
        first *= limit
    return slice(first, first + limit)


def _visible(run: Run) -> bool:
    return not run.visible_at or time.monotonic() >= run.visible_at


class MonitorRoutes:
    """Handlers of monitoring."""

    def __init__(self, store: Store, switches: Switches, instance_id: str) -> None:
        self._store = store
        self._switches = switches
        self._instance_id = instance_id

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Task monitoring")
        router.get("/task-monitors", operation_id="ListMonitorInfos", response_model=TaskMonitorList)(
            self.list_monitors
        )
        router.get(_LOGS, operation_id="ListMonitorLog", response_model=TaskMonitorLogList)(self.list_runs)
        router.get(f"{_LOGS}/{{tracking_id}}", operation_id="ShowMonitorLogDetail")(self.show_run)
        return router

    async def list_monitors(self, query: Annotated[MonitorQuery, Query()]) -> Response:
        """List tasks with the state of their last run."""
        with self._store.lock:
            tasks = self._store.ordered_tasks()
            if query.task_name:
                tasks = [task for task in tasks if query.task_name in task.name]
            if query.execute_status:
                tasks = [task for task in tasks if task.execute_status == query.execute_status]
            rows = [
                answers.monitor_row(task, self._instance_id) for task in tasks[_page(query, self._switches)]
            ]
            return answers.page(len(tasks), rows)

    async def list_runs(self, task: TaskDep, query: Annotated[LogQuery, Query()]) -> Response:
        """List a task's runs."""
        field = self._switches.begin_time_filters
        with self._store.lock:
            runs = [run for run in task.runs if _visible(run)]
            if query.begin_time is not None:
                runs = [run for run in runs if (getattr(run, field) or 0) >= query.begin_time]
            if query.end_time is not None:
                runs = [
                    run
                    for run in runs
                    if getattr(run, field) is not None and getattr(run, field) <= query.end_time
                ]
            runs.sort(key=lambda run: run.dispatch_time)
            if self._switches.log_order == "desc":
                runs.reverse()
            timing = task.type == "TIMING"
            return answers.page(
                len(runs), [answers.run_row(run, timing) for run in runs[_page(query, self._switches)]]
            )

    async def show_run(self, task: TaskDep, tracking_id: PathId) -> TaskMonitorLogDetail:
        """Show the steps of a run."""
        with self._store.lock:
            for run in reversed(task.runs):
                if run.id == tracking_id and _visible(run):
                    steps = [answers.run_step(step) for step in run.steps]
                    return TaskMonitorLogDetail(id=run.id, dirty_data_count=run.dirty, detail_logs=steps)
        raise service_error("ROMA.00110006")
