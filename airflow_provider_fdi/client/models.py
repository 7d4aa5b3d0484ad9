"""What FDI answers, as frozen data.

The service spells the same thing in several ways (``status`` as 0/1 or "stop"/"running", ``created_date`` as
a number or a date, two names for one time). Every such tolerance lives in the ``from_wire`` functions here,
once. Unknown enum values become ``UNKNOWN``, unknown fields stay in ``raw``, and no answer is rejected for a
limit. A ``from_wire`` raises ValueError only for what cannot be meant: no object, or no id.

Times are epoch milliseconds UTC; 0 and null mean "not yet" and become None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar, overload

from airflow_provider_fdi.client.rules import text_to_ms

T = TypeVar("T")


class TaskStatus(str, Enum):
    """Whether a task is activated (schedule armed, stream on). Says nothing about a run in progress."""

    STOPPED = "STOPPED"
    RUNNING = "RUNNING"
    UNKNOWN = "UNKNOWN"


class ExecuteStatus(str, Enum):
    """State of one run, or of a task's latest run."""

    UNSTARTED = "UNSTARTED"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"

    @property
    def is_active(self) -> bool:
        """In progress: waiting for resources, or running."""
        return self in (ExecuteStatus.WAITING, ExecuteStatus.RUNNING)

    @property
    def is_terminal(self) -> bool:
        """Over, well or not."""
        return self in (ExecuteStatus.SUCCESS, ExecuteStatus.CANCELLED, ExecuteStatus.ERROR)


class TaskType(str, Enum):
    """Scheduled (``TIMING``) or continuous (``REALTIME``)."""

    TIMING = "TIMING"
    REALTIME = "REALTIME"
    UNKNOWN = "UNKNOWN"


_TASK_STATUS = {
    "0": TaskStatus.STOPPED,
    "STOP": TaskStatus.STOPPED,
    "STOPPED": TaskStatus.STOPPED,
    "1": TaskStatus.RUNNING,
    "RUNNING": TaskStatus.RUNNING,
    "START": TaskStatus.RUNNING,
    "STARTED": TaskStatus.RUNNING,
}
_EXECUTE_STATUS = {e.value: e for e in ExecuteStatus}
_EXECUTE_STATUS["CANCELED"] = ExecuteStatus.CANCELLED
_TASK_TYPE = {e.value: e for e in TaskType}


def _object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what} is no JSON object but {type(data).__name__}")
    return data


def _objects(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        # A lone surrogate is valid in JSON and fails later, in a database or a log.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (dict, list)):
        return None
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return None


def _required(data: Mapping[str, Any], key: str, what: str) -> str:
    value = _text(data.get(key))
    if not value:
        raise ValueError(f"{what} has no {key}")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _int(value: Any) -> int | None:
    if type(value) is int:
        return value
    number = _number(value)
    return None if number is None else int(number)


def _bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value != 0
    if isinstance(value, str):
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
            value.lower()
        )
    return None


