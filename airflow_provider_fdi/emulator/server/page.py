"""The emulator's page for people: its tasks, their runs, and the last requests; it holds no secret.

``/`` shows everything, ``/?task=ID`` one task, ``/?task=ID&run=ID`` one run. A little script on the page asks
for it again every two seconds.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from datetime import datetime, timezone
from functools import cached_property
from importlib.resources import files
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, Template

from airflow_provider_fdi import __version__
from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.server.answers import scaled
from airflow_provider_fdi.emulator.server.emulator import Emulator
from airflow_provider_fdi.emulator.service.state import Run, Schedule, Task

MAX_TASKS = 100
MAX_RUNS = 20
MAX_REQUESTS = 40


def moment(ms: int | None) -> str:
    """A time of the log in UTC."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def duration(ms: int | None) -> str:
    """Milliseconds for people."""
    if ms is None:
        return ""
    if ms < 60_000:
        return f"{ms / 1000:.3g} s"
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"


def took(run: Run, now: int) -> int | None:
    """How long a run took, or has been taking until now."""
    if run.spend_ms is None and run.active and run.start_time is not None:
        return now - run.start_time
    return run.spend_ms


def size(run: Run) -> str:
    """How much a run has moved."""
    if run.size_value is not None:
        return f"{run.size_value:.3g} {run.size_unit}"
    value, unit = scaled(run.size)
    return f"{value:.3g} {unit}" if run.size else ""


def plan(schedule: Schedule | None) -> str:
    """When a schedule fires."""
    if schedule is None:
        return ""
    if schedule.use_quartz_cron:
        return f"{schedule.cron} {schedule.cron_timezone or ''}"
    return f"every {schedule.dispatch_interval or 1} {(schedule.period or 'DAY').lower()}"


def _last_activity(task: Task) -> int:
    return max(task.modified, task.runs[-1].dispatch_time if task.runs else 0)


def _digest(page: str, element: str) -> str:
    """The hash by which a Content-Security-Policy knows the one element of a name."""
    content = page.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


class Page:
    """Renders the page. Whatever comes from outside is escaped by the template's engine."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @cached_property
    def _source(self) -> str:
        return files(__package__).joinpath("page.html").read_text(encoding="utf-8")

    @cached_property
    def _template(self) -> Template:
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"moment": moment, "duration": duration, "size": size, "plan": plan}
        return environment.from_string(self._source)

    @cached_property
    def _headers(self) -> dict[str, str]:
        """Headers by which a browser runs the page's own script, and nothing else that may get into it."""
        own = {name: _digest(self._source, name) for name in ("style", "script")}
        policy = (
            f"default-src 'none'; style-src '{own['style']}'; script-src '{own['script']}';"
            " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'"
        )
        return {"Content-Security-Policy": policy, "Cache-Control": "no-store"}

    async def show(self, task: str | None = None, run: str | None = None, name: str = "") -> Response:
        """The page of everything, of a task, or of a run of it."""
        store = self._emulator.store
        # Runs change while they are read, so the lock is held until the text is complete.
        with store.lock:
            chosen = store.tasks.get(task) if task else None
            if task:
                values = self._of_task(chosen, run)
            else:
                values = self._of_all(name)
            found = chosen is not None or not task
            text = self._template.render(**values, task=chosen, asked=task, name=name, **self._about())
        return HTMLResponse(text, 200 if found else 404, self._headers)

    def _of_all(self, name: str) -> dict[str, Any]:
        store = self._emulator.store
        found = [task for task in store.ordered_tasks() if name.lower() in task.name.lower()]
        tasks = heapq.nlargest(MAX_TASKS, found, key=_last_activity)
        # The last runs of all are among the last runs of the tasks that ran last.
        active = heapq.nlargest(
            MAX_RUNS, (task for task in found if task.runs), key=lambda task: task.runs[-1].dispatch_time
        )
        runs = heapq.nlargest(
            MAX_RUNS,
            ((row, task) for task in active for row in task.runs[-MAX_RUNS:]),
            key=lambda pair: pair[0].dispatch_time,
        )
        return {
            "tasks": tasks,
            "total": len(found),
            "runs": runs,
            "requests": self._emulator.journal.latest(MAX_REQUESTS),
        }

    def _of_task(self, task: Task | None, run_id: str | None) -> dict[str, Any]:
        if task is None:
            return {}
        runs = [row for row in task.runs if row.id == run_id] if run_id else task.runs[: -MAX_RUNS - 1 : -1]
        requests = [row for row in self._emulator.journal.latest(10_000) if task.id in row["path"]]
        return {
            "tasks": [task],
            "total": 1,
            "runs": [(row, task) for row in runs],
            "run_id": run_id,
            "requests": requests[:MAX_REQUESTS],
        }

    def _about(self) -> dict[str, Any]:
        emulator = self._emulator
        switches, usual = emulator.switches.model_dump(), Switches().model_dump()
        prefixes = [
            f"/v2/{project.id}/fdi/instances/{instance}"
            for project in emulator.config.projects
            for instance in emulator.config.instances
        ]
        return {
            "version": __version__,
            "now": emulator.clock.now_ms(),
            "offset": emulator.clock.offset_ms,
            "switches": {key: value for key, value in switches.items() if value != usual[key]},
            "faults": emulator.faults.rows(),
            "datasources": emulator.store.datasources,
            "took": took,
            "planned": emulator.schedules.planned,
            "prefixes": prefixes,
            "shown": {"tasks": MAX_TASKS, "runs": MAX_RUNS, "requests": MAX_REQUESTS},
        }
