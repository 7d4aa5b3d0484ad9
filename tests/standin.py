"""FDI as the vendor's documentation describes it: a second opinion beside the emulator.

For what the operators write. Written from the API reference alone, and small enough to be held against
it. Every request is kept byte for byte. What is not scripted is answered as documented;
:meth:`StandIn.script` puts other answers, or faults, in front.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = "5f0c3a4e2b1d49d8a7e6c5b4a3928170"
INSTANCE = "stand-in-instance"
TOKEN = "a-token-of-the-stand-in"

OPERATIONS = {
    ("GET", "/tasks"): "ListTasks",
    ("POST", "/tasks"): "CreateCommonTask",
    ("GET", "/tasks/{task_id}"): "ShowTask",
    ("PUT", "/tasks/{task_id}"): "UpdateTask",
    ("DELETE", "/tasks/{task_id}"): "DeleteTask",
    ("POST", "/tasks/{task_id}/run"): "RunTask",
    ("POST", "/tasks/{task_id}/terminate"): "StopTask",
    ("GET", "/tasks/{task_id}/monitor-logs"): "ListMonitorLog",
    ("GET", "/tasks/{task_id}/dispatches"): "ShowDispatches",
    ("POST", "/tasks/{task_id}/dispatches"): "CreateDispatches",
    ("PUT", "/tasks/{task_id}/dispatches/{dispatch_id}"): "UpdateDispatches",
    ("POST", "/batch-operation/tasks"): "BatchStartOrStopTasks",
    ("POST", "/multi-tasks/init"): "InstallMultiTasks",
    ("POST", "/multi-tasks"): "CreateMultiTasks",
    ("PUT", "/multi-tasks/{task_id}"): "UpdateMultiTasks",
    ("POST", "/multi-tasks/{task_id}/mappings"): "CreateMultiTaskMappings",
}


@dataclass(frozen=True)
class Request:
    operation: str
    line: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def method(self) -> str:
        return self.line.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode()

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {k: v[-1] for k, v in parse_qs(urlsplit(self.target).query).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None


@dataclass(frozen=True)
class Answer:
    """An answer out of turn.

    ``handled``: the request is carried out first; with ``body=...`` its own answer is sent.
    ``fault``: ``reset`` sends nothing and resets the connection, ``truncate`` breaks the body off.
    """

    status: int = 200
    body: Any = ...
    handled: bool = False
    fault: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def flat(code: str, message: str, status: int = 400) -> Answer:
    """The error body that most pages show."""
    return Answer(status, {"error_code": code, "error_msg": message})


def nested(code: str, message: str, status: int = 400) -> Answer:
    """The error body that the page on schedules shows."""
    return Answer(status, {"code": status, "reason": {"error_code": code, "error_msg": message}})


RESET = Answer(fault="reset")
LOST = Answer(fault="reset", handled=True)
BROKEN_OFF = Answer(fault="truncate", handled=True)

Scripted = Answer | Callable[[Request], Answer | None]
"""An answer, or what decides on one when the request has come; None: the ordinary one."""


class StandIn:
    """A server on loopback, and what it knows: tasks, schedules, run logs."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1
            timeout = 30

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = stand_in.take(self.raw_requestline, tuple(self.headers.items()), body)
                if answer.fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                content = (
                    answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode("utf-8")
                )
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if answer.fault == "truncate":
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                elif answer.status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = respond

            def log_message(self, *args: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    pass

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def reset(self) -> None:
        with self.lock:
            self.requests: list[Request] = []
            self.scripted: dict[str, deque[Scripted]] = defaultdict(deque)
            self.tasks: dict[str, dict[str, Any]] = {}
            self.schedules: dict[str, dict[str, Any]] = {}
            self.runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
            self.initialised: list[str] = []
            self.mappings: dict[str, list[dict[str, Any]]] = defaultdict(list)
            self._numbers = 0

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # What tests use

    def script(self, operation: str, *answers: Scripted) -> None:
        """Give these answers to the next requests of ``operation``, one each."""
        assert operation in OPERATIONS.values(), operation
        with self.lock:
            self.scripted[operation] += answers

    def connection_json(self, **changes: Any) -> str:
        """The value of AIRFLOW_CONN_FDI_DEFAULT."""
        row = {
            "conn_type": "fdi",
            "host": self.url,
            "password": TOKEN,
            "extra": {"auth_type": "token", "project_id": PROJECT, "instance_id": INSTANCE},
        }
        return json.dumps(row | changes)

    def of(self, operation: str) -> list[Request]:
        return [request for request in self.requests if request.operation == operation]

    @property
    def writes(self) -> list[Request]:
        """Everything but GET, in the order of arrival."""
        return [request for request in self.requests if request.method != "GET"]

    def add_task(self, name: str, **fields: Any) -> str:
        """A task that is there already: a row as ListTasks shows it (``status`` 0: stopped, 1: running)."""
        with self.lock:
            task_id = fields.pop("task_id", None) or self._new_id("task")
            row = {"task_id": task_id, "task_name": name, "task_type": "TIMING", "status": 0}
            self.tasks[task_id] = row | fields
            return task_id

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

    # Answering

    def take(self, line: bytes, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
        with self.lock:
            method, target, _ = line.decode().split(" ")
            operation, path_values = _operation(method, urlsplit(target).path)
            request = Request(operation, line.rstrip(b"\r\n"), headers, body)
            self.requests.append(request)
            queue = self.scripted[operation]
            scripted = queue.popleft() if queue else None
            if callable(scripted):
                scripted = scripted(request)
            if scripted is None:
                return self._handle(request, path_values)
            if not scripted.handled:
                return scripted
            own = self._handle(request, path_values)
            body_to_send = own.body if scripted.body is ... else scripted.body
            return Answer(scripted.status, body_to_send, fault=scripted.fault, headers=scripted.headers)

    def _handle(self, request: Request, values: dict[str, str]) -> Answer:
        if request.header("X-Auth-Token") != TOKEN:
            return flat("APIGW.0301", "Incorrect IAM authentication information", 401)
        handler = getattr(self, f"_{request.operation}", None)
        if handler is None:
            return flat("APIGW.0101", "The API does not exist or has not been published", 404)
        task_id = values.get("task_id")
        if task_id is not None and task_id not in self.tasks and task_id not in self.initialised:
            return nested("FDI.3180", "This task is not in the project.", 404)
        return handler(request, **values)

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers:028d}"

    def _ListTasks(self, request: Request) -> Answer:
        query = request.query
        rows = [
            {**row, "created_date": "2020-11-14", "last_modified_time": 1605311230685}
            for row in self.tasks.values()
            if query.get("name", "").lower() in row["task_name"].lower()
            and query.get("task_id", row["task_id"]) == row["task_id"]
            and int(query.get("status", row["status"])) == row["status"]
        ]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 10))
        page = rows[offset : offset + min(limit, 999)]
        return Answer(body={"total": len(rows), "size": len(page), "entities": page})

    def _ShowTask(self, request: Request, task_id: str) -> Answer:
        row = self.tasks[task_id]
        task = {
            **row,
            "status": "running" if row["status"] else "stopped",
            "task_type": row["task_type"].lower(),
            "created_date": 1605311230685,
            "project_id": PROJECT,
        }
        return Answer(body={"task": task, "task_detail": row.get("task_detail", "{}")})

    def _CreateCommonTask(self, request: Request) -> Answer:
        self.add_task(**_as_row(request.json))
        # "Example Responses. Status code: 200 OK": null.
        return Answer(body=None)

    def _UpdateTask(self, request: Request, task_id: str) -> Answer:
        row = _as_row(request.json)
        row["task_name"] = row.pop("name")
        self.tasks[task_id] |= row
        return self._ShowTask(request, task_id)

    def _DeleteTask(self, request: Request, task_id: str) -> Answer:
        del self.tasks[task_id]
        return Answer(204)

    def _RunTask(self, request: Request, task_id: str) -> Answer:
        return Answer(body=None)

    def _StopTask(self, request: Request, task_id: str) -> Answer:
        for row in self.runs[task_id]:
            if row["execute_status"] == "RUNNING":
                row["execute_status"] = "CANCELLED"
        return Answer(body=None)

    def _ListMonitorLog(self, request: Request, task_id: str) -> Answer:
        query = request.query
        begin = int(query.get("begin_time", 0))
        rows = [row for row in self.runs[task_id] if row["start_time"] >= begin]
        offset, limit = int(query.get("offset", 1)), int(query.get("limit", 10))
        page = rows[offset - 1 : offset - 1 + min(limit, 999)]
        return Answer(body={"total": len(rows), "size": len(page), "entities": page})

    def _ShowDispatches(self, request: Request, task_id: str) -> Answer:
        return Answer(body=self.schedules.get(task_id))

    def _CreateDispatches(self, request: Request, task_id: str) -> Answer:
        self.schedules[task_id] = {
            "dispatch_id": self._new_id("dispatch"),
            "task_id": task_id,
            "created_date": 1605311230685,
            "last_modified_date": 1605311230685,
            **request.json,
        }
        return Answer(body=self.schedules[task_id])

    def _UpdateDispatches(self, request: Request, task_id: str, dispatch_id: str) -> Answer:
        old = self.schedules[task_id]
        kept = {key: old[key] for key in ("dispatch_id", "task_id", "created_date", "last_modified_date")}
        self.schedules[task_id] = kept | request.json
        return Answer(body=self.schedules[task_id])

    def _BatchStartOrStopTasks(self, request: Request) -> Answer:
        body = request.json
        if not body.get("list"):
            return flat("FDI.3150", "The task list is empty.")
        if len(body["list"]) > 10:
            return flat("FDI.3001", "The maximum length of the list array is 10.")
        beans = []
        for item in body["list"]:
            row = self.tasks.get(item["task_id"])
            if row is None:
                bean = {"error_code": "FDI.3021", "error_msg": "The task does not exist."}
            else:
                row["status"] = 1 if body["action_id"] == "start" else 0
                bean = {"task_name": row["task_name"]}
            beans.append(item | bean)
        success = [bean for bean in beans if "error_code" not in bean]
        failure = [bean for bean in beans if "error_code" in bean]
        return Answer(
            body={
                "success_count": len(success),
                "failure_count": len(failure),
                "success": success,
                "failure": failure,
            }
        )

    def _InstallMultiTasks(self, request: Request) -> Answer:
        self.initialised.append(self._new_id("task"))
        body = request.json
        return Answer(
            body=[
                {
                    "task_id": self.initialised[-1],
                    "source_datasource_id": body.get("source_datasource_id"),
                    "target_datasource_id": body.get("target_datasource_id"),
                    "mappings": [],
                    "mappings_total_count": 0,
                }
            ]
        )

    def _CreateMultiTasks(self, request: Request) -> Answer:
        body = request.json
        task_id = self.add_task(
            body["task_name"], task_id=body.get("task_id"), task_type="REALTIME", ext_type="cdc"
        )
        return Answer(body={"task_id": task_id})

    def _UpdateMultiTasks(self, request: Request, task_id: str) -> Answer:
        return Answer(body={"task_id": task_id})

    def _CreateMultiTaskMappings(self, request: Request, task_id: str) -> Answer:
        self.mappings[task_id].append(request.json)
        return Answer(body={"mapping_id": self._new_id("mapping")})


def _as_row(body: dict[str, Any]) -> dict[str, Any]:
    row = dict(body["task"])
    row["name"] = row.pop("task_name")
    return row | {"task_detail": body["task_detail"]}


def _operation(method: str, path: str) -> tuple[str, dict[str, str]]:
    base = f"/v2/{PROJECT}/fdi/instances/{INSTANCE}"
    for (verb, template), operation in OPERATIONS.items():
        pattern = re.escape(base) + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        match = re.fullmatch(pattern, path)
        if verb == method and match:
            return operation, match.groupdict()
    return f"{method} {path}", {}
