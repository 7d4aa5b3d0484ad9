"""Mapping tables to tables, and columns to columns, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.state import Datasource, Mapping, Task

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.engine.databases import Databases

MAX_TABLES = 2000


def auto_map(
    task: Task,
    source: Datasource,
    target: Datasource,
    databases: Databases,
    clock: Clock,
    *,
    prefix: str = "",
    suffix: str = "",
    source_tables: str = "",
    target_tables: str = "",
) -> None:
    """Map each selected table of the source to the one of the same name (between prefix and suffix)."""
    if source.url is None or target.url is None:
        return
    there = {
        table.rpartition(".")[2].lower(): table
        for table in databases.tables(target.url)
        if _selected(table, target_tables)
    }
    tables = [table for table in databases.tables(source.url) if _selected(table, source_tables)]
    known = {(row.source_table, row.target_table) for row in task.mappings.values()}
    for table in tables[:MAX_TABLES]:
        other = there.get((prefix + table.rpartition(".")[2] + suffix).lower())
        if other is None or (table, other) in known:
            continue
        left, right = databases.columns(source.url, table), databases.columns(target.url, other)
        columns, percent = _pair_columns(left, right)
        row = Mapping(
            source_table=table,
            target_table=other,
            source_columns=[_plain(column) for column in left],
            target_columns=[_plain(column) for column in right],
            columns=columns,
            status="AUTO",
            updated=clock.now_ms(),
            percent=percent,
            source_ds=source.id,
            target_ds=target.id,
        )
        task.mappings[row.id] = row


def _plain(column: dict[str, Any]) -> dict[str, str]:
    return {key: str(column[key]) for key in ("field_name", "field_type", "field_length")}


def _pair_columns(
    source: list[dict[str, Any]], target: list[dict[str, Any]]
) -> tuple[list[dict[str, str]], int]:
    """MappingInfo of columns with equal names, and the percentage of source columns that have one."""
    by_name = {column["field_name"].lower(): column for column in target}
    rows = []
    for column in source:
        other = by_name.get(column["field_name"].lower())
        if other is not None:
            rows.append(
                {
                    f"{side}_column{part}": str(row[key])
                    for side, row in (("source", column), ("target", other))
                    for part, key in (
                        ("", "field_name"),
                        ("_type", "field_type"),
                        ("_length", "field_length"),
                    )
                }
            )
    return rows, round(100 * len(rows) / len(source)) if source else 0


def _selected(table: str, selection: str) -> bool:
    """`selection`: comma list of schema.table or schema.*; an empty one selects everything."""
    if not selection.strip():
        return True
    schema, _, name = table.rpartition(".")
    for part in selection.split(","):
        wanted_schema, _, wanted = part.strip().rpartition(".")
        if (not wanted_schema or wanted_schema == schema) and wanted in ("*", name):
            return True
    return False
