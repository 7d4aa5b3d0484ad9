"""How an answer is read: one value, one field, one object.

A class of ``models`` says beside each type how it is read: ``rows: int | None = whole("data_count")``. No
value is refused but a missing id; what cannot be read becomes None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from functools import cache
from typing import Any, ClassVar, TypeVar

from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType
from airflow_provider_fdi.client.times import ms_of_answer

T = TypeVar("T")
M = TypeVar("M", bound="Model")


# Reading one value


def object_of(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what} is not a JSON object but {type(data).__name__}")
    return data


def objects_in(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str | None:
    if isinstance(value, str):
        # A lone surrogate is valid in JSON and fails later, in a database or a log.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (dict, list)):
        return None
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return None


def as_filled(value: Any) -> str | None:
    return as_text(value) or None


def as_upper(value: Any) -> str | None:
    text = as_text(value)
    return text.upper() if text else None


def required_text(data: Mapping[str, Any], key: str, what: str) -> str:
    value = as_text(data.get(key))
    if not value:
        raise ValueError(f"{what} has no {key}")
    return value


def as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_int(value: Any) -> int | None:
    if type(value) is int:
        return value
    number = as_number(value)
    return None if number is None else int(number)


def as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value != 0
    if isinstance(value, str):
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
            value.lower()
        )
    return None


# How a field is read


def read_by(read: Callable[[Any], Any], default: Any = None, **options: Any) -> Callable[..., Any]:
    """A maker of fields that ``read`` reads from the first of the keys given that has something.

    Without keys it is read from the field's own name: ``remark: str | None = text()``.
    """

    def make(*keys: str) -> Any:
        return field(default=default, metadata={"read": read, "keys": keys}, **options)

    return make


text = read_by(as_text)
filled = read_by(as_filled)
upper = read_by(as_upper)
whole = read_by(as_int)
number = read_by(as_number)
flag = read_by(as_bool)
time = read_by(ms_of_answer)
tally = read_by(lambda value: as_int(value) or 0, 0)


def required(key: str = "") -> Any:
    """Text that must be there."""
    return field(metadata={"read": None, "keys": (key,) if key else ()})


def member(kind: type[TaskType] | type[TaskStatus] | type[ExecuteStatus]) -> Any:
    """A member of an enum."""
    return read_by(kind.from_wire, kind.UNKNOWN)()


def many(read: Callable[[Any], tuple[T, ...]], *keys: str) -> Any:
    """A tuple of something."""
    return read_by(read, ())(*keys)


def whole_row() -> Any:
    """The object as it came."""
    return field(default_factory=dict, repr=False, compare=False)


class Model:
    """An object of the service."""

    __slots__ = ()
    _what: ClassVar[str]

    @classmethod
    def from_wire(cls: type[M], data: Any) -> M:
        """From the parsed JSON of one object."""
        return cls._from_row(object_of(data, cls._what))

    @classmethod
    def _from_row(cls: type[M], row: Mapping[str, Any], **known: Any) -> M:
        """From ``row``, but for the fields in ``known``."""
        for name, read, keys, default in _readers(cls):  # type: ignore[arg-type]
            if name in known:
                continue
            if read is None:
                known[name] = row if name == "raw" else required_text(row, keys[0], cls._what)
                continue
            value = read(row.get(keys[0]))
            for key in keys[1:]:
                value = value or read(row.get(key))
            known[name] = default if value is None else value
        return cls(**known)


@cache
def _readers(model: Any) -> list[tuple[str, Callable[[Any], Any] | None, tuple[str, ...], Any]]:
    """Name, reader, keys and default of each field that is read from an object of the service."""
    return [
        (f.name, f.metadata.get("read"), f.metadata.get("keys") or (f.name,), f.default)
        for f in fields(model)
        if f.metadata or f.name == "raw"
    ]
