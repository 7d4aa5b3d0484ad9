"""The structure of the files, as pydantic models; the JSON Schema for editors comes from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.times import start_time_ms
from airflow_provider_fdi.constants import OPERATION_TYPES, PERIODS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _by(check: Callable[[str, object], Any]) -> BeforeValidator:
    """What ``check`` accepts, in the form that it returns."""
    return BeforeValidator(lambda value: check("", value))


def _server_id(field: str, value: object) -> str:
    return validation.text(field, str(value) if type(value) is int else value, maximum=20)


def _quartz(field: str, value: object) -> str:
    return to_quartz(value, field=field)


def _schema(**words: Any) -> WithJsonSchema:
    return WithJsonSchema(words)


Name = Annotated[
    str, _by(validation.task_name), _schema(type="string", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{2,99}$")
]
DatasourceName = Annotated[str, _by(validation.existing_name)]
Tag = Annotated[str, _by(validation.task_tag), _schema(type="string", pattern="^[A-Za-z0-9_-]{4,64}$")]
Table = Annotated[str, _by(validation.table)]
Flag = Annotated[bool, _by(validation.boolean), _schema(type=["boolean", "string"])]
Text = Annotated[str, _by(partial(validation.text, minimum=0, maximum=1024))]
Word = Annotated[str, _by(validation.text)]
Length = Annotated[int, _by(validation.whole), _schema(type=["integer", "string"])]
Number = Annotated[int, _by(partial(validation.whole, minimum=1)), _schema(type=["integer", "string"])]
Moment = Annotated[int, _by(start_time_ms), _schema(type=["integer", "string"])]
Cron = Annotated[str, _by(_quartz)]
Interval = Annotated[int, _by(validation.dispatch_interval), _schema(type=["integer", "string"])]
Period = Annotated[str, _by(validation.period), _schema(enum=list(PERIODS))]
ServerId = Annotated[str, _by(_server_id), _schema(type=["integer", "string"])]
Operations = Annotated[
    list[str],
    _by(validation.operation_types),
    _schema(type="array", items={"enum": list(OPERATION_TYPES)}, minItems=1),
]
Object = Annotated[dict[str, Any], _by(validation.mapping)]
Rows = Annotated[list[Object], Field(min_length=1)]


def _scalar(field: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise FdiArgumentError(field, None, "must be text, a number, or true or false")


Scalar = Annotated[str, _by(_scalar), _schema(type=["string", "number", "boolean"])]


class Column(_Strict):
    """A column of a table."""

    name: Word
    type: Word | None = None
    length: Length = 0
    nullable: Flag = True
    unique: Flag = False
    primary: Flag | None = None


def _column(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ColumnOrName = Annotated[
    Column,
    BeforeValidator(_column),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]}),
]


def _pairs(field: str, value: object) -> object:
    if isinstance(value, dict):
        wrong = next((key for key, target in value.items() if not isinstance(target, str)), None)
        if wrong is not None:
            raise FdiArgumentError(field, wrong, "must map the name of a column to the name of a column")
        return value
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: name for name in value}
    raise FdiArgumentError(field, value, "must map columns to columns, or be a list of equal names")


Pairs = Annotated[
    dict[str, str],
    _by(_pairs),
    _schema(
        anyOf=[
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "array", "items": {"type": "string"}},
        ]
    ),
]


class TableToTable(_Strict):
    """The short form of ``detail`` for a table into a table."""

    source_table: Word
    target_table: Word
    columns: Annotated[list[ColumnOrName], Field(min_length=1, description="Columns of the source.")]
    target_columns: list[ColumnOrName] | None = Field(
        default=None, description="Columns of the target; by default those that the mapping names."
    )
    mapping: Pairs | None = Field(default=None, description="Column to column; by default equal names.")
    sql: Word | None = None
    where: list[Object] = []
    order_column: Text = ""
    order_type: Literal["ASC", "DESC"] = "ASC"
    incremental_column: Word | None = None
    incremental_from: Moment | None = None
    truncate: Flag = False
    create_table: Flag = False
    partial_update: Flag = False
    batch_number: Number | None = None


class Schedule(_Strict):
    """When a scheduled task runs: by ``cron``, or ``every`` so many of ``period``."""

    cron: Cron | None = None
    timezone: Word | None = None
    every: Interval | None = None
    period: Period | None = None
    start: Moment | None = None
    remark: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Schedule:
        if self.cron is not None and (self.every is not None or self.period is not None):
            raise _wrong("goes by cron or by every and period, not by both")
        if self.cron is None and self.every is None and self.period is None:
            raise _wrong("must have cron, or every and period")
        if self.cron is None and (self.every is None or self.period is None):
            missing = "every" if self.every is None else "period"
            raise _wrong(f"must have {missing} too: every and period belong together")
        if self.timezone is not None and self.cron is None:
            raise _wrong("must not have timezone without cron")
        return self


class TableMapping(_Strict):
    """A table of a composite task and where it goes. Without columns, FDI maps those of equal names."""

    source_table: Table
    target_table: Table
    source_columns: Rows | None = None
    target_columns: Rows | None = None
    mapping_columns: Rows | None = None


class Task(_Strict):
    """An FDI task."""

    name: Name
    kind: Literal["timing", "realtime", "composite"] = "timing"
    source: DatasourceName = Field(description="Name of the data source to read from.")
    target: DatasourceName = Field(description="Name of the data source to write to.")
    description: Text | None = None
    tag: Tag | None = None
    detail: Any = Field(
        default=None,
        description="What is moved, as FDI's task_detail, or the path of a file with it.",
        json_schema_extra={"type": ["object", "string"]},
    )
    table_to_table: TableToTable | None = None
    schedule: Schedule | None = None
    started: Flag | None = None
    operation_types: Operations | None = Field(
        default=None, description="Of a composite task: the changes it follows."
    )
    mappings: list[TableMapping] | None = None
    auto_mapping: Flag = False
    server_id: ServerId | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Task:
        if self.kind == "composite":
            for field in ("detail", "table_to_table"):
                if getattr(self, field) is not None:
                    raise _wrong(f"is a composite task, which has no {field}", "Give mappings.")
            if not self.operation_types:
                raise _wrong("is a composite task, which must have operation_types")
            if self.mappings is None and not self.auto_mapping:
                raise _wrong("is a composite task, which must have mappings or auto_mapping: true")
        else:
            for field in ("mappings", "operation_types", "server_id"):
                if getattr(self, field) is not None:
                    rule = f"is a {self.kind} task, and only a composite one has {field}"
                    raise _wrong(rule, "Did you mean kind: composite?")
            if (self.detail is None) == (self.table_to_table is None):
                raise _wrong("must have either detail or table_to_table")
        if self.kind != "timing" and self.schedule is not None:
            raise _wrong(f"is a {self.kind} task, and only a timing one has a schedule")
        if self.kind == "timing" and self.started and self.schedule is None:
            raise _wrong("must have a schedule: FDI starts no timing task without one")
        return self


class Environment(_Strict):
    """What differs between the instances that the same files are applied to."""

    managed_tag: Tag | None = Field(
        default=None,
        description="The tag of all tasks of the files; only tasks that carry it are ever deleted.",
    )
    variables: dict[str, Scalar] = Field(
        default={}, description="What ${NAME} stands for. Secrets belong in the variables of the process."
    )
    ignore: list[Word] = Field(
        default=[], description="Paths that are never compared, such as detail.needAPI."
    )


class File(_Strict):
    """A file that declares FDI tasks, or an environment for them, or both."""

    tasks: list[Task] | None = None
    environment: Environment | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> File:
        if self.tasks is None and self.environment is None:
            raise _wrong("has neither tasks nor environment")
        return self


def _wrong(rule: str, suggestion: str = "") -> FdiArgumentError:
    return FdiArgumentError("", None, f"{rule}\n{suggestion}" if suggestion else rule)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file of declarations."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}
