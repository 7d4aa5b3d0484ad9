"""Looks at an instance without changing anything: every request is a GET."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from requests import PreparedRequest

from airflow_provider_fdi.client.auth import TokenAuth
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.client.signing import sign
from airflow_provider_fdi.client.times import ms_of_answer
from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.doctor.evidence import NotSeen, Reply, shown_code
from airflow_provider_fdi.doctor.probe import Probe
from airflow_provider_fdi.hooks.fdi import failed_layer
from airflow_provider_fdi.hooks.settings import FdiSettings

NOWHERE = "fd1d0c70" * 4
"""The id of nothing: whether an operation is permitted shows without a task that it could harm."""
GOES_ON = ("Permission", "Service")
"""Layers whose failure says nothing about other operations."""
LOGS = 3
"""How many tasks' logs are read."""
LOG_ROWS = 50
STALE_MINUTES = 20


def look(probe: Probe, client: FdiClient, settings: FdiSettings) -> None:
    """Gather all that can be seen without writing."""
    _connection(probe, client, settings.conn_id)
    if probe.figures["layer"] not in ("", *GOES_ON):
        probe.close("the connection does not work")
        return
    _clock(probe)
    _token(probe, client, settings)
    for step in (_tasks, _one_task, _monitors, _missing, _datasources):
        _attempt(step, probe)
    for row in _tasks_with_runs(probe):
        _attempt(read_log, probe, str(row["task_id"]))
    _attempt(_stale_signature, probe, settings)


def _attempt(step: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    try:
        step(*args, **kwargs)
    except NotSeen:
        # The reason is kept under the name of what was asked for; the other steps go on.
        return


def _connection(probe: Probe, client: FdiClient, connection: str) -> None:
    """The connection test, with the layers of the connection form."""
    layer = said = ""
    try:
        client.count_tasks()
    except FdiError as error:
        probe.trouble = str(error.replace(connection=connection))
        layer = failed_layer(error)
        status = getattr(error, "status", None)
        said = f"HTTP {status} {shown_code(error.error_code)}".rstrip() if status else "no answer"
    probe.sent += 1
    probe.figures.update(layer=layer, layer_said=said)


def _clock(probe: Probe) -> None:
    """This machine's clock against that of the service, whose Date has whole seconds."""
    before = time.time()
    try:
        reply = probe.ask("count", "CountTasks")
    except NotSeen:
        return
    if reply.server_time is None:
        probe.reasons["clock"] = "the answers have no Date"
        return
    middle = (before + time.time()) / 2
    probe.figures["clock"] = round(reply.server_time / 1000 + 0.5 - middle, 1)


def _token(probe: Probe, client: FdiClient, settings: FdiSettings) -> None:
    if not isinstance(client.auth, TokenAuth):
        probe.reasons["token_seconds"] = "the connection does not log in (auth_type=password does)"
    elif client.auth.lifetime is None:
        probe.reasons["token_seconds"] = "IAM did not say how long its token lives"
    else:
        probe.figures["token_seconds"] = round(client.auth.lifetime)


def _stale_signature(probe: Probe, settings: FdiSettings) -> None:
    """One request whose signature is too old. The next good one makes the service forget it."""
    if settings.auth_type != "aksk":
        reason = "the connection does not sign its requests with an access key (auth_type=aksk does)"
        probe.reasons["stale_signature"] = reason
        return
    then = dt.datetime.now(dt.timezone.utc) - dt.timedelta(minutes=STALE_MINUTES)
    # On the service's own clock, so that ours may be wrong.
    then += dt.timedelta(seconds=probe.figures.get("clock", 0.0))

    def signed(request: PreparedRequest) -> PreparedRequest:
        if settings.security_token:
            request.headers["X-Security-Token"] = settings.security_token
        sign(request, settings.login or "", settings.password or "", now=then)
        return request

    probe.ask("stale_signature", "CountTasks", authenticate=signed)
    probe.ask("after_stale_signature", "CountTasks")


def _tasks(probe: Probe) -> None:
    """The tasks: one page larger than documented, then the same from the second row on, and filtered."""
    reply = probe.ask("tasks", "ListTasks", {"limit": PAGE_SIZE + 1, "offset": 0})
    rows = reply.rows
    if len(rows) < 2:
        reason = _refused(reply) or f"the instance shows {len(rows)} tasks, two are needed"
        probe.reasons.update(tasks_shifted=reason, by_name=reason, by_task_name=reason)
        return
    probe.ask("tasks_shifted", "ListTasks", {"limit": 2, "offset": 1})
    name = rows[0].get("task_name")
    if isinstance(name, str) and name:
        for filter_name in ("name", "task_name"):
            probe.ask(f"by_{filter_name}", "ListTasks", {"limit": 2, filter_name: name[:64]})


def _one_task(probe: Probe) -> None:
    """One stopped task, or any: its settings."""
    rows = [row for row in _rows(probe, "tasks") if isinstance(row.get("task_id"), str)]
    common = [row for row in rows if not row.get("ext_type")]
    stopped = [row for row in common if str(row.get("status")) == "0"]
    if not stopped:
        probe.reasons["stopped_task"] = _reason(
            probe, "tasks", "the instance shows no stopped task that is not a composite one"
        )
    if common:
        chosen = (stopped or common)[0]
        probe.ask("stopped_task" if stopped else "started_task", "ShowTask", task_id=str(chosen["task_id"]))


def _monitors(probe: Probe) -> None:
    """The monitoring page, then the same from the second row on, and a task without a schedule."""
    reply = probe.ask("monitors", "ListMonitorInfos", {"limit": PAGE_SIZE, "offset": 1})
    rows = reply.rows
    if len(rows) < 2:
        reason = f"the monitoring page shows {len(rows)} tasks, two are needed"
        probe.reasons["monitors_shifted"] = _refused(reply) or reason
    else:
        probe.ask("monitors_shifted", "ListMonitorInfos", {"limit": 3, "offset": 2})
    unscheduled = [
        row
        for row in rows
        if isinstance(row.get("task_id"), str)
        and str(row.get("task_type")).upper() == "TIMING"
        and not row.get("use_quartz_cron")
        and not row.get("period")
    ]
    if unscheduled:
        probe.ask("no_schedule", "ShowDispatches", task_id=str(unscheduled[0]["task_id"]))
    else:
        probe.reasons["no_schedule"] = _refused(reply) or "every scheduled task has a schedule"


def _missing(probe: Probe) -> None:
    """What is answered about a task that does not exist; also, whether these operations are permitted."""
    asked: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        ("missing_task", "ShowTask", {"task_id": NOWHERE}),
        ("missing_schedule", "ShowDispatches", {"task_id": NOWHERE}),
        ("missing_log", "ListMonitorLog", {"task_id": NOWHERE}),
        ("missing_run", "ShowMonitorLogDetail", {"task_id": NOWHERE, "run_id": NOWHERE}),
        ("missing_mappings", "ListMultiTaskMappings", {"task_id": NOWHERE}),
        ("missing_datasource", "ShowDataourceDetail", {"datasource_id": NOWHERE}),
    )
    for name, operation, ids in asked:
        _attempt(probe.ask, name, operation, **ids)


