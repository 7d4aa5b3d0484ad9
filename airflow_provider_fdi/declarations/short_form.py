"""The short form of a task that moves a table into a table."""

from __future__ import annotations

from typing import Any

from airflow_provider_fdi.client.task_detail import (
    column,
    column_mapping,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.declarations import schema


def detail_of(short: schema.TableToTable) -> dict[str, Any]:
    """The ``task_detail`` that a short form stands for.

    :raises FdiArgumentError: source, target and mapping do not fit together.
    """
    mapping: dict[str, str] = short.mapping or {row.name: row.name for row in short.columns}
    sources = {row.name: _wire_column(row) for row in short.columns}
    if short.target_columns is not None:
        targets = {row.name: _wire_column(row) for row in short.target_columns}
    else:
        # A target's column is taken to be like that of the source that goes there.
        targets = {name: {**sources.get(left, {}), "field_name": name} for left, name in mapping.items()}
    source = table_source(
        short.source_table,
        sources.values(),
        where=short.where,
        sql=short.sql,
        order_column=short.order_column,
        order_type=short.order_type,
        incremental_column=short.incremental_column,
        incremental_from=short.incremental_from,
    )
    target = table_target(
        short.target_table,
        targets.values(),
        truncate=short.truncate,
        create_table=short.create_table,
        partial_update=short.partial_update,
        batch_number=short.batch_number or "",
    )
    rows = [
        column_mapping(sources.get(left) or left, targets.get(right) or right)
        for left, right in mapping.items()
    ]
    return table_to_table(source, target, rows)


def _wire_column(row: schema.Column) -> dict[str, Any]:
    if row.type is None:
        return {"field_name": row.name}
    return column(
        row.name, row.type, row.length, nullable=row.nullable, unique=row.unique, primary=row.primary
    )
