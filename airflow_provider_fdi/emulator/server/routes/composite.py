"""Composite (CDC) tasks: initialise, create, update, reset, and the mappings of their tables."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.routing import APIRoute

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.engine.engine import Engine
from airflow_provider_fdi.emulator.engine.mapping import auto_map
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import IN_PROJECT, PathId, store_of
from airflow_provider_fdi.emulator.server.routes.route import service_router
from airflow_provider_fdi.emulator.server.routes.tasks import check_name_free, check_quota
from airflow_provider_fdi.emulator.server.schemas import (
    AutoMappingForm,
    MappingQuery,
    Message,
    MultiTaskInitBody,
    MultiTaskInitElement,
    MultiTaskInitResult,
    MultiTaskMappingCreateBody,
    MultiTaskMappingCreateRsp,
    MultiTaskRequestBody,
    MultiTaskResetBody,
    MultiTaskUpdateBody,
    TaskSimpleRsp,
)
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import invalid, service_error
from airflow_provider_fdi.emulator.service.state import Datasource, Mapping, Store, Task, new_id

# Automatic mapping is the one operation that belongs to no instance, and that takes form data.

_TASK = "/multi-tasks/{task_id}"
_MAPPINGS = f"{_TASK}/mappings"


def _composite(task_id: str, store: Store) -> Task:
    """A composite task, created or only initialised. Raises 404 FDI.3081."""
    task = store.tasks.get(task_id) or store.drafts.get(task_id)
    if task is None or not (task.composite or task.draft):
        raise service_error("FDI.3081")
    return task


async def _find_composite(request: Request, task_id: PathId) -> Task:
    return _composite(task_id, store_of(request))


_TaskDep = Annotated[Task, Depends(_find_composite)]


async def _find_mapping(request: Request, task_id: PathId, mapping_id: PathId) -> Mapping:
    row = _composite(task_id, store_of(request)).mappings.get(mapping_id)
    if row is None:
        raise service_error("ROMA.00110006")
    return row


_MappingDep = Annotated[Mapping, Depends(_find_mapping)]


def _stopped(task: Task) -> Task:
    if task.started or task.active is not None:
        raise service_error("FDI.3023")
    return task


async def _find_stopped(request: Request, task_id: PathId) -> Task:
    return _stopped(_composite(task_id, store_of(request)))


_StoppedDep = Annotated[Task, Depends(_find_stopped)]


def _created(task: Task) -> Task:
    if task.draft:
        raise service_error("FDI.3081")
    return _stopped(task)


def _draft(clock: Clock, task_id: str | None = None) -> Task:
    now = clock.now_ms()
    return Task(name="", type="REALTIME", created=now, modified=now, id=task_id or new_id(), draft=True)


def _bind(task: Task, source: str | None, target: str | None, store: Store) -> None:
    """Give a task its data sources, and their integration applications."""
    for side, datasource_id in (("source", source), ("target", target)):
        if datasource_id:
            setattr(task, f"{side}_ds", datasource_id)
            row = store.datasources.get(datasource_id)
            if row is not None:
                setattr(task, f"{side}_app_id", row.app_id)


def _datasource(store: Store, datasource_id: str, field: str) -> Datasource:
    row = store.datasources.get(datasource_id)
    if row is None:
        raise invalid(field)
    return row


def _from_beginning(row: Mapping) -> None:
    row.last_key, row.first_copy_done, row.replace = None, False, True
    row.marks.clear()


def _columns(columns: list[Any] | None) -> list[dict[str, Any]]:
    return [column.model_dump(exclude_unset=True) for column in columns or []]


def _map(
    body: MultiTaskMappingCreateBody, task: Task, old: Mapping | None, store: Store, now: int
) -> Mapping:
    """The mapping as it was asked for; `old` is changed. Raises 400 FDI.3037."""
    source, target = body.source_datasource_id, body.target_datasource_id
    if (task.source_ds and source != task.source_ds) or (task.target_ds and target != task.target_ds):
        raise service_error("FDI.3037")
    columns = _columns(body.mapping_columns)
    if not all(item.get("source_column") and item.get("target_column") for item in columns):
        raise service_error("FDI.3037")
    for other in task.mappings.values():
        pair = (other.source_table, other.target_table)
        if other is not old and pair == (body.source_table, body.target_table):
            raise service_error("FDI.3037")
    _bind(task, source, target, store)
    if body.ext_info is not None and body.ext_info.server_id:
        task.server_id = body.ext_info.server_id
    left = _columns(body.source_columns)
    row = old or Mapping("", "", [], [], [], "MANUAL", now)
    row.source_table, row.target_table = body.source_table, body.target_table
    row.source_columns, row.target_columns, row.columns = left, _columns(body.target_columns), columns
    row.source_ds, row.target_ds = source, target
    row.percent = round(100 * len(columns) / len(left)) if left and columns else 100
    row.updated = now
    if old is not None:
        row.status = "UPDATE"
    return row


class CompositeRoutes:
    """Handlers of composite tasks."""

    def __init__(
        self, store: Store, clock: Clock, switches: Switches, engine: Engine, instance_id: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        self._engine = engine
        self._instance_id = instance_id

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Task management")
        router.post("/multi-tasks/init", operation_id="InstallMultiTasks", response_model_exclude_unset=True)(
            self.init_composite
        )
        router.post("/multi-tasks", operation_id="CreateMultiTasks")(self.create_composite)
        router.put(_TASK, operation_id="UpdateMultiTasks")(self.update_composite)
        router.post(f"{_TASK}/reset", operation_id="ResetMultiTaskOffset")(self.reset_composite)
        router.post(_MAPPINGS, operation_id="CreateMultiTaskMappings")(self.create_mapping)
        router.get(_MAPPINGS, operation_id="ListMultiTaskMappings", response_model_exclude_unset=True)(
            self.list_mappings
        )
        router.put(f"{_MAPPINGS}/{{mapping_id}}", operation_id="UpdateMultiTaskMappings")(self.update_mapping)
        router.delete(f"{_MAPPINGS}/{{mapping_id}}", operation_id="DeleteMultiTaskMapping")(
            self.delete_mapping
        )
        return router

    def form_router(self) -> APIRouter:
        """The routes."""
        form_router = service_router(
            "Task management", prefix="/v2/{project_id}/fdi", dependencies=IN_PROJECT, route_class=APIRoute
        )
        form_router.post(
            "/multi-tasks/mappings/auto",
            operation_id="CreateMultiTaskMappingsAutomatically",
            response_model_exclude_unset=True,
        )(self.auto_create_mappings)
        return form_router

    def init_composite(self, body: MultiTaskInitBody) -> list[MultiTaskInitElement] | MultiTaskInitResult:
        """Initialise a composite task."""
        with self._store.lock:
            task = self._store.drafts.get(body.task_id or "") or self._store.tasks.get(body.task_id or "")
            if task is not None and not (task.composite or task.draft):
                raise invalid("task_id")
            if task is None:
                task = _draft(self._clock, body.task_id)
            if body.ext_info is not None and body.ext_info.server_id:
                task.server_id = body.ext_info.server_id
            _bind(task, body.source_datasource_id, body.target_datasource_id, self._store)
            if body.auto_mapping:
                source = _datasource(self._store, task.source_ds, "source_datasource_id")
                target = _datasource(self._store, task.target_ds, "target_datasource_id")
                auto_map(task, source, target, self._engine.databases, self._clock)
            if task.draft:
                self._store.drafts[task.id] = task
            rows = list(task.mappings.values())
            element = answers.composite(task, rows[:10], len(rows), self._store, self._instance_id)
        return MultiTaskInitResult(init_result=[element]) if self._switches.init_as_dict else [element]

    async def create_composite(self, body: MultiTaskRequestBody) -> TaskSimpleRsp:
        """Create a composite task."""
        with self._store.lock:
            if body.task_id in self._store.tasks:
                raise invalid("task_id")
            check_name_free(body.task_name, self._store, self._switches)
            check_quota(self._store, self._switches)
            task = self._store.drafts.pop(body.task_id or "", None) or _draft(self._clock, body.task_id)
            task.name, task.draft, task.composite = body.task_name, False, True
            task.created = task.modified = self._clock.now_ms()
            task.description, task.tag = body.description or "", body.task_tag or ""
            task.operation_types = list(body.operation_types)
            task.source_app_id = body.source_app_id or task.source_app_id
            task.target_app_id = body.target_app_id or task.target_app_id
            self._store.add_task(task)
        return TaskSimpleRsp(task_id=task.id)

    async def update_composite(self, task: _TaskDep, body: MultiTaskUpdateBody) -> TaskSimpleRsp:
        """Update a stopped composite task."""
        with self._store.lock:
            _created(task)
            task.operation_types = list(body.operation_types)
            task.description, task.tag = body.description or "", body.task_tag or ""
            if body.repulling_snapshot:
                for row in task.mappings.values():
                    _from_beginning(row)
            task.modified = self._clock.now_ms()
            task.touch()
        return TaskSimpleRsp(task_id=task.id)

    async def reset_composite(self, task: _TaskDep, body: MultiTaskResetBody) -> Message:
        """Move a composite task's restart point."""
        with self._store.lock:
            _created(task)
            for row in task.mappings.values():
                earlier = [
                    mark for mark in row.marks if body.date_from is not None and mark[0] <= body.date_from
                ]
                if earlier:
                    _, row.last_key, row.first_copy_done = earlier[-1]
                    row.replace = True
                    del row.marks[len(earlier) :]
                else:
                    _from_beginning(row)
        return Message(message="Reset Success")

    async def create_mapping(
        self, task: _StoppedDep, body: MultiTaskMappingCreateBody
    ) -> MultiTaskMappingCreateRsp:
        """Map a table."""
        with self._store.lock:
            row = _map(body, task, None, self._store, self._clock.now_ms())
            task.mappings[row.id] = row
        return MultiTaskMappingCreateRsp(mapping_id=row.id)

    async def list_mappings(
        self, task: _TaskDep, query: Annotated[MappingQuery, Query()]
    ) -> MultiTaskInitElement:
        """List the mapped tables."""
        limit, first = min(query.limit, 1000), max(0, query.offset)
        with self._store.lock:
            rows = [
                row
                for row in task.mappings.values()
                if query.source_datasource_id in (None, row.source_ds)
                and query.target_datasource_id in (None, row.target_ds)
                and query.source_table in row.source_table
                and query.target_table in row.target_table
                and (query.table_name in row.source_table or query.table_name in row.target_table)
            ]
            answer = answers.composite(
                task, rows[first : first + limit], len(rows), self._store, self._instance_id
            )
            answer.total = len(rows)
            return answer

    async def update_mapping(
        self, row: _MappingDep, task: _StoppedDep, body: MultiTaskMappingCreateBody
    ) -> MultiTaskMappingCreateRsp:
        """Change a mapped table."""
        with self._store.lock:
            _map(body, task, row, self._store, self._clock.now_ms())
        return MultiTaskMappingCreateRsp(mapping_id=row.id)

    async def delete_mapping(self, row: _MappingDep, task: _StoppedDep) -> MultiTaskMappingCreateRsp:
        """Remove a mapped table."""
        with self._store.lock:
            del task.mappings[row.id]
        return MultiTaskMappingCreateRsp(mapping_id=row.id)

    def auto_create_mappings(self, form: Annotated[AutoMappingForm, Form()]) -> MultiTaskInitElement:
        """Map tables by their names."""
        with self._store.lock:
            source = _datasource(self._store, form.source_ds_id, "source_ds_id")
            target = _datasource(self._store, form.target_ds_id, "target_ds_id")
            if form.task_id:
                task = _stopped(_composite(form.task_id, self._store))
            else:
                task = _draft(self._clock)
                self._store.drafts[task.id] = task
            _bind(task, form.source_ds_id, form.target_ds_id, self._store)
            task.source_group = form.source_group or task.source_group
            task.target_group = form.target_group or task.target_group
            auto_map(
                task,
                source,
                target,
                self._engine.databases,
                self._clock,
                prefix=form.mapping_prefix,
                suffix=form.mapping_suffix,
                source_tables=form.source_select_mapping_tables,
                target_tables=form.target_select_mapping_tables,
            )
            rows = list(task.mappings.values())
            return answers.composite(task, rows[:10], len(rows), self._store, self._instance_id)
