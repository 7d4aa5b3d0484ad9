"""Finding tasks by their exact names; the service's own name filter is fuzzy (ListTasks)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError, clean_text

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Task

NOT_FOUND_HINT = (
    "Names are compared exactly, with upper and lower case. The task may be in another instance than that of"
    " {connection}. Or an authorization is missing: its integration application is not shared with this user."
)


def only_task_named(name: str, tasks: Iterable[Task]) -> Task | None:
    """The task of exactly this name, or None.

    :raises FdiArgumentError: several tasks have this name.
    """
    found = [task for task in tasks if task.task_name == name]
    if len(found) > 1:
        ids = ", ".join(task.task_id for task in found)
        rule = f"{len(found)} tasks have this name; use the id: {ids}"
        raise FdiArgumentError("fdi_task_name", name, rule)
    return found[0] if found else None


def no_task_named(name: str, tasks: Iterable[Task]) -> FdiArgumentError:
    """The error for a name that none of ``tasks`` has; names one that looks alike."""
    close = similar_name(name, tasks)
    rule = f"did you mean {close!r}? No task has this name" if close else "no task has this name"
    return FdiArgumentError("fdi_task_name", name, rule, hint=NOT_FOUND_HINT)


def find_task(client: FdiClient, name: str) -> Task | None:
    """The task of exactly this name, or None (ListTasks).

    :raises FdiArgumentError: several tasks have this name.
    """
    return only_task_named(name, client.list_tasks(name=name))


def task_named(client: FdiClient, name: str) -> tuple[Task, int | None]:
    """The task of exactly this name, and the server's time in ms when it was read (ListTasks).

    :raises FdiArgumentError: no task has this name, or several have it.
    """
    listing = client.list_tasks(name=name)
    task = only_task_named(name, listing)
    if task is None:
        # All of them: the service's filter does not let a misspelt name find the right one.
        raise no_task_named(name, client.list_tasks())
    return task, listing.server_time


def tasks_named(names: Sequence[str], tasks: Iterable[Task]) -> list[Task]:
    """The tasks of exactly these names, in their order.

    :raises FdiArgumentError: names all that no task has, or one that several have.
    """
    tasks = tuple(tasks)
    by_name: dict[str | None, list[Task]] = {}
    for task in tasks:
        by_name.setdefault(task.task_name, []).append(task)
    missing = [name for name in names if name not in by_name]
    if len(missing) == 1:
        raise no_task_named(missing[0], tasks)
    if missing:
        listed = ", ".join(repr(clean_text(name, 100)) for name in missing)
        rule = f"no task has these {len(missing)} of {len(names)} names: {listed}"
        close = {name: similar_name(name, tasks) for name in missing}
        meant = [f"Did you mean {like!r} instead of {name!r}?" for name, like in close.items() if like]
        hint = "\n".join([*meant, NOT_FOUND_HINT])
        raise FdiArgumentError("fdi_task_names", HIDDEN, rule, hint=hint)
    found = (only_task_named(name, by_name[name]) for name in names)
    return [task for task in found if task is not None]


def similar_name(name: str, tasks: Iterable[Task]) -> str | None:
    """The name of a task that differs from ``name`` in case or in a letter or two."""
    # Deferred: only a wrong name needs it.
    from difflib import get_close_matches

    known = {task.task_name.casefold(): task.task_name for task in tasks if task.task_name}
    close = get_close_matches(name.casefold(), known, n=1, cutoff=0.8)
    return clean_text(known[close[0]], 100) if close else None
