"""Moving rows from a table (or a SELECT) to a table, in batches, with true counts, sizes and times.

At most two batches are in memory. Every batch is committed, so that a run that fails or is cancelled leaves
what it had written, and its count says how much. A row that the target refuses is dirty: the batch is then
halved under savepoints until only the refused rows are left out.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from airflow_provider_fdi.emulator.databases import Databases, guarded_select, raw_connection
from airflow_provider_fdi.emulator.details import CannotRun, Plan, read_plan
from airflow_provider_fdi.emulator.runner import NODE_END, SUCCESS_REMARKS, TASK_END, WRITER
from airflow_provider_fdi.emulator.state import Run, Task
from airflow_provider_fdi.emulator.timezones import parse_timezone

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.world import World

Rows = list[tuple[Any, ...]]
# What a database says of a row it does not take; anything else is a failure of the target.
_ROW_REFUSED = (IntegrityError, DataError, InterfaceError, ProgrammingError)


class Cancelled(Exception):
    """The run was cancelled while it was moving rows."""


class ReadFailed(Exception):
    """The source failed; the text is the database's."""


class WriteFailed(Exception):
    """The target failed; the text is the database's."""


def move(world: World, task: Task, run: Run) -> None:
    """Carry out one run of a common task; its outcome is in `run`."""
    runner = world.runner
    try:
        plan = read_plan(world, task)
        remarks = _Move(world, task, run, plan).carry_out()
    except CannotRun as error:
        runner.finish_error(task, run, error.code, str(error))
    except Cancelled:
        runner.finish_cancelled(task, run)
    except ReadFailed as error:
        runner.finish_error(task, run, 103, f"Reading from the source failed: {error}")
    except WriteFailed as error:
        runner.finish_error(task, run, 503, f"Writing to the destination failed: {error}")
    else:
        runner.finish(task, run, "SUCCESS", remarks)


@dataclass
class Target:
    """A table to insert into, by columns in a fixed order."""

    table: sa.Table
    columns: list[str]
    plain: bool
    statement: Any

    def insert(self, connection: Connection, rows: Rows) -> None:
        if self.plain:
            connection.exec_driver_sql(self.statement, rows)
        else:
            connection.execute(self.statement, [dict(zip(self.columns, row, strict=True)) for row in rows])


