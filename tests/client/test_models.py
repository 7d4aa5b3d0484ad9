from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from airflow_provider_fdi.client import models
from airflow_provider_fdi.client.models import (
    BatchResult,
    Column,
    Datasource,
    ExecuteStatus,
    Listing,
    Run,
    Schedule,
    TableMapping,
    Task,
    TaskCounts,
    TaskMonitor,
    TaskStatus,
    TaskType,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, TaskStatus.STOPPED),
        ("0", TaskStatus.STOPPED),
        (0.0, TaskStatus.STOPPED),
        ("stop", TaskStatus.STOPPED),
        ("Stopped", TaskStatus.STOPPED),
        (1, TaskStatus.RUNNING),
        ("running", TaskStatus.RUNNING),
        ("started", TaskStatus.RUNNING),
        (2, TaskStatus.UNKNOWN),
        ("paused", TaskStatus.UNKNOWN),
        (None, TaskStatus.UNKNOWN),
        ({}, TaskStatus.UNKNOWN),
    ],
)
def test_activation_in_every_spelling(value: Any, expected: TaskStatus) -> None:
    assert Task.from_wire({"task_id": "t", "status": value}).status is expected
    assert TaskMonitor.from_wire({"task_id": "t", "status": value}).status is expected


@pytest.mark.parametrize("value", ["TIMING", "timing", "Timing"])
def test_task_type_in_any_case(value: str) -> None:
    assert Task.from_wire({"task_id": "t", "task_type": value}).task_type is TaskType.TIMING


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1605288733684, 1605288733684),
        ("1605288733684", 1605288733684),
        (1605288733684.0, 1605288733684),
        ("2020-11-13T17:32:13.684Z", 1605288733684),
        ("2020-11-14T01:32:13.684+08:00", 1605288733684),
        ("2020-11-13T17:32:13.684123", 1605288733684),
        ("2020-11-13", 1605225600000),
        (0, None),
        ("0", None),
        (-1, None),
        (None, None),
        ("", None),
        ("soon", None),
        ("2020-13-40", None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ([], None),
        ({}, None),
    ],
)
def test_times_in_every_spelling(value: Any, expected: int | None) -> None:
    assert Task.from_wire({"task_id": "t", "created_date": value}).created_time == expected


def test_names_of_times_differ_between_operations() -> None:
    assert Task.from_wire({"task": {"task_id": "t", "last_modified_date": 5}}).modified_time == 5
    assert Task.from_wire({"task_id": "t", "last_modified_time": 5}).modified_time == 5
    source = Datasource.from_wire({"datasource_id": "d", "create_time": 5, "update_time": 6})
    assert (source.created_time, source.modified_time) == (5, 6)


@pytest.mark.parametrize(("value", "expected"), [("cdc", True), ("CDC", True), (None, False), ("", False)])
def test_composite_by_ext_type(value: Any, expected: bool) -> None:
    assert Task.from_wire({"task_id": "t", "ext_type": value}).is_composite is expected
    assert TaskMonitor.from_wire({"task_id": "t", "ext_type": value}).is_composite is expected


def test_state_of_a_run_is_known_from_the_listing_only() -> None:
    assert Task.from_wire({"task": {"task_id": "t", "status": "running"}}).execute_status is None
    assert (
        Task.from_wire({"task_id": "t", "execute_status": "success"}).execute_status is ExecuteStatus.SUCCESS
    )


@pytest.mark.parametrize(
    ("status", "active", "terminal"),
    [
        ("UNSTARTED", False, False),
        ("WAITING", True, False),
        ("RUNNING", True, False),
        ("SUCCESS", False, True),
        ("CANCELLED", False, True),
        ("ERROR", False, True),
        ("PAUSED", False, False),
        (None, False, False),
    ],
)
def test_what_is_active_and_what_is_over(status: Any, active: bool, terminal: bool) -> None:
    found = Run.from_wire({"id": "r", "execute_status": status}).execute_status
    assert (found.is_active, found.is_terminal) == (active, terminal)


def test_unknown_fields_are_kept() -> None:
    row = {"task_id": "t", "new_field": {"a": 1}}
    assert Task.from_wire(row).raw["new_field"] == {"a": 1}


