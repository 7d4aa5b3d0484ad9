"""What became of a task or schedule whose creation was not answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.errors import (
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Schedule, Task

log = logging.getLogger(__name__)

SEARCH_DELAYS = (0.0, 0.3, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each search for a task whose creation was not answered."""

Find = Callable[[str], "Task | None"]
"""Finds the task of exactly this name."""


def _nothing() -> None:
    """What is done by default about a refusal."""


def create_task_once(
    find: Find, name: str, create: Callable[[], str | None], *, on_refusal: Callable[[], object] = _nothing
) -> str:
    """Create the task ``name``, which does not exist; returns its id.

    If the response to the create is lost, the task is searched by its name. If the connection broke and the
    task is certainly absent, the create is sent once more.

    :param create: creates the task and returns its id, or None where the service does not tell it
    :param on_refusal: called when no task can have been created
    :raises FdiError: the service refused, or no task appeared although it accepted the request.
    """
    try:
        task_id = create()
    except FdiError as error:
        if not error.ambiguous:
            on_refusal()
            raise
        task_id = _settle(find, name, create, error)
    # Some versions of the service answer a create with null.
    task_id = task_id or _search(find, name)
    if task_id is None:
        raise FdiProtocolError(
            "The service accepted the task without returning its id, and no task has its name.",
            hint="A retry looks for it again.",
            operation="create_task",
            ids={"task_name": name},
        )
    return task_id


def _settle(find: Find, name: str, create: Callable[[], str | None], error: FdiError) -> str | None:
    """The id of a task whose creation may have been carried out although it failed with ``error``.

    Only a request whose connection broke is sent again. None: the second request was accepted without an id.

    :raises FdiError: no task of this name exists.
    """
    task_id = _search(find, name)
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
            task_id = _search(find, name)
            if task_id is not None:
                return task_id
        raise


def _search(find: Find, name: str) -> str | None:
    """The id of the task of this name; searches for some seconds, because lists may lag behind."""
    for delay in SEARCH_DELAYS:
        time.sleep(delay)
        task = find(name)
        if task is not None:
            return task.task_id
    return None


def create_schedule_once(
    client: FdiClient,
    fdi_task_id: str,
    fields: dict[str, Any],
    *,
    on_refusal: Callable[[], object] = _nothing,
) -> Schedule:
    """Give a task its schedule, of which it has none; ``fields`` are those of ``create_schedule``.

    :param on_refusal: called when no schedule can have been created
    :raises FdiError: the service refused, or the task still has none after a request that was not answered.
    """
    try:
        return client.create_schedule(fdi_task_id, **fields)
    except FdiError as error:
        if not error.ambiguous:
            on_refusal()
            raise
        # A task has one schedule: if it has one now, it is the one we sent.
        found = client.get_schedule(fdi_task_id)
        if found is None:
            raise
        log.warning("The new schedule was not confirmed, but it exists: %s", error.brief)
        return found


def schedule_differences(existing: Schedule, fields: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields in which a schedule differs, each with what the service reports and what is wanted.

    A field that is None in ``fields`` may be anything.
    """
    wanted = fields
    if existing.use_quartz_cron is not None:
        wanted = {**fields, "use_quartz_cron": fields.get("cron") is not None}
    return {
        field: (reported, value)
        for field, value in wanted.items()
        if value is not None and (reported := getattr(existing, field)) != value
    }