class Writer:
    """Inserts batches, sorting out the rows that the target refuses."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._target = target
        self.first_refusal = ""

    def write(self, rows: Rows) -> Rows:
        """The rows that were refused. Raises WriteFailed when it is the target that fails."""
        if not rows:
            return []
        savepoint = self._connection.begin_nested()
        try:
            self._target.insert(self._connection, rows)
        except _ROW_REFUSED as error:
            savepoint.rollback()
            return self._refused(rows, error)
        except DBAPIError as error:
            raise WriteFailed(words(error)) from error
        except (StatementError, ValueError, TypeError, OverflowError) as error:
            # A value that cannot even be bound.
            savepoint.rollback()
            return self._refused(rows, error)
        savepoint.commit()
        return []

    def _refused(self, rows: Rows, error: Exception) -> Rows:
        if len(rows) == 1:
            if not self.first_refusal:
                self.first_refusal = words(error)
            return rows
        middle = len(rows) // 2
        return self.write(rows[:middle]) + self.write(rows[middle:])


class _Move:
    def __init__(self, world: World, task: Task, run: Run, plan: Plan) -> None:
        self._world = world
        self._task = task
        self._run = run
        self._plan = plan
        self._databases = world.databases
        self._read = 0
        self._read_s = 0.0
        self._write_s = 0.0
        self._latest: Any = task.watermark
        # sourceDateColumn in the source's own spelling
        self._date: str | None = None

    def carry_out(self) -> str:
        """Move the rows; the remarks of a success."""
        runner, task, run, plan = self._world.runner, self._task, self._run, self._plan
        runner.step(task, run, 100)
        pairs = self._columns()
        # One SQLite file on both sides: a reader in it keeps the writer from committing before the end.
        same_file = (
            make_url(plan.source_url).database == make_url(plan.target_url).database
            and make_url(plan.source_url).get_backend_name() == "sqlite"
        )
        committed = (0, 0, 0)
        started = False
        with (
            _failing_as(WriteFailed, self._cancelled),
            self._databases.writer(plan.target_url, may_create=plan.create) as connection,
        ):
            target = self._prepare_target(connection, pairs)
            writer = Writer(connection, target)
            with closing(self._batches(pairs, target.plain)) as batches:
                runner.step(task, run, 102)
                batch = self._next(batches)
                if plan.clear:
                    self._clear(connection, target)
                try:
                    while batch is not None:
                        following = self._next(batches)
                        if following is None:
                            self._reader_ended()
                        if not started:
                            runner.step(task, run, 500)
                            runner.step(task, run, 502)
                            started = True
                        began = time.monotonic()
                        refused = writer.write(batch)
                        if not same_file or following is None:
                            connection.commit()
                        self._write_s += time.monotonic() - began
                        self._count(batch, refused)
                        if not same_file or following is None:
                            committed = (run.rows, run.dirty, run.size)
                        batch = following
                    if not started:
                        connection.commit()
                finally:
                    # Rows that were not committed do not count.
                    with self._world.store.lock:
                        run.rows, run.dirty, run.size = committed
        if self._read == 0:
            runner.step(task, run, 105)
            self._reader_ended()
        if started:
            for code, status in ((504, "NORMAL"), (501, NODE_END)):
                runner.step(task, run, code, status)
        runner.step(task, run, 901, TASK_END, position=WRITER)
        if plan.date_column and self._latest is not None:
            task.watermark = self._latest
        if run.dirty:
            return f"{SUCCESS_REMARKS}. {run.dirty} dirty rows; the first: {writer.first_refusal}"
        return SUCCESS_REMARKS

    def _count(self, batch: Rows, refused: Rows) -> None:
        run = self._run
        size = batch_size(batch) - batch_size(refused)
        with self._world.store.lock:
            run.rows += len(batch) - len(refused)
            run.dirty += len(refused)
            run.size += size
            run.read_ms, run.write_ms = int(self._read_s * 1000), int(self._write_s * 1000)
            step = next(step for step in reversed(run.steps) if step.code == 502)
            step.rows, step.dirty, step.size = run.rows, run.dirty, run.size

    # Reading

    def _columns(self) -> list[tuple[str, str]]:
        """The column pairs, with the source's own spelling; checked against both tables."""
        plan = self._plan
        if plan.query_sql is not None:
            try:
                available = self._databases.select_names(plan.source_url, plan.query_sql)
            except ValueError as error:
                raise CannotRun(f"querySql is not accepted: {error}.") from error
            except self._databases.errors as error:
                raise ReadFailed(words(error)) from error
        else:
            try:
                available = [
                    row["field_name"] for row in self._databases.columns(plan.source_url, plan.source_table)
                ]
            except LookupError:
                raise CannotRun(f"The source has no table {plan.source_table}.") from None
            except self._databases.errors as error:
                raise ReadFailed(words(error)) from error
        by_name = {name.lower(): name for name in available}
        pairs = list(plan.pairs) or [(name, name) for name in available]
        missing = [name for name, _ in pairs if name.lower() not in by_name]
        if missing:
            raise CannotRun(f"The source has no column {', '.join(missing)}; it has {', '.join(available)}.")
        if plan.date_column and plan.date_column.lower() not in by_name:
            raise CannotRun(f"The source has no column {plan.date_column} (sourceDateColumn).")
        self._date = by_name[plan.date_column.lower()] if plan.date_column else None
        return [(by_name[source.lower()], target) for source, target in pairs]

    def _batches(self, pairs: list[tuple[str, str]], plain: bool) -> Generator[Rows, None, None]:
        """Batches of rows in the order of `pairs`. Raises ReadFailed and Cancelled."""
        plan = self._plan
        with _failing_as(ReadFailed, self._cancelled), self._databases.reader(plan.source_url) as connection:
            self._on_cancel(connection)
            connection = connection.execution_options(stream_results=True, max_row_buffer=plan.batch)
            names = [source for source, _ in pairs]
            wanted = [*names]
            if self._date is not None and self._date not in names:
                wanted.append(self._date)
            extra = len(wanted) > len(names)
            result = self._select(connection, wanted, plain)
            date_index = wanted.index(self._date) if self._date is not None else -1
            width = len(names)
            direct = plan.query_sql is not None
            if direct:
                keys = [key.lower() for key in result.keys()]  # noqa: SIM118
                order = [keys.index(name.lower()) for name in wanted]
            while True:
                rows: Rows = [tuple(row) for row in result.fetchmany(plan.batch)]
                if not rows:
                    return
                if direct:
                    rows = [tuple(row[index] for index in order) for row in rows]
                if date_index >= 0:
                    latest = max(
                        (row[date_index] for row in rows if row[date_index] is not None), default=None
                    )
                    if latest is not None and (self._latest is None or latest > self._latest):
                        self._latest = latest
                    if extra:
                        rows = [row[:width] for row in rows]
                yield rows

    def _select(self, connection: Connection, names: list[str], plain: bool) -> Any:
        plan = self._plan
        if plan.query_sql is not None:
            statement = guarded_select(connection, plan.query_sql)
            if self._date is not None:
                condition, parameters = self._since(None)
                bound = sa.text(f"SELECT * FROM ({_escape(statement)}) fdi_increment WHERE {condition}")
                return connection.execute(bound, parameters)
            return connection.exec_driver_sql(statement)
        schema, name = self._databases.find_table(plan.source_url, plan.source_table)
        kinds = {
            row["name"]: row["type"]
            for row in sa.inspect(self._databases.engine(plan.source_url)).get_columns(name, schema=schema)
        }
        columns: list[Any] = [sa.column(item) if plain else sa.column(item, kinds[item]) for item in names]
        query = sa.select(*columns).select_from(sa.table(name, schema=schema))
        for condition in plan.where:
            if ";" in condition:
                raise CannotRun(f"The filter {condition!r} is not accepted: it holds more than a condition.")
            query = query.where(sa.text(f"({_escape(condition)})"))
        if self._date is not None:
            condition, parameters = self._since(kinds.get(self._date))
            query = query.where(sa.text(condition).bindparams(**parameters))
        if plan.order:
            column: Any = sa.column(plan.order)
            query = query.order_by(column.desc() if plan.descending else column.asc())
        return connection.execute(query)

    def _since(self, kind: Any) -> tuple[str, dict[str, Any]]:
        """The condition on the date column: from dataTimestamp on at first, then later than what was read."""
        column = str(self._date).replace('"', '""')
        quote = "`" if make_url(self._plan.source_url).get_backend_name() in ("mysql", "mariadb") else '"'
        if self._task.watermark is not None:
            return f"{quote}{column}{quote} > :fdi_since", {"fdi_since": self._task.watermark}
        start = self._plan.date_from
        if start in (None, ""):
            return f"{quote}{column}{quote} IS NOT NULL", {}
        return f"{quote}{column}{quote} >= :fdi_since", {"fdi_since": self._start_value(start, kind)}

    def _start_value(self, start: Any, kind: Any) -> Any:
        """dataTimestamp (epoch ms, or text) as a value that compares with the column's."""
        if isinstance(start, str) and start.strip().isdigit():
            start = int(start)
        if isinstance(kind, (sa.Integer, sa.Numeric)) or not isinstance(start, (int, float)):
            return start
        zone = parse_timezone(self._plan.timezone) if self._plan.timezone else timezone.utc
        moment = datetime.fromtimestamp(start / 1000, tz=zone).replace(tzinfo=None)
        sqlite_source = make_url(self._plan.source_url).get_backend_name() == "sqlite"
        if isinstance(kind, sa.Date) and not isinstance(kind, sa.DateTime):
            return moment.date().isoformat() if sqlite_source else moment.date()
        if isinstance(kind, sa.DateTime) and not sqlite_source:
            return moment
        # SQLite keeps times as text; their order is that of the text.
        return moment.isoformat(sep=" ", timespec="microseconds" if moment.microsecond else "seconds")

    def _next(self, batches: Iterator[Rows]) -> Rows | None:
        self._check_cancelled()
        began = time.monotonic()
        rows = next(batches, None)
        self._read_s += time.monotonic() - began
        if rows is not None:
            self._read += len(rows)
            with self._world.store.lock:
                self._run.read_ms = int(self._read_s * 1000)
        return rows

    def _reader_ended(self) -> None:
        for code in (104, 101):
            step = self._world.runner.step(self._task, self._run, code, NODE_END)
            step.rows = self._read

    # Writing

    def _prepare_target(self, connection: Connection, pairs: list[tuple[str, str]]) -> Target:
        plan = self._plan
        plain = (
            make_url(plan.source_url).get_backend_name()
            == make_url(plan.target_url).get_backend_name()
            == "sqlite"
        )
        try:
            schema, name = self._databases.find_table(plan.target_url, plan.target_table)
        except LookupError:
            if not plan.create:
                raise CannotRun(f"The target has no table {plan.target_table}.", 912) from None
            schema, name = self._create_table(connection, pairs)
        except SQLAlchemyError:
            # A database file that does not exist yet.
            if not plan.create:
                raise
            schema, name = self._create_table(connection, pairs)
        return open_target(
            self._databases, plan.target_url, schema, name, [target for _, target in pairs], plain
        )

    def _create_table(self, connection: Connection, pairs: list[tuple[str, str]]) -> tuple[str | None, str]:
        plan = self._plan
        schema, _, name = plan.target_table.rpartition(".")
        if connection.dialect.name == "sqlite":
            schema = ""
        described = {str(row.get("field_name")): row for row in plan.target_columns}
        sources: dict[str, dict[str, Any]] = {}
        if plan.query_sql is None:
            sources = {
                row["field_name"]: row for row in self._databases.columns(plan.source_url, plan.source_table)
            }
        columns = []
        for source, target in pairs:
            row = described.get(target) or sources.get(source) or {}
            columns.append(
                sa.Column(
                    target,
                    column_type(str(row.get("field_type") or ""), str(row.get("field_length") or "")),
                    nullable=str(row.get("null_able", "1")) != "0",
                    unique=(str(row.get("unique", "0")) == "1" and target in described) or None,
                )
            )
        sa.Table(name, sa.MetaData(), *columns, schema=schema or None).create(connection)
        connection.commit()
        return schema or None, name

    def _clear(self, connection: Connection, target: Target) -> None:
        began = time.monotonic()
        connection.execute(sa.delete(target.table))
        self._write_s += time.monotonic() - began

    # Cancelling

    def _cancelled(self) -> bool:
        return self._run.cancel.is_set()

    def _check_cancelled(self) -> None:
        if self._run.cancel.is_set():
            raise Cancelled

    def _on_cancel(self, connection: Connection) -> None:
        """Let a cancel break off a statement that takes long before its first row (SQLite)."""
        interrupt = getattr(raw_connection(connection), "interrupt", None)
        if interrupt is not None:
            self._run.interrupts.append(interrupt)


