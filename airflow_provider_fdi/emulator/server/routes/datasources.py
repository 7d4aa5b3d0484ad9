"""Data sources: the records, and a look into the database behind one of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.engine.engine import Engine
from airflow_provider_fdi.emulator.engine.urls import url_from_content
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import DatasourceDep
from airflow_provider_fdi.emulator.server.routes.route import service_router
from airflow_provider_fdi.emulator.server.schemas import (
    ColumnInfo,
    ColumnQuery,
    ColumnQueryResponse,
    DatasourceInfo,
    DatasourceQuery,
    DataSourceRsp,
    FdiPageQuery,
    SqlCheckBody,
    TableQuery,
    TableResponse,
    TestConnectionRsp,
)
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import ServiceError, invalid, service_error
from airflow_provider_fdi.emulator.service.state import Datasource, Store

_ROW = "/datasources/{datasource_id}"
_PAGE_LIMIT = 500
_MASK = "******"


def _fields(body: DatasourceInfo) -> dict[str, Any]:
    """A data source as attributes of :class:`Datasource`."""
    return {
        "name": body.datasource_name,
        "type": body.datasource_type,
        "app_id": body.app_id,
        "content": body.content,
        "description": body.description or "",
        "url": url_from_content(body.datasource_type, body.content),
    }


async def _url(row: DatasourceDep) -> str:
    """The URL of the database behind the data source of the path. Raises 400 FDI.3016."""
    if row.url is None:
        raise service_error(
            "FDI.3016",
            message=f"Failed to test the connectivity. No database stands behind type {row.type} here.",
        )
    return row.url


_UrlDep = Annotated[str, Depends(_url)]


class DatasourceRoutes:
    """Handlers of data sources."""

    def __init__(
        self, store: Store, clock: Clock, switches: Switches, engine: Engine, instance_id: str
    ) -> None:
        self._store = store
        self._switches = switches
        self._instance_id = instance_id
        self._clock = clock
        self._engine = engine

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Data source management")
        router.get("/datasources", operation_id="ListDatasources")(self.list_datasources)
        router.post("/datasources", operation_id="CreateDatasourceInfo", status_code=201)(
            self.create_datasource
        )
        router.get(_ROW, operation_id="ShowDataourceDetail")(self.show_datasource)
        router.put(_ROW, operation_id="UpdateDatasourceInfo")(self.update_datasource)
        router.delete(_ROW, operation_id="DeleteDatasourceInfoById", status_code=204, response_model=None)(
            self.delete_datasource
        )
        router.post(f"{_ROW}/test-connect", operation_id="StartTestDatasource")(self.check_connection)
        router.get(f"{_ROW}/tables", operation_id="ListDatasourceTables")(self.list_tables)
        router.get(f"{_ROW}/columns", operation_id="ListDatasourceColumns")(self.list_columns)
        router.post(f"{_ROW}/test-sql", operation_id="StartCheckDatasourceSql")(self.check_sql)
        return router

    async def list_datasources(self, query: Annotated[DatasourceQuery, Query()]) -> FdiPageQuery:
        """List data sources."""
        limit, first = min(query.limit, self._switches.clamp_limit, _PAGE_LIMIT), max(0, query.offset)
        with self._store.lock:
            rows = [
                row
                for row in self._store.datasources.values()
                if query.name in row.name
                and query.datasource_type in (None, row.type)
                and query.app_id in (None, row.app_id)
                and not query.custom_plugin_id
            ]
            if query.sort_field:
                rows.sort(key=lambda row: row.created, reverse=query.sort_type.upper() == "DESC")
            page = [answers.datasource(row, self._instance_id) for row in rows[first : first + limit]]
            return FdiPageQuery(total=len(rows), size=len(page), entities=page)

    async def create_datasource(self, body: DatasourceInfo) -> DataSourceRsp:
        """Create a data source."""
        with self._store.lock:
            if any(row.name == body.datasource_name for row in self._store.datasources.values()):
                raise service_error("FDI.3002", message="The data source name already exists.")
            quota = self._switches.datasource_quota
            if quota and len(self._store.datasources) >= quota:
                # The vendor documents the number, but not the error.
                raise service_error(
                    "FDI.3002", message=f"Invalid parameters. The project has its {quota} data sources."
                )
            now = self._clock.now_ms()
            row = Datasource(created=now, updated=now, **_fields(body))
            self._store.datasources[row.id] = row
            if row.url is not None:
                self._engine.warm_up()
            return answers.datasource(row, self._instance_id)

    async def show_datasource(self, row: DatasourceDep) -> DataSourceRsp:
        """Show a data source."""
        with self._store.lock:
            return answers.datasource(row, self._instance_id)

    async def update_datasource(self, row: DatasourceDep, body: DatasourceInfo) -> DataSourceRsp:
        """Replace a data source."""
        with self._store.lock:
            for name, value in _fields(body).items():
                setattr(row, name, value)
            row.updated = self._clock.now_ms()
            return answers.datasource(row, self._instance_id)

    async def delete_datasource(self, row: DatasourceDep) -> None:
        """Delete a data source."""
        with self._store.lock:
            if any(row.id in (task.source_ds, task.target_ds) for task in self._store.tasks.values()):
                raise service_error(
                    "FDI.3002", message="Invalid parameters. The data source is used by a task."
                )
            del self._store.datasources[row.id]

    def check_connection(
        self,
        row: DatasourceDep,
        body: Annotated[DatasourceInfo | None, BeforeValidator(lambda value: value or None)] = None,
    ) -> TestConnectionRsp:
        """Test a connection: with the content that is given, else with the stored one."""
        url = row.url
        # The secrets of a content that was read from the service are masked: then the stored content counts.
        if body is not None and _MASK not in str(body.content):
            url = url_from_content(body.datasource_type, body.content)
        if url is None:
            raise service_error("FDI.3016")
        try:
            self._engine.databases.probe(url)
        except self._engine.databases.errors:
            raise service_error("FDI.3016") from None
        return TestConnectionRsp(result=True)

    def list_tables(self, url: _UrlDep, query: Annotated[TableQuery, Query()]) -> TableResponse:
        """List tables."""
        try:
            tables = self._engine.databases.tables(url, query.db_schema)
        except self._engine.databases.errors:
            raise service_error("FDI.3016") from None
        return TableResponse(tables=[table for table in tables if query.filter.lower() in table.lower()])

    def list_columns(self, url: _UrlDep, query: Annotated[ColumnQuery, Query()]) -> ColumnQueryResponse:
        """List the columns of a table."""
        if not query.table_name:
            raise invalid("table_name")
        try:
            columns = self._engine.databases.columns(url, query.table_name)
        except LookupError:
            raise invalid("table_name") from None
        except self._engine.databases.errors:
            raise service_error("FDI.3016") from None
        return ColumnQueryResponse(columns=[ColumnInfo(**column) for column in columns])

    def check_sql(self, url: _UrlDep, body: SqlCheckBody) -> ColumnQueryResponse:
        """Check an SQL statement: it must be a SELECT; its columns are answered."""
        try:
            columns = self._engine.databases.describe(url, body.sql)
        except self._engine.databases.refusals as error:
            detail = str(getattr(error, "orig", None) or error)
            raise ServiceError(
                400, "FDI.3035", "Invalid SQL statement.", extra={"detail": detail[:1000]}
            ) from None
        return ColumnQueryResponse(columns=[ColumnInfo(**column) for column in columns])
