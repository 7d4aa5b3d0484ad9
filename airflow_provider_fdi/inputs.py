"""Reading the arguments of operators and the sensor: also as the text that a template renders them to.

Every refusal is an ``FdiInvalidRequestError`` that names the field, the value and the rule; nothing has been
sent by then.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from airflow_provider_fdi.hooks.fdi import FdiHook


T = TypeVar("T", bound=str)


def make_hook(fdi_conn_id: str, project_id: str | None, instance_id: str | None) -> FdiHook:
    """The hook of an operator.

    :raises FdiInvalidRequestError: the place is what a template over nothing renders to.
    """
    from airflow_provider_fdi.hooks.fdi import FdiHook

    not_empty("project_id", project_id)
    not_empty("instance_id", instance_id)
    return FdiHook(fdi_conn_id, project_id=project_id, instance_id=instance_id)


def name_to_id(hook: FdiHook, fdi_task_id: str | None, fdi_task_name: str | None) -> str:
    """The id of a task given by id or by exact name.

    :raises FdiInvalidRequestError: none or both given, or not exactly one task of this name.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if bool(fdi_task_id) == bool(fdi_task_name):
        rule = "give either fdi_task_id or fdi_task_name" + (
            f", not both (fdi_task_name={fdi_task_name!r})"
            if fdi_task_id
            else "; if one is given, what it comes from (an XCom?) holds nothing"
        )
        raise FdiInvalidRequestError.local("", "fdi_task_id", fdi_task_id, rule)
    if fdi_task_id:
        return given_id("fdi_task_id", fdi_task_id)
    not_empty("fdi_task_name", fdi_task_name)
    return hook.task_named(str(fdi_task_name)).task_id


def given_id(field: str, value: Any) -> str:
    """An id.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client import rules

    not_empty(field, value)
    return rules.identifier(value, field)


def not_empty(field: str, value: Any) -> None:
    """Refuse what a template renders to when its XCom is empty, before it is taken for a name or an id.

    :raises FdiInvalidRequestError: the value is the text ``None``.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if value == "None":
        rule = "is what a template over an XCom that holds nothing renders to"
        raise FdiInvalidRequestError.local("", field, value, rule)


def one_of(field: str, value: Any, allowed: Collection[T]) -> T:
    """The one of ``allowed`` that ``value`` is.

    :raises FdiInvalidRequestError: names the field, the value and what is allowed.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    for one in allowed:
        if isinstance(value, str) and value == one:
            return one
    raise FdiInvalidRequestError.local("", field, value, f"must be one of {', '.join(allowed)}")


def number(field: str, value: Any, *, minimum: float = 0) -> float:
    """A number, also as the text that a template renders to.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    if math.isnan(result):
        raise FdiInvalidRequestError.local("", field, value, "must be a number")
    if not minimum <= result < float("inf"):
        raise FdiInvalidRequestError.local("", field, value, f"must be a number of at least {minimum:g}")
    return result


def whole(field: str, value: Any, *, minimum: int = 0) -> int:
    """A whole number, also as the text that a template renders to.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    result = number(field, value, minimum=minimum)
    if not result.is_integer():
        raise FdiInvalidRequestError.local("", field, value, "must be a whole number")
    return int(result)


def count(field: str, value: Any) -> int | None:
    """A number of rows; None, and not the text that an empty template renders to, for no bound.

    :raises FdiInvalidRequestError: names the field, the value and the rule.
    """
    return None if value is None else whole(field, value)


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
