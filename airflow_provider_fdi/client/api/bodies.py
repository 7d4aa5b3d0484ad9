"""The bodies of requests that several operations have in common, and readers of what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.api.base import dropped
from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.secrets import secret_values
from airflow_provider_fdi.client.task_detail import to_json_text
from airflow_provider_fdi.client.times import start_time_ms

SORT_LENGTH = 64


def task_body(
    task_name: object,
    task_type: object,
    source_datasource_id: object,
    target_datasource_id: object,
    task_detail: Mapping[str, Any] | str,
    description: object,
    task_tag: object,
) -> tuple[dict[str, Any], list[str]]:
    """Body of create and update, and the secrets in it."""
    task = dropped(
        task_name=validation.task_name("task_name", task_name),
        task_type=validation.task_type("task_type", task_type),
        source_datasource_id=validation.identifier("source_datasource_id", source_datasource_id),
        target_datasource_id=validation.identifier("target_datasource_id", target_datasource_id),
        description=validation.description("description", description),
        task_tag=validation.task_tag("task_tag", task_tag),
    )
    text = to_json_text(task_detail)
    return {"task": task, "task_detail": text}, secret_values(text)


def schedule_body(
    start_time: object,
    period: object,
    dispatch_interval: object,
    cron: object,
    cron_timezone: object,
    remark: object,
) -> dict[str, Any]:
    """Body of create and update."""
    by_interval = period is not None or dispatch_interval is not None
    if cron is not None and by_interval:
        rule = (
            "a schedule goes by cron or by period and dispatch_interval, not by both "
            f"(period={period!r}, dispatch_interval={dispatch_interval!r})"
        )
        raise FdiArgumentError("cron", cron, rule)
    if cron is None and not by_interval:
        raise FdiArgumentError("cron", cron, "give either cron, or period and dispatch_interval")
    if by_interval and (period is None or dispatch_interval is None):
        missing = "period" if period is None else "dispatch_interval"
        raise FdiArgumentError(missing, None, "period and dispatch_interval belong together")
    if cron_timezone is not None and cron is None:
        raise FdiArgumentError("cron_timezone", cron_timezone, "a time zone goes with cron only")
    fields = dropped(
        start_datetime=None if start_time is None else start_time_ms("start_time", start_time),
        remark=None if remark is None else validation.text("remark", remark, minimum=0),
    )
    if cron is not None:
        zone = validation.optional_text("cron_timezone", cron_timezone, maximum=64)
        return {"use_quartz_cron": True, "cron": to_quartz(cron), **dropped(cron_timezone=zone), **fields}
    return {
        "use_quartz_cron": False,
        "period": validation.period("period", period),
        "dispatch_interval": validation.dispatch_interval("dispatch_interval", dispatch_interval),
        **fields,
    }


def mapping_body(
    source_datasource_id: object,
    target_datasource_id: object,
    source_table: object,
    target_table: object,
    source_columns: object,
    target_columns: object,
    mapping_columns: object,
    server_id: object,
) -> dict[str, Any]:
    """Body of create and update."""
    return dropped(
        source_datasource_id=validation.identifier("source_datasource_id", source_datasource_id),
        target_datasource_id=validation.identifier("target_datasource_id", target_datasource_id),
        ext_info=ext_info(server_id),
        source_columns=_dicts("source_columns", source_columns),
        target_columns=_dicts("target_columns", target_columns),
        source_table=validation.table("source_table", source_table),
        target_table=validation.table("target_table", target_table),
        mapping_columns=_dicts("mapping_columns", mapping_columns),
    )


def _dicts(field: str, value: object) -> list[dict[str, Any]] | None:
    return None if value is None else [dict(item) for item in validation.dict_list(field, value)]


def ext_info(server_id: object) -> dict[str, str] | None:
    """The server id of a MySQL source, where the service wants it."""
    if server_id is None:
        return None
    if isinstance(server_id, int) and not isinstance(server_id, bool):
        server_id = str(server_id)
    return {"server_id": validation.text("server_id", server_id, maximum=20)}


def datasource_body(
    name: object, kind: object, app_id: object, content: object, description: object
) -> dict[str, Any]:
    """Body of create, update and test."""
    return dropped(
        datasource_name=validation.datasource_name("datasource_name", name),
        datasource_type=validation.text("datasource_type", kind, maximum=64),
        app_id=validation.identifier("app_id", app_id),
        description=validation.description("description", description),
        content=validation.mapping("content", content),
    )


# Filters of listings


def fuzzy_filter(field: str, value: object, maximum: int, taken: int) -> str | None:
    """A fuzzy filter cut to the length ``taken`` by the service, which finds as much and more."""
    text = validation.optional_text(field, value, maximum=maximum)
    return None if text is None else text[:taken]


def upper_filter(field: str, value: object) -> str | None:
    """A text in the upper case that queries want."""
    text = validation.optional_text(field, value, maximum=SORT_LENGTH)
    return None if text is None else text.upper()


def status_filter(value: object) -> int | None:
    """0 or 1, as ListTasks wants the activation."""
    if value is None:
        return None
    status = TaskStatus.from_wire(value)
    if status is TaskStatus.UNKNOWN:
        raise FdiArgumentError("status", value, "must be STOPPED (0) or RUNNING (1)")
    return 0 if status is TaskStatus.STOPPED else 1


def execute_status_filter(value: object) -> str | None:
    """State of a run, in the service's spelling."""
    if value is None:
        return None
    status = ExecuteStatus.from_wire(value)
    if status is ExecuteStatus.UNKNOWN:
        known = ", ".join(s.value for s in ExecuteStatus if s is not ExecuteStatus.UNKNOWN)
        raise FdiArgumentError("execute_status", value, f"must be one of {known}")
    return str(status.value)
