"""The names of Airflow that this provider uses, and everything that differs between Airflow versions.

Names come straight from the task SDK where it has them, because every DAG file has loaded it already; else
(Airflow 2, and some names before 3.2) from ``apache-airflow-providers-common-compat``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue

    AIRFLOW_2 = False
except ImportError:
    from airflow.providers.common.compat.sdk import (
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        PokeReturnValue,
    )

    AIRFLOW_2 = True

try:
    from airflow.sdk import Asset
except ImportError:
    from airflow.providers.common.compat.sdk import Asset

try:
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
except ImportError:
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        conf,
    )

try:
    from airflow.sdk.definitions._internal.types import ArgNotSet
except ImportError:
    from airflow.utils.types import ArgNotSet  # type: ignore[attr-defined,no-redef]

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection, Context
    from airflow.sdk import RetryAction, RetryDecision, RetryPolicy
    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_fdi.runs.state import Store

__all__ = [
    "AIRFLOW_2",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "ArgNotSet",
    "Asset",
    "BaseEventTrigger",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "PokeReturnValue",
    "RetryAction",
    "RetryDecision",
    "RetryPolicy",
    "asset_state_accessors",
    "async_connection",
    "async_extra",
    "clear_drops_state",
    "conf",
    "default_deferrable",
    "from_mapped",
    "heartbeat_timeout",
    "mask_secrets",
    "task_instance_state",
    "task_instance_state_async",
    "task_state_store",
]


def default_deferrable() -> bool:
    """``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def from_mapped(operator: Any) -> bool:
    """Whether an operator was made from a mapped one, where it runs; Airflow has no public name for it."""
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def task_state_store(context: Context) -> Store | None:
    """The state store of the task instance; None on Airflow < 3.3, which has none."""
    store: Store | None = context.get("task_state_store")
    return store


def clear_drops_state() -> bool:
    """Whether clearing a task deletes its state, unless a user asks to keep it (Airflow >= 3.4)."""
    if AIRFLOW_2:
        return False
    # Deferred: only a running task needs it.
    from airflow import sdk

    return tuple(map(int, sdk.__version__.split(".")[:2])) >= (1, 4)


def asset_state_accessors(store: Any) -> list[Any]:
    """The state stores of all assets that ``store`` covers, one for each; none on Airflow < 3.3.

    The methods of ``store`` itself work for a single asset only, and it has no public list of its assets: a
    test checks that Airflow still keeps them in these two private attributes.
    """
    if store is None:
        return []
    by_key = (getattr(store, "_by_name", None), getattr(store, "_by_uri", None))
    if by_key == (None, None):
        return [store]
    return [accessor for accessors in by_key for accessor in (accessors or {}).values()]


def mask_secrets(secrets: Iterable[str]) -> None:
    """Have Airflow mask these texts in logs and rendered fields, in the worker's main process as well.

    Masks them also where they are quoted as JSON or Python text, once or twice over, as in ``task_detail``.
    """
    # Deferred: only a running task needs it. Not from common.compat: its versions for Python 3.10 and Airflow
    # 2.11 do not have it.
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]
        except ImportError:
            from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef]

    forms: dict[str, None] = {}
    for secret in secrets:
        inside = {secret}
        for _ in range(2):
            inside |= {
                form
                for text in inside
                for form in (
                    json.dumps(text)[1:-1],
                    json.dumps(text, ensure_ascii=False)[1:-1],
                    repr(text)[1:-1],
                )
            }
        forms.update(dict.fromkeys(sorted(inside)))
    for form in forms:
        mask_secret(form)


def __getattr__(name: str) -> Any:
    # Deferred: only the triggerer needs it, and it loads airflow.models on some versions.
    if name == "BaseEventTrigger":
        from airflow.triggers import base

        # Airflow 2 has no asset watchers.
        return getattr(base, "BaseEventTrigger", base.BaseTrigger)
    # Deferred: only DAG files with a retry policy need them.
    if name in ("RetryAction", "RetryDecision", "RetryPolicy"):
        try:
            from airflow import sdk
        except ImportError:
            return object if name == "RetryPolicy" else None
        # Airflow has retry policies since 3.3.
        return getattr(sdk, name, object if name == "RetryPolicy" else None)
    raise AttributeError(name)


async def async_connection(conn_id: str) -> Connection:
    """Read a connection inside a trigger, where a synchronous read would block the event loop."""
    # Deferred: only the triggerer needs it.
    from airflow.providers.common.compat.connection import get_async_connection

    return await get_async_connection(conn_id)


async def async_extra(connection: Connection) -> dict[str, Any]:
    """The extra of a connection, read inside a trigger; newer versions mask its secrets without blocking."""
    # Deferred: only the triggerer needs it, and older versions do not have it.
    try:
        from airflow.providers.common.compat.connection import get_async_extra_dejson
    except ImportError:
        return dict(await asyncio.to_thread(lambda: connection.extra_dejson))
    return dict(await get_async_extra_dejson(connection))


def heartbeat_timeout() -> float:
    """Seconds without a heartbeat after which Airflow considers the process of a task dead."""
    name = "scheduler_zombie_task_threshold" if AIRFLOW_2 else "task_instance_heartbeat_timeout"
    return float(conf.getfloat("scheduler", name, fallback=300.0))


def task_instance_state(task_instance: Any) -> str | None:
    """The state of a task instance in Airflow's database; None if it cannot be read.

    :param task_instance: of a worker's context, or of a trigger.
    """
    ti = task_instance
    if ti is None:
        return None
    if AIRFLOW_2:
        # On Airflow 2 a worker reads the database; the task instance of a trigger cannot.
        return str(ti.current_state() or "none") if hasattr(ti, "current_state") else None
    # Deferred: only a running task needs it.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    get_task_states = getattr(ti, "get_task_states", RuntimeTaskInstance.get_task_states)
    states = get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    # Mapped task instances are keyed by task id and map index.
    names = (ti.task_id, f"{ti.task_id}_{ti.map_index}")
    found = [state for tasks in states.values() for name, state in tasks.items() if name in names]
    return None if not found else str(getattr(found[0], "value", found[0]) or "none")


async def task_instance_state_async(task_instance: Any) -> str | None:
    """:func:`task_instance_state` inside a trigger."""
    # Deferred: only the triggerer needs it.
    from asgiref.sync import sync_to_async

    return await sync_to_async(task_instance_state)(task_instance)
