"""The control API under ``/_emulator/``: what tests do to the service. Not guarded, not in the journal."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, NonNegativeInt

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.constants import (
    APP_ID,
    STEP_WORDS,
    SUCCESS_REMARKS,
    TERMINAL,
)
from airflow_provider_fdi.emulator.engine.urls import url_from_content
from airflow_provider_fdi.emulator.server import answers
from airflow_provider_fdi.emulator.server.dependencies import store_of
from airflow_provider_fdi.emulator.server.emulator import Emulator
from airflow_provider_fdi.emulator.server.faults import Fault, FaultRule
from airflow_provider_fdi.emulator.server.routes.schedules import make_schedule
from airflow_provider_fdi.emulator.server.schemas import TaskDispatch
from airflow_provider_fdi.emulator.service.errors import ServiceError
from airflow_provider_fdi.emulator.service.runner import position_of
from airflow_provider_fdi.emulator.service.state import Datasource, Run, Script, Store, Task, new_id
from airflow_provider_fdi.emulator.suggest import nearest, suggestion
from airflow_provider_fdi.emulator.validation import DatabaseUrl, DatasourceType, Strict, explain

_OK = {"status": "ok"}


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


_Outcome = Annotated[Literal["SUCCESS", "CANCELLED", "ERROR"], BeforeValidator(_upper)]


class StepBody(Strict):
    """An additional step of a scripted run."""

    status: int = 102
    position: Literal["ADAPTER", "READER", "WRITER"] | None = None
    position_status: Literal["NORMAL", "NODE_END", "TASK_END", "RUNTIME_CANCEL", "RUNTIME_ERR"] = "NORMAL"
    stage: str | None = None
    remarks: str | None = None
    data_count: NonNegativeInt | None = None
    dirty_data_count: NonNegativeInt | None = None


class ScriptBody(Strict):
    """What the runs of a task do instead of moving data."""

    outcome: _Outcome = "SUCCESS"
    duration_ms: NonNegativeInt = 0
    waiting_ms: NonNegativeInt = 0
    hold: bool = False
    rows: NonNegativeInt = 0
    dirty_rows: NonNegativeInt = 0
    data_size: int | float | None = None
    data_size_unit: Literal["B", "KB", "MB", "GB", "TB"] = "B"
    remarks: str | None = None
    log_delay_ms: NonNegativeInt = 0
    error_code: int = 503
    steps: list[StepBody] = []

    def script(self) -> Script:
        """The script for the runner."""
        return Script(**{**dict(self), "steps": [step.model_dump(exclude_none=True) for step in self.steps]})


# One script, or several for one run after the other.
_Scripts = Annotated[
    list[ScriptBody], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]


class ReleaseBody(Strict):
    """How a held run ends: with its script's outcome and figures, or with these."""

    outcome: _Outcome | None = None
    rows: NonNegativeInt | None = None
    dirty_rows: NonNegativeInt | None = None
    remarks: str | None = None


class ClockBody(Strict):
    """Where to move the clock: to an offset, and by a time."""

    offset_ms: int | None = None
    advance_ms: int = 0


class ScheduleBody(Strict, TaskDispatch):
    """A schedule of a task to add."""


def _daily(value: Any) -> Any:
    if isinstance(value, bool):
        return {"period": "DAY", "dispatch_interval": 1} if value else None
    return value


class TasksBody(Strict):
    """Tasks to add; `schedule` true is once a day."""

    count: int = 1
    prefix: str = "task-"
    name: str | None = None
    task_id: str | None = None
    task_type: Literal["TIMING", "REALTIME"] = "TIMING"
    description: str | None = None
    task_tag: str | None = None
    source_datasource_id: str | None = None
    target_datasource_id: str | None = None
    task_detail: dict[str, Any] | str | None = None
    composite: bool = False
    started: bool | None = None
    script: _Scripts | None = None
    schedule: Annotated[ScheduleBody | None, BeforeValidator(_daily)] = None


class ChangeBody(Strict):
    """Whether the task is started."""

    started: bool


class RunBody(Strict):
    """A row of the run log; by default a success just now."""

    id: str | None = None
    execute_status: Annotated[
        Literal["SUCCESS", "CANCELLED", "ERROR", "WAITING", "RUNNING"], BeforeValidator(_upper)
    ] = "SUCCESS"
    dispatch_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    status: int | None = None
    position: str | None = None
    position_status: str | None = None
    data_count: int = 0
    dirty_data_count: int = 0
    size_bytes: int = 0
    data_size: int | float | None = None
    data_size_unit: str = "B"
    remarks: str | None = None
    refused: bool | None = None
    spend_time: int | None = None


class ExpireBody(Strict):
    """Whether the tokens of the configuration expire too."""

    include_static: bool = False


