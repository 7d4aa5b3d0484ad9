"""Schedules ("dispatches"): one per task, by interval or by Quartz expression."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import wraps
from typing import Any

from airflow_provider_fdi.emulator import rules, views
from airflow_provider_fdi.emulator.api import INSTANCE, Answer, Call, Operation
from airflow_provider_fdi.emulator.errors import ServiceError, invalid, service_error
from airflow_provider_fdi.emulator.quartz import Quartz
from airflow_provider_fdi.emulator.state import Schedule, Task
from airflow_provider_fdi.emulator.timezones import parse_timezone


def _nested(handler: Callable[[Call], Any]) -> Callable[[Call], Any]:
    """The examples of these pages nest the error in `reason`, against their own schema."""

    @wraps(handler)
    def wrapped(call: Call) -> Any:
        try:
            return handler(call)
        except ServiceError as error:
            if call.world.switches.nested_errors_for_dispatch:
                error.shape = "nested"
            raise

    return wrapped


def _task(call: Call) -> Task:
    task = call.world.store.tasks.get(call.params["task_id"])
    if task is None:
        raise service_error("FDI.3180")
    return task


def read_schedule(body: dict[str, Any], task_id: str, now: int, default_timezone: str) -> Schedule:
    """Raises ServiceError 400 FDI.3033 naming the field."""
    start = rules.start_datetime(body)
    use_cron = rules.boolean(body, "use_quartz_cron") or False
    zone = rules.text(body, "cron_timezone", lengths=(1, 64)) or None
    if zone is not None:
        try:
            parse_timezone(zone)
        except ValueError:
            raise invalid("cron_timezone") from None
    cron = period = interval = None
    if use_cron:
        cron = rules.text(body, "cron", required=True, lengths=(1, 255))
        try:
            plan = Quartz.parse(cron)
        except ValueError as error:
            raise ServiceError(400, "FDI.3033", f"Invalid parameter [cron]. {error}.") from None
        moment = datetime.fromtimestamp(now / 1000, tz=timezone.utc)
        if plan.next_after(moment, parse_timezone(zone or default_timezone)) is None:
            raise ServiceError(400, "FDI.3033", "Invalid parameter [cron]. It never fires.")
    else:
        period = rules.choice(body, "period", rules.PERIODS)
        interval = rules.integer(body, "dispatch_interval")
        if interval is None or not 1 <= interval <= 59:
            raise invalid("dispatch_interval")
    return Schedule(
        task_id=task_id,
        start_datetime=start,
        period=period,
        dispatch_interval=interval,
        remark=rules.text(body, "remark", lengths=(1, 256)) or None,
        use_quartz_cron=use_cron,
        cron=cron,
        cron_timezone=zone,
        created=now,
        modified=now,
    )


@_nested
def create_schedule(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = _task(call)
        body = call.json_object()
        if task.type != "TIMING" or task.composite:
            raise service_error(
                "FDI.3002", message="Invalid parameters. Only a scheduled task has a schedule."
            )
        if task.schedule is not None and world.switches.second_schedule == "refuse":
            raise service_error("FDI.3002", message="Invalid parameters. The task already has a schedule.")
        task.schedule = read_schedule(body, task.id, world.clock.now_ms(), world.switches.default_timezone)
        task.touch()
        world.ticker.arm(task)
        return views.schedule(task.schedule, world.switches)


@_nested
def update_schedule(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = _task(call)
        old = task.schedule
        if old is None or old.id != call.params["dispatch_id"]:
            raise service_error("ROMA.00110006")
        row = read_schedule(
            call.json_object(), task.id, world.clock.now_ms(), world.switches.default_timezone
        )
        row.id, row.created = old.id, old.created
        task.schedule = row
        task.touch()
        world.ticker.arm(task)
        return views.schedule(row, world.switches)


@_nested
def show_schedule(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = _task(call)
        if task.schedule is not None:
            return views.schedule(task.schedule, world.switches)
    style = world.switches.no_schedule_answer
    if style == "404":
        raise service_error("ROMA.00110006")
    if style == "empty":
        return Answer(b"", media_type="")
    return {} if style == "object" else None


_TAG = "Task management"
_PATH = f"{INSTANCE}/tasks/{{task_id}}/dispatches"

OPERATIONS = [
    Operation(
        "CreateDispatches",
        "POST",
        _PATH,
        create_schedule,
        "Create a task's schedule",
        _TAG,
        body="TaskDispatch",
        answer="TaskDispatchRsp",
    ),
    Operation(
        "ShowDispatches",
        "GET",
        _PATH,
        show_schedule,
        "Show a task's schedule",
        _TAG,
        answer="TaskDispatchRsp",
    ),
    Operation(
        "UpdateDispatches",
        "PUT",
        f"{_PATH}/{{dispatch_id}}",
        update_schedule,
        "Replace a task's schedule",
        _TAG,
        body="TaskDispatch",
        answer="TaskDispatchRsp",
    ),
]
