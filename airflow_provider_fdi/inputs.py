"""Reading the arguments of operators and the sensor: also as the text that a template renders them to.

Every refusal is an ``FdiInvalidRequestError`` that names the field, the value and the rule, before anything
is sent.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_fdi.hooks.fdi import FdiHook


def name_to_id(hook: FdiHook, fdi_task_id: str | None, fdi_task_name: str | None) -> str:
    """The id of a task given by id or by exact name.

    :raises FdiInvalidRequestError: none or both given, or no task of this name.
    """
    from airflow_provider_fdi.client import rules
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if bool(fdi_task_id) == bool(fdi_task_name):
        raise FdiInvalidRequestError.local(
            "", "fdi_task_id", fdi_task_id, "give either fdi_task_id or fdi_task_name"
        )
    if fdi_task_id:
        return rules.identifier(fdi_task_id, "fdi_task_id")
    task = hook.find_task(str(fdi_task_name))
    if task is None:
        raise FdiInvalidRequestError.local(
            "list_tasks", "fdi_task_name", fdi_task_name, "no task has exactly this name"
        )
    return task.task_id


def one_of(field: str, value: str, allowed: Collection[str]) -> str:
    """``value`` if it is allowed.

    :raises FdiInvalidRequestError: names the field, the value and what is allowed.
    """
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if value not in allowed:
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


def id_list(field: str, value: Any) -> list[str]:
    """Ids or names as a list, also as the text that a template renders a list to, without repetitions."""
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError

    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("[", "(")):
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                raise FdiInvalidRequestError.local("", field, value, "is no list") from None
        else:
            value = [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise FdiInvalidRequestError.local("", field, value, "must be a list of ids")
    ids = list(dict.fromkeys(value))
    if not ids:
        raise FdiInvalidRequestError.local("", field, value, "must hold at least one id")
    return ids
