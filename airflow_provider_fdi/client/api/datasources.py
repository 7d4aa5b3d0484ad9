"""Data sources, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_fdi.client.api.base import Api, joined
from airflow_provider_fdi.client.api.bodies import datasource_body, fuzzy_filter, upper_filter
from airflow_provider_fdi.client.models import Column, Datasource, Listing, is_true, table_names
from airflow_provider_fdi.client.secrets import secret_values
from airflow_provider_fdi.client.transport import Resend
from airflow_provider_fdi.constants import DATASOURCE_PAGE_SIZE
from airflow_provider_fdi.validation import optional_identifier, optional_text, text, upper_choice

DATASOURCE = "/datasources/{datasource_id}"
POSITIONS = ("SOURCE", "TARGET")


class Datasources(Api):
    """Operations on data sources."""

    def create_datasource(
        self,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> Datasource | None:
        """CreateDatasourceInfo. ``content`` is the service's own structure and is sent as is."""
        body = datasource_body(datasource_name, datasource_type, app_id, content, description)
        answer = self._call(
            "create_datasource",
            "POST",
            "/datasources",
            {"datasource_name": datasource_name},
            body=body,
            resend=Resend.UNSENT,
            secrets=secret_values(content),
        )
        return answer.parse(_optional_datasource)

    def get_datasource(self, datasource_id: str) -> Datasource:
        """ShowDataourceDetail (sic)."""
        ids = {"datasource_id": datasource_id}
        return self._call("get_datasource", "GET", DATASOURCE, ids).parse(Datasource.from_wire)

    def list_datasources(
        self,
        *,
        name: str | None = None,
        datasource_type: str | None = None,
        app_id: str | None = None,
        custom_plugin_id: str | None = None,
        customized: bool | str | None = None,
        sort_field: str | None = None,
        sort_type: str | None = None,
    ) -> Listing[Datasource]:
        """ListDatasources, all pages. ``name`` is a fuzzy filter; the service takes 30 characters of it."""
        flag = customized if isinstance(customized, bool) else None
        query = {
            "datasource_type": optional_text("datasource_type", datasource_type, maximum=64),
            "sort_field": upper_filter("sort_field", sort_field),
            "sort_type": upper_filter("sort_type", sort_type),
            "name": fuzzy_filter("name", name, 255, 30),
            "app_id": optional_identifier("app_id", app_id),
            "custom_plugin_id": optional_identifier("custom_plugin_id", custom_plugin_id),
            "customized": flag if flag is not None else optional_text("customized", customized, maximum=64),
        }
        pages = self._pages(
            "list_datasources",
            "/datasources",
            query,
            {"name": name},
            Datasource.from_wire,
            lambda d: d.datasource_id,
            first=0,
            limit=DATASOURCE_PAGE_SIZE,
        )
        return joined(pages)

    def update_datasource(
        self,
        datasource_id: str,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> Datasource | None:
        """UpdateDatasourceInfo: replaces the whole data source."""
        body = datasource_body(datasource_name, datasource_type, app_id, content, description)
        ids = {"datasource_id": datasource_id}
        answer = self._call(
            "update_datasource", "PUT", DATASOURCE, ids, body=body, secrets=secret_values(content)
        )
        return answer.parse(_optional_datasource)

    def delete_datasource(self, datasource_id: str) -> None:
        """DeleteDatasourceInfoById."""
        self._delete("delete_datasource", DATASOURCE, {"datasource_id": datasource_id})

    def test_datasource(
        self,
        datasource_id: str,
        *,
        datasource_name: str,
        datasource_type: str,
        app_id: str,
        content: Mapping[str, Any],
        description: str | None = None,
    ) -> bool:
        """StartTestDatasource: True if FDI can connect. If not (FDI.3016), FdiResponseError says why."""
        body = datasource_body(datasource_name, datasource_type, app_id, content, description)
        ids = {"datasource_id": datasource_id}
        path = f"{DATASOURCE}/test-connect"
        answer = self._call("test_datasource", "POST", path, ids, body=body, secrets=secret_values(content))
        return answer.parse(is_true)

    def list_tables(
        self,
        datasource_id: str,
        *,
        position: str,
        db_name: str | None = None,
        db_schema: str | None = None,
        filter: str | None = None,
    ) -> tuple[str, ...]:
        """ListDatasourceTables: names as ``schema.table``.

        ``position`` is SOURCE or TARGET, ``filter`` is fuzzy.
        """
        query = {
            "position": upper_choice("position", position, POSITIONS),
            "db_name": optional_text("db_name", db_name),
            "db_schema": optional_text("db_schema", db_schema),
            "filter": optional_text("filter", filter),
        }
        ids = {"datasource_id": datasource_id}
        return self._call("list_tables", "GET", f"{DATASOURCE}/tables", ids, query=query).parse(table_names)

    def list_columns(
        self,
        datasource_id: str,
        *,
        position: str,
        db_name: str | None = None,
        table_name: str | None = None,
    ) -> tuple[Column, ...]:
        """ListDatasourceColumns: the columns of one table."""
        query = {
            "position": upper_choice("position", position, POSITIONS),
            "db_name": optional_text("db_name", db_name),
            "table_name": optional_text("table_name", table_name, maximum=256),
        }
        ids = {"datasource_id": datasource_id}
        answer = self._call("list_columns", "GET", f"{DATASOURCE}/columns", ids, query=query)
        return answer.parse(Column.many_from_wire)

    def test_sql(self, datasource_id: str, sql: str) -> tuple[Column, ...]:
        """StartCheckDatasourceSql: the columns a query yields. Bad SQL raises with the database's words."""
        body = {"sql": text("sql", sql, maximum=1_000_000)}
        ids = {"datasource_id": datasource_id}
        answer = self._call("test_sql", "POST", f"{DATASOURCE}/test-sql", ids, body=body)
        return answer.parse(Column.many_from_wire)


def _optional_datasource(data: Any) -> Datasource | None:
    return Datasource.from_wire(data) if data else None