class LockBody(Strict):
    """The access key to lock; 0 seconds unlocks it."""

    access_key: str
    seconds: int | None = None


class DatasourceBody(Strict):
    """A data source, with a database behind it if `url` or `content` names one."""

    name: str
    type: DatasourceType = "MYSQL"
    url: DatabaseUrl | None = None
    content: dict[str, Any] | None = None
    id: str | None = None
    app_id: str | None = None


def _no_task(store: Store, task_id: str) -> LookupError:
    """That there is no such task, and which one was probably meant: by its id or, wrongly, by its name."""
    ids = {task.name: task.id for task in store.tasks.values()}
    words = f"there is no task with the id {task_id!r}"
    meant = nearest(task_id, [*ids, *store.tasks])
    if task_id in ids:
        words += f"; the task of this name has the id {ids[task_id]!r}"
    elif meant is not None:
        name = store.tasks[meant].name if meant in store.tasks else meant
        words += f"; did you mean {ids[name]!r}, the task {name!r}?"
    return LookupError(words)


async def _find_task(request: Request, task_id: str) -> Task:
    store = store_of(request)
    task = store.tasks.get(task_id)
    if task is None:
        raise _no_task(store, task_id)
    return task


_TaskDep = Annotated[Task, Depends(_find_task)]


def _task(body: TasksBody, name: str, now: int) -> Task:
    detail = body.task_detail
    if isinstance(detail, dict):
        detail = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
    scripts = [row.script() for row in body.script or []]
    if body.script is None and detail is None:
        scripts = [Script()]
    return Task(
        name=name,
        type=body.task_type,
        created=now,
        modified=now,
        id=body.task_id or new_id(),
        description=body.description or "",
        tag=body.task_tag or "",
        source_ds=body.source_datasource_id or "0" * 31 + "1",
        target_ds=body.target_datasource_id or "0" * 31 + "2",
        detail=detail or "{}",
        composite=body.composite,
        scripts=scripts,
    )


_CODES = {"SUCCESS": 901, "ERROR": 503, "CANCELLED": 16, "WAITING": 900, "RUNNING": 502}
_ENDS = {"SUCCESS": "TASK_END", "ERROR": "RUNTIME_ERR", "CANCELLED": "RUNTIME_CANCEL"}


