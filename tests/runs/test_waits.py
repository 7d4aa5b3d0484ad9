"""The kinds of wait: their JSON, and from when on each reads the log."""

from __future__ import annotations

import json

import pytest

from airflow_provider_fdi.client.models import Run, Task
from airflow_provider_fdi.runs.waits import (
    COMPLETED_LOOKBACK_MS,
    LOOKBACK_MS,
    AnyRunAppears,
    LogIdle,
    RunAppears,
    RunCompleted,
    RunEnds,
    Snapshot,
    TaskHealthy,
    TaskIdle,
    TaskStatusIs,
    UnreportedRunEnds,
    Wait,
)

NOW = 1_700_000_000_000

ALL = [
    RunAppears("t", NOW, NOW + 5, ("a", "b")),
    RunEnds("t", "r", NOW),
    RunEnds("t", "r"),
    AnyRunAppears("t", NOW, NOW + 5),
    LogIdle("t"),
    RunCompleted("t", ("SUCCESS", "ERROR"), NOW),
    RunCompleted("t", ("SUCCESS",)),
    UnreportedRunEnds("t", NOW, NOW, ("a",)),
    TaskIdle("t"),
    TaskHealthy("t", ("ERROR",)),
    TaskStatusIs("t", "RUNNING"),
]


@pytest.mark.parametrize("wait", ALL, ids=lambda wait: type(wait).__name__)
def test_a_wait_survives_json(wait: Wait) -> None:
    assert Wait.from_json(json.loads(json.dumps(wait.to_json()))) == wait


@pytest.mark.parametrize("wait", ALL, ids=lambda wait: type(wait).__name__)
def test_a_wait_has_no_dict(wait: Wait) -> None:
    assert not hasattr(wait, "__dict__")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "unknown wait"),
        ({"kind": "of a later version", "fdi_task_id": "t"}, "unknown wait.*of a later version"),
        ({"kind": "run_ends", "fdi_task_id": "t"}, "missing.*'run_id'"),
        ({"kind": "task_idle", "fdi_task_id": "t", "more": 1}, "unexpected keyword argument 'more'"),
    ],
    ids=["none", "unknown kind", "field missing", "unknown field"],
)
def test_what_is_no_wait_is_refused_as_a_triggerer_expects(value: dict[str, object], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Wait.from_json(value)


@pytest.mark.parametrize(
    ("wait", "begin_time"),
    [
        (RunAppears("t", NOW, NOW + 5), NOW - LOOKBACK_MS),
        (RunEnds("t", "r", NOW), NOW - LOOKBACK_MS),
        (RunEnds("t", "r", 5), 1),
        (RunEnds("t", "r"), None),
        (RunCompleted("t", (), NOW), NOW - COMPLETED_LOOKBACK_MS),
        (RunCompleted("t", (), NOW, NOW - COMPLETED_LOOKBACK_MS), NOW - COMPLETED_LOOKBACK_MS - LOOKBACK_MS),
        (RunCompleted("t", (), NOW, NOW), NOW - COMPLETED_LOOKBACK_MS),
        (RunCompleted("t", (), None, NOW), None),
        (TaskIdle("t"), None),
    ],
)
def test_the_log_is_read_from_before_the_awaited_time(wait: Wait, begin_time: int | None) -> None:
    assert wait.begin_time == begin_time


@pytest.mark.parametrize(
    ("wait", "over"),
    [
        (RunAppears("t", NOW, NOW + 9), True),
        (RunAppears("t", NOW, NOW + 9, ("r",)), False),
        (RunAppears("t", NOW, NOW, ("r",)), True),
        (RunEnds("t", "r"), False),
        (AnyRunAppears("t", NOW, NOW + 9), True),
        (LogIdle("t"), False),
        (RunCompleted("t", ("SUCCESS",)), False),
        (UnreportedRunEnds("t", NOW, NOW), False),
        (TaskIdle("t"), False),
        (TaskHealthy("t"), True),
        (TaskStatusIs("t", "RUNNING"), True),
        (TaskStatusIs("t", "STOPPED"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_run_in_progress_means_for_each_wait(wait: Wait, over: bool) -> None:
    run = Run.from_wire({"id": "r", "execute_status": "RUNNING", "start_time": NOW})
    task = Task.from_wire({"task_id": "t", "status": 1, "execute_status": "RUNNING"})
    snapshot = Snapshot(NOW, runs=(run,)) if wait.in_log else Snapshot(NOW, task=task)

    assert wait.is_over(snapshot) is over
