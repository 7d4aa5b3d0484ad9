"""Two databases that FDI knows, for the examples of all pages."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from airflow_provider_fdi.client.task_detail import (
    column,
    column_mapping,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator

ROWS = 10


class ByName:
    """Events by asset, found by the asset's name: as in Airflow, which does not hash the asset."""

    def __init__(self, events: dict[str, list[Any]]) -> None:
        self._events = events

    def __getitem__(self, asset: Any) -> list[Any]:
        return self._events[asset.name]


class World:
    """What the examples presume: two databases known to FDI, and tasks that exist."""

    def __init__(self, fdi: FdiEmulator, folder: Path) -> None:
        self.fdi = fdi
        self.source_path, self.target_path = folder / "operations.db", folder / "warehouse.db"
        source, self.target = sqlite3.connect(self.source_path), sqlite3.connect(self.target_path)
        with source:
            source.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER, day TEXT)")
            source.executemany(
                "INSERT INTO orders VALUES (?, ?, ?)",
                [(i, i * 10, f"2026-01-{i % 2 + 1:02}") for i in range(ROWS)],
            )
        source.close()
        self.target.execute("CREATE TABLE dwh_orders (order_id INTEGER PRIMARY KEY, amount INTEGER)")
        self.source_id = fdi.add_datasource("operations", f"sqlite:///{self.source_path}")
        self.target_id = fdi.add_datasource("warehouse", f"sqlite:///{self.target_path}")

    def add_task(self, name: str = "orders_to_warehouse", **fields: Any) -> str:
        columns = [column("id", "INTEGER"), column("amount", "INTEGER")]
        detail = table_to_table(
            table_source("orders", columns),
            table_target("dwh_orders", [column("order_id", "INTEGER"), column("amount", "INTEGER")]),
            [column_mapping("id", "order_id"), column_mapping("amount", "amount")],
        )
        return self.fdi.add_task(
            name,
            source_datasource_id=self.source_id,
            target_datasource_id=self.target_id,
            task_detail=json.dumps(detail),
            **fields,
        )

    def rows(self) -> int:
        return int(self.target.execute("SELECT COUNT(*) FROM dwh_orders").fetchone()[0])