def test_run_with_all_its_numbers() -> None:
    run = Run.from_wire(
        {
            "id": "r",
            "execute_status": "SUCCESS",
            "status": 901,
            "dispatch_time": 1,
            "start_time": 2,
            "end_time": 0,
            "data_count": "336776",
            "dirty_data_count": 2.0,
            "data_size": "1.5",
            "data_size_unit": "KB",
            "spend_time": 7,
            "remarks": "Task execute success",
            "detail_logs": [
                {"id": "s", "status": 100, "step_begin_time": 3, "step_end_time": None},
                "?",
                None,
            ],
        }
    )
    assert (run.run_id, run.step_code, run.end_time, run.rows, run.dirty_rows) == ("r", 901, None, 336776, 2)
    assert (run.data_size, run.bytes) == (1.5, 1536)
    (step,) = run.steps
    assert (step.code, step.begin_time, step.end_time) == (100, 3, None)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (7, None, 7),
        (7, "B", 7),
        (1, "MB", 1048576),
        (2, "gb", 2 * 1024**3),
        (1, "TB", 1024**4),
        (1, "PB", None),
        (None, "B", None),
        ("x", "B", None),
    ],
)
def test_bytes_of_a_run(size: Any, unit: Any, expected: int | None) -> None:
    assert Run.from_wire({"id": "r", "data_size": size, "data_size_unit": unit}).bytes == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        *((data, "not a JSON object") for data in (None, [], "x", 7, {"task": []})),
        *((data, "no task_id") for data in ({}, {"task_id": ""}, {"task_id": None})),
    ],
    ids=str,
)
def test_what_cannot_be_a_task_is_refused(data: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Task.from_wire(data)


def test_secrets_are_not_in_the_repr() -> None:
    task = Task.from_wire({"task": {"task_id": "t"}, "task_detail": '{"password": "hidden-one"}'})
    source = Datasource.from_wire({"datasource_id": "d", "content": {"password": "hidden-one"}})
    assert "hidden-one" not in repr(task) + repr(source)
    assert source.content == {"password": "hidden-one"}


def test_answers_are_frozen_and_pickle() -> None:
    task = Task.from_wire({"task_id": "t"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.task_id = "u"  # type: ignore[misc]
    for value in (task, Run.from_wire({"id": "r", "detail_logs": [{"id": "s"}]}), Listing((task,), 1, 2)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_listing_is_a_sequence() -> None:
    listing = Listing((1, 2, 3), total=7)
    assert (list(listing), len(listing), listing[0], listing[1:]) == ([1, 2, 3], 3, 1, (2, 3))


@pytest.mark.parametrize(
    ("answer", "good", "bad"),
    [
        ({"success_count": 2, "failure_count": 0, "success": None, "failure": None}, ["a", "b"], []),
        ({"success": [{"task_id": "a"}], "failure": [{"task_id": "b", "error_code": "X"}]}, ["a"], ["b"]),
        ({"failure": [{"task_id": "b"}]}, [], ["a", "b"]),
        ({"success": [{"task_id": "a"}]}, ["a"], ["b"]),
        ({"success_count": 1, "failure_count": 1, "success": [{"task_id": "b"}]}, ["b"], ["a"]),
        ({"success": [{"task_id": "a"}, {"task_id": "b"}], "failure": [{"task_id": "b"}]}, ["a"], ["b"]),
    ],
)
def test_batch_accounts_for_every_task(answer: Any, good: list[str], bad: list[str]) -> None:
    result = BatchResult.from_wire(answer, ["a", "b"])
    assert [i.task_id for i in result.succeeded] == good
    assert [i.task_id for i in result.failed] == bad


def test_schedule_of_the_documentation() -> None:
    schedule = Schedule.from_wire(
        {
            "dispatch_id": "a0f7",
            "task_id": "1536",
            "start_datetime": "2020-11-14T07:38:25.609Z",
            "period": "DAY",
            "dispatch_interval": 1,
            "created_date": 1605311230685,
            "remark": "123",
            "use_quartz_cron": False,
            "cron": "",
        }
    )
    assert (schedule.start_time, schedule.cron, schedule.use_quartz_cron) == (1605339505609, None, False)


def test_flags_of_a_column_are_texts() -> None:
    column = Column.from_wire(
        {"field_name": "A", "field_length": 64, "null_able": "0", "primary": "1", "unique": None}
    )
    assert (column.field_length, column.nullable, column.primary, column.unique) == ("64", False, True, None)


def test_mapping_with_its_columns() -> None:
    mapping = TableMapping.from_wire(
        {
            "id": "m",
            "source_table": "S.A",
            "status": "auto",
            "source_columns": [{"field_name": "ID", "field_length": 7}],
            "mapping": [{"source_column": "ID", "target_column": "NODE"}],
        }
    )
    assert mapping.status == "AUTO"
    assert mapping.source_columns[0].field_length == "7"
    assert mapping.mapping_columns[0].target_column == "NODE"


def test_counts_with_a_kind_missing() -> None:
    counts = TaskCounts.from_wire({"common_task_details": {"running_tasks_count": 3}})
    assert (counts.common.running, counts.composite.running) == (3, 0)


def test_lone_surrogates_do_not_reach_a_database() -> None:
    task = Task.from_wire({"task_id": "t", "task_name": "a\ud800b"})
    assert task.task_name == "a?b"


def test_mappings_may_come_in_several_blocks() -> None:
    page = models.mapping_page(
        [{"total": 1, "mappings": [{"id": "a"}]}, {"total": 2, "mappings": [{"id": "b"}]}]
    )
    assert ([m["id"] for m in page.entities], page.total) == (["a", "b"], 3)
