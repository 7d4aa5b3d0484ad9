"""From what only writing shows to a verdict: one pure function for each assumption."""

from __future__ import annotations

from typing import Any

from airflow_provider_fdi.doctor.evidence import Evidence, NotSeen, Reply, shown_code
from airflow_provider_fdi.doctor.verdict import Verdict, either, other, same

START_GRACE_MS = 120_000
"""``start_grace`` of the operators: how long a run is looked for."""
RUN_REFUSED = "FDI.3026"


def create_answer(e: Evidence) -> Verdict:
    reply = e.good("create")
    task_id = reply.part("task").get("task_id")
    return either(bool(task_id), f"{reply.said}, {'with' if task_id else 'without'} a task_id", True)


def unknown_datasources(e: Evidence) -> Verdict:
    reply = e.reply("create_nowhere")
    _refuse_gateway(reply)
    return either(reply.ok, f"CreateCommonTask: {reply.said}", True)


def duplicate_names(e: Evidence) -> Verdict:
    reply = e.reply("duplicate")
    _refuse_gateway(reply)
    return either(not reply.ok, f"a second task of the same name: {reply.said}", True)


def batch_counts(e: Evidence) -> Verdict:
    replies = e.present("stop_stopped", "batch_missing", "start")
    if not replies:
        raise NotSeen(_why_not(e, "stop_stopped"))
    counted = all(isinstance(reply.data, dict) and "success_count" in reply.data for reply in replies)
    return either(counted, f"{len(replies)} answers {'have' if counted else 'lack'} success_count", False)


def batch_errors(e: Evidence) -> Verdict:
    reply = e.reply("batch_missing")
    _refuse_gateway(reply)
    if reply.ok:
        return same(f"stopping no task: {reply.said}, with {len(_failures(reply))} failures")
    return other(f"stopping no task: {reply.said}", "request")


def stop_stopped(e: Evidence) -> Verdict:
    reply = e.reply("stop_stopped")
    _refuse_gateway(reply)
    failures = _failures(reply)
    codes = " ".join(sorted({shown_code(str(failure.get("error_code"))) for failure in failures}))
    seen = f"{reply.said}, {len(failures)} failures {codes}".rstrip()
    return either(not reply.ok or bool(failures), seen, "ok")


def start_unscheduled(e: Evidence) -> Verdict:
    reply = e.reply("start_unscheduled")
    _refuse_gateway(reply)
    return either((reply.status, reply.code) == (404, "FDI.3083"), f"start without a schedule: {reply.said}")


def run_on_stopped(e: Evidence) -> Verdict:
    stopped = e.reply("run_stopped")
    if stopped.ok:
        return same(f"RunTask on a stopped task: {stopped.said}")
    started = e.reply("run_started")
    seen = f"RunTask on a stopped task: {stopped.said}; on the same task, started: {started.said}"
    if not started.ok:
        raise NotSeen(f"{seen}: the task itself may be what cannot run")
    return other(seen, True)


def run_answer(e: Evidence) -> Verdict:
    replies = e.present("run_stopped", "run_started")
    if not replies:
        raise NotSeen(_why_not(e, "run_stopped"))
    reply = replies[0]
    named = isinstance(reply.data, dict) and bool(reply.data)
    return either(not named, f"{reply.said}, body: {'an object' if named else reply.form}")


def log_delay(e: Evidence) -> Verdict:
    if "log_missing_s" in e.figures and "log_delay_ms" not in e.figures:
        seconds = e.figure("log_missing_s")
        return other(f"no run appeared in the log within {seconds} s", seconds * 1000)
    delay, looks = e.figure("log_delay_ms"), e.figure("log_looks")
    seen = f"it was in the log after {delay} ms, at look {looks}"
    return either(looks == 1, seen, -(-delay // 100) * 100)


def overlap(e: Evidence) -> Verdict:
    reply = e.reply("run_again")
    if not reply.ok:
        _refuse_gateway(reply)
        return either(reply.code == RUN_REFUSED, f"RunTask while a run was in progress: {reply.said}")
    became = e.figure("overlap")
    if became == "row":
        return other(f"{reply.said}, and a refused row in the log", "row")
    if became == "parallel":
        return other(f"{reply.said}, and both runs were in progress at the same time")
    if became == "missing":
        return other(f"{reply.said}, but the log shows one run only")
    raise NotSeen("the first run had ended before the second was asked for; give --detail with a longer one")


def refused_code(e: Evidence) -> Verdict:
    if not e.reply("run_again").ok:
        raise NotSeen("the second run was refused by an error, not by a row in the log")
    if e.figures.get("overlap") == "apart":
        raise NotSeen("no run was refused; give --detail with a longer one")
    code = e.figure("refused_code")
    return either(code == 914, f"the row has the step code {code}", code)


def stop_and_run(e: Evidence) -> Verdict:
    state = e.figure("after_stop")
    if state == "CANCELLED":
        return other("the run was CANCELLED when its task was stopped", True)
    if state in ("WAITING", "RUNNING"):
        return same(f"the run was still {state} after its task was stopped")
    raise NotSeen("the run ended by itself when its task was stopped; give --detail with a longer one")


def timezone_shown(e: Evidence) -> Verdict:
    replies = e.present("shown_schedule", "schedule")
    if not replies:
        raise NotSeen(_why_not(e, "schedule"))
    data = replies[0].data
    zone = data.get("cron_timezone") if isinstance(data, dict) else None
    return either(bool(zone), f"the schedule is shown {'with' if zone else 'without'} cron_timezone", False)


def second_schedule(e: Evidence) -> Verdict:
    reply = e.reply("second_schedule")
    _refuse_gateway(reply)
    return either(not reply.ok, f"CreateDispatches for a task with a schedule: {reply.said}", "replace")


def default_timezone(e: Evidence) -> Verdict:
    zone = e.figure("default_zone")
    if not zone:
        return other("it fired neither by GMT+08:00 nor by UTC")
    return either(zone == "GMT+08:00", f"it fired by {zone}", zone)


def init_answer(e: Evidence) -> Verdict:
    reply = e.good("init")
    if isinstance(reply.data, list):
        return same(f"{reply.said}, a list of {len(reply.data)}")
    nested = isinstance(reply.data, dict) and "init_result" in reply.data
    return other(f"{reply.said}, {'an object with init_result' if nested else 'neither'}", nested or None)


def nothing_left(e: Evidence) -> Verdict:
    left = e.figure("left")
    found = e.figures.get("found", 0)
    seen = f"{left} of the doctor's tasks are left" + (
        f"; {found} of earlier ones were removed" * bool(found)
    )
    if e.figures.get("draft"):
        return other(f"{seen}; one composite task was initialised, but could not be created and deleted")
    return either(not left, seen)


def _failures(reply: Reply) -> list[Any]:
    failures = reply.data.get("failure") if isinstance(reply.data, dict) else None
    return [row for row in failures if isinstance(row, dict)] if isinstance(failures, list) else []


def _why_not(e: Evidence, name: str) -> str:
    if name in e.replies:
        return f"{e.replies[name].operation} was refused ({e.replies[name].said})"
    return e.why_not(name)


def _refuse_gateway(reply: Reply) -> None:
    if not reply.by_service:
        raise NotSeen(f"{reply.operation} was refused by the gateway ({reply.said})")
