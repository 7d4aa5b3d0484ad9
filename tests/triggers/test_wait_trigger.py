"""The trigger of all waits: what it emits, what it holds, and what becomes of it when it is ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.runs.waits import RunCompleted, RunEnds, TaskStatusIs, Wait
from airflow_provider_fdi.triggers import wait as triggers
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger
from tests.server import Request
from tests.standin import INSTANCE, PROJECT, TOKEN, StandIn, flat, nested
from tests.taskinstance import event_of
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_pauses", "events_at_once")

NOW = int(time.time() * 1000)


def make(*waits: Wait, **arguments: Any) -> FdiWaitTrigger:
    given: dict[str, Any] = {
        "fdi_conn_id": "fdi_default",
        "project_id": PROJECT,
        "instance_id": INSTANCE,
        "waits": [wait.to_json() for wait in waits],
        "poll_interval": 0.05,
        "poll_failure_timeout": 20,
    }
    return FdiWaitTrigger(**(given | arguments))


def for_completion(task_id: str) -> Wait:
    return RunCompleted(task_id, ("SUCCESS", "ERROR"), NOW)


@pytest.fixture
def fdi_task(stand_in: StandIn) -> str:
    return stand_in.add_task("nightly", status=1)


# --- what it holds ------------------------------------------------------------------------------------------


def test_its_arguments_are_json_and_make_the_same_trigger_anew(fdi_task: str) -> None:
    trigger = make(
        for_completion(fdi_task),
        deadline=123.5,
        record={"fdi_task_id": fdi_task, "run_id": "r", "clear_generation": 0, "try_number": 1},
        terminate_on_kill=True,
    )
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_fdi.triggers.fdi.FdiWaitTrigger"
    assert FdiWaitTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_neither_its_arguments_nor_its_event_hold_a_secret(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.script("ListMonitorLog", *[nested("APIGW.0301", f"{TOKEN} is no good", 401)] * 5)
    trigger = make(for_completion(fdi_task))
    event = event_of(trigger)
    assert event["status"] == "error"
    assert TOKEN not in str(trigger.serialize()) + str(event)


# --- what it emits ------------------------------------------------------------------------------------------


def test_it_emits_one_event_when_what_is_waited_for_has_come_about(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run_after_polls(2, fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    record = {"fdi_task_id": fdi_task, "anything": [1, None]}

    async def all_events() -> list[Any]:
        return [event.payload async for event in make(for_completion(fdi_task), record=record).run()]

    (event,) = asyncio.run(all_events())
    assert (event["status"], event["record"]) == ("ready", record)


def test_its_event_is_json(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run_after_polls(0, fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    event = event_of(make(for_completion(fdi_task)))
    assert json.loads(json.dumps(event)) == event


def test_it_waits_for_all_of_several_waits(stand_in: StandIn) -> None:
    first, second = stand_in.add_task("first", status=1), stand_in.add_task("second", status=0)
    polls = 0

    def start(request: Request) -> Any:
        nonlocal polls
        polls += 1
        stand_in.tasks[second]["status"] = int(polls > 4)
        return None

    stand_in.script("ListTasks", *[start] * 50)
    waits = [TaskStatusIs(task_id, "RUNNING") for task_id in (first, second)]
    assert event_of(make(*waits))["status"] == "ready"
    assert stand_in.tasks[second]["status"] == 1


def test_it_does_not_resume_a_task_before_the_deferral_has_settled(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "SETTLE_TIME", 0.3)
    began = time.monotonic()
    event = event_of(make(for_completion("unknown"), poll_interval=60, deadline=time.time() - 100))
    assert event["status"] == "timeout"
    assert time.monotonic() - began >= 0.3


def test_it_gives_up_at_its_deadline_although_the_interval_is_longer(
    stand_in: StandIn, fdi_task: str
) -> None:
    began = time.monotonic()
    event = event_of(make(for_completion(fdi_task), poll_interval=60, deadline=time.time() + 0.2))
    assert event["status"] == "timeout"
    assert time.monotonic() - began < 5


def test_a_deadline_that_is_over_is_reported_at_once(stand_in: StandIn, fdi_task: str) -> None:
    began = time.monotonic()
    event = event_of(make(for_completion(fdi_task), poll_interval=60, deadline=time.time() - 100))
    assert event["status"] == "timeout"
    assert time.monotonic() - began < 5


def test_a_poll_that_fails_is_absorbed(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    stand_in.script("ListMonitorLog", flat("FDI.0001", "Internal error.", 500))
    assert event_of(make(for_completion(fdi_task)))["status"] == "ready"


def test_polls_that_fail_for_too_long_end_the_wait_with_the_service_s_words(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.script("ListMonitorLog", *[flat("FDI.0001", "Internal error.", 500)] * 500)
    event = event_of(make(for_completion(fdi_task), poll_failure_timeout=0.05))
    assert (event["status"], event["final"]) == ("error", False)
    assert event["message"].startswith("Internal error (FDI.0001, HTTP 500).\nPolls have failed for 0.05 s")


@pytest.mark.parametrize(
    "answer",
    [flat("FDI.3021", "The task does not exist.", 404), nested("APIGW.0301", "Not you.", 401)],
    ids=["no such task", "wrong credentials"],
)
def test_a_permanent_error_ends_the_wait_at_once_and_for_good(
    stand_in: StandIn, fdi_task: str, answer: Any
) -> None:
    stand_in.script("ListMonitorLog", *[answer] * 9)
    event = event_of(make(for_completion(fdi_task)))
    assert (event["status"], event["final"]) == ("error", True)


def test_a_connection_that_cannot_be_read_ends_the_wait_with_a_sentence(
    stand_in: StandIn, fdi_task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", stand_in.connection_json(password=None))
    event = event_of(make(for_completion(fdi_task)))
    assert event["status"] == "error"
    assert "fdi_default" in event["message"]
    assert "password" in event["message"]


# --- many ---------------------------------------------------------------------------------------------------


def test_triggers_of_one_instance_share_one_connection(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []
    real = triggers.connect

    async def counting(*key: Any) -> Any:
        connected.append(key)
        return await real(*key)

    monkeypatch.setattr(triggers, "connect", counting)
    ids = [stand_in.add_task(f"task-{number}", status=1) for number in range(5)]
    for task_id in ids:
        stand_in.add_run(task_id, f"run-{task_id}", "SUCCESS", NOW, NOW + 1)

    async def together() -> list[Any]:
        return await asyncio.gather(*(anext(make(for_completion(task_id)).run()) for task_id in ids))

    events = asyncio.run(together())
    assert [event.payload["status"] for event in events] == ["ready"] * 5
    assert connected == [("fdi_default", PROJECT, INSTANCE)]


def test_a_trigger_that_is_cancelled_leaves_the_others_waiting(stand_in: StandIn) -> None:
    first, second = stand_in.add_task("first", status=1), stand_in.add_task("second", status=1)
    stand_in.add_run(first, "run-1", "RUNNING", NOW, None)
    stand_in.add_run(second, "run-2", "RUNNING", NOW, None)

    async def both() -> Any:
        tasks = [
            asyncio.ensure_future(anext(make(for_completion(task_id)).run())) for task_id in (first, second)
        ]
        await until(lambda: len(stand_in.of("ListMonitorLog")) >= 2)
        tasks[0].cancel()
        stand_in.runs[second][0] |= {"execute_status": "SUCCESS", "end_time": NOW + 1}
        return await asyncio.gather(*tasks, return_exceptions=True)

    cancelled, event = asyncio.run(both())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert event.payload["status"] == "ready"


def test_a_trigger_that_is_cancelled_terminates_nothing(stand_in: StandIn, fdi_task: str) -> None:
    """As at the end of a triggerer: another one takes over."""
    stand_in.add_run(fdi_task, "run-1", "RUNNING", NOW, None)

    async def cancel() -> None:
        trigger = make(RunEnds(fdi_task, "run-1", NOW), record=RECORD | {"fdi_task_id": fdi_task})
        task = asyncio.ensure_future(anext(trigger.run()))
        await until(lambda: stand_in.of("ListMonitorLog"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert stand_in.writes == []


# --- when a user ends the task ------------------------------------------------------------------------------

RECORD: dict[str, Any] = {
    "clear_generation": 0,
    "try_number": 1,
    "intent_time": NOW - 1,
    "deadline": NOW + 1,
    "run_id": "run-1",
    "run_time": NOW,
}


def kill(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, fdi_task: str, state: str | None, **arguments: Any
) -> list[str]:
    """What is written when Airflow calls ``on_kill`` of a trigger whose task instance is in ``state``."""

    async def in_state(task_instance: Any) -> str | None:
        return state

    monkeypatch.setattr(triggers, "task_instance_state_async", in_state)
    record = RECORD | {"fdi_task_id": fdi_task} | arguments.pop("record", {})
    asyncio.run(make(record=record, **({"terminate_on_kill": True} | arguments)).on_kill())
    return [request.path.rpartition("/")[2] for request in stand_in.writes]


@pytest.fixture
def running(stand_in: StandIn, fdi_task: str) -> str:
    stand_in.add_run(fdi_task, "run-1", "RUNNING", NOW, None)
    return fdi_task


@pytest.mark.parametrize("state", ["failed", "success", "none", "skipped"])
def test_our_run_is_terminated_when_a_user_has_ended_the_task(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, running: str, state: str
) -> None:
    assert kill(monkeypatch, stand_in, running, state) == ["terminate"]


@pytest.mark.parametrize("state", ["deferred", "running", "removed", None])
def test_nothing_is_terminated_when_another_process_continues(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, running: str, state: str | None
) -> None:
    assert kill(monkeypatch, stand_in, running, state) == []


def test_nothing_is_terminated_unless_wanted(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, running: str
) -> None:
    assert kill(monkeypatch, stand_in, running, "failed", terminate_on_kill=False) == []


def test_a_run_that_somebody_else_started_is_not_terminated(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, running: str
) -> None:
    assert kill(monkeypatch, stand_in, running, "failed", record={"joined": True}) == []


def test_another_run_of_the_task_is_not_terminated_when_ours_is_over(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    stand_in.add_run(fdi_task, "run-2", "RUNNING", NOW + 2, None)
    assert kill(monkeypatch, stand_in, fdi_task, "failed") == []


def test_on_airflow_2_the_trigger_ends_our_run_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, running: str
) -> None:
    # There Airflow fails the task before it is resumed.
    monkeypatch.setattr(triggers, "AIRFLOW_2", True)
    trigger = make(
        for_completion(running),
        poll_interval=60,
        record=RECORD | {"fdi_task_id": running},
        terminate_on_kill=True,
        deadline=time.time() + 0.1,
    )
    assert event_of(trigger)["status"] == "timeout"
    assert [request.path.rpartition("/")[2] for request in stand_in.writes] == ["terminate"]


# --- on a real Airflow --------------------------------------------------------------------------------------


def test_what_the_trigger_fails_on_is_what_the_task_fails_with(
    stand_in: StandIn, fdi_task: str, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

    def vanish(request: Request) -> Any:
        stand_in.script("ListMonitorLog", *[flat("FDI.3021", "The task does not exist.", 404)] * 3)
        return None

    stand_in.script("ListMonitorLog", vanish)
    with DAG("trigger_fails", schedule=None) as dag:
        FdiTaskSensor(
            task_id="wait",
            fdi_task_id=fdi_task,
            completed_after=NOW,
            deferrable=True,
            poke_interval=0.05,
            retries=3,
        )
    (ti,) = run_dag(dag).get_task_instances()
    assert (str(ti.state), ti.try_number) == ("failed", 1)


# --- ahead of a kill -------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The task instances that Airflow was asked about; waits of a moment count as long ones."""
    asked: list[Any] = []

    async def ask(task_instance: Any) -> str:
        asked.append(task_instance)
        return "deferred"

    monkeypatch.setattr(triggers, "task_instance_state_async", ask)
    monkeypatch.setattr(triggers, "PREPARE_AFTER", 0.05)
    monkeypatch.setattr(triggers, "BUSY_PAUSE", 0.05)
    monkeypatch.setattr(triggers.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    return asked


@pytest.mark.skipif(not hasattr(triggers.BaseTrigger, "on_kill"), reason="this Airflow kills no triggers")
@pytest.mark.parametrize(
    ("waits", "still_waiting", "questions"), [(1, 1, 1), (3, 3, 1), (2, 1, 1), (1, 0, 0)]
)
def test_airflow_is_asked_once_ahead_of_a_kill_if_anything_waits_long(
    asked: list[Any], waits: int, still_waiting: int, questions: int
) -> None:
    preparation = triggers._KillPreparation()

    async def play() -> None:
        for number in range(waits):
            preparation.begin(f"task instance {number}")
        for _ in range(waits - still_waiting):
            preparation.end()
        assert preparation.asking is not None
        await preparation.asking
        preparation.begin("a later one")
        assert (preparation.asking.done()) is bool(questions)
        preparation.asking.cancel()

    asyncio.run(play())
    assert len(asked) == questions


@pytest.mark.skipif(not hasattr(triggers.BaseTrigger, "on_kill"), reason="this Airflow kills no triggers")
def test_a_busy_machine_is_not_asked_ahead_of_a_kill(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = triggers._KillPreparation()
    loads = iter([99.0, 99.0])

    def load() -> tuple[float, float, float]:
        found = next(loads, None)
        if found is None:
            preparation.end()
        return found or 99.0, 0.0, 0.0

    monkeypatch.setattr(triggers.os, "getloadavg", load)

    async def play() -> None:
        preparation.begin("task instance")
        assert preparation.asking is not None
        await preparation.asking

    asyncio.run(play())
    assert asked == []
