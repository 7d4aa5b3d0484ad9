"""Bodies, queries and answers of the 33 operations, under the vendor's names.

Handlers take and return these models; validation and the OpenAPI document come from them. The rules are those
of the documentation's prose, not of its schemas. A text that is empty counts as absent.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from airflow_provider_fdi.emulator.service.quartz import Quartz
from airflow_provider_fdi.emulator.service.timezones import parse_timezone

_START_MIN, _START_MAX = 946684800000, 2147512447000


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


_EMPTY_IS_NONE = BeforeValidator(_none_if_empty)

Text64 = Annotated[str, Field(min_length=1, max_length=64)]
OptionalText = Annotated[str | None, _EMPTY_IS_NONE]
OptionalText64 = Annotated[Text64 | None, _EMPTY_IS_NONE]
OptionalNumber = Annotated[int | None, _EMPTY_IS_NONE]
Description = Annotated[Annotated[str, Field(max_length=1024)] | None, _EMPTY_IS_NONE]
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{2,99}$")]
TaskTag = Annotated[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{4,64}$")] | None, _EMPTY_IS_NONE]
CompositeTaskId = Annotated[Annotated[str, Field(min_length=3, max_length=50)] | None, _EMPTY_IS_NONE]
TableName = Annotated[str, Field(min_length=1, max_length=256)]
ExecuteStatus = Literal["UNSTARTED", "WAITING", "RUNNING", "SUCCESS", "CANCELLED", "ERROR"]


def _different(value: list[str]) -> list[str]:
    if len(set(value)) != len(value):
        raise ValueError
    return value


OperationTypes = Annotated[
    list[Literal["INSERT", "UPDATE", "DELETE"]], Field(min_length=1, max_length=3), AfterValidator(_different)
]


def _limit(default: int) -> Any:
    return BeforeValidator(lambda value: default if value == "" else value)


# Errors


class ErrorRsp(BaseModel):
    """An error of the service or of its gateway."""

    error_code: str
    error_msg: str
    request_id: str | None = None
    detail: str | None = None


class NestedErrorRsp(BaseModel):
    """An error of the schedule operations, as the vendor's examples show it."""

    code: int
    reason: ErrorRsp


# Common tasks


class TaskBasicRequestBody(BaseModel):
    """The settings of a common task."""

    task_name: TaskName
    task_type: Literal["REALTIME", "TIMING"]
    source_datasource_id: Text64
    target_datasource_id: Text64
    description: Description = None
    task_tag: TaskTag = None


def _json_object(value: str) -> str:
    try:
        if isinstance(json.loads(value), dict):
            return value
    except ValueError:
        pass
    raise ValueError


class CreateCommonTaskRequestBody(BaseModel):
    """A common task; `task_detail` is a text that holds JSON, not an object."""

    task: TaskBasicRequestBody
    task_detail: Annotated[str, AfterValidator(_json_object)]


class TaskBasicRsp(BaseModel):
    """A common task: its state as text, its type in lower case."""

    task_id: str
    task_name: str
    task_type: Literal["realtime", "timing"]
    status: Literal["stop", "stopped", "running"]
    project_id: str
    source_datasource_id: str
    target_datasource_id: str
    source_datasource_name: str
    target_datasource_name: str
    source_app_id: str
    target_app_id: str
    source_app_name: str
    target_app_name: str
    created_date: int
    last_modified_date: int
    description: str = ""
    task_tag: str = ""


class TaskResponseV2(BaseModel):
    """A common task and its settings."""

    task: TaskBasicRsp
    task_detail: str


class BriefTaskRespBean(BaseModel):
    """A row of ListTasks: the state as a number, the type in upper case."""

    task_id: str
    task_name: str
    task_type: Literal["REALTIME", "TIMING"]
    status: Literal[0, 1]
    created_date: int | str
    version: str = "2"
    last_modified_time: int
    execute_status: ExecuteStatus
    source_app_id: str
    target_app_id: str
    source_instance_id: str
    target_instance_id: str
    ext_type: str | None
    enterprise_project_id: str = "0"
    task_tag: str | None


class FdiTaskPageQuery(BaseModel):
    """A page of tasks."""

    total: int
    size: int
    entities: list[BriefTaskRespBean]


