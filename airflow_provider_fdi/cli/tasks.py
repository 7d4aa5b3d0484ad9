"""``list`` and ``runs``: what there is in an instance, for people and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from rich.text import Text

from airflow_provider_fdi.cli.connection import hook_of
from airflow_provider_fdi.cli.console import DANGEROUS, GOOD, MUTED, notes, print_json, results, table
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType
from airflow_provider_fdi.client.errors import clean_text, counted, words_of
from airflow_provider_fdi.client.models import Run, TaskMonitor
from airflow_provider_fdi.client.names import no_task_named, only_task_named
from airflow_provider_fdi.clock import now_ms
from airflow_provider_fdi.runs.report import (
    clock_time,
    duration_ms,
    duration_text,
    failure_reason,
    iso_time,
    run_summary,
    size_text,
)
from airflow_provider_fdi.runs.verdict import newest_time

STATES = {
    ExecuteStatus.UNSTARTED: ("never run", MUTED),
    ExecuteStatus.WAITING: ("waiting", "yellow"),
    ExecuteStatus.RUNNING: ("running", "yellow"),
    ExecuteStatus.SUCCESS: ("succeeded", GOOD),
    ExecuteStatus.CANCELLED: ("cancelled", DANGEROUS),
    ExecuteStatus.ERROR: ("failed", DANGEROUS),
    ExecuteStatus.UNKNOWN: ("unknown", MUTED),
}
PERIODS = {"MIN": "minute", "HOUR": "hour", "DAY": "day", "WEEK": "week", "MON": "month"}
AGES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def list_tasks(args: argparse.Namespace) -> int:
    """``list``: the tasks of an instance, by name."""
    client = hook_of(args).get_conn()
    found = [
        task for task in client.list_task_monitors() if fnmatchcase(task.task_name or "", args.name or "*")
    ]
    found.sort(key=lambda task: task.task_name or "")
    if args.output == "json":
        print_json([_task_data(task) for task in found])
        return 0
    now = now_ms()
    columns = ("Task", "Kind", "State", "Schedule", "Last run", "When")
    if found:
        results().print(table(columns, [_task_row(task, now) for task in found]))
    notes().print(counted(len(found), "task") + (f" like {args.name!r}" if args.name else ""))
    return 0


def list_runs(args: argparse.Namespace) -> int:
    """``runs``: the latest runs of a task, newest first."""
    client = hook_of(args).get_conn()
    task_id, name = _find(client, args.task)
    listed = sorted(client.list_runs(task_id), key=newest_time, reverse=True)
    shown = listed[: args.limit]
    if args.output == "json":
        print_json([run_summary(run, task_id) for run in shown])
        return 0
    now = now_ms()
    columns = ("Started (UTC)", "Age", "State", "Took", "Rows", "Dirty rows", "Size", "Why")
    if shown:
        right = ("Age", "Took", "Rows", "Dirty rows", "Size")
        results().print(table(columns, [_run_row(run, now) for run in shown], right=right))
    more = f", the newest {len(shown):,} of them shown" if len(shown) < len(listed) else ""
    notes().print(f"{name}: {counted(len(listed), 'run')}{more}")
    return 0


def _find(client: FdiClient, task: str) -> tuple[str, str]:
    """Id and name of the task that is meant, by its name or by its id."""
    tasks = client.list_tasks()
    named = only_task_named(task, tasks)
    if named is None:
        named = next((each for each in tasks if each.task_id == task), None)
    if named is None:
        raise no_task_named(task, tasks)
    return named.task_id, named.task_name or named.task_id


def _kind(task: TaskMonitor) -> str:
    if task.is_composite:
        return "composite"
    return {TaskType.TIMING: "scheduled", TaskType.REALTIME: "real-time"}.get(task.task_type, "unknown")


def _schedule(task: TaskMonitor) -> str | None:
    if task.cron:
        return task.cron
    if task.period and task.dispatch_interval:
        unit = PERIODS.get(task.period, task.period)
        return f"every {unit}" if task.dispatch_interval == 1 else f"every {task.dispatch_interval} {unit}s"
    return None


def _task_row(task: TaskMonitor, now: int) -> Sequence[str | Text]:
    state = {TaskStatus.RUNNING: Text("started"), TaskStatus.STOPPED: Text("stopped", MUTED)}
    return (
        clean_text(task.task_name or task.task_id, 100),
        _kind(task),
        state.get(task.status, Text("unknown", MUTED)),
        clean_text(_schedule(task) or "", 100),
        Text(*STATES[task.execute_status]),
        _age(task.last_execute_time, now),
    )


def _task_data(task: TaskMonitor) -> dict[str, Any]:
    return {
        "name": task.task_name,
        "id": task.task_id,
        "kind": _kind(task),
        "started": {TaskStatus.RUNNING: True, TaskStatus.STOPPED: False}.get(task.status),
        "schedule": _schedule(task),
        "last_run_status": task.execute_status.value,
        "last_run_time": iso_time(task.last_execute_time),
    }


def _run_row(run: Run, now: int) -> Sequence[str | Text]:
    took = duration_ms(run)
    why = failure_reason(run) if run.execute_status in (ExecuteStatus.ERROR, ExecuteStatus.UNKNOWN) else ""
    return (
        clock_time(run.start_time or run.dispatch_time).rstrip("Z"),
        _age(run.start_time or run.dispatch_time, now),
        Text(*STATES[run.execute_status]),
        "" if took is None else duration_text(took),
        "" if run.rows is None else f"{run.rows:,}",
        "" if run.dirty_rows is None else f"{run.dirty_rows:,}",
        "" if run.bytes is None else size_text(run.bytes),
        words_of(why),
    )


def _age(ms: int | None, now: int) -> str:
    """How long ago something was: ``3 min ago``; empty if it never was."""
    if ms is None:
        return ""
    seconds = max(0, now - ms) // 1000
    for unit, word in AGES:
        if seconds >= unit:
            return f"{seconds // unit:,} {word} ago"
    return "now"
