"""What an instance holds: its tasks with all that the files can declare about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.enums import TaskType
from airflow_provider_fdi.client.errors import FdiNotFoundError
from airflow_provider_fdi.client.models import Datasource, Schedule, TableMapping, Task
from airflow_provider_fdi.declarations.model import Declarations, Kind

MAX_PARALLEL_REQUESTS = 8

OnProgress = Callable[[int, int], None]
"""Called with the number of tasks read so far, and of all that are to be read."""


@dataclass(frozen=True, slots=True)
class ActualTask:
    """A task of the instance. ``shown`` is None if it was not read, because no file declares it."""

    listed: Task
    shown: Task | None = None
    schedule: Schedule | None = None
    mappings: tuple[TableMapping, ...] = ()

    @property
    def kind(self) -> Kind:
        """What kind of task it is."""
        if self.listed.is_composite:
            return "composite"
        return "realtime" if self.listed.task_type == TaskType.REALTIME else "timing"


@dataclass(frozen=True, slots=True)
class Actual:
    """The tasks of an instance by their names (a name can be there twice), and its data sources."""

    tasks: Mapping[str, tuple[ActualTask, ...]] = field(default_factory=dict)
    datasources: tuple[Datasource, ...] = ()
    instance_id: str = ""

    def datasource_name(self, datasource_id: str | None) -> str | None:
        """The name of the data source with this id; None if there is none."""
        named = (row.datasource_name for row in self.datasources if row.datasource_id == datasource_id)
        return next(named, None)


def read_actual(
    client: FdiClient,
    declarations: Declarations,
    *,
    max_parallel_requests: int = MAX_PARALLEL_REQUESTS,
    on_progress: OnProgress | None = None,
) -> Actual:
    """The instance as ``make_plan`` compares it: two requests for each task that is declared or managed.

    :param on_progress: called from one thread with the number of tasks read, and of all to be read

    :raises FdiError: a request failed.
    """
    kinds = {task.name: task.kind for task in declarations.tasks}
    tag = declarations.managed_tag

    def is_needed(task: Task) -> bool:
        return task.task_name in kinds or (tag is not None and task.task_tag == tag)

    actual = _read(client, is_needed, kinds, max_parallel_requests, on_progress)
    return replace(actual, datasources=(*actual.datasources, *_not_listed(actual)))


def _not_listed(actual: Actual) -> Iterable[Datasource]:
    """The data sources that tasks use without being listed (deleted, or not to be seen by this user).

    Their names are those that the task says, or else their ids, as in an export.
    """
    used: dict[str, str | None] = {}
    for task in (task.shown for tasks in actual.tasks.values() for task in tasks if task.shown is not None):
        used[task.source_datasource_id or ""] = task.source_datasource_name
        used[task.target_datasource_id or ""] = task.target_datasource_name
    for unlisted in used.keys() - {source.datasource_id for source in actual.datasources} - {""}:
        yield Datasource(datasource_id=unlisted, datasource_name=used[unlisted] or unlisted)


def read_all(
    client: FdiClient,
    is_needed: Callable[[Task], bool],
    *,
    max_parallel_requests: int = MAX_PARALLEL_REQUESTS,
    on_progress: OnProgress | None = None,
) -> Actual:
    """The instance with those of its tasks read that are needed, two requests for each.

    :raises FdiError: a request failed.
    """
    return _read(client, is_needed, {}, max_parallel_requests, on_progress)


def _read(
    client: FdiClient,
    is_needed: Callable[[Task], bool],
    kinds: Mapping[str, Kind],
    max_parallel_requests: int,
    on_progress: OnProgress | None,
) -> Actual:
    listed = client.list_tasks().items
    datasources = client.list_datasources().items
    needed = [task for task in listed if is_needed(task)]
    found = {
        task.listed.task_id: task
        for task in _read_tasks(client, needed, kinds, max_parallel_requests, on_progress)
    }
    gone = {task.task_id for task in needed} - found.keys()
    by_name: dict[str, tuple[ActualTask, ...]] = {}
    for task in listed:
        if task.task_id not in gone:
            name = task.task_name or ""
            by_name[name] = (*by_name.get(name, ()), found.get(task.task_id, ActualTask(task)))
    return Actual(by_name, datasources, client.instance_id)


def _read_tasks(
    client: FdiClient,
    tasks: Sequence[Task],
    kinds: Mapping[str, Kind],
    max_parallel_requests: int,
    on_progress: OnProgress | None,
) -> Iterable[ActualTask]:
    """The tasks that still exist, in any order."""
    with ThreadPoolExecutor(max(1, max_parallel_requests), "fdi-plan") as pool:
        futures = [pool.submit(_read_task, client, task, kinds.get(task.task_name or "")) for task in tasks]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                found = future.result()
                if on_progress is not None:
                    on_progress(number, len(tasks))
                if found is not None:
                    yield found
        finally:
            # After a failure, or when the caller is interrupted, no further request is sent.
            pool.shutdown(wait=True, cancel_futures=True)


def _read_task(client: FdiClient, task: Task, declared: Kind | None) -> ActualTask | None:
    """A task with at most two requests; None if it has been deleted since it was listed."""
    try:
        shown = client.get_task(task.task_id)
        if task.is_composite or (task.task_type == TaskType.REALTIME and _is_composite(shown, declared)):
            mappings = client.list_mappings(task.task_id).items
            return ActualTask(replace(task, is_composite=True), shown, mappings=mappings)
        schedule = None if task.task_type == TaskType.REALTIME else client.get_schedule(task.task_id)
    except FdiNotFoundError as error:
        if not error.said_by_fdi:
            raise
        return None
    return ActualTask(task, shown, schedule)


def _is_composite(shown: Task, declared: Kind | None) -> bool:
    """Whether a real-time task is composite, although the list does not mark it as such."""
    return declared == "composite" or (declared is None and not shown.task_detail)
