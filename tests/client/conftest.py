from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_fdi.client import Backoff, FdiClient, StaticTokenAuth, transport
from tests.server import Server

PROJECT = "0123456789abcdef0123456789abcdef"
INSTANCE = "fae7ff6c-8e07-4cf8-9e67-589cab2f017c"
BASE = f"/v2/{PROJECT}/fdi/instances/{INSTANCE}"
TOKEN = "MIItoken-that-nobody-may-see"


@pytest.fixture(scope="session")
def _service() -> Iterator[Server]:
    service = Server()
    yield service
    service.close()


@pytest.fixture
def service(_service: Server) -> Server:
    _service.reset()
    return _service


@pytest.fixture
def make_client(service: Server) -> Iterator[Callable[..., FdiClient]]:
    clients = []

    def make(auth: Any = None, **options: Any) -> FdiClient:
        options.setdefault("retry", Backoff(base=0.001))
        options.setdefault("proxies", {})
        client = FdiClient(service.url, PROJECT, INSTANCE, auth or StaticTokenAuth(TOKEN), **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., FdiClient]) -> FdiClient:
    return make_client()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of the transport, which do not happen: its clock is moved instead."""
    waits: list[float] = []
    moved = [0.0]
    real = transport.time.monotonic

    class Clock:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport_time, name)

        @staticmethod
        def monotonic() -> float:
            return real() + moved[0]

    transport_time = transport.time

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        moved[0] += seconds

    monkeypatch.setattr(transport, "sleep", sleep)
    monkeypatch.setattr(transport, "time", Clock())
    return waits
