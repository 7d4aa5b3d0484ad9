"""A DAG starts when FDI has finished a run of its own, soon, once, and whatever becomes of a triggerer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import ApiError, wait_until
from demo.stack import Stack

INTERVAL = 2.0
EXAMPLE = Path(__file__).parents[2] / "example_dags" / "fdi_event_driven.py"

DAG = """
    from airflow.sdk import DAG, Asset, AssetWatcher, task
    from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger

    loaded = Asset(
        {dag_id!r} + "_loaded",
        watchers=[
            AssetWatcher(
                name={dag_id!r} + "_watcher",
                trigger=FdiRunEventTrigger({fdi_task_id!r}, poll_interval={interval}),
            )
        ],
    )

    with DAG({dag_id!r}, schedule=[loaded], max_active_runs=1, is_paused_upon_creation=False):

        @task
        def runs(triggering_asset_events):
            return [event.extra["payload"]["fdi_run_id"] for event in triggering_asset_events[loaded]]

        runs()
"""


def asset_events(stack: Stack, dag_id: str) -> list[dict[str, Any]]:
    """The events of the DAG's asset, oldest first."""

    def answer() -> dict[str, Any] | None:
        try:
            return stack.api.request("GET", "/assets/events", query={"limit": 100, "order_by": "timestamp"})
        except ApiError as error:
            # SQLite is locked for a moment when a process that writes dies.
            if error.status != 500:
                raise
            return None

    rows: Any = wait_until(answer, 30, "Airflow to list its asset events")
    return [event for event in rows["asset_events"] if event["name"] == f"{dag_id}_loaded"]


def reported(stack: Stack, dag_id: str) -> list[str]:
    return [event["extra"]["payload"]["fdi_run_id"] for event in asset_events(stack, dag_id)]


def wait_for_events(stack: Stack, dag_id: str, runs: list[str], timeout: float = 60) -> None:
    wait_until(
        lambda: set(runs) <= set(reported(stack, dag_id)),
        timeout,
        f"events for {len(runs)} runs",
        explain=lambda: f"reported: {reported(stack, dag_id)}, expected: {runs}",
    )


def watched(fdi: FdiEmulator, write_dag: Callable[[str, str], str], dag_id: str) -> str:
    """A DAG on a new FDI task, whose trigger has begun; the FDI task's id."""
    task = fdi.add_task(name=dag_id)
    write_dag(dag_id, DAG.format(dag_id=dag_id, fdi_task_id=task, interval=INTERVAL))
    wait_for_looks(fdi, task, 2)
    return task


def wait_for_looks(fdi: FdiEmulator, task: str, count: int) -> None:
    fdi.clear_journal()
    wait_until(
        lambda: sum(task in entry["path"] for entry in fdi.journal("ListMonitorLog")) >= count,
        90,
        "the trigger to poll FDI",
        interval=0.1,
    )


def test_a_dag_run_starts_within_the_interval_and_three_seconds(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    dag_id = "events_latency"
    task = watched(fdi, write_dag, dag_id)
    delays = []
    for number in range(1, 6):
        ended = time.time()
        fdi.add_run(task)
        run = wait_until(
            lambda number=number: stack.api.runs(dag_id) if len(stack.api.runs(dag_id)) >= number else None,
            30,
            "the DAG run",
            interval=0.05,
        )
        assert run
        delays.append(time.time() - ended)
        time.sleep(0.37 * number)  # so that runs end at different moments of the interval

    print(f"event to DAG run at an interval of {INTERVAL:g} s: {', '.join(f'{d:.2f} s' for d in delays)}")
    assert max(delays) <= INTERVAL + 3
    for run in stack.api.runs(dag_id):
        assert stack.api.wait_for_run(dag_id, run["dag_run_id"]) == "success"


def test_no_event_is_lost_or_doubled_when_a_triggerer_is_killed(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    dag_id = "events_kill"
    task = watched(fdi, write_dag, dag_id)
    runs = [fdi.add_run(task)]
    wait_for_events(stack, dag_id, runs)

    stack.start_component("triggerer-2")
    wait_for_looks(fdi, task, 2)
    time.sleep(3)  # what was reported has been written down
    stack.kill("triggerer")
    now = fdi.now_ms()
    runs += [fdi.add_run(task, end_time=now + n) for n in range(3)]
    wait_for_events(stack, dag_id, runs)
    runs.append(fdi.add_run(task))
    wait_for_events(stack, dag_id, runs)

    wait_for_looks(fdi, task, 3)
    assert Counter(reported(stack, dag_id)) == Counter(runs)
    assert reported(stack, dag_id)[1:4] == runs[1:4]


def test_a_restarted_triggerer_reports_what_it_missed_and_nothing_twice(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    dag_id = "events_restart"
    task = watched(fdi, write_dag, dag_id)
    runs = [fdi.add_run(task)]
    wait_for_events(stack, dag_id, runs)
    time.sleep(3)

    stack.terminate("triggerer")
    runs += [fdi.add_run(task), fdi.add_run(task)]
    stack.start_component("triggerer")
    wait_for_events(stack, dag_id, runs, timeout=90)

    wait_for_looks(fdi, task, 3)
    assert Counter(reported(stack, dag_id)) == Counter(runs)


def test_the_example_dag_runs_when_fdi_has_finished_a_run(stack: Stack, fdi: FdiEmulator) -> None:
    task = fdi.add_task(name="flights_every_minute", script={"rows": 42})
    source = EXAMPLE.read_text(encoding="utf-8")
    (stack.dags / EXAMPLE.name).write_text(source, encoding="utf-8")
    stack.api.wait_for_dag("fdi_event_driven")
    stack.api.unpause("fdi_event_driven")
    # Airflow starts the watchers of a DAG when it parses the file of one that is not paused.
    (stack.dags / EXAMPLE.name).write_text(source + "\n", encoding="utf-8")
    wait_for_looks(fdi, task, 2)

    fdi.request("POST", f"tasks/{task}/run")

    run = wait_until(lambda: next(iter(stack.api.runs("fdi_event_driven")), None), 30, "the DAG run")
    assert run is not None
    assert stack.api.wait_for_run("fdi_event_driven", run["dag_run_id"]) == "success"
    (record,) = stack.api.xcom("fdi_event_driven", run["dag_run_id"], "report")
    assert record["fdi_run_id"] == fdi.runs_started(task)[0]["run_id"]
    assert record["rows"] == 42
