"""A task that a user or a timeout ends, or that is cleared: what becomes of the run."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import wait_until
from demo.stack import Stack

if TYPE_CHECKING:
    from tests.system.conftest import Play


def is_terminated(play: Play, since: int, within: int) -> None:
    """One termination, not later than `within` ms after `since`, and the run is over."""
    wait_until(lambda: play.terminations, 60, "the run to be terminated", interval=0.1, explain=play.report)
    assert play.terminations[0]["time"] - since < within
    run_id = play.fdi.runs_started(play.fdi_task)[0]["run_id"]
    wait_until(lambda: play.state_of(run_id) == "CANCELLED", 10, "the run to be over")
    assert len(play.terminations) == 1


def test_marking_a_deferred_task_failed_terminates_the_run_within_five_seconds(
    start: Callable[..., Play], fdi: FdiEmulator
) -> None:
    # A triggerer takes seconds for the first question about a task instance, and does nothing else meanwhile.
    first = start("mark_first", deferrable=True)
    first.wait_until_watched()
    first.mark("failed")
    is_terminated(first, fdi.now_ms(), within=30_000)
    fdi.clear_journal()
    play = start("mark_deferred", deferrable=True)
    play.wait_until_watched()
    play.wait_for_poll()
    marked = fdi.now_ms()

    play.mark("failed")

    is_terminated(play, marked, within=5_000)
    assert play.task()["state"] == "failed"


def test_a_task_marked_failed_before_the_first_poll_of_its_run_has_it_terminated_too(
    start: Callable[..., Play], fdi: FdiEmulator, stack: Stack
) -> None:
    # A triggerer that has never read a connection: its first one takes Airflow seconds.
    stack.kill("triggerer")
    stack.start_component("triggerer")
    play = start("mark_unseen", deferrable=True, poll_interval=60)
    play.wait_until_watched()
    marked = fdi.now_ms()

    play.mark("failed")

    is_terminated(play, marked, within=30_000)


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_marking_a_synchronous_task_terminates_the_run(
    start: Callable[..., Play], fdi: FdiEmulator, state: str
) -> None:
    play = start(f"mark_synchronous_{state}", deferrable=False)
    play.wait_until_known("running")
    marked = fdi.now_ms()

    play.mark(state)

    # Airflow's heartbeat of up to 5 s brings the news.
    is_terminated(play, marked, within=10_000)
    assert play.task()["state"] == state


def test_execution_timeout_terminates_the_run(start: Callable[..., Play], fdi: FdiEmulator) -> None:
    play = start("times_out_synchronously", deferrable=False, execution_timeout=datetime.timedelta(seconds=5))

    assert play.wait_for()["state"] == "failed"

    is_terminated(play, fdi.runs_started(play.fdi_task)[0]["time"], within=10_000)


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_clearing_a_task_terminates_its_run_and_starts_a_new_one(
    start: Callable[..., Play], fdi: FdiEmulator, deferrable: bool
) -> None:
    play = start(f"cleared_{deferrable}".lower(), deferrable=deferrable)
    if deferrable:
        play.wait_until_watched()
        play.wait_for_poll()
    else:
        play.wait_until_known("running")
    first = play.xcom("fdi_run_id")
    cleared = fdi.now_ms()

    play.clear()

    is_terminated(play, cleared, within=15_000)
    wait_until(lambda: play.runs_started == 2, 60, "the new run", explain=play.report)
    play.wait_until_known("deferred" if deferrable else "running")
    play.release()
    assert play.wait_for(try_number=2)["state"] == "success"
    assert fdi.runs_refused(play.fdi_task) == []
    assert play.xcom("fdi_run_id") != first


def test_execution_timeout_while_deferred_terminates_the_run_and_fails_the_task(
    start: Callable[..., Play], fdi: FdiEmulator
) -> None:
    play = start("times_out", deferrable=True, execution_timeout=datetime.timedelta(seconds=8))
    play.wait_until_watched()

    assert play.wait_for()["state"] == "failed"

    assert "FdiTimeout" in play.wait_for_log("execution_timeout=0:00:08 is over")
    is_terminated(play, fdi.runs_started(play.fdi_task)[0]["time"], within=20_000)


def test_a_joined_run_is_left_alone_when_the_task_is_marked_failed(
    start: Callable[..., Play], fdi: FdiEmulator
) -> None:
    fdi_task = fdi.add_task(name="joined", script={"hold": True})
    fdi.request("POST", f"tasks/{fdi_task}/run")
    play = start("joined", fdi_task=fdi_task, deferrable=True, if_running="join")
    play.wait_until_watched()
    play.wait_for_poll()

    play.mark("failed")

    play.wait_for_log("No run of ours to terminate")
    assert play.terminations == []
    assert play.run_state == "RUNNING"


def test_clearing_a_succeeded_task_starts_a_new_run(start: Callable[..., Play], fdi: FdiEmulator) -> None:
    fdi_task = fdi.add_task(name="cleared", script={"duration_ms": 100, "rows": 42})
    play = start("cleared", fdi_task=fdi_task, deferrable=True)
    play.wait_for_run("success")
    first = play.xcom("fdi_run_id")

    play.clear()

    assert play.wait_for(try_number=2)["state"] == "success"
    assert play.runs_started == 2
    assert play.xcom("fdi_run_id") != first
