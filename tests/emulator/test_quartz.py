"""The Quartz subset, by itself."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_fdi.emulator.service.quartz import Quartz


def firings(expression, after, count, zone=timezone.utc):
    plan, moment, rows = Quartz.parse(expression), after, []
    for _ in range(count):
        moment = plan.next_after(moment, zone)
        rows.append(moment.astimezone(zone).strftime("%Y-%m-%d %H:%M"))
    return rows


START = datetime(2024, 2, 1, 12, 7, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 30 12 * * ?", ["2024-02-01 12:30", "2024-02-02 12:30"]),
        ("0 0/15 1-4 * * ?", ["2024-02-02 01:00", "2024-02-02 01:15"]),
        ("0 5,50 */6 * * ?", ["2024-02-01 12:50", "2024-02-01 18:05"]),
        ("0 0 0 ? * 1", ["2024-02-04 00:00", "2024-02-11 00:00"]),
        ("0 0 0 ? * SUN", ["2024-02-04 00:00", "2024-02-11 00:00"]),
        ("0 0 0 ? * MON-FRI", ["2024-02-02 00:00", "2024-02-05 00:00"]),
        ("0 0 0 ? * FRI-MON", ["2024-02-02 00:00", "2024-02-03 00:00"]),
        ("0 0 0 L * ?", ["2024-02-29 00:00", "2024-03-31 00:00"]),
        ("0 0 0 L-2 * ?", ["2024-02-27 00:00", "2024-03-29 00:00"]),
        ("0 0 0 LW * ?", ["2024-02-29 00:00", "2024-03-29 00:00"]),
        ("0 0 0 17W * ?", ["2024-02-16 00:00", "2024-03-18 00:00"]),
        ("0 0 0 ? * 6L", ["2024-02-23 00:00", "2024-03-29 00:00"]),
        ("0 0 0 ? * 2#2", ["2024-02-12 00:00", "2024-03-11 00:00"]),
        ("0 0 0 29 FEB ?", ["2024-02-29 00:00", "2028-02-29 00:00"]),
        ("0 0 0 1 1/3 ?", ["2024-04-01 00:00", "2024-07-01 00:00"]),
        ("0 0 22-1 * * ?", ["2024-02-01 22:00", "2024-02-01 23:00"]),
    ],
)
def test_next_firings(expression, expected):
    assert firings(expression, START, 2) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "0 0 0 * *",
        "0 0 0 * * ? 2024",
        "1 0 0 * * ?",
        "0 60 0 * * ?",
        "0 0 24 * * ?",
        "0 0 0 * * *",
        "0 0 0 ? * ?",
        "0 0 0 32 * ?",
        "0 0 0 ? * 8",
        "0 0 0 ? * 0",
        "0 0 0 ? * 2#6",
        "0 0 0 5C * ?",
        "0 0 0 * 13 ?",
        "0 a 0 * * ?",
        "0 0/0 0 * * ?",
        "0 , 0 * * ?",
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(expression):
    with pytest.raises(ValueError, match=r".{5,}"):
        Quartz.parse(expression)


def test_a_local_time_that_does_not_exist_is_skipped():
    berlin = ZoneInfo("Europe/Berlin")
    after = datetime(2024, 3, 30, 12, tzinfo=timezone.utc)
    assert firings("0 30 2 * * ?", after, 1, berlin) == ["2024-04-01 02:30"]


def test_a_local_time_that_exists_twice_fires_once():
    berlin = ZoneInfo("Europe/Berlin")
    after = datetime(2024, 10, 26, 12, tzinfo=timezone.utc)
    assert firings("0 30 2 * * ?", after, 2, berlin) == ["2024-10-27 02:30", "2024-10-28 02:30"]