def parse_ms(value: Any) -> int | None:
    """Epoch milliseconds from a number, digits, ISO text or a date; None for 0, null and the unreadable."""
    if type(value) is int:
        return value if value > 0 else None
    if isinstance(value, str):
        ms = text_to_ms(value)
        return ms if ms is not None and ms > 0 else _positive(_int(value))
    return _positive(_int(value))


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _first_ms(data: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        ms = parse_ms(data.get(key))
        if ms is not None:
            return ms
    return None


def task_status(value: Any) -> TaskStatus:
    """Activation from 0/1, "stop", "stopped", "running", "started", in any case."""
    text = _text(_int(value) if isinstance(value, float) else value)
    return _TASK_STATUS.get(text.strip().upper(), TaskStatus.UNKNOWN) if text else TaskStatus.UNKNOWN


def execute_status(value: Any) -> ExecuteStatus:
    """State of a run; absent and unheard-of values are ``UNKNOWN``."""
    text = _text(value)
    return _EXECUTE_STATUS.get(text.strip().upper(), ExecuteStatus.UNKNOWN) if text else ExecuteStatus.UNKNOWN


def task_type(value: Any) -> TaskType:
    """Kind of a task from any case."""
    text = _text(value)
    return _TASK_TYPE.get(text.strip().upper(), TaskType.UNKNOWN) if text else TaskType.UNKNOWN


def _is_composite(data: Mapping[str, Any]) -> bool:
    return str(data.get("ext_type") or "").upper() == "CDC"


def _upper(value: Any) -> str | None:
    text = _text(value)
    return text.upper() if text else None


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
        rows = data if isinstance(data, list) else _object(data, "the page").get("entities")
        total = None if isinstance(data, list) else _int(data.get("total"))
        if total is not None and total < 0:
            total = None
        if rows is None:
            if total is None:
                raise ValueError("the page has neither entities nor total")
            return cls([], total, 0)
        if not isinstance(rows, list):
            raise ValueError("the page's entities are no list")
        return cls(_objects(rows), total, len(rows))


@dataclass(frozen=True, slots=True)
class Task:
    """A task. ``execute_status`` (its latest run) is known from ``list_tasks`` only."""

    task_id: str
    task_name: str | None
    task_type: TaskType
    status: TaskStatus
    execute_status: ExecuteStatus | None = None
    is_composite: bool = False
    description: str | None = None
    task_tag: str | None = None
    source_datasource_id: str | None = None
    target_datasource_id: str | None = None
    source_datasource_name: str | None = None
    target_datasource_name: str | None = None
    source_app_id: str | None = None
    target_app_id: str | None = None
    source_instance_id: str | None = None
    target_instance_id: str | None = None
    project_id: str | None = None
    created_time: int | None = None
    modified_time: int | None = None
    task_detail: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> Task:
        """From ``{task, task_detail}`` (show, create, update) or from a row of ``list_tasks``."""
        outer = _object(data, "the task")
        inner = outer.get("task")
        row = outer if inner is None else _object(inner, "the task")
        get = row.get
        state = get("execute_status")
        return cls(
            task_id=_required(row, "task_id", "the task"),
            task_name=_text(get("task_name")),
            task_type=task_type(get("task_type")),
            status=task_status(get("status")),
            execute_status=None if state is None else execute_status(state),
            is_composite=_is_composite(row),
            description=_text(get("description")),
            task_tag=_text(get("task_tag")),
            source_datasource_id=_text(get("source_datasource_id")),
            target_datasource_id=_text(get("target_datasource_id")),
            source_datasource_name=_text(get("source_datasource_name")),
            target_datasource_name=_text(get("target_datasource_name")),
            source_app_id=_text(get("source_app_id")),
            target_app_id=_text(get("target_app_id")),
            source_instance_id=_text(get("source_instance_id")),
            target_instance_id=_text(get("target_instance_id")),
            project_id=_text(get("project_id")),
            created_time=_first_ms(row, "created_date", "created_time", "create_time"),
            modified_time=_first_ms(row, "last_modified_date", "last_modified_time", "update_time"),
            task_detail=_text(outer.get("task_detail")),
            raw=outer,
        )


@dataclass(frozen=True, slots=True)
class KindCounts:
    """How many tasks of one kind are in which state."""

    running: int = 0
    abnormal: int = 0
    terminated: int = 0
    completed: int = 0

    @classmethod
    def from_wire(cls, data: Any) -> KindCounts:
        """From ``{running_tasks_count, …}``; what is missing counts as none."""
        row = data if isinstance(data, dict) else {}
        return cls(
            running=_int(row.get("running_tasks_count")) or 0,
            abnormal=_int(row.get("abnormal_tasks_count")) or 0,
            terminated=_int(row.get("terminated_tasks_count")) or 0,
            completed=_int(row.get("completed_tasks_count")) or 0,
        )


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """Numbers of common and of composite tasks by state."""

    common: KindCounts
    composite: KindCounts
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> TaskCounts:
        row = _object(data, "the answer")
        return cls(
            common=KindCounts.from_wire(row.get("common_task_details")),
            composite=KindCounts.from_wire(row.get("cdc_task_details")),
            raw=row,
        )


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
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> TaskMonitor:
        row = _object(data, "the task monitor")
        get = row.get
        return cls(
            task_id=_required(row, "task_id", "the task monitor"),
            task_name=_text(get("task_name")),
            task_type=task_type(get("task_type")),
            status=task_status(get("status")),
            execute_status=execute_status(get("execute_status")),
            last_execute_time=parse_ms(get("last_execute_time")),
            position=_upper(get("position")),
            is_composite=_is_composite(row),
            use_quartz_cron=_bool(get("use_quartz_cron")),
            cron=_text(get("cron")),
            period=_upper(get("period")),
            dispatch_interval=_int(get("dispatch_interval")),
            raw=row,
        )


_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step of a run. ``code`` is the service's step code (103: source failed, 503: target failed, …)."""

    step_id: str | None
    code: int | None
    position: str | None = None
    position_status: str | None = None
    stage: str | None = None
    rows: int | None = None
    dirty_rows: int | None = None
    data_size: float | None = None
    data_size_unit: str | None = None
    spend_time: int | None = None
    remarks: str | None = None
    begin_time: int | None = None
    end_time: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> RunStep:
        row = _object(data, "the step")
        get = row.get
        return cls(
            step_id=_text(get("id")),
            code=_int(get("status")),
            position=_upper(get("position")),
            position_status=_upper(get("position_status")),
            stage=_text(get("stage")),
            rows=_int(get("data_count")),
            dirty_rows=_int(get("dirty_data_count")),
            data_size=_number(get("data_size")),
            data_size_unit=_upper(get("data_size_unit")),
            spend_time=_int(get("spend_time")),
            remarks=_text(get("remarks")),
            begin_time=parse_ms(get("step_begin_time")),
            end_time=parse_ms(get("step_end_time")),
            raw=row,
        )


def _steps(value: Any) -> tuple[RunStep, ...]:
    return tuple(RunStep.from_wire(step) for step in _objects(value))


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a task. ``step_code`` is the wire's ``status``, ``rows`` its ``data_count``."""

    run_id: str
    execute_status: ExecuteStatus
    dispatch_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    position: str | None = None
    position_status: str | None = None
    step_code: int | None = None
    rows: int | None = None
    dirty_rows: int | None = None
    data_size: float | None = None
    data_size_unit: str | None = None
    spend_time: int | None = None
    read_spend_time: int | None = None
    write_spend_time: int | None = None
    remarks: str | None = None
    steps: tuple[RunStep, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def bytes(self) -> int | None:
        """Amount of data in bytes, from size and unit (1 KB = 1024 B); None if either is unknown."""
        factor = _UNITS.get(self.data_size_unit or "B")
        if self.data_size is None or factor is None:
            return None
        amount = self.data_size * factor
        return round(amount) if math.isfinite(amount) else None

    @classmethod
    def from_wire(cls, data: Any) -> Run:
        row = _object(data, "the run")
        get = row.get
        return cls(
            run_id=_required(row, "id", "the run"),
            execute_status=execute_status(get("execute_status")),
            dispatch_time=parse_ms(get("dispatch_time")),
            start_time=parse_ms(get("start_time")),
            end_time=parse_ms(get("end_time")),
            position=_upper(get("position")),
            position_status=_upper(get("position_status")),
            step_code=_int(get("status")),
            rows=_int(get("data_count")),
            dirty_rows=_int(get("dirty_data_count")),
            data_size=_number(get("data_size")),
            data_size_unit=_upper(get("data_size_unit")),
            spend_time=_int(get("spend_time")),
            read_spend_time=_int(get("read_spend_time")),
            write_spend_time=_int(get("write_spend_time")),
            remarks=_text(get("remarks")),
            steps=_steps(get("detail_logs")),
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class RunSteps:
    """The steps of one run. Its state is not in this answer: it comes from ``list_runs``."""

    run_id: str
    dirty_rows: int | None
    steps: tuple[RunStep, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> RunSteps:
        row = _object(data, "the run's detail")
        return cls(
            run_id=_required(row, "id", "the run's detail"),
            dirty_rows=_int(row.get("dirty_data_count")),
            steps=_steps(row.get("detail_logs")),
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of a task; a task has at most one."""

    dispatch_id: str
    task_id: str | None
    start_time: int | None = None
    period: str | None = None
    dispatch_interval: int | None = None
    remark: str | None = None
    use_quartz_cron: bool | None = None
    cron: str | None = None
    cron_timezone: str | None = None
    created_time: int | None = None
    modified_time: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> Schedule:
        row = _object(data, "the schedule")
        get = row.get
        return cls(
            dispatch_id=_required(row, "dispatch_id", "the schedule"),
            task_id=_text(get("task_id")),
            start_time=_first_ms(row, "start_datetime", "start_time"),
            period=_upper(get("period")),
            dispatch_interval=_int(get("dispatch_interval")),
            remark=_text(get("remark")),
            use_quartz_cron=_bool(get("use_quartz_cron")),
            cron=_text(get("cron")) or None,
            cron_timezone=_text(get("cron_timezone")) or None,
            created_time=_first_ms(row, "created_date", "created_time"),
            modified_time=_first_ms(row, "last_modified_date", "last_modified_time"),
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class BatchItem:
    """What became of one task in a batch; code and message are empty on success."""

    task_id: str
    task_name: str | None = None
    error_code: str = ""
    error_msg: str = ""

    @classmethod
    def from_wire(cls, data: Any) -> BatchItem:
        row = _object(data, "the batch's item")
        return cls(
            task_id=_text(row.get("task_id")) or "",
            task_name=_text(row.get("task_name")),
            error_code=_text(row.get("error_code")) or "",
            error_msg=_text(row.get("error_msg")) or "",
        )


NOT_MENTIONED = "the service's answer does not mention this task"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of every task of a batch. HTTP 200 says nothing: look at ``failed``."""

    succeeded: tuple[BatchItem, ...] = ()
    failed: tuple[BatchItem, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any, task_ids: Sequence[str]) -> BatchResult:
        """Success or failure for each of ``task_ids``, in their order.

        Counts or lists may be missing. A task in neither list has failed, unless the counts leave no room.
        """
        row = _object(data, "the batch's answer")
        if not row:
            raise ValueError("the batch's answer is empty")
        good = {i.task_id: i for i in map(BatchItem.from_wire, _objects(row.get("success")))}
        bad_items = [BatchItem.from_wire(i) for i in _objects(row.get("failure"))]
        bad = {i.task_id: i for i in bad_items}
        failures = _int(row.get("failure_count"))
        all_good = not bad_items and not failures and _int(row.get("success_count")) == len(task_ids)
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


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The flags are None where the service does not say."""

    field_name: str
    field_type: str | None = None
    field_length: str | None = None
    nullable: bool | None = None
    primary: bool | None = None
    unique: bool | None = None
    is_partition: bool | None = None
    decimal_digits: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> Column:
        row = _object(data, "the column")
        get = row.get
        return cls(
            field_name=_required(row, "field_name", "the column"),
            field_type=_text(get("field_type")),
            field_length=_text(get("field_length")),
            nullable=_bool(get("null_able")),
            primary=_bool(get("primary")),
            unique=_bool(get("unique")),
            is_partition=_bool(get("is_partition")),
            decimal_digits=_text(get("decimal_digits")),
            raw=row,
        )


def columns(data: Any) -> tuple[Column, ...]:
    """Columns from ``{columns: […]}`` or a bare list; null there means none, null alone says nothing."""
    if isinstance(data, dict) and "columns" not in data:
        raise ValueError("the answer has no columns")
    rows = data if isinstance(data, list) else _object(data, "the answer")["columns"]
    if rows is not None and not isinstance(rows, list):
        raise ValueError("the columns are no list")
    return tuple(Column.from_wire(row) for row in _objects(rows))


@dataclass(frozen=True, slots=True)
class MappingColumn:
    """Which source column goes to which target column."""

    source_column: str | None
    target_column: str | None
    source_column_type: str | None = None
    source_column_length: str | None = None
    target_column_type: str | None = None
    target_column_length: str | None = None

    @classmethod
    def from_wire(cls, data: Any) -> MappingColumn:
        get = _object(data, "the column mapping").get
        return cls(
            source_column=_text(get("source_column")),
            target_column=_text(get("target_column")),
            source_column_type=_text(get("source_column_type")),
            source_column_length=_text(get("source_column_length")),
            target_column_type=_text(get("target_column_type")),
            target_column_length=_text(get("target_column_length")),
        )


@dataclass(frozen=True, slots=True)
class TableMapping:
    """One table of a composite task and where it goes."""

    mapping_id: str | None
    source_table: str | None
    target_table: str | None
    status: str | None = None
    mapping_percent: int | None = None
    source_columns: tuple[Column, ...] = ()
    target_columns: tuple[Column, ...] = ()
    mapping_columns: tuple[MappingColumn, ...] = ()
    updated_time: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> TableMapping:
        row = _object(data, "the mapping")
        get = row.get
        pairs = get("mapping") if get("mapping") is not None else get("mapping_columns")
        return cls(
            mapping_id=_text(get("id")) or _text(get("mapping_id")),
            source_table=_text(get("source_table")),
            target_table=_text(get("target_table")),
            status=_upper(get("status")),
            mapping_percent=_int(get("mapping_percent")),
            source_columns=columns(_objects(get("source_columns"))),
            target_columns=columns(_objects(get("target_columns"))),
            mapping_columns=tuple(MappingColumn.from_wire(p) for p in _objects(pairs)),
            updated_time=parse_ms(get("updated_time")),
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class CompositeInit:
    """A composite task being set up: the id to create it with, and its first mappings (at most ten)."""

    task_id: str
    mappings: tuple[TableMapping, ...] = ()
    mappings_total_count: int | None = None
    source_group: str | None = None
    target_group: str | None = None
    source_datasource_id: str | None = None
    target_datasource_id: str | None = None
    source_datasource_name: str | None = None
    target_datasource_name: str | None = None
    source_datasource_type: str | None = None
    target_datasource_type: str | None = None
    source_instance_id: str | None = None
    target_instance_id: str | None = None
    source_app_id: str | None = None
    target_app_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> CompositeInit:
        row = _object(data, "the composite task")
        get = row.get
        return cls(
            task_id=_required(row, "task_id", "the composite task"),
            mappings=tuple(TableMapping.from_wire(m) for m in _objects(get("mappings"))),
            mappings_total_count=_int(get("mappings_total_count")),
            source_group=_text(get("source_group")),
            target_group=_text(get("target_group")),
            source_datasource_id=_text(get("source_datasource_id")) or _text(get("source_ds_id")),
            target_datasource_id=_text(get("target_datasource_id")) or _text(get("target_ds_id")),
            source_datasource_name=_text(get("source_datasource_name")),
            target_datasource_name=_text(get("target_datasource_name")),
            source_datasource_type=_text(get("source_datasource_type")),
            target_datasource_type=_text(get("target_datasource_type")),
            source_instance_id=_text(get("source_instance_id")),
            target_instance_id=_text(get("target_instance_id")),
            source_app_id=_text(get("source_app_id")),
            target_app_id=_text(get("target_app_id")),
            raw=row,
        )

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
    for block in _objects(blocks):
        rows += block.get("mappings") or [] if isinstance(block.get("mappings"), list) else []
        for key in ("mappings_total_count", "total", "total_count"):
            count = _int(block.get(key))
            if count is not None:
                total = (total or 0) + count
                break
    return Page(_objects(rows), total, len(rows))


@dataclass(frozen=True, slots=True)
class Datasource:
    """A data source. ``content`` is the service's own; it may hold secrets, so it is not in the repr."""

    datasource_id: str
    datasource_name: str | None
    datasource_type: str | None
    app_id: str | None = None
    app_name: str | None = None
    instance_id: str | None = None
    vpc_id: str | None = None
    description: str | None = None
    custom_plugin_id: str | None = None
    app_permission: tuple[str, ...] = ()
    created_time: int | None = None
    modified_time: int | None = None
    content: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> Datasource:
        row = _object(data, "the data source")
        get = row.get
        permissions = get("app_permission")
        content = get("content")
        return cls(
            datasource_id=_required(row, "datasource_id", "the data source"),
            datasource_name=_text(get("datasource_name")),
            datasource_type=_text(get("datasource_type")),
            app_id=_text(get("app_id")),
            app_name=_text(get("app_name")),
            instance_id=_text(get("instance_id")),
            vpc_id=_text(get("vpc_id")),
            description=_text(get("description")),
            custom_plugin_id=_text(get("custom_plugin_id")),
            app_permission=tuple(p for p in permissions if isinstance(p, str))
            if isinstance(permissions, list)
            else (),
            created_time=_first_ms(row, "create_time", "created_time", "created_date"),
            modified_time=_first_ms(row, "update_time", "last_modified_time", "last_modified_date"),
            content=content if isinstance(content, dict) else None,
            raw=row,
        )
