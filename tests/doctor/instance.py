"""An emulator as an instance with a history, and the doctor's visits to it."""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_fdi.doctor import command
from airflow_provider_fdi.doctor.own_task import PREFIX, TaskPlan
from airflow_provider_fdi.doctor.probe import Limits
from airflow_provider_fdi.doctor.report import Report
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook

QUICK = Limits(pace=0.0, poll=0.05, log_wait=5.0, fire_wait=2.0, seconds=60.0)
NO_FIRING = Limits(pace=0.0, poll=0.05, log_wait=5.0, fire_wait=0.0, seconds=60.0)
NOTHING_PLANNED = TaskPlan()


def add_history(emulator: FdiEmulator) -> None:
    """Tasks as an instance has them: some with runs, one with a schedule."""
    now = emulator.now_ms()
    for number in range(4):
        task_id = emulator.add_task(f"orders-{number}", schedule=number == 3)
    for age in (3, 2, 1):
        planned = now - age * 3_600_000
        emulator.add_run(
            task_id,
            dispatch_time=planned,
            start_time=planned + 5_000,
            end_time=planned + 60_000,
            data_count=7,
        )


def visit(
    emulator: FdiEmulator,
    monkeypatch: pytest.MonkeyPatch,
    auth_type: str = "token",
    limits: Limits = QUICK,
    plan: TaskPlan | None = None,
) -> Report:
    """The doctor's report on an emulator, where schedules need not be waited for."""
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", emulator.connection_json(auth_type))
    with time_flies(emulator) if plan and limits.fire_wait else contextlib.nullcontext():
        return command.examine(FdiHook(), limits, plan)


@contextlib.contextmanager
def time_flies(emulator: FdiEmulator) -> Iterator[None]:
    """Move the emulator's clock to the next firing of the doctor's task, whenever there is one."""
    over = threading.Event()

    def move() -> None:
        while not over.wait(0.05):
            for task_id in own_tasks(emulator):
                with contextlib.suppress(Exception):
                    planned = emulator.task(task_id)["next_firing"]
                    left = planned - emulator.now_ms() if planned else 0
                    # A firing next year is none that the doctor waits for.
                    if 0 < left < 120_000:
                        emulator.move_clock(left + 100)
                    elif left > 120_000 and planned:
                        emulator.move_clock(5_000)

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def own_tasks(emulator: FdiEmulator) -> list[str]:
    """The doctor's tasks that are there."""
    _, page = emulator.request("GET", f"tasks?limit=999&name={PREFIX}")
    return [row["task_id"] for row in page["entities"]] if page and "entities" in page else []


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def switches_of(text: str) -> dict[str, Any]:
    switches: dict[str, Any] = json.loads(text)["switches"]
    return switches
