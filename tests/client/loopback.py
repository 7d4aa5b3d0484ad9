"""A scripted HTTP service on loopback. It knows nothing of FDI: tests say what it answers."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Seen:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    time: float = field(default_factory=time.monotonic)

    @property
    def raw_path(self) -> str:
        return urlsplit(self.target).path

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass
class Reply:
    """``fault``: "reset" (no answer), "truncate" (less body than announced), or None."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


Answering = Callable[[Seen], Reply]


class Service:
    """Answers with the replies scripted, one after the other, and then with ``default``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connections = 0
        self.reset()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1
            timeout = 30

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(self.command, self.path, self.headers, body)
                reply = service.reply_to(seen)
                if reply.delay:
                    time.sleep(reply.delay)
                with service.lock:
                    service.in_flight -= 1
                if reply.fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                content = reply.content
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    extra = 100 if reply.fault == "truncate" else 0
                    self.send_header("Content-Length", str(len(content) + extra))
                self.end_headers()
                if reply.status != 204:
                    self.wfile.write(content)
                if reply.fault == "truncate":
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, *args: object) -> None:
                pass

            def setup(self) -> None:
                super().setup()
                with service.lock:
                    service.connections += 1

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    pass

            def finish(self) -> None:
                with service.lock:
                    service.connections -= 1
                try:
                    super().finish()
                except (OSError, ValueError):
                    pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def reset(self) -> None:
        self.seen: list[Seen] = []
        self.script: list[Reply | Answering] = []
        self.default: Reply | Answering = Reply(200, {})
        self.in_flight = 0
        self.most_in_flight = 0

    def then(self, *replies: Reply | Answering) -> Service:
        self.script += replies
        return self

    def always(self, reply: Reply | Answering) -> Service:
        self.default = reply
        return self

    def reply_to(self, seen: Seen) -> Reply:
        with self.lock:
            self.seen.append(seen)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            reply = self.script.pop(0) if self.script else self.default
        return reply if isinstance(reply, Reply) else reply(seen)

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
