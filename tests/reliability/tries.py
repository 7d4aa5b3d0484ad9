"""Tries of FdiRunTaskOperator as Airflow makes them, without its components.

A deferrable try goes through everything that Airflow does to it: the deferral, the trigger made anew from its
serialised form in an event loop of its own, the event, and a fresh operator that resumes.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from tests.taskinstance import Store, TaskInstance

MODES = ("sync", "deferrable")

Payload = dict[str, Any]


def plain(value: Any) -> Any:
    """The value after a journey as JSON, which is how Airflow carries arguments and events."""
    return json.loads(json.dumps(value))


def first_event(path: str, arguments: Payload) -> Any:
    """What a trigger emits that a triggerer makes from its stored form."""
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**plain(arguments))

    async def first() -> Any:
        async for event in trigger.run():
            return plain(event.payload)
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(first())


@dataclass
class Slice:
    """What is to be done next in a try: `execute`, the trigger, or the method that resumes."""

    kind: str = "execute"
    path: str = ""
    arguments: Payload = field(default_factory=dict)
    method: str = "execute"
    event: Any = None


def in_a_worker(operator: FdiRunTaskOperator, context: Any, now: Slice) -> Slice | Payload:
    """Do a slice that a worker does; the one after it, or the try's result."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        if now.kind == "execute":
            return operator.execute(context)
        return getattr(operator, now.method)(context, event=now.event)
    except TaskDeferred as deferred:
        path, arguments = deferred.trigger.serialize()
        return Slice("trigger", path, plain(arguments), deferred.method_name)


class Tries:
    """The tries of one task instance on one FDI task, with what Airflow keeps between them.

    `store=None` is Airflow before 3.3. Options are the operator's; the defaults are short waits.
    """

    def __init__(
        self,
        fdi_task_id: str,
        mode: str,
        *,
        store: Store | str | None = "new",
        max_tries: int = 3,
        **options: Any,
    ) -> None:
        self.store = Store() if store == "new" else store
        self.max_tries = max_tries
        self.number = 0
        self.slices: list[Slice] = []
        self.ti: TaskInstance | None = None
        self.operator: FdiRunTaskOperator | None = None
        self.options: dict[str, Any] = {
            "task_id": "run",
            "fdi_task_id": fdi_task_id,
            "deferrable": mode == "deferrable",
            "poll_interval": 0.05,
            "start_grace": 1,
            **options,
        }

    def make(self) -> FdiRunTaskOperator:
        return FdiRunTaskOperator(**self.options)

    def context(self) -> dict[str, Any]:
        made: dict[str, Any] = {"ti": self.ti}
        if self.store is not None:
            made["task_state_store"] = self.store
        return made

    def begin(self) -> Slice:
        """Begin the next try; its first slice."""
        self.number += 1
        self.ti = TaskInstance(self.number, self.max_tries)
        self.ti.start_date = datetime.now(timezone.utc)
        return Slice()

    def step(self, now: Slice) -> Slice | Payload:
        self.slices.append(now)
        if now.kind == "trigger":
            return Slice("resume", method=now.method, event=first_event(now.path, now.arguments))
        self.operator = self.make()
        return in_a_worker(self.operator, self.context(), now)

    def run(self) -> Payload:
        """The next try, from its beginning to its result; raises what the try raises."""
        now: Slice | Payload = self.begin()
        while isinstance(now, Slice):
            now = self.step(now)
        return now

    def until_deferred(self, kind: str | None = None) -> Slice:
        """The next try until it is deferred (for a wait of this kind)."""
        now: Slice | Payload = self.begin()
        while isinstance(now, Slice):
            if now.kind == "trigger" and kind in (None, now.arguments["waits"][0]["kind"]):
                return now
            now = self.step(now)
        raise AssertionError(f"not deferred for {kind}, but ended with {now!r}")

    def clear(self) -> None:
        """What clearing a finished task does to it."""
        self.max_tries = self.number + self.max_tries

    @property
    def record(self) -> Any:
        assert self.store is not None
        return self.store.get("fdi_run")

    @property
    def xcoms(self) -> dict[str, Any]:
        assert self.ti is not None
        return self.ti.xcoms


class Background:
    """A try in a thread of its own; `result()` joins it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._action()
        except BaseException as error:
            self._error = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def result(self, seconds: float = 30) -> Any:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the try did not end in time"
        if self._error is not None:
            raise self._error
        return self._value
