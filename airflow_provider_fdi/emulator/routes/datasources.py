"""Data sources: the records, and looking into the database behind one of them."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_fdi.emulator import rules, views
from airflow_provider_fdi.emulator.api import INSTANCE, Call, Operation
from airflow_provider_fdi.emulator.errors import ServiceError, invalid, service_error
from airflow_provider_fdi.emulator.routes.tasks import limit_of
from airflow_provider_fdi.emulator.state import Datasource
from airflow_provider_fdi.emulator.urls import url_from_content

_FORBIDDEN = re.compile(r"[&<>\"'()]")
_PAGE_LIMIT = 500


def _find(call: Call) -> Datasource:
    row = call.world.store.datasources.get(call.params["datasource_id"])
    if row is None:
        raise service_error("ROMA.00110006")
    return row


def _read(call: Call) -> dict[str, Any]:
    body = call.json_object()
    name = rules.text(body, "datasource_name", required=True, lengths=(1, 255))
    if _FORBIDDEN.search(name):
        raise invalid("datasource_name")
    content = body.get("content")
    if not isinstance(content, dict):
        raise invalid("content")
    # The list of types is open: newer documentation has spellings that older ones lack.
    kind = rules.text(body, "datasource_type", required=True, lengths=(1, 64))
    return {
        "name": name,
        "type": kind,
        "app_id": rules.text(body, "app_id", required=True),
        "content": content,
        "description": rules.text(body, "description", lengths=(1, 1024)),
        "url": url_from_content(kind, content),
    }


def create_datasource(call: Call) -> Any:
    fields = _read(call)
    world = call.world
    with world.store.lock:
        if any(row.name == fields["name"] for row in world.store.datasources.values()):
            raise service_error("FDI.3002", message="The data source name already exists.")
        now = world.clock.now_ms()
        row = Datasource(created=now, updated=now, **fields)
        world.store.datasources[row.id] = row
        if row.url is not None:
            world.warm_up()
        return views.datasource(row, world.instance_id)


def list_datasources(call: Call) -> Any:
    world = call.world
    query = call.query
    limit, offset = min(limit_of(call), _PAGE_LIMIT), max(0, call.number("offset", 0))
    with world.store.lock:
        rows = [
            row
            for row in world.store.datasources.values()
            if query.get("name", "") in row.name
            and query.get("datasource_type") in (None, "", row.type)
            and query.get("app_id") in (None, "", row.app_id)
            and not query.get("custom_plugin_id")
        ]
        if query.get("sort_field"):
            if query["sort_field"] != "CREATED_DATE":
                raise invalid("sort_field")
            rows.sort(key=lambda row: row.created, reverse=query.get("sort_type", "ASC").upper() == "DESC")
        page = rows[offset : offset + limit]
        return {
            "total": len(rows),
            "size": len(page),
            "entities": [views.datasource(row, world.instance_id) for row in page],
        }


def show_datasource(call: Call) -> Any:
    with call.world.store.lock:
        return views.datasource(_find(call), call.world.instance_id)


def update_datasource(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        row = _find(call)
        for name, value in _read(call).items():
            setattr(row, name, value)
        row.updated = world.clock.now_ms()
        return views.datasource(row, world.instance_id)


def delete_datasource(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        row = _find(call)
        if any(row.id in (task.source_ds, task.target_ds) for task in world.store.tasks.values()):
            raise service_error("FDI.3002", message="Invalid parameters. The data source is used by a task.")
        del world.store.datasources[row.id]
    return None


def test_connect(call: Call) -> Any:
    with call.world.store.lock:
        row = _find(call)
        url = _read(call)["url"] if call.body.strip() not in (b"", b"{}") else row.url
    # The secrets of a content that was read from the service are masked: then what is stored counts.
    if b"******" in call.body:
        url = row.url
    if url is None:
        raise service_error("FDI.3016")
    try:
        call.world.databases.probe(url)
    except call.world.databases.errors:
        raise service_error("FDI.3016") from None
    return {"result": True}


def _url(call: Call) -> str:
    if call.method == "GET":
        rules.choice(dict(call.query), "position", ("SOURCE", "TARGET"))
    with call.world.store.lock:
        row = _find(call)
    if row.url is None:
        raise service_error(
            "FDI.3016",
            message=f"Failed to test the connectivity. No database stands behind type {row.type} here.",
        )
    return row.url


def list_tables(call: Call) -> Any:
    url = _url(call)
    databases = call.world.databases
    try:
        tables = databases.tables(url, call.query.get("db_schema") or None)
    except databases.errors:
        raise service_error("FDI.3016") from None
    part = call.query.get("filter", "")
    return {"tables": [table for table in tables if part.lower() in table.lower()]}


def list_columns(call: Call) -> Any:
    url = _url(call)
    databases = call.world.databases
    table = call.query.get("table_name")
    if not table:
        raise invalid("table_name")
    try:
        return {"columns": databases.columns(url, table)}
    except LookupError:
        raise invalid("table_name") from None
    except databases.errors:
        raise service_error("FDI.3016") from None


def test_sql(call: Call) -> Any:
    url = _url(call)
    body = call.json_object()
    sql = rules.text(body, "sql", required=True, lengths=(1, 100_000))
    databases = call.world.databases
    try:
        return {"columns": databases.describe(url, sql)}
    except databases.refusals as error:
        detail = str(getattr(error, "orig", None) or error)
        raise ServiceError(
            400, "FDI.3035", "Invalid SQL statement.", extra={"detail": detail[:1000]}
        ) from None


_TAG = "Data source management"
_ROW = f"{INSTANCE}/datasources/{{datasource_id}}"

OPERATIONS = [
    Operation(
        "ListDatasources",
        "GET",
        f"{INSTANCE}/datasources",
        list_datasources,
        "List data sources",
        _TAG,
        query=(
            "limit",
            "offset",
            "datasource_type",
            "sort_field",
            "sort_type",
            "name",
            "app_id",
            "custom_plugin_id",
            "customized",
        ),
        answer="FdiPageQuery",
    ),
    Operation(
        "CreateDatasourceInfo",
        "POST",
        f"{INSTANCE}/datasources",
        create_datasource,
        "Create a data source",
        _TAG,
        success=201,
        body="DatasourceInfo",
        answer="DataSourceRsp",
    ),
    Operation(
        "ShowDataourceDetail",
        "GET",
        _ROW,
        show_datasource,
        "Show a data source",
        _TAG,
        answer="DataSourceRsp",
    ),
    Operation(
        "UpdateDatasourceInfo",
        "PUT",
        _ROW,
        update_datasource,
        "Replace a data source",
        _TAG,
        body="DatasourceInfo",
        answer="DataSourceRsp",
    ),
    Operation(
        "DeleteDatasourceInfoById",
        "DELETE",
        _ROW,
        delete_datasource,
        "Delete a data source",
        _TAG,
        success=204,
    ),
    Operation(
        "StartTestDatasource",
        "POST",
        f"{_ROW}/test-connect",
        test_connect,
        "Test a connection",
        _TAG,
        blocking=True,
        body="DatasourceInfo",
        answer="TestConnectionRsp",
    ),
    Operation(
        "ListDatasourceTables",
        "GET",
        f"{_ROW}/tables",
        list_tables,
        "List tables",
        _TAG,
        blocking=True,
        query=("position", "db_name", "db_schema", "filter"),
        answer="TableResponse",
    ),
    Operation(
        "ListDatasourceColumns",
        "GET",
        f"{_ROW}/columns",
        list_columns,
        "List the columns of a table",
        _TAG,
        blocking=True,
        query=("position", "db_name", "table_name"),
        answer="ColumnQueryResponse",
    ),
    Operation(
        "StartCheckDatasourceSql",
        "POST",
        f"{_ROW}/test-sql",
        test_sql,
        "Check an SQL statement",
        _TAG,
        blocking=True,
        body="SqlCheckBody",
        answer="ColumnQueryResponse",
    ),
]
