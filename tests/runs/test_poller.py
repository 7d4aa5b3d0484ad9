"""One poller for all waits: how few requests it sends, and that it loses no wait and ends none wrongly."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_fdi.client import Backoff, FdiClient, StaticTokenAuth
from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiNotFoundError,
    FdiServerError,
    FdiThrottledError,
)
from airflow_provider_fdi.client.models import ExecuteStatus, Run, TaskMonitor
from airflow_provider_fdi.client.transport import Gate
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import connect as connect_in_trigger
from airflow_provider_fdi.runs import poller as pollers
from airflow_provider_fdi.runs.poller import Awaited, Poller, SharedPoller, decide, pages_are_cheaper
from airflow_provider_fdi.runs.waits import (
    LOG_LAG_MS,
    AnyRunAppears,
    RunAppears,
    RunCompleted,
    RunEnds,
    Snapshot,
    TaskStatusIs,
    UnreportedRunEnds,
    Wait,
)
from tests.waiting import until

INTERVAL = 0.2

ACTIVE, WAITING, SUCCESS, UNHEARD = (
    ExecuteStatus.RUNNING,
    ExecuteStatus.WAITING,
    ExecuteStatus.SUCCESS,
    ExecuteStatus.UNKNOWN,
)
STARTED = 1_000_000
LATER = STARTED + 60_000


# --- what a page hints at -----------------------------------------------------------------------------------


def monitor(status: ExecuteStatus, last: int | None = STARTED) -> TaskMonitor:
    return TaskMonitor.from_wire(
        {"task_id": "t", "status": 1, "execute_status": status.value, "last_execute_time": last}
    )


ended = RunEnds("t", "r", STARTED)
completed = RunCompleted("t", ("SUCCESS",), STARTED)
unreported = UnreportedRunEnds("t", STARTED, STARTED)


@pytest.mark.parametrize(
    ("wait", "row", "seen", "expected"),
    [
        pytest.param(ended, monitor(ACTIVE), None, False, id="our run goes on"),
        pytest.param(ended, monitor(WAITING), None, False, id="our run is queued"),
        pytest.param(ended, monitor(SUCCESS), None, True, id="over"),
        pytest.param(ended, monitor(SUCCESS), (SUCCESS, STARTED), True, id="over, but its row was late"),
        pytest.param(ended, monitor(UNHEARD), None, True, id="a state that nobody has heard of"),
        pytest.param(ended, monitor(ACTIVE, LATER), None, True, id="the next run has begun"),
        pytest.param(ended, monitor(ACTIVE, LATER), (ACTIVE, LATER), False, id="that was read"),
        pytest.param(ended, monitor(ACTIVE, STARTED + 900), None, False, id="times rounded differently"),
        pytest.param(ended, monitor(ACTIVE, None), None, True, id="no time: the next run cannot be reported"),
        pytest.param(completed, monitor(ACTIVE), None, False, id="sensor: a run goes on"),
        pytest.param(completed, monitor(SUCCESS), None, True, id="sensor: over"),
        pytest.param(completed, monitor(SUCCESS), (ACTIVE, STARTED), True, id="sensor: over by now"),
        pytest.param(completed, monitor(SUCCESS), (SUCCESS, STARTED), False, id="sensor: accounted for"),
        pytest.param(completed, monitor(SUCCESS, LATER), (SUCCESS, STARTED), True, id="sensor: over again"),
        pytest.param(completed, monitor(ACTIVE, LATER), (ACTIVE, STARTED), True, id="sensor: back to back"),
        pytest.param(unreported, monitor(ACTIVE), None, True, id="events: never read"),
        pytest.param(unreported, monitor(ACTIVE), (ACTIVE, STARTED), False, id="events: nothing new"),
        pytest.param(unreported, monitor(SUCCESS), (ACTIVE, STARTED), True, id="events: over"),
        pytest.param(
            RunAppears("t", STARTED, LATER), monitor(ACTIVE), (ACTIVE, STARTED), True, id="row not there yet"
        ),
        pytest.param(
            AnyRunAppears("t", STARTED, LATER), monitor(SUCCESS), None, True, id="run not visible yet"
        ),
    ],
)
def test_the_log_is_read_where_a_page_hints_at_an_end(
    wait: Wait, row: TaskMonitor, seen: tuple[ExecuteStatus, int | None] | None, expected: bool
) -> None:
    assert wait.hinted_by(row, seen) is expected


def run_row(status: str, start: int) -> Run:
    return Run.from_wire({"id": f"run-{start}", "execute_status": status, "start_time": start})


@pytest.mark.parametrize(
    ("runs", "signature", "late"),
    [
        pytest.param((run_row("SUCCESS", STARTED),), (SUCCESS, STARTED), False, id="accounted for"),
        pytest.param((run_row("RUNNING", STARTED),), (SUCCESS, STARTED), True, id="row still active"),
        pytest.param((), (SUCCESS, STARTED), True, id="row missing"),
        pytest.param((run_row("SUCCESS", STARTED),), (ACTIVE, LATER), True, id="row of the next run missing"),
        pytest.param((), (SUCCESS, None), False, id="no time to search for"),
    ],
)
def test_a_log_that_is_behind_the_state_is_read_again(
    runs: tuple[Run, ...], signature: tuple[ExecuteStatus, int | None], late: bool
) -> None:
    assert completed.log_is_late(Snapshot(LATER, runs=runs), signature) is late


def test_a_row_is_not_searched_for_forever() -> None:
    now = STARTED + LOG_LAG_MS + 1
    assert not completed.log_is_late(Snapshot(now), (SUCCESS, STARTED))


@pytest.fixture
def live_waits(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many waits are polled one by one so that their steps are logged; outside of its own tests, one."""
    few = pollers.FEW_WAITS
    monkeypatch.setattr(pollers, "FEW_WAITS", 1)
    return few