class TaskQuery(BaseModel):
    """The filters of ListTasks; `name` and `task_name` are two spellings of one fuzzy filter."""

    limit: Annotated[int, Field(ge=0), _limit(10)] = 10
    offset: Annotated[int, _limit(0)] = 0
    task_id: OptionalText = None
    name: OptionalText = None
    task_name: OptionalText = None
    status: Annotated[Annotated[int, Field(ge=0, le=1)] | None, _EMPTY_IS_NONE] = None
    task_type: Annotated[
        Literal["realtime", "timing"] | None,
        BeforeValidator(lambda value: value.lower() or None if isinstance(value, str) else value),
    ] = None
    source_datasource_id: OptionalText = None
    target_datasource_id: OptionalText = None
    datasource_id: OptionalText = None
    sort_field: Annotated[Literal["CREATED_DATE", "STATUS"] | None, _EMPTY_IS_NONE] = None
    sort_type: str = "ASC"
    execute_status: Annotated[ExecuteStatus | None, _EMPTY_IS_NONE] = None
    source_app_id: OptionalText = None
    target_app_id: OptionalText = None
    task_tag: OptionalText = None
    task_mode: OptionalText = None


class TaskStatisticDetails(BaseModel):
    """Numbers of tasks by state."""

    running_tasks_count: int = 0
    abnormal_tasks_count: int = 0
    terminated_tasks_count: int = 0
    completed_tasks_count: int = 0


class TaskStatistics(BaseModel):
    """Numbers of common and of composite tasks."""

    common_task_details: TaskStatisticDetails
    cdc_task_details: TaskStatisticDetails


class Message(BaseModel):
    """A message."""

    message: str


# Schedules


