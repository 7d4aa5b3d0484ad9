"""What FDI answers, as frozen data.

The service spells the same thing in several ways (``status`` as 0/1 or "stop"/"running", ``created_date`` as
a number or a date, two names for one time). Every such tolerance lives here, once. Unknown enum values become
``UNKNOWN``, unknown fields stay in ``raw``, and no answer is rejected for a limit. A ``from_wire`` raises
ValueError only for what cannot be meant: not an object, or without an id.

A field says beside its type how it is read: ``rows: int | None = whole("data_count")``. Times are epoch
milliseconds UTC; 0 and null mean "not yet" and become None.
"""

# ruff: noqa: RUF009 - the functions called in the classes make fields

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType
from airflow_provider_fdi.client.fields import (
    Model,
    as_bool,
    as_int,
    as_text,
    as_upper,
    filled,
    flag,
    many,
    member,
    number,
    object_of,
    objects_in,
    read_by,
    required,
    required_text,
    tally,
    text,
    time,
    upper,
    whole,
    whole_row,
)
from airflow_provider_fdi.client.times import ms_of_answer

__all__ = [
    "BatchItem",
    "BatchResult",
    "Column",
    "CompositeInit",
    "Datasource",
    "KindCounts",
    "Listing",
    "MappingColumn",
    "Page",
    "Run",
    "RunStep",
    "RunSteps",
    "Schedule",
    "TableMapping",
    "Task",
    "TaskCounts",
    "TaskMonitor",
]

T = TypeVar("T")


# Listings


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """All rows of a listing.

    ``total`` is the service's own count, ``server_time`` the ``Date`` of the first page's answer in epoch
    milliseconds: everything older than it is in the listing.
    """

    items: tuple[T, ...]
    total: int | None = None
    server_time: int | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: its rows as they came, and the service's total."""

    entities: list[dict[str, Any]]
    total: int | None
    size: int

    @classmethod
    def from_wire(cls, data: Any) -> Page:
        """A page from ``{total, size, entities}``.

        Nothing, null and an empty object are refused: they do not say that there are no rows, and what is
        taken for missing is created again, or counts as deleted. ``size`` counts the rows that came, readable
        or not: paging goes on by it.
        """
        if data is None:
            raise ValueError("the page is empty or null")
        rows = data if isinstance(data, list) else object_of(data, "the page").get("entities")
        total = None if isinstance(data, list) else as_int(data.get("total"))
        if total is not None and total < 0:
            total = None
        if rows is None:
            if total is None:
                raise ValueError("the page has neither entities nor total")
            return cls([], total, 0)
        if not isinstance(rows, list):
            raise ValueError("the page's entities are not a list")
        return cls(objects_in(rows), total, len(rows))


# Tasks


def _is_composite(ext_type: Any) -> bool:
    return str(ext_type or "").upper() == "CDC"


def _optional_status(value: Any) -> ExecuteStatus | None:
    return None if value is None else ExecuteStatus.from_wire(value)


@dataclass(frozen=True, slots=True)
class Task(Model):
    """A task. ``execute_status`` (its latest run) is known from ``list_tasks`` only."""

    _what = "the task"

    task_id: str = required()
    task_name: str | None = text()
    task_type: TaskType = member(TaskType)
    status: TaskStatus = member(TaskStatus)
    execute_status: ExecuteStatus | None = read_by(_optional_status)()
    is_composite: bool = read_by(_is_composite, False)("ext_type")
    description: str | None = text()
    task_tag: str | None = text()
    source_datasource_id: str | None = text()
    target_datasource_id: str | None = text()
    source_datasource_name: str | None = text()
    target_datasource_name: str | None = text()
    source_app_id: str | None = text()
    target_app_id: str | None = text()
    source_instance_id: str | None = text()
    target_instance_id: str | None = text()
    project_id: str | None = text()
    created_time: int | None = time("created_date", "created_time", "create_time")
    modified_time: int | None = time("last_modified_date", "last_modified_time", "update_time")
    task_detail: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def from_wire(cls, data: Any) -> Task:
        """From ``{task, task_detail}`` (show, create, update) or from a row of ``list_tasks``."""
        outer = object_of(data, cls._what)
        inner = outer.get("task")
        row = outer if inner is None else object_of(inner, cls._what)
        return cls._from_row(row, task_detail=as_text(outer.get("task_detail")), raw=outer)

    @classmethod
    def optional_from_wire(cls, data: Any) -> Task | None:
        """Like ``from_wire``; None for what is empty: the service does not tell the task."""
        if data is None or data == {} or (isinstance(data, dict) and "task" in data and not data["task"]):
            return None
        return cls.from_wire(data)


