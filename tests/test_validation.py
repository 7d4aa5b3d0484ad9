from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.enums import TaskType
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.times import start_time_ms, time_ms


@pytest.mark.parametrize("name", ["abc", "a.b", "9-_", "A" * 100])
def test_good_task_names(name: str) -> None:
    assert validation.task_name("task_name", name) == name


@pytest.mark.parametrize("name", ["", "ab", ".ab", "_ab", "a b", "a/b", "日报任务", "abc\n", None, 7])
def test_bad_task_names(name: Any) -> None:
    with pytest.raises(FdiArgumentError, match=re.escape(f"task_name={name!r}: ")):
        validation.task_name("task_name", name)


def test_a_long_task_name_is_cut_in_its_refusal() -> None:
    with pytest.raises(FdiArgumentError, match=r"^task_name='A+…': must have 3 to 100 characters, has 101\n"):
        validation.task_name("task_name", "A" * 101)


def test_task_type_is_sent_in_upper_case_as_plain_text() -> None:
    assert validation.task_type("task_type", "timing") == "TIMING"
    found = validation.task_type("task_type", TaskType.REALTIME)
    assert (found, type(found)) == ("REALTIME", str)


@pytest.mark.parametrize(("given", "sent"), [(1, 1), (59, 59), ("7", 7)])
def test_good_intervals(given: Any, sent: int) -> None:
    assert validation.dispatch_interval("dispatch_interval", given) == sent


@pytest.mark.parametrize("given", [0, 60, -1, True, 1.5, "x", None])
def test_bad_intervals(given: Any) -> None:
    with pytest.raises(FdiArgumentError, match=f"dispatch_interval={given!r}: .*1 to 59"):
        validation.dispatch_interval("dispatch_interval", given)


@pytest.mark.parametrize(
    "given",
    [
        1605339505609,
        "1605339505609",
        "2020-11-14T07:38:25.609Z",
        "2020-11-14T07:38:25.609",
        "2020-11-14 15:38:25.609+08:00",
        "2020-11-14T15:38:25.609+0800",
        dt.datetime(2020, 11, 14, 7, 38, 25, 609_000),
        dt.datetime(2020, 11, 14, 15, 38, 25, 609_000, tzinfo=dt.timezone(dt.timedelta(hours=8))),
        1605339505609.0,
    ],
)
def test_times_in_every_form(given: Any) -> None:
    assert time_ms("t", given) == 1605339505609
    assert start_time_ms("start_time", given) == 1605339505609


@pytest.mark.parametrize("given", ["", "soon", "2020-02-30", "{{ ds }}", None, True, 1.5, [], "25:00"])
def test_bad_times(given: Any) -> None:
    with pytest.raises(FdiArgumentError, match=r"^t=.*: is not a time\nGive a datetime, ISO 8601 text, or"):
        time_ms("t", given)


@pytest.mark.parametrize(
    "given", [1, 946_684_799_999, 20261122.0, "20261122", " 20261122 ", "+20261122", "1795324815", 1795324815]
)
def test_seconds_and_dates_without_dashes_are_no_milliseconds(given: Any) -> None:
    with pytest.raises(FdiArgumentError, match=r"^t=.*: looks like seconds or YYYYMMDD\nGive a datetime"):
        time_ms("t", given)


def test_early_moments_are_taken_where_they_cannot_be_misread() -> None:
    assert time_ms("t", "2026-11-22") == 1795305600000
    assert time_ms("t", "1999-12-31") == 946598400000
    assert time_ms("t", dt.datetime(1970, 1, 2)) == 86_400_000
    assert time_ms("t", 946_684_800_000) == 946_684_800_000
    assert time_ms("t", 0) == 0


@pytest.mark.parametrize("given", [946_684_799_999, 2_147_512_447_001])
def test_start_times_out_of_range(given: int) -> None:
    with pytest.raises(FdiArgumentError, match=r"must be from 2000 [^\n]*\n.*946684800000 to 2147512447000"):
        start_time_ms("start_time", given)
    assert start_time_ms("start_time", 946_684_800_000) == 946_684_800_000


def test_operation_types_are_one_to_three() -> None:
    assert validation.operation_types("operation_types", ["insert", "INSERT", "delete"]) == [
        "INSERT",
        "DELETE",
    ]
    for bad in ([], "INSERT", ["MERGE"], None, [1]):
        with pytest.raises(FdiArgumentError, match=r"operation_types=.*INSERT, UPDATE, DELETE"):
            validation.operation_types("operation_types", bad)


def test_table_names_without_what_fdi_does_not_support() -> None:
    assert validation.table("source_table", "my-schema.orders") == "my-schema.orders"
    for bad in ("s.a-b", "s.a#b", "", "x" * 257):
        with pytest.raises(FdiArgumentError, match=f"source_table='{bad[:20]}"):
            validation.table("source_table", bad)


def test_ids_are_encoded_into_one_segment() -> None:
    assert validation.path_id("task_id", "a b%日") == "a%20b%25%E6%97%A5"


@pytest.mark.parametrize("given", [" a", "a ", "\u3000a", "a\u00a0"])
def test_ids_with_white_space_around_them(given: str) -> None:
    with pytest.raises(FdiArgumentError, match=r"task_id=.*white space"):
        validation.identifier("task_id", given)
