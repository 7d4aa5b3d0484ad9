"""Cron expressions in the form FDI takes.

That is Quartz with six fields, seconds fixed at 0, weekdays 1 = SUN … 7 = SAT. Taken are that form itself
(checked), five-field Unix cron (weekdays 0 or 7 = SUN) and Airflow's presets. What Quartz cannot say is
refused with the reason, because a schedule that quietly differs would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_fdi.client.errors import FdiArgumentError

__all__ = ["to_quartz"]

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_NO_CRON = {
    "@once": "FDI cannot fire a schedule once\nCreate no schedule, and run the task instead.",
    "@continuous": "FDI has no continuous schedule\nUse a REALTIME task, or an interval.",
    "@reboot": "FDI has no reboot",
    "@none": "no schedule is not a cron expression\nLeave it out.",
}
_DAYS = {name: i for i, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_MONTHS = {
    name: i
    for i, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}
_QUARTZ_DAYS = {name: i + 1 for name, i in _DAYS.items()}
_BOTH_DAYS = (
    "sets both day and weekday, which FDI cannot do\n"
    "Unix cron fires when either matches; in Quartz, exactly one of the two must be '?'. Use two tasks, or"
    " drop one of the fields."
)


class _Refused(Exception):
    """The reason, in words, why an expression cannot be taken."""


def to_quartz(expression: object, *, field: str = "cron") -> str:
    """The Quartz form of a Quartz, five-field Unix or preset expression.

    :raises FdiArgumentError: names the expression and the reason.
    """
    try:
        return _convert(expression)
    except _Refused as refusal:
        raise FdiArgumentError(field, expression, str(refusal)) from None


def _convert(expression: object) -> str:
    if expression is None:
        raise _Refused("no schedule is not a cron expression\nLeave it out.")
    if not isinstance(expression, str):
        raise _Refused(f"must be text, not {type(expression).__name__}")
    if "{" in expression or "}" in expression:
        raise _Refused("has braces: a template was not rendered")
    text = expression.strip()
    if not text:
        raise _Refused("must not be empty")
    if text.startswith("@"):
        preset = text.lower()
        if preset not in _PRESETS:
            known = ", ".join(_PRESETS)
            raise _Refused(_NO_CRON.get(preset, f"is no preset that FDI can fire\nKnown are {known}."))
        text = _PRESETS[preset]
    fields = text.upper().split()
    if len(fields) == 5:
        quartz = _unix(fields)
    elif len(fields) == 6:
        quartz = _quartz(fields)
    elif len(fields) == 7:
        raise _Refused("has seven fields, but FDI takes no year\nGive the first six.")
    else:
        raise _Refused(
            f"has {len(fields)} field{'' if len(fields) == 1 else 's'}, not five or six\n"
            "Five are Unix cron (minute hour day month weekday), six are Quartz (second minute hour day month"
            f" weekday); {', '.join(_PRESETS)} are known as well."
        )
    if len(quartz) > 255:
        raise _Refused(f"is longer than 255 characters in Quartz form ({len(quartz)})")
    return quartz


# Unix, five fields


def _unix(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    day_free, weekday_free = day in ("*", "?", "*/1"), weekday in ("*", "?", "*/1")
    if not day_free and not weekday_free:
        raise _Refused(_BOTH_DAYS)
    quartz_day = "?" if not weekday_free else "*" if day_free else _unix_day(day)
    quartz_weekday = "?" if weekday_free else _unix_weekday(weekday)
    return " ".join(
        (
            "0",
            _unix_field("minute", minute, 0, 59),
            _unix_field("hour", hour, 0, 23),
            quartz_day,
            _unix_field("month", month, 1, 12, _MONTHS),
            quartz_weekday,
        )
    )


def _unix_day(text: str) -> str:
    if text == "L":
        return "L"
    if "L" in text or "W" in text:
        raise _Refused(f"day {text!r} is not Unix cron\nIt needs the six fields of Quartz: 0 0 2 L * ?")
    return _unix_field("day of the month", text, 1, 31)


def _unix_field(name: str, text: str, low: int, high: int, names: dict[str, int] | None = None) -> str:
    """A field whose numbers mean the same in Quartz; only what Quartz may read otherwise is written out."""
    parts = text.split(",")
    if "?" in parts:
        raise _Refused(f"{name} must not be '?'")
    out = [_unix_part(name, part, low, high, names or {}) for part in parts]
    return "*" if "*" in out else ",".join(out)


def _unix_part(name: str, part: str, low: int, high: int, names: dict[str, int]) -> str:
    first, last, step = _parse_part(name, part, low, high, names)
    if first is None:
        return "*" if step in (None, 1) else f"{low}/{step}"
    if step is None:
        if last is None:
            return str(first)
        return f"{first}-{last}" if first <= last else _listed(_span(first, last, low, high, 1))
    if last is None:
        return f"{first}/{step}"
    return _listed(_span(first, last, low, high, step))


def _span(first: int, last: int, low: int, high: int, step: int) -> list[int]:
    """The numbers from first to last, going over the end of the field where last comes before first."""
    if first <= last:
        return list(range(first, last + 1, step))
    size = high - low + 1
    return [low + (n - low) % size for n in range(first, last + size + 1, step)]


def _listed(numbers: Iterable[int]) -> str:
    """Sorted numbers, three or more in a row as a range."""
    rest = sorted(set(numbers))
    out: list[str] = []
    while rest:
        run = 1
        while run < len(rest) and rest[run] == rest[0] + run:
            run += 1
        out += [f"{rest[0]}-{rest[run - 1]}"] if run > 2 else [str(n) for n in rest[:run]]
        rest = rest[run:]
    return ",".join(out)


# Patterns are not compiled here: a DAG file that is parsed needs none of them.
_PART = r"(\*|\?|[A-Z]{3}|[0-9]{1,2})(?:-([A-Z]{3}|[0-9]{1,2}))?(?:/([0-9]{1,3}))?"


def _parse_part(
    name: str, part: str, low: int, high: int, names: dict[str, int]
) -> tuple[int | None, int | None, int | None]:
    """First (None for ``*``), last and step of one item of a list."""
    match = re.fullmatch(_PART, part)
    if match is None or (match[1] in "*?" and match[2]) or (match[1] == "?" and match[3]):
        raise _Refused(f"{name} has {part!r}\nIt must be a number, range, step or list.")
    step = None if match[3] is None else int(match[3])
    if step is not None and not 1 <= step <= high:
        raise _Refused(f"{name} has the step {step}: must be 1 to {high}")
    first = None if match[1] in "*?" else _value(name, match[1], low, high, names)
    last = None if match[2] is None else _value(name, match[2], low, high, names)
    return first, last, step


def _value(name: str, text: str, low: int, high: int, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdigit():
        raise _Refused(f"{name} has the unknown name {text!r}")
    if not low <= int(text) <= high:
        raise _Refused(f"{name} has {text}: must be {low} to {high}")
    return int(text)


_NTH = r"([A-Z]{3}|[0-7])#([0-9]+)"
_LAST = r"L([A-Z]{3}|[0-7])|([A-Z]{3}|[0-7])L"


def _unix_weekday(text: str) -> str:
    """Weekdays as Quartz numbers: Unix 0 or 7 = SUN becomes 1, 6 = SAT becomes 7."""
    parts = text.split(",")
    for part in parts:
        nth, last = re.fullmatch(_NTH, part), re.fullmatch(_LAST, part)
        if (nth or last) and len(parts) > 1:
            raise _Refused(f"weekday has {text!r}\nQuartz takes '#' and 'L' only alone, not in a list.")
        if nth:
            if not 1 <= int(nth[2]) <= 5:
                raise _Refused(f"weekday has {part!r}\nA month has a first to a fifth of a weekday.")
            return f"{_value('weekday', nth[1], 0, 7, _DAYS) % 7 + 1}#{int(nth[2])}"
        if last:
            return f"{_value('weekday', last[1] or last[2], 0, 7, _DAYS) % 7 + 1}L"
    found: set[int] = set()
    for part in parts:
        first, end, step = _parse_part("weekday", part, 0, 7, _DAYS)
        if first is None:
            days: Iterable[int] = range(0, 7, step or 1)
        elif end is None:
            days = [first] if step is None else range(first % 7, 7, step)
        elif first <= end:
            days = range(first, end + 1, step or 1)  # 5-7 ends on the Sunday that is also 0
        else:
            days = _span(first % 7, end, 0, 6, step or 1)
        found.update(d % 7 for d in days)
    return "*" if len(found) == 7 else _listed(d + 1 for d in found)


# Quartz, six fields


def _quartz(fields: list[str]) -> str:
    second, minute, hour, day, month, weekday = fields
    if not second.isdigit() or int(second) != 0:
        raise _Refused(
            f"seconds must be 0, are {second!r}\n"
            "Six fields are read as Quartz, seconds first; a minute is the finest that FDI fires."
        )
    if (day == "?") == (weekday == "?"):
        both = day == "?"
        raise _Refused(
            f"{'both day and weekday are' if both else 'neither day nor weekday is'} '?'\n"
            "In Quartz, exactly one of day of the month and weekday must be '?'."
        )
    return " ".join(
        (
            "0",
            _quartz_field("minute", minute, 0, 59, {}),
            _quartz_field("hour", hour, 0, 23, {}),
            day if day == "?" else _quartz_day(day),
            _quartz_field("month", month, 1, 12, _MONTHS),
            weekday if weekday == "?" else _quartz_weekday(weekday),
        )
    )


def _quartz_field(name: str, text: str, low: int, high: int, names: dict[str, int]) -> str:
    for part in text.split(","):
        if part == "?":
            raise _Refused(f"{name} must not be '?'")
        _parse_part(name, part, low, high, names)
    return text


_QUARTZ_DAY = r"L|LW|L-([0-9]{1,2})|([0-9]{1,2})W"
_QUARTZ_LAST = r"([A-Z]{3}|[0-9])L"
_QUARTZ_NTH = r"([A-Z]{3}|[0-9])#([0-9]+)"


def _quartz_day(text: str) -> str:
    match = re.fullmatch(_QUARTZ_DAY, text)
    if match is None:
        if "L" in text or "W" in text:
            raise _Refused(f"day of the month has {text!r}\n'L' and 'W' stand alone (L, LW, L-3, 15W).")
        return _quartz_field("day of the month", text, 1, 31, {})
    if match[1] and not 0 <= int(match[1]) <= 30:
        raise _Refused(f"day of the month has {text!r}: the offset must be 0 to 30")
    if match[2]:
        _value("day of the month", match[2], 1, 31, {})
    return text


def _quartz_weekday(text: str) -> str:
    if text == "L":
        return text
    nth, last = re.fullmatch(_QUARTZ_NTH, text), re.fullmatch(_QUARTZ_LAST, text)
    if nth or last:
        match = nth or last
        assert match is not None
        _value("weekday (1 = SUN … 7 = SAT)", match[1], 1, 7, _QUARTZ_DAYS)
        if nth and not 1 <= int(nth[2]) <= 5:
            raise _Refused(f"weekday has {text!r}\nA month has a first to a fifth of a weekday.")
        return text
    if "#" in text:
        raise _Refused(f"weekday has {text!r}\n'#' stands alone (6#2).")
    return _quartz_field("weekday (1 = SUN … 7 = SAT)", text, 1, 7, _QUARTZ_DAYS)