@dataclass(frozen=True, slots=True)
class KindCounts(Model):
    """How many tasks of one kind are in which state."""

    running: int = tally("running_tasks_count")
    abnormal: int = tally("abnormal_tasks_count")
    terminated: int = tally("terminated_tasks_count")
    completed: int = tally("completed_tasks_count")

    @classmethod
    def from_wire(cls, data: Any) -> KindCounts:
        """From ``{running_tasks_count, …}``; what is missing counts as none."""
        return cls._from_row(data if isinstance(data, dict) else {})


@dataclass(frozen=True, slots=True)
class TaskCounts(Model):
    """Numbers of common and of composite tasks by state."""

    _what = "the answer"

    common: KindCounts = read_by(KindCounts.from_wire, KindCounts())("common_task_details")
    composite: KindCounts = read_by(KindCounts.from_wire, KindCounts())("cdc_task_details")
    raw: Mapping[str, Any] = whole_row()


@dataclass(frozen=True, slots=True)
class TaskMonitor:
    """A task with its latest run, as the monitoring page lists it."""

    task_id: str
    task_name: str | None
    task_type: TaskType
    status: TaskStatus
    execute_status: ExecuteStatus
    last_execute_time: int | None = None
    position: str | None = None
    is_composite: bool = False
    use_quartz_cron: bool | None = None
    cron: str | None = None
    period: str | None = None
    dispatch_interval: int | None = None
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def from_wire(cls, data: Any) -> TaskMonitor:
        """From a row of the monitoring page. By hand: a triggerer reads pages of 999 of them."""
        row = object_of(data, "the task monitor")
        get = row.get
        return cls(
            task_id=required_text(row, "task_id", "the task monitor"),
            task_name=as_text(get("task_name")),
            task_type=TaskType.from_wire(get("task_type")),
            status=TaskStatus.from_wire(get("status")),
            execute_status=ExecuteStatus.from_wire(get("execute_status")),
            last_execute_time=ms_of_answer(get("last_execute_time")),
            position=as_upper(get("position")),
            is_composite=_is_composite(get("ext_type")),
            use_quartz_cron=as_bool(get("use_quartz_cron")),
            cron=as_text(get("cron")),
            period=as_upper(get("period")),
            dispatch_interval=as_int(get("dispatch_interval")),
            raw=row,
        )


# Runs

_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


@dataclass(frozen=True, slots=True)
class RunStep(Model):
    """One step of a run. ``code`` is the service's step code (103: source failed, 503: target failed, …)."""

    _what = "the step"

    step_id: str | None = text("id")
    code: int | None = whole("status")
    position: str | None = upper()
    position_status: str | None = upper()
    stage: str | None = text()
    rows: int | None = whole("data_count")
    dirty_rows: int | None = whole("dirty_data_count")
    data_size: float | None = number()
    data_size_unit: str | None = upper()
    spend_time: int | None = whole()
    remarks: str | None = text()
    begin_time: int | None = time("step_begin_time")
    end_time: int | None = time("step_end_time")
    raw: Mapping[str, Any] = whole_row()


def _steps(value: Any) -> tuple[RunStep, ...]:
    return tuple(RunStep.from_wire(step) for step in objects_in(value))


@dataclass(frozen=True, slots=True)
class Run(Model):
    """One execution of a task. ``step_code`` is the wire's ``status``, ``rows`` its ``data_count``."""

    _what = "the run"

    run_id: str = required("id")
    execute_status: ExecuteStatus = member(ExecuteStatus)
    dispatch_time: int | None = time()
    start_time: int | None = time()
    end_time: int | None = time()
    position: str | None = upper()
    position_status: str | None = upper()
    step_code: int | None = whole("status")
    rows: int | None = whole("data_count")
    dirty_rows: int | None = whole("dirty_data_count")
    data_size: float | None = number()
    data_size_unit: str | None = upper()
    spend_time: int | None = whole()
    read_spend_time: int | None = whole()
    write_spend_time: int | None = whole()
    remarks: str | None = text()
    steps: tuple[RunStep, ...] = many(_steps, "detail_logs")
    raw: Mapping[str, Any] = whole_row()

    @property
    def bytes(self) -> int | None:
        """Amount of data in bytes, from size and unit (1 KB = 1024 B); None if either is unknown."""
        factor = _UNITS.get(self.data_size_unit or "B")
        if self.data_size is None or factor is None:
            return None
        amount = self.data_size * factor
        return round(amount) if math.isfinite(amount) else None


@dataclass(frozen=True, slots=True)
class RunSteps(Model):
    """The steps of one run. Its state is not in this answer: it comes from ``list_runs``."""

    _what = "the run's detail"

    run_id: str = required("id")
    dirty_rows: int | None = whole("dirty_data_count")
    steps: tuple[RunStep, ...] = many(_steps, "detail_logs")
    raw: Mapping[str, Any] = whole_row()


