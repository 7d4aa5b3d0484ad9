"""Events for runs that FDI finished: every run once, across triggerers, whatever fails in between."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from airflow_provider_fdi.compat import BaseEventTrigger
from airflow_provider_fdi.constants import AIRFLOW_RUNS_KEY
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.triggers import events
from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger
from tests import waiting

pytestmark = pytest.mark.usefixtures("fdi_connection")

until = partial(waiting.until, seconds=10)


class AssetStore:
    """The state store of one asset, as a trigger has it; the database outlives the triggerer."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    async def aset(self, key: str, value: Any) -> None:
        self.kept[key] = json.dumps(value)


class Events(list[dict[str, Any]]):
    """The payloads that a trigger has fired so far."""

    async def until(self, count: int) -> list[str]:
        await until(lambda: len(self) >= count)
        return [payload["fdi_run_id"] for payload in self]


@asynccontextmanager
async def running(trigger: FdiRunEventTrigger, store: Any = None) -> AsyncIterator[Events]:
    """The trigger, made anew from its serialised form, as in a triggerer; ready when it follows its tasks."""
    _, arguments = trigger.serialize()
    fresh = FdiRunEventTrigger(**json.loads(json.dumps(arguments)))
    fresh.asset_state_store = store
    fired = Events()

    async def collect() -> None:
        async for event in fresh.run():
            fired.append(json.loads(json.dumps(event.payload)))

    task = asyncio.create_task(collect())
    try:
        yield fired
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def trigger(fdi_task_id: Any = None, **arguments: Any) -> FdiRunEventTrigger:
    return FdiRunEventTrigger(fdi_task_id, **{"poll_interval": 0.05, **arguments})


async def following(fdi: FdiEmulator, after: int = 0, polls: int = 3) -> None:
    """Until the trigger has polled a few times, so that it has begun."""
    operations = ("ListMonitorLog", "ListMonitorInfos")
    await until(lambda: sum(fdi.journal_counts().get(name, 0) for name in operations) >= after + polls)


async def stored() -> None:
    """Until nothing is left to be written in the background."""
    await until(lambda: not events._writing)


@pytest.fixture(autouse=True)
def stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STORED_AFTER", 0.02)


