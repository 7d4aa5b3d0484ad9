"""What rows and states mean: pure decisions, so plain values in and out."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_fdi.client.models import Run, Task
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.verdict import (
    CLOCK_SLACK_MS,
    DataGate,
    GateVerdict,
    Match,
    Outcome,
    judge_data,
    locate,
)

T = 1_700_000_000_000
GRACE = 120_000


def row(run_id: str, at: int | None = T, state: str | None = "RUNNING", **fields: Any) -> Run:
    wire = {"id": run_id, "dispatch_time": at, "start_time": at, "execute_status": state, **fields}
    return Run.from_wire(wire)


def refused(run_id: str, at: int = T, code: int = 914) -> Run:
    return row(run_id, at, "ERROR", status=code)


def find(*rows: Run, now: int = T + 1_000, baseline: tuple[str, ...] = ()) -> tuple[Match, str | None]:
    found = locate(rows, baseline=baseline, intent_time=T, deadline=T + GRACE, now=now)
    return found.match, found.run.run_id if found.run else None


FINAL = T + GRACE


def test_a_new_row_is_ours() -> None:
    assert find(row("a")) == (Match.FOUND, "a")


def test_what_was_there_before_is_not_ours() -> None:
    assert find(row("a"), baseline=("a",)) == (Match.NOT_YET, None)
    assert find(row("a"), baseline=("a",), now=FINAL) == (Match.NEVER, None)


def test_an_older_row_that_appears_late_is_not_ours() -> None:
    assert find(row("a", T - 60_000, "SUCCESS")) == (Match.NOT_YET, None)
    assert find(row("a", T - 60_000, "SUCCESS"), now=FINAL) == (Match.NEVER, None)


@pytest.mark.parametrize("turn", [1, -1])
def test_of_several_the_earliest_is_ours_in_whichever_order_they_come(turn: int) -> None:
    rows = [row("later", T + 900), row("earlier", T + 100, "SUCCESS")][::turn]

    found = locate(rows, baseline=(), intent_time=T, deadline=FINAL, now=T + 1_000)

    assert found.run is not None and found.run.run_id == "earlier"
    assert found.candidates == 2


@pytest.mark.parametrize("code", [907, 909, 914])
def test_a_refused_row_is_ours_only_in_the_end(code: int) -> None:
    assert find(refused("r", code=code)) == (Match.NOT_YET, None)
    assert find(refused("r", code=code), now=FINAL) == (Match.REFUSED, "r")


def test_an_accepted_row_goes_before_a_refused_one() -> None:
    assert find(refused("r", T), row("a", T + 500), now=FINAL) == (Match.FOUND, "a")


def test_the_code_of_a_refusal_may_stand_in_a_step_alone() -> None:
    run = row("r", state="ERROR", detail_logs=[{"id": "s", "status": 907}])

    assert verdict.is_refused(run)


@pytest.mark.parametrize("status", ["RUNNING", "WAITING", "SUCCESS"])
def test_a_run_that_goes_on_or_succeeded_was_not_refused(status: str) -> None:
    assert not verdict.is_refused(row("a", state=status, detail_logs=[{"id": "s", "status": 914}]))


def test_the_slack_of_the_clock_is_granted_only_in_the_end() -> None:
    early = row("a", T - CLOCK_SLACK_MS)

    assert find(early) == (Match.NOT_YET, None)
    assert find(early, now=FINAL) == (Match.FOUND, "a")


MINUTE = 60_000


@pytest.mark.parametrize(
    ("at", "state", "accepted", "expected"),
    [
        pytest.param(T - MINUTE, "SUCCESS", True, "a", id="over, and the start was accepted"),
        pytest.param(T - MINUTE, "RUNNING", False, "a", id="going on"),
        pytest.param(T - MINUTE, "SUCCESS", False, None, id="over, and nobody accepted the start"),
        pytest.param(T - 11 * MINUTE, "RUNNING", True, None, id="older than any clock explains"),
    ],
)
def test_a_row_that_is_too_old_by_its_clock_is_ours_rather_than_another_start(
    at: int, state: str, accepted: bool, expected: str | None
) -> None:
    known = {"baseline": (), "intent_time": T, "deadline": FINAL, "accepted": accepted}

    assert locate([row("a", at, state)], now=FINAL - 1, **known).run is None
    found = locate([row("a", at, state)], now=FINAL, **known)

    assert (found.run and found.run.run_id) == expected
    assert found.doubtful is (expected is not None)


def test_what_began_after_the_grace_is_not_ours() -> None:
    assert find(row("a", FINAL + 1), now=FINAL + 5_000) == (Match.NEVER, None)


@pytest.mark.parametrize(
    "times",
    [
        {"dispatch_time": None, "start_time": T + 10},
        {"dispatch_time": T + 10, "start_time": None},
        {"dispatch_time": T + 10, "start_time": 0},
        {"dispatch_time": T - 900_000, "start_time": T + 10},
    ],
    ids=["no dispatch time", "no start time", "start time 0", "planned long before"],
)
def test_a_row_with_one_of_its_times_is_enough(times: dict[str, Any]) -> None:
    assert find(row("a", **times)) == (Match.FOUND, "a")


def test_a_row_without_times_that_waits_for_its_turn_is_ours() -> None:
    assert find(row("a", None, "WAITING")) == (Match.FOUND, "a")
    assert find(row("a", None, "WAITING"), row("b", T + 10), now=FINAL) == (Match.FOUND, "b")


def test_a_row_without_times_that_is_over_proves_nothing() -> None:
    assert find(row("a", None, "SUCCESS"), now=FINAL) == (Match.NEVER, None)


def test_only_the_latest_accepted_row_can_be_in_progress() -> None:
    left_behind = row("old", T - 1_000)

    assert verdict.run_in_progress([left_behind, row("new", T, "SUCCESS")]) is None
    assert verdict.run_in_progress([row("new", T), refused("r", T + 10)]).run_id == "new"  # type: ignore[union-attr]
    assert verdict.run_in_progress([]) is None


@pytest.mark.parametrize(
    ("state", "runs", "executing"),
    [
        ("SUCCESS", [row("a")], True),
        ("RUNNING", [row("a", state="SUCCESS")], True),
        ("WAITING", [], True),
        ("SUCCESS", [row("a", state="SUCCESS")], False),
        (None, [], False),
    ],
    ids=["state lags", "log lags", "waiting", "at rest", "never ran"],
)
def test_a_task_is_executing_by_its_state_or_by_its_log(
    state: str | None, runs: list[Run], executing: bool
) -> None:
    wire = {"task_id": "t", "task_name": "n", "task_type": "TIMING", "status": 1, "execute_status": state}

    assert verdict.is_executing(Task.from_wire(wire), runs) is executing


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNSTARTED", Outcome.GOING_ON),
        ("WAITING", Outcome.GOING_ON),
        ("RUNNING", Outcome.GOING_ON),
        ("SUCCESS", Outcome.SUCCESS),
        ("ERROR", Outcome.FAILED),
        ("CANCELLED", Outcome.CANCELLED),
        ("ARCHIVED", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
    ],
)
def test_the_outcome_goes_by_the_status_alone(status: str | None, expected: Outcome) -> None:
    assert verdict.outcome(row("a", state=status, detail_logs=[{"id": "s", "status": 503}])) is expected


def done(rows: int | None, dirty: int | None) -> Run:
    return row("a", state="SUCCESS", data_count=rows, dirty_data_count=dirty)


@pytest.mark.parametrize(
    ("run", "gate", "expected"),
    [
        (done(5, 0), DataGate(), GateVerdict.PASS),
        (done(0, 0), DataGate(), GateVerdict.PASS),
        (done(5, 0), DataGate(min_rows=5), GateVerdict.PASS),
        (done(4, 0), DataGate(min_rows=5), GateVerdict.FAIL),
        (done(None, 0), DataGate(min_rows=0), GateVerdict.FAIL),
        (done(5, 2), DataGate(max_dirty_rows=2), GateVerdict.PASS),
        (done(5, 3), DataGate(max_dirty_rows=2), GateVerdict.FAIL),
        (done(5, None), DataGate(max_dirty_rows=2), GateVerdict.FAIL),
        (done(0, 0), DataGate(skip_if_empty=True), GateVerdict.SKIP),
        (done(0, 0), DataGate(min_rows=1, skip_if_empty=True), GateVerdict.SKIP),
        (done(0, 3), DataGate(max_dirty_rows=2, skip_if_empty=True), GateVerdict.FAIL),
        (done(None, None), DataGate(skip_if_empty=True), GateVerdict.PASS),
    ],
)
def test_the_data_gate(run: Run, gate: DataGate, expected: GateVerdict) -> None:
    assert judge_data(run, gate)[0] is expected
