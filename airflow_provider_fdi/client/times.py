"""Every way that a time is written, in arguments, answers and headers; all become epoch milliseconds UTC."""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.constants import START_TIME_MAX, START_TIME_MIN

__all__ = ["http_date_ms", "ms_of_answer", "past_ms", "start_time_ms", "text_to_ms", "time_ms"]

# Not compiled here: a DAG file that is parsed needs none of them.
_DIGITS = r"[+-]?[0-9]{1,18}"
_ISO = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"\s*(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_A_TIME = "Give a datetime, ISO 8601 text, or milliseconds since the epoch."
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def text_to_ms(value: str) -> int | None:
    """Epoch milliseconds of digits or ISO 8601 text (no offset: UTC); None for anything else.

    ``datetime.fromisoformat`` takes neither ``Z`` nor three decimals before Python 3.11.
    """
    value = value.strip()
    if re.fullmatch(_DIGITS, value):
        return int(value)
    match = re.fullmatch(_ISO, value)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        moment = dt.datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    ms = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(milliseconds=1)
    if fraction:
        ms += int((fraction + "00")[:3])
    if offset and offset not in "Zz":
        digits = offset[1:].replace(":", "")
        seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
        ms += (seconds if offset[0] == "-" else -seconds) * 1000
    return ms


# Arguments


def time_ms(field: str, value: object) -> int:
    """Epoch milliseconds from a whole number of milliseconds, a datetime, ISO 8601 text, or digits as text.

    A time without an offset is UTC. Numbers of milliseconds before the year 2000 are refused: they are
    seconds, or a date without its dashes.
    """
    ms = _any_ms(field, value)
    number = isinstance(value, (int, float)) or (
        isinstance(value, str) and re.fullmatch(_DIGITS, value.strip())
    )
    if number and 1 <= ms < START_TIME_MIN:
        raise FdiArgumentError(field, value, f"looks like seconds or YYYYMMDD\n{_A_TIME}")
    return ms


def start_time_ms(field: str, value: object) -> int:
    """Start of a schedule."""
    ms = _any_ms(field, value)
    if not START_TIME_MIN <= ms <= START_TIME_MAX:
        rule = (
            f"must be from 2000 to January 2038\nIn milliseconds since the epoch: {START_TIME_MIN} to"
            f" {START_TIME_MAX}; it is {ms}."
        )
        raise FdiArgumentError(field, value, rule)
    return ms


def past_ms(field: str, value: object, *, computed: bool = False) -> int:
    """A time as filters and offsets take it: later than 1970.

    ``computed``: whole numbers come from code, not from a person, so that those before 2000 are meant.
    """
    ms = value if computed and type(value) is int else time_ms(field, value)
    if not 1 <= ms <= 9_999_999_999_999:
        raise FdiArgumentError(field, value, "must be later than 1970 and earlier than 2286")
    return ms


def _any_ms(field: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
        return (aware - _EPOCH) // dt.timedelta(milliseconds=1)
    ms = text_to_ms(value) if isinstance(value, str) else None
    if ms is None:
        raise FdiArgumentError(field, value, f"is not a time\n{_A_TIME}")
    return ms


# Answers


def ms_of_answer(value: Any) -> int | None:
    """Epoch milliseconds from a number, digits, ISO text or a date; None for 0, null and the unreadable."""
    if type(value) is int:
        return value if value > 0 else None
    if isinstance(value, bool) or not isinstance(value, (str, float)):
        return None
    ms = text_to_ms(value) if isinstance(value, str) else None
    if ms is None or ms <= 0:
        try:
            ms = int(float(value))
        except (ValueError, OverflowError):
            return None
    return ms if ms > 0 else None


def http_date_ms(value: str | None) -> int | None:
    """Epoch milliseconds of an HTTP date such as the ``Date`` header; None for anything unreadable."""
    if not value:
        return None
    try:
        return int(parsedate_to_datetime(value).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError, IndexError, OSError):
        return None
