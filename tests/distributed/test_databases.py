"""The emulator between real databases: each clean row arrives with every value, each dirty one is counted."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import wait_until
from tests.distributed.servers import MariaDb, Postgres

ROWS = 200_000
BURST_EVERY, BURST = 20_000, 12
"""Dirty rows come in bursts: so many rows in a row, once in so many."""
DIRTY = ROWS // BURST_EVERY * BURST
LONGEST = 60
"""Characters of a customer's name that the target takes."""

METADATA = sa.MetaData()
BEGINNING = datetime.datetime(2024, 1, 1)


def orders(name: str, *constraints: Any) -> sa.Table:
    """A table of orders; `constraints` are those of the target."""
    strict = bool(constraints)
    return sa.Table(
        name,
        METADATA,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("code", sa.String(20), unique=strict),
        sa.Column("customer", sa.String(LONGEST if strict else 200), nullable=not strict),
        sa.Column("quantity", sa.Integer),
        sa.Column("price", sa.Numeric(12, 2)),
        sa.Column("weight", sa.Double if hasattr(sa, "Double") else sa.Float),
        sa.Column("changed", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")),
        sa.Column("due", sa.Date),
        sa.Column("paid", sa.Boolean),
        sa.Column("seal", sa.LargeBinary),
        sa.Column("note", sa.Text),
        *constraints,
    )


SOURCE = orders("orders")
TARGET = orders(
    "sales",
    sa.CheckConstraint("quantity >= 0", name="quantity_not_negative"),
    # SQLite does not keep to the length of a column. MariaDB counts bytes here; clean texts are short enough.
    sa.CheckConstraint(f"length(customer) <= {LONGEST}", name="customer_not_longer"),
)


def reason(n: int) -> int | None:
    """Why the target refuses row `n`, one of four reasons; None: it does not."""
    return n % 4 if n % BURST_EVERY >= BURST_EVERY - BURST else None


def rows() -> Iterator[tuple[Any, ...]]:
    """The rows of the source."""
    for n in range(1, ROWS + 1):
        customer: str | None = f"Kunde {n} “客户” 😀 100% :a \\"
        if reason(n) == 0:
            customer = None
        elif reason(n) == 1:
            customer = "x" * (LONGEST + 1)
        yield (
            n,
            f"A{1 if reason(n) == 2 else n}",
            customer,
            -1 if reason(n) == 3 else n % 100,
            Decimal(n * 37 % 100_000_000) / 100,
            n / 8,
            BEGINNING + datetime.timedelta(seconds=n, microseconds=n % 1000 * 1000 + 1),
            BEGINNING.date() + datetime.timedelta(days=n % 3000),
            n % 2 == 0,
            n.to_bytes(4, "big") + b"\x00\xff",
            None if n % 3 else f"line\n{n}\t'quoted' \"twice\"",
        )


def digest(found: Iterable[Any]) -> tuple[int, str]:
    """How many rows, and a fingerprint of all their values, whatever types the database returns them in."""
    fingerprint, count = hashlib.sha256(), 0
    for id_, code, customer, quantity, price, weight, changed, due, paid, seal, note in found:
        count += 1
        values = (int(id_), code, customer, int(quantity), f"{price:.2f}", float(weight))
        more = (changed.isoformat(), due.isoformat(), bool(paid), bytes(seal), note)
        fingerprint.update(repr(values + more).encode())
    return count, fingerprint.hexdigest()


@dataclass(frozen=True)
class Database:
    """A database with the source table in it, known to the emulator as a data source."""

    name: str
    engine: sa.Engine
    datasource: str


@pytest.fixture(scope="module")
def fdi() -> Iterator[FdiEmulator]:
    with FdiEmulator.start() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def databases(
    fdi: FdiEmulator, folder: Path, postgres: Postgres, mariadb: MariaDb
) -> Iterator[Mapping[str, Database]]:
    """PostgreSQL, MariaDB and SQLite, by name."""
    postgres.create("fdi")
    mariadb.create("fdi")
    file = folder / "orders.db"

    def server(port: int, user: str) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": port, "database_name": "fdi", "user_name": user}

    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "PostgreSQL": (postgres.url("fdi"), "POSTGRESQL", server(postgres.port, "airflow")),
        "MariaDB": (mariadb.url("fdi"), "MYSQL", server(mariadb.port, "root")),
        "SQLite": (f"sqlite:///{file}", "MYSQL", {"url": f"sqlite:///{file}"}),
    }
    found = {}
    for name, (url, kind, content) in kinds.items():
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        SOURCE.create(engine)
        names = [column.name for column in SOURCE.columns]
        with engine.begin() as connection:
            connection.execute(sa.insert(SOURCE), [dict(zip(names, row, strict=True)) for row in rows()])
        found[name] = Database(name, engine, fdi.add_datasource(name, None, kind, content=content))
    yield found
    for database in found.values():
        database.engine.dispose()


@pytest.fixture
def target(databases: Mapping[str, Database], request: pytest.FixtureRequest) -> Iterator[Database]:
    """The database in which the test has an empty target table."""
    database = databases[request.getfixturevalue("to")]
    TARGET.create(database.engine)
    yield database
    TARGET.drop(database.engine)


@pytest.fixture(scope="module")
def clean_rows() -> tuple[int, str]:
    return digest(row for row in rows() if reason(row[0]) is None)


def add_copy(fdi: FdiEmulator, source: Database, target: Database) -> str:
    """An FDI task that copies `orders` to `sales`; its id."""
    detail = {
        "sourceSelectedDatasource": {"sourceTable": SOURCE.name},
        "targetSelectedDatasource": {"targetTable": TARGET.name},
    }
    return fdi.add_task(
        source_datasource_id=source.datasource,
        target_datasource_id=target.datasource,
        task_detail=json.dumps(detail),
    )


PAIRS = [
    (source, target)
    for source in ("PostgreSQL", "MariaDB", "SQLite")
    for target in ("PostgreSQL", "MariaDB", "SQLite")
    if source != target
]


@pytest.mark.parametrize(("source", "to"), PAIRS, ids=[" to ".join(pair) for pair in PAIRS])
def test_every_clean_row_arrives_whole(
    fdi: FdiEmulator,
    databases: Mapping[str, Database],
    target: Database,
    clean_rows: tuple[int, str],
    source: str,
    to: str,
    report: Callable[[str], None],
) -> None:
    task = add_copy(fdi, databases[source], target)

    fdi.request("POST", f"tasks/{task}/run")

    run = wait_until(
        lambda: [row for row in fdi.runs(task) if row["end_time"]], 120, f"the copy from {source} to {to}"
    )[0]
    assert run["execute_status"] == "SUCCESS", run
    assert (run["data_count"], run["dirty_data_count"]) == (ROWS - DIRTY, DIRTY)
    with target.engine.connect() as connection:
        found = connection.execution_options(stream_results=True).execute(sa.select(TARGET).order_by("id"))
        assert digest(found) == clean_rows
    seconds = (run["end_time"] - run["start_time"]) / 1000
    report(
        f"{source} to {to}: {run['data_count']} rows, {run['dirty_data_count']} dirty ones, {seconds:.0f} s"
    )
