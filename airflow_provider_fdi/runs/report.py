"""Formats runs for people and XCom: the run record, the lines of the task log, the text of a failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.enums import ExecuteStatus
from airflow_provider_fdi.client.errors import clean_text, words_of
from airflow_provider_fdi.runs.verdict import completed_time, find_run, newest_time

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import Run, RunStep
    from airflow_provider_fdi.runs.waits import Snapshot

STEP_WORDS = {
    16: "forcibly cancelled",
    99: "task starts",
    100: "reader starts",
    101: "reader ends",
    102: "reading",
    103: "exception at the source",
    104: "reading finished",
    105: "no rows read",
    106: "reader cancelled",
    107: "reader plugin interrupted",
    108: "reader plugin resumed",
    500: "writer starts",
    501: "writer ends",
    502: "writing",
    503: "exception at the destination",
    504: "writing finished",
    505: "writer cancelled",
    506: "writer plugin interrupted",
    507: "writer plugin resumed",
    900: "scheduling request received",
    901: "execution finished",
    902: "integrity check running",
    903: "integrity check result",
    904: "loss detected, compensating",
    905: "compensation result",
    906: "reading queued for platform resources",
    907: "reading refused: the previous run has not finished",
    908: "writing queued for platform resources",
    909: "writing refused: the previous run has not finished",
    911: "reading could not be started (network or parameters)",
    912: "writing could not be started (network or parameters)",
    913: "scheduling request failed",
    914: "refused: the previous run has not finished",
    915: "task not running normally",
    916: "reporting the log failed",
}
"""What the step codes of the run log mean (ListMonitorLog, field ``status``)."""

WENT_WRONG = frozenset({16, 103, 106, 503, 505, 907, 909, 911, 912, 913, 914, 915})

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def run_summary(run: Run, fdi_task_id: str, *, joined: bool = False) -> dict[str, Any]:
    """The run record for XCom: times in ms since the epoch and as ISO text, duration in ms, rows, bytes.

    JSON types only.
    """
    times = {"dispatch_time": run.dispatch_time, "start_time": run.start_time, "end_time": end_time(run)}
    return {
        "fdi_task_id": fdi_task_id,
        "fdi_run_id": run.run_id,
        "status": run.execute_status.value,
        "rows": run.rows,
        "dirty_rows": run.dirty_rows,
        "bytes": run.bytes,
        **times,
        **{f"{name}_iso": iso_time(ms) for name, ms in times.items()},
        "duration_ms": duration_ms(run),
        "remarks": run.remarks,
        "joined": joined,
    }


def end_time(run: Run) -> int | None:
    """When the run ended; None while it goes on."""
    return completed_time(run) if run.execute_status.is_terminal else None


def duration_ms(run: Run) -> int | None:
    """How long the run took or, while it goes on, what the service says of that."""
    start, end = run.start_time or run.dispatch_time, end_time(run)
    return end - start if end and start else run.spend_time


def iso_time(ms: int | None) -> str | None:
    """A time in ISO 8601, UTC, to the millisecond."""
    moment = _moment(ms)
    return moment.isoformat(timespec="milliseconds") if moment else None


def clock_time(ms: int | None) -> str:
    """A time for people: ``2026-11-24 22:15:04Z``; empty if there is none."""
    moment = _moment(ms)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""


def _moment(ms: int | None) -> datetime | None:
    try:
        return None if ms is None else EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        # The service said a number that is no time.
        return None


def step_line(step: RunStep) -> str:
    """One step of a run as a line for the log, with the service's own time."""
    when = clock_time(step.begin_time)
    counts = [f"{step.rows:,} rows"] if step.rows else []
    counts += [f"{step.dirty_rows:,} dirty rows"] if step.dirty_rows else []
    return ", ".join([f"{when} {step_words(step)}".strip(), *counts])


def step_words(step: RunStep) -> str:
    """Where a step took place and its code, with the service's own remark or else what its code means."""
    said = words_of(step.remarks)
    meaning = STEP_WORDS.get(step.code or 0) or clean_text(step.position_status or "step", 80)
    code = "" if step.code is None else f" {step.code}"
    return f"{clean_text(step.position or '?', 40)}{code}: {said or meaning}"


def went_wrong(step: RunStep) -> bool:
    return step.code in WENT_WRONG or (step.position_status or "").endswith(("_ERR", "_CANCEL"))


