"""Schedules ("dispatches"): one per task, by interval or by Quartz expression."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import PathId, store_of
from airflow_provider_fdi.emulator.server.routes.route import NestedErrorRoute, service_router
from airflow_provider_fdi.emulator.server.schemas import NoSchedule, TaskDispatch, TaskDispatchRsp
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import invalid, service_error
from airflow_provider_fdi.emulator.service.quartz import Quartz
from airflow_provider_fdi.emulator.service.schedules import Schedules
from airflow_provider_fdi.emulator.service.state import Schedule, Store, Task
from airflow_provider_fdi.emulator.service.timezones import parse_timezone

_PATH = "/tasks/{task_id}/dispatches"


async def _find_task(request: Request, task_id: PathId) -> Task:
    task = store_of(request).tasks.get(task_id)
    if task is None:
        raise service_error("FDI.3180")
    return task


_TaskDep = Annotated[Task, Depends(_find_task)]


async def _without_schedule(request: Request, task: _TaskDep) -> Task:
    """The task of the path, if it may get a schedule."""
    if task.is_stream:
        raise service_error("FDI.3002", message="Invalid parameters. Only a scheduled task has a schedule.")
    if task.schedule is not None and request.app.state.emulator.switches.second_schedule == "refuse":
        raise service_error("FDI.3002", message="Invalid parameters. The task already has a schedule.")
    return task


async def _find_schedule(task: _TaskDep, dispatch_id: PathId) -> Schedule:
    if task.schedule is None or task.schedule.id != dispatch_id:
        raise service_error("ROMA.00110006")
    return task.schedule


def make_schedule(task_id: str, body: TaskDispatch, clock: Clock, switches: Switches) -> Schedule:
    """A schedule as it was asked for. Raises ServiceError for an expression that never fires."""
    now = clock.now_ms()
    if body.cron is not None:
        moment = datetime.fromtimestamp(now / 1000, tz=timezone.utc)
        zone = parse_timezone(body.cron_timezone or switches.default_timezone)
        if Quartz.parse(body.cron).next_after(moment, zone) is None:
            raise invalid("cron", "It never fires")
    return Schedule(
        task_id=task_id,
        start_datetime=body.start_datetime,
        period=body.period,
        dispatch_interval=body.dispatch_interval,
        remark=body.remark,
        use_quartz_cron=body.use_quartz_cron or False,
        cron=body.cron,
        cron_timezone=body.cron_timezone,
        created=now,
        modified=now,
    )


class ScheduleRoutes:
    """Handlers of schedules."""

    def __init__(self, store: Store, clock: Clock, switches: Switches, schedules: Schedules) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        self._schedules = schedules

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Task management", route_class=NestedErrorRoute)
        router.post(_PATH, operation_id="CreateDispatches", response_model_exclude_unset=True)(
            self.create_schedule
        )
        router.put(
            f"{_PATH}/{{dispatch_id}}", operation_id="UpdateDispatches", response_model_exclude_unset=True
        )(self.update_schedule)
        router.get(
            _PATH,
            operation_id="ShowDispatches",
            response_model=TaskDispatchRsp | NoSchedule | None,
            response_model_exclude_unset=True,
        )(self.show_schedule)
        return router

    async def create_schedule(
        self, task: Annotated[Task, Depends(_without_schedule)], body: TaskDispatch
    ) -> TaskDispatchRsp:
        """Create a task's schedule."""
        with self._store.lock:
            task.schedule = make_schedule(task.id, body, self._clock, self._switches)
            task.touch()
            self._schedules.arm(task)
            return answers.schedule(task.schedule, self._switches)

    async def update_schedule(
        self, task: _TaskDep, old: Annotated[Schedule, Depends(_find_schedule)], body: TaskDispatch
    ) -> TaskDispatchRsp:
        """Replace a task's schedule."""
        with self._store.lock:
            row = make_schedule(task.id, body, self._clock, self._switches)
            row.id, row.created = old.id, old.created
            task.schedule = row
            task.touch()
            self._schedules.arm(task)
            return answers.schedule(row, self._switches)

    async def show_schedule(self, task: _TaskDep) -> TaskDispatchRsp | NoSchedule | Response | None:
        """Show a task's schedule."""
        with self._store.lock:
            if task.schedule is not None:
                return answers.schedule(task.schedule, self._switches)
        style = self._switches.no_schedule_answer
        if style == "404":
            raise service_error("ROMA.00110006")
        if style == "empty":
            return Response()
        return NoSchedule() if style == "object" else None
