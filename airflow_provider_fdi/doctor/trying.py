"""Tries out what only writing shows, on one task that is made for it and removed again."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.times import ms_of_answer
from airflow_provider_fdi.doctor.evidence import NotSeen
from airflow_provider_fdi.doctor.own_task import (
    PREFIX,
    TaskPlan,
    create,
    operate,
    own_tasks,
    remove,
    succeeded,
    sweep,
    task_body,
)
from airflow_provider_fdi.doctor.probe import Probe
from airflow_provider_fdi.doctor.reading import NOWHERE, read_log

REFUSED_CODES = (907, 909, 914)
ACTIVE = ("WAITING", "RUNNING")
ZONES = (("GMT+08:00", 8), ("UTC", 0))
LEAD_SECONDS = 3
"""How far ahead of the service's clock a schedule is set at least."""
STOP_LOOKS = 5
"""How often a run is looked at whose task was stopped."""

Step = Callable[[Probe, TaskPlan, str], None]


def try_out(probe: Probe, client: FdiClient, plan: TaskPlan) -> None:
    """Gather all that only writing shows; whatever happens, remove what was made."""
    sweep(probe)
    probe.figures["found"] = probe.figures.pop("swept", 0)
    try:
        try:
            task_id = create(probe, plan)
        except NotSeen as reason:
            _unseen(probe, NAMES, f"there was no task to try it on: {reason}")
            _attempt(_permissions, probe, plan, NOWHERE, ())
        else:
            for step, names in STEPS:
                _attempt(step, probe, plan, task_id, names)
        _attempt(_composite, probe, plan, _composite_id(client), ("init",))
    finally:
        sweep(probe)


def _attempt(step: Step, probe: Probe, plan: TaskPlan, task_id: str, names: tuple[str, ...]) -> None:
    try:
        step(probe, plan, task_id)
    except NotSeen as reason:
        _unseen(probe, names, str(reason))


def _unseen(probe: Probe, names: tuple[str, ...], reason: str) -> None:
    for name in names:
        probe.reasons.setdefault(name, reason)


# Steps: each needs the task, and leaves it stopped


