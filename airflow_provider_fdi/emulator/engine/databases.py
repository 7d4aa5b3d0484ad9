"""The databases behind data sources, through SQLAlchemy: SQLite, PostgreSQL and MySQL.

SQL that came with a request can only read: it must be one SELECT (or WITH ... SELECT), and the connection
that executes it refuses everything else, on SQLite by an authorizer and `query_only`, on PostgreSQL and MySQL
by a read-only transaction.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from airflow_provider_fdi.emulator.validation import check_url

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
_SQLITE_SCHEMAS = ("main", "temp")
_READ_ONLY_TRANSACTION = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


class DatabaseMissing(SQLAlchemyError):
    """There is no database at the URL, or none that this emulator can connect to."""


def check_select(sql: str) -> str:
    """The statement without a closing semicolon. Raises ValueError unless it is one statement that reads."""
    bare = _QUOTED.sub("''", _COMMENT.sub(" ", sql)).strip().rstrip(";").strip()
    if not bare:
        raise ValueError("the SQL statement is empty")
    if ";" in bare:
        raise ValueError("only one SQL statement is accepted")
    word = re.match(r"[(\s]*([A-Za-z]+)", bare)
    if word is None or word[1].upper() not in ("SELECT", "WITH", "VALUES"):
        raise ValueError("only a SELECT is accepted: SQL of a request never writes")
    return sql.strip().rstrip(";").strip()


class Databases:
    """The databases by URL, each with an engine that is made when it is first needed."""

    errors: tuple[type[Exception], ...] = (SQLAlchemyError, NoSuchModuleError, ImportError, sqlite3.Error)
    # errors of a statement, those found before it is executed included
    refusals: tuple[type[Exception], ...] = (ValueError, *errors)

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def engine(self, url: str) -> Engine:
        """The engine of a database."""
        with self._lock:
            engine = self._engines.get(url)
            if engine is None:
                engine = self._engines[url] = _engine(url)
            return engine

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def probe(self, url: str) -> None:
        """Raises one of `errors` if the database cannot be used."""
        with self.reader(url) as connection:
            connection.exec_driver_sql("SELECT 1").fetchall()

    def tables(self, url: str, schema: str | None = None) -> list[str]:
        """The names of all tables, as schema.table."""
        _must_exist(url)
        inspector = sa.inspect(self.engine(url))
        name = schema or inspector.default_schema_name or "main"
        return sorted(f"{name}.{table}" for table in inspector.get_table_names(schema=schema))

    def find_table(self, url: str, text: str) -> tuple[str | None, str]:
        """Schema and name of a table given as `table` or `schema.table`, case-exact or else not.

        Raises LookupError. SQLite has no schemas: an unknown one is taken for the database's name there.
        """
        _must_exist(url)
        inspector = sa.inspect(self.engine(url))
        schema: str | None
        schema, _, name = text.rpartition(".")
        if inspector.dialect.name == "sqlite" and schema.lower() not in _SQLITE_SCHEMAS:
            schema = None
        schema = schema or None
        known = {schema}
        if schema is not None and schema not in inspector.get_schema_names():
            known = {row for row in inspector.get_schema_names() if row.lower() == schema.lower()}
        for candidate in known:
            names = [
                *inspector.get_table_names(schema=candidate),
                *inspector.get_view_names(schema=candidate),
            ]
            if name in names:
                return candidate, name
            for row in names:
                if row.lower() == name.lower():
                    return candidate, row
        raise LookupError(text)

    def columns(self, url: str, table: str) -> list[dict[str, Any]]:
        """ColumnInfo of a table. Raises LookupError if there is no such table."""
        schema, name = self.find_table(url, table)
        inspector = sa.inspect(self.engine(url))
        # Before the key: SQLAlchemy 1.4 sorts the very list while it looks for the key.
        found = list(inspector.get_columns(name, schema=schema))
        primary = set(inspector.get_pk_constraint(name, schema=schema).get("constrained_columns") or ())
        unique = {
            constraint["column_names"][0]
            for constraint in inspector.get_unique_constraints(name, schema=schema)
            if len(constraint["column_names"]) == 1
        }
        rows = []
        for column in found:
            kind = column["type"]
            length = getattr(kind, "length", None) or getattr(kind, "precision", None)
            decimals = getattr(kind, "scale", None)
            key = column["name"] in primary
            rows.append(
                {
                    "field_name": column["name"],
                    "field_type": str(kind).split("(")[0],
                    "field_length": str(length or 0),
                    "null_able": "1" if column.get("nullable", True) and not key else "0",
                    "is_partition": False,
                    "primary": "1" if key else "0",
                    "unique": "1" if column["name"] in unique or (key and len(primary) == 1) else "0",
                    "decimal_digits": None if decimals is None else str(decimals),
                }
            )
        return rows

    def describe(self, url: str, sql: str) -> list[dict[str, Any]]:
        """The columns of a SELECT. Raises ValueError for anything else, and what the database says."""
        statement = check_select(sql)
        with self.reader(url) as connection:
            result = connection.exec_driver_sql(statement)
            names, row = list(result.keys()), result.fetchone()
            result.close()
        kinds = {int: "INTEGER", float: "DOUBLE", bytes: "BLOB", bool: "BOOLEAN"}
        return [
            {
                "field_name": name,
                "field_type": kinds.get(type(row[index]), "VARCHAR") if row is not None else "VARCHAR",
                "field_length": "0",
                "null_able": "1",
                "is_partition": False,
                "primary": "0",
                "unique": "0",
                "decimal_digits": None,
            }
            for index, name in enumerate(names)
        ]

    def select_names(self, url: str, sql: str) -> list[str]:
        """The names of a SELECT's columns, without executing more of it than needed. Raises ValueError."""
        statement = check_select(sql)
        with self.reader(url) as connection:
            result = connection.exec_driver_sql(f"SELECT * FROM ({statement}) fdi_query LIMIT 0")
            names = list(result.keys())
            result.close()
        return names

    @contextmanager
    def reader(self, url: str) -> Iterator[Connection]:
        """A connection that cannot write."""
        _must_exist(url)
        with self.engine(url).connect() as connection:
            _forbid_writing(connection)
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def writer(self, url: str, *, may_create: bool = False) -> Iterator[Connection]:
        """A connection for the emulator's own statements; the caller commits."""
        if not may_create:
            _must_exist(url)
        with self.engine(url).connect() as connection:
            try:
                yield connection
            finally:
                connection.rollback()


