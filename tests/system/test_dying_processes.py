"""Processes of Airflow that die, stall or are replaced: one run all the same, and nobody terminates it."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from demo.stack import Stack

if TYPE_CHECKING:
    from tests.system.conftest import Play


def ends_as_the_only_run(play: Play) -> None:
    play.release()
    assert play.wait_for()["state"] == "success", play.report()
    assert play.xcom()["rows"] == 42
    assert play.runs_started == 1
    assert play.terminations == []


def test_a_killed_worker_leaves_its_run_to_the_next_try(start: Callable[..., Play], stack: Stack) -> None:
    play = start("worker_killed", deferrable=False, retries=1, retry_delay=datetime.timedelta(seconds=1))
    task = play.wait_until_known("running")

    stack.kill_task(task)

    play.wait_for("running", try_number=2)
    ends_as_the_only_run(play)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "replaced"])
def test_a_restarted_triggerer_goes_on_waiting(
    start: Callable[..., Play], stack: Stack, sig: signal.Signals
) -> None:
    play = start(f"triggerer_{sig.name.lower()}", deferrable=True)
    play.wait_until_watched()
    play.wait_for_poll()

    if sig == signal.SIGKILL:
        stack.kill("triggerer")
    else:
        stack.terminate("triggerer")
    stack.start_component("triggerer")

    play.wait_for_poll()
    ends_as_the_only_run(play)


def test_a_triggerer_that_wakes_up_after_another_took_over_leaves_the_run_alone(
    start: Callable[..., Play], stack: Stack
) -> None:
    play = start("hand_over", deferrable=True)
    play.wait_until_watched()
    play.wait_for_poll()

    stack.kill("triggerer", signal.SIGSTOP)
    stack.start_component("triggerer-2")
    play.wait_for_poll()
    stack.kill("triggerer", signal.SIGCONT)

    # Airflow answers the first one, wrongly, that a user has ended the task.
    play.wait_for_log("Not terminating the run: the task instance is deferred")
    ends_as_the_only_run(play)