@pytest.fixture(autouse=True)
def _pages_for_two(live_waits: int) -> None: ...


@pytest.mark.parametrize("total", [5, None])
def test_few_waits_are_polled_one_by_one_whatever_it_costs(
    live_waits: int, total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "FEW_WAITS", live_waits)
    assert not pages_are_cheaper([(ended, 30.0)] * live_waits, total)
    assert pages_are_cheaper([(ended, 30.0)] * (live_waits + 1), total)


@pytest.mark.parametrize(
    ("waits", "total", "expected"),
    [
        pytest.param([(ended, 30.0)], 5, False, id="one wait"),
        pytest.param([(ended, 30.0)] * 2, 999, True, id="one page for two"),
        pytest.param([(ended, 30.0)] * 2, 1000, False, id="two pages for two"),
        pytest.param([(ended, 30.0)] * 3, 5000, False, id="six pages for three"),
        pytest.param([(ended, 30.0)] * 1000, 1000, True, id="two pages for a thousand"),
        pytest.param([(ended, 30.0)] * 2, None, True, id="not known: the first page shows it"),
        pytest.param([(ended, 5.0)] + [(ended, 300.0)] * 30, 999, True, id="rare polls count little"),
        pytest.param([(ended, 5.0)] + [(ended, 300.0)] * 30, 2000, False, id="too little for three pages"),
        pytest.param(
            [(RunAppears("t", STARTED, LATER), 5.0)] * 100, 10, False, id="pages show nothing of these"
        ),
    ],
)
def test_whichever_costs_fewer_requests_is_chosen(
    waits: list[tuple[Wait, float]], total: int | None, expected: bool
) -> None:
    assert pages_are_cheaper(waits, total) is expected


# --- on the emulator ----------------------------------------------------------------------------------------


GATE = Gate()


@pytest.fixture(autouse=True)
def _open_gate() -> Iterator[None]:
    GATE.not_before = 0.0
    yield
    GATE.not_before = 0.0


Connect = Callable[[], Awaitable[FdiClient]]


