"""The least that an operator asks of Airflow at run time, where a test needs no scheduler: a task instance,
its state store, and the way of a deferral to a trigger and back."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import json
from typing import Any

from airflow_provider_fdi.version_compat import BaseOperator


class Store:
    """A state store that keeps what JSON can hold, as Airflow's does."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


class TaskInstance:
    def __init__(self, try_number: int, max_tries: int) -> None:
        self.try_number = try_number
        self.max_tries = max_tries
        self.start_date = dt.datetime.now(dt.timezone.utc)
        self.xcoms: dict[str, Any] = {}

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
