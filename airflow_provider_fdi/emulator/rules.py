"""What the service accepts in requests, by the prose of its documentation (not by its schemas' limits)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from airflow_provider_fdi.emulator.errors import invalid

TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,99}")
TASK_TAG = re.compile(r"[A-Za-z0-9_-]{4,64}")
PERIODS = ("MIN", "HOUR", "DAY", "WEEK", "MON")
OPERATION_TYPES = ("INSERT", "UPDATE", "DELETE")
START_MIN, START_MAX = 946684800000, 2147512447000


def text(
    body: dict[str, Any], field: str, *, required: bool = False, lengths: tuple[int, int] = (1, 64)
) -> str:
    """A text field, "" when absent and not required. Raises 400 FDI.3033."""
    value = body.get(field)
    if value is None or value == "":
        if required:
            raise invalid(field)
        return ""
    if not isinstance(value, str) or not lengths[0] <= len(value) <= lengths[1]:
        raise invalid(field)
    return value


def task_name(body: dict[str, Any]) -> str:
    name = text(body, "task_name", required=True, lengths=(3, 100))
    if not TASK_NAME.fullmatch(name):
        raise invalid("task_name")
    return name


def task_tag(body: dict[str, Any]) -> str:
    tag = text(body, "task_tag", lengths=(4, 64))
    if tag and not TASK_TAG.fullmatch(tag):
        raise invalid("task_tag")
    return tag


def choice(body: dict[str, Any], field: str, choices: Collection[str]) -> str:
    value = body.get(field)
    if not isinstance(value, str) or value not in choices:
        raise invalid(field)
    return value


def boolean(body: dict[str, Any], field: str) -> bool | None:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise invalid(field)
    return value


def integer(body: dict[str, Any], field: str) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(field)
    return value


def operation_types(body: dict[str, Any]) -> list[str]:
    value = body.get("operation_types")
    if not isinstance(value, list) or not 1 <= len(value) <= 3:
        raise invalid("operation_types")
    if any(item not in OPERATION_TYPES for item in value) or len(set(value)) != len(value):
        raise invalid("operation_types")
    return list(value)


def task_detail(body: dict[str, Any]) -> str:
    """task_detail is a text that holds JSON, not an object."""
    value = body.get("task_detail")
    if not isinstance(value, str) or not value:
        raise invalid("task_detail")
    try:
        parsed = json.loads(value)
    except ValueError:
        raise invalid("task_detail") from None
    if not isinstance(parsed, dict):
        raise invalid("task_detail")
    return value


def start_datetime(body: dict[str, Any]) -> int | None:
    """Epoch milliseconds, or the ISO text of the vendor's own example."""
    value = body.get("start_datetime")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise invalid("start_datetime") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        value = round(moment.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int) or not START_MIN <= value <= START_MAX:
        raise invalid("start_datetime")
    return value
