"""How many requests a run costs, counted by the service."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiRunFailed
from tests.reliability.tries import Slice, Tries

pytestmark = pytest.mark.usefixtures("fdi_connection", "events_at_once")

PLAIN = Counter({"ListTasks": 1, "ListMonitorLog": 2, "RunTask": 1})
"""The state of the task, its log before the start, the start, and its log after it."""
ONE_POLL = Counter({"ListMonitorLog": 1})


def counted(emulator: FdiEmulator) -> Counter[str]:
    return Counter(emulator.journal_counts())


@pytest.mark.parametrize("mode", ["synchronous", "deferrable"])
@pytest.mark.parametrize("by_name", [False, True], ids=["id", "name"])
def test_a_run_that_is_over_at_once_costs_four_requests(
    fdi_emulator: FdiEmulator, mode: str, by_name: bool
) -> None:
    task = fdi_emulator.add_task(name="orders", script={"duration_ms": 0})
    tries: Any = Tries(task, mode)
    if by_name:
        tries.options |= {"fdi_task_id": None, "fdi_task_name": "orders"}

    assert tries.run()["status"] == "SUCCESS"

    assert counted(fdi_emulator) == PLAIN


def test_a_poll_in_the_worker_that_sees_the_end_is_the_last_request(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task(script={"duration_ms": 300, "rows": 7})

    assert Tries(task, "synchronous", poll_interval=1).run()["rows"] == 7

    assert counted(fdi_emulator) == PLAIN + ONE_POLL


def test_a_run_that_succeeds_while_its_task_is_deferred_is_read_once(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task(script={"hold": True, "rows": 7})
    tries = Tries(task, "deferrable", poll_interval=0.5)
    deferred = tries.until_deferred("run_ends")
    assert counted(fdi_emulator) == PLAIN
    fdi_emulator.release(task)

    resumed = tries.step(deferred)
    assert isinstance(resumed, Slice)
    result: Any = tries.step(resumed)

    assert (result["status"], result["rows"]) == ("SUCCESS", 7)
    assert counted(fdi_emulator) == PLAIN + ONE_POLL


def test_a_run_that_fails_while_its_task_is_deferred_is_read_again_for_its_steps(
    fdi_emulator: FdiEmulator,
) -> None:
    task = fdi_emulator.add_task(script={"hold": True, "outcome": "ERROR", "remarks": "target is full"})
    tries = Tries(task, "deferrable", poll_interval=0.5)
    deferred = tries.until_deferred("run_ends")
    fdi_emulator.release(task)

    resumed = tries.step(deferred)
    assert isinstance(resumed, Slice)
    with pytest.raises(FdiRunFailed, match="target is full"):
        tries.step(resumed)

    assert counted(fdi_emulator) == PLAIN + ONE_POLL + ONE_POLL


def test_the_event_holds_the_row_without_its_steps(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task(script={"hold": True})
    tries = Tries(task, "deferrable")
    deferred = tries.until_deferred("run_ends")
    fdi_emulator.release(task)

    resumed = tries.step(deferred)

    assert isinstance(resumed, Slice)
    assert resumed.event["run"]["id"] == tries.record["run_id"]
    assert "detail_logs" not in resumed.event["run"]