def amounts(run: Run) -> str:
    """What a run moved, for people: ``336,776 rows (48.5 MB) in 4.2 s, 80,000 rows/s``."""
    took = duration_ms(run)
    parts = ["number of rows not reported" if run.rows is None else f"{run.rows:,} rows"]
    if run.bytes:
        parts.append(f"({size_text(run.bytes)})")
    if took is not None:
        parts.append(f"in {duration_text(took)}")
    text = " ".join(parts)
    if run.rows and took:
        rate = run.rows * 1000 / took
        # Two digits are as much as a measurement in whole polls of the service is worth.
        if rate >= 0.1:
            text += f", {float(f'{rate:.1e}'):,.{0 if rate >= 10 else 1}f} rows/s"
    return text + (f", {run.dirty_rows:,} dirty rows" if run.dirty_rows else "")


def size_text(size: int) -> str:
    """An amount of data for people: ``48.5 MB``."""
    number, units = float(size), ["B", "KB", "MB", "GB"]
    while number >= 1000 and len(units) > 1:
        number /= 1024
        units.pop(0)
    return f"{size:,} B" if units[0] == "B" else f"{number:,.1f} {units[0]}"


def duration_text(ms: int) -> str:
    """A duration for people: ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if ms < 60_000:
        return f"{ms / 1000:.2g} s" if ms < 1_000 else f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def describe(run: Run) -> str:
    """The state of a run and what it moved, in one line."""
    return f"{run.execute_status.value}: {amounts(run)} (run {run.run_id})"


def failure_reason(run: Run) -> str:
    """Why a run failed: its first step that went wrong and said why, or the service's remark."""
    if run.execute_status is ExecuteStatus.CANCELLED:
        said = words_of(run.remarks)
        return f"The run was cancelled: {said}." if said else "The run was cancelled."
    wrong = [step for step in run.steps if went_wrong(step)]
    step = next((step for step in wrong if step.remarks), None)
    if step is not None:
        return f"{step_words(step)}."
    if run.remarks:
        return f"{words_of(run.remarks)}."
    if wrong:
        return f"{step_words(wrong[0])}."
    if newest_time(run) == 0:
        return "The run never started."
    return f"The run ended as {status_word(run)}, and the service does not say why."


def failure_lines(run: Run, task: str, *, link: str | None = None) -> list[str]:
    """The message of a failed run: why it failed, what it moved, what else the service says, where to look.

    :param task: as messages name the task.
    """
    reason = failure_reason(run)
    lines = [reason, f"{task}: the run ended as {status_word(run)}, {amounts(run)}."]
    remarks = words_of(run.remarks)
    if remarks and remarks not in reason:
        lines.append(f"The service says: {remarks}.")
    if went_wrong_at(run) == "READER":
        lines.append("Check the source: its table or query, columns, and data source.")
    elif went_wrong_at(run) == "WRITER":
        lines.append("Check the target: its table, keys, columns and types, and data source.")
    lines.append(f"Run {run.run_id}: {link or 'look at its log in the console of ROMA Connect.'}")
    return lines


def went_wrong_at(run: Run) -> str | None:
    """Where the first step that went wrong took place."""
    return next((step.position for step in run.steps if went_wrong(step)), None)


def status_word(run: Run) -> str:
    if run.execute_status is not ExecuteStatus.UNKNOWN:
        return str(run.execute_status.value)
    return f"unknown status {clean_text(repr(run.raw.get('execute_status')), 80)}"


class StepReporter:
    """Reports the steps of one run as they appear, once each; those that went wrong as errors."""

    def __init__(
        self, report: Callable[[int, str], object], run_id: str | None, reported: Iterable[str] = ()
    ) -> None:
        """:param report: is given the level of :mod:`logging` and the line."""
        self._report = report
        self._run_id = run_id
        self.reported: list[str] = list(reported)
        """Keys of the steps reported so far, so that another process can continue."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Report the steps that are new in this snapshot of the log."""
        run = find_run(snapshot.runs, self._run_id) if self._run_id else None
        if run is not None:
            self.report_run(run)

    def report_run(self, run: Run) -> None:
        """Report the steps of the run that were not reported yet."""
        for step in run.steps:
            key = f"{step.step_id or ''}/{step.code}/{step.position}/{step.begin_time}"
            if key not in self.reported:
                self.reported.append(key)
                self._report(logging.ERROR if went_wrong(step) else logging.INFO, step_line(step))