@contextmanager
def _failing_as(kind: type[Exception], cancelled: Any) -> Iterator[None]:
    """Database errors as failures of one side; broken off statements as the cancel they are."""
    try:
        yield
    except SQLAlchemyError as error:
        if cancelled():
            raise Cancelled from error
        raise kind(words(error)) from error
    except ImportError as error:
        raise CannotRun(f"The driver of this database is not installed: {error}.") from error


def open_target(
    databases: Databases, url: str, schema: str | None, name: str, columns: list[str], plain: bool
) -> Target:
    """Raises CannotRun if a column does not exist."""
    engine = databases.engine(url)
    table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine, resolve_fks=False)
    by_name = {column.name.lower(): column.name for column in table.columns}
    missing = [column for column in columns if column.lower() not in by_name]
    if missing:
        raise CannotRun(
            f"The target has no column {', '.join(missing)}; it has {', '.join(by_name.values())}.", 912
        )
    names = [by_name[column.lower()] for column in columns]
    if len(set(names)) != len(names):
        raise CannotRun("A column of the target is mapped twice.", 912)
    if plain:
        quote = engine.dialect.identifier_preparer
        marks = ", ".join("?" * len(names))
        listed = ", ".join(quote.quote_identifier(item) for item in names)
        statement: Any = f"INSERT INTO {quote.format_table(table)} ({listed}) VALUES ({marks})"
    else:
        statement = sa.insert(table)
    return Target(table, names, plain, statement)


