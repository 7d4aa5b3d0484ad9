"""FDI as the vendor's documentation describes it: a second opinion beside the emulator.

For what the operators write. Written from the API reference alone, and small enough to be compared with it.
What a test does not script is answered as documented.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.server import Answer, Request, Scripted, Server

PROJECT = "5f0c3a4e2b1d49d8a7e6c5b4a3928170"
INSTANCE = "stand-in-instance"
TOKEN = "a-token-of-the-stand-in"

OPERATIONS = {
    "ListTasks": "GET /tasks",
    "CreateCommonTask": "POST /tasks",
    "ShowTask": "GET /tasks/{task_id}",
    "UpdateTask": "PUT /tasks/{task_id}",
    "DeleteTask": "DELETE /tasks/{task_id}",
    "RunTask": "POST /tasks/{task_id}/run",
    "StopTask": "POST /tasks/{task_id}/terminate",
    "ListMonitorLog": "GET /tasks/{task_id}/monitor-logs",
    "ShowDispatches": "GET /tasks/{task_id}/dispatches",
    "CreateDispatches": "POST /tasks/{task_id}/dispatches",
    "UpdateDispatches": "PUT /tasks/{task_id}/dispatches/{dispatch_id}",
    "BatchStartOrStopTasks": "POST /batch-operation/tasks",
    "InstallMultiTasks": "POST /multi-tasks/init",
    "CreateMultiTasks": "POST /multi-tasks",
    "UpdateMultiTasks": "PUT /multi-tasks/{task_id}",
    "CreateMultiTaskMappings": "POST /multi-tasks/{task_id}/mappings",
}
BASE = f"/v2/{PROJECT}/fdi/instances/{INSTANCE}"
PATTERNS = {
    name: re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template.replace(" ", f" {BASE}")))
    for name, template in OPERATIONS.items()
}

NULL = Answer(body=b"null")
CREATED = 1605311230685


def flat(code: str, message: str, status: int = 400) -> Answer:
    """The error body that most pages show."""
    return Answer(status, {"error_code": code, "error_msg": message})


def nested(code: str, message: str, status: int = 400) -> Answer:
    """The error body that the page on schedules shows."""
    return Answer(status, {"code": status, "reason": {"error_code": code, "error_msg": message}})


class StandIn(Server):
    """A server, and what it knows: tasks, schedules, run logs."""

    def reset(self) -> None:
        super().reset()
        self.always(self._as_documented)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.initialised: list[str] = []
        self.mappings: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._numbers = 0

    # What tests use

    def script(self, operation: str, *answers: Scripted) -> None:
        """Give these answers to the next requests of ``operation``, one each."""
        assert operation in OPERATIONS, operation
        self.then(*answers, operation=operation)

    def connection_json(self, **changes: Any) -> str:
        """The value of AIRFLOW_CONN_FDI_DEFAULT."""
        extra = {"auth_type": "token", "project_id": PROJECT, "instance_id": INSTANCE}
        return json.dumps({"conn_type": "fdi", "host": self.url, "password": TOKEN, "extra": extra} | changes)

    def of(self, operation: str) -> list[Request]:
        return [request for request in self.requests if request.operation == operation]

    @property
    def writes(self) -> list[Request]:
        """Everything but GET, in the order of arrival."""
        return [request for request in self.requests if request.method != "GET"]

    @property
    def written(self) -> list[str]:
        """The operations of :attr:`writes`."""
        return [request.operation for request in self.writes]

    def add_task(self, name: str, **fields: Any) -> str:
        """A task that is there already: a row as ListTasks shows it (``status`` 0: stopped, 1: running)."""
        task_id = fields.pop("task_id", None) or self._new_id("task")
        self.tasks[task_id] = {
            "task_id": task_id,
            "task_name": name,
            "task_type": "TIMING",
            "status": 0,
            **fields,
        }
        return str(task_id)

    def add_run(
        self, task_id: str, run_id: str, outcome: str, begin: int, end: int | None, **row: Any
    ) -> str:
        self.runs[task_id].append(
            {
                "id": run_id,
                "execute_status": outcome,
                "dispatch_time": begin,
                "start_time": begin,
                "end_time": end,
                "data_count": 10,
                "dirty_data_count": 0,
                "data_size": 1.0,
                "data_size_unit": "KB",
                "spend_time": (end or begin) - begin,
                "detail_logs": [],
                **row,
            }
        )
        return run_id

    def add_run_after_polls(self, polls: int, *run: Any) -> None:
        """Add this run (see :meth:`add_run`) once the log was read ``polls`` times without it."""

        def add(request: Request) -> None:
            self.add_run(*run)

        self.script("ListMonitorLog", *[lambda request: None] * polls, add)

    # Answering

    def route(self, request: Request) -> Request:
        for name, pattern in PATTERNS.items():
            if match := pattern.fullmatch(f"{request.method} {request.raw_path}"):
                return replace(request, operation=name, ids=match.groupdict())
        return request

    def _as_documented(self, request: Request) -> Answer:
        if request.headers.get_all("X-Auth-Token") != [TOKEN]:
            return flat("APIGW.0301", "Incorrect IAM authentication information", 401)
        handler = getattr(self, f"_{request.operation}", None)
        if handler is None:
            return flat("APIGW.0101", "The API does not exist or has not been published", 404)
        with self.lock:
            task_id = request.ids.get("task_id")
            if task_id is not None and task_id not in self.tasks and task_id not in self.initialised:
                return nested("FDI.3180", "This task is not in the project.", 404)
            found = handler(request, **request.ids)
        return found if isinstance(found, Answer) else Answer(body=found)

    def _new_id(self, kind: str) -> str:
        with self.lock:
            self._numbers += 1
            return f"{kind}-{self._numbers:028d}"

    def _ListTasks(self, request: Request) -> Any:
        query = request.query
        rows = [
            {**row, "created_date": "2020-11-14", "last_modified_time": CREATED}
            for row in self.tasks.values()
            if query.get("name", "").lower() in row["task_name"].lower()
            and query.get("task_id", row["task_id"]) == row["task_id"]
            and int(query.get("status", row["status"])) == row["status"]
        ]
        return _page(rows, request, first=0)

    def _ShowTask(self, request: Request, task_id: str) -> Any:
        row = self.tasks[task_id]
        task = {
            **row,
            "status": "running" if row["status"] else "stopped",
            "task_type": row["task_type"].lower(),
            "created_date": CREATED,
            "project_id": PROJECT,
        }
        return {"task": task, "task_detail": row.get("task_detail", "{}")}

    def _CreateCommonTask(self, request: Request) -> Any:
        row = _as_row(request.json)
        self.add_task(row.pop("task_name"), **row)
        # "Example Responses. Status code: 200 OK": null.
        return NULL

    def _UpdateTask(self, request: Request, task_id: str) -> Any:
        self.tasks[task_id] |= _as_row(request.json)
        return self._ShowTask(request, task_id)

    def _DeleteTask(self, request: Request, task_id: str) -> Any:
        del self.tasks[task_id]
        return Answer(204)

    def _RunTask(self, request: Request, task_id: str) -> Any:
        return NULL

    def _StopTask(self, request: Request, task_id: str) -> Any:
        for row in self.runs[task_id]:
            if row["execute_status"] == "RUNNING":
                row["execute_status"] = "CANCELLED"
        return NULL

    def _ListMonitorLog(self, request: Request, task_id: str) -> Any:
        begin = int(request.query.get("begin_time", 0))
        return _page([row for row in self.runs[task_id] if row["start_time"] >= begin], request, first=1)

    def _ShowDispatches(self, request: Request, task_id: str) -> Any:
        return self.schedules.get(task_id, NULL)

    def _CreateDispatches(self, request: Request, task_id: str) -> Any:
        self.schedules[task_id] = {
            "dispatch_id": self._new_id("dispatch"),
            "task_id": task_id,
            "created_date": CREATED,
            "last_modified_date": CREATED,
            **request.json,
        }
        return self.schedules[task_id]

    def _UpdateDispatches(self, request: Request, task_id: str, dispatch_id: str) -> Any:
        kept = ("dispatch_id", "task_id", "created_date", "last_modified_date")
        old = self.schedules[task_id]
        self.schedules[task_id] = {key: old[key] for key in kept} | request.json
        return self.schedules[task_id]

    def _BatchStartOrStopTasks(self, request: Request) -> Any:
        items = request.json.get("list")
        if not items:
            return flat("FDI.3150", "The task list is empty.")
        if len(items) > 10:
            return flat("FDI.3001", "The maximum length of the list array is 10.")
        success, failure = [], []
        for item in items:
            if row := self.tasks.get(item["task_id"]):
                row["status"] = 1 if request.json["action_id"] == "start" else 0
                success.append(item | {"task_name": row["task_name"]})
            else:
                failure.append(item | {"error_code": "FDI.3021", "error_msg": "The task does not exist."})
        counts = {"success_count": len(success), "failure_count": len(failure)}
        return counts | {"success": success, "failure": failure}

    def _InstallMultiTasks(self, request: Request) -> Any:
        self.initialised.append(self._new_id("task"))
        sides = {key: request.json.get(key) for key in ("source_datasource_id", "target_datasource_id")}
        return [{"task_id": self.initialised[-1], **sides, "mappings": [], "mappings_total_count": 0}]

    def _CreateMultiTasks(self, request: Request) -> Any:
        body = request.json
        fields = {"task_type": "REALTIME", "ext_type": "cdc"}
        return {"task_id": self.add_task(body["task_name"], task_id=body.get("task_id"), **fields)}

    def _UpdateMultiTasks(self, request: Request, task_id: str) -> Any:
        return {"task_id": task_id}

    def _CreateMultiTaskMappings(self, request: Request, task_id: str) -> Any:
        self.mappings[task_id].append(request.json)
        return {"mapping_id": self._new_id("mapping")}


def _page(rows: Sequence[Any], request: Request, first: int) -> dict[str, Any]:
    """A page as the listings answer; ``first``: the offset of the first row."""
    start = int(request.query.get("offset", first)) - first
    page = rows[start : start + min(int(request.query.get("limit", 10)), 999)]
    return {"total": len(rows), "size": len(page), "entities": page}


def _as_row(body: dict[str, Any]) -> dict[str, Any]:
    return body["task"] | {"task_detail": body["task_detail"]}
