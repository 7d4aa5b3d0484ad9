"""Monitoring: the state of tasks, the log of their runs, the steps of a run."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_fdi.emulator import views
from airflow_provider_fdi.emulator.api import INSTANCE, Answer, Call, Operation
from airflow_provider_fdi.emulator.errors import invalid, service_error
from airflow_provider_fdi.emulator.routes.tasks import _EXECUTE_STATUSES, find_task, limit_of
from airflow_provider_fdi.emulator.state import Run


def _first_row(call: Call, limit: int) -> int:
    """The 1-based offset as a row index: rows are counted, or pages (`offset_is_page_index`)."""
    offset = max(1, call.number("offset", 1))
    return (offset - 1) * limit if call.world.switches.offset_is_page_index else offset - 1


def list_monitors(call: Call) -> Any:
    world = call.world
    limit = limit_of(call)
    first = _first_row(call, limit)
    with world.store.lock:
        tasks = world.store.ordered_tasks()
        part = call.query.get("task_name")
        if part:
            tasks = [task for task in tasks if part in task.name]
        status = call.query.get("execute_status")
        if status:
            if status not in _EXECUTE_STATUSES:
                raise invalid("execute_status")
            tasks = [task for task in tasks if task.execute_status == status]
        rows = [views.task_monitor(task, world.instance_id) for task in tasks[first : first + limit]]
        return Answer(views.page(len(tasks), rows))


def _visible(run: Run) -> bool:
    return not run.visible_at or time.monotonic() >= run.visible_at


def list_runs(call: Call) -> Any:
    world = call.world
    limit = limit_of(call)
    first = _first_row(call, limit)
    begin, end = call.optional_number("begin_time"), call.optional_number("end_time")
    field = world.switches.begin_time_filters
    with world.store.lock:
        task = find_task(call)
        runs = [run for run in task.runs if _visible(run)]
        if begin is not None:
            runs = [run for run in runs if (getattr(run, field) or 0) >= begin]
        if end is not None:
            runs = [run for run in runs if getattr(run, field) is not None and getattr(run, field) <= end]
        runs.sort(key=lambda run: run.dispatch_time)
        if world.switches.log_order == "desc":
            runs.reverse()
        timing = task.type == "TIMING"
        rows = [views.run_log(run, timing) for run in runs[first : first + limit]]
        return Answer(views.page(len(runs), rows))


def show_run(call: Call) -> Any:
    with call.world.store.lock:
        task = find_task(call)
        for run in reversed(task.runs):
            if run.id == call.params["tracking_id"] and _visible(run):
                # Only these three: the status stands in the list alone.
                return {
                    "id": run.id,
                    "dirty_data_count": run.dirty,
                    "detail_logs": [views.run_step(step) for step in run.steps],
                }
    raise service_error("ROMA.00110006")


_TAG = "Task monitoring"
_LOGS = f"{INSTANCE}/tasks/{{task_id}}/monitor-logs"

OPERATIONS = [
    Operation(
        "ListMonitorInfos",
        "GET",
        f"{INSTANCE}/task-monitors",
        list_monitors,
        "List tasks with the state of their last run",
        _TAG,
        query=("offset", "limit", "task_name", "execute_status"),
        answer="TaskMonitorList",
    ),
    Operation(
        "ListMonitorLog",
        "GET",
        _LOGS,
        list_runs,
        "List a task's runs",
        _TAG,
        query=("offset", "limit", "begin_time", "end_time"),
        answer="TaskMonitorLogList",
    ),
    Operation(
        "ShowMonitorLogDetail",
        "GET",
        f"{_LOGS}/{{tracking_id}}",
        show_run,
        "Show the steps of a run",
        _TAG,
        answer="TaskMonitorLogDetail",
    ),
]
