"""Lineage: datasets by OpenLineage's naming rules, columns, statistics; nothing where it is not installed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_fdi.client.auth import StaticTokenAuth
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.models import Datasource, TableMapping, Task
from airflow_provider_fdi.client.task_detail import (
    api_source,
    api_to_table,
    column,
    column_mapping,
    metadata_field,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.lineage import openlineage as lineage
from airflow_provider_fdi.lineage.openlineage import (
    Column,
    DatasetName,
    common_transfer,
    composite_transfers,
    dataset_name,
)
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor
from tests import taskinstance

INSTANCE = "fae7ff6c-8e07-4cf8-9e67-589cab2f017c"


def datasource(kind: str, **content: Any) -> Datasource:
    return Datasource("d1", "orders", kind, content=content)


def name(kind: str, thing: str | None, **content: Any) -> tuple[str, str]:
    named = dataset_name(datasource(kind, **content), thing, INSTANCE)
    return named.namespace, named.name


SERVER = {
    "host": "db.example.com",
    "port": "1234",
    "database_name": "shop",
    "user_name": "u",
    "password": "secret",
}


@pytest.mark.parametrize(
    ("kind", "table", "content", "expected"),
    [
        ("MYSQL", "shop.orders", SERVER, ("mysql://db.example.com:1234", "shop.orders")),
        ("MYSQL", "orders", SERVER, ("mysql://db.example.com:1234", "shop.orders")),
        ("MYSQL", "`shop`.`orders`", SERVER, ("mysql://db.example.com:1234", "shop.orders")),
        ("MYSQL", "shop.orders", {"host": "db"}, ("mysql://db:3306", "shop.orders")),
        ("TAURUS", "shop.orders", SERVER, ("mysql://db.example.com:1234", "shop.orders")),
        ("GaussDB(for MySQL)", "shop.orders", SERVER, ("mysql://db.example.com:1234", "shop.orders")),
        ("POSTGRESQL", "sales.orders", SERVER, ("postgres://db.example.com:1234", "shop.sales.orders")),
        ("POSTGRESQL", "orders", SERVER, ("postgres://db.example.com:1234", "shop.public.orders")),
        (
            "POSTGRESQL/OPENGAUSS",
            "a.b",
            {**SERVER, "port": ""},
            ("postgres://db.example.com:5432", "shop.a.b"),
        ),
        ("DWS", "dw.orders", SERVER, ("postgres://db.example.com:1234", "shop.dw.orders")),
        ("GAUSS200", "dw.orders", SERVER, ("postgres://db.example.com:1234", "shop.dw.orders")),
        ("ORACLE", "SALES.ORDERS", SERVER, ("oracle://db.example.com:1234", "shop.SALES.ORDERS")),
        (
            "ORACLE",
            "SALES.ORDERS",
            {
                "mode": "multiAddress",
                "multi_oracle_address": [
                    {"oracle_address": "ora1", "oracle_port": "1521"},
                    {"oracle_address": "ora2", "oracle_port": "1521"},
                ],
                "oracle_service_name": "svc",
            },
            ("oracle://ora1:1521", "svc.SALES.ORDERS"),
        ),
        ("SQLSERVER", "sales.orders", SERVER, ("mssql://db.example.com:1234", "shop.sales.orders")),
        ("SQL SERVER", "orders", SERVER, ("mssql://db.example.com:1234", "shop.dbo.orders")),
        ("DB2", "S.T", SERVER, ("db2://db.example.com:1234", "shop.S.T")),
        ("HIVE", "orders", SERVER, ("hive://db.example.com:1234", "shop.orders")),
        ("KAFKA", "orders", {"broker": "k1:9092,k2:9092"}, ("kafka://k1:9092", "orders")),
        ("OBS", "in/orders", {"bucket_name": "raw", "ak": "AK", "sk": "SK"}, ("obs://raw", "in/orders")),
        ("OBS", None, {"bucket_name": "raw"}, ("obs://raw", "/")),
        ("FTP", "/in", {"host": "f", "port": "22", "ftp_protocol": "sftp"}, ("sftp://f:22", "/in")),
        ("MONGODB", "orders", {"address": "m1:27017,m2:27017"}, ("mongodb://m1:27017", "orders")),
        ("API", None, {"url": "https://u:p@api.x/v1/o?token=t"}, ("https://api.x", "/v1/o")),
        ("MRSHIVE", "db.t", {"hdfs_path": "/x"}, (f"fdi://{INSTANCE}", "datasources/d1/db.t")),
        ("SAP", None, {}, (f"fdi://{INSTANCE}", "datasources/d1")),
    ],
)
def test_a_dataset_is_named_by_the_rules_for_its_kind(
    kind: str, table: str | None, content: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert name(kind, table, **content) == expected


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("MYSQL", "jdbc:mysql://h:3307/shop?useSSL=false", ("mysql://h:3307", "shop.t")),
        ("POSTGRESQL", "jdbc:postgresql://h/shop", ("postgres://h:5432", "shop.public.t")),
        ("ORACLE", "jdbc:oracle:thin:@h:1522:ORCL", ("oracle://h:1522", "ORCL.t")),
        ("ORACLE", "jdbc:oracle:thin:u/secret@//h:1522/svc", ("oracle://h:1522", "svc.t")),
        (
            "SQLSERVER",
            "jdbc:sqlserver://h:1433;encrypt=true;databaseName=shop",
            ("mssql://h:1433", "shop.dbo.t"),
        ),
        ("HIVE", "jdbc:hive2://h:10001/dw;ssl=true", ("hive://h:10001", "dw.t")),
        ("MYSQL", "mysql+pymysql://u:secret@h:3307/shop", ("mysql://h:3307", "shop.t")),
        ("MYSQL", "sqlite:////data/shop.db", ("sqlite:////data/shop.db", "t")),
        ("MYSQL", "who knows", (f"fdi://{INSTANCE}", "datasources/d1/t")),
    ],
)
def test_a_url_is_as_good_as_a_host(kind: str, url: str, expected: tuple[str, str]) -> None:
    assert name(kind, "t", mode="professional", url=url, user_name="u", password="secret") == expected


def test_no_name_holds_a_credential() -> None:
    names = [
        name("MYSQL", "t", mode="professional", url="jdbc:mysql://u:secret@h/db?password=secret"),
        name("API", None, url="https://u:secret@h/p?key=secret"),
        name("MYSQL", "t", **SERVER),
    ]
    assert "secret" not in str(names)


DETAIL = table_to_table(
    table_source("orders", [column("id", "BIGINT"), column("total", "DECIMAL", 10)]),
    table_target("dw_orders", [column("order_id", "BIGINT"), column("amount", "DECIMAL", 10)]),
    [column_mapping("id", "order_id"), column_mapping("total", "amount")],
)


def task(detail: dict[str, Any]) -> Task:
    import json

    return Task.from_wire({"task_id": "t1", "task_name": "orders", "task_detail": json.dumps(detail)})


def transfer(detail: dict[str, Any]) -> lineage.Transfer:
    return common_transfer(task(detail), datasource("MYSQL", **SERVER), datasource("DWS", **SERVER), INSTANCE)


def test_a_task_moves_its_table_column_by_column() -> None:
    moved = transfer(DETAIL)

    assert moved.source == DatasetName("mysql://db.example.com:1234", "shop.orders")
    assert moved.target == DatasetName("postgres://db.example.com:1234", "shop.public.dw_orders")
    assert moved.pairs == (("id", "order_id"), ("total", "amount"))
    assert moved.source_columns == (Column("id", "BIGINT"), Column("total", "DECIMAL"))


def test_the_spelling_of_answers_is_read_as_well() -> None:
    detail = {
        "source_selected_datasource": {"source_table": "orders"},
        "target_selected_datasource": {"target_table": "dw_orders"},
        "mapping_table": [{"source_column": "id", "target_column": "order_id"}],
    }

    assert transfer(detail).pairs == (("id", "order_id"),)
    assert transfer(detail).source.name == "shop.orders"


def test_fields_of_an_api_go_into_columns() -> None:
    detail = api_to_table(
        api_source([metadata_field(0, "orderNo")]),
        table_target("dw_orders", [column("id", "INT")]),
        {"orderNo": "id"},
    )

    moved = transfer(detail)

    assert moved.pairs == (("orderNo", "id"),)
    assert moved.source_columns == (Column("orderNo", "String"),)


def test_a_query_is_kept() -> None:
    detail = table_to_table(table_source("orders", [], sql="SELECT 1"), table_target("t", []), [])

    assert transfer(detail).sql == "SELECT 1"


@pytest.mark.parametrize(
    "text", [None, "", "not JSON", "[]", '{"mappingTable": 3, "sourceSelectedDatasource": []}']
)
def test_a_detail_that_cannot_be_read_still_names_the_data_sources(text: str | None) -> None:
    unread = Task.from_wire({"task_id": "t1", "task_name": "orders", "task_detail": text})

    moved = common_transfer(
        unread, datasource("MYSQL", **SERVER), datasource("OBS", bucket_name="b"), INSTANCE
    )

    assert moved.source == DatasetName(f"fdi://{INSTANCE}", "datasources/d1")
    assert moved.target == DatasetName("obs://b", "/")


def test_a_composite_task_has_a_transfer_for_each_mapped_table() -> None:
    mappings = [
        TableMapping.from_wire(
            {
                "id": str(n),
                "source_table": f"shop.t{n}",
                "target_table": f"dw.t{n}",
                "status": status,
                "mapping": [{"source_column": "a", "target_column": "b"}],
            }
        )
        for n, status in enumerate(["USING", "AUTO", "DELETE"])
    ]

    moved = composite_transfers(
        mappings, datasource("MYSQL", **SERVER), datasource("DWS", **SERVER), INSTANCE
    )

    assert [(m.source.name, m.target.name) for m in moved] == [
        ("shop.t0", "shop.dw.t0"),
        ("shop.t1", "shop.dw.t1"),
    ]
    assert moved[0].pairs == (("a", "b"),)


# --- in a task ----------------------------------------------------------------------------------------------


@pytest.fixture
def common_task(fdi_emulator: FdiEmulator, fdi_connection: str) -> str:
    """A task between two MySQL servers that its runs only claim to read."""
    source, target = (
        fdi_emulator.add_datasource(f"{side}-db", None, content={**SERVER, "host": side})
        for side in ("source", "target")
    )
    return fdi_emulator.add_task(
        source_datasource_id=source,
        target_datasource_id=target,
        task_detail=DETAIL,
        script={"rows": 42, "data_size": 2, "data_size_unit": "KB"},
    )


def finished_run(task_id: str) -> FdiRunTaskOperator:
    operator = FdiRunTaskOperator(task_id="run", fdi_task_id=task_id, poll_interval=0.05, deferrable=False)
    operator.execute(taskinstance.context(taskinstance.Store()))  # type: ignore[arg-type]
    return operator


def test_a_run_reports_inputs_outputs_columns_and_statistics(common_task: str) -> None:
    pytest.importorskip("airflow.providers.openlineage")

    reported = finished_run(common_task).get_openlineage_facets_on_complete(None)

    (source,), (target,) = reported.inputs, reported.outputs
    assert (source.namespace, source.name) == ("mysql://source:1234", "shop.orders")
    assert (target.namespace, target.name) == ("mysql://target:1234", "shop.dw_orders")
    assert [(f.name, f.type) for f in source.facets["schema"].fields] == [
        ("id", "BIGINT"),
        ("total", "DECIMAL"),
    ]
    (amount,) = target.facets["columnLineage"].fields["amount"].inputFields
    assert (amount.namespace, amount.name, amount.field) == ("mysql://source:1234", "shop.orders", "total")
    assert target.outputFacets["outputStatistics"].rowCount == 42
    assert target.outputFacets["outputStatistics"].size == 2048


def test_the_run_of_fdi_is_named(common_task: str, fdi_emulator: FdiEmulator) -> None:
    pytest.importorskip("airflow.providers.openlineage")

    reported = finished_run(common_task).get_openlineage_facets_on_complete(None)

    run_id = fdi_emulator.runs_started(common_task)[0]["run_id"]
    assert reported.run_facets["externalQuery"].externalQueryId == run_id
    assert reported.run_facets["externalQuery"].source == f"fdi://{fdi_emulator.instance_id}/{common_task}"


def test_openlineage_itself_takes_what_a_run_tells(common_task: str) -> None:
    extractors = pytest.importorskip("airflow.providers.openlineage.extractors.base")
    serde = pytest.importorskip("openlineage.client.serde")

    found = extractors.DefaultExtractor(finished_run(common_task)).extract_on_complete(None)

    assert "shop.dw_orders" in serde.Serde.to_json(found.outputs[0])


def test_a_sensor_reports_the_lineage_of_the_run_it_waited_for(
    common_task: str, fdi_emulator: FdiEmulator
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    fdi_emulator.add_run(common_task, data_count=7)
    sensor = FdiTaskSensor(task_id="wait", fdi_task_id=common_task, completed_after=None, deferrable=False)
    sensor.execute(taskinstance.context())  # type: ignore[arg-type]

    reported = sensor.get_openlineage_facets_on_complete(None)

    assert reported.outputs[0].outputFacets["outputStatistics"].rowCount == 7


def client(fdi: FdiEmulator) -> FdiClient:
    return FdiClient(fdi.url, fdi.project_id, fdi.instance_id, StaticTokenAuth(fdi.token))


def test_a_composite_task_reports_a_dataset_for_each_table(fdi_emulator: FdiEmulator, tmp_path: Any) -> None:
    import sqlite3

    pytest.importorskip("airflow.providers.openlineage")
    ids = []
    for side in ("source", "target"):
        with sqlite3.connect(tmp_path / f"{side}.db") as database:
            for table in ("orders", "items"):
                database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT)")
        ids.append(fdi_emulator.add_datasource(f"{side}-db", f"sqlite:///{tmp_path}/{side}.db"))
    fdi = client(fdi_emulator)
    init = fdi.init_composite_task(
        source_datasource_id=ids[0], target_datasource_id=ids[1], auto_mapping=True
    )[0]
    task_id = fdi.create_composite_task(task_name="cdc", operation_types=["INSERT"], task_id=init.task_id)

    reported = lineage.lineage_of(fdi, {"fdi_task_id": task_id, "rows": 10})

    assert reported is not None
    assert sorted(o.name.rpartition(".")[2] for o in reported.outputs) == ["items", "orders"]
    assert len(reported.inputs) == 2
    assert all(o.facets["columnLineage"].fields for o in reported.outputs)
    assert all(not o.outputFacets for o in reported.outputs)


def test_data_sources_that_may_not_be_seen_are_named_by_their_ids(
    common_task: str, fdi_emulator: FdiEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    operator = finished_run(common_task)
    fdi_emulator.fault("status", operation="ShowDataourceDetail", status=403, times=2)

    reported = operator.get_openlineage_facets_on_complete(None)

    assert reported.outputs[0].namespace == f"fdi://{fdi_emulator.instance_id}"
    assert "named by its id" in caplog.text


def test_lineage_that_cannot_be_had_is_a_warning_with_its_cause(
    common_task: str, fdi_emulator: FdiEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    operator = finished_run(common_task)
    fdi_emulator.fault("status", operation="ShowTask", status=403)

    assert operator.get_openlineage_facets_on_complete(None) is None
    assert f"No lineage for FDI task {common_task}: " in caplog.text


def test_a_task_without_a_run_has_no_lineage_and_asks_nobody(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    operator = FdiRunTaskOperator(task_id="run", fdi_task_id="t1")

    assert operator.get_openlineage_facets_on_complete(None) is None
    assert fdi_emulator.journal() == []


def test_a_run_reads_nothing_for_lineage_by_itself(common_task: str, fdi_emulator: FdiEmulator) -> None:
    finished_run(common_task)

    assert not {"ShowDataourceDetail", "ListMultiTaskMappings"} & set(fdi_emulator.journal_counts())


def test_without_openlineage_there_is_no_lineage_and_no_error(
    common_task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = finished_run(common_task)
    for module in [
        name for name in sys.modules if name.startswith(("airflow.providers.openlineage", "openlineage"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", None)
    monkeypatch.setitem(sys.modules, "openlineage", None)

    assert operator.get_openlineage_facets_on_complete(None) is None
