"""What the emulator remembers: tasks, runs, schedules, composite mappings and data sources, all in memory.

The one re-entrant lock of :class:`Store` guards it all. Rows of the two big lists (ListTasks and
ListMonitorInfos) and of finished runs keep their JSON text, so that a page of 999 rows costs only a join.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_fdi.emulator.constants import APP_ID, TERMINAL


def new_id() -> str:
    """An id as the service hands them out: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(slots=True)
class Step:
    """One row of a run's detail log."""

    code: int
    position: str
    position_status: str
    stage: str
    begin: int
    end: int | None = None
    rows: int = 0
    dirty: int = 0
    size: int = 0
    spend: int = 0
    remarks: str = ""
    id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Script:
    """What the runs of a task do instead of moving data."""

    outcome: str = "SUCCESS"
    duration_ms: int = 0
    waiting_ms: int = 0
    hold: bool = False
    rows: int = 0
    dirty_rows: int = 0
    data_size: float | None = None
    data_size_unit: str = "B"
    remarks: str | None = None
    log_delay_ms: int = 0
    error_code: int = 503
    steps: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """One execution: one row of the monitor log."""

    task_id: str
    trigger: str
    dispatch_time: int
    id: str = field(default_factory=new_id)
    # False for a dispatch that was refused because another run was unfinished
    accepted: bool = True
    execute_status: str = "WAITING"
    start_time: int | None = None
    end_time: int | None = None
    position: str = "ADAPTER"
    position_status: str = "NORMAL"
    code: int = 900
    rows: int = 0
    dirty: int = 0
    size: int = 0
    size_unit: str | None = None
    size_value: float | None = None
    read_ms: int = 0
    write_ms: int = 0
    spend_ms: int | None = None
    remarks: str = ""
    steps: list[Step] = field(default_factory=list)
    script: Script | None = None
    # time.monotonic() before which the row is not shown in the monitor log
    visible_at: float = 0.0
    started_at: float = 0.0
    cancel: threading.Event = field(default_factory=threading.Event)
    # called when the run is cancelled, to break off a statement that is being executed
    interrupts: list[Callable[[], object]] = field(default_factory=list)
    thread: threading.Thread | None = None
    # the row's JSON text, once the run has ended
    text: str | None = None

    @property
    def active(self) -> bool:
        """Whether the run has not ended yet."""
        return self.execute_status not in TERMINAL


@dataclass(slots=True)
class Schedule:
    """The one schedule of a task: an interval, or a Quartz expression."""

    task_id: str
    start_datetime: int | None
    period: str | None
    dispatch_interval: int | None
    remark: str | None
    use_quartz_cron: bool
    cron: str | None
    cron_timezone: str | None
    created: int
    modified: int
    id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Mapping:
    """One table pair of a composite task."""

    source_table: str
    target_table: str
    source_columns: list[dict[str, Any]]
    target_columns: list[dict[str, Any]]
    columns: list[dict[str, Any]]
    status: str
    updated: int
    percent: int = 100
    source_ds: str = ""
    target_ds: str = ""
    id: str = field(default_factory=new_id)
    # greatest key copied so far, and (emulator time, key) marks to which the task can be reset
    last_key: Any = None
    first_copy_done: bool = False
    marks: list[tuple[int, Any, bool]] = field(default_factory=list)
    # rows already in the target may come again: replace them by key
    replace: bool = False


@dataclass(slots=True, eq=False)
class Task:
    """A common or a composite task."""

    name: str
    type: str
    created: int
    modified: int
    id: str = field(default_factory=new_id)
    description: str = ""
    tag: str = ""
    source_ds: str = ""
    target_ds: str = ""
    detail: str = ""
    composite: bool = False
    operation_types: list[str] = field(default_factory=list)
    # a composite task that was initialised but not created yet
    draft: bool = False
    server_id: str | None = None
    source_group: str = "SOURCE_GROUP1"
    target_group: str = "TARGET_GROUP1"
    source_app_id: str = APP_ID
    target_app_id: str = APP_ID
    started: bool = False
    schedule: Schedule | None = None
    runs: list[Run] = field(default_factory=list)
    active: Run | None = None
    last: Run | None = None
    mappings: dict[str, Mapping] = field(default_factory=dict)
    scripts: list[Script] = field(default_factory=list)
    # greatest value of the date column read so far (incremental tasks)
    watermark: Any = None
    brief_text: str | None = None
    monitor_text: str | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the task runs until it is stopped, instead of once per dispatch."""
        return self.composite or self.type == "REALTIME"

    @property
    def execute_status(self) -> str:
        """The state of the task's last run."""
        return self.last.execute_status if self.last is not None else "UNSTARTED"

    def touch(self) -> None:
        """Forget the JSON text of this task's rows, because something in them changed."""
        self.brief_text = None
        self.monitor_text = None

    def next_script(self) -> Script | None:
        """The script of the next run; of several, each is used once and the last one stays."""
        if not self.scripts:
            return None
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


@dataclass(slots=True)
class Datasource:
    """A data source; one with a `url` has a real database behind it."""

    name: str
    type: str
    content: dict[str, Any]
    created: int
    updated: int
    id: str = field(default_factory=new_id)
    app_id: str = APP_ID
    description: str = ""
    # SQLAlchemy URL; None where the emulator has no database behind the data source
    url: str | None = field(default=None, repr=False)


class Store:
    """All tasks, drafts and data sources, and the lock that guards them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tasks: dict[str, Task] = {}
        self.drafts: dict[str, Task] = {}
        self.names: dict[str, int] = {}
        self.datasources: dict[str, Datasource] = {}
        # accepted and refused dispatches: {task_id, time, trigger, accepted, run_id, code}
        self.dispatches: list[dict[str, Any]] = []
        self._ordered: list[Task] | None = None

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            for kept in (self.tasks, self.drafts, self.names, self.datasources, self.dispatches):
                kept.clear()
            self._ordered = None

    def add_task(self, task: Task) -> None:
        with self.lock:
            self.tasks[task.id] = task
            self.names[task.name] = self.names.get(task.name, 0) + 1
            self._ordered = None

    def remove_task(self, task: Task) -> None:
        with self.lock:
            del self.tasks[task.id]
            self._forget_name(task.name)
            self._ordered = None

    def rename_task(self, task: Task, name: str) -> None:
        with self.lock:
            self._forget_name(task.name)
            task.name = name
            self.names[name] = self.names.get(name, 0) + 1

    def _forget_name(self, name: str) -> None:
        left = self.names[name] - 1
        if left:
            self.names[name] = left
        else:
            del self.names[name]

    def ordered_tasks(self) -> list[Task]:
        """All tasks, oldest first. The list is shared: do not change it."""
        with self.lock:
            if self._ordered is None:
                self._ordered = list(self.tasks.values())
            return self._ordered

    def forget_texts(self) -> None:
        """Drop all kept JSON text, because a switch changed how rows are written."""
        with self.lock:
            for task in self.tasks.values():
                task.touch()
                for run in task.runs:
                    run.text = None
