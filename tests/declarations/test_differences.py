"""Two descriptions of a task are compared by what they mean."""

# ruff: noqa: E501 - a pair is a line of the table

from __future__ import annotations

import json

import pytest

from airflow_provider_fdi.client.models import Datasource, Schedule, Task
from airflow_provider_fdi.declarations.actual import Actual, ActualTask
from airflow_provider_fdi.declarations.differences import differences, is_ignored
from airflow_provider_fdi.declarations.model import ScheduleDeclaration, TaskDeclaration

SOURCES = tuple(Datasource(datasource_id=name * 4, datasource_name=name) for name in ("shop", "dwh"))


def changes(actual, declared, schedule=None, declared_schedule=None):
    row = {"task_id": "1" * 32, "task_name": "orders", "task_type": "TIMING", "status": 0}
    sides = {"source_datasource_id": "shop" * 4, "target_datasource_id": "dwh" * 4}
    text = actual if isinstance(actual, str) else json.dumps(actual)
    shown = Task.from_wire({"task": {**row, **sides}, "task_detail": text})
    found = ActualTask(Task.from_wire(row), shown, schedule)
    task = TaskDeclaration("orders", "timing", "shop", "dwh", detail=declared, schedule=declared_schedule)
    found_differences = differences(task, found, Actual({"orders": (found,)}, SOURCES, "instance-1"))
    every = (*found_differences.task, *found_differences.schedule)
    return [(change.path, change.actual, change.declared) for change in every]


@pytest.mark.parametrize(
    ("actual", "declared"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": "true"}, {"a": True}),
        ({"a": 1.0}, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1, "b": None, "c": [], "d": {}, "e": "", "f": False, "g": "false"}, {"a": 1}),
        ({"source_selected_datasource": {"source_table": "t"}}, {"sourceSelectedDatasource": {"sourceTable": "t"}}),
        ({"m": [{"field_name": "a", "x": 1}, {"field_name": "b"}]}, {"m": [{"field_name": "b"}, {"field_name": "a", "x": "1"}]}),
        ({"m": [{"op": 1}, {"op": 2}]}, {"m": [{"op": 2}, {"op": 1}]}),
        ({"body": '{"b": 1, "a": 2}'}, {"body": '{"a": 2,"b":1}'}),
        ({"body": '{"b": 1}'}, {"body": {"b": 1}}),
        ({"a": 1, "needAPI": True, "targetDsId": "x", "task_name": "orders"}, {"a": 1}),
        ({"a": 1, "sourceSelectedDatasource": {"instanceId": "instance-1"}}, {"a": 1}),
        ({"mappingRequired": True, "a": 1}, {"a": 1}),
        ({"password": "clear"}, {"password": "${X}"}),
        ({"password": "***"}, {}),
        ({"strange": "******"}, {"strange": "${ANY_SECRET}"}),
        ({"h": [{"keys": "Authorization", "value": "abc"}]}, {"h": [{"keys": "Authorization", "value": "${X}"}]}),
        ({"u": "http://h/?a=1&token=abc"}, {"u": "http://h/?a=1&token=${X_TOKEN}"}),
        ({"a": "${b}"}, {"a": "$${b}"}),
    ],
)  # fmt: skip
def test_what_means_the_same_is_no_difference(actual, declared):
    assert changes(actual, declared) == []


@pytest.mark.parametrize(
    ("actual", "declared", "expected"),
    [
        ({"a": 1}, {"a": 2}, ("detail.a", 1, 2)),
        ({"a": True}, {}, ("detail.a", True, None)),
        ({}, {"a": {"b": "x"}}, ("detail.a.b", None, "x")),
        ({"m": [{"field_name": "a", "t": 1}]}, {"m": [{"field_name": "a", "t": 2}]}, ("detail.m[a].t", 1, 2)),
        ({"o": ["a", "b"]}, {"o": ["a", "c"]}, ("detail.o[1]", "b", "c")),
        ({"mappingRequired": False}, {"mappingRequired": True}, ("detail.mappingRequired", False, True)),
        ({"mappingRequired": False}, {}, ("detail.mappingRequired", False, None)),
        ({"b": '{"user": "x", "password": "p"}'}, {"b": '{"user": "y", "password": "${P}"}'}, ("detail.b.user", "x", "y")),
        ({"u": "http://h/?a=1&token=abc"}, {"u": "http://h/?a=2&token=abc"}, ("detail.u", "http://h/?a=1&token=***", "http://h/?a=2&token=***")),
    ],
)  # fmt: skip
def test_what_differs_is_named(actual, declared, expected):
    assert changes(actual, declared) == [expected]


def test_a_detail_that_is_no_json_differs_as_a_whole():
    assert changes("no JSON", {"a": 1}) == [("detail.a", None, 1), ("detail", "no JSON", None)]


def test_a_schedule_is_compared_by_what_the_file_says():
    row = {
        "dispatch_id": "d",
        "use_quartz_cron": True,
        "cron": "0 0 3 * * ?",
        "start_datetime": 1893456000000,
    }
    found = Schedule.from_wire(row)
    same = ScheduleDeclaration(cron="0 0 3 * * ?")
    assert changes({}, {}, found, same) == []
    other = ScheduleDeclaration(period="DAY", every=1, start_time=1893456000001)
    assert changes({}, {}, found, other) == [
        ("schedule.period", None, "DAY"),
        ("schedule.every", None, 1),
        ("schedule.start", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.001Z"),
    ]
    assert changes({}, {}, None, same) == [("schedule.cron", None, "0 0 3 * * ?")]


def test_paths_can_be_ignored():
    assert is_ignored("detail.a.b", ("detail.a",))
    assert is_ignored("detail.m[x].y", ("detail.*.y",))
    assert not is_ignored("detail.ab", ("detail.a",))
