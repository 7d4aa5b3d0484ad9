"""Waiting that lasts: the service unreachable for a minute, and many waits in one triggerer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import wait_until
from demo.stack import Stack

OUTAGE_DAG = """
from airflow.sdk import DAG
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

with DAG("outage", schedule=None):
    for name, fdi_task_id in {tasks!r}.items():
        FdiRunTaskOperator(
            task_id=name,
            fdi_conn_id="fdi_outage",
            fdi_task_id=fdi_task_id,
            deferrable=name == "deferred",
            poll_interval=1,
        )
"""

MANY = 20
MANY_DAG = """
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG("many", schedule=None):
        FdiRunTaskOperator.partial(
            task_id="run", deferrable=True, poll_interval=1, max_active_tis_per_dagrun={many},
        ).expand(fdi_task_id={tasks!r})
"""


@dataclass(frozen=True)
class Outage:
    """A DAG run in mid-wait on a service of its own, which nobody can reach."""

    service: FdiEmulator
    tasks: dict[str, str]
    run_id: str
    began: float


@pytest.fixture(scope="module")
def outage(running_stack: Stack) -> Iterator[Outage]:
    api = running_stack.api
    with FdiEmulator.start() as service:
        api.add_connection("fdi_outage", **service.connection())
        tasks = {
            name: service.add_task(name=name, script={"hold": True}) for name in ("synchronous", "deferred")
        }
        (running_stack.dags / "outage.py").write_text(OUTAGE_DAG.format(tasks=tasks))
        run_id = api.trigger("outage")
        api.wait_for_task("outage", run_id, "deferred", "deferred")
        service.clear_journal()

        def looked_at() -> set[str]:
            paths = [row["path"] for row in service.journal("ListMonitorLog")]
            return {name for name, task in tasks.items() if any(task in path for path in paths)}

        wait_until(
            lambda: looked_at() == set(tasks), 60, "both waits", explain=lambda: api.report("outage", run_id)
        )
        service.fault("reset_before", times=None)
        yield Outage(service, tasks, run_id, time.monotonic())


# The minute passes meanwhile.
@pytest.mark.usefixtures("outage")
def test_mapped_deferred_tasks_share_one_poller(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    tasks = fdi.add_tasks(MANY, script={"hold": True, "rows": 42})
    write_dag("many", MANY_DAG.format(many=MANY, tasks=tasks))
    run_id = stack.api.trigger("many")

    def pages() -> int:
        return len(fdi.journal("ListMonitorInfos"))

    def all_wait() -> bool:
        rows = stack.api.tasks("many", run_id)
        return len(rows) == MANY and all(
            row["state"] == "deferred" and row["triggerer_job"] is not None for row in rows
        )

    wait_until(all_wait, 180, "all tasks to wait", explain=lambda: stack.api.report("many", run_id))
    settled = pages() + 3
    wait_until(lambda: pages() >= settled, 60, "one poll of all tasks")
    fdi.clear_journal()
    wait_until(lambda: pages() >= 10, 60, "ten polls of all tasks")
    asked = Counter(row["operation"] for row in fdi.journal())
    for task in tasks:
        assert fdi.release(task)

    assert stack.api.wait_for_run("many", run_id, 180) == "success", stack.api.report("many", run_id)
    # One by one it would have been ten polls of each of them.
    assert asked.total() <= 12, asked
    assert [len(fdi.runs_started(task)) for task in tasks] == [1] * MANY
    assert fdi.journal("StopTask") == []


def test_both_ways_to_wait_survive_a_minute_without_the_service(stack: Stack, outage: Outage) -> None:
    service, api = outage.service, stack.api
    time.sleep(max(0.0, outage.began + 60 - time.monotonic()))
    states = {task["task_id"]: task["state"] for task in api.tasks("outage", outage.run_id)}
    assert states == {"synchronous": "running", "deferred": "deferred"}
    struck = service.faults()[0]["struck"]

    service.clear_faults()
    for task in outage.tasks.values():
        assert service.release(task)

    # A wait whose polls failed often polls less often.
    assert api.wait_for_run("outage", outage.run_id, 180) == "success", api.report("outage", outage.run_id)
    assert struck > len(outage.tasks)
    assert [len(service.runs_started(task)) for task in outage.tasks.values()] == [1, 1]
    assert [task["try_number"] for task in api.tasks("outage", outage.run_id)] == [1, 1]
    assert service.journal("StopTask") == []
