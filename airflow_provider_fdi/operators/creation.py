"""Creating an FDI task exactly once, also when a response is lost or the process dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.errors import task_label
from airflow_provider_fdi.compat import task_state_store
from airflow_provider_fdi.deferral import clear_generation_of
from airflow_provider_fdi.exceptions import FdiAlreadyExists

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.hooks.fdi import FdiHook
    from airflow_provider_fdi.runs.state import CreateRecord, TryState

CREATE_KEY = "fdi_create"
"""Key of the record that a create is under way."""

IF_EXISTS = ("fail", "reuse", "update")


def change_record(context: Context, key: str, subject: str) -> tuple[TryState, CreateRecord]:
    """What this try remembers, and the record of a change that it is about to make to ``subject``.

    Later tries of the task instance can read the record, until it is cleared (Airflow >= 3.3).
    """
    # Deferred: the dataclasses of this module would cost every DAG file 3 ms.
    from airflow_provider_fdi.runs.state import CreateRecord, TryState

    return TryState(task_state_store(context)), CreateRecord(key, clear_generation_of(context), subject)


def create_once(
    hook: FdiHook,
    name: str,
    create: Callable[[], str | None],
    try_state: TryState,
    record: CreateRecord,
    *,
    composite: bool = False,
) -> tuple[str, Task | None]:
    """Create the task ``name`` unless it exists; returns its id, and the task if it existed before.

    If the response to a create is lost, the task is searched by its name. If the connection broke and the
    task is certainly absent, the create is sent once more in the same try. Where Airflow has a state store, a
    later try takes over from one that died: the name was free when ``record`` was stored, so a task of this
    name is ours.

    :raises FdiError: the service refused, or no task appeared although it accepted the request.
    :raises FdiAlreadyExists: the name belongs to a task of the other kind, ``composite`` or common.
    """
    existing = hook.find_task(name)
    if existing is not None:
        # A list need not mark composite tasks as such, but none of them is TIMING.
        if existing.task_type == "TIMING" if composite else existing.is_composite:
            kinds = ("common", "composite") if composite else ("composite", "common")
            raise FdiAlreadyExists.because(
                f"The name belongs to a {kinds[0]} task, not to a {kinds[1]} one.",
                f"{task_label(existing.task_id, name)}.",
                "Choose another name.",
            )
        return existing.task_id, None if try_state.remembers(record) else existing
    try_state.remember(record)

    def forget() -> None:
        # A task of this name that appears from now on is somebody else's.
        try_state.forget(record)

    # Deferred: only a task that runs creates anything.
    from airflow_provider_fdi.runs.creation import create_task_once

    return create_task_once(hook.find_task, name, create, on_refusal=forget), None


def already_exists(name: str, task_id: str) -> FdiAlreadyExists:
    """The failure of a create with ``if_exists="fail"``."""
    return FdiAlreadyExists.because(
        "A task of this name exists already, and if_exists='fail'.",
        f"{task_label(task_id, name)}.",
        "Set if_exists to 'reuse' or 'update', or choose another name.",
    )
