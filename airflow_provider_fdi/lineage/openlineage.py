"""OpenLineage for runs: which dataset was copied into which, column by column, and how many rows.

Only :func:`read_transfers` and :func:`lineage_of` send requests. This module is imported only when
OpenLineage asks a task for its facets.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.client.models import Datasource, TableMapping, Task
from airflow_provider_fdi.runs.polling import task_state

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A dataset by OpenLineage's naming rules."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One dataset that a task moves into another."""

    source: DatasetName
    target: DatasetName
    source_columns: tuple[Column, ...] = ()
    target_columns: tuple[Column, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    """Source column and target column."""
    sql: str | None = None


# --- names ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Engine:
    """How OpenLineage names the tables of a database."""

    scheme: str
    port: str
    levels: int
    """Parts of a table's name: database.table is 2, database.schema.table 3."""
    schema: str | None = None
    """The schema of a table that is given without one."""


MYSQL = Engine("mysql", "3306", 2)
POSTGRES = Engine("postgres", "5432", 3, "public")
ENGINES = {
    "MYSQL": MYSQL,
    "TAURUS": MYSQL,
    "GAUSSDB(FORMYSQL)": MYSQL,
    "POSTGRESQL": POSTGRES,
    # GaussDB(DWS) speaks PostgreSQL's protocol, and other tools name its tables so.
    "DWS": POSTGRES,
    "GAUSS200": POSTGRES,
    "ORACLE": Engine("oracle", "1521", 3),
    "SQLSERVER": Engine("mssql", "1433", 3, "dbo"),
    "DB2": Engine("db2", "50000", 3),
    "HANA": Engine("hana", "30015", 3),
    "GAUSS100": Engine("gauss100", "1888", 3),
    "HIVE": Engine("hive", "10000", 2),
    "MRSHIVE": Engine("hive", "10000", 2),
    "FIHIVE": Engine("hive", "10000", 2),
    "CLICKHOUSE": Engine("clickhouse", "9000", 2),
}

JDBC = (
    re.compile(
        r"jdbc:oracle:thin:(?:[^@]*)@(?://)?(?P<host>[^:/?]+)(?::(?P<port>\d+))?[:/](?P<database>[^?;]+)"
    ),
    re.compile(
        r"jdbc:sqlserver://(?P<host>[^:;/]+)(?::(?P<port>\d+))?(?:.*;\s*database(?:Name)?=(?P<database>[^;]+))?",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:jdbc:)?[\w+]+://(?:[^@/]*@)?(?P<host>[^:/?;,]+)(?::(?P<port>\d+))?[^/]*(?:/(?P<database>[^?;]*))?"
    ),
)


def dataset_name(datasource: Datasource, thing: str | None, instance_id: str) -> DatasetName:
    """The name of a table, topic, bucket or address in a data source.

    Where OpenLineage has no rule, or the data source lacks the details, the name is made of FDI's ids:
    ``fdi://<instance>``, the data source and the object in it. A name never contains credentials.
    """
    content = datasource.content or {}
    kind = (datasource.datasource_type or "").upper().replace(" ", "").split("/")[0]
    named = None
    if kind in ENGINES:
        named = _table_name(ENGINES[kind], content, thing)
    elif kind in ("KAFKA", "MRSKAFKA", "FIKAFKA"):
        broker = str(content.get("broker") or "").split(",")[0].strip()
        named = DatasetName(f"kafka://{broker}", thing) if broker and thing else None
    elif kind == "OBS" and content.get("bucket_name"):
        named = DatasetName(f"obs://{content['bucket_name']}", thing or "/")
    elif kind == "API":
        named = _address_name(content.get("url"))
    elif kind == "FTP" and content.get("host"):
        protocol = content.get("ftp_protocol") or content.get("protocol") or "ftp"
        named = DatasetName(f"{protocol}://{_host_port(content, '')}", thing or "/")
    elif kind == "MONGODB" and content.get("address"):
        address = str(content["address"]).split(",")[0].strip()
        database = content.get("database_name")
        named = DatasetName(f"mongodb://{address}", ".".join(filter(None, (database, thing))) or "/")
    if named is not None:
        return named
    name = "/".join(filter(None, ("datasources", datasource.datasource_id, thing)))
    return DatasetName(f"fdi://{instance_id}", name)


def _table_name(engine: Engine, content: Mapping[str, Any], table: str | None) -> DatasetName | None:
    host, port, database = _server(content)
    if table is None:
        return None
    url = content.get("url")
    if isinstance(url, str) and url.startswith("sqlite:"):
        return DatasetName(url.split("?")[0], table)
    if not host:
        return None
    namespace = f"{engine.scheme}://{host}:{port or engine.port}"
    parts = [part.strip('`"[]') for part in table.split(".")]
    if len(parts) == 1 and engine.levels == 3 and engine.schema:
        parts.insert(0, engine.schema)
    if len(parts) < engine.levels and database:
        parts.insert(0, database)
    return DatasetName(namespace, ".".join(parts))


