"""Reading and checking values: arguments of operators, fields of a connection, what the client sends.

Every function takes the name of a field and its value, and returns the value in the form that is used or
sent. Values may come as the text that a template renders them to. A refusal is an
:class:`~airflow_provider_fdi.client.errors.FdiArgumentError` that names the field, the value and the rule.
Answers of the service are never held against these rules.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.constants import OPERATION_TYPES, PERIODS, TASK_TYPES

T = TypeVar("T", bound=str)

# Not compiled here: a DAG file that is parsed needs none of them.
_TASK_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{2,99}"
_TASK_TAG = r"[A-Za-z0-9_-]{4,64}"
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def _plain(value: object) -> object:
    # Enum members that are strings (TaskType.TIMING) count as their value.
    return str.__str__(value) if type(value) is not str and isinstance(value, str) else value


# Values of any kind


def not_rendered_none(field: str, value: object) -> None:
    """Refuse what a template renders to when its XCom is empty, before it is taken for a name or an id."""
    if isinstance(value, str) and value == "None":
        raise FdiArgumentError(field, value, "is what a template over an XCom that holds nothing renders to")


def boolean(field: str, value: object) -> bool:
    """A truth value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise FdiArgumentError(field, value, "must be True or False")


def number(field: str, value: object, *, minimum: float = 0) -> float:
    """A number that is not infinite."""
    result = _float(value)
    if math.isnan(result):
        raise FdiArgumentError(field, value, "must be a number")
    if not minimum <= result < math.inf:
        raise FdiArgumentError(field, value, f"must be a number of at least {minimum:g}")
    return result


def seconds(field: str, value: object) -> float:
    """A time limit in seconds, of less than a day."""
    result = _float(value)
    if not 0 < result < 86_400:
        raise FdiArgumentError(field, value, "must be a number of seconds, more than 0 and less than 86400")
    return result


def _float(value: object) -> float:
    """NaN for what is no number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def whole(field: str, value: object, *, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number."""
    if maximum is not None and not minimum <= _float(value) <= maximum:
        raise FdiArgumentError(field, value, f"must be a whole number from {minimum} to {maximum}")
    result = number(field, value, minimum=minimum)
    if not result.is_integer():
        rule = "must be a whole number" + (f" from {minimum} to {maximum}" if maximum is not None else "")
        raise FdiArgumentError(field, value, rule)
    return int(result)


def count(field: str, value: object) -> int | None:
    """A number of rows; None, and not the text that an empty template renders to, for no bound."""
    return None if value is None else whole(field, value)


def text(field: str, value: object, *, minimum: int = 1, maximum: int = 255) -> str:
    """A string of ``minimum`` to ``maximum`` characters that can be written down as UTF-8."""
    value = _plain(value)
    if not isinstance(value, str):
        raise FdiArgumentError(field, value, "must be a string")
    if not minimum <= len(value) <= maximum:
        rule = f"must have {minimum} to {maximum} characters, has {len(value)}"
        raise FdiArgumentError(field, value, rule)
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise FdiArgumentError(field, value, "must not contain lone surrogates")
    return value


def optional_text(field: str, value: object, *, maximum: int = 255) -> str | None:
    """A string, or None for None and for the empty string."""
    return None if value is None else text(field, value, minimum=0, maximum=maximum) or None


def choice(field: str, value: object, allowed: Collection[T]) -> T:
    """The one of ``allowed`` that ``value`` is."""
    value = _plain(value)
    for one in allowed:
        if isinstance(value, str) and value == one:
            return one
    raise FdiArgumentError(field, value, f"must be one of {', '.join(allowed)}")


def upper_choice(field: str, value: object, allowed: Collection[T]) -> T:
    """The one of ``allowed``, which are in upper case, that ``value`` is in any case."""
    value = _plain(value)
    for one in allowed:
        if isinstance(value, str) and value.upper() == one:
            return one
    raise FdiArgumentError(field, value, f"must be one of {', '.join(allowed)}")


def mapping(field: str, value: object) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise FdiArgumentError(field, type(value).__name__, "must be a mapping (JSON object)")
    return dict(value)


# Lists


def _as_list(field: str, value: str) -> Any:
    """The list that a template wrote as text, in Python's spelling or in JSON's."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise FdiArgumentError(field, value, "is not a list") from None


def dict_list(field: str, value: object) -> list[Mapping[str, Any]]:
    """A list of dicts, maybe an empty one; None counts as empty."""
    if isinstance(value, str):
        value = _as_list(field, value.strip())
    if value is None:
        return []
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise FdiArgumentError(field, value, "must be a list of dicts")
    items = list(value)
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise FdiArgumentError(f"{field}[{index}]", item, "must be a dict")
    return items


def id_list(field: str, value: object) -> list[str]:
    """Ids or names as a list without repetitions; also text with commas."""
    if isinstance(value, str):
        plain = value.strip()
        if plain.startswith(("[", "(")):
            value = _as_list(field, plain)
        else:
            value = [part.strip() for part in plain.split(",") if part.strip()]
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise FdiArgumentError(field, value, "must be a list of texts, or text with commas")
    items = list(value)
    for index, item in enumerate(items):
        place = f"{field}[{index}]"
        if not isinstance(item, str):
            raise FdiArgumentError(place, item, "must be a text")
        if not item.strip():
            raise FdiArgumentError(place, item, "must not be empty")
        not_rendered_none(place, item)
    if not items:
        raise FdiArgumentError(field, value, "must not be empty")
    return list(dict.fromkeys(items))


def task_ids(field: str, values: object, *, maximum: int | None = None) -> list[str]:
    """A non-empty list of task ids, in their order, without repetitions."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise FdiArgumentError(field, values, "must be a list of task ids")
    ids = list(dict.fromkeys(identifier(f"{field}[{i}]", v) for i, v in enumerate(values)))
    if not ids:
        raise FdiArgumentError(field, ids, "must not be empty")
    if maximum is not None and len(ids) > maximum:
        raise FdiArgumentError(field, ids, f"must have at most {maximum} ids, has {len(ids)}")
    return ids