def _epoch_ms(value: Any) -> Any:
    """Epoch milliseconds from a number, or from the ISO text of the vendor's own example."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise ValueError from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return round(moment.timestamp() * 1000)
    return value


class TaskDispatch(BaseModel):
    """A schedule: by Quartz expression if `use_quartz_cron` is set, else by period and interval."""

    start_datetime: Annotated[
        Annotated[StrictInt, Field(ge=_START_MIN, le=_START_MAX)] | None,
        BeforeValidator(_epoch_ms),
        WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
    ] = None
    use_quartz_cron: StrictBool | None = None
    cron_timezone: OptionalText64 = None
    cron: Annotated[OptionalText, Field(validate_default=True)] = None
    period: Annotated[OptionalText, Field(validate_default=True)] = None
    dispatch_interval: Annotated[StrictInt | None, Field(validate_default=True), _EMPTY_IS_NONE] = None
    remark: Annotated[Annotated[str, Field(max_length=256)] | None, _EMPTY_IS_NONE] = None

    @field_validator("cron_timezone")
    @classmethod
    def _check_timezone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_timezone(value)
            except ValueError:
                raise ValueError from None
        return value

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not info.data.get("use_quartz_cron"):
            return None
        if value is None or len(value) > 255:
            raise ValueError
        Quartz.parse(value)
        return value

    @field_validator("period")
    @classmethod
    def _check_period(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("use_quartz_cron"):
            return None
        if value not in ("MIN", "HOUR", "DAY", "WEEK", "MON"):
            raise ValueError
        return value

    @field_validator("dispatch_interval")
    @classmethod
    def _check_interval(cls, value: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("use_quartz_cron"):
            return None
        if value is None or not 1 <= value <= 59:
            raise ValueError
        return value


class TaskDispatchRsp(BaseModel):
    """A task's schedule; empty fields are left out, as in the vendor's example."""

    dispatch_id: str
    task_id: str
    start_datetime: int | None = None
    period: str | None = None
    dispatch_interval: int | None = None
    created_date: int
    last_modified_date: int
    remark: str | None = None
    use_quartz_cron: bool
    cron: str | None = None
    cron_timezone: str | None = None


class NoSchedule(BaseModel):
    """The empty object that may be answered if there is no schedule."""

    model_config = ConfigDict(extra="forbid")


# Batches


class TaskBean(BaseModel):
    """A task of a batch."""

    task_id: Annotated[str, Field(max_length=64)] | None = None


_TaskBeans = Annotated[list[TaskBean], Field(max_length=10)] | None


class OperateTasksBean(BaseModel):
    """Up to ten tasks to start or stop."""

    action_id: Literal["start", "stop"]
    list: _TaskBeans = None


class TaskBeanFacade(BaseModel):
    """What happened to a task of a batch; the error fields are empty if it succeeded."""

    task_id: str
    task_name: str
    error_code: str
    error_msg: str


class BatchOperatorTaskResp(BaseModel):
    """What happened to the tasks of a batch."""

    success_count: int | None = None
    failure_count: int | None = None
    success: list[TaskBeanFacade]
    failure: list[TaskBeanFacade]


# Composite tasks


class ExtInfo(BaseModel):
    """Further settings of a composite task."""

    server_id: Annotated[Annotated[str, Field(max_length=20)] | None, _EMPTY_IS_NONE] = None


_Loose = str | int | float | bool | None


class MultiTaskColumnInfo(BaseModel):
    """A column; `field_length` is a text or, on an older page, a number."""

    model_config = ConfigDict(extra="allow")

    field_name: _Loose = None
    field_type: _Loose = None
    field_length: _Loose = None


class MappingInfo(BaseModel):
    """A column of the source and the column of the target that it goes to."""

    model_config = ConfigDict(extra="allow")

    source_column: _Loose = None
    source_column_type: _Loose = None
    source_column_length: _Loose = None
    target_column: _Loose = None
    target_column_type: _Loose = None
    target_column_length: _Loose = None


class MultiTaskMappingElement(BaseModel):
    """A table of the source and the table of the target that it goes to."""

    id: str
    source_table: str
    target_table: str
    updated_time: int
    mapping_percent: int
    status: str
    source_columns: list[MultiTaskColumnInfo]
    target_columns: list[MultiTaskColumnInfo]
    mapping: list[MappingInfo]


class MultiTaskSchemaMappingElement(BaseModel):
    """A schema of the source and the schema of the target that it goes to."""

    id: str
    source_schema: str
    target_schema: str
    updated_time: int
    status: str


class MultiTaskInitBody(BaseModel):
    """What a composite task is initialised with."""

    source_datasource_id: OptionalText64 = None
    target_datasource_id: OptionalText64 = None
    task_id: CompositeTaskId = None
    auto_mapping: StrictBool | None = None
    ext_info: ExtInfo | None = None


class MultiTaskInitElement(BaseModel):
    """A composite task and its first mapped tables; `total` only stands in the list of mappings."""

    ext_info: ExtInfo | None
    task_id: str
    source_datasource_id: str
    target_datasource_id: str
    source_group: str
    target_group: str
    source_ds_id: str
    target_ds_id: str
    source_instance_id: str
    target_instance_id: str
    source_app_id: str
    target_app_id: str
    source_datasource_name: str | None
    target_datasource_name: str | None
    source_datasource_type: str | None
    target_datasource_type: str | None
    mappings: list[MultiTaskMappingElement]
    schema_mappings: list[MultiTaskSchemaMappingElement]
    mappings_total_count: int
    total: int | None = None


class MultiTaskInitResult(BaseModel):
    """What an older page says that initialising answers."""

    init_result: list[MultiTaskInitElement]


class MultiTaskRequestBody(BaseModel):
    """A composite task; the documentation lists TIMING too, and says that it is not supported."""

    task_name: TaskName
    operation_types: OperationTypes
    task_id: CompositeTaskId = None
    task_type: Literal["REALTIME"] | None = None
    description: Description = None
    task_tag: TaskTag = None
    source_app_id: OptionalText64 = None
    target_app_id: OptionalText64 = None


class MultiTaskUpdateBody(BaseModel):
    """Changes to a composite task."""

    operation_types: OperationTypes
    repulling_snapshot: StrictBool
    description: Description = None
    task_tag: TaskTag = None


class TaskSimpleRsp(BaseModel):
    """The id of a task."""

    task_id: str


class MultiTaskResetBody(BaseModel):
    """The date (epoch milliseconds) that a composite task goes back to; none: its beginning."""

    date_from: StrictInt | None = None


class MultiTaskMappingCreateBody(BaseModel):
    """A table of the source and the table of the target that it goes to."""

    source_datasource_id: Text64
    target_datasource_id: Text64
    ext_info: ExtInfo | None = None
    source_table: TableName
    target_table: TableName
    source_columns: list[MultiTaskColumnInfo] | None = None
    target_columns: list[MultiTaskColumnInfo] | None = None
    mapping_columns: list[MappingInfo] | None = None


class MultiTaskMappingCreateRsp(BaseModel):
    """The id of a mapped table."""

    mapping_id: str


class MappingQuery(BaseModel):
    """The filters of ListMultiTaskMappings."""

    limit: Annotated[int, _limit(10)] = 10
    offset: Annotated[int, _limit(0)] = 0
    source_datasource_id: OptionalText = None
    target_datasource_id: OptionalText = None
    source_table: str = ""
    target_table: str = ""
    table_name: str = ""


class AutoMappingForm(BaseModel):
    """What automatic mapping is asked for, as form data."""

    source_ds_id: Text64
    target_ds_id: Text64
    task_type: Literal["1", "2", ""] = "1"
    task_id: str = ""
    source_group: str = ""
    target_group: str = ""
    ext_info: str = ""
    mapping_prefix: str = ""
    mapping_suffix: str = ""
    source_select_mapping_tables: str = ""
    target_select_mapping_tables: str = ""


# Monitoring


class MonitorQuery(BaseModel):
    """The filters of ListMonitorInfos; `offset` counts from 1."""

    offset: Annotated[int, _limit(1)] = 1
    limit: Annotated[int, Field(ge=0), _limit(10)] = 10
    task_name: OptionalText = None
    execute_status: Annotated[ExecuteStatus | None, _EMPTY_IS_NONE] = None


class LogQuery(BaseModel):
    """The filters of ListMonitorLog; `offset` counts from 1."""

    offset: Annotated[int, _limit(1)] = 1
    limit: Annotated[int, Field(ge=0), _limit(10)] = 10
    begin_time: OptionalNumber = None
    end_time: OptionalNumber = None


class TaskMonitorInfo(BaseModel):
    """A task and the state of its last run."""

    task_id: str
    task_name: str
    task_type: Literal["REALTIME", "TIMING"]
    status: Literal[0, 1]
    last_execute_time: int | None
    position: str | None
    execute_status: ExecuteStatus
    source_app_id: str
    source_app_name: str
    source_instance_id: str
    target_app_id: str
    target_app_name: str
    target_instance_id: str
    ext_type: str | None
    enterprise_project_id: str = "0"
    task_tag: str | None
    use_quartz_cron: bool | None = None
    cron: str | None = None
    period: str | None = None
    dispatch_interval: int | None = None


class TaskMonitorList(BaseModel):
    """A page of tasks with the states of their last runs."""

    total: int
    size: int
    entities: list[TaskMonitorInfo]


class TaskMonitorDetailLog(BaseModel):
    """A step of a run."""

    id: str
    status: int
    position: str
    position_status: str
    stage: str
    dirty_data_count: int
    data_count: int
    data_size: int | float
    data_size_unit: str
    spend_time: int
    remarks: str
    step_begin_time: int
    step_end_time: int | None


class TaskMonitorLog(BaseModel):
    """A run."""

    id: str
    start_time: int | None
    dispatch_time: int
    end_time: int | None
    execute_status: ExecuteStatus
    position: str
    position_status: str
    status: int
    data_count: int
    dirty_data_count: int
    data_size: int | float
    data_size_unit: str
    spend_time: int
    read_spend_time: int | None
    write_spend_time: int
    remarks: str
    detail_logs: list[TaskMonitorDetailLog]


class TaskMonitorLogList(BaseModel):
    """A page of runs."""

    total: int
    size: int
    entities: list[TaskMonitorLog]


class TaskMonitorLogDetail(BaseModel):
    """The steps of a run; its state only stands in the list of runs."""

    id: str
    dirty_data_count: int
    detail_logs: list[TaskMonitorDetailLog]


# Data sources

_FORBIDDEN = re.compile(r"[&<>\"'()]")


class DatasourceInfo(BaseModel):
    """A data source. The list of types is open: newer pages have spellings that older ones lack."""

    datasource_name: Annotated[str, Field(min_length=1, max_length=255)]
    content: dict[str, Any]
    datasource_type: Text64
    app_id: Text64
    description: Description = None

    @field_validator("datasource_name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if _FORBIDDEN.search(value):
            raise ValueError
        return value


class DataSourceRsp(BaseModel):
    """A data source; secrets of its content are masked."""

    datasource_id: str
    datasource_name: str
    datasource_type: str
    vpc_id: str | None = None
    app_id: str
    app_name: str
    instance_id: str
    create_time: int
    update_time: int
    custom_plugin_id: str | None = None
    content: dict[str, Any]
    description: str | None
    app_permission: list[str] = ["read", "access", "delete", "modify"]


class FdiPageQuery(BaseModel):
    """A page of data sources."""

    total: int
    size: int
    entities: list[DataSourceRsp]


class DatasourceQuery(BaseModel):
    """The filters of ListDatasources."""

    limit: Annotated[int, Field(ge=0), _limit(10)] = 10
    offset: Annotated[int, _limit(0)] = 0
    datasource_type: OptionalText = None
    sort_field: Annotated[Literal["CREATED_DATE"] | None, _EMPTY_IS_NONE] = None
    sort_type: str = "ASC"
    name: str = ""
    app_id: OptionalText = None
    custom_plugin_id: OptionalText = None
    customized: OptionalText = None


class TestConnectionRsp(BaseModel):
    """Whether a data source can be reached."""

    result: bool


class TableQuery(BaseModel):
    """The filters of ListDatasourceTables."""

    position: Literal["SOURCE", "TARGET"]
    db_name: OptionalText = None
    db_schema: OptionalText = None
    filter: str = ""


class TableResponse(BaseModel):
    """The tables of a database."""

    tables: list[str]


class ColumnQuery(BaseModel):
    """The table whose columns are listed."""

    position: Literal["SOURCE", "TARGET"]
    db_name: OptionalText = None
    table_name: OptionalText = None


class ColumnInfo(BaseModel):
    """A column of a table or of a SELECT."""

    field_name: str
    field_type: str
    field_length: str
    null_able: str
    is_partition: bool
    primary: str
    unique: str
    decimal_digits: str | None


class ColumnQueryResponse(BaseModel):
    """The columns of a table or of a SELECT."""

    columns: list[ColumnInfo]


class SqlCheckBody(BaseModel):
    """A statement to check."""

    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
