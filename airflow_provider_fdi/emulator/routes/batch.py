"""Starting and stopping up to ten tasks in one request."""

from __future__ import annotations

import threading
from typing import Any

from airflow_provider_fdi.emulator import rules
from airflow_provider_fdi.emulator.api import INSTANCE, Call, Operation
from airflow_provider_fdi.emulator.errors import CATALOGUE, invalid, service_error
from airflow_provider_fdi.emulator.state import Task
from airflow_provider_fdi.emulator.world import World

MAX_TASKS = 10


def start_task(world: World, task: Task) -> str | None:
    """Enable a task: arm its schedule, or begin its stream. The error code if it cannot be started."""
    if task.started:
        return "FDI.3023"
    streams = task.composite or task.type == "REALTIME"
    if not streams and task.schedule is None:
        return "FDI.3083"
    task.started = True
    task.started_time = world.clock.now_ms()
    task.touch()
    if streams:
        if task.active is None:
            world.runner.dispatch(task, "start")
    else:
        world.ticker.arm(task)
    return None


def stop_task(world: World, task: Task) -> str | None:
    """Disable a task: disarm its schedule, or end its stream. The error code if it cannot be stopped."""
    streams = task.composite or task.type == "REALTIME"
    if not task.started:
        if world.switches.stop_stopped == "ok":
            return None
        return "FDI.3019" if streams else "FDI.3020"
    task.started = False
    task.touch()
    world.ticker.disarm(task)
    if streams or world.switches.stop_kills_run:
        world.runner.cancel(task)
    return None


def batch_operate(call: Call) -> Any:
    world = call.world
    body = call.json_object()
    action = rules.choice(body, "action_id", ("start", "stop"))
    items = body.get("list")
    if items is None or items == []:
        raise service_error("FDI.3150")
    if (
        not isinstance(items, list)
        or len(items) > MAX_TASKS
        or not all(isinstance(item, dict) for item in items)
    ):
        raise invalid("list")
    ids = [item.get("task_id") for item in items]
    if any(not task_id for task_id in ids):
        raise service_error("FDI.3022")
    if not all(isinstance(task_id, str) and len(task_id) <= 64 for task_id in ids):
        raise invalid("task_id")

    streams: list[threading.Thread] = []
    success: list[dict[str, str]] = []
    failure: list[dict[str, str]] = []
    with world.store.lock:
        tasks = [world.store.tasks.get(task_id) for task_id in ids]
        _refuse_whole(world, action, tasks)
        for task_id, task in zip(ids, tasks, strict=True):
            if task is None:
                code: str | None = "FDI.3021"
            else:
                run = task.active
                is_stream = task.composite or task.type == "REALTIME"
                if action == "stop" and is_stream and run is not None and run.thread is not None:
                    streams.append(run.thread)
                code = start_task(world, task) if action == "start" else stop_task(world, task)
            row = {
                "task_id": task_id,
                "task_name": task.name if task is not None else "",
                "error_code": code or "",
                "error_msg": CATALOGUE[code][1] if code else "",
            }
            (failure if code else success).append(row)
    for thread in streams:
        # A stopped stream has ended when the answer says so: the task may be updated or deleted next.
        thread.join(3)
    answer: dict[str, Any] = {"success": success, "failure": failure}
    if world.switches.batch_counts:
        answer = {"success_count": len(success), "failure_count": len(failure), **answer}
    return answer


def _refuse_whole(world: World, action: str, tasks: list[Task | None]) -> None:
    """What refuses the whole request, before any task of it is touched."""
    strict = world.switches.batch_errors == "request"
    if strict and any(task is None for task in tasks):
        raise service_error("FDI.3021")
    if action == "start":
        for task in tasks:
            if task is None or task.started:
                continue
            if task.type == "TIMING" and not task.composite and task.schedule is None:
                raise service_error("FDI.3083")
        if strict and any(task is not None and task.started for task in tasks):
            raise service_error("FDI.3023")


OPERATIONS = [
    Operation(
        "BatchStartOrStopTasks",
        "POST",
        f"{INSTANCE}/batch-operation/tasks",
        batch_operate,
        "Start or stop up to ten tasks",
        "Task management",
        blocking=True,
        body="OperateTasksBean",
        answer="BatchOperatorTaskResp",
    )
]