def raw_connection(connection: Connection) -> Any:
    """The DBAPI connection."""
    return connection.connection.dbapi_connection


def is_sqlite(url: str) -> bool:
    """Whether the database is SQLite."""
    return make_url(url).get_backend_name() == "sqlite"


def _engine(url: str) -> Engine:
    try:
        # Nothing would keep the SQL of a request from writing to another database.
        parsed = make_url(check_url(url))
    except ValueError as error:
        raise DatabaseMissing(str(error)) from None
    options: dict[str, Any] = {"poolclass": NullPool, "future": True}
    if parsed.get_backend_name() == "sqlite":
        # Other runs may write to the same file: wait for them.
        options["connect_args"] = {"timeout": 60, "check_same_thread": False}
    engine = sa.create_engine(parsed, **options)
    if parsed.get_backend_name() == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def plain_transactions(connection: Any, record: Any) -> None:
            # The driver's own handling of transactions breaks savepoints.
            connection.isolation_level = None

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine


def _must_exist(url: str) -> None:
    """SQLite would create an empty file where there is none."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        file = parsed.database
        if file and file != ":memory:" and not file.startswith("file:") and not os.path.exists(file):
            raise DatabaseMissing(f"there is no database file {os.path.basename(file)}")


def _forbid_writing(connection: Connection) -> None:
    name = connection.dialect.name
    if name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only=ON")
        raw_connection(connection).set_authorizer(_authorize)
    else:
        connection.exec_driver_sql(_READ_ONLY_TRANSACTION[name])
        if name in ("mysql", "mariadb"):
            # It holds from the next transaction on.
            connection.commit()


_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_RECURSIVE,
}


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() == "load_extension" else sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
