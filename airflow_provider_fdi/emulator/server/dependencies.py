"""What is asked before a handler: the journal, faults, who may call, and what the path names."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Path, Request

from airflow_provider_fdi.emulator.server.emulator import Emulator
from airflow_provider_fdi.emulator.server.gateway import Call, Struck
from airflow_provider_fdi.emulator.service.errors import ServiceError, service_error
from airflow_provider_fdi.emulator.service.permissions import check_permission
from airflow_provider_fdi.emulator.service.state import Datasource, Store, Task

# Bodies that hold a password: never kept in the journal.
_SECRET_BODIES = frozenset({"KeystoneCreateToken", "CreateTemporaryAccessKey"})
_MAX_BODY = 12 * 1024 * 1024

PathId = Annotated[str, Path(description="1 to 64 characters")]


async def receive(request: Request) -> None:
    """Note a request in the journal, and let faults strike that do not handle it. Raises Struck."""
    emulator: Emulator = request.app.state.emulator
    call = call_of(request)
    operation = request.scope["route"].operation_id
    call.entry = emulator.journal.add(
        time=emulator.clock.now_ms(),
        method=call.method,
        path=call.path,
        target=f"{call.raw_path}?{call.raw_query}" if call.raw_query else call.raw_path,
        query=dict(parse_qsl(call.raw_query, keep_blank_values=True)),
        headers=call.headers,
        body=b"" if operation in _SECRET_BODIES else call.body,
        operation=operation,
        request_id=call.request_id,
    )
    delay_ms = emulator.switches.latency_ms
    if emulator.faults:
        extra_ms, call.fault = emulator.faults.take(operation, call.method, call.path)
        delay_ms += extra_ms
    if delay_ms:
        await asyncio.sleep(delay_ms / 1000)
    if call.fault is not None:
        call.entry["fault"] = call.fault.kind
        if not call.fault.handles:
            raise Struck


async def admit_to_project(request: Request) -> None:
    """Receive a request; check rate limit, caller, project and permission. Raises Struck, ServiceError."""
    await receive(request)
    project_id = request.path_params["project_id"]
    emulator: Emulator = request.app.state.emulator
    call = call_of(request)
    if len(call.body) > _MAX_BODY:
        raise ServiceError(413, "APIGW.0201", "Request entity too large")
    limit = emulator.switches.rate_limit
    if limit and not request.app.state.rate.admit(limit):
        headers = {"Retry-After": str(emulator.switches.retry_after_s)}
        raise service_error("APIGW.0308", limit, headers=headers)
    caller = call.check_access(emulator.access)
    known = any(project.id == project_id for project in emulator.config.projects)
    if not known or caller.project_id not in (None, project_id):
        raise service_error("FDI.3039")
    actions = emulator.switches.iam_actions if caller.actions is None else caller.actions
    check_permission(request.scope["route"].operation_id, actions)


async def admit_to_instance(request: Request) -> None:
    """As :func:`admit_to_project`, and check the instance."""
    await admit_to_project(request)
    ids = request.path_params
    if ids["instance_id"] not in request.app.state.emulator.config.instances:
        raise service_error("ROMA.00110002", ids["project_id"], ids["instance_id"])


RECEIVED = [Depends(receive)]
IN_PROJECT = [Depends(admit_to_project)]
IN_INSTANCE = [Depends(admit_to_instance)]


def call_of(request: Request) -> Call:
    """The request as the gateway received it."""
    call: Call = request.scope["fdi.call"]
    return call


def store_of(request: Request) -> Store:
    """The emulator's store."""
    emulator: Emulator = request.app.state.emulator
    return emulator.store


async def find_task(request: Request, task_id: PathId) -> Task:
    """The task of the path. Raises 404 FDI.3081."""
    task = store_of(request).tasks.get(task_id)
    if task is None:
        raise service_error("FDI.3081")
    return task


async def find_datasource(request: Request, datasource_id: PathId) -> Datasource:
    """The data source of the path. Raises 404 ROMA.00110006."""
    row = store_of(request).datasources.get(datasource_id)
    if row is None:
        raise service_error("ROMA.00110006")
    return row


TaskDep = Annotated[Task, Depends(find_task)]
DatasourceDep = Annotated[Datasource, Depends(find_datasource)]
