"""Tasks that are deferred while this package is upgraded, or taken back to the version before.

``recorded.json`` holds the arguments of triggers as an earlier version stored them, for each kind of wait.
Records are added when what is stored changes, and none is removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.runs.waits import _KINDS
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger
from tests.standin import StandIn
from tests.taskinstance import Store, context, event_of

pytestmark = pytest.mark.usefixtures("no_pauses", "events_at_once")

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
START = 1_764_000_000_000


def kind_of(arguments: dict[str, Any]) -> str:
    return str(arguments["waits"][0]["kind"])


@pytest.fixture
def ended(stand_in: StandIn) -> StandIn:
    """The run that the recorded triggers wait for is over."""
    stand_in.add_task("orders", task_id="recorded-task", status=1, execute_status="SUCCESS")
    stand_in.add_run("recorded-task", "recorded-run", "SUCCESS", START + 1_000, START + 9_000)
    return stand_in


def test_each_kind_of_wait_was_recorded() -> None:
    assert {kind_of(arguments) for arguments in RECORDED} == set(_KINDS)


@pytest.mark.parametrize("arguments", RECORDED, ids=kind_of)
def test_a_task_that_an_earlier_version_deferred_is_resumed(
    arguments: dict[str, Any], ended: StandIn
) -> None:
    if kind_of(arguments) in ("any_run_appears", "task_healthy"):
        # These wait for something that goes on.
        ended.tasks["recorded-task"]["execute_status"] = "RUNNING"
        ended.add_run("recorded-task", "another-run", "RUNNING", START + 10_000, None)

    event = event_of(FdiWaitTrigger(**arguments))

    assert event["status"] == "ready"
    assert event["record"] == arguments["record"]


def test_what_an_earlier_version_deferred_ends_well_in_the_worker(ended: StandIn) -> None:
    (arguments,) = (arguments for arguments in RECORDED if kind_of(arguments) == "run_ends")
    store = Store()
    store.set("fdi_run", arguments["record"])
    operator = FdiRunTaskOperator(task_id="run", fdi_task_id="recorded-task", deferrable=True)

    record = operator.execute_complete(context(store), event=event_of(FdiWaitTrigger(**arguments)))

    assert (record["fdi_run_id"], record["status"]) == ("recorded-run", "SUCCESS")
    assert ended.written == []


@pytest.mark.parametrize("arguments", RECORDED, ids=kind_of)
def test_the_earlier_version_takes_back_what_this_one_stores(arguments: dict[str, Any]) -> None:
    """It knows the arguments and fields that it recorded itself. Fields of the record it ignores."""
    _, stored = FdiWaitTrigger(**arguments).serialize()

    assert set(stored) <= set(arguments)
    assert [set(wait) for wait in stored["waits"]] == [set(wait) for wait in arguments["waits"]]
    assert set(arguments["record"]) <= set(stored["record"])


def test_what_a_later_version_adds_is_ignored_and_that_is_said(
    ended: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    (arguments,) = (arguments for arguments in RECORDED if kind_of(arguments) == "run_ends")

    event = event_of(FdiWaitTrigger(**arguments, priority="high"))

    assert event["status"] == "ready"
    assert "later version of this package stored: priority" in caplog.text


@pytest.mark.parametrize(
    "wait",
    [{"kind": "moon_rises", "fdi_task_id": "t"}, {"kind": "task_idle", "fdi_task_id": "t", "moon": "full"}],
    ids=["a kind", "a field"],
)
def test_a_wait_that_this_version_does_not_know_fails_the_task_and_no_triggerer(wait: dict[str, Any]) -> None:
    """Of all errors here, a triggerer survives only TypeError: it fails the task, whose retry continues."""
    with pytest.raises(TypeError):
        FdiWaitTrigger(**(RECORDED[0] | {"waits": [wait]}))