@dataclass(frozen=True, slots=True)
class Schedule(Model):
    """The schedule of a task; a task has at most one."""

    _what = "the schedule"

    dispatch_id: str = required()
    task_id: str | None = text()
    start_time: int | None = time("start_datetime", "start_time")
    period: str | None = upper()
    dispatch_interval: int | None = whole()
    remark: str | None = text()
    use_quartz_cron: bool | None = flag()
    cron: str | None = filled()
    cron_timezone: str | None = filled()
    created_time: int | None = time("created_date", "created_time")
    modified_time: int | None = time("last_modified_date", "last_modified_time")
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def optional_from_wire(cls, data: Any) -> Schedule | None:
        """From an object or a list of one; None for what is empty: the task has no schedule."""
        if isinstance(data, list) and len(data) <= 1:
            data = data[0] if data else None
        if data is None or (isinstance(data, dict) and not any(data.values())):
            return None
        return cls.from_wire(data)


# Batches


def _or_empty(value: Any) -> str:
    return as_text(value) or ""


@dataclass(frozen=True, slots=True)
class BatchItem(Model):
    """What became of one task in a batch; code and message are empty on success."""

    _what = "the batch's item"

    task_id: str = field(metadata={"read": _or_empty, "keys": ()})
    task_name: str | None = text()
    error_code: str = read_by(_or_empty, "")()
    error_msg: str = read_by(_or_empty, "")()