def _permissions(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    """Without a task: whether the operations are permitted, which shows with the id of none, too."""
    probe.ask(
        "update_nowhere", "UpdateTask", body=task_body(f"{PREFIX}x", NOWHERE, NOWHERE, plan), task_id=task_id
    )
    probe.ask("delete_nowhere", "DeleteTask", task_id=task_id)
    probe.ask("run_nowhere", "RunTask", task_id=task_id)
    operate(probe, "stop_nowhere", "stop", task_id)


def _duplicate(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    name = probe.figures["own_name"]
    source, target = plan.source_id or NOWHERE, plan.target_id or NOWHERE
    reply = probe.ask("duplicate", "CreateCommonTask", body=task_body(name, source, target, plan))
    if reply.ok:
        for other in own_tasks(probe):
            if other != task_id:
                remove(probe, other)


def _shapes(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    probe.ask("own_row", "ListTasks", {"limit": 10, "offset": 0, "task_id": task_id})
    own = probe.ask("own_task", "ShowTask", task_id=task_id)
    probe.replies.setdefault("stopped_task", own)
    if "no_schedule" not in probe.replies:
        probe.ask("no_schedule", "ShowDispatches", task_id=task_id)
    source, target = plan.source_id or NOWHERE, plan.target_id or NOWHERE
    probe.ask(
        "update",
        "UpdateTask",
        body=task_body(probe.figures["own_name"], source, target, plan),
        task_id=task_id,
    )


def _batches(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    operate(probe, "stop_stopped", "stop", task_id)
    operate(probe, "batch_missing", "stop", NOWHERE)
    if succeeded(operate(probe, "start_unscheduled", "start", task_id)):
        operate(probe, "stop_again", "stop", task_id)


def _run_stopped(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    if probe.ask("run_stopped", "RunTask", task_id=task_id).ok:
        _after_run(probe, task_id)


def _after_run(probe: Probe, task_id: str) -> None:
    """A run was accepted: ask for another at once, then wait for their rows in the log."""
    accepted = time.monotonic()
    again = probe.ask("run_again", "RunTask", task_id=task_id)
    rows = _await_rows(probe, task_id, 1, probe.limits.log_wait)
    probe.figures["log_delay_ms"] = round((time.monotonic() - accepted) * 1000)
    if again.ok:
        delay = (time.monotonic() - accepted) + 3 * probe.limits.poll
        rows = _await_rows(probe, task_id, 2, delay, or_fewer=True)
        probe.figures["overlap"] = _overlap(rows)
        codes = [row.get("status") for row in rows if row.get("status") in REFUSED_CODES]
        if codes:
            probe.figures["refused_code"] = codes[0]
    probe.figures.setdefault("log_looks", 0)


def _await_rows(
    probe: Probe, task_id: str, count: int, seconds: float, *, or_fewer: bool = False
) -> list[Mapping[str, Any]]:
    """The log, as soon as it has so many rows. Raises NotSeen after so many seconds, unless fewer will do."""
    begun = time.monotonic()
    pause = min(0.1, probe.limits.poll)
    looks = 0
    while True:
        rows = probe.ask("own_log", "ListMonitorLog", {"limit": 50, "offset": 1}, task_id=task_id).rows
        looks += 1
        if len(rows) >= count:
            if count == 1:
                probe.figures["log_looks"] = looks
            return rows
        if time.monotonic() - begun > seconds:
            if or_fewer:
                return rows
            probe.figures["log_missing_s"] = round(seconds)
            raise NotSeen(f"no run appeared in the log within {seconds:g} s")
        probe.pause(pause)
        pause = min(pause * 1.5, probe.limits.poll)


def _overlap(rows: list[Mapping[str, Any]]) -> str:
    """What became of the second run: ``row`` (refused in the log), ``parallel``, or ``apart`` in time."""
    if any(row.get("status") in REFUSED_CODES for row in rows):
        return "row"
    spans = sorted(
        (ms_of_answer(row.get("dispatch_time")) or 0, ms_of_answer(row.get("end_time")) or float("inf"))
        for row in rows
    )
    if len(spans) < 2:
        return "missing"
    return "parallel" if spans[1][0] < spans[0][1] else "apart"


def _end_run(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    if _state(probe, task_id) in ACTIVE:
        probe.ask("terminate", "StopTask", task_id=task_id)
        for _ in range(5):
            if _state(probe, task_id) not in ACTIVE:
                return
            probe.pause(probe.limits.poll)


def _state(probe: Probe, task_id: str) -> str:
    """The state of the task's latest run."""
    rows = probe.ask("own_state", "ListTasks", {"limit": 10, "offset": 0, "task_id": task_id}).rows
    return next((str(row.get("execute_status")) for row in rows if row.get("task_id") == task_id), "")


def _schedule(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    # Once a year, half a year from now.
    month = (dt.datetime.now(dt.timezone.utc).month + 5) % 12 + 1
    body = {"use_quartz_cron": True, "cron": f"0 0 3 15 {month} ?", "cron_timezone": "GMT+08:00"}
    reply = probe.ask("schedule", "CreateDispatches", body=body, task_id=task_id)
    if not reply.ok:
        raise NotSeen(f"CreateDispatches was refused ({reply.said})")
    probe.ask("second_schedule", "CreateDispatches", body=body, task_id=task_id)
    probe.ask("shown_schedule", "ShowDispatches", task_id=task_id)


def _started(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    """Start the task: ``run`` may ask for it, and stopping it may end its run."""
    _need_schedule(probe)
    if not succeeded(operate(probe, "start", "start", task_id)):
        raise NotSeen(f"the task could not be started ({probe.replies['start'].said})")
    if not probe.evidence.reply("run_stopped").ok:
        if probe.ask("run_started", "RunTask", task_id=task_id).ok:
            _after_run(probe, task_id)
    elif _state(probe, task_id) not in ACTIVE:
        probe.ask("run_for_stop", "RunTask", task_id=task_id)
    if _state(probe, task_id) not in ACTIVE:
        operate(probe, "stop_again", "stop", task_id)
        raise NotSeen("its run ended before the task could be stopped; give --detail with a longer one")
    operate(probe, "stop_running", "stop", task_id)
    for _ in range(STOP_LOOKS):
        probe.pause(min(1.0, probe.limits.poll))
        probe.figures["after_stop"] = _state(probe, task_id)
        if probe.figures["after_stop"] not in ACTIVE:
            return
    _end_run(probe, plan, task_id)


def _need_schedule(probe: Probe) -> None:
    reply = probe.evidence.reply("schedule")
    if not reply.ok:
        raise NotSeen(f"CreateDispatches was refused ({reply.said})")


def _fires(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    """Give the schedule no time zone, and see by which one it fires."""
    if not probe.limits.fire_wait:
        raise NotSeen("waiting for a schedule to fire was not asked for")
    _need_schedule(probe)
    if not _runs_start(probe):
        raise NotSeen("no run of the task was accepted, so that a schedule that fires cannot be seen")
    dispatch_id = next(
        (
            str(reply.data["dispatch_id"])
            for reply in probe.evidence.present("shown_schedule", "second_schedule", "schedule")
            if isinstance(reply.data, dict) and reply.data.get("dispatch_id")
        ),
        "",
    )
    if not dispatch_id:
        raise NotSeen("the answers name no dispatch_id")
    for zone, hours in ZONES:
        if _fires_at(probe, task_id, dispatch_id, hours):
            probe.figures["default_zone"] = zone
            return
    probe.figures["default_zone"] = ""


def _runs_start(probe: Probe) -> bool:
    return bool(probe.evidence.present("run_stopped", "run_started"))


def _fires_at(probe: Probe, task_id: str, dispatch_id: str, hours: int) -> bool:
    """Whether the schedule fires in the next minute if its hour is that of this zone."""
    known, now = _log_ids(probe, task_id)
    minute = dt.datetime.fromtimestamp(now / 1000 + LEAD_SECONDS, dt.timezone.utc).replace(
        second=0, microsecond=0
    ) + dt.timedelta(minutes=1)
    there = minute + dt.timedelta(hours=hours)
    body = {"use_quartz_cron": True, "cron": f"0 {there.minute} {there.hour} * * ?"}
    reply = probe.ask(
        "unzoned_schedule", "UpdateDispatches", body=body, task_id=task_id, dispatch_id=dispatch_id
    )
    if not reply.ok:
        raise NotSeen(f"UpdateDispatches without cron_timezone was refused ({reply.said})")
    if not succeeded(operate(probe, "start_to_fire", "start", task_id)):
        raise NotSeen(f"the task could not be started ({probe.replies['start_to_fire'].said})")
    try:
        latest = minute.timestamp() * 1000 + probe.limits.fire_wait * 1000
        latest += probe.figures.get("log_delay_ms", 0)
        while True:
            found, now = _log_ids(probe, task_id)
            if found - known:
                return True
            if now > latest:
                return False
            left = (minute.timestamp() * 1000 - now) / 1000
            probe.pause(min(max(probe.limits.poll, left / 2), 8 * probe.limits.poll))
    finally:
        operate(probe, "stop_again", "stop", task_id, removing=True)
        _end_run(probe, TaskPlan(), task_id)


def _log_ids(probe: Probe, task_id: str) -> tuple[set[str], int]:
    """The ids in the task's log, and the service's time."""
    reply = probe.ask("own_log", "ListMonitorLog", {"limit": 50, "offset": 1}, task_id=task_id)
    now = reply.server_time if reply.server_time is not None else round(time.time() * 1000)
    return {str(row.get("id")) for row in reply.rows}, now


def _log(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    read_log(probe, task_id)


STEPS: tuple[tuple[Step, tuple[str, ...]], ...] = (
    (_duplicate, ("duplicate",)),
    (_shapes, ("own_row", "own_task", "no_schedule", "update")),
    (_batches, ("stop_stopped", "batch_missing", "start_unscheduled")),
    (_run_stopped, ("run_stopped", "run_again", "log_delay_ms", "overlap", "refused_code")),
    (_end_run, ("terminate",)),
    (_schedule, ("schedule", "second_schedule", "shown_schedule")),
    (_started, ("start", "run_started", "after_stop")),
    (_fires, ("default_zone",)),
    (_log, ("log",)),
)
"""What is tried, in this order, and what each step is to show."""
NAMES = ("create", *(name for _, names in STEPS for name in names))


# Composite tasks


def _composite_id(client: FdiClient) -> str:
    """The same id each time, so that what a killed doctor initialised is taken up again."""
    place = f"{PREFIX}{client.project_id}/{client.instance_id}"
    return hashlib.sha256(place.encode()).hexdigest()[:32]


def _composite(probe: Probe, plan: TaskPlan, task_id: str) -> None:
    """Initialise a composite task. What that leaves has no name, so it is made into a task and deleted."""
    body = {"task_id": task_id}
    if plan.source_id:
        body |= {"source_datasource_id": plan.source_id, "target_datasource_id": plan.target_id}
    if not probe.ask("init", "InstallMultiTasks", body=body).ok:
        return
    task = {
        "task_name": f"{PREFIX}composite",
        "task_type": "REALTIME",
        "operation_types": ["INSERT"],
        "task_id": task_id,
    }
    if probe.ask("create_composite", "CreateMultiTasks", body=task, removing=True).ok:
        remove(probe, task_id)
    else:
        probe.figures["draft"] = 1
