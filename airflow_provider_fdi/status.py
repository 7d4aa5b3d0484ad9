"""Started and stopped: the status of FDI tasks, and how to change it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.codes import advice, anchor_of
from airflow_provider_fdi.client.errors import clean_text, said_with_code, task_label
from airflow_provider_fdi.exceptions import FdiTaskBusy

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import BatchItem, Task

log = logging.getLogger(__name__)

TARGET_STATUS = {"start": "RUNNING", "stop": "STOPPED"}
"""The status of a task after each action."""

STATUS_WORDS = {"start": "started", "stop": "stopped"}

FEW = 3
"""Up to this many tasks are read one by one; for more, all tasks are listed, 999 to a request."""

STOP_TIMEOUT = 60.0
"""Seconds within which a task must be stopped after the service accepted the request to stop it."""


def read_tasks(client: FdiClient, ids: Sequence[str]) -> dict[str, Task]:
    """The tasks with these ids, as ListTasks returns them; a task that is not listed is left out."""
    # Deferred: loads client.models.
    from airflow_provider_fdi.runs.polling import task_state

    if len(ids) > FEW:
        wanted = set(ids)
        return {task.task_id: task for task in client.list_tasks() if task.task_id in wanted}
    found = (task_state(client, task_id)[0] for task_id in ids)
    return {task.task_id: task for task in found if task is not None}


def task_in_batch(task_id: str, task_name: str | None) -> str:
    """A task among others, by its name beside its id."""
    return f"{clean_text(task_name, 100)} ({task_id})" if task_name else task_id


def still_to_do(client: FdiClient, failed: Sequence[BatchItem], action: str) -> list[BatchItem]:
    """The failures of a batch without those whose task has the wanted status anyway.

    FDI reports an error for starting a task that is started already, and for stopping a stopped one.
    """
    tasks = read_tasks(client, [item.task_id for item in failed])

    def is_done(item: BatchItem) -> bool:
        task = tasks.get(item.task_id)
        return task is not None and task.status == TARGET_STATUS[action]

    return [item for item in failed if not is_done(item)]


def watch_status(
    client: FdiClient,
    ids: Iterable[str],
    action: str,
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    timeout: float | None = None,
) -> list[str]:
    """Wait until all tasks are started or stopped; returns those that are not after ``timeout`` seconds.

    :raises FdiError: polls have failed for ``poll_failure_timeout`` seconds, or a task does not exist.
    """
    # Deferred: loads client.models.
    from airflow_provider_fdi.runs.polling import poll_until

    left = list(ids)

    def poll() -> bool | None:
        nonlocal left
        tasks = read_tasks(client, left)
        for task_id in left:
            if task_id not in tasks:
                # A task that is not listed need not be deleted: only a 404 of ShowTask is certain.
                tasks[task_id] = client.get_task(task_id)
        left = [task_id for task_id in left if tasks[task_id].status != TARGET_STATUS[action]]
        return None if left else True

    poll_until(
        poll,
        poll_interval=poll_interval,
        poll_failure_timeout=poll_failure_timeout,
        until=None if timeout is None else time.monotonic() + timeout,
        poll_first=True,
    )
    return left


def stop_and_wait(client: FdiClient, fdi_task_id: str, task_name: str | None) -> None:
    """Stop a task and wait until it is stopped.

    :raises FdiTaskBusy: it cannot be stopped.
    """
    failed = still_to_do(client, client.stop_tasks([fdi_task_id]).failed, "stop")
    if failed:
        item = failed[0]
        raise FdiTaskBusy.because(
            f"{said_with_code(item.error_code, item.error_msg)}.",
            f"{task_label(fdi_task_id, item.task_name)} cannot be stopped.",
            advice(item.error_code or ""),
            anchor=anchor_of(item.error_code or ""),
        )
    left = watch_status(
        client,
        [fdi_task_id],
        "stop",
        poll_interval=1.0,
        # Shorter than the timeout: if all polls fail, the error must be raised, not a wrong "not stopped".
        poll_failure_timeout=STOP_TIMEOUT / 2,
        timeout=STOP_TIMEOUT,
    )
    if left:
        raise FdiTaskBusy.because(
            f"The task is not stopped after {STOP_TIMEOUT:g} s.",
            f"{task_label(fdi_task_id, task_name)}: FDI accepted the request to stop it.",
            "Look at the task in the console.",
        )
    log.info("Stopped %s", task_label(fdi_task_id, task_name))


def require_stopped(client: FdiClient, task: Task, stop_first: bool, what: str) -> None:
    """Make sure that a task is stopped before ``what`` is done to it.

    :raises FdiTaskBusy: it is started and ``stop_first`` is not set, or it cannot be stopped.
    """
    if task.status != TARGET_STATUS["start"]:
        return
    if not stop_first:
        raise FdiTaskBusy.because(
            f"The task is started, and FDI can {what} it only when it is stopped.",
            f"{task_label(task.task_id, task.task_name)}.",
            "Stop it, or set stop_first=True.",
        )
    stop_and_wait(client, task.task_id, task.task_name)
