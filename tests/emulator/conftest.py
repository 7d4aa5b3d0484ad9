"""Helpers of the emulator's own tests: plain HTTP, and pairs of SQLite databases."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.emulator.document import Document

DEFAULT_DETAIL = json.dumps({"sourceSelectedDatasource": {}, "targetSelectedDatasource": {}})


class Api:
    """The FDI API over HTTP with the static token; `ok` insists on success."""

    def __init__(self, emulator: FdiEmulator) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Auth-Token"] = emulator.token

    def __call__(self, method: str, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        if body is not None:
            kwargs["json"] = body
        return self.session.request(
            method, f"{self.emulator.api}/{path}", allow_redirects=False, timeout=30, **kwargs
        )

    def ok(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        answer = self(method, path, body, **kwargs)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def task_body(self, name: str = "daily-load", **fields: Any) -> dict[str, Any]:
        detail = fields.pop("task_detail", DEFAULT_DETAIL)
        task = {
            "task_name": name,
            "task_type": "TIMING",
            "source_datasource_id": "1" * 32,
            "target_datasource_id": "2" * 32,
            **fields,
        }
        return {"task": task, "task_detail": detail if isinstance(detail, str) else json.dumps(detail)}

    def create(self, name: str = "daily-load", **fields: Any) -> str:
        return str(self.ok("POST", "tasks", self.task_body(name, **fields))["task"]["task_id"])

    def logs(self, task_id: str, **query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ok("GET", f"tasks/{task_id}/monitor-logs", params=query)["entities"]
        return rows

    def finished(self, task_id: str, seconds: float = 30) -> dict[str, Any]:
        """The newest run, once it has ended."""
        return until(lambda: _ended(self.logs(task_id)), seconds)


def _ended(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return rows[0] if rows and rows[0]["execute_status"] in ("SUCCESS", "ERROR", "CANCELLED") else None


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def document(fdi_emulator_process: FdiEmulator) -> Document:
    return Document(fdi_emulator_process.url)


@pytest.fixture
def checked_answers(document: Document, monkeypatch: pytest.MonkeyPatch) -> Document:
    """Check every answer of the FDI API during a test against the OpenAPI document, whoever asked."""
    send = requests.Session.send

    def send_and_check(session: requests.Session, *args: Any, **kwargs: Any) -> requests.Response:
        answer = send(session, *args, **kwargs)
        document.check(answer)
        return answer

    monkeypatch.setattr(requests.Session, "send", send_and_check)
    return document


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return until


@pytest.fixture
def api(fdi_emulator: FdiEmulator) -> Api:
    return Api(fdi_emulator)


@dataclass
class Databases:
    """Two SQLite files, known to the emulator as data sources."""

    source: sqlite3.Connection
    target: sqlite3.Connection
    source_id: str
    target_id: str
    api: Api
    folder: Path

    def run(self, detail: dict[str, Any], name: str = "copy") -> dict[str, Any]:
        """Create a task from the settings, run it, and return its finished run."""
        task_id = self.task(detail, name)
        self.api.ok("POST", f"tasks/{task_id}/run")
        return self.api.finished(task_id)

    def task(self, detail: dict[str, Any], name: str = "copy", **fields: Any) -> str:
        return self.api.create(
            name,
            source_datasource_id=self.source_id,
            target_datasource_id=self.target_id,
            task_detail=detail,
            **fields,
        )


@pytest.fixture
def databases(api: Api, tmp_path: Path) -> Databases:
    files = [tmp_path / "source.db", tmp_path / "target.db"]
    source, target = (sqlite3.connect(file, isolation_level=None, timeout=30) for file in files)
    source.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, price REAL, changed TEXT)")
    source.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?)",
        [(n, f"name {n}", n / 4, f"2024-01-{n:02d} 00:00:00") for n in range(1, 11)],
    )
    target.execute("CREATE TABLE sales (order_id INTEGER PRIMARY KEY, title TEXT NOT NULL, amount REAL)")
    ids = [api.emulator.add_datasource(file.stem, f"sqlite:///{file}") for file in files]
    return Databases(source, target, ids[0], ids[1], api, tmp_path)


MAPPED = {
    "sourceSelectedDatasource": {"sourceTable": "main.orders"},
    "targetSelectedDatasource": {"targetTable": "sales", "targetNeedCreateTable": False},
    "mappingTable": [
        {"source_column": "id", "target_column": "order_id"},
        {"source_column": "name", "target_column": "title"},
        {"source_column": "price", "target_column": "amount"},
    ],
}


@pytest.fixture
def mapped() -> dict[str, Any]:
    """A task_detail that maps three columns of `orders` to `sales`."""
    detail: dict[str, Any] = json.loads(json.dumps(MAPPED))
    return detail
