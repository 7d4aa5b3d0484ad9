from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_provider_fdi.client import rules
from airflow_provider_fdi.client.errors import FdiInvalidRequestError
from airflow_provider_fdi.client.models import TaskType


@pytest.mark.parametrize("name", ["abc", "a.b", "9-_", "A" * 100])
def test_good_task_names(name: str) -> None:
    assert rules.task_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "ab", ".ab", "_ab", "a b", "a/b", "日报任务", "A" * 101, "abc\n", None, 7]
)
def test_bad_task_names(name: Any) -> None:
    with pytest.raises(FdiInvalidRequestError, match="task_name"):
        rules.task_name(name)


def test_task_type_is_sent_in_upper_case_as_plain_text() -> None:
    assert rules.task_type("timing") == "TIMING"
    found = rules.task_type(TaskType.REALTIME)
    assert (found, type(found)) == ("REALTIME", str)


@pytest.mark.parametrize(("given", "sent"), [(1, 1), (59, 59), ("7", 7)])
def test_good_intervals(given: Any, sent: int) -> None:
    assert rules.dispatch_interval(given) == sent


@pytest.mark.parametrize("given", [0, 60, -1, True, 1.5, "x", None])
def test_bad_intervals(given: Any) -> None:
    with pytest.raises(FdiInvalidRequestError, match="from 1 to 59"):
        rules.dispatch_interval(given)


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
    assert rules.parse_time_ms(given, "t") == 1605339505609
    assert rules.start_time(given) == 1605339505609


@pytest.mark.parametrize("given", ["", "soon", "2020-02-30", "{{ ds }}", None, True, 1.5, [], "25:00"])
def test_bad_times(given: Any) -> None:
    with pytest.raises(
        FdiInvalidRequestError, match=r"t=.*must be a datetime, ISO 8601 text, or epoch milliseconds"
    ):
        rules.parse_time_ms(given, "t")


@pytest.mark.parametrize(
    "given", [1, 946_684_799_999, 20261122.0, "20261122", " 20261122 ", "+20261122", "1795324815", 1795324815]
)
def test_seconds_and_dates_without_dashes_are_no_milliseconds(given: Any) -> None:
    with pytest.raises(FdiInvalidRequestError, match=r"t=.*looks like seconds or YYYYMMDD: give a datetime"):
        rules.parse_time_ms(given, "t")


def test_early_moments_are_taken_where_they_cannot_be_misread() -> None:
    assert rules.parse_time_ms("2026-11-22", "t") == 1795305600000
    assert rules.parse_time_ms("1999-12-31", "t") == 946598400000
    assert rules.parse_time_ms(dt.datetime(1970, 1, 2), "t") == 86_400_000
    assert rules.parse_time_ms(946_684_800_000, "t") == 946_684_800_000
    assert rules.parse_time_ms(0, "t") == 0


@pytest.mark.parametrize("given", [946_684_799_999, 2_147_512_447_001])
def test_start_times_out_of_range(given: int) -> None:
    with pytest.raises(FdiInvalidRequestError, match="must lie between"):
        rules.start_time(given)
    assert rules.start_time(946_684_800_000) == 946_684_800_000


def test_operation_types_are_one_to_three() -> None:
    assert rules.operation_types(["insert", "INSERT", "delete"]) == ["INSERT", "DELETE"]
    for bad in ([], "INSERT", ["MERGE"], None, [1]):
        with pytest.raises(FdiInvalidRequestError, match="INSERT, UPDATE, DELETE"):
            rules.operation_types(bad)


def test_table_names_without_what_fdi_does_not_support() -> None:
    assert rules.table("my-schema.orders", "source_table") == "my-schema.orders"
    for bad in ("s.a-b", "s.a#b", "", "x" * 257):
        with pytest.raises(FdiInvalidRequestError, match="source_table"):
            rules.table(bad, "source_table")


def test_ids_are_encoded_into_one_segment() -> None:
    assert rules.path_id("a b%日", "task_id") == "a%20b%25%E6%97%A5"


@pytest.mark.parametrize("given", [" a", "a ", "\u3000a", "a\u00a0"])
def test_ids_with_white_space_around_them(given: str) -> None:
    with pytest.raises(FdiInvalidRequestError, match="must not begin or end with white space"):
        rules.identifier(given, "task_id")
