"""The JSON of answers, built from the state: one function per row kind of the service."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

from airflow_provider_fdi.emulator.config import DEFAULT_APP_ID, Switches
from airflow_provider_fdi.emulator.state import Datasource, Mapping, Run, Schedule, Step, Store, Task

APP_NAMES = {DEFAULT_APP_ID: "emulator-app"}
_UNITS = ("B", "KB", "MB", "GB", "TB")
_SECRET_KEYS = ("password", "secret", "sk", "ssl_password", "authorization")


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def app_name(app_id: str) -> str:
    return APP_NAMES.get(app_id, f"app-{app_id[:8]}")


def scaled(size: int) -> tuple[float, str]:
    """A size in bytes as number and unit (1024-based). Division by 1024 is exact: nothing is rounded away."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return value, _UNITS[unit]


def _date(value: int, style: str) -> int | str:
    if style == "int":
        return value
    moment = datetime.fromtimestamp(value / 1000, tz=timezone.utc)
    return moment.strftime("%Y-%m-%d")


def task_basic(task: Task, store: Store, project_id: str, switches: Switches) -> dict[str, Any]:
    """TaskBasicRsp: activation as text, the type in lower case."""
    source, target = store.datasources.get(task.source_ds), store.datasources.get(task.target_ds)
    row: dict[str, Any] = {
        "task_id": task.id,
        "task_name": task.name,
        "task_type": task.type.lower(),
        "status": "running" if task.started else switches.status_style,
        "project_id": project_id,
        "source_datasource_id": task.source_ds,
        "target_datasource_id": task.target_ds,
        "source_datasource_name": source.name if source else "",
        "target_datasource_name": target.name if target else "",
        "source_app_id": task.source_app_id,
        "target_app_id": task.target_app_id,
        "source_app_name": app_name(task.source_app_id),
        "target_app_name": app_name(task.target_app_id),
        "created_date": task.created,
        "last_modified_date": task.modified,
    }
    if task.description:
        row["description"] = task.description
    if task.tag:
        row["task_tag"] = task.tag
    return row


def task_brief(task: Task, instance_id: str, switches: Switches) -> bytes:
    """BriefTaskRespBean, as text: activation as a number, the type in upper case."""
    text = task.brief_text
    if text is None:
        text = dump(
            {
                "task_id": task.id,
                "task_name": task.name,
                "task_type": task.type,
                "status": int(task.started),
                "created_date": _date(task.created, switches.created_date_style),
                "version": "2",
                "last_modified_time": task.modified,
                "execute_status": task.execute_status,
                "source_app_id": task.source_app_id,
                "target_app_id": task.target_app_id,
                "source_instance_id": instance_id,
                "target_instance_id": instance_id,
                "ext_type": "cdc" if task.composite else None,
                "enterprise_project_id": "0",
                "task_tag": task.tag or None,
            }
        )
        task.brief_text = text
    return text


def task_monitor(task: Task, instance_id: str) -> bytes:
    """TaskMonitorInfo, as text."""
    text = task.monitor_text
    if text is None:
        row: dict[str, Any] = {
            "task_id": task.id,
            "task_name": task.name,
            "task_type": task.type,
            "status": int(task.started),
            "last_execute_time": (task.last.start_time or task.last.dispatch_time) if task.last else None,
            "position": task.last.position if task.last else None,
            "execute_status": task.execute_status,
            "source_app_id": task.source_app_id,
            "source_app_name": app_name(task.source_app_id),
            "source_instance_id": instance_id,
            "target_app_id": task.target_app_id,
            "target_app_name": app_name(task.target_app_id),
            "target_instance_id": instance_id,
            "ext_type": "CDC" if task.composite else None,
            "enterprise_project_id": "0",
            "task_tag": task.tag or None,
        }
        if task.schedule is not None:
            row["use_quartz_cron"] = task.schedule.use_quartz_cron
            if task.schedule.use_quartz_cron:
                row["cron"] = task.schedule.cron
            else:
                row["period"] = task.schedule.period
                row["dispatch_interval"] = task.schedule.dispatch_interval
        text = task.monitor_text = dump(row)
    return text


def run_step(step: Step) -> dict[str, Any]:
    size, unit = scaled(step.size)
    return {
        "id": step.id,
        "status": step.code,
        "position": step.position,
        "position_status": step.position_status,
        "stage": step.stage,
        "dirty_data_count": step.dirty,
        "data_count": step.rows,
        "data_size": size,
        "data_size_unit": unit,
        "spend_time": step.spend,
        "remarks": step.remarks,
        "step_begin_time": step.begin,
        "step_end_time": step.end,
    }


