"""Copying rows from a table (or a SELECT) to a table, in batches, with true counts, sizes and times.

At most two batches are in memory. Every batch is committed: a run that fails or is cancelled leaves what it
has written, and its count says how much.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_fdi.emulator.constants import NODE_END, SUCCESS_REMARKS, TASK_END, WRITER
from airflow_provider_fdi.emulator.engine.databases import (
    Databases,
    check_select,
    is_sqlite,
    raw_connection,
)
from airflow_provider_fdi.emulator.engine.plan import Plan
from airflow_provider_fdi.emulator.engine.writing import (
    Rows,
    Target,
    Writer,
    batch_size,
    column_type,
    open_target,
    read_failed,
    reading,
    writing,
)
from airflow_provider_fdi.emulator.service.runner import Job, RunFailed
from airflow_provider_fdi.emulator.service.timezones import parse_timezone


def copy(job: Job, plan: Plan, databases: Databases) -> str:
    """Carry out one run of a common task; the remarks of its success. Raises RunFailed, RunCancelled."""
    return _Copy(job, plan, databases).carry_out()


class _Copy:
    def __init__(self, job: Job, plan: Plan, databases: Databases) -> None:
        self._job = job
        self._task = job.task
        self._run = job.run
        self._plan = plan
        self._databases = databases
        self._both_sqlite = is_sqlite(plan.source_url) and is_sqlite(plan.target_url)
        self._read = 0
        self._read_s = 0.0
        self._write_s = 0.0
        # greatest value of the date column so far
        self._latest: Any = job.task.watermark
        # sourceDateColumn in the source's own spelling
        self._date: str | None = None

    def carry_out(self) -> str:
        job, run, plan = self._job, self._run, self._plan
        job.step(100)
        pairs = self._columns()
        # With one SQLite file on both sides, the reader keeps the writer from committing before the end.
        same_file = (
            self._both_sqlite and make_url(plan.source_url).database == make_url(plan.target_url).database
        )
        committed = (0, 0, 0)
        started = False
        with (
            writing(job),
            self._databases.writer(plan.target_url, may_create=plan.create) as connection,
        ):
            target = self._prepare_target(connection, pairs)
            writer = Writer(connection, target)
            with closing(self._batches(pairs)) as batches:
                job.step(102)
                batch = self._next(batches)
                if plan.clear:
                    self._clear(connection, target)
                try:
                    while batch is not None:
                        following = self._next(batches)
                        if following is None:
                            self._reader_ended()
                        if not started:
                            job.step(500)
                            job.step(502)
                            started = True
                        began = time.monotonic()
                        refused = writer.write(batch)
                        commit = not same_file or following is None
                        if commit:
                            connection.commit()
                        self._write_s += time.monotonic() - began
                        run.read_ms, run.write_ms = int(self._read_s * 1000), int(self._write_s * 1000)
                        job.count(
                            len(batch) - len(refused), len(refused), batch_size(batch) - batch_size(refused)
                        )
                        if commit:
                            committed = (run.rows, run.dirty, run.size)
                        batch = following
                    if not started:
                        connection.commit()
                finally:
                    # Rows that were not committed do not count.
                    with job.runner.store.lock:
                        run.rows, run.dirty, run.size = committed
        if self._read == 0:
            job.step(105)
            self._reader_ended()
        if started:
            job.step(504)
            job.step(501, NODE_END)
        job.step(901, TASK_END, position=WRITER)
        if plan.date_column and self._latest is not None:
            self._task.watermark = self._latest
        if run.dirty:
            return f"{SUCCESS_REMARKS}. {run.dirty} dirty rows; the first: {writer.first_refusal}"
        return SUCCESS_REMARKS

    # Reading

    def _columns(self) -> list[tuple[str, str]]:
        """The column pairs, with the source's own spelling; checked against both tables."""
        plan = self._plan
        if plan.query_sql is not None:
            try:
                available = self._databases.select_names(plan.source_url, plan.query_sql)
            except ValueError as error:
                raise RunFailed(f"querySql is not accepted: {error}.") from error
            except self._databases.errors as error:
                raise read_failed(error) from error
        else:
            try:
                available = [
                    row["field_name"] for row in self._databases.columns(plan.source_url, plan.source_table)
                ]
            except LookupError:
                raise RunFailed(f"The source has no table {plan.source_table}.") from None
            except self._databases.errors as error:
                raise read_failed(error) from error
        by_name = {name.lower(): name for name in available}
        pairs = list(plan.pairs) or [(name, name) for name in available]
        missing = [name for name, _ in pairs if name.lower() not in by_name]
        if missing:
            raise RunFailed(f"The source has no column {', '.join(missing)}; it has {', '.join(available)}.")
        if plan.date_column and plan.date_column.lower() not in by_name:
            raise RunFailed(f"The source has no column {plan.date_column} (sourceDateColumn).")
        self._date = by_name[plan.date_column.lower()] if plan.date_column else None
        return [(by_name[source.lower()], target) for source, target in pairs]

    def _batches(self, pairs: list[tuple[str, str]]) -> Generator[Rows, None, None]:
        """Batches of rows in the order of `pairs`. Raises RunFailed, RunCancelled."""
        plan = self._plan
        with reading(self._job), self._databases.reader(plan.source_url) as connection:
            # A cancel breaks off a statement that takes long before its first row (SQLite).
            interrupt = getattr(raw_connection(connection), "interrupt", None)
            if interrupt is not None:
                self._run.interrupts.append(interrupt)
            connection = connection.execution_options(stream_results=True, max_row_buffer=plan.batch)
            names = [source for source, _ in pairs]
            wanted = [*names]
            if self._date is not None and self._date not in names:
                wanted.append(self._date)
            extra = len(wanted) > len(names)
            result = self._select(connection, wanted)
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

    def _select(self, connection: Connection, names: list[str]) -> Any:
        plan = self._plan
        if plan.query_sql is not None:
            statement = check_select(plan.query_sql)
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
        columns: list[Any] = [
            sa.column(item) if self._both_sqlite else sa.column(item, kinds[item]) for item in names
        ]
        query = sa.select(*columns).select_from(sa.table(name, schema=schema))
        for condition in plan.where:
            if ";" in condition:
                raise RunFailed(f"The filter {condition!r} is not accepted: it holds more than a condition.")
            query = query.where(sa.text(f"({_escape(condition)})"))
        if self._date is not None:
            condition, parameters = self._since(kinds.get(self._date))
            query = query.where(sa.text(condition).bindparams(**parameters))
        if plan.order:
            column: Any = sa.column(plan.order)
            query = query.order_by(column.desc() if plan.descending else column.asc())
        return connection.execute(query)

    def _since(self, kind: Any) -> tuple[str, dict[str, Any]]:
        """The condition on the date column: from dataTimestamp at first, then later than what was read."""
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
        sqlite_source = is_sqlite(self._plan.source_url)
        if isinstance(kind, sa.Date) and not isinstance(kind, sa.DateTime):
            return moment.date().isoformat() if sqlite_source else moment.date()
        if isinstance(kind, sa.DateTime) and not sqlite_source:
            return moment
        # SQLite keeps times as text; their order is that of the text.
        return moment.isoformat(sep=" ", timespec="microseconds" if moment.microsecond else "seconds")

    def _next(self, batches: Iterator[Rows]) -> Rows | None:
        self._job.check_cancelled()
        began = time.monotonic()
        rows = next(batches, None)
        self._read_s += time.monotonic() - began
        if rows is not None:
            self._read += len(rows)
            self._run.read_ms = int(self._read_s * 1000)
        return rows

    def _reader_ended(self) -> None:
        for code in (104, 101):
            self._job.step(code, NODE_END).rows = self._read

    # Writing

    def _prepare_target(self, connection: Connection, pairs: list[tuple[str, str]]) -> Target:
        plan = self._plan
        try:
            schema, name = self._databases.find_table(plan.target_url, plan.target_table)
        except LookupError:
            if not plan.create:
                raise RunFailed(f"The target has no table {plan.target_table}.", 912) from None
            schema, name = self._create_table(connection, pairs)
        except SQLAlchemyError:
            # A database file that does not exist yet.
            if not plan.create:
                raise
            schema, name = self._create_table(connection, pairs)
        columns = [target for _, target in pairs]
        return open_target(self._databases, plan.target_url, schema, name, columns, self._both_sqlite)

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


def _escape(sql: str) -> str:
    """A colon in a text clause would begin a parameter."""
    return sql.replace("\\", "\\\\").replace(":", "\\:") if ":" in sql else sql