def operation_types(field: str, value: object) -> list[str]:
    """The changes a composite task follows: one to three of INSERT, UPDATE and DELETE."""
    items = None
    if not isinstance(value, (str, bytes, Mapping)) and isinstance(value, Iterable):
        items = value = [_plain(v) for v in value]
    if items and all(isinstance(v, str) and v.upper() in OPERATION_TYPES for v in items):
        return list(dict.fromkeys(str(v).upper() for v in items))
    raise FdiArgumentError(field, value, f"must be a list of one to three of {', '.join(OPERATION_TYPES)}")


def table_list(field: str, value: object) -> str | None:
    """Tables as the text with commas that the service takes."""
    if value is None or isinstance(value, str):
        return optional_text(field, value, maximum=200_000)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise FdiArgumentError(field, value, "must be a list of tables")
    return ",".join(text(f"{field}[{i}]", v, maximum=256) for i, v in enumerate(value))


# Ids and names


def identifier(field: str, value: object, *, maximum: int = 64) -> str:
    """An id of a task, schedule, data source, mapping, run, project or instance, unencoded."""
    value = _plain(value)
    if not isinstance(value, str):
        raise FdiArgumentError(field, value, "must be a string")
    not_rendered_none(field, value)
    if not value.strip():
        raise FdiArgumentError(field, value, "must not be empty")
    if len(value) > maximum:
        raise FdiArgumentError(field, value, f"must have at most {maximum} characters, has {len(value)}")
    if any(c in value for c in "/\\?#") or re.search(_CONTROL, value):
        raise FdiArgumentError(field, value, "must not contain '/', '\\', '?', '#' or control characters")
    if not value.strip(". "):
        raise FdiArgumentError(field, value, "must not consist of dots alone")
    if value != value.strip():
        raise FdiArgumentError(field, value, "must not begin or end with white space")
    return value


def optional_identifier(field: str, value: object) -> str | None:
    """An id, or None."""
    return None if value is None else identifier(field, value)


def path_id(field: str, value: object) -> str:
    """An id, percent-encoded so that it stays within one segment of the path."""
    return quote(identifier(field, value), safe="")


def composite_task_id(field: str, value: object) -> str | None:
    """The id of a composite task to be, or None."""
    if value is None:
        return None
    found = identifier(field, value, maximum=50)
    if len(found) < 3:
        raise FdiArgumentError(field, value, "must have 3 to 50 characters")
    return found


def task_name(field: str, value: object) -> str:
    """Name of a task."""
    value = _plain(value)
    if not isinstance(value, str) or not re.fullmatch(_TASK_NAME, value):
        rule = "must be 3 to 100 letters, digits, '.', '_' and '-', and begin with a letter or digit"
        raise FdiArgumentError(field, value, rule)
    return value


def task_type(field: str, value: object) -> str:
    """``TIMING`` (scheduled) or ``REALTIME``, in the upper case that request bodies want."""
    return upper_choice(field, value, TASK_TYPES)


def task_tag(field: str, value: object) -> str | None:
    """Tag of a task; empty counts as none for the service."""
    value = _plain(value)
    if value is None or value == "":
        return None if value is None else ""
    if not isinstance(value, str) or not re.fullmatch(_TASK_TAG, value):
        raise FdiArgumentError(field, value, "must be 4 to 64 characters, only letters, digits, '-' and '_'")
    return value


def description(field: str, value: object) -> str | None:
    """Description, at most 1024 characters."""
    return None if value is None else text(field, value, minimum=0, maximum=1024)


def datasource_name(field: str, value: object) -> str:
    """Name of a data source."""
    name = text(field, value)
    if any(c in name for c in "&<>\"'()"):
        raise FdiArgumentError(field, value, "must not contain & < > \" ' ( )")
    return name


def table(field: str, value: object) -> str:
    """Table of a mapping, ``schema.table``; FDI supports no ``-`` and no ``#`` in the name of a table."""
    name = text(field, value, maximum=256)
    if any(c in name.rpartition(".")[2] for c in "-#"):
        raise FdiArgumentError(field, value, "FDI does not support '-' or '#' in the name of a table")
    return name


# Schedules


def period(field: str, value: object) -> str:
    """Unit of an interval schedule."""
    return upper_choice(field, value, PERIODS)


def dispatch_interval(field: str, value: object) -> int:
    """How many periods lie between two runs."""
    return whole(field, value, minimum=1, maximum=59)