def _run(task: Task, body: RunBody, now: int) -> Run:
    status = body.execute_status
    dispatch = next(time for time in (body.dispatch_time, body.start_time, now) if time is not None)
    code = _CODES[status] if body.status is None else body.status
    remarks = SUCCESS_REMARKS if status == "SUCCESS" else STEP_WORDS.get(code, "")
    run = Run(
        task_id=task.id,
        trigger="inserted",
        dispatch_time=dispatch,
        id=body.id or new_id(),
        accepted=not (code in (907, 909, 914) if body.refused is None else body.refused),
        execute_status=status,
        code=code,
        position=body.position or ("WRITER" if code == 901 else position_of(code)),
        position_status=body.position_status or _ENDS.get(status, "NORMAL"),
        rows=body.data_count,
        dirty=body.dirty_data_count,
        size=body.size_bytes,
        size_value=body.data_size,
        size_unit=body.data_size_unit,
        remarks=remarks if body.remarks is None else body.remarks,
        script=Script(rows=body.data_count, dirty_rows=body.dirty_data_count),
    )
    given = body.model_fields_set
    if status != "WAITING":
        run.start_time = body.start_time if "start_time" in given else dispatch
    if status in TERMINAL:
        run.end_time = body.end_time if "end_time" in given else run.start_time
        run.spend_ms = body.spend_time
        if run.spend_ms is None:
            run.spend_ms = (run.end_time or 0) - (run.start_time or 0)
    return run


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Answer what the control API refuses: {"error": why}."""
    if isinstance(error, ServiceError):
        return JSONResponse({"error": error.message}, error.status)
    if isinstance(error, RequestValidationError):
        return JSONResponse({"error": explain(error.errors())}, 400)
    if isinstance(error, LookupError):
        return JSONResponse({"error": str(error)}, 404)
    return JSONResponse({"error": str(error)}, 400)


REFUSALS: dict[int | type[Exception], Any] = dict.fromkeys(
    (ServiceError, RequestValidationError, LookupError, ValueError, TypeError), answer_refusal
)


class ControlRoutes:
    """Handlers of the control API."""

    def __init__(self, emulator: Emulator, operations: Collection[str]) -> None:
        self._operations = operations
        self._clock = emulator.clock
        self._store = emulator.store
        self._reset = emulator.reset
        self._journal = emulator.journal
        self._faults = emulator.faults
        self._switches = emulator.switches
        self._schedules = emulator.schedules
        self._activation = emulator.activation
        self._runner = emulator.runner
        self._access = emulator.access
        self._engine = emulator.engine

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        router.get("/health")(self.health)
        router.post("/reset")(self.reset)
        router.get("/journal", response_model=None)(self.show_journal)
        router.delete("/journal")(self.clear_journal)
        router.post("/faults")(self.add_fault)
        router.get("/faults")(self.list_faults)
        router.delete("/faults")(self.clear_faults)
        router.get("/switches")(self.show_switches)
        router.patch("/switches")(self.set_switches)
        router.get("/clock")(self.show_clock)
        router.post("/clock")(self.set_clock)
        router.post("/tasks")(self.add_tasks)
        router.get("/tasks/{task_id}")(self.show_task)
        router.patch("/tasks/{task_id}")(self.change_task)
        router.put("/tasks/{task_id}/script")(self.set_script)
        router.delete("/tasks/{task_id}/script")(self.clear_script)
        router.post("/tasks/{task_id}/release")(self.release)
        router.post("/tasks/{task_id}/runs")(self.add_run)
        router.get("/runs-started")(self.runs_started)
        router.get("/runs")(self.list_runs)
        router.post("/expire-tokens")(self.expire_tokens)
        router.get("/lock")(self.lock_state)
        router.post("/lock")(self.lock_key)
        router.post("/datasources")(self.add_datasource)
        return router

    def _check_operation(self, operation: str | None) -> None:
        if operation is not None and operation not in self._operations:
            raise ValueError(f"there is no operation {operation!r}{suggestion(operation, self._operations)}")

    async def health(self) -> dict[str, Any]:
        """Say that the emulator works, its time, and how many tasks there are."""
        return {**_OK, "time": self._clock.now_ms(), "tasks": len(self._store.tasks)}

    async def reset(self) -> dict[str, str]:
        """Forget everything but the configuration."""
        await run_in_threadpool(self._reset)
        return _OK

    async def show_journal(
        self, operation: str | None = None, since: int = 0, counts: bool = False
    ) -> list[dict[str, Any]] | dict[str, int]:
        """Requests, oldest first, or their numbers by operation."""
        self._check_operation(operation)
        return self._journal.counts() if counts else self._journal.rows(operation, since)

    async def clear_journal(self) -> dict[str, str]:
        """Forget the requests."""
        self._journal.clear()
        return _OK

    async def add_fault(self, rule: FaultRule) -> dict[str, int]:
        """Add a fault."""
        self._check_operation(rule.operation)
        return {"id": self._faults.add(rule).id}

    async def list_faults(self) -> list[Fault]:
        """List the faults, with how often they struck."""
        return self._faults.rows()

    async def clear_faults(self) -> dict[str, str]:
        """Remove all faults."""
        self._faults.clear()
        return _OK

    async def show_switches(self) -> Switches:
        """Show the switches."""
        return self._switches

    async def set_switches(self, changes: dict[str, Any]) -> Switches:
        """Change switches."""
        with self._store.lock:
            self._switches.change(changes)
            self._store.forget_texts()
        return self._switches

    async def show_clock(self) -> dict[str, int]:
        """Show the emulator's time, and how far it is from the machine's."""
        return {"now_ms": self._clock.now_ms(), "offset_ms": self._clock.offset_ms}

    async def set_clock(self, body: ClockBody) -> dict[str, int]:
        """Move the clock."""
        if body.offset_ms is not None:
            self._clock.set_offset(body.offset_ms)
        if body.advance_ms:
            self._clock.advance(body.advance_ms)
        if (body.offset_ms or 0) < 0 or body.advance_ms < 0:
            # A firing planned before the self._clock was moved back may now be too late.
            with self._store.lock:
                for task in self._store.tasks.values():
                    self._schedules.arm(task)
        return {"now_ms": self._clock.now_ms(), "offset_ms": self._clock.offset_ms}

    async def add_tasks(self, body: TasksBody) -> dict[str, list[str]]:
        """Add tasks, past the rules of the API."""
        ids = []
        with self._store.lock:
            for number in range(body.count):
                task = _task(body, body.name or f"{body.prefix}{number:05d}", self._clock.now_ms())
                if task.id in self._store.tasks:
                    raise ValueError(f"the task id {task.id} is taken")
                if body.schedule:
                    task.schedule = make_schedule(task.id, body.schedule, self._clock, self._switches)
                self._store.add_task(task)
                code = self._activation.start(task) if body.started else None
                if code:
                    raise ValueError(f"{code}: the task cannot be started (a TIMING task needs a schedule)")
                ids.append(task.id)
        return {"ids": ids}

    async def show_task(self, task: _TaskDep) -> dict[str, Any]:
        """Show what the emulator knows of a task."""
        with self._store.lock:
            return {
                "task_id": task.id,
                "task_name": task.name,
                "started": task.started,
                "execute_status": task.execute_status,
                "active_run": task.active.id if task.active else None,
                "next_firing": self._schedules.planned(task),
                "runs": len(task.runs),
            }

    async def change_task(self, task: _TaskDep, body: ChangeBody) -> dict[str, bool]:
        """Start or stop a task."""
        with self._store.lock:
            code = self._activation.start(task) if body.started else self._activation.stop(task)
        if code:
            raise ValueError(f"{code}: cannot change the task")
        return {"started": task.started}

    async def set_script(self, task: _TaskDep, body: _Scripts) -> dict[str, int]:
        """Give a task one script, or several for its next runs."""
        with self._store.lock:
            task.scripts = [row.script() for row in body]
        return {"scripts": len(task.scripts)}

    async def clear_script(self, task: _TaskDep) -> dict[str, int]:
        """Let the runs of a task move data again."""
        with self._store.lock:
            task.scripts = []
        return {"scripts": 0}

    async def release(self, task: _TaskDep, body: ReleaseBody | None = None) -> dict[str, int]:
        """End a held run."""
        with self._store.lock:
            run = task.active
            if run is None or run.thread is not None:
                return {"released": 0}
            if run.script is not None:
                # The script is shared with later runs of the task: change a copy.
                run.script = replace(
                    run.script, **(body or ReleaseBody()).model_dump(exclude={"outcome"}, exclude_unset=True)
                )
            return {"released": int(self._runner.end_script(task, run, body.outcome if body else None))}

    async def add_run(self, task: _TaskDep, body: RunBody) -> dict[str, str]:
        """Insert a row into a task's log, as if the run had happened (or were happening)."""
        with self._store.lock:
            run = _run(task, body, self._clock.now_ms())
            if run.active and task.active is not None:
                raise ValueError("the task has an active run already")
            task.runs.append(run)
            if run.active:
                task.active = run
            if run.accepted and (task.last is None or not task.last.active):
                task.last = max(
                    (row for row in task.runs if row.accepted),
                    key=lambda row: (row.active, row.dispatch_time),
                )
            self._runner.step(
                task, run, run.code, run.position_status, position=run.position, remarks=run.remarks
            )
            task.touch()
        return {"id": run.id}

    async def runs_started(
        self, task_id: str | None = None, trigger: Literal["manual", "schedule", "start"] | None = None
    ) -> dict[str, dict[str, list[Any]]]:
        """List the dispatches by task, accepted and refused."""
        with self._store.lock:
            rows = [row for row in self._store.dispatches if task_id in (None, row["task_id"])]
            # A task that ran and was deleted still counts.
            if task_id is not None and not rows and task_id not in self._store.tasks:
                raise _no_task(self._store, task_id)
        answer: dict[str, dict[str, list[Any]]] = {}
        for row in rows:
            if trigger in (None, row["trigger"]):
                entry = answer.setdefault(row["task_id"], {"accepted": [], "refused": []})
                entry["accepted" if row["accepted"] else "refused"].append(row)
        return answer

    async def list_runs(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """List the runs of a task or of all tasks, oldest first: rows of the log, with their steps."""
        with self._store.lock:
            if task_id is not None and task_id not in self._store.tasks:
                raise _no_task(self._store, task_id)
            return [
                {
                    "task_id": task.id,
                    "task_name": task.name,
                    **json.loads(answers.run_row(run, task.type == "TIMING")),
                }
                for task in self._store.ordered_tasks()
                if task_id in (None, task.id)
                for run in task.runs
            ]

    async def expire_tokens(self, body: ExpireBody | None = None) -> dict[str, int]:
        """Make the tokens that IAM issued invalid."""
        return {
            "expired": self._access.expire_tokens(include_static=body is not None and body.include_static)
        }

    async def lock_state(self) -> dict[str, Any]:
        """Show locked access keys and counted signature failures."""
        return self._access.state()

    async def lock_key(self, body: LockBody) -> dict[str, Any]:
        """Lock an access key as five bad signatures would."""
        self._access.lock_key(body.access_key, body.seconds)
        return self._access.state()

    async def add_datasource(self, body: DatasourceBody) -> dict[str, str]:
        """Add a data source."""
        content = body.content or ({"mode": "professional", "url": body.url} if body.url else {})
        now = self._clock.now_ms()
        row = Datasource(
            name=body.name,
            type=body.type,
            content=content,
            created=now,
            updated=now,
            id=body.id or new_id(),
            app_id=body.app_id or APP_ID,
            url=body.url or url_from_content(body.type, content),
        )
        with self._store.lock:
            self._store.datasources[row.id] = row
        if row.url is not None:
            self._engine.warm_up()
        return {"id": row.id}
