from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest

from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.errors import FdiArgumentError


@pytest.mark.parametrize(
    ("given", "quartz"),
    [
        ("@hourly", "0 0 * * * ?"),
        ("@daily", "0 0 0 * * ?"),
        ("@midnight", "0 0 0 * * ?"),
        ("@weekly", "0 0 0 ? * 1"),
        ("@monthly", "0 0 0 1 * ?"),
        ("@quarterly", "0 0 0 1 1/3 ?"),
        ("@yearly", "0 0 0 1 1 ?"),
        ("@ANNUALLY", "0 0 0 1 1 ?"),
    ],
)
def test_presets_of_airflow(given: str, quartz: str) -> None:
    assert to_quartz(given) == quartz


@pytest.mark.parametrize(
    ("given", "quartz"),
    [
        ("30 6 * * *", "0 30 6 * * ?"),
        ("*/15 * * * *", "0 0/15 * * * ?"),
        ("*/1 */1 * * *", "0 * * * * ?"),
        ("5/15 * * * *", "0 5/15 * * * ?"),
        ("0-30/10 8-18 * * *", "0 0,10,20,30 8-18 * * ?"),
        ("0 22-2 * * *", "0 0 0-2,22,23 * * ?"),
        ("05 007 * * *", None),
        ("0 0 1,15 * *", "0 0 0 1,15 * ?"),
        ("0 0 L * *", "0 0 0 L * ?"),
        ("0 0 ? * 1", "0 0 0 ? * 2"),
        ("0 0 1 jan-mar,JUL *", "0 0 0 1 1-3,7 ?"),
        ("0 0 1 */3 *", "0 0 0 1 1/3 ?"),
        ("0\t0   * * *", "0 0 0 * * ?"),
    ],
)
def test_unix_fields_other_than_the_weekday(given: str, quartz: str | None) -> None:
    if quartz is None:
        with pytest.raises(FdiArgumentError):
            to_quartz(given)
    else:
        assert to_quartz(given) == quartz


@pytest.mark.parametrize(
    ("unix", "quartz"),
    [
        ("0", "1"),
        ("7", "1"),
        ("SUN", "1"),
        ("6", "7"),
        ("1-5", "2-6"),
        ("mon-fri", "2-6"),
        ("5-7", "1,6,7"),
        ("6-7", "1,7"),
        ("6-1", "1,2,7"),
        ("sat-sun", "1,7"),
        ("7-2", "1-3"),
        ("0-6", "*"),
        ("1-7", "*"),
        ("*/2", "1,3,5,7"),
        ("*/3", "1,4,7"),
        ("1-5/2", "2,4,6"),
        ("1,3,5", "2,4,6"),
        ("0,7", "1"),
        ("SUN,2-3", "1,3,4"),
        ("5#2", "6#2"),
        ("FRI#2", "6#2"),
        ("0#1", "1#1"),
        ("7#5", "1#5"),
        ("L5", "6L"),
        ("5L", "6L"),
        ("LFRI", "6L"),
        ("L0", "1L"),
    ],
)
def test_unix_weekdays_become_quartz_numbers(unix: str, quartz: str) -> None:
    assert to_quartz(f"0 12 * * {unix}") == f"0 0 12 ? * {quartz}"


@pytest.mark.parametrize(
    "quartz",
    [
        "0 30 12 * * ?",
        "0 0/15 1-4 * * ?",
        "0 0 0 ? * MON-FRI",
        "0 0 0 L * ?",
        "0 0 0 LW * ?",
        "0 0 0 L-3 * ?",
        "0 0 0 15W * ?",
        "0 0 0 1,15 JAN,JUL ?",
        "0 0 0 ? * 6#3",
        "0 0 0 ? * FRI#3",
        "0 0 0 ? * 6L",
        "0 0 0 ? * L",
        "0 0 0 ? * 1,7",
        "0 */5 * ? * *",
    ],
)
def test_quartz_is_taken_as_it_is(quartz: str) -> None:
    assert to_quartz(quartz) == quartz


