"""Which runs an event trigger reports, and what its cursor remembers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_fdi.client.models import Run
from airflow_provider_fdi.runs.events import (
    LATE_MS,
    MAX_REPORTED,
    Cursor,
    advance,
    first_cursor,
    merge,
    unreported_runs,
)
from airflow_provider_fdi.runs.waits import Snapshot

T0 = 1_790_000_000_000
MINUTE = 60_000


def run(run_id: str, start: int, end: int | None = None, status: str = "SUCCESS", **fields: Any) -> Run:
    """A row; times in minutes after T0."""
    row = {
        "id": run_id,
        "execute_status": status,
        "dispatch_time": T0 + start * MINUTE,
        "start_time": T0 + start * MINUTE,
        "end_time": None if end is None else T0 + end * MINUTE,
    }
    return Run.from_wire(row | fields)


def snapshot(*runs: Run, now: int = 60) -> Snapshot:
    return Snapshot(T0 + now * MINUTE, runs=runs)


def ids(runs: list[Run]) -> list[str]:
    return [run.run_id for run in runs]


def reported(cursor: Cursor, shown: Snapshot) -> tuple[list[str], Cursor]:
    fresh = unreported_runs(shown, cursor)
    return ids(fresh), advance(cursor, shown, fresh)


def test_runs_that_were_over_at_the_beginning_are_no_news() -> None:
    shown = snapshot(run("old", 58, 60), now=60)

    assert unreported_runs(shown, first_cursor(shown)) == []


def test_a_run_in_progress_at_the_beginning_is_news_when_it_ends() -> None:
    cursor = first_cursor(snapshot(run("long", -300, status="RUNNING"), now=60))

    assert ids(unreported_runs(snapshot(run("long", -300, 61)), cursor)) == ["long"]
    assert cursor.wait("t").begin_time is not None
    assert cursor.wait("t").begin_time <= T0 - 300 * MINUTE  # type: ignore[operator]


def test_two_runs_between_two_polls_are_reported_in_the_order_of_their_ends() -> None:
    cursor = first_cursor(snapshot(now=60))

    assert reported(cursor, snapshot(run("b", 63, 64), run("a", 61, 62)))[0] == ["a", "b"]


def test_no_run_is_reported_twice() -> None:
    shown = snapshot(run("a", 61, 62))
    _, cursor = reported(first_cursor(snapshot(now=60)), shown)

    assert reported(cursor, shown)[0] == []


def test_a_row_that_appears_late_is_reported_after_a_later_one() -> None:
    _, cursor = reported(first_cursor(snapshot(now=60)), snapshot(run("b", 63, 64)))

    assert reported(cursor, snapshot(run("a", 61, 62), run("b", 63, 64)))[0] == ["a"]


def test_a_row_that_was_over_before_the_beginning_and_appears_late_is_not_reported() -> None:
    cursor = first_cursor(snapshot(now=60))

    assert reported(cursor, snapshot(run("old", 50, 55)))[0] == []


@pytest.mark.parametrize("status", ["RUNNING", "WAITING", "UNSTARTED", "SOMETHING_NEW"])
def test_a_run_that_is_not_over_is_no_news(status: str) -> None:
    assert unreported_runs(snapshot(run("a", 61, 62, status)), first_cursor(snapshot(now=60))) == []


@pytest.mark.parametrize("status", ["SUCCESS", "ERROR", "CANCELLED"])
def test_whatever_has_ended_moves_the_cursor(status: str) -> None:
    assert reported(first_cursor(snapshot(now=60)), snapshot(run("a", 61, 62, status)))[0] == ["a"]


def test_a_run_that_started_too_lately_is_left_for_later() -> None:
    cursor = first_cursor(snapshot(now=60))
    shown = snapshot(run("a", 61, 62), run("b", 63, 64))
    first = unreported_runs(shown, cursor, started_before=T0 + 62 * MINUTE)
    assert ids(first) == ["a"]

    cursor = advance(cursor, shown, first)

    assert ids(unreported_runs(shown, cursor)) == ["b"]
    assert cursor.since <= T0 + 63 * MINUTE


def test_the_wait_is_over_exactly_when_there_is_news() -> None:
    cursor = first_cursor(snapshot(now=60))
    shown = snapshot(run("a", 61, 62))
    assert not cursor.wait("t").is_over(snapshot(run("a", 61, status="RUNNING")))
    assert cursor.wait("t").is_over(shown)

    cursor = advance(cursor, shown, unreported_runs(shown, cursor))

    assert not cursor.wait("t").is_over(shown)


def test_the_log_is_read_from_a_time_that_moves_on() -> None:
    cursor = first_cursor(snapshot(now=60))
    begin = cursor.wait("t").begin_time
    _, cursor = reported(cursor, snapshot(run("a", 600, 700)))

    assert cursor.wait("t").begin_time == (begin or 0) + 640 * MINUTE


def test_a_row_that_a_crash_left_running_does_not_hold_the_cursor_back() -> None:
    _, cursor = reported(
        first_cursor(snapshot(now=60)), snapshot(run("stale", 61, status="RUNNING"), run("a", 600, 700))
    )

    assert cursor.since == T0 + 700 * MINUTE


def test_old_ids_are_forgotten() -> None:
    _, cursor = reported(first_cursor(snapshot(now=60)), snapshot(run("a", 61, 62)))
    _, cursor = reported(cursor, snapshot(run("b", 300, 62 + LATE_MS // MINUTE + 1)))

    assert list(cursor.reported) == ["b"]


def test_what_is_stored_stays_small_and_forgets_nothing_that_could_be_reported_again() -> None:
    runs = [run(f"{i:032}", 61, 61, end_time=T0 + 61 * MINUTE + i) for i in range(MAX_REPORTED + 500)]
    cursor = first_cursor(snapshot(now=60))

    _, cursor = reported(cursor, snapshot(*runs))

    assert len(json.dumps(cursor.to_json())) < 65_535
    assert unreported_runs(snapshot(*runs), cursor) == []


def test_a_cursor_survives_its_store() -> None:
    _, cursor = reported(first_cursor(snapshot(now=60)), snapshot(run("a", 61, 62)))

    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


@pytest.mark.parametrize(
    "stored", [None, "x", 3, [], {}, {"floor": 1}, {"floor": 1, "since": 2, "reported": 3}]
)
def test_what_is_no_cursor_is_none(stored: Any) -> None:
    assert Cursor.from_json(stored) is None


def test_what_another_trigger_has_reported_is_not_reported_again() -> None:
    mine = first_cursor(snapshot(now=60))
    shown = snapshot(run("a", 61, 62), run("b", 63, 64))
    theirs = advance(mine, shown, [shown.runs[0]])

    assert ids(unreported_runs(shown, merge(mine, theirs))) == ["b"]
    assert merge(mine, None) == mine