def new_client(emulator: FdiEmulator, token: str | None = None) -> FdiClient:
    return FdiClient(
        emulator.url,
        emulator.project_id,
        emulator.instance_id,
        StaticTokenAuth(token or emulator.token),
        retry=Backoff(attempts=1, budget=0.0, retry_after_cap=600.0),
        gate=GATE,
    )


@pytest.fixture
def connect(fdi_emulator: FdiEmulator) -> Connect:
    async def connect() -> FdiClient:
        return new_client(fdi_emulator)

    return connect


def run(
    emulator: FdiEmulator, test: Callable[[Poller], Awaitable[Any]], connect: Connect | None = None
) -> Any:
    """Run a test with a shared poller, in an event loop of its own."""

    async def default() -> FdiClient:
        return new_client(emulator)

    async def main() -> Any:
        async with SharedPoller("key", connect or default) as poller:
            return await asyncio.wait_for(test(poller), 30)

    return asyncio.run(main())


def watch(poller: Poller, wait: Wait, interval: float = INTERVAL, **kwargs: Any) -> asyncio.Future[Snapshot]:
    return poller.watch(wait, poll_interval=interval, **{"poll_failure_timeout": 20.0, **kwargs})


def running(emulator: FdiEmulator, task_id: str, now: int | None = None) -> RunEnds:
    """A run of the task goes on; the wait for its end."""
    now = emulator.now_ms() if now is None else now
    run_id = emulator.add_run(
        task_id, execute_status="RUNNING", start_time=now, dispatch_time=now, end_time=None
    )
    return RunEnds(task_id, run_id, now)


def held(emulator: FdiEmulator, task_id: str) -> Wait:
    """The same with a run that :meth:`FdiEmulator.release` ends."""
    with new_client(emulator) as client:
        client.run_task(task_id)
    row = emulator.runs_started(task_id)[-1]
    return RunEnds(task_id, row["run_id"], row["time"])


def held_tasks(emulator: FdiEmulator, count: int) -> list[Wait]:
    return [held(emulator, task_id) for task_id in emulator.add_tasks(count, script={"hold": True})]


def finished(emulator: FdiEmulator, task_id: str, now: int | None = None) -> RunEnds:
    return RunEnds(task_id, emulator.add_run(task_id), emulator.now_ms() if now is None else now)


def counts(emulator: FdiEmulator) -> Counter[str]:
    return Counter(emulator.journal_counts())


def test_a_thousand_waits_cost_two_requests_an_interval(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(1000)
    now = fdi_emulator.now_ms()
    with ThreadPoolExecutor(4) as threads:
        waits = list(threads.map(lambda task_id: running(fdi_emulator, task_id, now), ids))

    async def test(poller: Poller) -> None:
        for wait in waits:
            watch(poller, wait, 1.0)
        await until(lambda: counts(fdi_emulator)["ListMonitorInfos"] >= 2)
        fdi_emulator.clear_journal()
        began = time.monotonic()
        # Three intervals, the first of which may have begun already.
        await until(lambda: counts(fdi_emulator)["ListMonitorInfos"] >= 6)
        assert time.monotonic() - began >= 1.8
        assert set(fdi_emulator.journal_counts()) == {"ListMonitorInfos"}

    run(fdi_emulator, test)


def test_each_finished_run_costs_one_request_more(fdi_emulator: FdiEmulator) -> None:
    waits = held_tasks(fdi_emulator, 40)

    async def test(poller: Poller) -> None:
        futures = [watch(poller, wait) for wait in waits]
        await until(lambda: counts(fdi_emulator)["ListMonitorInfos"])
        fdi_emulator.clear_journal()
        for wait in waits[:20]:
            fdi_emulator.release(wait.fdi_task_id)
        snapshots = await asyncio.gather(*futures[:20])
        assert {run.execute_status for snapshot in snapshots for run in snapshot.runs} == {SUCCESS}
        assert fdi_emulator.journal_counts()["ListMonitorLog"] == 20
        assert not any(future.done() for future in futures[20:])

    run(fdi_emulator, test)


def test_a_few_waits_in_a_large_instance_are_polled_one_by_one(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(5000)
    waits = [running(fdi_emulator, task_id) for task_id in ids[-3:]]

    async def test(poller: Poller) -> None:
        for wait in waits:
            watch(poller, wait)
        await until(lambda: counts(fdi_emulator)["ListMonitorLog"] >= 9)

    run(fdi_emulator, test)
    # One page, from which the size of the instance is known.
    assert counts(fdi_emulator)["ListMonitorInfos"] == 1
    assert set(counts(fdi_emulator)) == {"ListMonitorInfos", "ListMonitorLog"}


def test_states_of_tasks_are_read_from_the_pages_alone(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(3, started=True, schedule=True)

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, TaskStatusIs(i, "RUNNING")) for i in ids))

    run(fdi_emulator, test)
    assert set(counts(fdi_emulator)) == {"ListMonitorInfos"}


