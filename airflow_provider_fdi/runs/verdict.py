"""What the states and log rows of FDI mean. Pure functions: no I/O, no clock.

The synchronous wait, the triggers and the sensor all decide through this module, so they always agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import Run, Task, TaskMonitor

REFUSED_CODES = frozenset({907, 909, 914})
"""Step codes of a dispatch that FDI refused because the previous run had not finished."""

CLOCK_SLACK_MS = 5_000
"""How far the clock behind the ``Date`` header may be ahead of the one that stamps log rows."""

CLOCK_DOUBT_MS = 600_000
"""How far ahead it may possibly be, when the alternative is to start a second run."""


def is_refused(run: Run) -> bool:
    """Whether the row is not an execution but only says that a dispatch was refused (codes 907, 909, 914)."""
    if run.execute_status.is_active or run.execute_status is ExecuteStatus.SUCCESS:
        return False
    return run.step_code in REFUSED_CODES or any(step.code in REFUSED_CODES for step in run.steps)


def newest_time(run: Run) -> int:
    """The later of planned and actual start, in ms; 0 for a row without either."""
    return max(run.dispatch_time or 0, run.start_time or 0)


def oldest_time(run: Run) -> int:
    """The earlier of planned and actual start, in ms; 0 for a row without either."""
    return min((t for t in (run.dispatch_time, run.start_time) if t), default=0)


def completed_time(run: Run) -> int:
    """When a finished run ended, in ms; computed from start and duration where the row has no end."""
    return run.end_time or (newest_time(run) + (run.spend_time or 0))


def by_time(run: Run) -> tuple[int, str]:
    return newest_time(run), run.run_id


def find_run(runs: Iterable[Run], run_id: str) -> Run | None:
    return next((run for run in runs if run.run_id == run_id), None)


def run_in_progress(runs: Iterable[Run]) -> Run | None:
    """The run that the task is executing, or None.

    FDI executes one run of a task at a time, so only the latest accepted row can be in progress:
    an older row that still says RUNNING was left behind by a crash of the service.
    """
    latest = max((run for run in runs if not is_refused(run)), key=by_time, default=None)
    return latest if latest is not None and latest.execute_status.is_active else None


def is_executing(task: Task | TaskMonitor | None, runs: Iterable[Run] = ()) -> bool:
    """Whether the task is executing a run, by its own state or by its log: either may be the late one."""
    by_state = task is not None and task.execute_status is not None and task.execute_status.is_active
    return by_state or run_in_progress(runs) is not None


# --- which row is the run that we started ---------------------------------------------------------


class Match(Enum):
    FOUND = "found"
    NOT_YET = "not yet"
    REFUSED = "refused"
    """The service refused our start: a run was already in progress."""
    NEVER = "never"
    """Nothing appeared in time: the start was not carried out."""


@dataclass(frozen=True, slots=True)
class MatchResult:
    match: Match
    run: Run | None = None
    candidates: int = 0
    """How many rows could have been ours; more than one is ambiguous."""
    doubtful: bool = False
    """By its time the row is older than the start by more than clocks should differ."""


def locate(
    runs: Iterable[Run],
    *,
    baseline: Collection[str],
    intent_time: int,
    deadline: int,
    now: int,
    accepted: bool = False,
) -> MatchResult:
    """Find the row of the run that was started after ``intent_time`` (all times: the server's, in ms).

    It is the earliest accepted row that is not in the baseline and not older than the intent. A refused row
    is ours only if no accepted one appears until ``deadline``: a schedule that fires during our run leaves
    such a row too. A row without times is that of a queued run. A run that began after ``deadline`` is not
    ours. The clock slack is granted only at the end, when the alternative would be to start a second run.
    An even older row is then ours if the start was ``accepted``, or if the run is going on.
    """
    fresh = [
        run for run in runs if run.run_id not in baseline and oldest_time(run) <= max(deadline, intent_time)
    ]
    waiting = [run for run in fresh if newest_time(run) == 0 and run.execute_status.is_active]
    final = now >= deadline
    for slack in (0, CLOCK_SLACK_MS) if final else (0,):
        ours = sorted((r for r in fresh if newest_time(r) >= intent_time - slack), key=by_time)
        executed = [run for run in ours if not is_refused(run)] + waiting
        if executed:
            return MatchResult(Match.FOUND, executed[0], len(executed))
        if final and ours:
            return MatchResult(Match.REFUSED, ours[0], len(ours))
    older = [
        run
        for run in fresh
        if newest_time(run) >= intent_time - CLOCK_DOUBT_MS
        and not is_refused(run)
        and (accepted or run.execute_status.is_active)
    ]
    if final and older:
        return MatchResult(Match.FOUND, max(older, key=by_time), len(older), doubtful=True)
    return MatchResult(Match.NEVER if final else Match.NOT_YET)


# --- what has become of a run -------------------------------------------------------------------------


class Outcome(Enum):
    GOING_ON = "going on"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A state that this version does not know: never taken for a success."""


_OUTCOMES = {
    ExecuteStatus.UNSTARTED: Outcome.GOING_ON,
    ExecuteStatus.WAITING: Outcome.GOING_ON,
    ExecuteStatus.RUNNING: Outcome.GOING_ON,
    ExecuteStatus.SUCCESS: Outcome.SUCCESS,
    ExecuteStatus.ERROR: Outcome.FAILED,
    ExecuteStatus.CANCELLED: Outcome.CANCELLED,
}


def outcome(run: Run) -> Outcome:
    """Whether the run is going on, or how it ended. Step codes do not count: they are informational."""
    return _OUTCOMES.get(run.execute_status, Outcome.UNKNOWN)


# --- the data gate ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataGate:
    """What a successful run must have moved to count as a success (rows; None: not checked)."""

    min_rows: int | None = None
    max_dirty_rows: int | None = None
    skip_if_empty: bool = False


class GateVerdict(Enum):
    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


def judge_data(run: Run, gate: DataGate) -> tuple[GateVerdict, str]:
    """Check the counts of a successful run against the gate; the text says why they do not pass.

    A count that the log row lacks fails the bound that needs it.
    """
    if gate.max_dirty_rows is not None and (run.dirty_rows is None or run.dirty_rows > gate.max_dirty_rows):
        return (
            GateVerdict.FAIL,
            f"Dirty rows: {_count(run.dirty_rows)}, allowed {gate.max_dirty_rows:,}.",
        )
    if gate.skip_if_empty and run.rows == 0:
        return GateVerdict.SKIP, "No rows were moved, and skip_if_empty is set."
    if gate.min_rows is not None and (run.rows is None or run.rows < gate.min_rows):
        return GateVerdict.FAIL, f"Rows: {_count(run.rows)}, required {gate.min_rows:,}."
    return GateVerdict.PASS, ""


def _count(rows: int | None) -> str:
    return "not reported" if rows is None else f"{rows:,}"


# --- what a sensor waits for --------------------------------------------------------------------------------


def latest_completed(
    runs: Iterable[Run], completed_after: int | None, counts: Callable[[Run], bool]
) -> Run | None:
    """The last run that ended at or after ``completed_after`` (ms; None: whenever) in a state that counts."""
    ended = (
        run
        for run in runs
        if counts(run)
        and not is_refused(run)
        and (completed_after is None or completed_time(run) >= completed_after)
    )
    return max(ended, key=lambda run: (completed_time(run), run.run_id), default=None)


def unreported_runs(runs: Iterable[Run], reported: Container[str], after: int) -> list[Run]:
    """The runs that ended at or after ``after`` (ms) and are not in ``reported``, the earliest first.

    A row in a state that this version does not know does not count as ended.
    """
    over = (
        run
        for run in runs
        if run.execute_status.is_terminal and run.run_id not in reported and completed_time(run) >= after
    )
    return sorted(over, key=lambda run: (completed_time(run), run.run_id))


class Health(Enum):
    HEALTHY = "healthy"
    NOT_YET = "not yet"
    FAILED = "failed"


def never_ends(task: Task | TaskMonitor) -> bool:
    """Real-time and composite tasks stream until they are stopped: there is no end to wait for."""
    return task.task_type is TaskType.REALTIME or task.is_composite


def health(task: Task | TaskMonitor, failure_statuses: Collection[str]) -> Health:
    """Whether a task that never ends is started and executing; failed if its execution ended badly."""
    status = task.execute_status
    if status is not None and status.value in failure_statuses:
        return Health.FAILED
    if task.status is TaskStatus.RUNNING and status in (ExecuteStatus.RUNNING, ExecuteStatus.SUCCESS):
        return Health.HEALTHY
    return Health.NOT_YET
