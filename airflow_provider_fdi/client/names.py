"""Finding a task by its exact name; the service's own name filter is fuzzy (ListTasks)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.errors import FdiArgumentError

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import Task


def only_task_named(name: str, tasks: Iterable[Task]) -> Task | None:
    """The task of exactly this name, or None.

    :raises FdiArgumentError: several tasks have this name.
    """
    found = [task for task in tasks if task.task_name == name]
    if len(found) > 1:
        ids = ", ".join(task.task_id for task in found)
        rule = f"must name one task, but {len(found)} have it ({ids}); use the id"
        raise FdiArgumentError("fdi_task_name", name, rule)
    return found[0] if found else None


def existing_task_named(name: str, tasks: Iterable[Task]) -> Task:
    """The task of exactly this name.

    :raises FdiArgumentError: no task has this name, or several have it.
    """
    task = only_task_named(name, tasks)
    if task is None:
        rule = (
            "no task has exactly this name in this instance, or the permission on its integration"
            " application is missing"
        )
        raise FdiArgumentError("fdi_task_name", name, rule)
    return task
