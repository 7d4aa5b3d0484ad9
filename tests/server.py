"""A scripted HTTP server on loopback. Tests say what it answers; every request is kept.

It knows nothing of FDI. `tests.standin` answers as FDI's documentation says, on the same server.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """A request as it arrived. ``operation`` and ``ids`` are what the server reads from its path."""

    line: str
    headers: HTTPMessage
    body: bytes
    client_port: int = 0
    operation: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    time: float = field(default_factory=time.monotonic)

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def raw_path(self) -> str:
        return urlsplit(self.target).path

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        pairs = parse_qsl(urlsplit(self.target).query, keep_blank_values=True)
        assert len(pairs) == len(dict(pairs)), f"a parameter is repeated: {self.target}"
        return dict(pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Answer:
    """An answer, or a fault instead of one.

    ``fault``: "reset" (no answer), "truncate" (less body than announced) or None. ``handled``: the request is
    carried out first, so that the fault strikes its ordinary answer, or this answer replaces that one.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay: float = 0.0
    handled: bool = False

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


RESET = Answer(fault="reset")
LOST = Answer(fault="reset", handled=True)
TRUNCATED = Answer(fault="truncate", handled=True)

LOSSES = {
    "reset": LOST,
    "truncated": TRUNCATED,
    "500": Answer(500, {"error_code": "FDI.0001", "error_msg": "Internal error."}, handled=True),
    "502": Answer(502, b"<html>Bad Gateway</html>", handled=True),
    "504": Answer(504, handled=True),
    "not JSON": Answer(200, b"OK", handled=True),
}
"""What becomes of the answer to a request that was carried out."""

Scripted = Answer | Callable[[Request], Answer | None]
"""An answer, or a function that decides on one when the request has come; None: the ordinary one."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 30
    server: Server

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answer(Request(self.requestline, self.headers, body, self.client_address[1]))
        if answer.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        content = answer.content
        headers = {"Date": self.date_time_string(), "Content-Type": "application/json"}
        if answer.status != 204:
            headers["Content-Length"] = str(len(content))
        self.send_response_only(answer.status)
        for name, value in (headers | dict(answer.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if answer.fault == "truncate":
            content = content[: len(content) // 2]
            self.close_connection = True
        if answer.status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = respond

    def log_message(self, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def finish(self) -> None:
        with self.server.lock:
            self.server.connections -= 1
        super().finish()


class Server(ThreadingHTTPServer):
    """Gives the scripted answers one after the other, and then the ordinary one; see :meth:`always`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        """``certificate``: the files of a certificate and its key, to speak TLS."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.lock = threading.RLock()
        self.connections = 0
        self.reset()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self.requests: list[Request] = []
        self.scripted: dict[str, deque[Scripted]] = defaultdict(deque)
        self.ordinary: Scripted = Answer(200, {})
        self.in_flight = self.most_in_flight = 0

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def then(self, *answers: Scripted, operation: str = "") -> Server:
        """Give these answers to the next requests (of ``operation``), one each."""
        self.scripted[operation] += answers
        return self

    def always(self, answer: Scripted) -> Server:
        """Answer this when nothing else is scripted."""
        self.ordinary = answer
        return self

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def route(self, request: Request) -> Request:
        """The request with its operation and the ids in its path."""
        return request

    def answer(self, request: Request) -> Answer:
        request = self.route(request)
        with self.lock:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            queue = self.scripted[request.operation] or self.scripted[""]
            scripted = queue.popleft() if queue else None
        answer = scripted(request) if callable(scripted) else scripted
        if answer is None or answer.handled:
            ordinary = self.ordinary(request) if callable(self.ordinary) else self.ordinary
            assert ordinary is not None
            if answer is None:
                answer = ordinary
            elif answer.fault:
                answer = replace(ordinary, fault=answer.fault)
        time.sleep(answer.delay)
        with self.lock:
            self.in_flight -= 1
        return answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone, or that never spoke HTTP."""
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
