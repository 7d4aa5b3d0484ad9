"""The control API under ``/_emulator/``: what tests do to the service. Not guarded, not in the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from airflow_provider_fdi.emulator import rules
from airflow_provider_fdi.emulator.config import DEFAULT_APP_ID
from airflow_provider_fdi.emulator.errors import ServiceError
from airflow_provider_fdi.emulator.routes.batch import start_task, stop_task
from airflow_provider_fdi.emulator.routes.schedules import read_schedule
from airflow_provider_fdi.emulator.runner import STEP_WORDS, SUCCESS_REMARKS, position_of, script_from_dict
from airflow_provider_fdi.emulator.state import TERMINAL, Datasource, Run, Script, Task, new_id
from airflow_provider_fdi.emulator.urls import url_from_content
from airflow_provider_fdi.emulator.views import dump
from airflow_provider_fdi.emulator.world import World


def build_router(world: World) -> APIRouter:
    router = APIRouter(prefix="/_emulator", include_in_schema=False)

    def route(
        method: str, path: str, action: Callable[[Request, Any], Any], *, threaded: bool = False
    ) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                body = await request.json() if await request.body() else {}
                answer = await run_in_threadpool(action, request, body) if threaded else action(request, body)
            except ServiceError as error:
                return Response(dump({"error": error.message}), error.status, media_type="application/json")
            except LookupError as error:
                return Response(dump({"error": f"not found: {error}"}), 404, media_type="application/json")
            except (ValueError, TypeError) as error:
                return Response(dump({"error": str(error)}), 400, media_type="application/json")
            return Response(dump(answer), media_type="application/json")

        router.add_api_route(path, endpoint, methods=[method])

    def find(request: Request) -> Task:
        return world.store.tasks[request.path_params["task_id"]]

    def health(request: Request, body: Any) -> Any:
        return {"status": "ok", "time": world.clock.now_ms(), "tasks": len(world.store.tasks)}

    def reset(request: Request, body: Any) -> Any:
        world.reset()
        return {"status": "ok"}

    def journal(request: Request, body: Any) -> Any:
        query = request.query_params
        if query.get("counts"):
            return world.journal.counts()
        return world.journal.rows(query.get("operation"), int(query.get("since", "0")))

    def clear_journal(request: Request, body: Any) -> Any:
        world.journal.clear()
        return {"status": "ok"}

    def add_fault(request: Request, body: Any) -> Any:
        return {"id": world.faults.add(body).id}

    def list_faults(request: Request, body: Any) -> Any:
        return world.faults.rows()

    def clear_faults(request: Request, body: Any) -> Any:
        world.faults.clear()
        return {"status": "ok"}

    def get_switches(request: Request, body: Any) -> Any:
        return world.switches.as_dict()

    def set_switches(request: Request, body: Any) -> Any:
        with world.store.lock:
            world.switches.change(body)
            world.store.forget_texts()
        return world.switches.as_dict()

    def get_clock(request: Request, body: Any) -> Any:
        return {"now_ms": world.clock.now_ms(), "offset_ms": world.clock.offset_ms}

    def set_clock(request: Request, body: Any) -> Any:
        if "offset_ms" in body:
            world.clock.set_offset(body["offset_ms"])
        if "advance_ms" in body:
            world.clock.advance(body["advance_ms"])
        with world.store.lock:
            # Plans already made may lie on the wrong side of a clock that was moved back.
            if body.get("offset_ms", 0) < 0 or body.get("advance_ms", 0) < 0:
                for task in world.store.tasks.values():
                    world.ticker.arm(task)
        return get_clock(request, body)

    def set_script(request: Request, body: Any) -> Any:
        scripts = [script_from_dict(row) for row in (body if isinstance(body, list) else [body])]
        with world.store.lock:
            find(request).scripts = scripts
        return {"scripts": len(scripts)}

    def clear_script(request: Request, body: Any) -> Any:
        with world.store.lock:
            find(request).scripts = []
        return {"scripts": 0}

    def release(request: Request, body: Any) -> Any:
        with world.store.lock:
            task = find(request)
            run = task.active
            if run is None or run.thread is not None:
                return {"released": 0}
            if run.script is not None:
                for name in ("rows", "dirty_rows", "remarks"):
                    if name in body:
                        # The script is shared with later runs of the task: change a copy.
                        run.script = _changed(run.script, name, body[name])
            return {"released": int(world.runner.end_script(task, run, body.get("outcome")))}

    def add_tasks(request: Request, body: Any) -> Any:
        count, prefix = int(body.pop("count", 1)), body.pop("prefix", "task-")
        named = body.pop("name", None)
        with world.store.lock:
            return {
                "ids": [_add_task(world, named or f"{prefix}{number:05d}", body) for number in range(count)]
            }

    def change_task(request: Request, body: Any) -> Any:
        with world.store.lock:
            task = find(request)
            if body.get("started") is True:
                code = start_task(world, task)
            elif body.get("started") is False:
                code = stop_task(world, task)
            else:
                raise ValueError("only `started` can be changed")
        if code:
            raise ValueError(f"{code}: cannot change the task")
        return {"started": task.started}

    def show_task(request: Request, body: Any) -> Any:
        with world.store.lock:
            task = find(request)
            return {
                "task_id": task.id,
                "task_name": task.name,
                "started": task.started,
                "execute_status": task.execute_status,
                "active_run": task.active.id if task.active else None,
                "next_firing": world.ticker.planned(task),
                "runs": len(task.runs),
            }

    def add_run(request: Request, body: Any) -> Any:
        with world.store.lock:
            return {"id": _add_run(world, find(request), body)}

    def runs_started(request: Request, body: Any) -> Any:
        wanted = request.query_params.get("task_id")
        with world.store.lock:
            rows = [row for row in world.store.dispatches if wanted is None or row["task_id"] == wanted]
        answer: dict[str, dict[str, list[Any]]] = {}
        for row in rows:
            entry = answer.setdefault(row["task_id"], {"accepted": [], "refused": []})
            entry["accepted" if row["accepted"] else "refused"].append(row)
        return answer

    def expire_tokens(request: Request, body: Any) -> Any:
        return {"expired": world.access.expire_tokens(include_static=bool(body.get("include_static")))}

    def lock_state(request: Request, body: Any) -> Any:
        return world.access.state()

    def lock_key(request: Request, body: Any) -> Any:
        world.access.lock_key(body["access_key"], body.get("seconds"))
        return world.access.state()

    def add_datasource(request: Request, body: Any) -> Any:
        now = world.clock.now_ms()
        kind = str(body.get("type", "MYSQL")).upper()
        url = body.get("url")
        content = body.get("content") or ({"mode": "professional", "url": url} if url else {})
        with world.store.lock:
            row = Datasource(
                name=body["name"],
                type=kind,
                content=content,
                created=now,
                updated=now,
                id=body.get("id") or new_id(),
                app_id=body.get("app_id") or DEFAULT_APP_ID,
                url=url or url_from_content(kind, content),
            )
            world.store.datasources[row.id] = row
        if row.url is not None:
            world.warm_up()
        return {"id": row.id}

    route("GET", "/health", health)
    route("POST", "/reset", reset, threaded=True)
    route("GET", "/journal", journal)
    route("DELETE", "/journal", clear_journal)
    route("POST", "/faults", add_fault)
    route("GET", "/faults", list_faults)
    route("DELETE", "/faults", clear_faults)
    route("GET", "/switches", get_switches)
    route("PATCH", "/switches", set_switches)
    route("GET", "/clock", get_clock)
    route("POST", "/clock", set_clock)
    route("POST", "/tasks", add_tasks)
    route("GET", "/tasks/{task_id}", show_task)
    route("PATCH", "/tasks/{task_id}", change_task)
    route("PUT", "/tasks/{task_id}/script", set_script)
    route("DELETE", "/tasks/{task_id}/script", clear_script)
    route("POST", "/tasks/{task_id}/release", release)
    route("POST", "/tasks/{task_id}/runs", add_run)
    route("GET", "/runs-started", runs_started)
    route("POST", "/expire-tokens", expire_tokens)
    route("GET", "/lock", lock_state)
    route("POST", "/lock", lock_key)
    route("POST", "/datasources", add_datasource)
    return router


def _changed(script: Script, name: str, value: Any) -> Script:
    fields = {key: getattr(script, key) for key in Script.__slots__}
    fields[name] = value
    return Script(**fields)


def _add_task(world: World, name: str, body: dict[str, Any]) -> str:
    now = world.clock.now_ms()
    detail = body.get("task_detail")
    if isinstance(detail, dict):
        detail = dump(detail).decode("utf-8")
    task = Task(
        name=name,
        type=rules.choice(
            {"task_type": body.get("task_type", "TIMING")}, "task_type", ("TIMING", "REALTIME")
        ),
        created=now,
        modified=now,
        id=body.get("task_id") or new_id(),
        description=body.get("description") or "",
        tag=body.get("task_tag") or "",
        source_ds=body.get("source_datasource_id") or "0" * 31 + "1",
        target_ds=body.get("target_datasource_id") or "0" * 31 + "2",
        detail=detail or "{}",
        composite=bool(body.get("composite")),
    )
    script = body.get("script")
    if script is not None:
        task.scripts = [script_from_dict(row) for row in (script if isinstance(script, list) else [script])]
    elif detail is None:
        task.scripts = [Script()]
    schedule = body.get("schedule")
    if schedule is True:
        schedule = {"period": "DAY", "dispatch_interval": 1}
    if schedule:
        task.schedule = read_schedule(schedule, task.id, now, world.switches.default_timezone)
    if task.id in world.store.tasks:
        raise ValueError(f"the task id {task.id} is taken")
    world.store.add_task(task)
    if body.get("started"):
        code = start_task(world, task)
        if code:
            raise ValueError(f"{code}: the task cannot be started (a TIMING task needs a schedule)")
    return task.id


def _add_run(world: World, task: Task, body: dict[str, Any]) -> str:
    """Insert a row into the task's log, as if the run had happened (or were happening)."""
    now = world.clock.now_ms()
    status = str(body.get("execute_status", "SUCCESS")).upper()
    if status not in TERMINAL and status not in ("WAITING", "RUNNING"):
        raise ValueError(f"execute_status {status!r} is not a run's state")
    dispatch = int(body.get("dispatch_time", body.get("start_time", now)))
    run = Run(task_id=task.id, trigger="inserted", dispatch_time=dispatch)
    run.id = body.get("id") or run.id
    run.execute_status = status
    if status != "WAITING":
        run.start_time = body.get("start_time", dispatch)
    codes = {"SUCCESS": 901, "ERROR": 503, "CANCELLED": 16, "WAITING": 900, "RUNNING": 502}
    ends = {"SUCCESS": "TASK_END", "ERROR": "RUNTIME_ERR", "CANCELLED": "RUNTIME_CANCEL"}
    run.code = int(body.get("status", codes[status]))
    run.position = body.get("position", "WRITER" if run.code == 901 else position_of(run.code))
    run.position_status = body.get("position_status", ends.get(status, "NORMAL"))
    run.rows, run.dirty = int(body.get("data_count", 0)), int(body.get("dirty_data_count", 0))
    run.size = int(body.get("size_bytes", 0))
    if "data_size" in body:
        run.size_value, run.size_unit = body["data_size"], body.get("data_size_unit", "B")
    run.remarks = body.get(
        "remarks", SUCCESS_REMARKS if status == "SUCCESS" else STEP_WORDS.get(run.code, "")
    )
    run.script = Script(rows=run.rows, dirty_rows=run.dirty)
    run.accepted = not body.get("refused", run.code in (907, 909, 914))
    if status in TERMINAL:
        run.end_time = body.get("end_time", run.start_time)
        run.spend_ms = int(body.get("spend_time", (run.end_time or 0) - (run.start_time or 0)))
    elif task.active is not None:
        raise ValueError("the task has an active run already")
    task.runs.append(run)
    if run.active:
        task.active = run
    if run.accepted and (task.last is None or not task.last.active):
        task.last = max(
            (row for row in task.runs if row.accepted), key=lambda row: (row.active, row.dispatch_time)
        )
    world.runner.step(task, run, run.code, run.position_status, position=run.position, remarks=run.remarks)
    task.touch()
    return run.id
