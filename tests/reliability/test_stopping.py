"""Every way in which a run is stopped, and every way in which it must not be."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_fdi import termination
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.models import ExecuteStatus, Listing
from airflow_provider_fdi.compat import AirflowTaskTimeout
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiRunFailed, FdiTimeout
from airflow_provider_fdi.runs.start import FdiStartError
from airflow_provider_fdi.triggers import wait as triggers
from tests.reliability.tries import Background, Slice, Tries, plain
from tests.taskinstance import ON_AIRFLOW_2, TaskInstance
from tests.waiting import eventually

MakeTries = Callable[..., Tries]


@pytest.fixture(autouse=True)
def _held(emulator: FdiEmulator, task: str) -> None:
    emulator.script(task, hold=True)


def terminations(emulator: FdiEmulator) -> int:
    return emulator.journal_counts().get("StopTask", 0)


def status_of(emulator: FdiEmulator, task: str) -> str:
    return str(emulator.task(task)["execute_status"])


def kill_by_user(tries: Tries, state: str = "failed") -> None:
    """What Airflow does to a try that a user has ended by marking its task."""
    assert tries.ti is not None and tries.operator is not None
    tries.ti.state = state
    tries.operator.on_kill()


# --- killed in a worker ----------------------------------------------------------------------------


@pytest.fixture
def waiting(task: str, emulator: FdiEmulator) -> Callable[..., tuple[Tries, Background]]:
    """A synchronous try that waits for the end of its run."""

    def start(**options: Any) -> tuple[Tries, Background]:
        attempts = Tries(task, "sync", **options)
        trial = Background(attempts.run)
        eventually(lambda: attempts.ti is not None and attempts.xcoms.get("fdi_run_id"))
        return attempts, trial

    return start


@pytest.mark.parametrize("field", ["dispatch_time", "start_time", "end_time"])
def test_a_kill_terminates_our_run_whatever_time_the_log_is_filtered_by(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]], field: str
) -> None:
    emulator.switch(begin_time_filters=field)
    attempts, trial = waiting()
    kill_by_user(attempts)

    assert status_of(emulator, task) == "CANCELLED"
    with pytest.raises(FdiRunFailed):
        trial.result()


def test_a_kill_leaves_a_joined_run_alone(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    emulator.add_run(task, execute_status="RUNNING")
    attempts, trial = waiting(if_running="join")
    kill_by_user(attempts)

    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


def test_a_kill_leaves_the_run_alone_that_is_waited_for(emulator: FdiEmulator, task: str) -> None:
    emulator.add_run(task, execute_status="RUNNING")
    attempts = Tries(task, "sync")
    trial = Background(attempts.run)
    eventually(lambda: emulator.journal_counts().get("ListTasks", 0) >= 2)
    kill_by_user(attempts)

    assert terminations(emulator) == 0
    emulator.script(task, duration_ms=10)
    emulator.release(task)
    with pytest.raises(FdiStartError, match=r"^Nothing was started: Airflow has ended this try"):
        trial.result()
    assert emulator.runs_started(task, "manual") == []


def test_a_kill_leaves_the_run_of_another_alone_that_followed_ours(emulator: FdiEmulator, task: str) -> None:
    emulator.script(task, duration_ms=0)
    attempts = Tries(task, "sync")
    attempts.run()
    emulator.add_run(task, execute_status="RUNNING")
    kill_by_user(attempts)

    assert terminations(emulator) == 0


def test_a_kill_leaves_the_run_of_an_execution_alone_that_was_cleared(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    attempts, trial = waiting()
    operator = attempts.operator
    # The open record is still that of the cleared execution.
    execution = operator._execution  # type: ignore[union-attr]
    assert execution is not None
    execution.clear_generation += 2
    kill_by_user(attempts)

    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


def test_a_kill_that_takes_too_long_says_so(
    emulator: FdiEmulator,
    task: str,
    waiting: Callable[..., tuple[Tries, Background]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_fdi.operators import execution, run

    attempts, trial = waiting()
    said: list[str] = []
    monkeypatch.setattr(run, "KILL_TIMEOUT", 0.05)
    monkeypatch.setattr(execution.RunExecution, "terminate_quietly", lambda *_: time.sleep(1))
    monkeypatch.setattr(attempts.operator.log, "error", lambda text, *args: said.append(text % args))  # type: ignore[union-attr]
    kill_by_user(attempts)

    assert said == [
        f"Terminating the run of FDI task daily-load ({task}) takes longer than 0.05 s; it may go on"
    ]
    emulator.release(task)
    trial.result()


def test_a_kill_without_terminate_on_kill_terminates_nothing(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    attempts, trial = waiting(terminate_on_kill=False)
    kill_by_user(attempts)

    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


def test_a_kill_before_the_run_is_in_the_log_searches_for_it(emulator: FdiEmulator, task: str) -> None:
    emulator.script(task, hold=True, log_delay_ms=700)
    attempts = Tries(task, "sync", start_grace=5)
    trial = Background(attempts.run)
    eventually(lambda: emulator.runs_started(task))
    kill_by_user(attempts)

    assert status_of(emulator, task) == "CANCELLED"
    with pytest.raises(FdiRunFailed):
        trial.result()


def test_a_kill_that_finds_the_run_just_over_says_nothing_was_terminated(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    from airflow_provider_fdi.runs.state import RunRecord
    from airflow_provider_fdi.runs.stop import terminate_own_run

    attempts, trial = waiting(poll_interval=2)
    client = attempts.operator.client  # type: ignore[union-attr]
    terminate = client.terminate_task

    def too_late(*args: Any, **kwargs: Any) -> None:
        emulator.release(task, "SUCCESS")
        terminate(*args, **kwargs)  # is refused: FDI.3027

    client.terminate_task = too_late
    assert terminate_own_run(client, RunRecord.from_json(attempts.record)) is None
    trial.result()


@pytest.mark.parametrize("kind", ["reset_after", "status_after"])
def test_a_termination_whose_answer_is_lost_is_settled_by_looking(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]], kind: str
) -> None:
    from airflow_provider_fdi.runs.state import RunRecord
    from airflow_provider_fdi.runs.stop import terminate_own_run

    attempts, trial = waiting()
    emulator.fault(kind, operation="StopTask")

    run_id = terminate_own_run(attempts.operator.client, RunRecord.from_json(attempts.record))  # type: ignore[union-attr]

    assert run_id == attempts.xcoms["fdi_run_id"]
    assert terminations(emulator) == 1
    with pytest.raises(FdiRunFailed):
        trial.result()


def test_a_termination_that_was_not_carried_out_is_asked_for_again(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    attempts, trial = waiting()
    emulator.fault("reset_before", operation="StopTask")
    kill_by_user(attempts)

    assert status_of(emulator, task) == "CANCELLED"
    with pytest.raises(FdiRunFailed):
        trial.result()


def test_a_run_that_has_yet_to_start_is_terminated(
    emulator: FdiEmulator, waiting: Callable[..., tuple[Tries, Background]], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, trial = waiting()
    list_runs = FdiClient.list_runs

    def unstarted(self: FdiClient, *args: Any, **filters: Any) -> Any:
        rows = list_runs(self, *args, **filters)
        state = ExecuteStatus.UNSTARTED
        late = (replace(run, execute_status=state) if run.execute_status.is_active else run for run in rows)
        return Listing(tuple(late), rows.total, rows.server_time)

    monkeypatch.setattr(FdiClient, "list_runs", unstarted)
    kill_by_user(attempts)

    assert terminations(emulator) == 1
    with pytest.raises(FdiRunFailed):
        trial.result()


# --- ended by Airflow, not by a user ---------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "restarting"])
def test_a_task_that_a_user_ends_has_its_run_terminated(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]], state: str
) -> None:
    attempts, trial = waiting()
    kill_by_user(attempts, state)

    assert status_of(emulator, task) == "CANCELLED"
    with pytest.raises(FdiRunFailed):
        trial.result()


@pytest.mark.parametrize(
    "state", ["running", "up_for_retry", "scheduled", "queued", "deferred", "removed", "upstream_failed", ""]
)
def test_a_try_that_nobody_wanted_ended_leaves_its_run_going_and_says_so(
    emulator: FdiEmulator,
    task: str,
    waiting: Callable[..., tuple[Tries, Background]],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
) -> None:
    attempts, trial = waiting()
    said: list[str] = []
    monkeypatch.setattr(attempts.operator.log, "warning", lambda text, *args: said.append(text % args))  # type: ignore[union-attr]
    kill_by_user(attempts, state)

    assert terminations(emulator) == 0
    assert said[0].startswith(f"Run {attempts.xcoms['fdi_run_id']} of FDI task daily-load ({task}) goes on: ")
    assert "To end it, use FdiTerminateRunOperator or the console" in said[0]
    emulator.release(task)
    assert trial.result()["status"] == "SUCCESS"


def test_a_run_goes_on_when_airflow_does_not_answer(
    emulator: FdiEmulator,
    task: str,
    waiting: Callable[..., tuple[Tries, Background]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts, trial = waiting()
    answered = threading.Event()
    monkeypatch.setattr(termination, "task_instance_state", lambda _: answered.wait(10) and "failed")
    began = time.monotonic()
    attempts.operator.on_kill()  # type: ignore[union-attr]

    assert time.monotonic() - began < 5
    answered.set()
    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


def test_a_run_goes_on_when_airflow_answers_with_an_error(
    emulator: FdiEmulator,
    task: str,
    waiting: Callable[..., tuple[Tries, Background]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts, trial = waiting()

    def refuse(_: Any) -> str:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(termination, "task_instance_state", refuse)
    attempts.operator.on_kill()  # type: ignore[union-attr]

    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


@pytest.mark.parametrize(("silent", "terminated"), [(10, True), (149, True), (151, False), (10_000, False)])
def test_failed_is_a_users_word_unless_airflow_was_silent_for_half_its_heartbeat_timeout(
    silent: float, terminated: bool
) -> None:
    assert termination.user_ended_running_task("failed", silent, 300) is terminated


def test_a_sleeping_try_asks_airflow_before_its_silence_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(termination, "heartbeat_timeout", lambda: 0.4)
    contact = termination.Contact(TaskInstance(1, 3))

    contact.sleep(0.5)

    assert contact.silent_for < 0.2


def test_execution_timeout_terminates_the_run(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    attempts, trial = waiting()
    try:
        raise AirflowTaskTimeout
    except AirflowTaskTimeout:
        # As Airflow calls it: while it handles the exception, the task instance is running.
        attempts.operator.on_kill()  # type: ignore[union-attr]

    assert status_of(emulator, task) == "CANCELLED"
    with pytest.raises(FdiRunFailed):
        trial.result()


def test_an_ended_try_stores_nothing_any_more(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    emulator.script(task, hold=True, log_delay_ms=500)
    attempts = Tries(task, "sync", start_grace=5)
    trial = Background(attempts.run)
    eventually(lambda: emulator.runs_started(task))
    kill_by_user(attempts, "running")
    eventually(lambda: attempts.xcoms.get("fdi_run_id"))

    assert attempts.record["run_id"] is None
    emulator.release(task)
    assert trial.result()["status"] == "SUCCESS"


def test_a_second_signal_does_not_begin_anew(
    emulator: FdiEmulator, task: str, waiting: Callable[..., tuple[Tries, Background]]
) -> None:
    attempts, trial = waiting()
    kill_by_user(attempts, "running")
    kill_by_user(attempts, "failed")

    assert terminations(emulator) == 0
    emulator.release(task)
    trial.result()


# --- killed while deferred -------------------------------------------------------------------------


def kill(now: Slice, state: str | None, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """Run a trigger for a moment, then end it as a triggerer does: cancelled, `on_kill`, cancelled again."""

    async def reported(_: Any) -> str | None:
        return state

    monkeypatch.setattr(triggers, "task_instance_state_async", reported)

    async def play() -> None:
        module, _, name = now.path.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**plain(now.arguments))

        async def consume() -> None:
            async for _ in trigger.run():
                return

        running = asyncio.create_task(consume())
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        ending = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0.01)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        while triggers._terminations:
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(play(), 20))


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "none"])
def test_a_task_that_a_user_ends_while_deferred_has_its_run_terminated(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    now = Tries(task, "deferrable").until_deferred("run_ends")
    began = time.monotonic()
    kill(now, state, monkeypatch)

    assert status_of(emulator, task) == "CANCELLED"
    assert time.monotonic() - began < 5


def test_a_task_marked_failed_while_its_run_is_searched_for_has_it_terminated(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.script(task, hold=True, log_delay_ms=1200)
    now = Tries(task, "deferrable", start_grace=5).until_deferred("run_appears")
    kill(now, "failed", monkeypatch, seconds=0.1)

    assert status_of(emulator, task) == "CANCELLED"


@pytest.mark.parametrize("state", ["deferred", "running", "up_for_retry", "removed", None])
def test_a_trigger_that_another_took_over_terminates_nothing(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    kill(Tries(task, "deferrable").until_deferred("run_ends"), state, monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


@pytest.mark.parametrize("state", ["scheduled", "queued"])
def test_a_task_that_was_cleared_and_scheduled_again_has_its_run_terminated(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    kill(Tries(task, "deferrable").until_deferred("run_ends"), state, monkeypatch, seconds=0.1)

    assert status_of(emulator, task) == "CANCELLED"


@pytest.mark.parametrize("state", ["scheduled", "queued"])
def test_a_task_that_another_triggerer_resumed_at_the_runs_end_has_nothing_terminated(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    now = Tries(task, "deferrable").until_deferred("run_ends")
    emulator.release(task)
    emulator.add_run(task, execute_status="RUNNING")
    kill(now, state, monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


@pytest.mark.parametrize("state", ["scheduled", "queued"])
def test_a_task_that_another_triggerer_resumed_when_the_run_appeared_has_nothing_terminated(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    emulator.script(task, hold=True, log_delay_ms=1200)
    now = Tries(task, "deferrable", start_grace=5).until_deferred("run_appears")
    kill(now, state, monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


def test_a_joined_run_is_not_terminated_while_deferred(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_run(task, execute_status="RUNNING")
    attempts = Tries(task, "deferrable", if_running="join")
    kill(attempts.until_deferred("run_ends"), "failed", monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


def test_another_run_that_is_waited_for_is_not_terminated_while_deferred(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_run(task, execute_status="RUNNING")
    kill(Tries(task, "deferrable").until_deferred("task_idle"), "failed", monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


def test_without_terminate_on_kill_nothing_is_terminated_while_deferred(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Tries(task, "deferrable", terminate_on_kill=False)
    kill(attempts.until_deferred("run_ends"), "failed", monkeypatch, seconds=0.1)

    assert terminations(emulator) == 0


def test_a_trigger_that_ends_with_its_triggerer_terminates_nothing(emulator: FdiEmulator, task: str) -> None:
    now = Tries(task, "deferrable").until_deferred("run_ends")

    emulator.clear_journal()

    async def play() -> None:
        trigger = triggers.FdiWaitTrigger(**plain(now.arguments))
        running = asyncio.create_task(trigger.run().__anext__())  # type: ignore[arg-type]
        while not emulator.journal("ListMonitorLog"):
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(play())
    assert terminations(emulator) == 0
    assert status_of(emulator, task) == "RUNNING"


# --- execution_timeout while deferred --------------------------------------------------------------


def test_a_timeout_while_deferred_terminates_the_run_and_fails_the_task(
    emulator: FdiEmulator, task: str
) -> None:
    attempts = Tries(task, "deferrable", execution_timeout=timedelta(seconds=1))

    # On Airflow 2 the trigger has done so already.
    with pytest.raises(FdiTimeout, match="no run of ours was" if ON_AIRFLOW_2 else "was terminated"):
        attempts.run()
    assert attempts.slices[-1].event["status"] == "timeout"
    assert status_of(emulator, task) == "CANCELLED"


def test_the_deadline_counts_from_the_start_of_the_try(emulator: FdiEmulator, task: str) -> None:
    attempts = Tries(task, "deferrable", execution_timeout=timedelta(hours=1))
    now = attempts.until_deferred("run_ends")

    started = attempts.ti.start_date.timestamp()  # type: ignore[union-attr]
    assert now.arguments["deadline"] == pytest.approx(started + 3600, abs=0.01)


def test_a_timeout_leaves_a_joined_run_alone(emulator: FdiEmulator, task: str) -> None:
    emulator.add_run(task, execute_status="RUNNING")

    with pytest.raises(FdiTimeout, match="no run of ours"):
        Tries(task, "deferrable", if_running="join", execution_timeout=timedelta(seconds=0.5)).run()
    assert terminations(emulator) == 0


def test_a_timeout_leaves_the_run_alone_that_is_waited_for(emulator: FdiEmulator, task: str) -> None:
    emulator.add_run(task, execute_status="RUNNING")

    with pytest.raises(FdiTimeout, match="no run of ours"):
        Tries(task, "deferrable", execution_timeout=timedelta(seconds=0.5)).run()
    assert terminations(emulator) == 0


def test_a_timeout_is_one_also_when_the_run_cannot_be_terminated(emulator: FdiEmulator, task: str) -> None:
    emulator.fault("status", operation="StopTask", times=None, status=503)

    with pytest.raises(FdiTimeout, match=r"may go on.*503"):
        Tries(task, "deferrable", execution_timeout=timedelta(seconds=0.5)).run()


def test_a_timeout_while_the_service_is_away_comes_in_time(emulator: FdiEmulator, task: str) -> None:
    attempts = Tries(task, "deferrable", execution_timeout=timedelta(seconds=1))
    now = attempts.until_deferred("run_ends")
    emulator.fault("reset_before", operation="ListMonitorLog", times=None)

    resumed = attempts.step(now)

    assert isinstance(resumed, Slice) and resumed.event["status"] == "timeout"
