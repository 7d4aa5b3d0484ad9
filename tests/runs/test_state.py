"""What a try remembers: records of runs, creates and batches in one state."""

from __future__ import annotations

import pytest

from airflow_provider_fdi.runs.state import BATCH_KEY, RUN_KEY, BatchRecord, CreateRecord, RunRecord, TryState
from tests.taskinstance import Store

RUN = RunRecord("t", 0, 1, 1_000, 2_000, baseline=("a",))
CREATE = CreateRecord("fdi_create", 0, "nightly")
BATCH = BatchRecord(0, "start", ("t1", "t2"))


def test_a_run_is_read_again_from_the_store() -> None:
    store = Store()
    state = TryState.open(store)
    assert state.record is None
    state.write(RUN)
    state.update(run_id="r")

    again = TryState.open(store)

    assert again.open_record == state.record
    assert again.is_stored


def test_without_a_store_a_run_comes_from_the_event() -> None:
    state = TryState.open(None, carried=RUN.to_json())

    assert state.open_record == RUN
    assert state.is_stored


def test_a_closed_run_is_not_continued_and_not_ours() -> None:
    state = TryState.open(Store())
    record = state.write(RUN)
    assert record.is_ours

    closed = state.update(is_open=False)

    assert state.open_record is None
    assert not closed.is_ours


def test_a_try_that_has_ended_stores_nothing() -> None:
    store = Store()
    state = TryState.open(store)
    state.try_ended = True
    state.write(RUN)

    assert store.get(RUN_KEY) is None
    assert state.record == RUN


@pytest.mark.parametrize(
    "value", [None, {}, [], "text", {"fdi_task_id": "t"}, RUN.to_json() | {"deadline": "x"}]
)
def test_what_is_no_record_is_ignored(value: object) -> None:
    assert RunRecord.from_json(value) is None
    assert BatchRecord.from_json(value) is None


def test_a_create_is_remembered_until_it_is_forgotten() -> None:
    state = TryState.open(Store())
    assert not state.remembers(CREATE)
    state.remember(CREATE)

    assert state.remembers(CREATE)
    assert not state.remembers(CreateRecord("fdi_create", 0, "another"))
    assert not state.remembers(CreateRecord("fdi_create", 1, "nightly"))
    state.forget(CREATE)
    assert not state.remembers(CREATE)


def test_a_batch_is_remembered_for_its_action_until_the_task_is_cleared() -> None:
    store = Store()
    state = TryState.open(store)
    assert state.batch(0, "start") is None
    state.remember(BATCH)

    assert state.batch(0, "start") == BATCH
    assert state.batch(0, "stop") is None
    assert state.batch(1, "start") is None
    assert store.get(BATCH_KEY) == {"clear_generation": 0, "action": "start", "succeeded": ["t1", "t2"]}


def test_nothing_is_remembered_without_a_store() -> None:
    state = TryState.open(None)
    state.remember(CREATE)
    state.remember(BATCH)
    state.forget(CREATE)

    assert not state.remembers(CREATE)
    assert state.batch(0, "start") is None
