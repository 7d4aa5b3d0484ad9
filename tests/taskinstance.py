"""The least that an operator asks of Airflow at run time, where a test needs no scheduler: a task instance,
its state store, and the way of a deferral to a trigger and back."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_fdi.compat import BaseOperator

ON_AIRFLOW_2 = version("apache-airflow").startswith("2.")


def _let_threads_execute() -> None:
    """Airflow 2 keeps in a thread-local who calls `execute`, and sets it up in the main thread only."""
    try:
        from airflow.models.baseoperator import ExecutorSafeguard
    except ImportError:
        return

    class Sentinel(threading.local):
        def __init__(self) -> None:
            self.callers: dict[str, Any] = {}

    if isinstance(getattr(ExecutorSafeguard, "_sentinel", None), threading.local):
        ExecutorSafeguard._sentinel = Sentinel()


_let_threads_execute()


class Store:
    """A state store that keeps what JSON can hold, as Airflow's does; in a file it outlives a process."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> Any:
        if self.path is not None and self.path.exists():
            self.kept = json.loads(self.path.read_text())
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self.kept[key] = json.dumps(value)
        if self.path is not None:
            self.path.write_text(json.dumps(self.kept))


def killed_by(child: Callable[[], Any], arm: Callable[[Callable[[], None]], None]) -> None:
    """Run ``child`` in a process of its own until it is killed.

    ``arm`` is given what kills it, to be called by the service.
    """
    pids: list[int] = []
    known = threading.Event()

    def kill() -> None:
        known.wait(10)
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids[0], 0)

    arm(kill)
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(0)
    pids.append(pid)
    known.set()
    for _ in range(2000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("nothing killed the child")


class TaskInstance:
    def __init__(self, try_number: int, max_tries: int) -> None:
        self.try_number = try_number
        self.max_tries = max_tries
        self.dag_id, self.task_id, self.run_id, self.map_index = "a_dag", "a_task", "a_run", -1
        self.start_date = dt.datetime.now(dt.timezone.utc)
        self.xcoms: dict[str, Any] = {}
        self.state = "running"

    def get_task_states(
        self, *, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int
    ) -> dict[str, dict[str, str]]:
        """As Airflow 3 answers a worker."""
        return {run_ids[0]: {task_ids[0]: self.state}}

    def current_state(self) -> str:
        """As Airflow 2 answers a worker."""
        return self.state

    def get_first_reschedule_date(self, context: Any) -> dt.datetime | None:
        return None

    def xcom_push(self, key: str, value: Any, **kwargs: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


def context(store: Store | None = None, try_number: int = 1, max_tries: int = 3) -> dict[str, Any]:
    """The context of one try; ``store=None`` is Airflow before 3.3."""
    made: dict[str, Any] = {"ti": TaskInstance(try_number, max_tries)}
    if store is not None:
        made["task_state_store"] = store
    return made


def deferral(operator: BaseOperator, given: Any) -> Any:
    """Execute ``operator`` and return its deferral."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        result = operator.execute(given)
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError(f"not deferred, but returned {result!r}")


def event_of(trigger: Any) -> Any:
    """What the trigger emits, made anew from its serialised form as a triggerer does."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    fresh = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))

    async def first() -> Any:
        async for event in fresh.run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(first())
