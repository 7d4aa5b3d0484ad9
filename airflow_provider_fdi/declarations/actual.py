"""What an instance holds: its tasks with all that the files can declare about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.models import Datasource, Schedule, TableMapping, Task
from airflow_provider_fdi.declarations.model import Declarations

MAX_PARALLEL_REQUESTS = 8


@dataclass(frozen=True, slots=True)
class ActualTask:
    """A task of the instance. ``shown``, ``schedule`` and ``mappings`` are read only where they are needed."""

    listed: Task
    shown: Task | None = None
    schedule: Schedule | None = None
    mappings: tuple[TableMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Actual:
    """The tasks of an instance by their names (a name can be there twice), and its data sources."""

    tasks: Mapping[str, tuple[ActualTask, ...]] = field(default_factory=dict)
    datasources: tuple[Datasource, ...] = ()
    instance_id: str = ""


def read_actual(
    client: FdiClient,
    declarations: Declarations,
    *,
    max_parallel_requests: int = MAX_PARALLEL_REQUESTS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Actual:
    """The instance as ``make_plan`` compares it: two requests for each task that is declared or managed.

    :param on_progress: called from one thread with the number of tasks read, and of all to be read

    :raises FdiError: a request failed.
    """
    raise NotImplementedError
