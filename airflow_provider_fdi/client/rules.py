"""The rules that FDI's documentation states in prose for what is sent; answers are never held against them.

Every function returns the value in the form to be sent, or raises
:meth:`FdiInvalidRequestError.local <airflow_provider_fdi.client.errors.FdiInvalidRequestError.local>`, which
names the field, the value and the rule. Nothing here needs a connection: a DAG's arguments are checked early.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from airflow_provider_fdi.client.errors import FdiInvalidRequestError

MAX_BATCH = 10
PAGE_SIZE = 999
"""Most rows of one page of tasks, runs, mappings and monitors."""
DATASOURCE_PAGE_SIZE = 200
START_TIME_MIN = 946_684_800_000
START_TIME_MAX = 2_147_512_447_000
PERIODS = ("MIN", "HOUR", "DAY", "WEEK", "MON")
OPERATION_TYPES = ("INSERT", "UPDATE", "DELETE")
TASK_TYPES = ("TIMING", "REALTIME")

_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,99}")
_TASK_TAG = re.compile(r"[A-Za-z0-9_-]{4,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"\s*(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)

refuse = FdiInvalidRequestError.local


def _plain(value: object) -> object:
    # Enum members that are strings (TaskType.TIMING) count as their value.
    return str.__str__(value) if type(value) is not str and isinstance(value, str) else value


def text(value: object, field: str, *, operation: str = "", minimum: int = 1, maximum: int = 255) -> str:
    """A string of ``minimum`` to ``maximum`` characters that can be written down as UTF-8."""
    value = _plain(value)
    if not isinstance(value, str):
        raise refuse(operation, field, value, "must be a string")
    if not minimum <= len(value) <= maximum:
        raise refuse(
            operation, field, value, f"must have {minimum} to {maximum} characters, has {len(value)}"
        )
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise refuse(operation, field, value, "must not contain lone surrogates")
    return value


def flag(value: object, field: str, *, operation: str = "") -> bool:
    """A real bool; the text "false" would be true."""
    if not isinstance(value, bool):
        raise refuse(operation, field, value, "must be True or False")
    return value


def task_name(value: object, *, operation: str = "", field: str = "task_name") -> str:
    """Name of a task."""
    value = _plain(value)
    if not isinstance(value, str) or not _TASK_NAME.fullmatch(value):
        rule = "must be 3 to 100 letters, digits, '.', '_' and '-', and begin with a letter or digit"
        raise refuse(operation, field, value, rule)
    return value


def task_type(value: object, *, operation: str = "", field: str = "task_type") -> str:
    """``TIMING`` or ``REALTIME``, in the upper case that request bodies want."""
    value = _plain(value)
    if not isinstance(value, str) or value.upper() not in TASK_TYPES:
        raise refuse(operation, field, value, "must be TIMING (scheduled) or REALTIME")
    return value.upper()


def task_tag(value: object, *, operation: str = "", field: str = "task_tag") -> str | None:
    """Tag of a task; empty counts as none for the service."""
    value = _plain(value)
    if value is None or value == "":
        return None if value is None else ""
    if not isinstance(value, str) or not _TASK_TAG.fullmatch(value):
        raise refuse(operation, field, value, "must be 4 to 64 characters, only letters, digits, '-' and '_'")
    return value


def description(value: object, *, operation: str = "", field: str = "description") -> str | None:
    """Description, at most 1024 characters."""
    return None if value is None else text(value, field, operation=operation, minimum=0, maximum=1024)


def path_id(value: object, field: str, *, operation: str = "") -> str:
    """An id, percent-encoded so that it stays within one segment of the path."""
    checked = identifier(value, field, operation=operation)
    return quote(checked, safe="")


def identifier(value: object, field: str, *, operation: str = "", maximum: int = 64) -> str:
    """An id of a task, schedule, data source, mapping, run, project or instance, unencoded."""
    value = _plain(value)
    if not isinstance(value, str):
        raise refuse(operation, field, value, "must be a string")
    if not value.strip():
        raise refuse(operation, field, value, "must not be empty")
    if len(value) > maximum:
        raise refuse(operation, field, value, f"must have at most {maximum} characters, has {len(value)}")
    if any(c in value for c in "/\\?#") or _CONTROL.search(value):
        raise refuse(operation, field, value, "must not contain '/', '\\', '?', '#' or control characters")
    if not value.strip(". "):
        raise refuse(operation, field, value, "must not consist of dots alone")
    if value != value.strip():
        raise refuse(operation, field, value, "must not begin or end with white space")
    return value


def optional_identifier(value: object, field: str, *, operation: str = "") -> str | None:
    """An id, or None."""
    return None if value is None else identifier(value, field, operation=operation)


def task_ids(
    values: Iterable[str], *, operation: str = "", field: str = "task_ids", maximum: int | None = None
) -> list[str]:
    """A non-empty list of task ids, in their order, without repetitions."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise refuse(operation, field, values, "must be a list of task ids")
    ids = list(
        dict.fromkeys(identifier(v, f"{field}[{i}]", operation=operation) for i, v in enumerate(values))
    )
    if not ids:
        raise refuse(operation, field, ids, "must not be empty")
    if maximum is not None and len(ids) > maximum:
        raise refuse(operation, field, ids, f"must have at most {maximum} ids, has {len(ids)}")
    return ids