def test_a_thousand_ends_at_once_are_read_little_by_little(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "MIN_POLL_TIME", 0.2)
    waits = [finished(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(25)]

    async def test(poller: Poller) -> float:
        started = time.monotonic()
        await asyncio.gather(*(watch(poller, wait) for wait in waits))
        return time.monotonic() - started

    # Three turns of at most ten.
    assert run(fdi_emulator, test) >= INTERVAL + 2 * 0.2


def test_several_waits_for_one_task_are_all_reported(fdi_emulator: FdiEmulator) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, wait) for _ in range(5)))

    run(fdi_emulator, test)


def test_a_task_that_the_pages_do_not_list_is_polled_by_itself(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [finished(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(3)]
    monkeypatch.setattr(FdiClient, "task_monitor_pages", lambda self: iter(()))

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, wait) for wait in waits))

    run(fdi_emulator, test)


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["ListMonitorInfos", "ListMonitorLog"])
@pytest.mark.parametrize("kind", ["reset_before", "malformed_json", "status"])
def test_failed_polls_are_absorbed(fdi_emulator: FdiEmulator, operation: str, kind: str) -> None:
    waits = [finished(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(2)]
    fdi_emulator.fault(kind, operation=operation, times=1, **({"status": 500} if kind == "status" else {}))

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, wait) for wait in waits))

    run(fdi_emulator, test)


def test_polls_that_fail_for_too_long_fail_the_wait(fdi_emulator: FdiEmulator) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())
    fdi_emulator.fault("status", status=500, times=1000)

    async def test(poller: Poller) -> None:
        with pytest.raises(FdiServerError):
            await watch(poller, wait, poll_failure_timeout=0.3)

    run(fdi_emulator, test)


def test_an_outage_is_asked_about_once_for_all(fdi_emulator: FdiEmulator) -> None:
    now = fdi_emulator.now_ms()
    waits = [finished(fdi_emulator, task_id, now) for task_id in fdi_emulator.add_tasks(200)]
    fdi_emulator.fault("status", operation="ListMonitorInfos", status=500, times=3)

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, wait) for wait in waits))

    run(fdi_emulator, test)
    assert counts(fdi_emulator)["ListMonitorInfos"] == 4