def run_log(run: Run, timing: bool) -> bytes:
    """TaskMonitorLog, as text. The text of a finished run is kept: it never changes again."""
    if run.text is not None:
        return run.text
    active = run.active
    size, unit = scaled(run.size)
    if run.size_value is not None and run.size_unit is not None:
        size, unit = run.size_value, run.size_unit
    if run.spend_ms is not None:
        spend = run.spend_ms
    elif run.started_at:
        spend = int((time.monotonic() - run.started_at) * 1000)
    else:
        spend = 0
    row: dict[str, Any] = {
        "id": run.id,
        "start_time": run.start_time,
        "dispatch_time": run.dispatch_time,
        "end_time": run.end_time,
        "execute_status": run.execute_status,
        "position": run.position,
        "position_status": run.position_status,
        "status": run.code,
        "data_count": run.rows,
        "dirty_data_count": run.dirty,
        "data_size": size,
        "data_size_unit": unit,
        "spend_time": spend,
        "read_spend_time": run.read_ms if timing else None,
        "write_spend_time": run.write_ms,
        "remarks": run.remarks[:1000],
        "detail_logs": [run_step(step) for step in run.steps],
    }
    text = dump(row)
    if not active:
        run.text = text
    return text


def page(total: int, rows: list[bytes]) -> bytes:
    """{total, size, entities} from rows that are JSON text already."""
    return b'{"total":%d,"size":%d,"entities":[%s]}' % (total, len(rows), b",".join(rows))


def schedule(row: Schedule, switches: Switches) -> dict[str, Any]:
    """TaskDispatchRsp; empty fields are left out, as in the vendor's example."""
    answer: dict[str, Any] = {
        "dispatch_id": row.id,
        "task_id": row.task_id,
        "start_datetime": row.start_datetime,
        "period": row.period,
        "dispatch_interval": row.dispatch_interval,
        "created_date": row.created,
        "last_modified_date": row.modified,
        "remark": row.remark,
        "use_quartz_cron": row.use_quartz_cron,
        "cron": row.cron,
    }
    if switches.show_cron_timezone:
        answer["cron_timezone"] = row.cron_timezone
    return {key: value for key, value in answer.items() if value is not None}


def mapping(row: Mapping) -> dict[str, Any]:
    return {
        "id": row.id,
        "source_table": row.source_table,
        "target_table": row.target_table,
        "updated_time": row.updated,
        "mapping_percent": row.percent,
        "status": row.status,
        "source_columns": row.source_columns,
        "target_columns": row.target_columns,
        "mapping": row.columns,
    }


def composite(task: Task, rows: list[Mapping], total: int, store: Store, instance_id: str) -> dict[str, Any]:
    """MultiTaskInitElement."""
    source, target = store.datasources.get(task.source_ds), store.datasources.get(task.target_ds)
    schemas: dict[tuple[str, str], Mapping] = {}
    for row in rows:
        key = (row.source_table.rpartition(".")[0], row.target_table.rpartition(".")[0])
        if all(key):
            schemas.setdefault(key, row)
    return {
        "ext_info": {"server_id": task.server_id} if task.server_id else None,
        "task_id": task.id,
        "source_datasource_id": task.source_ds,
        "target_datasource_id": task.target_ds,
        "source_group": task.source_group,
        "target_group": task.target_group,
        "source_ds_id": task.source_ds,
        "target_ds_id": task.target_ds,
        "source_instance_id": instance_id,
        "target_instance_id": instance_id,
        "source_app_id": task.source_app_id,
        "target_app_id": task.target_app_id,
        "source_datasource_name": source.name if source else None,
        "target_datasource_name": target.name if target else None,
        "source_datasource_type": source.type if source else None,
        "target_datasource_type": target.type if target else None,
        "mappings": [mapping(row) for row in rows],
        "schema_mappings": [
            {
                "id": row.id,
                "source_schema": key[0],
                "target_schema": key[1],
                "updated_time": row.updated,
                "status": row.status,
            }
            for key, row in list(schemas.items())[:10]
        ],
        "mappings_total_count": total,
    }


def datasource(row: Datasource, instance_id: str) -> dict[str, Any]:
    return {
        "datasource_id": row.id,
        "datasource_name": row.name,
        "datasource_type": row.type,
        "vpc_id": None,
        "app_id": row.app_id,
        "app_name": app_name(row.app_id),
        "instance_id": instance_id,
        "create_time": row.created,
        "update_time": row.updated,
        "custom_plugin_id": None,
        "content": _without_secrets(row.content),
        "description": row.description or None,
        "app_permission": ["read", "access", "delete", "modify"],
    }


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "******"
            if isinstance(item, str) and item and any(key.lower().endswith(word) for word in _SECRET_KEYS)
            else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value
