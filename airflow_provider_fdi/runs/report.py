"""Formats runs for people and XCom: the run record, the lines of the task log, the text of a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

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

LAST_STEPS = 5


def run_summary(run: Run, fdi_task_id: str, *, joined: bool = False) -> dict[str, Any]:
    """The run record for XCom: times in ms since the epoch, duration in ms, rows, bytes. JSON types only."""
    start = run.start_time or run.dispatch_time
    end = completed_time(run) if run.execute_status.is_terminal else None
    return {
        "fdi_task_id": fdi_task_id,
        "fdi_run_id": run.run_id,
        "status": run.execute_status.value,
        "rows": run.rows,
        "dirty_rows": run.dirty_rows,
        "bytes": run.bytes,
        "dispatch_time": run.dispatch_time,
        "start_time": run.start_time,
        "end_time": end,
        "duration_ms": end - start if end and start else run.spend_time,
        "remarks": run.remarks,
        "joined": joined,
    }


def step_line(step: RunStep) -> str:
    """One step of a run as a line for the log: the service's own remark, or what its code means.

    For a step that went wrong the line has both.
    """
    said = (step.remarks or "").strip().rstrip(".")
    meaning = STEP_WORDS.get(step.code or 0)
    words = meaning or str(step.position_status or "step")
    wrong = went_wrong(step)
    code = "" if step.code is None else f" {step.code}"
    parts = [f"{step.position or '?'}{code}: {words if wrong or not said else said}"]
    if step.rows:
        parts.append(f"{step.rows} rows")
    if step.dirty_rows:
        parts.append(f"{step.dirty_rows} dirty rows")
    return ", ".join(parts) + (f": {said}" if wrong and said else "")


def went_wrong(step: RunStep) -> bool:
    return step.code in WENT_WRONG or (step.position_status or "").endswith(("_ERR", "_CANCEL"))


def describe(run: Run) -> str:
    """The outcome of a run in one line."""
    size = f", {run.bytes} bytes" if run.bytes is not None else ""
    took = f", {run.spend_time / 1000:g} s" if run.spend_time is not None else ""
    counts = f"{run.rows} rows, {run.dirty_rows} dirty rows"
    return f"{run.execute_status.value}: {counts}{size}{took} (run {run.run_id})"


def failure_text(run: Run, fdi_task_id: str, *, link: str | None = None) -> str:
    """The message of a failed task: which run, what the service said, which steps failed, where to look."""
    lines = [
        f"Run {run.run_id} of FDI task {fdi_task_id} ended as {status_word(run)}"
        f" ({run.rows} rows, {run.dirty_rows} dirty rows)."
    ]
    if run.remarks:
        lines.append(f"The service says: {run.remarks}")
    lines += [f"  {step_line(step)}" for step in wrong_steps(run.steps)]
    if newest_time(run) == 0:
        lines.append("  the run never started")
    lines.append(f"Look at {link}" if link else "Look at the run's log in the ROMA Connect console.")
    return "\n".join(lines)


def status_word(run: Run) -> str:
    reported = run.raw.get("execute_status")
    return (
        run.execute_status.value if run.execute_status.value != "UNKNOWN" else f"unknown status {reported!r}"
    )


def wrong_steps(steps: Iterable[RunStep]) -> list[RunStep]:
    """The last steps that went wrong."""
    return [step for step in steps if went_wrong(step)][-LAST_STEPS:]


class StepReporter:
    """Reports the steps of one run as they appear, once each."""

    def __init__(
        self, report: Callable[[str], object], run_id: str | None, reported: Iterable[str] = ()
    ) -> None:
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
                self._report(step_line(step))