def test_where_all_tasks_may_not_be_listed_each_is_polled(fdi_emulator: FdiEmulator) -> None:
    waits = [finished(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(3)]
    fdi_emulator.fault("status", operation="ListMonitorInfos", status=403, times=1000)

    async def test(poller: Poller) -> None:
        await asyncio.gather(*(watch(poller, wait) for wait in waits))

    run(fdi_emulator, test)
    assert counts(fdi_emulator)["ListMonitorInfos"] == 1


def test_a_task_that_is_gone_fails_its_wait_alone(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(2)
    good = finished(fdi_emulator, ids[0])

    async def test(poller: Poller) -> None:
        gone = watch(poller, RunEnds("no-such-task", "r", good.started))
        await watch(poller, good)
        with pytest.raises(FdiNotFoundError):
            await gone

    run(fdi_emulator, test)


def test_what_one_poll_runs_into_ends_no_other_wait(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(2)
    good, bad = (finished(fdi_emulator, task_id) for task_id in ids)

    class Broken:
        def on_snapshot(self, snapshot: Snapshot) -> None:
            raise ZeroDivisionError

    async def test(poller: Poller) -> None:
        odd = watch(poller, bad, listener=Broken())
        await watch(poller, good)
        with pytest.raises(ZeroDivisionError):
            await odd

    run(fdi_emulator, test)


def test_a_poller_that_breaks_fails_what_is_left(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())

    def broken(*args: object) -> bool:
        raise ZeroDivisionError

    async def test(poller: Poller) -> None:
        monkeypatch.setattr(poller, "_wants_pages", broken)
        with pytest.raises(ZeroDivisionError):
            await watch(poller, wait)
        monkeypatch.undo()
        await watch(poller, wait)  # and it begins again with whoever comes next

    run(fdi_emulator, test)


def test_a_wait_gives_up_after_its_time(fdi_emulator: FdiEmulator) -> None:
    wait = running(fdi_emulator, fdi_emulator.add_task())

    async def test(poller: Poller) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await watch(poller, wait, 60.0, timeout=0.05)

    run(fdi_emulator, test)


def test_a_429_holds_back_every_poller_of_the_same_credentials(
    fdi_emulator: FdiEmulator, connect: Connect
) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())

    async def main() -> None:
        async with (
            SharedPoller("one key", connect) as one,
            SharedPoller("another key", connect) as another,
        ):
            fdi_emulator.fault("status", status=429, headers={"Retry-After": "1"}, times=1)
            await asyncio.gather(watch(one, wait, 0.1), watch(another, wait, 0.3))

    asyncio.run(main())
    times = [row["time"] for row in fdi_emulator.journal("ListMonitorLog")]
    assert len(times) == 3
    assert times[1] - times[0] >= 990


def test_a_429_on_one_connection_does_not_hold_back_another(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())
    for conn_id, auth_type in (("first", "token"), ("second", "aksk")):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", fdi_emulator.connection_json(auth_type))

    async def main() -> float:
        async with (
            SharedPoller("first", lambda: connect_in_trigger("first", None, None)) as first,
            SharedPoller("second", lambda: connect_in_trigger("second", None, None)) as second,
        ):
            fdi_emulator.fault("status", status=429, headers={"Retry-After": "3"}, times=1)
            held_back = watch(first, wait)
            await until(lambda: counts(fdi_emulator)["ListMonitorLog"] == 1)
            began = time.monotonic()
            await watch(second, wait)
            took = time.monotonic() - began
            assert not held_back.done()
            await held_back
            return took

    assert asyncio.run(main()) < 2
    assert counts(fdi_emulator)["ListMonitorLog"] == 3


def test_being_held_back_for_longer_than_polls_may_fail_ends_the_wait(fdi_emulator: FdiEmulator) -> None:
    waits = [finished(fdi_emulator, fdi_emulator.add_task()) for _ in range(3)]
    fdi_emulator.fault("status", status=429, headers={"Retry-After": "100000"}, times=1)

    async def test(poller: Poller) -> None:
        futures = [
            poller.watch(wait, poll_interval=0.1 * number, poll_failure_timeout=0.5)
            for number, wait in enumerate(waits, 1)
        ]
        for future in futures:
            with pytest.raises(FdiThrottledError, match="429"):
                await asyncio.wait_for(future, 5)

    run(fdi_emulator, test)
    # What is asked for is obeyed nevertheless; polls that were under way may still arrive.
    assert counts(fdi_emulator)["ListMonitorLog"] + counts(fdi_emulator)["ListMonitorInfos"] <= 3


def test_a_renewed_connection_is_taken_up_once_what_worked_is_refused(fdi_emulator: FdiEmulator) -> None:
    wait = running(fdi_emulator, fdi_emulator.add_task())
    made: list[FdiClient] = []

    async def connect() -> FdiClient:
        made.append(new_client(fdi_emulator))
        return made[-1]

    async def test(poller: Poller) -> None:
        watch(poller, wait)
        await until(lambda: counts(fdi_emulator)["ListMonitorLog"])
        fdi_emulator.fault("status", status=401, times=1)
        await until(lambda: len(made) == 2)
        await until(lambda: counts(fdi_emulator)["ListMonitorLog"] >= 3)

    run(fdi_emulator, test, connect)


def test_credentials_that_never_worked_fail_the_wait_at_once(fdi_emulator: FdiEmulator) -> None:
    wait = running(fdi_emulator, fdi_emulator.add_task())

    async def connect() -> FdiClient:
        return new_client(fdi_emulator, "another token")

    async def test(poller: Poller) -> None:
        with pytest.raises(FdiAuthError):
            await watch(poller, wait)

    run(fdi_emulator, test, connect)


def test_trouble_with_reading_the_connection_is_absorbed(fdi_emulator: FdiEmulator) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())
    failures = [OSError("the database is gone")]

    async def connect() -> FdiClient:
        if failures:
            raise failures.pop()
        return new_client(fdi_emulator)

    async def test(poller: Poller) -> None:
        await watch(poller, wait)

    run(fdi_emulator, test, connect)


def test_a_connection_that_cannot_be_read_for_long_is_the_cause_of_the_failure(
    fdi_emulator: FdiEmulator,
) -> None:
    async def connect() -> FdiClient:
        raise OSError("the database is gone")

    async def test(poller: Poller) -> None:
        with pytest.raises(FdiConnectionError, match="the database is gone") as caught:
            await watch(poller, ended, poll_failure_timeout=0.0)
        assert isinstance(caught.value.__cause__, OSError)

    run(fdi_emulator, test, connect)


# --- joining, leaving, loops --------------------------------------------------------------------------------


def test_a_cancelled_wait_keeps_the_message_that_distinguishes_a_kill_from_a_shutdown(
    fdi_emulator: FdiEmulator, connect: Connect
) -> None:
    wait = running(fdi_emulator, fdi_emulator.add_task())

    async def trigger() -> tuple[Any, ...]:
        # As Airflow does: who awaits the task would see no message before Python 3.11.
        with pytest.raises(asyncio.CancelledError) as caught:
            async with SharedPoller("key", connect) as poller:
                await watch(poller, wait)
        return caught.value.args

    async def main() -> tuple[Any, ...]:
        task = asyncio.create_task(trigger())
        await until(lambda: counts(fdi_emulator)["ListMonitorLog"])
        task.cancel("__airflow_user_action__")
        return await task

    assert asyncio.run(main()) == ("__airflow_user_action__",)


def test_the_last_to_leave_ends_the_poller(fdi_emulator: FdiEmulator, connect: Connect) -> None:
    wait = running(fdi_emulator, fdi_emulator.add_task())

    async def main() -> None:
        async with SharedPoller("key", connect) as poller:
            watch(poller, wait).cancel()
            task = poller._task
        assert task is not None
        await asyncio.wait([task], timeout=5)
        assert task.done()

    asyncio.run(main())


def test_cancelled_waits_are_not_polled(fdi_emulator: FdiEmulator) -> None:
    stays, leaves = (running(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(2))

    async def test(poller: Poller) -> None:
        watch(poller, stays)
        watch(poller, leaves).cancel()
        await until(lambda: counts(fdi_emulator)["ListMonitorLog"] >= 2)

    run(fdi_emulator, test)
    assert all(stays.fdi_task_id in row["path"] for row in fdi_emulator.journal())


def test_users_of_a_key_share_a_poller_until_all_have_left(connect: Connect) -> None:
    async def main() -> None:
        async with SharedPoller("key", connect) as first:
            async with SharedPoller("key", connect) as second, SharedPoller("another key", connect) as other:
                assert first is second
                assert other is not first
            async with SharedPoller("key", connect) as third:
                assert third is first
        async with SharedPoller("key", connect) as later:
            assert later is not first

    asyncio.run(main())


def test_a_wait_handed_over_goes_on_with_a_new_poller(fdi_emulator: FdiEmulator, connect: Connect) -> None:
    (wait,) = held_tasks(fdi_emulator, 1)

    async def trigger() -> Snapshot:
        async with SharedPoller("key", connect) as poller:
            return await watch(poller, wait)

    async def main() -> None:
        before = asyncio.create_task(trigger())
        await asyncio.sleep(0)
        before.cancel()
        after = asyncio.create_task(trigger())
        fdi_emulator.release(wait.fdi_task_id)
        await asyncio.wait_for(after, 10)

    asyncio.run(main())


def test_each_event_loop_has_its_own_poller(fdi_emulator: FdiEmulator) -> None:
    wait = finished(fdi_emulator, fdi_emulator.add_task())

    async def test(poller: Poller) -> int:
        await watch(poller, wait)
        return id(asyncio.get_running_loop())

    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(lambda _: run(fdi_emulator, test), range(2)))) == 2


