"""Reading the arguments of operators and the sensor: also as the text that a template renders them to.

Every refusal is an ``FdiInvalidRequestError`` that names the field, the value and the rule, before anything
is sent.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_fdi.hooks.fdi import FdiHook


def name_to_id(hook: FdiHook, fdi_task_id: str | None, fdi_task_name: str | None) -> str:
    """The id of a task given by id or by exact name.

    :raises FdiInvalidRequestError: none or both given, or no task of this name.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if bool(fdi_task_id) == bool(fdi_task_name):
        both = f", not both (fdi_task_name={fdi_task_name!r})" if fdi_task_id else ""
        raise FdiInvalidRequestError.local(
            "", "fdi_task_id", fdi_task_id, f"give either fdi_task_id or fdi_task_name{both}"
        )
    if fdi_task_id:
        return given_id("fdi_task_id", fdi_task_id)
    not_empty("fdi_task_name", fdi_task_name)
    task = hook.find_task(str(fdi_task_name))
    if task is None:
        raise FdiInvalidRequestError.local(
            "list_tasks", "fdi_task_name", fdi_task_name, "no task has exactly this name"
        )
    return task.task_id


def given_id(field: str, value: Any) -> str:
    """An id.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client import rules

    not_empty(field, value)
    return rules.identifier(value, field)


def not_empty(field: str, value: Any) -> None:
    """Refuse what a template renders to when its XCom is empty: it would be looked for, or created, under
    this name.

    :raises FdiInvalidRequestError: the value is the text ``None``.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if value == "None":
        rule = "is what a template over an XCom that holds nothing renders to"
        raise FdiInvalidRequestError.local("", field, value, rule)


def one_of(field: str, value: str, allowed: Collection[str]) -> str:
    """``value`` if it is allowed.

    :raises FdiInvalidRequestError: names the field, the value and what is allowed.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if not isinstance(value, str) or value not in allowed:
        raise FdiInvalidRequestError.local("", field, value, f"must be one of {', '.join(allowed)}")
    return value


def number(field: str, value: Any, *, minimum: float = 0) -> float:
    """A number, also as the text that a template renders to.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    try:
        result = float(value)
    except (TypeError, ValueError):
        raise FdiInvalidRequestError.local("", field, value, "must be a number") from None
    if not minimum <= result < float("inf"):
        raise FdiInvalidRequestError.local("", field, value, f"must be a number of at least {minimum:g}")
    return result


def count(field: str, value: Any) -> int | None:
    """A number of rows, or None for no bound."""
    return None if value in (None, "", "None") else int(number(field, value))


def boolean(field: str, value: Any) -> bool:
    """A truth value, also as the text that a template renders to."""
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise FdiInvalidRequestError.local("", field, value, "must be True or False")


def _as_list(field: str, text: str) -> Any:
    """The list that a template wrote as text, in Python's spelling or in JSON's."""
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FdiInvalidRequestError.local("", field, text, "is no list") from None


def dict_list(field: str, value: Any) -> list[Mapping[str, Any]]:
    """A list of dicts, maybe an empty one, also as the text that a template renders it to.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if isinstance(value, str):
        value = _as_list(field, value.strip())
    if value is None:
        return []
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise FdiInvalidRequestError.local("", field, value, "must be a list of dicts")
    items = list(value)
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise FdiInvalidRequestError.local("", f"{field}[{index}]", item, "must be a dict")
    return items


def id_list(field: str, value: Any) -> list[str]:
    """Ids or names as a list, also as the text that a template renders a list to, without repetitions.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("[", "(")):
            value = _as_list(field, text)
        else:
            value = [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise FdiInvalidRequestError.local("", field, value, "must be a list of texts, or text with commas")
    items = list(value)
    for index, item in enumerate(items):
        place = f"{field}[{index}]"
        if not isinstance(item, str):
            raise FdiInvalidRequestError.local("", place, item, "must be a text")
        if not item.strip():
            raise FdiInvalidRequestError.local("", place, item, "must not be empty")
        not_empty(place, item)
    if not items:
        raise FdiInvalidRequestError.local("", field, value, "must not be empty")
    return list(dict.fromkeys(items))
