"""The task that the doctor makes, finds again and removes.

The names of what is made begin with :data:`PREFIX`. A later doctor finds by it what a killed one left.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.doctor.evidence import NotSeen, Reply
from airflow_provider_fdi.doctor.probe import Probe
from airflow_provider_fdi.doctor.reading import NOWHERE

PREFIX = "airflow-fdi-doctor-"
MISSING_TABLE = "airflow_fdi_doctor_no_such_table"
NOTHING: Mapping[str, Any] = {
    "sourceSelectedDatasource": {"sourceTable": MISSING_TABLE, "sourceSelectedColumnList": []},
    "targetSelectedDatasource": {"targetTable": MISSING_TABLE, "targetNeedCreateTable": False},
    "mappingTable": [],
}
"""The settings of a task whose runs fail before they read anything: its table does not exist."""
REMOVALS = 8
"""How often removing a task is tried."""


@dataclass(frozen=True)
class TaskPlan:
    """What the doctor's task is made of. Without data sources, ids are made up that belong to none."""

    source_id: str = ""
    target_id: str = ""
    detail: Mapping[str, Any] | None = None


def create(probe: Probe, plan: TaskPlan) -> str:
    """Create the task; its id."""
    name = PREFIX + secrets.token_hex(4)
    reply = probe.ask("create_nowhere", "CreateCommonTask", body=task_body(name, NOWHERE, NOWHERE, plan))
    if reply.ok and not plan.source_id:
        probe.replies["create"] = reply
        return _id_of(probe, reply, name)
    if reply.ok:
        remove(probe, _id_of(probe, reply, name))
    elif not plan.source_id:
        advice = "" if reply.status == 403 else "; give --source and --target"
        raise NotSeen(
            f"CreateCommonTask with data sources that do not exist was refused ({reply.said}){advice}"
        )
    name = PREFIX + secrets.token_hex(4)
    reply = probe.ask(
        "create", "CreateCommonTask", body=task_body(name, plan.source_id, plan.target_id, plan)
    )
    if not reply.ok:
        raise NotSeen(f"CreateCommonTask was refused ({reply.said})")
    return _id_of(probe, reply, name)


def task_body(name: str, source_id: str, target_id: str, plan: TaskPlan) -> dict[str, Any]:
    task = {
        "task_name": name,
        "task_type": "TIMING",
        "source_datasource_id": source_id,
        "target_datasource_id": target_id,
        "description": "Made by airflow fdi doctor, which removes it",
    }
    return {"task": task, "task_detail": json.dumps(plan.detail or NOTHING)}


def _id_of(probe: Probe, reply: Reply, name: str) -> str:
    """The id of a new task, from the answer or from the list."""
    probe.figures["own_name"] = name
    task_id = reply.part("task").get("task_id")
    if isinstance(task_id, str) and task_id:
        return task_id
    for row in probe.ask("own_by_name", "ListTasks", {"limit": PAGE_SIZE, "offset": 0, "name": name}).rows:
        if row.get("task_name") == name and isinstance(row.get("task_id"), str):
            return str(row["task_id"])
    raise NotSeen("the new task is not in the list of tasks")


def sweep(probe: Probe) -> None:
    """Remove every task of a doctor, and count what is left."""
    try:
        tasks = own_tasks(probe)
        for task_id in tasks:
            remove(probe, task_id)
        probe.figures["swept"] = len(tasks)
        probe.figures["left"] = len(own_tasks(probe)) if tasks else 0
    except NotSeen as reason:
        probe.figures.pop("left", None)
        probe.reasons["left"] = str(reason)


def own_tasks(probe: Probe) -> list[str]:
    query = {"limit": PAGE_SIZE, "offset": 0, "name": PREFIX, "task_name": PREFIX}
    reply = probe.ask("own_tasks", "ListTasks", query, removing=True)
    if not reply.ok:
        raise NotSeen(f"ListTasks was refused ({reply.said})")
    return [
        str(row["task_id"])
        for row in reply.rows
        if str(row.get("task_name")).startswith(PREFIX) and row.get("task_id")
    ]


def remove(probe: Probe, task_id: str) -> None:
    """Delete a task; where that is refused, stop it and what it is executing first."""
    for attempt in range(REMOVALS):
        reply = probe.ask("delete", "DeleteTask", removing=True, task_id=task_id)
        if reply.ok or (reply.status == 404 and reply.by_service):
            return
        operate(probe, "stop_to_remove", "stop", task_id, removing=True)
        probe.ask("terminate_to_remove", "StopTask", removing=True, task_id=task_id)
        if attempt:
            time.sleep(min(0.1 * 2**attempt, 5.0))


def operate(probe: Probe, name: str, action: str, task_id: str, *, removing: bool = False) -> Reply:
    body = {"action_id": action, "list": [{"task_id": task_id}]}
    return probe.ask(name, "BatchStartOrStopTasks", body=body, removing=removing)


def succeeded(reply: Reply) -> bool:
    failures = reply.data.get("failure") if isinstance(reply.data, dict) else None
    return reply.ok and not failures
