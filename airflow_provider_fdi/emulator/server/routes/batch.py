"""Starting and stopping up to ten tasks in one request."""

from __future__ import annotations

import threading

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.server.routes.route import service_router
from airflow_provider_fdi.emulator.server.schemas import (
    BatchOperatorTaskResp,
    OperateTasksBean,
    TaskBeanFacade,
)
from airflow_provider_fdi.emulator.service.activation import Activation
from airflow_provider_fdi.emulator.service.errors import CATALOGUE, service_error
from airflow_provider_fdi.emulator.service.state import Store, Task


def _refuse_whole(starting: bool, tasks: list[Task | None], *, strict: bool) -> None:
    """Refuse the whole request, before any task of it is touched. Raises ServiceError."""
    if strict and None in tasks:
        raise service_error("FDI.3021")
    if not starting:
        return
    for task in tasks:
        if task is not None and not task.started and not task.is_stream and task.schedule is None:
            raise service_error("FDI.3083")
    if strict and any(task is not None and task.started for task in tasks):
        raise service_error("FDI.3023")


class BatchRoutes:
    """The handler of batches."""

    def __init__(self, store: Store, switches: Switches, activation: Activation) -> None:
        self._store = store
        self._switches = switches
        self._activation = activation

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router("Task management")
        router.post(
            "/batch-operation/tasks", operation_id="BatchStartOrStopTasks", response_model_exclude_unset=True
        )(self.batch_operate)
        return router

    async def batch_operate(self, body: OperateTasksBean) -> BatchOperatorTaskResp:
        """Start or stop up to ten tasks."""
        if not body.list:
            raise service_error("FDI.3150")
        ids = [item.task_id for item in body.list if item.task_id]
        if len(ids) != len(body.list):
            raise service_error("FDI.3022")
        starting = body.action_id == "start"
        ending: list[threading.Thread] = []
        answer = BatchOperatorTaskResp(success=[], failure=[])
        with self._store.lock:
            tasks = [self._store.tasks.get(task_id) for task_id in ids]
            _refuse_whole(starting, tasks, strict=self._switches.batch_errors == "request")
            for task_id, task in zip(ids, tasks, strict=True):
                if task is None:
                    code: str | None = "FDI.3021"
                else:
                    run = task.active
                    if not starting and task.is_stream and run is not None and run.thread is not None:
                        ending.append(run.thread)
                    code = self._activation.start(task) if starting else self._activation.stop(task)
                (answer.failure if code else answer.success).append(
                    TaskBeanFacade(
                        task_id=task_id,
                        task_name=task.name if task is not None else "",
                        error_code=code or "",
                        error_msg=CATALOGUE[code][1] if code else "",
                    )
                )
        for thread in ending:
            # A stopped stream has ended when the answer says so: the task may be updated or deleted next.
            await run_in_threadpool(thread.join, 3)
        if self._switches.batch_counts:
            answer.success_count, answer.failure_count = len(answer.success), len(answer.failure)
        return answer
