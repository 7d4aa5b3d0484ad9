"""Serving an emulator over HTTP with uvicorn."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading

import uvicorn

from airflow_provider_fdi.emulator.config import Config
from airflow_provider_fdi.emulator.server.app import build_app
from airflow_provider_fdi.emulator.server.emulator import Emulator

log = logging.getLogger("fdi-emulator")


class PortInUse(Exception):
    """The address cannot be bound."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # asyncio does it only for sockets that name their protocol. Without it, each answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        words = f"cannot listen on {host}:{port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            words += " (by another fdi-emulator?); choose another port with --port, 0 takes a free one"
        raise PortInUse(words) from error
    listener.listen(2048)
    return listener


def serve(
    config: Config, host: str = "127.0.0.1", port: int = 8765, *, parent_pipe: int | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, or until the other end of `parent_pipe` is closed.

    Prints one line with the address when it is ready.
    """
    listener = bind(host, port)
    emulator = Emulator(config)
    settings = uvicorn.Config(
        build_app(emulator),
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        backlog=2048,
        h11_max_incomplete_event_size=256 * 1024,
    )
    server = uvicorn.Server(settings)
    if parent_pipe is not None:
        threading.Thread(target=_end_with_parent, args=(parent_pipe, server), daemon=True).start()
    emulator.start()
    shown = f"[{host}]" if ":" in host else host
    # The socket is open and queues connections: whoever reads this line may connect.
    print(f"fdi-emulator listening on http://{shown}:{listener.getsockname()[1]}", flush=True)
    try:
        server.run(sockets=[listener])
    finally:
        emulator.stop()
        listener.close()


def _end_with_parent(pipe: int, server: uvicorn.Server) -> None:
    """Stop the server when the pipe ends: then the process that started this one is gone."""
    while os.read(pipe, 1024):
        pass
    server.should_exit = True
    sys.stdout.flush()
