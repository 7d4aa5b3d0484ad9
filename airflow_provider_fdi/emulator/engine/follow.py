"""Streams: composite tasks, and real-time tasks from table to table.

Each mapped table is copied once in the order of its key; then rows with greater keys are picked up as they
appear, until the task is stopped. The emulator cannot read a database's change log: updates and deletions of
rows that were copied are not followed, and a table without a single-column key (or SQLite's rowid) is copied
only once.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.engine.databases import Databases
from airflow_provider_fdi.emulator.engine.plan import BATCH_ROWS, read_plan, side
from airflow_provider_fdi.emulator.engine.writing import (
    Rows,
    Target,
    Writer,
    batch_size,
    open_target,
    reading,
    writing,
)
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.runner import Job, RunCancelled, RunFailed
from airflow_provider_fdi.emulator.service.state import Mapping, Store

_MARKS = 1000


def follow(job: Job, store: Store, databases: Databases, clock: Clock, switches: Switches) -> str:
    """Carry out the stream of a started task until it is stopped. Raises RunFailed, RunCancelled."""
    job.step(100)
    tables = [
        _Table(job, databases, clock, mapping, pairs, source_url, target_url)
        for mapping, pairs, source_url, target_url in _mapped(job, store)
    ]
    for code in (102, 500, 502):
        job.step(code)
    while True:
        for table in tables:
            job.check_cancelled()
            table.catch_up()
        if job.run.cancel.wait(switches.stream_poll_ms / 1000):
            raise RunCancelled


_Pairs = list[tuple[str, str]]


def _mapped(job: Job, store: Store) -> list[tuple[Mapping, _Pairs, str, str]]:
    """The mapped tables of a task: the mapping, its column pairs, the URLs of source and target."""
    task = job.task
    if task.composite:
        if not task.mappings:
            raise RunFailed("The composite task has no mapped table.")
        return [
            (
                row,
                _column_pairs(row),
                side(store, row.source_ds or task.source_ds, "source"),
                side(store, row.target_ds or task.target_ds, "target"),
            )
            for row in task.mappings.values()
        ]
    plan = read_plan(store, task)
    if plan.query_sql is not None or plan.where:
        raise RunFailed("A real-time task with querySql or a filter is not carried out by this emulator.")
    # A real-time task is a stream of one table; its position is kept with the task.
    row = task.mappings.get("")
    if row is None or (row.source_table, row.target_table) != (plan.source_table, plan.target_table):
        row = Mapping(plan.source_table, plan.target_table, [], [], [], "USING", 0, id="")
    task.mappings[""] = row
    return [(row, list(plan.pairs), plan.source_url, plan.target_url)]


def _column_pairs(row: Mapping) -> _Pairs:
    if row.columns:
        return [(str(item["source_column"]), str(item["target_column"])) for item in row.columns]
    source = [str(item.get("field_name")) for item in row.source_columns]
    target = [str(item.get("field_name")) for item in row.target_columns]
    if len(source) != len(target):
        raise RunFailed(
            f"The mapping of {row.source_table} lists {len(source)} columns against {len(target)}."
        )
    return list(zip(source, target, strict=True))


class _Table:
    """One mapped table of a stream."""

    def __init__(
        self,
        job: Job,
        databases: Databases,
        clock: Clock,
        mapping: Mapping,
        pairs: _Pairs,
        source_url: str,
        target_url: str,
    ) -> None:
        self._job = job
        self._databases = databases
        self._clock = clock
        self._mapping = mapping
        self._source_url = source_url
        self._target_url = target_url
        with reading(job):
            try:
                self._schema, self._name = databases.find_table(source_url, mapping.source_table)
            except LookupError:
                raise RunFailed(f"The source has no table {mapping.source_table}.") from None
            described = databases.columns(source_url, mapping.source_table)
        by_name = {row["field_name"].lower(): row["field_name"] for row in described}
        missing = [name for name, _ in pairs if name.lower() not in by_name]
        if missing:
            raise RunFailed(f"The source table {mapping.source_table} has no column {', '.join(missing)}.")
        self._pairs = [(by_name[name.lower()], target) for name, target in pairs] or [
            (name, name) for name in by_name.values()
        ]
        self._key = self._find_key(described)
        with writing(job):
            self._target = self._open_target()

    def _find_key(self, described: list[dict[str, Any]]) -> str | None:
        primary = [row["field_name"] for row in described if row["primary"] == "1"]
        if len(primary) == 1:
            return str(primary[0])
        return "rowid" if self._source_url.startswith("sqlite") else None

    def _open_target(self) -> Target:
        try:
            schema, name = self._databases.find_table(self._target_url, self._mapping.target_table)
        except LookupError:
            raise RunFailed(f"The target has no table {self._mapping.target_table}.", 912) from None
        both_sqlite = self._source_url.startswith("sqlite") and self._target_url.startswith("sqlite")
        columns = [target for _, target in self._pairs]
        return open_target(self._databases, self._target_url, schema, name, columns, both_sqlite)

    def catch_up(self) -> None:
        """Copy what is new. Raises RunFailed, RunCancelled."""
        row = self._mapping
        if self._key is None and row.first_copy_done:
            return
        while True:
            self._job.check_cancelled()
            batch, last = self._read()
            if batch:
                self._write(batch)
                self._mark(last, row.first_copy_done)
            if len(batch) < BATCH_ROWS or self._key is None:
                if not row.first_copy_done:
                    self._mark(row.last_key, True)
                return

    def _mark(self, last_key: Any, first_copy_done: bool) -> None:
        """Keep how far the copy is, and since when, so that the task can be reset to a date."""
        row = self._mapping
        with self._job.runner.store.lock:
            row.last_key, row.first_copy_done = last_key, first_copy_done
            row.marks.append((self._clock.now_ms(), last_key, first_copy_done))
            del row.marks[:-_MARKS]

    def _read(self) -> tuple[Rows, Any]:
        names = [name for name, _ in self._pairs]
        with reading(self._job):
            kinds: dict[str, Any] = {}
            if not self._target.plain:
                inspector = sa.inspect(self._databases.engine(self._source_url))
                kinds = {
                    item["name"]: item["type"]
                    for item in inspector.get_columns(self._name, schema=self._schema)
                }
            columns: list[Any] = [sa.column(name, kinds.get(name)) for name in names]
            if self._key is not None:
                columns.append(sa.column(self._key, kinds.get(self._key)).label("fdi_key"))
            query = sa.select(*columns).select_from(sa.table(self._name, schema=self._schema))
            if self._key is not None:
                query = query.order_by(sa.column(self._key)).limit(BATCH_ROWS)
                if self._mapping.last_key is not None:
                    query = query.where(sa.column(self._key, kinds.get(self._key)) > self._mapping.last_key)
            with self._databases.reader(self._source_url) as connection:
                rows = [tuple(item) for item in connection.execute(query).fetchall()]
        if not rows or self._key is None:
            return rows, None
        return [item[:-1] for item in rows], rows[-1][-1]

    def _write(self, batch: Rows) -> None:
        with writing(self._job), self._databases.writer(self._target_url) as connection:
            if self._mapping.replace:
                self._delete(connection, batch)
            refused = Writer(connection, self._target).write(batch)
            connection.commit()
        self._job.count(len(batch) - len(refused), len(refused), batch_size(batch) - batch_size(refused))

    def _delete(self, connection: Connection, batch: Rows) -> None:
        """Delete the rows that are copied again, by the mapped key."""
        for index, (source, _) in enumerate(self._pairs):
            if source == self._key:
                column = self._target.table.columns[self._target.columns[index]]
                for begin in range(0, len(batch), 500):
                    keys = [item[index] for item in batch[begin : begin + 500]]
                    connection.execute(sa.delete(self._target.table).where(column.in_(keys)))
                return