def action(value: object, *, operation: str = "", field: str = "action") -> str:
    """``start`` or ``stop``."""
    value = _plain(value)
    if not isinstance(value, str) or value not in ("start", "stop"):
        raise refuse(operation, field, value, "must be 'start' or 'stop'")
    return value


def operation_types(value: object, *, operation: str = "", field: str = "operation_types") -> list[str]:
    """The changes a composite task follows: one to three of INSERT, UPDATE and DELETE."""
    rule = "must be a list of one to three of INSERT, UPDATE, DELETE"
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise refuse(operation, field, value, rule)
    items = [_plain(v) for v in value]
    if not all(isinstance(v, str) for v in items):
        raise refuse(operation, field, items, rule)
    found = list(dict.fromkeys(str(v).upper() for v in items))
    if not found or not set(found) <= set(OPERATION_TYPES):
        raise refuse(operation, field, items, rule)
    return found


def period(value: object, *, operation: str = "", field: str = "period") -> str:
    """Unit of an interval schedule."""
    value = _plain(value)
    if not isinstance(value, str) or value.upper() not in PERIODS:
        raise refuse(operation, field, value, "must be one of MIN, HOUR, DAY, WEEK, MON")
    return value.upper()


def dispatch_interval(value: object, *, operation: str = "", field: str = "dispatch_interval") -> int:
    """How many periods lie between two runs."""
    rule = "must be a whole number from 1 to 59"
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value.strip()):
        value = int(value)  # a rendered template is text
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 59:
        raise refuse(operation, field, value, rule)
    return value


def start_time(value: object, *, operation: str = "", field: str = "start_time") -> int:
    """Start of a schedule, in epoch milliseconds."""
    ms = _to_ms(value, field, operation)
    if not START_TIME_MIN <= ms <= START_TIME_MAX:
        rule = (
            f"must lie between {START_TIME_MIN} (2000-01-01T00:00:00Z) and "
            f"{START_TIME_MAX} (2038-01-19T11:14:07Z), in epoch milliseconds; is {ms}"
        )
        raise refuse(operation, field, value, rule)
    return ms


def datasource_name(value: object, *, operation: str = "", field: str = "datasource_name") -> str:
    """Name of a data source."""
    name = text(value, field, operation=operation)
    if any(c in name for c in "&<>\"'()"):
        raise refuse(operation, field, value, "must not contain & < > \" ' ( )")
    return name


def position(value: object, *, operation: str = "", field: str = "position") -> str:
    """Side of a data source: ``SOURCE`` or ``TARGET``."""
    value = _plain(value)
    if not isinstance(value, str) or value.upper() not in ("SOURCE", "TARGET"):
        raise refuse(operation, field, value, "must be SOURCE or TARGET")
    return value.upper()


def table(value: object, field: str, *, operation: str = "") -> str:
    """Table of a mapping, ``schema.table``; FDI supports no ``-`` and no ``#`` in the name of a table."""
    name = text(value, field, operation=operation, maximum=256)
    if any(c in name.rpartition(".")[2] for c in "-#"):
        raise refuse(operation, field, value, "FDI does not support '-' or '#' in the name of a table")
    return name


def mapping(value: object, field: str, *, operation: str = "") -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise refuse(operation, field, type(value).__name__, "must be a mapping (JSON object)")
    return dict(value)


def parse_time_ms(value: object, field: str = "time", *, operation: str = "") -> int:
    """Epoch milliseconds from a whole number of milliseconds, a datetime, ISO 8601 text, or digits as text.

    A time without an offset is UTC. Numbers of milliseconds before the year 2000 are refused: they are
    seconds, or a date without its dashes.
    """
    ms = _to_ms(value, field, operation)
    number = isinstance(value, (int, float)) or (isinstance(value, str) and _DIGITS.fullmatch(value.strip()))
    if number and 1 <= ms < START_TIME_MIN:
        rule = (
            "looks like seconds or YYYYMMDD: give a datetime, ISO 8601 text, or milliseconds since the epoch"
        )
        raise refuse(operation, field, value, rule)
    return ms


def _to_ms(value: object, field: str, operation: str) -> int:
    rule = "must be a datetime, ISO 8601 text, or epoch milliseconds"
    if isinstance(value, bool):
        raise refuse(operation, field, value, rule)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
        return (aware - _EPOCH) // dt.timedelta(milliseconds=1)
    if isinstance(value, str):
        ms = text_to_ms(value)
        if ms is not None:
            return ms
    raise refuse(operation, field, value, rule)


def text_to_ms(value: str) -> int | None:
    """Epoch milliseconds of digits or ISO 8601 text (no offset: UTC); None for anything else.

    ``datetime.fromisoformat`` takes neither ``Z`` nor three decimals before Python 3.11.
    """
    value = value.strip()
    if _DIGITS.fullmatch(value):
        return int(value)
    match = _ISO.fullmatch(value)
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