def test_quartz_is_written_in_one_form() -> None:
    assert to_quartz("  00 0  0 ?\t* mon-fri ") == "0 0 0 ? * MON-FRI"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "Leave it out"),
        (7, "must be text"),
        (dt.timedelta(days=1), "must be text"),
        ("", "must not be empty"),
        ("@once", "cannot fire a schedule once"),
        ("@continuous", "no continuous schedule"),
        ("@fortnightly", "is no preset"),
        ("{{ params.cron }} * * * *", "template"),
        ("0 0 1 * 1", r"sets both day and weekday, which FDI cannot do\n(?s:.*)\nUse two tasks"),
        ("0 0 */2 * 1", "sets both day and weekday"),
        ("0 0 1 * 0-6", "sets both day and weekday"),
        ("* * *", r"has 3 fields, not five or six\n.*Unix.*Quartz.*@daily"),
        ("daily", r"has 1 field, not five or six\n"),
        ("every day", r"has 2 fields, not five or six\n"),
        ("0 0 0 1 1 ? 2026", "seven fields, but FDI takes no year"),
        ("60 * * * *", "minute has 60: must be 0 to 59"),
        ("* 24 * * *", "hour has 24"),
        ("* * 0 * *", "day of the month has 0"),
        ("* * * 13 *", "month has 13"),
        ("* * * * 8", "weekday has 8: must be 0 to 7"),
        ("* * * FOO *", "unknown name 'FOO'"),
        ("* * * * FOO", "unknown name 'FOO'"),
        ("*/0 * * * *", "step 0"),
        ("*/60 * * * *", "step 60"),
        ("1-2-3 * * * *", r"minute has '1-2-3'\nIt must be a number, range, step or list"),
        ("1,,2 * * * *", "must be a number, range, step or list"),
        ("? * * * *", "must not be"),
        ("R * * * *", "must be a number, range"),
        ("0 0 * * 5#6", "a first to a fifth"),
        ("0 0 * * 1,5#2", "only alone"),
        ("0 0 15W * *", "15W"),
        ("5 0 0 * * ?", "seconds must be 0"),
        ("0/10 0 0 * * ?", "seconds must be 0"),
        ("* * * * * *", "seconds must be 0"),
        ("0 0 0 * * *", r"neither day nor weekday is '\?'\n.* exactly one"),
        ("0 0 0 1 * 2", r"neither day nor weekday is '\?'\n.* exactly one"),
        ("0 0 0 ? * ?", r"both day and weekday are '\?'\n.* exactly one"),
        ("0 0 0 ? * 0", "1 = SUN .* must be 1 to 7"),
        ("0 0 0 ? * 8", "must be 1 to 7"),
        ("0 60 0 * * ?", "minute has 60"),
        ("0 0 0 1,L * ?", "stand alone"),
        ("0 0 0 32W * ?", "must be 1 to 31"),
        ("0 0 0 L-31 * ?", "offset"),
        ("0 0 0 ? * 6#6", "a first to a fifth"),
        ("0 0 0 ? * 2,6#2", "stands alone"),
        ("0 ? 0 * * ?", "must not be"),
    ],
)
def test_what_fdi_cannot_fire_is_refused_with_the_reason(given: Any, reason: str) -> None:
    with pytest.raises(FdiArgumentError, match=reason) as caught:
        to_quartz(given)
    assert str(caught.value).startswith("cron=")
    assert isinstance(caught.value, ValueError)


# An evaluator of Quartz, short and apart from the code under test

NAMES = {n: i for i, n in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}


def in_field(field: str, value: int, low: int, high: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start = low if first == "*" else int(first)
        end = high if first == "*" or (step and not last) else int(last or first)
        if start <= value <= end and (value - start) % int(step or 1) == 0:
            return True
    return False


def quartz_fires(expression: str, at: dt.datetime) -> bool:
    second, minute, hour, day, month, week = expression.split()
    assert second == "0"
    weekday = at.isoweekday() % 7 + 1
    if not (
        in_field(minute, at.minute, 0, 59)
        and in_field(hour, at.hour, 0, 23)
        and in_field(month, at.month, 1, 12)
    ):
        return False
    next_week = at + dt.timedelta(days=7)
    if day == "L":
        return (at + dt.timedelta(days=1)).month != at.month
    if day != "?":
        return in_field(day, at.day, 1, 31)
    if week.endswith("L"):
        return weekday == int(week[:-1]) and next_week.month != at.month
    if "#" in week:
        wanted, nth = map(int, week.split("#"))
        return weekday == wanted and (at.day - 1) // 7 + 1 == nth
    return in_field(week, weekday, 1, 7)


def random_field(rng: random.Random, low: int, high: int) -> str:
    def part() -> str:
        a, b = sorted(rng.sample(range(low, high + 1), 2))
        step = rng.randint(1, max(1, (high - low) // 2))
        return rng.choice([str(a), f"{a}-{b}", f"{a}-{b}/{step}", f"*/{step}", "*"])

    return ",".join(part() for _ in range(rng.choice([1, 1, 1, 2, 3])))


def random_unix(rng: random.Random) -> str:
    day = random_field(rng, 1, 31) if rng.random() < 0.3 else "*"
    week = "*"
    if day == "*" and rng.random() < 0.8:
        week = rng.choice([random_field(rng, 0, 7), "5#2", "sat#1", "L3", "mon-fri", "fri-sun", "0,6"])
    return f"{random_field(rng, 0, 59)} {random_field(rng, 0, 23)} {day} {random_field(rng, 1, 12)} {week}"


def test_converted_expressions_fire_when_the_unix_ones_do() -> None:
    croniter = pytest.importorskip("croniter").croniter
    rng = random.Random(1)
    for _ in range(250):
        unix = random_unix(rng)
        quartz = to_quartz(unix)
        # Moments near those at which it fires, and others anywhere.
        start = dt.datetime(2026, 1, 1) + dt.timedelta(minutes=rng.randint(0, 525_600))
        moments = [start + dt.timedelta(minutes=rng.randint(0, 525_600)) for _ in range(10)]
        try:
            found = croniter(unix, start)
            moments += [found.get_next(dt.datetime) for _ in range(8)]
        except ValueError:  # 31 February and the like never fire
            pass
        moments += [m + dt.timedelta(days=1) for m in moments]
        fires = croniter(unix)  # croniter.match() parses the expression each time
        for moment in moments:
            try:
                expected = fires.get_prev(dt.datetime, start_time=moment + dt.timedelta(seconds=1)) == moment
            except ValueError:
                expected = False
            assert quartz_fires(quartz, moment) == expected, (unix, quartz, moment)
