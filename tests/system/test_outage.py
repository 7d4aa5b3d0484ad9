"""The service unreachable for a minute in mid-wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.stack import Stack, wait_until

OUTAGE = 60
TASKS = ("synchronous", "deferred")

DAG = """
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG("outage", schedule=None):
        for name, fdi_task_id in {tasks!r}.items():
            FdiRunTaskOperator(
                task_id=name, fdi_task_id=fdi_task_id, deferrable=name == "deferred", poll_interval=1,
            )
"""


def test_both_waits_survive_a_minute_without_the_service(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    tasks = {name: fdi.add_task(name=name, script={"hold": True}) for name in TASKS}
    write_dag("outage", DAG.format(tasks=tasks))
    run_id = stack.api.trigger("outage")
    stack.api.wait_for_task("outage", run_id, "deferred", "deferred")
    for name in TASKS:
        wait_until(lambda name=name: stack.api.xcom("outage", run_id, name, "fdi_run_id"), 30, "both runs")

    fdi.fault("reset_before", times=None)
    time.sleep(OUTAGE)
    fdi.clear_faults()
    for task in tasks.values():
        assert fdi.release(task)

    assert stack.api.wait_for_run("outage", run_id) == "success", stack.api.report("outage", run_id)
    assert {name: len(fdi.runs_started(task)) for name, task in tasks.items()} == dict.fromkeys(TASKS, 1)
    assert [stack.api.task("outage", run_id, name)["try_number"] for name in TASKS] == [1, 1]
    assert fdi.journal("StopTask") == []
