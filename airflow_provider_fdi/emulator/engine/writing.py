"""Writing rows to a table: sorting out the rows that it refuses, and measuring the others.

A row that the target refuses is dirty: its batch is halved under savepoints until only refused rows are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from airflow_provider_fdi.emulator.engine.databases import Databases
from airflow_provider_fdi.emulator.service.runner import Job, RunFailed

Rows = list[tuple[Any, ...]]
# What a database says of a row it does not take; any other error is a failure of the target.
_ROW_REFUSED = (IntegrityError, DataError, InterfaceError, ProgrammingError)
# MySQL's and MariaDB's numbers for such rows. PyMySQL raises OperationalError, as for a lost connection:
# no default, wrong value for the type (twice), out of range, invalid JSON, a CHECK that fails (twice).
_ROW_REFUSED_BY_MYSQL = frozenset({1364, 1292, 1411, 1690, 3140, 3819, 4025})


def read_failed(error: BaseException) -> RunFailed:
    """The source failed; the text is the database's."""
    return RunFailed(f"Reading from the source failed: {words(error)}", 103)


def write_failed(error: BaseException) -> RunFailed:
    """The target failed; the text is the database's."""
    return RunFailed(f"Writing to the destination failed: {words(error)}", 503)


@contextmanager
def reading(job: Job) -> Iterator[None]:
    """Turn errors of the source into RunFailed, or into RunCancelled if a cancel caused them."""
    with _failing(job, read_failed):
        yield


@contextmanager
def writing(job: Job) -> Iterator[None]:
    """Turn errors of the target into RunFailed, or into RunCancelled if a cancel caused them."""
    with _failing(job, write_failed):
        yield


@contextmanager
def _failing(job: Job, failure: Any) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        job.check_cancelled()
        raise failure(error) from error
    except ImportError as error:
        raise RunFailed(f"The driver of this database is not installed: {error}.") from error


@dataclass
class Target:
    """A table to insert into, with its columns in the order of the rows' values."""

    table: sa.Table
    columns: list[str]
    plain: bool
    statement: Any

    def insert(self, connection: Connection, rows: Rows) -> None:
        """Insert rows."""
        if self.plain:
            connection.exec_driver_sql(self.statement, rows)
        else:
            connection.execute(self.statement, [dict(zip(self.columns, row, strict=True)) for row in rows])


class Writer:
    """Inserts batches, leaving out the rows that the target refuses."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._target = target
        self.first_refusal = ""

    def write(self, rows: Rows) -> Rows:
        """Insert rows; the ones that were refused. Raises RunFailed if the target itself fails."""
        if not rows:
            return []
        savepoint = self._connection.begin_nested()
        try:
            self._target.insert(self._connection, rows)
        except _ROW_REFUSED as error:
            savepoint.rollback()
            return self._refused(rows, error)
        except DBAPIError as error:
            if _mysql_code(error) not in _ROW_REFUSED_BY_MYSQL:
                raise write_failed(error) from error
            savepoint.rollback()
            return self._refused(rows, error)
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


def _mysql_code(error: DBAPIError) -> Any:
    """The number of a MySQL error; of another database's, whatever comes first."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments else None


def open_target(
    databases: Databases, url: str, schema: str | None, name: str, columns: list[str], plain: bool
) -> Target:
    """A table of the target as it is there. Raises RunFailed if a column does not exist."""
    engine = databases.engine(url)
    table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine, resolve_fks=False)
    by_name = {column.name.lower(): column.name for column in table.columns}
    missing = [column for column in columns if column.lower() not in by_name]
    if missing:
        raise RunFailed(
            f"The target has no column {', '.join(missing)}; it has {', '.join(by_name.values())}.", 912
        )
    names = [by_name[column.lower()] for column in columns]
    if len(set(names)) != len(names):
        raise RunFailed("A column of the target is mapped twice.", 912)
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
