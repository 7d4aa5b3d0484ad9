"""Streams: composite tasks, and real-time tasks from table to table.

Each mapped table is copied once in the order of its key; then rows with greater keys are picked up as they
appear, until the task is stopped. The emulator has no access to a database's change log: updates and
deletions of rows that were copied are not followed, and a table without a single-column key (or SQLite's
rowid) is copied once only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_fdi.emulator.databases import Databases
from airflow_provider_fdi.emulator.details import BATCH_ROWS, CannotRun, read_plan, side
from airflow_provider_fdi.emulator.mover import (
    Cancelled,
    ReadFailed,
    Rows,
    Target,
    WriteFailed,
    Writer,
    _failing_as,
    batch_size,
    open_target,
)
from airflow_provider_fdi.emulator.state import Mapping, Run, Task

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.world import World

_MARKS = 1000


def follow(world: World, task: Task, run: Run) -> None:
    """Carry out the stream of a started task; it ends when the task is stopped, or by an error."""
    runner = world.runner
    try:
        _Stream(world, task, run).carry_out()
    except CannotRun as error:
        runner.finish_error(task, run, error.code, str(error))
    except Cancelled:
        runner.finish_cancelled(task, run, "The task is stopped.")
    except ReadFailed as error:
        runner.finish_error(task, run, 103, f"Reading from the source failed: {error}")
    except WriteFailed as error:
        runner.finish_error(task, run, 503, f"Writing to the destination failed: {error}")


class _Stream:
    def __init__(self, world: World, task: Task, run: Run) -> None:
        self._world = world
        self._task = task
        self._run = run

    def carry_out(self) -> None:
        runner, task, run = self._world.runner, self._task, self._run
        runner.step(task, run, 100)
        tables = self._tables()
        runner.step(task, run, 102)
        runner.step(task, run, 500)
        runner.step(task, run, 502)
        while True:
            for table in tables:
                self._check_cancelled()
                table.catch_up()
            if run.cancel.wait(self._world.switches.stream_poll_ms / 1000):
                raise Cancelled

    def _check_cancelled(self) -> None:
        if self._run.cancel.is_set():
            raise Cancelled

    def _tables(self) -> list[_Table]:
        task, world = self._task, self._world
        if task.composite:
            if not task.mappings:
                raise CannotRun("The composite task has no mapped table.")
            return [
                _Table(world, task, self._run, row, self._mapped_columns(row), *self._urls(row))
                for row in task.mappings.values()
            ]
        plan = read_plan(world, task)
        if plan.query_sql is not None or plan.where:
            raise CannotRun("A real-time task with querySql or a filter is not carried out by this emulator.")
        # A real-time task is a stream of one table; its position is kept with the task.
        row = task.mappings.get("") or Mapping(
            plan.source_table, plan.target_table, [], [], [], "USING", 0, id=""
        )
        if (row.source_table, row.target_table) != (plan.source_table, plan.target_table):
            row = Mapping(plan.source_table, plan.target_table, [], [], [], "USING", 0, id="")
        task.mappings[""] = row
        return [_Table(world, task, self._run, row, list(plan.pairs), plan.source_url, plan.target_url)]

    def _urls(self, row: Mapping) -> tuple[str, str]:
        source = side(self._world, row.source_ds or self._task.source_ds, "source")
        target = side(self._world, row.target_ds or self._task.target_ds, "target")
        return source.url or "", target.url or ""

    @staticmethod
    def _mapped_columns(row: Mapping) -> list[tuple[str, str]]:
        if row.columns:
            return [(str(item["source_column"]), str(item["target_column"])) for item in row.columns]
        source = [str(item.get("field_name")) for item in row.source_columns]
        target = [str(item.get("field_name")) for item in row.target_columns]
        if len(source) != len(target):
            raise CannotRun(
                f"The mapping of {row.source_table} lists {len(source)} columns against {len(target)}."
            )
        return list(zip(source, target, strict=True))


class _Table:
    """One mapped table of a stream."""

    def __init__(
        self,
        world: World,
        task: Task,
        run: Run,
        mapping: Mapping,
        pairs: list[tuple[str, str]],
        source_url: str,
        target_url: str,
    ) -> None:
        self._world = world
        self._task = task
        self._run = run
        self._mapping = mapping
        self._source_url = source_url
        self._target_url = target_url
        databases: Databases = world.databases
        self._databases = databases
        with _failing_as(ReadFailed, run.cancel.is_set):
            try:
                self._schema, self._name = databases.find_table(source_url, mapping.source_table)
            except LookupError:
                raise CannotRun(f"The source has no table {mapping.source_table}.") from None
            described = databases.columns(source_url, mapping.source_table)
        by_name = {row["field_name"].lower(): row["field_name"] for row in described}
        missing = [name for name, _ in pairs if name.lower() not in by_name]
        if missing:
            raise CannotRun(f"The source table {mapping.source_table} has no column {', '.join(missing)}.")
        self._pairs = [(by_name[name.lower()], target) for name, target in pairs] or [
            (name, name) for name in by_name.values()
        ]
        self._key = self._find_key(described)
        with _failing_as(WriteFailed, run.cancel.is_set):
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
            raise CannotRun(f"The target has no table {self._mapping.target_table}.", 912) from None
        both_sqlite = self._source_url.startswith("sqlite") and self._target_url.startswith("sqlite")
        columns = [target for _, target in self._pairs]
        return open_target(self._databases, self._target_url, schema, name, columns, both_sqlite)

    def catch_up(self) -> None:
        """Copy what is new. Raises Cancelled, ReadFailed, WriteFailed."""
        row = self._mapping
        if self._key is None and row.first_copy_done:
            return
        while True:
            if self._run.cancel.is_set():
                raise Cancelled
            batch, last = self._read()
            if batch:
                self._write(batch)
                with self._world.store.lock:
                    row.last_key = last
                    self._mark()
            if len(batch) < BATCH_ROWS or self._key is None:
                if not row.first_copy_done:
                    with self._world.store.lock:
                        row.first_copy_done = True
                        self._mark()
                return

    def _mark(self) -> None:
        row = self._mapping
        row.marks.append((self._world.clock.now_ms(), row.last_key, row.first_copy_done))
        del row.marks[:-_MARKS]

    def _read(self) -> tuple[Rows, Any]:
        names = [name for name, _ in self._pairs]
        with _failing_as(ReadFailed, self._run.cancel.is_set):
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
        run = self._run
        with (
            _failing_as(WriteFailed, run.cancel.is_set),
            self._databases.writer(self._target_url) as connection,
        ):
            if self._mapping.replace:
                self._delete(connection, batch)
            refused = Writer(connection, self._target).write(batch)
            connection.commit()
        with self._world.store.lock:
            run.rows += len(batch) - len(refused)
            run.dirty += len(refused)
            run.size += batch_size(batch) - batch_size(refused)
            step = run.steps[-1]
            step.rows, step.dirty, step.size = run.rows, run.dirty, run.size

    def _delete(self, connection: Connection, batch: Rows) -> None:
        """Take out the rows that come again, by the mapped key."""
        for index, (source, _) in enumerate(self._pairs):
            if source == self._key:
                column = self._target.table.columns[self._target.columns[index]]
                for begin in range(0, len(batch), 500):
                    keys = [item[index] for item in batch[begin : begin + 500]]
                    connection.execute(sa.delete(self._target.table).where(column.in_(keys)))
                return
