"""Which runs of a task an event trigger has still to report, across restarts. No I/O, no clock.

A row can appear in the log later than the row of a run that ended later, so a time alone is not enough: the
cursor also keeps the ids of the runs reported lately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.waits import Snapshot, UnreportedRunEnds

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import Run


LATE_MS = 3_600_000
"""A row that appears in the log within this time after its run's end is reported; a later one is not."""

MAX_REPORTED = 1_000
"""Ids kept at most: what is stored stays below Airflow's limit of 64 KB for one value."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the runs of one task have been reported. Times are the server's, in ms since the epoch."""

    floor: int
    """Runs that ended earlier are not reported."""
    since: int
    """No run that is still to be reported started earlier."""
    reported: Mapping[str, int] = field(default_factory=dict)
    """The runs handled so far that ended at or after ``floor``, and when they ended."""

    @classmethod
    def from_json(cls, value: Any) -> Cursor | None:
        """Read a stored cursor; None for anything that is not one."""
        if not isinstance(value, Mapping):
            return None
        try:
            reported = {str(k): int(v) for k, v in value["reported"].items()}
            return cls(int(value["floor"]), int(value["since"]), reported)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def to_json(self) -> dict[str, Any]:
        return {"floor": self.floor, "since": self.since, "reported": dict(self.reported)}

    def wait(self, fdi_task_id: str) -> UnreportedRunEnds:
        """The wait for the next run to report."""
        return UnreportedRunEnds(fdi_task_id, self.since, self.floor, tuple(self.reported))


def first_cursor(snapshot: Snapshot) -> Cursor:
    """The cursor of a trigger that starts now: runs that the log shows as over are never reported."""
    floor = snapshot.now - verdict.CLOCK_SLACK_MS
    over = verdict.unreported_runs(snapshot.runs, (), floor)
    return Cursor(
        floor, _since(snapshot.runs, snapshot.now), {run.run_id: verdict.completed_time(run) for run in over}
    )


def unreported_runs(snapshot: Snapshot, cursor: Cursor, *, started_before: int | None = None) -> list[Run]:
    """The runs to report, in the order of their ends.

    :param started_before: leave runs that started at or after this time (ms) for later.
    """
    return [
        run
        for run in verdict.unreported_runs(snapshot.runs, cursor.reported, cursor.floor)
        if started_before is None or verdict.newest_time(run) < started_before
    ]


def advance(cursor: Cursor, snapshot: Snapshot, handled: Iterable[Run]) -> Cursor:
    """The cursor after these runs were reported, or found not to need reporting."""
    reported = {**cursor.reported, **{run.run_id: verdict.completed_time(run) for run in handled}}
    last = max(reported.values(), default=cursor.floor)
    floor = max(cursor.floor, last - LATE_MS)
    if len(reported) > MAX_REPORTED:
        floor = max(floor, sorted(reported.values())[-MAX_REPORTED])
    kept = {run_id: ended for run_id, ended in reported.items() if ended >= floor}
    unreported = verdict.unreported_runs(snapshot.runs, reported, floor)
    return Cursor(floor, max(cursor.since, _since(snapshot.runs, last, unreported)), kept)


def merge(cursor: Cursor, other: Cursor | None) -> Cursor:
    """The cursor of what two triggers have reported: one may have been frozen while the other ran."""
    if other is None:
        return cursor
    floor = max(cursor.floor, other.floor)
    reported = {k: v for k, v in {**other.reported, **cursor.reported}.items() if v >= floor}
    return Cursor(floor, max(cursor.since, other.since), reported)


def _since(runs: Iterable[Run], ended: int, unreported: Iterable[Run] = ()) -> int:
    """The earliest start of a run that is still to be reported.

    FDI executes one run of a task at a time, so a run that is not in the log yet starts after the last end.
    """
    runs = list(runs)
    going_on = verdict.run_in_progress(runs)
    starts = [verdict.oldest_time(run) for run in (going_on, *unreported) if run is not None]
    return min([ended, *(start for start in starts if start)])
