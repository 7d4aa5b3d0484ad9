"""Common tasks: create, list, count, show, update, delete, run, terminate."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_fdi.emulator import rules, views
from airflow_provider_fdi.emulator.api import INSTANCE, Answer, Call, Operation
from airflow_provider_fdi.emulator.errors import invalid, service_error
from airflow_provider_fdi.emulator.state import Task

_EXECUTE_STATUSES = ("UNSTARTED", "WAITING", "RUNNING", "SUCCESS", "CANCELLED", "ERROR")


def find_task(call: Call) -> Task:
    """The task of the path. Raises 404 FDI.3081."""
    task = call.world.store.tasks.get(call.params["task_id"])
    if task is None:
        raise service_error("FDI.3081")
    return task


def check_name_free(call: Call, name: str, own: Task | None = None) -> None:
    taken = call.world.store.names.get(name, 0) - (1 if own is not None and own.name == name else 0)
    if taken > 0 and not call.world.switches.allow_duplicate_names:
        raise service_error("FDI.3002", message="The task name already exists.")


def _read(call: Call) -> tuple[dict[str, Any], str]:
    body = call.json_object()
    task = body.get("task")
    if not isinstance(task, dict):
        raise invalid("task")
    fields = {
        "name": rules.task_name(task),
        "type": rules.choice(task, "task_type", ("REALTIME", "TIMING")),
        "source_ds": rules.text(task, "source_datasource_id", required=True),
        "target_ds": rules.text(task, "target_datasource_id", required=True),
        "description": rules.text(task, "description", lengths=(1, 1024)),
        "tag": rules.task_tag(task),
    }
    detail = rules.task_detail(body)
    if call.world.switches.check_datasources:
        for field in ("source_ds", "target_ds"):
            if fields[field] not in call.world.store.datasources:
                raise invalid("source_datasource_id" if field == "source_ds" else "target_datasource_id")
    return fields, detail


def _answer(call: Call, task: Task) -> Any:
    world = call.world
    return {
        "task": views.task_basic(task, world.store, call.params["project_id"], world.switches),
        "task_detail": task.detail,
    }


def _bind_apps(call: Call, task: Task) -> None:
    source = call.world.store.datasources.get(task.source_ds)
    target = call.world.store.datasources.get(task.target_ds)
    if source is not None:
        task.source_app_id = source.app_id
    if target is not None:
        task.target_app_id = target.app_id


def create_task(call: Call) -> Any:
    fields, detail = _read(call)
    world = call.world
    with world.store.lock:
        check_name_free(call, fields["name"])
        now = world.clock.now_ms()
        task = Task(created=now, modified=now, detail=detail, **fields)
        _bind_apps(call, task)
        world.store.add_task(task)
        return None if world.switches.create_returns_null else _answer(call, task)


def update_task(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = find_task(call)
        fields, detail = _read(call)
        if task.composite:
            raise service_error("FDI.3002", message="Invalid parameters. The task is a composite task.")
        if task.started or task.active is not None:
            raise service_error("FDI.3023")
        check_name_free(call, fields["name"], task)
        if _window(task.detail) != _window(detail):
            task.watermark = None
        world.store.rename_task(task, fields.pop("name"))
        for name, value in fields.items():
            setattr(task, name, value)
        task.detail = detail
        task.modified = world.clock.now_ms()
        _bind_apps(call, task)
        task.touch()
        return None if world.switches.create_returns_null else _answer(call, task)


def _window(detail: str) -> list[Any]:
    """What an incremental task counts from: changing it makes the task begin again there."""
    try:
        source = json.loads(detail).get("sourceSelectedDatasource") or {}
    except (ValueError, AttributeError):
        return []
    names = ("need_inc_migration", "sourceDateColumn", "dataTimestamp", "sourceTable", "querySql")
    reset = source.get("reset_incr_begin_time")
    return [*(source.get(name) for name in names), object() if reset in (True, "true") else None]


def show_task(call: Call) -> Any:
    with call.world.store.lock:
        return _answer(call, find_task(call))


def delete_task(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = find_task(call)
        if task.started or task.active is not None:
            raise service_error("FDI.3028")
        world.ticker.disarm(task)
        world.store.remove_task(task)
    return None


def limit_of(call: Call) -> int:
    limit = call.number("limit", 10)
    if limit < 0:
        raise invalid("limit")
    return min(limit, call.world.switches.clamp_limit)


def list_tasks(call: Call) -> Any:
    world = call.world
    query = call.query
    limit, offset = limit_of(call), max(0, call.number("offset", 0))
    with world.store.lock:
        tasks = world.store.ordered_tasks()
        wanted = query.get("task_id")
        if wanted:
            found = world.store.tasks.get(wanted)
            tasks = [found] if found is not None else []
        part = query.get("name") or query.get("task_name")
        if part:
            tasks = [task for task in tasks if part in task.name]
        status = call.optional_number("status")
        if status is not None:
            if status not in (0, 1):
                raise invalid("status")
            tasks = [task for task in tasks if task.started == bool(status)]
        kind = query.get("task_type")
        if kind:
            if kind.upper() not in ("REALTIME", "TIMING"):
                raise invalid("task_type")
            tasks = [task for task in tasks if task.type == kind.upper()]
        execute_status = query.get("execute_status")
        if execute_status:
            if execute_status not in _EXECUTE_STATUSES:
                raise invalid("execute_status")
            tasks = [task for task in tasks if task.execute_status == execute_status]
        mode = query.get("task_mode")
        if mode:
            composite = mode.lower() in ("composite", "cdc", "multi")
            tasks = [task for task in tasks if task.composite == composite]
        for name, attribute in (
            ("source_datasource_id", "source_ds"),
            ("target_datasource_id", "target_ds"),
            ("source_app_id", "source_app_id"),
            ("target_app_id", "target_app_id"),
            ("task_tag", "tag"),
        ):
            value = query.get(name)
            if value:
                tasks = [task for task in tasks if getattr(task, attribute) == value]
        either = query.get("datasource_id")
        if either:
            tasks = [task for task in tasks if either in (task.source_ds, task.target_ds)]
        field = query.get("sort_field")
        if field:
            if field not in ("CREATED_DATE", "STATUS"):
                raise invalid("sort_field")
            key = (lambda task: task.created) if field == "CREATED_DATE" else (lambda task: int(task.started))
            tasks = sorted(tasks, key=key, reverse=query.get("sort_type", "ASC").upper() == "DESC")
        elif query.get("sort_type", "").upper() == "DESC":
            tasks = tasks[::-1]
        rows = [
            views.task_brief(task, world.instance_id, world.switches)
            for task in tasks[offset : offset + limit]
        ]
        return Answer(views.page(len(tasks), rows))


def count_tasks(call: Call) -> Any:
    names = ("running_tasks_count", "abnormal_tasks_count", "terminated_tasks_count", "completed_tasks_count")
    counts = {kind: dict.fromkeys(names, 0) for kind in (False, True)}
    with call.world.store.lock:
        for task in call.world.store.tasks.values():
            row = counts[task.composite]
            if task.execute_status == "ERROR":
                row["abnormal_tasks_count"] += 1
            elif task.started or task.active is not None:
                row["running_tasks_count"] += 1
            elif task.execute_status == "CANCELLED":
                row["terminated_tasks_count"] += 1
            elif task.execute_status == "SUCCESS":
                row["completed_tasks_count"] += 1
    return {"common_task_details": counts[False], "cdc_task_details": counts[True]}


def run_task(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = find_task(call)
        if task.composite or task.type != "TIMING":
            # Undocumented for streams; they are started and stopped, not scheduled.
            raise service_error("FDI.3026")
        if world.switches.run_requires_started and not task.started:
            raise service_error("FDI.3026")
        world.runner.dispatch(task, "manual")
    # No run id, in fact no body at all.
    return Answer(b"", media_type="")


def terminate_task(call: Call) -> Any:
    with call.world.store.lock:
        task = find_task(call)
    if not call.world.runner.cancel(task):
        raise service_error("FDI.3027")
    return {"message": "success"}


_TAG = "Task management"
_LIST_QUERY = (
    "limit",
    "offset",
    "task_id",
    "name",
    "task_name",
    "status",
    "task_type",
    "source_datasource_id",
    "target_datasource_id",
    "datasource_id",
    "sort_field",
    "sort_type",
    "execute_status",
    "source_app_id",
    "target_app_id",
    "task_tag",
    "task_mode",
)
_TASK = f"{INSTANCE}/tasks/{{task_id}}"

OPERATIONS = [
    Operation(
        "CreateCommonTask",
        "POST",
        f"{INSTANCE}/tasks",
        create_task,
        "Create a common task",
        _TAG,
        body="CreateCommonTaskRequestBody",
        answer="TaskResponseV2",
    ),
    Operation(
        "ListTasks",
        "GET",
        f"{INSTANCE}/tasks",
        list_tasks,
        "List tasks",
        _TAG,
        query=_LIST_QUERY,
        answer="FdiTaskPageQuery",
    ),
    Operation(
        "CountTasks",
        "GET",
        f"{INSTANCE}/statistics/tasks",
        count_tasks,
        "Count tasks by state",
        _TAG,
        answer="TaskStatistics",
    ),
    Operation(
        "UpdateTask",
        "PUT",
        _TASK,
        update_task,
        "Replace a stopped task's settings",
        _TAG,
        body="CreateCommonTaskRequestBody",
        answer="TaskResponseV2",
    ),
    Operation("ShowTask", "GET", _TASK, show_task, "Show a task", _TAG, answer="TaskResponseV2"),
    Operation("DeleteTask", "DELETE", _TASK, delete_task, "Delete a stopped task", _TAG, success=204),
    Operation("RunTask", "POST", f"{_TASK}/run", run_task, "Run a task once, now", _TAG),
    Operation(
        "StopTask",
        "POST",
        f"{_TASK}/terminate",
        terminate_task,
        "Stop what a task is executing",
        _TAG,
        answer="Message",
    ),
]
