"""The ASGI layer in front of the application: what the cloud's gateway does, and what tests need around it.

It reads the request, finds its operation, notes it in the journal, lets faults strike, checks who calls, and
puts `X-Request-Id` and `Date` on every answer. What is behind it answers with one complete body.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow_provider_fdi.emulator.api import Answer, Call, Operation, Router
from airflow_provider_fdi.emulator.errors import ServiceError, service_error
from airflow_provider_fdi.emulator.views import dump

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.faults import Fault
    from airflow_provider_fdi.emulator.world import World

log = logging.getLogger("fdi-emulator")

# Bodies that hold a password: never kept in the journal.
_SECRET_BODIES = frozenset(
    {"KeystoneCreateToken", "CreateTemporaryAccessKey", "CreateTemporaryAccessKeyByToken"}
)
_MAX_BODY = 12 * 1024 * 1024


class Gateway:
    def __init__(self, app: Any, world: World, router: Router) -> None:
        self._app = app
        self._world = world
        self._router = router
        self._rate = _Rate()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith("/_emulator") or path in ("/", "/docs", "/redoc", "/openapi.json"):
            await self._pass(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            return
        method: str = scope["method"]
        raw_query: str = scope["query_string"].decode("latin-1")
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        found = self._router.find(method, path)
        operation, params = found if found is not None else (None, {})
        query = dict(parse_qsl(raw_query, keep_blank_values=True))
        request_id = uuid.uuid4().hex
        name = operation.id if operation is not None else None
        raw_path = scope.get("raw_path", b"").decode("latin-1").split("?")[0] or path
        entry = self._world.journal.open(
            time=self._world.clock.now_ms(),
            method=method,
            path=path,
            target=f"{raw_path}?{raw_query}" if raw_query else raw_path,
            query=query,
            headers=headers,
            body=body,
            operation=name,
            secret_body=name in _SECRET_BODIES,
        )
        entry["request_id"] = request_id
        call = Call(
            self._world,
            method,
            path,
            params,
            query,
            body,
            headers,
            request_id,
            operation,
            raw_path,
            raw_query,
        )

        fault: Fault | None = None
        delay_ms = self._world.switches.latency_ms
        if self._world.faults:
            extra, fault = self._world.faults.take(name, method, path)
            delay_ms += extra
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        if fault is not None:
            entry["fault"] = fault.kind
            if not fault.handles:
                await self._strike(fault, None, call, entry, scope, send)
                return
        answer = await self._answer(scope, call)
        if fault is not None:
            await self._strike(fault, answer, call, entry, scope, send)
            return
        entry["status"] = answer.status
        await self._send(answer, request_id, send)

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        """The control API and the documentation: unguarded, but dated like everything else."""

        async def send_dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self._world.clock.http_date())]
            await send(message)

        await self._app(scope, receive, send_dated)

    async def _answer(self, scope: Any, call: Call) -> Answer:
        operation = call.operation
        try:
            if operation is None:
                raise service_error("APIGW.0101")
            if len(call.body) > _MAX_BODY:
                raise ServiceError(413, "APIGW.0201", "Request entity too large")
            if operation.access != "open":
                self._rate_limit()
                bound = self._world.access.check(
                    call.method, call.raw_path, call.raw_query, call.headers, call.body
                )
                if operation.access in ("fdi", "project"):
                    self._check_place(operation, call, bound)
            return await self._inner(scope, call)
        except ServiceError as error:
            return error_answer(error, call.request_id)

    def _rate_limit(self) -> None:
        limit = self._world.switches.rate_limit
        if limit and not self._rate.admit(limit):
            raise service_error(
                "APIGW.0308", limit, headers={"Retry-After": str(self._world.switches.retry_after_s)}
            )

    def _check_place(self, operation: Operation, call: Call, bound: str | None) -> None:
        config = self._world.config
        project_id = call.params.get("project_id", "")
        if project_id not in {project.id for project in config.projects}:
            raise service_error("FDI.3039")
        if bound is not None and bound != project_id:
            raise service_error("FDI.3039")
        if operation.access == "fdi" and call.params.get("instance_id") not in config.instances:
            raise service_error("ROMA.00110002", project_id, call.params.get("instance_id"))

    async def _inner(self, scope: Any, call: Call) -> Answer:
        """Let the application answer, and collect what it says."""
        answer = Answer()
        chunks: list[bytes] = []
        scope["fdi.call"] = call
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": call.body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    key.decode("latin-1"): value.decode("latin-1") for key, value in message["headers"]
                }
            elif message.get("body"):
                chunks.append(message["body"])

        await self._app(scope, receive, send)
        answer.body = b"".join(chunks)
        answer.media_type = answer.headers.pop("content-type", "")
        answer.headers.pop("content-length", None)
        return answer

    def _headers(self, answer: Answer, request_id: str, length: int | None) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"x-request-id", request_id.encode("ascii")),
            (b"date", self._world.clock.http_date()),
        ]
        if answer.status != 204:
            if answer.media_type:
                headers.append((b"content-type", answer.media_type.encode("latin-1")))
            headers.append(
                (b"content-length", str(len(answer.body) if length is None else length).encode("ascii"))
            )
        headers += [
            (key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers.items()
        ]
        return headers

    async def _send(self, answer: Answer, request_id: str, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": self._headers(answer, request_id, None),
            }
        )
        await send({"type": "http.response.body", "body": b"" if answer.status == 204 else answer.body})

    async def _strike(
        self, fault: Fault, answer: Answer | None, call: Call, entry: dict[str, Any], scope: Any, send: Any
    ) -> None:
        if fault.kind in ("reset_before", "reset_after"):
            entry["status"] = "reset"
            await _reset(send)
            return
        if fault.kind == "truncate_body":
            whole = answer or Answer(body=b'{"task_id":"0123456789abcdef"}')
            whole.status = fault.status or (200 if whole.status == 204 else whole.status)
            entry["status"] = whole.status
            body = whole.body or b"{}"
            await send(
                {
                    "type": "http.response.start",
                    "status": whole.status,
                    "headers": self._headers(whole, call.request_id, len(body) + 64),
                }
            )
            await send(
                {"type": "http.response.body", "body": body[: max(1, len(body) // 2)], "more_body": True}
            )
            _transport(send).close()
            await asyncio.sleep(0)
            return
        struck = fault_answer(fault, call.request_id)
        entry["status"] = struck.status
        await self._send(struck, call.request_id, send)


def error_answer(error: ServiceError, request_id: str) -> Answer:
    return Answer(dump(error.body(request_id)), error.status, error.headers)


def fault_answer(fault: Fault, request_id: str) -> Answer:
    if fault.kind == "html":
        page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return Answer(
            (fault.body if isinstance(fault.body, str) else page).encode("utf-8"),
            fault.status or 502,
            dict(fault.headers),
            "text/html",
        )
    if fault.kind == "malformed_json":
        text = fault.body if isinstance(fault.body, str) else '{"total": 1, "entities": [{'
        return Answer(text.encode("utf-8"), fault.status or 200, dict(fault.headers))
    if fault.kind == "redirect":
        headers = {"Location": "http://127.0.0.1:9/elsewhere", **fault.headers}
        return Answer(b"", fault.status or 302, headers)
    status = fault.status or 500
    if fault.body is not None:
        body = fault.body.encode("utf-8") if isinstance(fault.body, str) else dump(fault.body)
        return Answer(body, status, dict(fault.headers))
    return Answer(dump(_usual_error(status).body(request_id)), status, dict(fault.headers))


def _usual_error(status: int) -> ServiceError:
    if status == 401:
        return service_error("APIGW.0307")
    if status == 403:
        return service_error("APIGW.0302")
    if status == 404:
        return service_error("FDI.3081")
    if status == 429:
        return service_error("APIGW.0308", 1)
    if status in (502, 504):
        words = "Backend timeout" if status == 504 else "Backend unavailable"
        return ServiceError(status, "APIGW.0201", words)
    if status == 503:
        return ServiceError(status, "APIGW.0613", "The IAM service is unavailable.")
    if status >= 500:
        return ServiceError(status, "FDI.9999", "Network error.")
    return ServiceError(status, "FDI.3002", "Invalid parameters.")


class _Rate:
    """Requests admitted within the running second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._count = 0

    def admit(self, limit: int) -> bool:
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._count = second, 0
            self._count += 1
            return self._count <= limit


async def _read_body(receive: Any) -> bytes | None:
    """The whole body; None if the client went away."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _transport(send: Any) -> Any:
    # ASGI has no way to break a connection. uvicorn passes a bound method of what has the transport.
    return send.__self__.transport


async def _reset(send: Any) -> None:
    """Close the connection without an answer, with RST instead of FIN."""
    transport = _transport(send)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # uvicorn must learn of the loss before the application returns, or it would try to answer 500.
    for _ in range(20):
        if getattr(send.__self__, "disconnected", True):
            return
        await asyncio.sleep(0.001)