def test_a_shorter_interval_is_not_kept_waiting_by_a_longer_one(fdi_emulator: FdiEmulator) -> None:
    slow, fast = (finished(fdi_emulator, task_id) for task_id in fdi_emulator.add_tasks(2))

    async def test(poller: Poller) -> None:
        watch(poller, slow, 3600.0)
        await asyncio.sleep(0.05)
        await asyncio.wait_for(watch(poller, fast, 0.1), 5)

    run(fdi_emulator, test)


def test_what_the_poller_logs_belongs_to_no_task(fdi_emulator: FdiEmulator) -> None:
    task_of = contextvars.ContextVar("task_of", default="nobody")
    seen: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(task_of.get())

    wait = finished(fdi_emulator, fdi_emulator.add_task())
    fdi_emulator.fault("status", status=500, times=1)

    async def test(poller: Poller) -> None:
        task_of.set("the first task")
        await watch(poller, wait)

    recorder = Recorder()
    pollers.log.addHandler(recorder)
    try:
        run(fdi_emulator, test)
    finally:
        pollers.log.removeHandler(recorder)
    assert seen
    assert set(seen) == {"nobody"}


def test_nothing_is_kept_of_tasks_that_nobody_waits_for(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(50)
    waits = [running(fdi_emulator, ids[0]), finished(fdi_emulator, ids[1])]
    with new_client(fdi_emulator) as client:
        pages = pollers.read_pages(client, [Awaited(wait, None) for wait in waits], None, math.inf)
    assert pages.total == 50
    assert pages.decisions.decided == []
    assert [index for index, _ in pages.decisions.unchanged] == [0]
    assert [index for index, _ in pages.decisions.hinted] == [1]
    assert pages.not_listed == []


def test_a_page_decides_hints_or_changes_nothing() -> None:
    status = TaskStatusIs("t", "RUNNING")
    awaited = [Awaited(ended, None), Awaited(completed, (ACTIVE, STARTED)), Awaited(status, None)]

    goes_on = decide([monitor(ACTIVE)], LATER, awaited, {"t": (0, 1, 2)})
    over = decide([monitor(SUCCESS)], LATER, awaited, {"t": (0, 1, 2)})
    of_another = decide([monitor(SUCCESS)], LATER, awaited, {"another": (0, 1, 2)})

    assert [index for index, _ in goes_on.unchanged] == [0, 1]
    assert over.hinted == [(0, (SUCCESS, STARTED)), (1, (SUCCESS, STARTED))]
    assert [(index, snapshot.now) for index, snapshot in over.decided] == [(2, LATER)]
    assert (of_another.decided, of_another.hinted, of_another.unchanged) == ([], [], [])
