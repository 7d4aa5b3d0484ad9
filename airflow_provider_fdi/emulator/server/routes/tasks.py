"""Common tasks: create, list, count, show, update, delete, run, terminate."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import TaskDep
from airflow_provider_fdi.emulator.server.routes.route import service_router
from airflow_provider_fdi.emulator.server.schemas import (
    CreateCommonTaskRequestBody,
    FdiTaskPageQuery,
    Message,
    TaskQuery,
    TaskResponseV2,
    TaskStatisticDetails,
    TaskStatistics,
)
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import invalid, service_error
from airflow_provider_fdi.emulator.service.runner import Runner
from airflow_provider_fdi.emulator.service.schedules import Schedules
from airflow_provider_fdi.emulator.service.state import Store, Task

_TASK = "/tasks/{task_id}"


def check_name_free(name: str, store: Store, switches: Switches, own: Task | None = None) -> None:
    """Raises 400 FDI.3002 if another task has the name."""
    taken = store.names.get(name, 0) - (1 if own is not None and own.name == name else 0)
    if taken > 0 and not switches.allow_duplicate_names:
        raise service_error("FDI.3002", message="The task name already exists.")


def check_quota(store: Store, switches: Switches) -> None:
    """Raises 400 FDI.3002 if the instance has as many tasks as it may have."""
    # The vendor documents the number, but not the error.
    quota = switches.task_quota
    if quota and len(store.tasks) >= quota:
        raise service_error("FDI.3002", message=f"Invalid parameters. The instance has its {quota} tasks.")


def _fields(body: CreateCommonTaskRequestBody, store: Store, switches: Switches) -> dict[str, Any]:
    """The settings of a task, as attributes of :class:`Task`."""
    task = body.task
    if switches.check_datasources:
        for field in ("source_datasource_id", "target_datasource_id"):
            if getattr(task, field) not in store.datasources:
                raise invalid(field)
    fields: dict[str, Any] = {
        "name": task.task_name,
        "type": task.task_type,
        "source_ds": task.source_datasource_id,
        "target_ds": task.target_datasource_id,
        "description": task.description or "",
        "tag": task.task_tag or "",
        "detail": body.task_detail,
    }
    for side in ("source", "target"):
        datasource = store.datasources.get(fields[f"{side}_ds"])
        if datasource is not None:
            fields[f"{side}_app_id"] = datasource.app_id
    return fields


def _window(detail: str) -> list[Any]:
    """What an incremental task counts from: if it changes, the task begins again there."""
    try:
        source = json.loads(detail).get("sourceSelectedDatasource") or {}
    except (ValueError, AttributeError):
        return []
    names = ("need_inc_migration", "sourceDateColumn", "dataTimestamp", "sourceTable", "querySql")
    reset = source.get("reset_incr_begin_time")
    return [*(source.get(name) for name in names), object() if reset in (True, "true") else None]


def _matching(query: TaskQuery, store: Store) -> list[Task]:
    """The tasks that all filters let through, oldest first."""
    tasks = store.ordered_tasks()
    if query.task_id:
        found = store.tasks.get(query.task_id)
        tasks = [found] if found is not None else []
    part = query.name or query.task_name
    if part:
        tasks = [task for task in tasks if part in task.name]
    if query.task_mode:
        composite = query.task_mode.lower() in ("composite", "cdc", "multi")
        tasks = [task for task in tasks if task.composite == composite]
    if query.datasource_id:
        tasks = [task for task in tasks if query.datasource_id in (task.source_ds, task.target_ds)]
    exact = {
        "started": None if query.status is None else bool(query.status),
        "type": query.task_type and query.task_type.upper(),
        "execute_status": query.execute_status,
        "source_ds": query.source_datasource_id,
        "target_ds": query.target_datasource_id,
        "source_app_id": query.source_app_id,
        "target_app_id": query.target_app_id,
        "tag": query.task_tag,
    }
    for name, value in exact.items():
        if value is not None:
            tasks = [task for task in tasks if getattr(task, name) == value]
    return tasks


def _project(request: Request) -> str:
    return str(request.path_params["project_id"])


class TaskRoutes:
    """Handlers of common tasks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        switches: Switches,
        schedules: Schedules,
        runner: Runner,
        instance_id: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        self._schedules = schedules
        self._instance_id = instance_id
        self._runner = runner

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Task management")
        router.post("/tasks", operation_id="CreateCommonTask", response_model_exclude_unset=True)(
            self.create_task
        )
        router.put(_TASK, operation_id="UpdateTask", response_model_exclude_unset=True)(self.update_task)
        router.get(_TASK, operation_id="ShowTask", response_model_exclude_unset=True)(self.show_task)
        router.delete(_TASK, operation_id="DeleteTask", status_code=204, response_model=None)(
            self.delete_task
        )
        router.get("/tasks", operation_id="ListTasks", response_model=FdiTaskPageQuery)(self.list_tasks)
        router.get("/statistics/tasks", operation_id="CountTasks")(self.count_tasks)
        router.post(f"{_TASK}/run", operation_id="RunTask", response_class=Response)(self.run_task)
        router.post(f"{_TASK}/terminate", operation_id="StopTask")(self.terminate_task)
        return router

    async def create_task(self, body: CreateCommonTaskRequestBody, request: Request) -> TaskResponseV2 | None:
        """Create a common task."""
        with self._store.lock:
            fields = _fields(body, self._store, self._switches)
            check_name_free(fields["name"], self._store, self._switches)
            check_quota(self._store, self._switches)
            now = self._clock.now_ms()
            task = Task(created=now, modified=now, **fields)
            self._store.add_task(task)
            if self._switches.create_returns_null:
                return None
            return answers.task_response(task, self._store, _project(request), self._switches)

    async def update_task(
        self, task: TaskDep, body: CreateCommonTaskRequestBody, request: Request
    ) -> TaskResponseV2 | None:
        """Replace a stopped task's settings."""
        with self._store.lock:
            fields = _fields(body, self._store, self._switches)
            if task.composite:
                raise service_error("FDI.3002", message="Invalid parameters. The task is a composite task.")
            if task.started or task.active is not None:
                raise service_error("FDI.3023")
            check_name_free(fields["name"], self._store, self._switches, task)
            if _window(task.detail) != _window(body.task_detail):
                task.watermark = None
            self._store.rename_task(task, fields.pop("name"))
            for name, value in fields.items():
                setattr(task, name, value)
            task.modified = self._clock.now_ms()
            task.touch()
            if self._switches.create_returns_null:
                return None
            return answers.task_response(task, self._store, _project(request), self._switches)

    async def show_task(self, task: TaskDep, request: Request) -> TaskResponseV2:
        """Show a task."""
        with self._store.lock:
            return answers.task_response(task, self._store, _project(request), self._switches)

    async def delete_task(self, task: TaskDep) -> None:
        """Delete a stopped task."""
        with self._store.lock:
            if task.started or task.active is not None:
                raise service_error("FDI.3028")
            self._schedules.disarm(task)
            self._store.remove_task(task)

    async def list_tasks(self, query: Annotated[TaskQuery, Query()]) -> Response:
        """List tasks."""
        with self._store.lock:
            tasks = _matching(query, self._store)
            if query.sort_field:
                by_date = query.sort_field == "CREATED_DATE"
                tasks = sorted(
                    tasks,
                    key=lambda task: task.created if by_date else int(task.started),
                    reverse=query.sort_type.upper() == "DESC",
                )
            elif query.sort_type.upper() == "DESC":
                tasks = tasks[::-1]
            first = max(0, query.offset)
            rows = [
                answers.task_row(task, self._instance_id, self._switches)
                for task in tasks[first : first + min(query.limit, self._switches.clamp_limit)]
            ]
            return answers.page(len(tasks), rows)

    async def count_tasks(self) -> TaskStatistics:
        """Count tasks by state."""
        common, composite = TaskStatisticDetails(), TaskStatisticDetails()
        with self._store.lock:
            for task in self._store.tasks.values():
                row = composite if task.composite else common
                if task.execute_status == "ERROR":
                    row.abnormal_tasks_count += 1
                elif task.started or task.active is not None:
                    row.running_tasks_count += 1
                elif task.execute_status == "CANCELLED":
                    row.terminated_tasks_count += 1
                elif task.execute_status == "SUCCESS":
                    row.completed_tasks_count += 1
        return TaskStatistics(common_task_details=common, cdc_task_details=composite)

    async def run_task(self, task: TaskDep) -> Response:
        """Run a task once, now."""
        # Streams are started and stopped, not run; what the service says to that is not documented.
        if task.is_stream or (self._switches.run_requires_started and not task.started):
            raise service_error("FDI.3026")
        self._runner.dispatch(task, "manual")
        # No run id, in fact no body at all.
        return Response()

    async def terminate_task(self, task: TaskDep) -> Message:
        """Stop what a task is executing."""
        if not self._runner.cancel(task):
            raise service_error("FDI.3027")
        return Message(message="success")
