"""Answers, made from the state.

Rows of the big lists are JSON text: a page is joined from texts that are kept until something in them
changes.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from fastapi import Response

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.constants import APP_ID
from airflow_provider_fdi.emulator.server.schemas import (
    BriefTaskRespBean,
    DataSourceRsp,
    MultiTaskInitElement,
    TaskBasicRsp,
    TaskDispatchRsp,
    TaskMonitorDetailLog,
    TaskMonitorInfo,
    TaskMonitorLog,
    TaskResponseV2,
)
from airflow_provider_fdi.emulator.service.state import (
    Datasource,
    Mapping,
    Run,
    Schedule,
    Step,
    Store,
    Task,
)

_UNITS = ("B", "KB", "MB", "GB", "TB")
_SECRET_KEYS = ("password", "secret", "sk", "ssl_password", "authorization")


def app_name(app_id: str) -> str:
    """The name of an integration application."""
    return "emulator-app" if app_id == APP_ID else f"app-{app_id[:8]}"


def scaled(size: int) -> tuple[float, str]:
    """A size in bytes as number and unit (1024-based). Division by 1024 is exact: nothing is rounded."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return value, _UNITS[unit]


def task_response(task: Task, store: Store, project_id: str, switches: Switches) -> TaskResponseV2:
    """A common task; an empty description or tag is left out."""
    source, target = store.datasources.get(task.source_ds), store.datasources.get(task.target_ds)
    optional = {"description": task.description, "task_tag": task.tag}
    return TaskResponseV2(
        task=TaskBasicRsp(
            task_id=task.id,
            task_name=task.name,
            task_type=task.type.lower(),  # type: ignore[arg-type]
            status="running" if task.started else switches.status_style,
            project_id=project_id,
            source_datasource_id=task.source_ds,
            target_datasource_id=task.target_ds,
            source_datasource_name=source.name if source else "",
            target_datasource_name=target.name if target else "",
            source_app_id=task.source_app_id,
            target_app_id=task.target_app_id,
            source_app_name=app_name(task.source_app_id),
            target_app_name=app_name(task.target_app_id),
            created_date=task.created,
            last_modified_date=task.modified,
            **{name: value for name, value in optional.items() if value},
        ),
        task_detail=task.detail,
    )


def task_row(task: Task, instance_id: str, switches: Switches) -> str:
    """A row of ListTasks, as JSON text."""
    text = task.brief_text
    if text is None:
        created: int | str = task.created
        if switches.created_date_style == "iso":
            created = datetime.fromtimestamp(task.created / 1000, tz=timezone.utc).strftime("%Y-%m-%d")
        text = task.brief_text = BriefTaskRespBean(
            task_id=task.id,
            task_name=task.name,
            task_type=task.type,  # type: ignore[arg-type]
            status=int(task.started),  # type: ignore[arg-type]
            created_date=created,
            last_modified_time=task.modified,
            execute_status=task.execute_status,  # type: ignore[arg-type]
            source_app_id=task.source_app_id,
            target_app_id=task.target_app_id,
            source_instance_id=instance_id,
            target_instance_id=instance_id,
            ext_type="cdc" if task.composite else None,
            task_tag=task.tag or None,
        ).model_dump_json()
    return text


def monitor_row(task: Task, instance_id: str) -> str:
    """A row of ListMonitorInfos, as JSON text."""
    text = task.monitor_text
    if text is None:
        last, schedule = task.last, task.schedule
        info = TaskMonitorInfo(
            task_id=task.id,
            task_name=task.name,
            task_type=task.type,  # type: ignore[arg-type]
            status=int(task.started),  # type: ignore[arg-type]
            last_execute_time=(last.start_time or last.dispatch_time) if last else None,
            position=last.position if last else None,
            execute_status=task.execute_status,  # type: ignore[arg-type]
            source_app_id=task.source_app_id,
            source_app_name=app_name(task.source_app_id),
            source_instance_id=instance_id,
            target_app_id=task.target_app_id,
            target_app_name=app_name(task.target_app_id),
            target_instance_id=instance_id,
            ext_type="CDC" if task.composite else None,
            enterprise_project_id="0",
            task_tag=task.tag or None,
        )
        if schedule is not None:
            info.use_quartz_cron = schedule.use_quartz_cron
            if schedule.use_quartz_cron:
                info.cron = schedule.cron
            else:
                info.period, info.dispatch_interval = schedule.period, schedule.dispatch_interval
        text = task.monitor_text = info.model_dump_json(exclude_unset=True)
    return text