def _server(content: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    addresses = content.get("multi_oracle_address")
    first = addresses[0] if isinstance(addresses, list) and addresses else None
    if isinstance(first, Mapping) and first.get("oracle_address"):
        service = content.get("oracle_service_name") or content.get("database_name")
        return str(first["oracle_address"]), _text(first.get("oracle_port")), _text(service)
    if content.get("host"):
        return str(content["host"]), _text(content.get("port")), _text(content.get("database_name"))
    url = str(content.get("url") or "")
    for pattern in JDBC:
        match = pattern.match(url)
        if match:
            database = match["database"] or _text(content.get("database_name"))
            return match["host"], match["port"], database
    return None, None, None


def _address_name(url: Any) -> DatasetName | None:
    if not isinstance(url, str) or "://" not in url:
        return None
    parts = urlsplit(url)
    # Neither user nor query: both may hold credentials.
    host = parts.netloc.rpartition("@")[2]
    return DatasetName(f"{parts.scheme}://{host}", parts.path or "/") if host else None


def _host_port(content: Mapping[str, Any], default: str) -> str:
    port = _text(content.get("port")) or default
    return f"{content['host']}:{port}" if port else str(content["host"])


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


# --- what a task moves ------------------------------------------------------------------------------------


def common_transfer(task: Task, source: Datasource, target: Datasource, instance_id: str) -> Transfer:
    """What a common task moves, from its ``task_detail``."""
    detail = _json_object(task.task_detail)
    left = _object(_either(detail, "sourceSelectedDatasource", "source_selected_datasource"))
    right = _object(_either(detail, "targetSelectedDatasource", "target_selected_datasource"))
    pairs = [
        (_text(row.get("source_column")), _text(row.get("target_column")))
        for row in _rows(_either(detail, "mappingTable", "mapping_table"))
    ]
    inputs = _object(_either(detail, "mappingInput", "mapping_input"))
    pairs += [
        (_text(row.get("sourceKey")), _text(row.get("targetKey"))) for row in _rows(inputs.get("dataSource"))
    ]
    sql = _text(left.get("querySql")) if left.get("isAddSql") in (True, "true") else None
    return Transfer(
        dataset_name(source, _thing(left, "source"), instance_id),
        dataset_name(target, _thing(right, "target"), instance_id),
        _columns(left, "source"),
        _columns(right, "target"),
        tuple((a, b) for a, b in pairs if a and b),
        sql,
    )


def composite_transfers(
    mappings: Iterable[TableMapping], source: Datasource, target: Datasource, instance_id: str
) -> list[Transfer]:
    """What a composite task moves: a transfer for each mapped table."""
    return [
        Transfer(
            dataset_name(source, mapping.source_table, instance_id),
            dataset_name(target, mapping.target_table, instance_id),
            tuple(Column(c.field_name, c.field_type) for c in mapping.source_columns),
            tuple(Column(c.field_name, c.field_type) for c in mapping.target_columns),
            tuple(
                (pair.source_column, pair.target_column)
                for pair in mapping.mapping_columns
                if pair.source_column and pair.target_column
            ),
        )
        for mapping in mappings
        if mapping.source_table and mapping.target_table and mapping.status != "DELETE"
    ]


def _thing(selected: Mapping[str, Any], side: str) -> str | None:
    """The table, topic or path; the keys of the last two are not documented."""
    keys = (f"{side}Table", f"{side}_table", "topic", "topicName", f"{side}Topic", "path", f"{side}Path")
    return next(
        (str(selected[key]) for key in keys if isinstance(selected.get(key), str) and selected[key]), None
    )


def _columns(selected: Mapping[str, Any], side: str) -> tuple[Column, ...]:
    listed = _either(selected, f"{side}SelectedColumnList", f"{side}_selected_column_list")
    columns = [
        Column(str(r["field_name"]), _text(r.get("field_type"))) for r in _rows(listed) if r.get("field_name")
    ]
    if not columns and side == "source":
        fields = _rows(_object(selected.get("sourceMetaData")).get("dataSource"))
        columns = [Column(str(r["name"]), _text(r.get("type"))) for r in fields if r.get("name")]
    return tuple(columns)


def _json_object(text: str | None) -> Mapping[str, Any]:
    try:
        return _object(json.loads(text or "{}"))
    except ValueError:
        return {}


def _either(data: Mapping[str, Any], *keys: str) -> Any:
    """Requests are in camel case; answers are documented in snake case, with an example in camel case."""
    return next((data[key] for key in keys if data.get(key) is not None), None)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


# --- as OpenLineage facets -------------------------------------------------------------------------------


def to_openlineage(
    transfers: Sequence[Transfer], record: Mapping[str, Any], instance_id: str
) -> OperatorLineage[Any, Any]:
    """The facets of a run that made these transfers; ``record`` is its run record."""
    # Deferred: OpenLineage may not be installed, which lineage_of handles.
    from airflow.providers.common.compat.openlineage.facet import (
        ColumnLineageDatasetFacet,
        ExternalQueryRunFacet,
        Fields,
        InputDataset,
        InputField,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
        SQLJobFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    def schema(columns: Sequence[Column]) -> dict[str, Any]:
        fields = [SchemaDatasetFacetFields(name=column.name, type=column.type) for column in columns]
        return {"schema": SchemaDatasetFacet(fields=fields)} if fields else {}

    def lineage(transfer: Transfer) -> dict[str, Any]:
        fields: dict[str, list[Any]] = {}
        for source, target in transfer.pairs:
            field = InputField(namespace=transfer.source.namespace, name=transfer.source.name, field=source)
            fields.setdefault(target, []).append(field)
        facets = {
            target: Fields(inputFields=found, transformationDescription="", transformationType="IDENTITY")
            for target, found in fields.items()
        }
        return {"columnLineage": ColumnLineageDatasetFacet(fields=facets)} if facets else {}

    # The log counts the rows of a whole run, which says nothing about one table of several.
    counted = len(transfers) == 1 and (record.get("rows") is not None or record.get("bytes") is not None)
    statistics: dict[str, Any] = (
        {
            "outputStatistics": OutputStatisticsOutputDatasetFacet(
                rowCount=record.get("rows"), size=record.get("bytes")
            )
        }
        if counted
        else {}
    )
    inputs = {
        transfer.source: InputDataset(
            namespace=transfer.source.namespace,
            name=transfer.source.name,
            facets=schema(transfer.source_columns),
        )
        for transfer in transfers
    }
    outputs = [
        OutputDataset(
            namespace=transfer.target.namespace,
            name=transfer.target.name,
            facets={**schema(transfer.target_columns), **lineage(transfer)},
            outputFacets=statistics,
        )
        for transfer in transfers
    ]
    run_id = record.get("fdi_run_id")
    source = f"fdi://{instance_id}/{record.get('fdi_task_id')}"
    run_facets = (
        {"externalQuery": ExternalQueryRunFacet(externalQueryId=run_id, source=source)} if run_id else {}
    )
    queries = [transfer.sql for transfer in transfers if transfer.sql]
    job_facets = {"sql": SQLJobFacet(query=";\n".join(queries))} if queries else {}
    return OperatorLineage(
        inputs=list(inputs.values()), outputs=outputs, run_facets=run_facets, job_facets=job_facets
    )


def read_transfers(client: FdiClient, fdi_task_id: str) -> list[Transfer]:
    """What a task moves, as the service has it.

    Source: ShowTask, ListTasks, ShowDataourceDetail, ListMultiTaskMappings.

    :raises FdiError: the service refused, or cannot be reached.
    """
    task = client.get_task(fdi_task_id)
    if not task.source_datasource_id or not task.target_datasource_id:
        return []
    source = _datasource(client, task.source_datasource_id)
    target = _datasource(client, task.target_datasource_id)
    # The answer of ShowTask is the same for composite and common tasks.
    listed, _ = task_state(client, fdi_task_id)
    if task.is_composite or (listed is not None and listed.is_composite):
        mappings = client.list_mappings(fdi_task_id)
        return composite_transfers(mappings, source, target, client.instance_id)
    return [common_transfer(task, source, target, client.instance_id)]


def _datasource(client: FdiClient, datasource_id: str) -> Datasource:
    try:
        return client.get_datasource(datasource_id)
    except FdiError as error:
        # Permission to run a task does not include permission to read its data sources.
        log.warning("The datasets of data source %s are named by its id: %s", datasource_id, error.brief)
        return Datasource(datasource_id, None, None)


def lineage_of(client: FdiClient, record: Mapping[str, Any] | None) -> OperatorLineage[Any, Any] | None:
    """The lineage of a finished run, or None; errors are logged, so that they do not fail the task."""
    if not record or not record.get("fdi_task_id"):
        return None
    fdi_task_id = str(record["fdi_task_id"])
    try:
        return to_openlineage(read_transfers(client, fdi_task_id), record, client.instance_id)
    except ImportError as error:
        log.debug("OpenLineage is not installed: %s", error)
    except FdiError as error:
        log.warning("No lineage for FDI task %s: %s", fdi_task_id, error.brief)
    return None
