"""What stands in front of the service: journal, faults, rate limit, and who may call.

:class:`Gateway` is the ASGI layer. It reads the whole request, lets the application answer it, and puts
`X-Request-Id` and `Date` on the answer. In between, the routes' dependencies :func:`receive` and
:func:`admit` are asked, which know the operation.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
import uuid
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from airflow_provider_fdi.emulator.server.faults import Fault
from airflow_provider_fdi.emulator.service.access import Access, Caller
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import ServiceError, service_error

log = logging.getLogger("fdi-emulator")


@dataclass(slots=True)
class Call:
    """A request as it was received."""

    method: str
    path: str
    raw_path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes
    request_id: str
    # its row in the journal, once there is one, and the fault that strikes it
    entry: dict[str, Any]
    fault: Fault | None = None

    def check_access(self, access: Access, headers: dict[str, str] | None = None) -> Caller:
        """Who calls. Raises ServiceError 401."""
        return access.check(self.method, self.raw_path, self.raw_query, headers or self.headers, self.body)


class Struck(Exception):
    """A fault strikes the request before it is handled."""


class Rate:
    """Requests admitted within the current second."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def admit(self, limit: int) -> bool:
        """Count a request; False beyond `limit` requests in this second."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= limit


class Gateway:
    """ASGI middleware: one complete request in, one complete answer out, or a broken connection."""

    def __init__(self, app: Any, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        if path.startswith(("/_emulator/", "/docs/assets/")) or path in ("/", "/docs", "/openapi.json"):
            # The control API and the documentation: unguarded, but dated like everything else.
            await self._app(scope, receive, self._dated(send))
            return
        body = await _read_body(receive)
        if body is None:
            return
        call = Call(
            method=scope["method"],
            path=path,
            raw_path=scope.get("raw_path", b"").decode("latin-1").split("?")[0] or path,
            raw_query=scope["query_string"].decode("latin-1"),
            headers={key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]},
            body=body,
            request_id=uuid.uuid4().hex,
            entry={},
        )
        scope["fdi.call"] = call
        status, headers, content = await self._answer(scope, call)
        fault = call.fault
        if fault is not None:
            if fault.kind in ("reset_before", "reset_after"):
                call.entry["status"] = "reset"
                await _reset(send)
                return
            if fault.kind == "truncate_body":
                await self._truncate(fault, status, headers, content, call, send)
                return
            answer = fault.answer(call.request_id)
            status, headers, content = answer.status_code, answer.raw_headers, bytes(answer.body)
        call.entry["status"] = status
        await send(self._start(status, headers, call))
        await send({"type": "http.response.body", "body": content})

    def _dated(self, send: Any) -> Any:
        async def dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self._clock.http_date())]
            await send(message)

        return dated

    def _start(self, status: int, headers: list[tuple[bytes, bytes]], call: Call) -> dict[str, Any]:
        """The start of an answer, with the headers that every answer has."""
        own = [(b"x-request-id", call.request_id.encode()), (b"date", self._clock.http_date())]
        return {"type": "http.response.start", "status": status, "headers": own + headers}

    async def _answer(self, scope: Any, call: Call) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Let the application answer: status, headers, body."""
        status, headers, chunks, received = 500, [], [], False

        async def receive() -> dict[str, Any]:
            nonlocal received
            if received:
                return {"type": "http.disconnect"}
            received = True
            return {"type": "http.request", "body": call.body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
            else:
                chunks.append(message.get("body", b""))

        try:
            await self._app(scope, receive, send)
        except Exception:
            # A defect of the emulator must look like one of the service, not break the connection.
            log.exception("%s %s failed", call.method, call.path)
            error = service_error("FDI.9999", message="The emulator failed; its log says why.")
            answer = error_response(error, call.request_id)
            return answer.status_code, answer.raw_headers, bytes(answer.body)
        if status == 204:
            # Nothing of a body, not even its type.
            headers = [pair for pair in headers if pair[0] != b"content-type"]
        return status, headers, b"".join(chunks)

    async def _truncate(
        self,
        fault: Fault,
        status: int,
        headers: list[tuple[bytes, bytes]],
        content: bytes,
        call: Call,
        send: Any,
    ) -> None:
        """Send half of an answer, and close the connection."""
        if not fault.handles:
            status, content = 200, b'{"task_id":"0123456789abcdef"}'
        status = fault.status or (200 if status == 204 else status)
        call.entry["status"] = status
        content = content or b"{}"
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        headers.append((b"content-length", str(len(content) + 64).encode()))
        await send(self._start(status, headers, call))
        half = content[: max(1, len(content) // 2)]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        _transport(send).close()
        await asyncio.sleep(0)


def error_response(error: ServiceError, request_id: str, *, nested: bool = False) -> Response:
    """The answer that an error is."""
    return JSONResponse(error.body(request_id, nested=nested), error.status, error.headers)


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
    # ASGI cannot break a connection. uvicorn passes a bound method of the object that has the transport.
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
