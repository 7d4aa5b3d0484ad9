"""Creating an FDI task exactly once, also when a response is lost or the process dies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.errors import (
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    task_label,
)
from airflow_provider_fdi.compat import task_state_store
from airflow_provider_fdi.deferral import clear_generation_of
from airflow_provider_fdi.exceptions import FdiAlreadyExists

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.hooks.fdi import FdiHook
    from airflow_provider_fdi.runs.state import CreateRecord, TryState

log = logging.getLogger(__name__)

CREATE_KEY = "fdi_create"
"""Key of the record that a create is under way."""

IF_EXISTS = ("fail", "reuse", "update")

SEARCH_DELAYS = (0.0, 0.3, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each search for a task whose creation was not answered."""


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
    try:
        task_id = create()
    except FdiError as error:
        task_id = _settle(hook, name, create, try_state, record, error)
    # Some versions of the service answer a create with null.
    task_id = task_id or _search(hook, name)
    if task_id is None:
        raise FdiProtocolError(
            "The service accepted the task without returning its id, and no task has its name.",
            hint="A retry looks for it again.",
            operation="create_task",
            ids={"task_name": name},
        )
    return task_id, None


def _settle(
    hook: FdiHook,
    name: str,
    create: Callable[[], str | None],
    try_state: TryState,
    record: CreateRecord,
    error: FdiError,
) -> str | None:
    """The id of a task whose creation failed with ``error``: found, or created by a second request.

    Only a request whose connection broke is sent again. None: the second request was accepted without an id.

    :raises FdiError: the service refused, or no task of this name exists.
    """
    if not error.ambiguous:
        # A task of this name that appears from now on is somebody else's.
        try_state.forget(record)
        raise error
    task_id = _search(hook, name)
    if task_id is not None:
        log.warning("The creation of FDI task %s was not answered, but it exists: %s", name, error.brief)
        return task_id
    if not isinstance(error, FdiConnectionError):
        raise error
    log.warning("The creation of FDI task %s failed, none exists, sending it again: %s", name, error.brief)
    try:
        return create()
    except FdiError as second:
        # The name was free before the first request: a task that has it now is the result of one of the two.
        if second.ambiguous or isinstance(second, FdiConflictError):
            task_id = _search(hook, name)
            if task_id is not None:
                return task_id
        raise


def already_exists(name: str, task_id: str) -> FdiAlreadyExists:
    """The failure of a create with ``if_exists="fail"``."""
    return FdiAlreadyExists.because(
        "A task of this name exists already, and if_exists='fail'.",
        f"{task_label(task_id, name)}.",
        "Set if_exists to 'reuse' or 'update', or choose another name.",
    )


def _search(hook: FdiHook, name: str) -> str | None:
    """The id of the task of this name; searches for some seconds, because lists may lag behind."""
    for delay in SEARCH_DELAYS:
        time.sleep(delay)
        task = hook.find_task(name)
        if task is not None:
            return task.task_id
    return None
