"""Reading and checking values: arguments of operators, fields of a connection, what the client sends.

Every function takes the name of a field and its value, and returns the value in the form that is used or
sent. Values may come as the text that a template renders them to. A refusal is an
:class:`~airflow_provider_fdi.client.errors.FdiArgumentError`: its first line names the field, the value and
what is wrong, in 80 characters if the field's name permits; what to do follows on the next line. Answers of
the service are never held against these rules.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_fdi.client.errors import FdiArgumentError, clean_text
from airflow_provider_fdi.constants import OPERATION_TYPES, PERIODS, TASK_TYPES

T = TypeVar("T", bound=str)
Check = Callable[[str, object], Any]
"""Takes the name of a field and its value; returns the value in the form that is used, or refuses it."""

# Not compiled here: many DAG files need none of them.
_TASK_TAG = r"[A-Za-z0-9_-]{4,64}"
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def _plain(value: object) -> object:
    # Enum members that are strings (TaskType.TIMING) count as their value.
    return str.__str__(value) if type(value) is not str and isinstance(value, str) else value


# Words that people write for one of the words that are allowed, where no letters tell what is meant.
_MEANT = {
    "start": "begin launch run enable activate resume on",
    "stop": "end halt finish disable deactivate pause terminate off",
    "wait": "restart rerun queue retry block",
    "join": "attach adopt follow reuse",
    "fail": "error raise abort",
    "skip": "ignore pass none",
    "reuse": "keep ignore skip pass",
    "update": "overwrite replace upsert merge change",
    "warn": "log ignore continue skip",
    "timing": "batch schedule scheduled cron offline",
    "realtime": "stream streaming cdc continuous online",
    "min": "minute minutes minutely",
    "hour": "hourly h",
    "day": "daily d",
    "week": "weekly w",
    "mon": "month months monthly",
    "success": "ok done succeeded completed finished",
    "error": "fail failed failure",
    "cancelled": "stop stopped killed aborted terminated",
    "insert": "add create new",
    "delete": "remove drop",
}


def nearest(value: object, allowed: Iterable[str]) -> str | None:
    """The one of ``allowed`` that ``value`` is probably meant to be."""
    if not isinstance(value, str):
        return None
    plain = value.strip().lower()
    words = {word.lower(): word for word in allowed}
    for word, known in words.items():
        if plain in _MEANT.get(word, "").split():
            return known
    # Deferred: only a wrong value needs it.
    from difflib import get_close_matches

    close = get_close_matches(plain, words, n=1)
    return words[close[0]] if close else None


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """The line of a rule that names the one of ``allowed`` that is probably meant; empty if none is."""
    meant = nearest(value, allowed)
    return f"\nDid you mean {meant!r}?" if meant else ""


def _of(value: object, allowed: Collection[str], *, one: str = "") -> str:
    """The rule that a value must be of ``allowed``, with the one that is probably meant."""
    return f"must be {one}of {', '.join(allowed)}{did_you_mean(value, allowed)}"


# Values of any kind


def is_reference(value: object) -> bool:
    """Whether Airflow renders or resolves a value, or a part of it, before the task is executed."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(map(is_reference, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(is_reference, value))
    # XComArg, DagParam and LiteralValue have `resolve`, as do paths; a template of Jinja has `render`.
    return hasattr(value, "render") or (hasattr(value, "resolve") and not hasattr(value, "__fspath__"))


def optional(check: Check) -> Check:
    """A check that leaves None as it is."""
    return lambda field, value: None if value is None else check(field, value)


def if_given(check: Check) -> Check:
    """A check that takes None and empty text for nothing."""
    return lambda field, value: None if value is None or value == "" else check(field, value)


def not_rendered_none(field: str, value: object) -> None:
    """Refuse what a template renders to when its XCom is empty, before it is taken for a name or an id."""
    if isinstance(value, str) and value == "None":
        rule = "is what an empty XCom renders to\nThe task that it comes from returned nothing."
        raise FdiArgumentError(field, value, rule)


def string(field: str, value: object) -> str:
    """Text of any length."""
    value = _plain(value)
    if not isinstance(value, str):
        rule = "must be a string"
        if hasattr(value, "output"):
            rule = "is a task, not its result\nGive its result: the task's .output."
        elif hasattr(value, "__fspath__"):
            rule = "must be a string\nGive the path as text."
        raise FdiArgumentError(field, value, rule)
    return value


