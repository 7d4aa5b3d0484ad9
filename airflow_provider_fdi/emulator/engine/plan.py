"""Reading a task's settings: what a run has to do, or the exact reason why it cannot be done here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_fdi.emulator.service.runner import RunFailed
from airflow_provider_fdi.emulator.service.state import Datasource, Store, Task

BATCH_ROWS = 5000
MAX_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Plan:
    """What a table-to-table task moves, and how."""

    source_url: str
    target_url: str
    source_table: str
    query_sql: str | None
    where: tuple[str, ...]
    order: str | None
    descending: bool
    pairs: tuple[tuple[str, str], ...]
    target_table: str
    target_columns: tuple[dict[str, Any], ...]
    create: bool
    clear: bool
    batch: int
    date_column: str | None = None
    date_from: Any = None
    timezone: str = ""


def truth(value: Any) -> bool:
    """Whether a flag is set; flags come as JSON booleans or as text."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def side(store: Store, datasource_id: str, which: str) -> str:
    """The URL of the database behind one side ("source", "target"). Raises RunFailed."""
    row: Datasource | None = store.datasources.get(datasource_id)
    code = 911 if which == "source" else 912
    if row is None:
        raise RunFailed(f"The {which} data source {datasource_id} does not exist.", code)
    if row.url is None:
        verb = "read from" if which == "source" else "write to"
        raise RunFailed(
            f"This emulator cannot {verb} the {which} data source '{row.name}' of type {row.type}:"
            " it moves rows between relational databases that it can connect to."
            " A script makes such a task run here.",
            code,
        )
    return row.url


def read_plan(store: Store, task: Task) -> Plan:
    """Read a task's settings. Raises RunFailed for what is missing or cannot be done here."""
    try:
        detail = json.loads(task.detail)
    except ValueError:
        raise RunFailed("The task's task_detail is not JSON.") from None
    source_url, target_url = side(store, task.source_ds, "source"), side(store, task.target_ds, "target")
    source, target = _part(detail, "sourceSelectedDatasource"), _part(detail, "targetSelectedDatasource")
    _refuse_unsupported(detail, target)

    sql = source.get("querySql") if truth(source.get("isAddSql")) else None
    table = source.get("sourceTable") or ""
    if truth(source.get("isTextInput")) and source.get("textInputValue"):
        table = source["textInputValue"]
    if not sql and not table:
        raise RunFailed("task_detail.sourceSelectedDatasource names no sourceTable and no querySql.")
    target_table = target.get("targetTable") or ""
    if not target_table:
        raise RunFailed("task_detail.targetSelectedDatasource names no targetTable.", 912)

    incremental = truth(source.get("need_inc_migration"))
    date_column = source.get("sourceDateColumn") or None
    if incremental and not date_column:
        raise RunFailed("need_inc_migration is set, but sourceDateColumn names no column to count from.")
    columns = target.get("targetSelectedColumnList") or []
    return Plan(
        source_url=source_url,
        target_url=target_url,
        source_table=str(table),
        query_sql=str(sql) if sql else None,
        where=(*_where(source.get("where")), *_where(source.get("whereOptions"))),
        order=source.get("orderColumn") or None,
        descending=str(source.get("orderType") or "ASC").upper() == "DESC",
        pairs=_pairs(detail, _names(source.get("sourceSelectedColumnList")), _names(columns)),
        target_table=str(target_table),
        target_columns=tuple(row for row in columns if isinstance(row, dict)),
        create=truth(target.get("targetNeedCreateTable")),
        clear=truth(target.get("isSupportClearTab")),
        batch=_batch(target.get("batchNumber")),
        date_column=date_column if incremental else None,
        date_from=source.get("dataTimestamp") if incremental else None,
        timezone=source.get("timeZone") or "",
    )


def _part(detail: Any, key: str) -> dict[str, Any]:
    part = detail.get(key)
    if not isinstance(part, dict):
        raise RunFailed(f"task_detail has no {key}.")
    return part


def _refuse_unsupported(detail: dict[str, Any], target: dict[str, Any]) -> None:
    after = detail.get("afterImplementation")
    after = after[0] if isinstance(after, list) and after else after
    if isinstance(after, dict) and after.get("actionType"):
        raise RunFailed(
            f"task_detail.afterImplementation asks for a message to {after['actionType']}, which this"
            " emulator cannot send.",
            912,
        )
    handler = detail.get("error_handler")
    handler = handler[0] if isinstance(handler, list) and handler else handler
    if isinstance(handler, dict) and handler.get("mode"):
        raise RunFailed(
            f"task_detail.error_handler stores bad records in {handler['mode']}, which this"
            " emulator cannot write.",
            912,
        )
    if truth(target.get("supportPartUpdate")):
        raise RunFailed(
            "supportPartUpdate (updating single columns) is not carried out by this emulator.", 912
        )


def _batch(value: Any) -> int:
    try:
        number = int(value or BATCH_ROWS)
    except (TypeError, ValueError):
        raise RunFailed(f"batchNumber {value!r} is not a number.", 912) from None
    return max(1, min(number, MAX_BATCH_ROWS))


def _names(columns: Any) -> list[str]:
    return [
        str(row["field_name"]) for row in columns or [] if isinstance(row, dict) and row.get("field_name")
    ]


def _pairs(detail: dict[str, Any], source: list[str], target: list[str]) -> tuple[tuple[str, str], ...]:
    """(source column, target column) pairs; none: each column goes to the target column of its name."""
    mapping = detail.get("mappingTable")
    if isinstance(mapping, list) and mapping:
        try:
            return tuple((str(row["source_column"]), str(row["target_column"])) for row in mapping)
        except (KeyError, TypeError):
            raise RunFailed(
                "Each row of task_detail.mappingTable needs source_column and target_column."
            ) from None
    keys = detail.get("mappingInput")
    rows = keys.get("dataSource") if isinstance(keys, dict) else None
    if rows:
        try:
            return tuple((str(row["sourceKey"]), str(row["targetKey"])) for row in rows)
        except (KeyError, TypeError):
            raise RunFailed("Each row of task_detail.mappingInput needs sourceKey and targetKey.") from None
    if source and target:
        by_name = {name.lower(): name for name in target}
        if all(name.lower() in by_name for name in source):
            return tuple((name, by_name[name.lower()]) for name in source)
        if len(source) == len(target):
            return tuple(zip(source, target, strict=True))
        raise RunFailed(
            f"There is no mappingTable, and the column lists do not fit: {len(source)} columns of the source,"
            f" {len(target)} of the target, with different names."
        )
    return tuple((name, name) for name in source or target)


def _where(value: Any) -> list[str]:
    """SQL conditions from a text, a list of texts, or rows with column, operator and value."""
    if not value:
        return []
    if isinstance(value, str):
        return [value]
    conditions = []
    for row in value if isinstance(value, list) else [value]:
        if isinstance(row, str):
            conditions.append(row)
            continue
        if not isinstance(row, dict):
            raise RunFailed(f"A filter of this form is not understood: {row!r}.")
        name = row.get("column") or row.get("field_name") or row.get("key") or row.get("keys")
        operator = str(row.get("operator") or row.get("condition") or row.get("op") or "=").upper()
        if not name or operator not in ("=", "<", ">", "<=", ">=", "<>", "!=", "LIKE") or "value" not in row:
            raise RunFailed(f"A filter of this form is not understood: {row!r}.")
        column = str(name).replace('"', '""')
        text = row["value"]
        literal = str(text) if isinstance(text, (int, float)) else "'" + str(text).replace("'", "''") + "'"
        conditions.append(f'"{column}" {operator} {literal}')
    return conditions
