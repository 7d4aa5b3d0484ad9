"""Airflow ends a task process although nobody wanted that: its run goes on, and the next try joins it."""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import wait_until
from demo.stack import Stack

if TYPE_CHECKING:
    from tests.system.conftest import Play

SECOND = datetime.timedelta(seconds=1)


def worker_of(stack: Stack, task: dict[str, Any]) -> list[psutil.Process]:
    """The process of a running task, and the worker that supervises it."""
    process = psutil.Process(int(task["pid"]))
    supervisor = process.parent()
    assert supervisor is not None and supervisor.pid != stack.components["scheduler"].pid
    return [supervisor, process]


def send(processes: list[psutil.Process], sig: signal.Signals) -> None:
    for process in processes:
        os.kill(process.pid, sig)


def ends_with_its_first_run(play: Play) -> None:
    play.release()
    assert play.wait_for()["state"] == "success", play.report()
    assert play.runs_started == 1
    assert play.terminations == []


def test_a_frozen_worker_that_wakes_leaves_the_run_to_the_try_that_replaced_it(
    start: Callable[..., Play], stack: Stack
) -> None:
    play = start("frozen", deferrable=False, retries=2, retry_delay=SECOND)
    worker = worker_of(stack, play.wait_until_known("running"))

    send(worker, signal.SIGSTOP)
    play.wait_for("running", try_number=2)
    play.wait_for_log("Joining run", try_number=2)
    send(worker, signal.SIGCONT)

    gone = worker[1]
    wait_until(lambda: not gone.is_running(), 30, "the first try to be ended", explain=play.report)
    ends_with_its_first_run(play)


def test_a_frozen_worker_without_retries_leaves_its_run_going_and_says_so(
    start: Callable[..., Play], stack: Stack
) -> None:
    play = start("frozen_for_good", deferrable=False)
    worker = worker_of(stack, play.wait_until_known("running"))

    send(worker, signal.SIGSTOP)
    play.wait_for("failed")
    send(worker, signal.SIGCONT)

    play.wait_for_log("goes on: Airflow ended this try")
    assert play.run_state == "RUNNING"
    assert play.terminations == []


def test_an_api_server_that_is_away_ends_the_try_but_not_the_run(
    start: Callable[..., Play], stack: Stack
) -> None:
    # A try that begins while the API server is away fails at once.
    play = start("api_away", deferrable=False, retries=2, retry_delay=75 * SECOND)
    _, process = worker_of(stack, play.wait_until_known("running"))

    stack.kill("api-server")
    wait_until(lambda: not process.is_running(), 150, "Airflow to end the try", interval=1)
    stack.start_component("api-server")
    stack.wait_healthy()

    play.wait_for("running", try_number=2, timeout=150)
    ends_with_its_first_run(play)


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_a_drained_worker_leaves_its_run_going(
    start: Callable[..., Play], stack: Stack, fdi: FdiEmulator, deferrable: bool
) -> None:
    name = f"drained_{deferrable}".lower()
    # A deferrable task is in its worker while it waits for its run to appear.
    fdi_task = fdi.add_task(name=name, script={"hold": True, "rows": 42, "log_delay_ms": 8_000})
    play = start(name, fdi_task=fdi_task, deferrable=deferrable, retries=2, retry_delay=SECOND)
    wait_until(lambda: play.runs_started, 60, "the run to start", explain=play.report)

    send(worker_of(stack, play.wait_for("running")), signal.SIGTERM)

    play.wait_until_known("deferred" if deferrable else "running")
    ends_with_its_first_run(play)


def test_a_task_process_out_of_memory_leaves_its_run_to_the_next_try(
    start: Callable[..., Play], stack: Stack
) -> None:
    play = start("out_of_memory", deferrable=False, retries=2, retry_delay=SECOND)
    _, process = worker_of(stack, play.wait_until_known("running"))

    process.kill()

    play.wait_for("running", try_number=2)
    ends_with_its_first_run(play)
