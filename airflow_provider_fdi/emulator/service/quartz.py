"""Quartz expressions as the service takes them: six fields, seconds 0, exactly one of day and week is ``?``.

Evaluated: ``,`` ``-`` ``*`` ``/`` in all fields; ``?`` ``L`` ``L-n`` ``LW`` ``nW`` in day; ``?`` ``L`` ``nL``
``n#k`` in week (1 = SUN ... 7 = SAT, or names); names of months. Not evaluated, and refused: a year field,
other seconds than 0, ``C``, and both or none of day and week.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

_MONTHS = {name: number for number, name in enumerate(("JAN", "FEB", "MAR", "APR", "MAY", "JUN"), 1)} | {
    name: number for number, name in enumerate(("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 7)
}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
# Quartz's 2099 is far beyond the service's own range of start times.
_HORIZON_DAYS = 366 * 30


@dataclass(frozen=True)
class Quartz:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    day: str
    week: str

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(expression: str) -> Quartz:
        """Raises ValueError with the reason."""
        fields = expression.upper().split()
        if len(fields) != 6:
            raise ValueError(f"a Quartz expression has six fields, not {len(fields)}")
        second, minute, hour, day, month, week = fields
        if second != "0":
            raise ValueError("the seconds must be 0")
        if (day == "?") == (week == "?"):
            raise ValueError("exactly one of day and week must be ?")
        if day != "?":
            _check_day(day)
        if week != "?":
            _check_week(week)
        return Quartz(
            minutes=tuple(sorted(_values(minute, 0, 59, {}))),
            hours=tuple(sorted(_values(hour, 0, 23, {}))),
            months=frozenset(_values(month, 1, 12, _MONTHS)),
            day=day,
            week=week,
        )

    def next_after(self, after: datetime, zone: tzinfo) -> datetime | None:
        """The first firing later than `after` (aware), in UTC; None within thirty years.

        A local time that does not exist (clocks put forward) is skipped; one that exists twice fires once.
        """
        local = after.astimezone(zone)
        day = local.date()
        for _ in range(_HORIZON_DAYS):
            if day.month in self.months and self._matches(day):
                for hour in self.hours:
                    if day == local.date() and hour < local.hour - 1:
                        continue
                    for minute in self.minutes:
                        moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                        utc = moment.astimezone(timezone.utc)
                        exists = utc.astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None)
                        if exists and utc > after:
                            return utc
            day += timedelta(days=1)
        return None

    def _matches(self, day: date) -> bool:
        if self.week == "?":
            return any(day.day == number for number in _days_of_month(self.day, day.year, day.month))
        return any(_matches_week(part, day) for part in self.week.split(","))


def _number(text: str, low: int, high: int, names: dict[str, int]) -> int:
    value = names.get(text)
    if value is None:
        if not re.fullmatch(r"\d{1,2}", text):
            raise ValueError(f"{text!r} is not a number from {low} to {high}")
        value = int(text)
    if not low <= value <= high:
        raise ValueError(f"{text!r} is not within {low} to {high}")
    return value


def _values(field: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high, {}) if slash else 1
        if span in ("*", "") and (span or slash):
            first, last = low, high
        elif "-" in span:
            left, _, right = span.partition("-")
            first, last = _number(left, low, high, names), _number(right, low, high, names)
        else:
            first = _number(span, low, high, names)
            last = high if slash else first
        if first <= last:
            values.update(range(first, last + 1, step))
        else:
            # a span across the end, such as 22-2 or FRI-MON
            size = high - low + 1
            values.update((number - low) % size + low for number in range(first, last + size + 1, step))
    return values


def _check_day(field: str) -> None:
    for part in field.split(","):
        if part in ("L", "LW") or re.fullmatch(r"L-([12]?\d|30)", part):
            continue
        match = re.fullmatch(r"(\d{1,2})W", part)
        if match:
            _number(match[1], 1, 31, {})
        else:
            _values(part, 1, 31, {})


def _days_of_month(field: str, year: int, month: int) -> set[int]:
    last = calendar.monthrange(year, month)[1]
    days: set[int] = set()
    for part in field.split(","):
        if part == "L":
            days.add(last)
        elif part == "LW":
            days.add(_nearest_weekday(year, month, last))
        elif part.startswith("L-"):
            days.add(last - int(part[2:]))
        elif part.endswith("W"):
            if int(part[:-1]) <= last:
                days.add(_nearest_weekday(year, month, int(part[:-1])))
        else:
            days |= _values(part, 1, 31, {})
    return days


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """The Monday to Friday nearest to a day, without leaving the month."""
    last = calendar.monthrange(year, month)[1]
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _check_week(field: str) -> None:
    for part in field.split(","):
        nth = re.fullmatch(r"([A-Z]{3}|\d)#([1-5])", part)
        last = re.fullmatch(r"([A-Z]{3}|\d)L", part)
        if nth or last:
            _number((nth or last)[1], 1, 7, _DAYS)  # type: ignore[index]
        elif part != "L":
            _values(part, 1, 7, _DAYS)


def _matches_week(part: str, day: date) -> bool:
    number = day.isoweekday() % 7 + 1
    if part == "L":
        return number == 7
    if "#" in part:
        wanted, _, count = part.partition("#")
        return number == _number(wanted, 1, 7, _DAYS) and (day.day - 1) // 7 + 1 == int(count)
    if part.endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return number == _number(part[:-1], 1, 7, _DAYS) and day.day + 7 > last
    return number in _values(part, 1, 7, _DAYS)