def column_type(name: str, length: str) -> Any:
    """An SQLAlchemy type for a type name as the service writes it."""
    kind = name.upper().split("(")[0].strip()
    size = int(length) if length.isdigit() and int(length) > 0 else None
    if "CHAR" in kind:
        return sa.String(size or 255)
    if kind in ("BIGINT", "LONG", "INT8"):
        return sa.BigInteger()
    if kind.startswith(("INT", "SMALLINT", "TINYINT", "MEDIUMINT", "SERIAL")):
        return sa.Integer()
    if kind in ("NUMBER", "NUMERIC", "DECIMAL"):
        return sa.Numeric()
    if kind.startswith(("FLOAT", "DOUBLE", "REAL")):
        return sa.Float()
    if kind.startswith("BOOL"):
        return sa.Boolean()
    if kind == "DATE":
        return sa.Date()
    if kind.startswith(("DATETIME", "TIMESTAMP")):
        return sa.DateTime()
    if kind in ("JSON", "JSONB"):
        return sa.JSON()
    if "BLOB" in kind or "BINARY" in kind or kind in ("BYTEA", "RAW"):
        return sa.LargeBinary()
    return sa.Text()


def _escape(sql: str) -> str:
    """A colon in a text clause would begin a parameter."""
    return sql.replace("\\", "\\\\").replace(":", "\\:") if ":" in sql else sql


def words(error: BaseException) -> str:
    """What the database said, without the statement and its values."""
    original = getattr(error, "orig", None)
    return (
        str(original or error).strip().splitlines()[0][:500]
        if str(original or error)
        else type(error).__name__
    )


def batch_size(rows: Rows) -> int:
    """Bytes of the values: text in UTF-8, numbers 8, NULL 0, anything else as long as its text."""
    if not rows:
        return 0
    total = 0
    for column in zip(*rows, strict=True):
        kinds = set(map(type, column))
        nulls = type(None) in kinds
        kinds.discard(type(None))
        if kinds <= {int, float, bool}:
            total += 8 * (len(column) - (column.count(None) if nulls else 0))
        elif kinds == {str}:
            text = "".join(value for value in column if value is not None) if nulls else "".join(column)
            total += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        else:
            total += sum(map(_value_size, column))
    return total


def _value_size(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, (bytes, bytearray, memoryview)):
        return len(value)
    if isinstance(value, (int, float)):
        return 8
    text = str(value)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