def _datasources(probe: Probe) -> None:
    probe.ask("datasources", "ListDatasources", {"limit": 10, "offset": 0})


def _tasks_with_runs(probe: Probe) -> list[Mapping[str, Any]]:
    """Those that ran last."""
    rows = [
        row
        for row in _rows(probe, "monitors")
        if isinstance(row.get("task_id"), str) and ms_of_answer(row.get("last_execute_time"))
    ]
    if not rows:
        reason = _reason(probe, "monitors", "the monitoring page shows no task that has run")
        for name in ("log", "log_order", "log_shifted", "begin_after_plan", "begin_after_start"):
            probe.reasons.setdefault(name, reason)
    return sorted(rows, key=lambda row: -(ms_of_answer(row.get("last_execute_time")) or 0))[:LOGS]


def read_log(probe: Probe, task_id: str) -> None:
    """A task's log, for its order, its offset and its filter, where no other task's log has told yet."""
    reply = probe.ask("log", "ListMonitorLog", {"limit": LOG_ROWS, "offset": 1}, task_id=task_id)
    rows = reply.rows
    if rows:
        probe.replies["log_with_rows"] = reply
    planned = [time for row in rows if (time := ms_of_answer(row.get("dispatch_time"))) is not None]
    if len(set(planned)) >= 2:
        probe.figures.setdefault("log_order", _order(planned))
    else:
        probe.reasons["log_order"] = "no log has two runs at different times"
    if len(rows) >= 2 and "log_shifted" not in probe.replies:
        probe.ask("log_shifted", "ListMonitorLog", {"limit": 3, "offset": 2}, task_id=task_id)
        probe.replies["log_unshifted"] = reply
    elif len(rows) < 2:
        probe.reasons["log_shifted"] = "no log has two runs"
    _begin_time(probe, task_id, rows)


def _order(times: Sequence[int]) -> str:
    if list(times) == sorted(times):
        return "asc"
    return "desc" if list(times) == sorted(times, reverse=True) else "none"


def _begin_time(probe: Probe, task_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Ask for the runs since a moment after a run's planned time, and since one after its start."""
    for name, earlier, later in (
        ("begin_after_plan", "dispatch_time", "start_time"),
        ("begin_after_start", "start_time", "end_time"),
    ):
        if name in probe.figures:
            continue
        row, gap = _widest(rows, earlier, later)
        if row is None or gap < 1:
            words = f"no run in the log has a {later} later than its {earlier}"
            probe.reasons[name] = words
            continue
        begin = (ms_of_answer(row[earlier]) or 0) + 1
        query = {"limit": PAGE_SIZE, "offset": 1, "begin_time": begin}
        reply = probe.ask(f"{name}_reply", "ListMonitorLog", query, task_id=task_id)
        if reply.ok:
            probe.figures[name] = any(found.get("id") == row.get("id") for found in reply.rows)
            probe.figures[f"{name}_ms"] = gap
        else:
            probe.reasons[name] = f"ListMonitorLog with begin_time was refused ({reply.said})"


def _widest(
    rows: Sequence[Mapping[str, Any]], earlier: str, later: str
) -> tuple[Mapping[str, Any] | None, int]:
    best: Mapping[str, Any] | None = None
    widest = 0
    for row in rows:
        first, second = ms_of_answer(row.get(earlier)), ms_of_answer(row.get(later))
        if first is not None and second is not None and second - first > widest:
            best, widest = row, second - first
    return best, widest


def _refused(reply: Reply) -> str:
    return "" if reply.ok else f"{reply.operation} was refused ({reply.said})"


def _reason(probe: Probe, name: str, otherwise: str) -> str:
    """Why something was not seen that depends on a reply: it is missing, it is an error, or this."""
    if name not in probe.replies:
        return probe.reasons.get(name, otherwise)
    return _refused(probe.replies[name]) or otherwise


def _rows(probe: Probe, name: str) -> list[Mapping[str, Any]]:
    reply: Reply | None = probe.replies.get(name)
    return reply.rows if reply is not None else []