NOT_MENTIONED = "the service's answer does not mention this task"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of every task of a batch. HTTP 200 says nothing: look at ``failed``."""

    succeeded: tuple[BatchItem, ...] = ()
    failed: tuple[BatchItem, ...] = ()
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def from_wire(cls, data: Any, task_ids: Sequence[str]) -> BatchResult:
        """Success or failure for each of ``task_ids``, in their order.

        Counts or lists may be missing. A task in neither list has failed, unless the counts leave no room.
        """
        row = object_of(data, "the batch's answer")
        if not row:
            raise ValueError("the batch's answer is empty")
        good = {i.task_id: i for i in map(BatchItem.from_wire, objects_in(row.get("success")))}
        bad_items = [BatchItem.from_wire(i) for i in objects_in(row.get("failure"))]
        bad = {i.task_id: i for i in bad_items}
        failures = as_int(row.get("failure_count"))
        all_good = not bad_items and not failures and as_int(row.get("success_count")) == len(task_ids)
        succeeded: list[BatchItem] = []
        failed: list[BatchItem] = []
        for task_id in task_ids:
            if task_id in bad:
                failed.append(bad[task_id])
            elif task_id in good:
                succeeded.append(good[task_id])
            elif all_good:
                succeeded.append(BatchItem(task_id))
            else:
                failed.append(BatchItem(task_id, error_msg=NOT_MENTIONED))
        return cls(tuple(succeeded), tuple(failed), row)


# Tables and columns


@dataclass(frozen=True, slots=True)
class Column(Model):
    """A column of a table. The flags are None where the service does not say."""

    _what = "the column"

    field_name: str = required()
    field_type: str | None = text()
    field_length: str | None = text()
    nullable: bool | None = flag("null_able")
    primary: bool | None = flag()
    unique: bool | None = flag()
    is_partition: bool | None = flag()
    decimal_digits: str | None = text()
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def many_from_wire(cls, data: Any) -> tuple[Column, ...]:
        """From ``{columns: […]}`` or a bare list; null there means none, null alone says nothing."""
        if isinstance(data, dict) and "columns" not in data:
            raise ValueError("the answer has no columns")
        rows = data if isinstance(data, list) else object_of(data, "the answer")["columns"]
        if rows is not None and not isinstance(rows, list):
            raise ValueError("the columns are not a list")
        return _columns(rows)


def _columns(rows: Any) -> tuple[Column, ...]:
    return tuple(Column.from_wire(row) for row in objects_in(rows))


@dataclass(frozen=True, slots=True)
class MappingColumn(Model):
    """Which source column goes to which target column."""

    _what = "the column mapping"

    source_column: str | None = text()
    target_column: str | None = text()
    source_column_type: str | None = text()
    source_column_length: str | None = text()
    target_column_type: str | None = text()
    target_column_length: str | None = text()


def _server_id(value: Any) -> str | None:
    return as_text(value.get("server_id")) if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class TableMapping(Model):
    """One table of a composite task and where it goes."""

    _what = "the mapping"

    mapping_id: str | None = text("id", "mapping_id")
    source_table: str | None = text()
    target_table: str | None = text()
    status: str | None = upper()
    mapping_percent: int | None = whole()
    source_columns: tuple[Column, ...] = many(_columns)
    target_columns: tuple[Column, ...] = many(_columns)
    mapping_columns: tuple[MappingColumn, ...] = ()
    updated_time: int | None = time()
    server_id: str | None = read_by(_server_id)("ext_info")
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def from_wire(cls, data: Any) -> TableMapping:
        """From an object; its pairs of columns are under ``mapping`` or ``mapping_columns``."""
        row = object_of(data, cls._what)
        pairs = row.get("mapping") if row.get("mapping") is not None else row.get("mapping_columns")
        return cls._from_row(
            row, mapping_columns=tuple(MappingColumn.from_wire(p) for p in objects_in(pairs))
        )


def _mappings(value: Any) -> tuple[TableMapping, ...]:
    return tuple(TableMapping.from_wire(m) for m in objects_in(value))


@dataclass(frozen=True, slots=True)
class CompositeInit(Model):
    """A composite task being set up: the id to create it with, and its first mappings (at most ten)."""

    _what = "the composite task"

    task_id: str = required()
    mappings: tuple[TableMapping, ...] = many(_mappings)
    mappings_total_count: int | None = whole()
    source_group: str | None = text()
    target_group: str | None = text()
    source_datasource_id: str | None = text("source_datasource_id", "source_ds_id")
    target_datasource_id: str | None = text("target_datasource_id", "target_ds_id")
    source_datasource_name: str | None = text()
    target_datasource_name: str | None = text()
    source_datasource_type: str | None = text()
    target_datasource_type: str | None = text()
    source_instance_id: str | None = text()
    target_instance_id: str | None = text()
    source_app_id: str | None = text()
    target_app_id: str | None = text()
    raw: Mapping[str, Any] = whole_row()

    @classmethod
    def many_from_wire(cls, data: Any) -> tuple[CompositeInit, ...]:
        """From a list, from ``{init_result: […]}``, from ``{body: […]}``, or from a single object."""
        rows = data
        if isinstance(data, dict):
            rows = next((data[k] for k in ("init_result", "body") if data.get(k) is not None), data)
        if isinstance(rows, dict):
            rows = [rows]
        if not isinstance(rows, list) or not rows:
            raise ValueError("the answer holds no composite task")
        return tuple(cls.from_wire(row) for row in rows)


def mapping_page(data: Any) -> Page:
    """One page of mappings: rows under ``mappings`` of one object (or of a list of them), or a plain page."""
    blocks = data if isinstance(data, list) else [data]
    if not any(isinstance(b, dict) and "mappings" in b for b in blocks):
        return Page.from_wire(data)
    rows: list[Any] = []
    total: int | None = None
    for block in objects_in(blocks):
        # What holds for all mappings of a block is in each of them, because pages have rows only.
        info = {"ext_info": block["ext_info"]} if isinstance(block.get("ext_info"), dict) else {}
        found = block.get("mappings")
        rows += [
            {**info, **row} if isinstance(row, dict) else row
            for row in (found if isinstance(found, list) else ())
        ]
        for key in ("mappings_total_count", "total", "total_count"):
            count = as_int(block.get(key))
            if count is not None:
                total = (total or 0) + count
                break
    return Page(objects_in(rows), total, len(rows))


# Data sources


def _object_or_none(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


@dataclass(frozen=True, slots=True)
class Datasource(Model):
    """A data source. ``content`` is the service's own; it may hold secrets, so it is not in the repr."""

    _what = "the data source"

    datasource_id: str = required()
    datasource_name: str | None = text()
    datasource_type: str | None = text()
    app_id: str | None = text()
    app_name: str | None = text()
    instance_id: str | None = text()
    vpc_id: str | None = text()
    description: str | None = text()
    custom_plugin_id: str | None = text()
    app_permission: tuple[str, ...] = many(_texts)
    created_time: int | None = time("create_time", "created_time", "created_date")
    modified_time: int | None = time("update_time", "last_modified_time", "last_modified_date")
    content: Mapping[str, Any] | None = read_by(_object_or_none, repr=False)()
    raw: Mapping[str, Any] = whole_row()


def table_names(data: Any) -> tuple[str, ...]:
    """Names of tables from ``{tables: […]}`` or a bare list; null there means none."""
    rows = data.get("tables") if isinstance(data, dict) else data
    if rows is None and isinstance(data, dict) and "tables" in data:
        return ()
    if not isinstance(rows, list):
        raise ValueError("the tables are not a list")
    return _texts(rows)


def is_true(data: Any) -> bool:
    """A truth value from ``{result: …}`` or alone."""
    result = data.get("result") if isinstance(data, dict) else data
    if result in (True, "true", "True"):
        return True
    if result in (False, "false", "False"):
        return False
    raise ValueError("no result")


def id_in(*keys: str) -> Callable[[Any], str | None]:
    """A reader of the id under the first of ``keys`` that has one; None where there is none."""

    def read(data: Any) -> str | None:
        row = {} if data is None else object_of(data, "the answer")
        for key in keys:
            if isinstance(row.get(key), (str, int)) and row[key] != "":
                return str(row[key])
        return None

    return read
