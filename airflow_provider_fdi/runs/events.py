"""Which runs of a task are news, across restarts: the cursor of an event trigger. No I/O, no clock.

A row can appear in the log later than a row of a run that ended later, so the cursor is no mere time: it
keeps the ids of the runs that were told lately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_fdi.client.models import Run
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.wait import NEWS, Look, Wait

AIRFLOW_RUNS_KEY = "fdi_airflow_runs."
"""Key in an asset's state store, followed by the FDI task's id: the runs that Airflow tasks report."""

LATE_MS = 3_600_000
"""A row that appears in the log within this time after the run's end is told; a later one is not."""

MOST_TOLD = 1_000
"""Ids kept at most: what is stored stays below Airflow's limit of 64 KB for one value."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the runs of one task have been told. Times are the server's, in ms since the epoch."""

    floor: int
    """Runs that ended earlier are no news."""
    since: int
    """No run that is still to be told started earlier."""
    told: Mapping[str, int] = field(default_factory=dict)
    """The runs dealt with that ended at or after ``floor``, and when they ended."""

    @classmethod
    def from_json(cls, value: Any) -> Cursor | None:
        """Read a stored cursor; None for anything that is not one."""
        if not isinstance(value, Mapping):
            return None
        try:
            told = {str(k): int(v) for k, v in value["told"].items()}
            return cls(int(value["floor"]), int(value["since"]), told)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def to_json(self) -> dict[str, Any]:
        return {"floor": self.floor, "since": self.since, "told": dict(self.told)}

    def wait(self, fdi_task_id: str) -> Wait:
        """For the next run that is news."""
        return Wait(
            fdi_task_id, NEWS, since=self.since, completed_after=self.floor, baseline=tuple(self.told)
        )


def first_cursor(look: Look) -> Cursor:
    """Begin now: what the log shows as over is no news, whatever is going on will be."""
    floor = look.now - verdict.CLOCK_SLACK_MS
    over = verdict.news(look.runs, (), floor)
    return Cursor(
        floor, _since(look.runs, look.now), {run.run_id: verdict.completed_time(run) for run in over}
    )


def news(look: Look, cursor: Cursor, *, started_before: int | None = None) -> list[Run]:
    """The runs to tell, in the order of their ends.

    :param started_before: leave out for now what started later (ms), or will be told later.
    """
    return [
        run
        for run in verdict.news(look.runs, cursor.told, cursor.floor)
        if started_before is None or verdict.newest_time(run) < started_before
    ]


def advance(cursor: Cursor, look: Look, dealt_with: Iterable[Run]) -> Cursor:
    """The cursor after these runs have been told, or found to be nothing to tell."""
    told = {**cursor.told, **{run.run_id: verdict.completed_time(run) for run in dealt_with}}
    last = max(told.values(), default=cursor.floor)
    floor = max(cursor.floor, last - LATE_MS)
    if len(told) > MOST_TOLD:
        floor = max(floor, sorted(told.values())[-MOST_TOLD])
    kept = {run_id: ended for run_id, ended in told.items() if ended >= floor}
    untold = verdict.news(look.runs, told, floor)
    return Cursor(floor, max(cursor.since, _since(look.runs, last, untold)), kept)


def merge(cursor: Cursor, other: Cursor | None) -> Cursor:
    """What two triggers together have told: one may have gone on while the other stood still."""
    if other is None:
        return cursor
    floor = max(cursor.floor, other.floor)
    told = {k: v for k, v in {**other.told, **cursor.told}.items() if v >= floor}
    return Cursor(floor, max(cursor.since, other.since), told)


def _since(runs: Iterable[Run], ended: int, untold: Iterable[Run] = ()) -> int:
    """FDI executes one run of a task at a time, so whatever is to come starts after the last one's end,
    unless the log shows it already."""
    runs = list(runs)
    going_on = verdict.run_in_progress(runs)
    starts = [verdict.oldest_time(run) for run in (going_on, *untold) if run is not None]
    return min([ended, *(start for start in starts if start)])
