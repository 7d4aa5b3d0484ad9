"""Composite tasks and their table mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.api.base import Api, dropped, joined, nothing
from airflow_provider_fdi.client.api.bodies import ext_info as ext_info_of
from airflow_provider_fdi.client.api.bodies import mapping_body
from airflow_provider_fdi.client.enums import TaskType
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.models import CompositeInit, Listing, TableMapping, id_in, mapping_page
from airflow_provider_fdi.client.times import past_ms
from airflow_provider_fdi.client.transport import Resend
from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.validation import boolean, composite_task_id, optional_identifier, optional_text

FORM = "application/x-www-form-urlencoded"
COMPOSITE = "/multi-tasks/{task_id}"
MAPPINGS = f"{COMPOSITE}/mappings"
MAPPING = f"{MAPPINGS}/{{mapping_id}}"


class CompositeTasks(Api):
    """Operations on composite tasks."""

    def init_composite_task(
        self,
        *,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        task_id: str | None = None,
        auto_mapping: bool | None = None,
        server_id: str | None = None,
    ) -> tuple[CompositeInit, ...]:
        """InstallMultiTasks: reserves the id of a new composite task; returns it with the first mappings.

        ``server_id`` is that of a MySQL source.
        """
        body = dropped(
            ext_info=ext_info_of(server_id),
            source_datasource_id=optional_identifier("source_datasource_id", source_datasource_id),
            target_datasource_id=optional_identifier("target_datasource_id", target_datasource_id),
            task_id=composite_task_id("task_id", task_id),
            auto_mapping=None if auto_mapping is None else boolean("auto_mapping", auto_mapping),
        )
        answer = self._call(
            "init_composite_task",
            "POST",
            "/multi-tasks/init",
            {"task_id": task_id},
            body=body,
            resend=Resend.UNSENT,
        )
        return answer.parse(CompositeInit.many_from_wire)

    def create_composite_task(
        self,
        *,
        task_name: str,
        operation_types: Iterable[str],
        task_id: str | None = None,
        task_type: TaskType | str = "REALTIME",
        description: str | None = None,
        task_tag: str | None = None,
        source_app_id: str | None = None,
        target_app_id: str | None = None,
    ) -> str | None:
        """CreateMultiTasks: the task's id; None if the service does not return it.

        ``task_id`` is the one that ``init_composite_task`` reserved. Composite tasks are REALTIME only.
        """
        kind = validation.task_type("task_type", task_type)
        if kind != "REALTIME":
            raise FdiArgumentError("task_type", kind, "composite tasks are REALTIME only")
        body = dropped(
            task_name=validation.task_name("task_name", task_name),
            task_id=composite_task_id("task_id", task_id),
            task_type=kind,
            description=validation.description("description", description),
            task_tag=validation.task_tag("task_tag", task_tag),
            operation_types=validation.operation_types("operation_types", operation_types),
            source_app_id=optional_identifier("source_app_id", source_app_id),
            target_app_id=optional_identifier("target_app_id", target_app_id),
        )
        answer = self._call(
            "create_composite_task",
            "POST",
            "/multi-tasks",
            {"task_name": task_name, "task_id": task_id},
            body=body,
            resend=Resend.UNSENT,
        )
        return answer.parse(id_in("task_id"))

    def update_composite_task(
        self,
        task_id: str,
        *,
        operation_types: Iterable[str],
        repulling_snapshot: bool,
        description: str | None = None,
        task_tag: str | None = None,
    ) -> str | None:
        """UpdateMultiTasks. ``repulling_snapshot``: copy the existing data once more."""
        body = dropped(
            description=validation.description("description", description),
            task_tag=validation.task_tag("task_tag", task_tag),
            operation_types=validation.operation_types("operation_types", operation_types),
            repulling_snapshot=boolean("repulling_snapshot", repulling_snapshot),
        )
        answer = self._call("update_composite_task", "PUT", COMPOSITE, {"task_id": task_id}, body=body)
        return answer.parse(id_in("task_id"))

    def reset_composite_task(self, task_id: str, *, date_from: object = None) -> None:
        """ResetMultiTaskOffset: go on from ``date_from`` (as for ``start_time``), or from the beginning."""
        body = {} if date_from is None else {"date_from": past_ms("date_from", date_from)}
        answer = self._call(
            "reset_composite_task", "POST", f"{COMPOSITE}/reset", {"task_id": task_id}, body=body
        )
        answer.parse(nothing)

    def create_mapping(
        self,
        task_id: str,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        source_table: str,
        target_table: str,
        source_columns: Iterable[Mapping[str, Any]] | None = None,
        target_columns: Iterable[Mapping[str, Any]] | None = None,
        mapping_columns: Iterable[Mapping[str, Any]] | None = None,
        server_id: str | None = None,
    ) -> str | None:
        """CreateMultiTaskMappings: the mapping's id; None if the service does not return it."""
        body = mapping_body(
            source_datasource_id,
            target_datasource_id,
            source_table,
            target_table,
            source_columns,
            target_columns,
            mapping_columns,
            server_id,
        )
        answer = self._call(
            "create_mapping", "POST", MAPPINGS, {"task_id": task_id}, body=body, resend=Resend.UNSENT
        )
        return answer.parse(id_in("mapping_id", "id"))

    def list_mappings(
        self,
        task_id: str,
        *,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        source_table: str | None = None,
        target_table: str | None = None,
        table_name: str | None = None,
    ) -> Listing[TableMapping]:
        """ListMultiTaskMappings, all pages. ``table_name`` filters either side."""
        query = {
            "source_datasource_id": optional_identifier("source_datasource_id", source_datasource_id),
            "target_datasource_id": optional_identifier("target_datasource_id", target_datasource_id),
            "source_table": optional_text("source_table", source_table, maximum=256),
            "target_table": optional_text("target_table", target_table, maximum=256),
            "table_name": optional_text("table_name", table_name, maximum=256),
        }
        pages = self._pages(
            "list_mappings",
            MAPPINGS,
            query,
            {"task_id": task_id},
            TableMapping.from_wire,
            lambda m: m.mapping_id or f"{m.source_table}\0{m.target_table}",
            first=0,
            limit=PAGE_SIZE,
            read=mapping_page,
        )
        return joined(pages)

    def update_mapping(
        self,
        task_id: str,
        mapping_id: str,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        source_table: str,
        target_table: str,
        source_columns: Iterable[Mapping[str, Any]] | None = None,
        target_columns: Iterable[Mapping[str, Any]] | None = None,
        mapping_columns: Iterable[Mapping[str, Any]] | None = None,
        server_id: str | None = None,
    ) -> str | None:
        """UpdateMultiTaskMappings; arguments as for ``create_mapping``."""
        body = mapping_body(
            source_datasource_id,
            target_datasource_id,
            source_table,
            target_table,
            source_columns,
            target_columns,
            mapping_columns,
            server_id,
        )
        ids = {"task_id": task_id, "mapping_id": mapping_id}
        return self._call("update_mapping", "PUT", MAPPING, ids, body=body).parse(id_in("mapping_id", "id"))

    def delete_mapping(self, task_id: str, mapping_id: str) -> None:
        """DeleteMultiTaskMapping."""
        self._delete("delete_mapping", MAPPING, {"task_id": task_id, "mapping_id": mapping_id})

    def auto_create_mappings(
        self,
        *,
        source_datasource_id: str,
        target_datasource_id: str,
        task_id: str | None = None,
        source_group: str | None = None,
        target_group: str | None = None,
        task_type: TaskType | str | None = None,
        mapping_prefix: str | None = None,
        mapping_suffix: str | None = None,
        source_tables: str | Iterable[str] | None = None,
        target_tables: str | Iterable[str] | None = None,
        ext_info: str | None = None,
    ) -> Any:
        """CreateMultiTaskMappingsAutomatically: maps at most 2000 tables, by their names.

        The target's name is prefix + source + suffix. ``source_tables`` and ``target_tables`` select by
        ``schema.table`` or ``schema.*``. The answer is not documented: it is given as parsed JSON, or None.
        """
        kind = None if task_type is None else validation.task_type("task_type", task_type)
        form = dropped(
            source_ds_id=validation.identifier("source_datasource_id", source_datasource_id),
            target_ds_id=validation.identifier("target_datasource_id", target_datasource_id),
            source_group=optional_text("source_group", source_group),
            target_group=optional_text("target_group", target_group),
            task_id=composite_task_id("task_id", task_id),
            ext_info=optional_text("ext_info", ext_info, maximum=4096),
            task_type=None if kind is None else "1" if kind == "REALTIME" else "2",
            mapping_prefix=optional_text("mapping_prefix", mapping_prefix),
            mapping_suffix=optional_text("mapping_suffix", mapping_suffix),
            source_select_mapping_tables=validation.table_list("source_tables", source_tables),
            target_select_mapping_tables=validation.table_list("target_tables", target_tables),
        )
        answer = self._transport.call(
            "auto_create_mappings",
            "POST",
            # The one operation that is not below an instance.
            f"{self._project_path}/multi-tasks/mappings/auto",
            ids=dropped(task_id=task_id),
            body=urlencode(form).encode(),
            content_type=FORM,
            resend=Resend.UNSENT,
        )
        return answer.json()