def flag(field: str, value: object) -> bool:
    """A truth value that is no template, because it is needed before templates are rendered."""
    if isinstance(value, bool):
        return value
    rule = "must be True or False"
    if isinstance(value, str):
        rule += "\nIt cannot be a template or text: it is needed before templates are rendered."
    raise FdiArgumentError(field, value, rule)


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
        raise FdiArgumentError(field, value, "must be more than 0 s, less than a day")
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
    value = string(field, value)
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
    raise FdiArgumentError(field, value, _of(value, allowed, one="one "))


def upper_choice(field: str, value: object, allowed: Collection[T]) -> T:
    """The one of ``allowed``, which are in upper case, that ``value`` is in any case."""
    value = _plain(value)
    for one in allowed:
        if isinstance(value, str) and value.upper() == one:
            return one
    raise FdiArgumentError(field, value, _of(value, allowed, one="one "))


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
        if not string(place, item).strip():
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
    wrong = next((v for v in items or () if not (isinstance(v, str) and v.upper() in OPERATION_TYPES)), None)
    raise FdiArgumentError(field, value, _of(wrong, OPERATION_TYPES))


def run_statuses(field: str, value: object, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """States in which a run has ended, in the service's spelling."""
    if may_be_empty and not isinstance(value, str) and not value:
        return ()
    # Deferred: the enums would cost every DAG file, and few use the sensor.
    from airflow_provider_fdi.client.enums import ExecuteStatus

    known = [status.value for status in ExecuteStatus if status.is_terminal]
    found = tuple(status.upper() for status in id_list(field, value))
    for status in found:
        if status not in known:
            raise FdiArgumentError(field, status, _of(status, known))
    return found


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
    value = string(field, value)
    not_rendered_none(field, value)
    if not value.strip():
        raise FdiArgumentError(field, value, "must not be empty")
    if len(value) > maximum:
        raise FdiArgumentError(field, value, f"must have at most {maximum} characters, has {len(value)}")
    if any(c in value for c in "/\\?#") or (not value.isprintable() and re.search(_CONTROL, value)):
        raise FdiArgumentError(field, value, "must not contain / \\ ? # or control characters")
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
    """Name of a task that is created or renamed."""
    name = text(field, value, minimum=3, maximum=100)
    for character in name:
        if not (character.isascii() and (character.isalnum() or character in "._-")):
            rule = f"must not contain {character!r}\nAllowed are letters, digits, '.', '_' and '-'."
            raise FdiArgumentError(field, value, rule)
    if not name[0].isalnum():
        raise FdiArgumentError(field, value, "must begin with a letter or digit")
    return name


def existing_name(field: str, value: object) -> str:
    """Name of something that exists: whatever rules held when it was named."""
    name = text(field, value)
    if name != name.strip():
        raise FdiArgumentError(field, value, "must not begin or end with white space")
    return name


def one_task(fdi_task_id: object, fdi_task_name: object) -> None:
    """Exactly one of the two says which task is meant; empty text counts as nothing."""
    if fdi_task_id and fdi_task_name:
        rule = (
            f"give this or fdi_task_name, not both\nfdi_task_name is {clean_text(repr(fdi_task_name), 80)}."
        )
        raise FdiArgumentError("fdi_task_id", fdi_task_id, rule)
    if fdi_task_id or fdi_task_name:
        return
    for field, value in (("fdi_task_id", fdi_task_id), ("fdi_task_name", fdi_task_name)):
        if value is not None:
            rule = "must not be empty\nIf it is a template, what it takes its value from is empty."
            raise FdiArgumentError(field, value, rule)
    rule = "give either fdi_task_id or fdi_task_name\nIf one is given, the XCom it comes from is empty."
    raise FdiArgumentError("fdi_task_id", None, rule)


def task_type(field: str, value: object) -> str:
    """``TIMING`` (scheduled) or ``REALTIME``, in the upper case that request bodies want."""
    return upper_choice(field, value, TASK_TYPES)


def task_tag(field: str, value: object) -> str | None:
    """Tag of a task; empty counts as none for the service."""
    value = _plain(value)
    if value is None or value == "":
        return None if value is None else ""
    if not isinstance(value, str) or not re.fullmatch(_TASK_TAG, value):
        raise FdiArgumentError(field, value, "must be 4 to 64 letters, digits, '-' or '_'")
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
        raise FdiArgumentError(
            field, value, "must not contain '-' or '#'\nFDI does not support them in the name of a table."
        )
    return name


# Schedules


def period(field: str, value: object) -> str:
    """Unit of an interval schedule."""
    return upper_choice(field, value, PERIODS)


def dispatch_interval(field: str, value: object) -> int:
    """How many periods lie between two runs."""
    return whole(field, value, minimum=1, maximum=59)
