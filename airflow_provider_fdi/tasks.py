"""What several operators do with FDI tasks: find them, create one once, stop one, wait until they are so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.deferral import chain_of
from airflow_provider_fdi.exceptions import FdiAlreadyExists, FdiTaskBusy
from airflow_provider_fdi.version_compat import task_state_store

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import BatchItem, Task
    from airflow_provider_fdi.hooks.fdi import FdiHook
    from airflow_provider_fdi.runs.record import Note

log = logging.getLogger(__name__)

TARGET_STATUS = {"start": "RUNNING", "stop": "STOPPED"}
"""The status of a task after each action."""

FEW = 3
"""So many tasks are asked for one by one; for more, all are listed: 999 to a request."""

LOOKS_AFTER_A_CREATE = (0.0, 0.3, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each look for a task whose creation was answered by nothing."""

STOP_TIMEOUT = 60.0
"""Seconds within which a task must be stopped after the service said that it will be."""


def note_for(context: Context, key: str, **content: Any) -> Note:
    """A word to later tries of the same chain."""
    from airflow_provider_fdi.runs.record import Note

    return Note(task_state_store(context), key, {"chain": chain_of(context), **content})


# --- finding ----------------------------------------------------------------------------------------------


def states_of(client: FdiClient, ids: Sequence[str]) -> dict[str, Task]:
    """The tasks of these ids as ListTasks has them; one that is not listed is left out."""
    from airflow_provider_fdi.runs.wait import task_state

    if len(ids) > FEW:
        wanted = set(ids)
        return {task.task_id: task for task in client.list_tasks() if task.task_id in wanted}
    found = (task_state(client, task_id)[0] for task_id in ids)
    return {task.task_id: task for task in found if task is not None}


def describe_item(item: BatchItem) -> str:
    """One task of a batch that failed, in the service's words, and what to do."""
    from airflow_provider_fdi.client.errors import advice

    name = f" ({item.task_name})" if item.task_name else ""
    words = (f"{item.task_id}{name}:", item.error_code, item.error_msg, advice(item.error_code or ""))
    return " ".join(word for word in words if word)


def still_to_do(client: FdiClient, failed: Sequence[BatchItem], action: str) -> list[BatchItem]:
    """The failures of a batch that are none: FDI refuses to start what is started already, and the like."""
    states = states_of(client, [item.task_id for item in failed])

    def is_so(item: BatchItem) -> bool:
        task = states.get(item.task_id)
        return task is not None and task.status.value == TARGET_STATUS[action]

    return [item for item in failed if not is_so(item)]


# --- creating ---------------------------------------------------------------------------------------------


def create_once(
    hook: FdiHook, name: str, create: Callable[[], str | None], note: Note, *, composite: bool = False
) -> tuple[str, Task | None]:
    """Create the task ``name`` unless it exists: its id, and the task if it was there before.

    A creation whose answer was lost is settled by looking for the name, in this try or, where Airflow has a
    state store, in the next: what was absent when ``note`` was left is ours.

    :raises FdiError: the service refused, or no task appeared although it answered.
    :raises FdiAlreadyExists: the name is taken by a task of the other kind, ``composite`` or common.
    """
    from airflow_provider_fdi.client.errors import FdiError, FdiProtocolError
    from airflow_provider_fdi.client.models import TaskType

    existing = hook.find_task(name)
    if existing is not None:
        # A list need not mark composite tasks as such, but none of them is TIMING.
        if existing.task_type is TaskType.TIMING if composite else existing.is_composite:
            kinds = ("common", "composite") if composite else ("composite", "common")
            raise FdiAlreadyExists(
                f"FDI task {name!r} ({existing.task_id}) exists, but it is a {kinds[0]} task, not a"
                f" {kinds[1]} one. Choose another name."
            )
        return existing.task_id, None if note.is_left else existing
    note.leave()
    try:
        task_id = create()
    except FdiError as error:
        if not error.ambiguous:
            # What appears under this name from now on is somebody else's.
            note.take_back()
            raise
        task_id = _look_for_created(hook, name)
        if task_id is None:
            raise
        log.warning("The creation of FDI task %r was not answered, but it exists: %s", name, error)
        return task_id, None
    # Some versions answer a create with nothing at all.
    task_id = task_id or _look_for_created(hook, name)
    if task_id is None:
        raise FdiProtocolError(
            f"create: the service accepted task {name!r} without telling its id,"
            " and no task has exactly this name",
            operation="create_task",
            ids={"task_name": name},
        )
    return task_id, None


def already_exists(name: str, task_id: str) -> FdiAlreadyExists:
    return FdiAlreadyExists(
        f"FDI task {name!r} exists already, with id {task_id} (if_exists='fail')."
        " Set if_exists to 'reuse' or 'update', or choose another name."
    )


def _look_for_created(hook: FdiHook, name: str) -> str | None:
    for pause in LOOKS_AFTER_A_CREATE:
        time.sleep(pause)
        task = hook.find_task(name)
        if task is not None:
            return task.task_id
    return None


# --- started and stopped ----------------------------------------------------------------------------------


def watch_status(
    client: FdiClient,
    ids: Iterable[str],
    action: str,
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    timeout: float | None = None,
) -> list[str]:
    """Wait until all tasks are started or stopped; those that are not when ``timeout`` (s) is over.

    :raises FdiError: looks have failed for ``poll_failure_timeout`` seconds, or a task is not there.
    """
    from airflow_provider_fdi.runs.wait import look_until

    left = list(ids)

    def look() -> bool | None:
        nonlocal left
        states = states_of(client, left)
        for task_id in left:
            if task_id not in states:
                # Not listed is not the same as deleted: ShowTask tells for certain, by a 404.
                states[task_id] = client.get_task(task_id)
        left = [task_id for task_id in left if states[task_id].status.value != TARGET_STATUS[action]]
        return None if left else True

    look_until(
        look,
        poll_interval=poll_interval,
        poll_failure_timeout=poll_failure_timeout,
        until=None if timeout is None else time.monotonic() + timeout,
        look_first=True,
    )
    return left


def stop_and_wait(client: FdiClient, fdi_task_id: str) -> None:
    """Stop a task and wait until it is stopped.

    :raises FdiTaskBusy: it cannot be stopped.
    """
    failed = still_to_do(client, client.stop_tasks([fdi_task_id]).failed, "stop")
    if failed:
        raise FdiTaskBusy(f"FDI task {describe_item(failed[0])}")
    left = watch_status(
        client,
        [fdi_task_id],
        "stop",
        poll_interval=1.0,
        # Looks that fail to the end must end it: then nobody knows whether it is stopped.
        poll_failure_timeout=STOP_TIMEOUT / 2,
        timeout=STOP_TIMEOUT,
    )
    if left:
        raise FdiTaskBusy(f"FDI task {fdi_task_id} is not stopped {STOP_TIMEOUT:g} s after it was told to.")
    log.info("Stopped FDI task %s", fdi_task_id)


def require_stopped(client: FdiClient, task: Task, stop_first: bool, what: str) -> None:
    """See to it that a task is stopped.

    :raises FdiTaskBusy: it is started and ``stop_first`` is not set, or it cannot be stopped.
    """
    from airflow_provider_fdi.client.models import TaskStatus

    if task.status is not TaskStatus.RUNNING:
        return
    if not stop_first:
        raise FdiTaskBusy(
            f"FDI task {task.task_id} ({task.task_name}) is started; FDI can {what} it only when it is"
            " stopped. Stop it, or set stop_first=True."
        )
    stop_and_wait(client, task.task_id)
