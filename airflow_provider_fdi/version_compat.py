"""The names of Airflow that this provider uses, and all it needs to know of differences between versions.

On Airflow 3 they come straight from the task SDK, which every DAG file has loaded already; on Airflow 2
through
``apache-airflow-providers-common-compat``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
except ImportError:
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        PokeReturnValue,
        conf,
    )

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Connection, Context

    from airflow_provider_fdi.runs.record import Store

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "PokeReturnValue",
    "async_connection",
    "async_extra",
    "conf",
    "default_deferrable",
    "task_instance_state",
    "task_state_store",
]


def default_deferrable() -> bool:
    """``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def task_state_store(context: Context) -> Store | None:
    """The state store of the task instance; None on Airflow < 3.3, which has none."""
    store: Store | None = context.get("task_state_store")
    return store


def __getattr__(name: str) -> Any:
    # Its import is of use only where a connection is: not in every DAG file.
    if name == "BaseHook":
        from airflow.providers.common.compat.sdk import BaseHook

        return BaseHook
    raise AttributeError(name)


async def async_connection(conn_id: str) -> Connection:
    """Read a connection inside a trigger, where a synchronous read would block the event loop."""
    from airflow.providers.common.compat.connection import get_async_connection

    return await get_async_connection(conn_id)


async def async_extra(connection: Connection) -> dict[str, Any]:
    """The extra of a connection, read inside a trigger; newer versions mask its secrets without blocking."""
    try:
        from airflow.providers.common.compat.connection import get_async_extra_dejson
    except ImportError:
        import asyncio

        return dict(await asyncio.to_thread(lambda: connection.extra_dejson))
    return dict(await get_async_extra_dejson(connection))


async def task_instance_state(task_instance: Any) -> str | None:
    """The state of a trigger's task instance as the database has it; None if it cannot be told."""
    if task_instance is None:
        return None
    from asgiref.sync import sync_to_async

    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return None
    ti = task_instance
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    # Mapped task instances are keyed by task id and map index.
    names = (ti.task_id, f"{ti.task_id}_{ti.map_index}")
    found = [state for tasks in states.values() for name, state in tasks.items() if name in names]
    return None if not found else str(getattr(found[0], "value", found[0]) or "none")