def run_step(step: Step) -> TaskMonitorDetailLog:
    """A step of a run."""
    size, unit = scaled(step.size)
    return TaskMonitorDetailLog(
        id=step.id,
        status=step.code,
        position=step.position,
        position_status=step.position_status,
        stage=step.stage,
        dirty_data_count=step.dirty,
        data_count=step.rows,
        data_size=size,
        data_size_unit=unit,
        spend_time=step.spend,
        remarks=step.remarks,
        step_begin_time=step.begin,
        step_end_time=step.end,
    )


def run_row(run: Run, timing: bool) -> str:
    """A row of ListMonitorLog, as JSON text. The text of a finished run is kept: it never changes again."""
    if run.text is not None:
        return run.text
    size, unit = scaled(run.size)
    if run.size_value is not None and run.size_unit is not None:
        size, unit = run.size_value, run.size_unit
    if run.spend_ms is not None:
        spend = run.spend_ms
    elif run.started_at:
        spend = int((time.monotonic() - run.started_at) * 1000)
    else:
        spend = 0
    text = TaskMonitorLog(
        id=run.id,
        start_time=run.start_time,
        dispatch_time=run.dispatch_time,
        end_time=run.end_time,
        execute_status=run.execute_status,  # type: ignore[arg-type]
        position=run.position,
        position_status=run.position_status,
        status=run.code,
        data_count=run.rows,
        dirty_data_count=run.dirty,
        data_size=size,
        data_size_unit=unit,
        spend_time=spend,
        read_spend_time=run.read_ms if timing else None,
        write_spend_time=run.write_ms,
        remarks=run.remarks[:1000],
        detail_logs=[run_step(step) for step in run.steps],
    ).model_dump_json()
    if not run.active:
        run.text = text
    return text


def page(total: int, rows: list[str]) -> Response:
    """{total, size, entities} from rows that are JSON text already."""
    text = '{"total":%d,"size":%d,"entities":[%s]}' % (total, len(rows), ",".join(rows))  # noqa: UP031
    return Response(text, media_type="application/json")


def schedule(row: Schedule, switches: Switches) -> TaskDispatchRsp:
    """A task's schedule, without its empty fields."""
    optional = {
        "start_datetime": row.start_datetime,
        "period": row.period,
        "dispatch_interval": row.dispatch_interval,
        "remark": row.remark,
        "cron": row.cron,
        "cron_timezone": row.cron_timezone if switches.show_cron_timezone else None,
    }
    return TaskDispatchRsp(
        dispatch_id=row.id,
        task_id=row.task_id,
        created_date=row.created,
        last_modified_date=row.modified,
        use_quartz_cron=row.use_quartz_cron,
        **{name: value for name, value in optional.items() if value is not None},  # type: ignore[arg-type]
    )


def _mapping(row: Mapping) -> dict[str, Any]:
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


def composite(
    task: Task, rows: list[Mapping], total: int, store: Store, instance_id: str
) -> MultiTaskInitElement:
    """A composite task and some of its mapped tables."""
    source, target = store.datasources.get(task.source_ds), store.datasources.get(task.target_ds)
    schemas: dict[tuple[str, str], Mapping] = {}
    for row in rows:
        key = (row.source_table.rpartition(".")[0], row.target_table.rpartition(".")[0])
        if all(key):
            schemas.setdefault(key, row)
    return MultiTaskInitElement.model_validate(
        {
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
            "mappings": [_mapping(row) for row in rows],
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
    )


def datasource(row: Datasource, instance_id: str) -> DataSourceRsp:
    """A data source, its secrets masked."""
    return DataSourceRsp(
        datasource_id=row.id,
        datasource_name=row.name,
        datasource_type=row.type,
        app_id=row.app_id,
        app_name=app_name(row.app_id),
        instance_id=instance_id,
        create_time=row.created,
        update_time=row.updated,
        content=_without_secrets(row.content),
        description=row.description or None,
    )


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