def test_every_run_that_ends_is_an_event(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with running(trigger(task)) as fired:
            await following(fdi_emulator)
            first = fdi_emulator.add_run(task)
            await fired.until(1)
            second = fdi_emulator.add_run(task)
            assert await fired.until(2) == [first, second]

    asyncio.run(test())


def test_the_payload_reports_the_run_the_rows_and_the_times(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task(
        name="orders", script={"rows": 42, "dirty_rows": 1, "data_size": 2, "data_size_unit": "KB"}
    )

    async def test() -> dict[str, Any]:
        async with running(trigger(fdi_task_name="orders")) as fired:
            await following(fdi_emulator)
            fdi_emulator.request("POST", f"tasks/{task}/run")
            await fired.until(1)
            return fired[0]

    payload = asyncio.run(test())
    assert payload["fdi_task_id"] == task
    assert payload["fdi_task_name"] == "orders"
    assert payload["fdi_run_id"] == fdi_emulator.runs_started(task)[0]["run_id"]
    assert (payload["status"], payload["rows"], payload["dirty_rows"], payload["bytes"]) == (
        "SUCCESS",
        42,
        1,
        2048,
    )
    assert payload["dispatch_time"] <= payload["start_time"] <= payload["end_time"]


def test_two_runs_between_two_polls_are_two_events_in_order(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with running(trigger(task, poll_interval=0.5)) as fired:
            await following(fdi_emulator)
            now = fdi_emulator.now_ms()
            later = fdi_emulator.add_run(task, start_time=now + 10, end_time=now + 20)
            earlier = fdi_emulator.add_run(task, start_time=now, end_time=now + 5)
            assert await fired.until(2) == [earlier, later]

    asyncio.run(test())


def test_runs_that_ended_before_the_trigger_first_started_are_no_events(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()
    fdi_emulator.add_run(task)

    async def test() -> Events:
        async with running(trigger(task)) as fired:
            await following(fdi_emulator, polls=5)
            return fired

    assert asyncio.run(test()) == []


def test_a_failed_run_is_no_event_unless_asked_for(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with (
            running(trigger(task)) as successes,
            running(trigger(task, statuses=["ERROR", "CANCELLED"])) as failures,
        ):
            await following(fdi_emulator, polls=6)
            bad = fdi_emulator.add_run(task, execute_status="ERROR")
            good = fdi_emulator.add_run(task)
            assert await successes.until(1) == [good]
            assert await failures.until(1) == [bad]

    asyncio.run(test())


@pytest.mark.parametrize("include", [False, True])
def test_a_refused_dispatch_is_no_run_unless_asked_for(fdi_emulator: FdiEmulator, include: bool) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        watched = trigger(task, statuses=["SUCCESS", "ERROR"], include_refused=include)
        async with running(watched) as fired:
            await following(fdi_emulator)
            now = fdi_emulator.now_ms()
            refused = fdi_emulator.add_run(task, execute_status="ERROR", status=914, end_time=now)
            good = fdi_emulator.add_run(task, end_time=now + 1)
            assert await fired.until(1 + include) == [*([refused] if include else []), good]

    asyncio.run(test())


def test_several_tasks_are_followed_by_one_trigger(fdi_emulator: FdiEmulator) -> None:
    tasks = fdi_emulator.add_tasks(3)

    async def test() -> None:
        async with running(trigger(tasks)) as fired:
            await following(fdi_emulator, polls=6)
            runs = [fdi_emulator.add_run(task) for task in tasks]
            assert sorted(await fired.until(3)) == sorted(runs)

    asyncio.run(test())


def test_a_run_between_two_triggerers_is_reported_by_the_next(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()
    store = AssetStore()

    async def test() -> None:
        async with running(trigger(task), store) as fired:
            await following(fdi_emulator)
            assert fired == []
        now = fdi_emulator.now_ms()
        missed = [fdi_emulator.add_run(task, end_time=now + n) for n in (1, 2)]
        async with running(trigger(task), store) as fired:
            assert await fired.until(2) == missed

    asyncio.run(test())


def test_no_run_is_reported_again_by_the_next_triggerer(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()
    store = AssetStore()

    async def test() -> None:
        async with running(trigger(task), store) as fired:
            await following(fdi_emulator)
            fdi_emulator.add_run(task)
            await fired.until(1)
            await stored()
        async with running(trigger(task, poll_interval=0.1), store) as fired:
            await following(fdi_emulator, after=sum(fdi_emulator.journal_counts().values()))
            last = fdi_emulator.add_run(task)
            assert await fired.until(1) == [last]

    asyncio.run(test())


def test_a_triggerer_that_stood_still_does_not_report_what_another_one_has(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = fdi_emulator.add_task()
    store = AssetStore()
    # By another connection, or they would share a poller: two triggerers do not.
    monkeypatch.setenv("AIRFLOW_CONN_FDI_SLOW", fdi_emulator.connection_json())

    async def test() -> None:
        async with running(trigger(task, poll_interval=1.0, fdi_conn_id="fdi_slow"), store) as slow:
            await following(fdi_emulator, polls=1)
            async with running(trigger(task), store) as quick:
                await following(fdi_emulator, after=1)
                run = fdi_emulator.add_run(task)
                assert await quick.until(1) == [run]
                await stored()
            last = fdi_emulator.add_run(task)
            assert await slow.until(1) == [last]

    asyncio.run(test())


def test_a_run_longer_than_the_triggerers_life_is_reported(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()
    now = fdi_emulator.now_ms()
    row = {"start_time": now - 100 * 3_600_000, "dispatch_time": now - 100 * 3_600_000}
    run = fdi_emulator.add_run(task, execute_status="RUNNING", end_time=None, **row)
    store = AssetStore()

    async def test() -> None:
        async with running(trigger(task), store):
            await following(fdi_emulator)
        cursor = json.loads(next(iter(store.kept.values())))
        assert cursor["since"] == row["start_time"]

    asyncio.run(test())
    assert run


def test_failing_polls_do_not_end_it(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with running(trigger(task)) as fired:
            await following(fdi_emulator)
            fdi_emulator.fault("status", status=503, path_regex="monitors|logs", times=3)
            fdi_emulator.fault("reset_before", path_regex="monitors|logs", times=2)
            run = fdi_emulator.add_run(task)
            assert await fired.until(1) == [run]

    asyncio.run(test())


def test_a_task_that_is_not_there_yet_is_followed_once_it_is(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "MAX_PAUSE", 0.1)

    async def test() -> None:
        with caplog.at_level(logging.WARNING):
            async with running(trigger(fdi_task_name="later")) as fired:
                await until(lambda: "no task has this name" in caplog.text)
                task = fdi_emulator.add_task(name="later")
                await following(fdi_emulator)
                run = fdi_emulator.add_run(task)
                assert await fired.until(1) == [run]

    asyncio.run(test())


def test_a_connection_that_is_mended_is_read_anew(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "MAX_PAUSE", 0.1)
    task = fdi_emulator.add_task()
    good = fdi_emulator.connection_json()
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", good.replace(fdi_emulator.token, "wrong"))

    async def test() -> None:
        with caplog.at_level(logging.WARNING):
            async with running(trigger(task)) as fired:
                await until(lambda: "next attempt" in caplog.text)
                monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", good)
                fdi_emulator.clear_journal()
                await following(fdi_emulator)
                run = fdi_emulator.add_run(task)
                assert await fired.until(1) == [run]

    asyncio.run(test())


def test_a_store_that_fails_once_does_not_lose_the_cursor(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STORE_PAUSES", (0.0, 0.01, 0.01))
    task = fdi_emulator.add_task()
    store = AssetStore()

    async def test() -> None:
        async with running(trigger(task), store) as fired:
            await following(fdi_emulator)
            keep, refusals = store.aset, iter(range(2))

            async def refuse_twice(key: str, value: Any) -> None:
                if next(refusals, None) is not None:
                    raise RuntimeError("the API server is restarting")
                await keep(key, value)

            monkeypatch.setattr(store, "aset", refuse_twice)
            run = fdi_emulator.add_run(task)
            await fired.until(1)
            await until(lambda: any(run in text for text in store.kept.values()))

    asyncio.run(test())


def test_runs_that_an_airflow_task_reports_are_left_out_if_asked(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AIRFLOW_RUN_KNOWN", 0.0)
    task = fdi_emulator.add_task()
    store = AssetStore()
    store.kept[AIRFLOW_RUNS_KEY + task] = json.dumps(["by-airflow"])

    async def test() -> None:
        async with running(trigger(task, ignore_airflow_runs=True), store) as fired:
            await following(fdi_emulator)
            fdi_emulator.add_run(task, id="by-airflow")
            own = fdi_emulator.add_run(task)
            assert await fired.until(1) == [own]

    asyncio.run(test())


def test_a_run_is_held_back_until_airflow_can_have_reported_it(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with running(trigger(task, ignore_airflow_runs=True), AssetStore()) as fired:
            await following(fdi_emulator)
            run = fdi_emulator.add_run(task)
            seen = sum(fdi_emulator.journal_counts().values())
            await following(fdi_emulator, after=seen)
            assert fired == []
            fdi_emulator.move_clock(int(events.AIRFLOW_RUN_KNOWN * 1000) + 1000)
            assert await fired.until(1) == [run]

    asyncio.run(test())


def test_without_a_store_airflows_own_runs_are_reported_and_that_is_said(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "AIRFLOW_RUN_KNOWN", 0.0)
    task = fdi_emulator.add_task()

    async def test() -> None:
        async with running(trigger(task, ignore_airflow_runs=True)) as fired:
            await following(fdi_emulator)
            run = fdi_emulator.add_run(task)
            assert await fired.until(1) == [run]

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert "ignore_airflow_runs needs Airflow >= 3.3" in caplog.text


def test_a_late_row_is_reported_where_pages_are_read(fdi_emulator: FdiEmulator) -> None:
    tasks = fdi_emulator.add_tasks(5, script={"log_delay_ms": 700})

    async def test() -> None:
        async with running(trigger(tasks)) as fired:
            await following(fdi_emulator, polls=12)
            fdi_emulator.request("POST", f"tasks/{tasks[2]}/run")
            assert await fired.until(1) == [fdi_emulator.runs_started(tasks[2])[0]["run_id"]]

    asyncio.run(test())


def test_triggers_of_one_instance_share_their_requests(fdi_emulator: FdiEmulator) -> None:
    tasks = fdi_emulator.add_tasks(20)

    async def test() -> None:
        watched = trigger(tasks, poll_interval=0.3)
        async with running(watched):
            await until(lambda: fdi_emulator.journal_counts().get("ListMonitorInfos", 0) >= 4)
            fdi_emulator.clear_journal()
            await following(fdi_emulator, polls=3)
            assert fdi_emulator.journal_counts().get("ListMonitorLog", 0) == 0

    asyncio.run(test())


def test_the_serialised_form_makes_an_equal_trigger() -> None:
    made = FdiRunEventTrigger(
        ["b", "a"], statuses={"SUCCESS", "ERROR"}, poll_interval=5, ignore_airflow_runs=True
    )
    path, arguments = made.serialize()

    assert path == "airflow_provider_fdi.triggers.fdi.FdiRunEventTrigger"
    assert FdiRunEventTrigger(**arguments).serialize() == made.serialize()
    assert json.loads(json.dumps(arguments)) == arguments


@pytest.mark.skipif(not hasattr(BaseEventTrigger, "hash"), reason="Airflow 2 has no event triggers")
def test_its_hash_does_not_change_on_the_way_to_the_triggerer() -> None:
    path, arguments = trigger("t").serialize()
    again = FdiRunEventTrigger(**json.loads(json.dumps(arguments)))

    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*again.serialize())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either fdi_task_id or fdi_task_name"),
        ({"fdi_task_id": "t", "fdi_task_name": "n"}, "give this or fdi_task_name, not both"),
        ({"fdi_task_id": "t", "statuses": ["FAILED"]}, r"statuses='FAILED': .*\nDid you mean 'ERROR'\?"),
        ({"fdi_task_id": "t", "statuses": []}, "statuses"),
        ({"fdi_task_id": "t", "poll_interval": 0}, "poll_interval"),
        ({"fdi_task_id": "t", "poll_interval": "soon"}, "poll_interval='soon': must be a number"),
        ({"fdi_task_id": 5}, "fdi_task_id=5: must be a string"),
        ({"fdi_task_id": ["t", None]}, "fdi_task_id=None: must be a string"),
        ({"fdi_task_name": "load_{{ params.table }}"}, "cannot be a template"),
    ],
)
def test_nonsense_is_refused_where_the_dag_is_parsed(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FdiRunEventTrigger(**arguments)


TAKES_QUEUE = hasattr(BaseEventTrigger, "queue")


@pytest.mark.skipif(not TAKES_QUEUE, reason="Airflow has queues of event triggers since 3.4")
def test_a_queue_is_kept_for_airflow_and_is_no_argument_of_the_running_trigger() -> None:
    made = FdiRunEventTrigger("t", queue="fdi")

    assert made.queue == "fdi"
    assert made.serialize() == FdiRunEventTrigger("t").serialize()


@pytest.mark.skipif(TAKES_QUEUE, reason="this Airflow has them")
def test_a_queue_is_refused_where_airflow_would_ignore_it() -> None:
    with pytest.raises(ValueError, match=r"queue='fdi': needs Airflow 3\.4 or later"):
        FdiRunEventTrigger("t", queue="fdi")


def _runner() -> Any:
    from airflow.jobs import triggerer_job_runner

    return triggerer_job_runner.TriggerRunner()


def test_airflows_own_runner_takes_the_events_and_hands_the_trigger_over(fdi_emulator: FdiEmulator) -> None:
    pytest.importorskip("airflow.triggers.shared_stream", reason="asset_state_store is of Airflow 3.3")
    task = fdi_emulator.add_task()
    store = AssetStore()

    async def life(runs: int, number: int) -> list[str]:
        """One triggerer, drained after it has taken the events of `runs` runs: the runs it reported."""
        runner = _runner()
        watcher = trigger(task)
        watcher.asset_state_store = store
        runner.triggers[number] = {"task": None, "is_watcher": True, "name": "watcher", "events": 0}
        following_it = asyncio.create_task(runner.run_trigger(number, watcher))
        if number == 1:
            await following(fdi_emulator)
        made = [fdi_emulator.add_run(task) for _ in range(runs)]
        await until(lambda: len(runner.events) >= runs)
        await stored()
        following_it.cancel()
        await asyncio.gather(following_it, return_exceptions=True)
        reported = [entry.event.payload["fdi_run_id"] for entry in runner.events]
        assert sorted(reported) == sorted(made)
        return reported

    async def test() -> None:
        reported = [run for number in (1, 2, 3) for run in await life(1, number)]
        assert len(set(reported)) == 3

    asyncio.run(test())
