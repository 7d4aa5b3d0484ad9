"""Datasets are named as OpenLineage's own SQL providers name the same tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.lineage.openlineage import read_transfers
from tests.distributed.servers import MariaDb, Postgres


@pytest.fixture(scope="module")
def fdi() -> Iterator[FdiEmulator]:
    with FdiEmulator.start() as emulator:
        yield emulator


def names_in_sql(hook: Any, sql: str) -> list[set[tuple[str, str]]]:
    """Namespace and name of the tables that a statement reads and writes, by OpenLineage's provider."""
    # Deferred: only the environment of these tests is sure to have it.
    from airflow.providers.openlineage.sqlparser import SQLParser

    connection = hook.get_connection(hook.get_conn_id())
    parser = SQLParser(
        dialect=hook.get_openlineage_database_dialect(connection),
        default_schema=hook.get_openlineage_default_schema(),
    )
    found = parser.generate_openlineage_metadata_from_sql(
        sql=sql,
        hook=hook,
        database_info=hook.get_openlineage_database_info(connection),
        database=None,
        sqlalchemy_engine=hook.get_sqlalchemy_engine(),
    )
    return [{(row.namespace, row.name) for row in rows} for rows in (found.inputs, found.outputs)]


def names_in_fdi(
    fdi: FdiEmulator, kind: str, port: int, user: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> list[set[tuple[str, str]]]:
    """The same by this package, of an FDI task that copies `ordered` to `target`."""
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi.connection_json())
    content = {"host": "127.0.0.1", "port": port, "database_name": "shop", "user_name": user}
    datasource = fdi.add_datasource(f"{kind} {target}", None, kind, content=content)
    task = fdi.add_task(
        source_datasource_id=datasource,
        target_datasource_id=datasource,
        task_detail=json.dumps(
            {
                "sourceSelectedDatasource": {"sourceTable": "ordered"},
                "targetSelectedDatasource": {"targetTable": target},
            }
        ),
    )
    (transfer,) = read_transfers(FdiHook().get_conn(), task)
    return [{tuple(asdict(name).values())} for name in (transfer.source, transfer.target)]


def create_tables(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for table in ("ordered", "sold"):
            connection.execute(sa.text(f"CREATE TABLE {table} (id integer, name varchar(20))"))


@pytest.fixture(scope="module")
def postgres_shop(postgres: Postgres) -> int:
    """The port of a PostgreSQL with the tables."""
    postgres.create("shop")
    create_tables(postgres.url("shop"))
    return postgres.port


@pytest.fixture(scope="module")
def mariadb_shop(mariadb: MariaDb) -> int:
    """The port of a MariaDB with the tables."""
    mariadb.create("shop")
    create_tables(mariadb.url("shop"))
    return mariadb.port


@pytest.mark.parametrize("target", ["sold", "public.sold"])
def test_tables_of_postgresql(
    fdi: FdiEmulator, postgres_shop: int, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Deferred, as below: only the environment of these tests has this provider.
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"postgres://airflow@127.0.0.1:{postgres_shop}/shop")

    expected = names_in_sql(PostgresHook("shop"), f"INSERT INTO {target} SELECT id, name FROM ordered")

    namespace = f"postgres://127.0.0.1:{postgres_shop}"
    assert expected == [{(namespace, "shop.public.ordered")}, {(namespace, "shop.public.sold")}]
    assert names_in_fdi(fdi, "POSTGRESQL", postgres_shop, "airflow", target, monkeypatch) == expected


def test_tables_of_mariadb(fdi: FdiEmulator, mariadb_shop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    monkeypatch.setenv(
        "AIRFLOW_CONN_SHOP", f"mysql://root@127.0.0.1:{mariadb_shop}/shop?client=mysql-connector-python"
    )

    expected = names_in_sql(MySqlHook("shop"), "INSERT INTO sold SELECT id, name FROM ordered")

    namespace = f"mysql://127.0.0.1:{mariadb_shop}"
    assert expected == [{(namespace, "shop.ordered")}, {(namespace, "shop.sold")}]
    assert names_in_fdi(fdi, "MYSQL", mariadb_shop, "root", "sold", monkeypatch) == expected
