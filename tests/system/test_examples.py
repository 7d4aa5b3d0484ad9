"""All example DAGs at once, in the Airflow that `make ui` starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import flights
from demo.scene import EXAMPLE_DAGS, Scene

FLIGHTS = 20_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "ui", editable=True, sample=FLIGHTS)
    try:
        made.start(print)
        yield made
    finally:
        made.stop()


def test_all_examples_succeed_when_they_are_triggered_at_once(scene: Scene) -> None:
    assert scene.stack is not None and scene.emulator is not None
    api = scene.stack.api
    dag_ids = sorted(path.stem for path in EXAMPLE_DAGS.glob("*.py"))
    for dag_id in dag_ids:
        api.wait_for_dag(dag_id)

    runs = {dag_id: api.trigger(dag_id) for dag_id in dag_ids}
    # FDI itself runs this one's task, once a minute: when the others have ended, the minute is made to pass.
    waiting = "fdi_wait_for_scheduled_run"
    states = {
        dag_id: api.wait_for_run(dag_id, run_id, 180) for dag_id, run_id in runs.items() if dag_id != waiting
    }
    api.wait_for_task(waiting, runs[waiting], "wait", ("deferred", "success"), 60)
    scene.emulator.move_clock(61_000)
    states[waiting] = api.wait_for_run(waiting, runs[waiting], 60)

    assert states == dict.fromkeys(dag_ids, "success"), "\n".join(
        f"{dag_id}:\n{api.report(dag_id, run_id)}" for dag_id, run_id in runs.items()
    )
    moved = {table: flights.count(scene.warehouse, table) for table in flights.TARGET_TABLES}
    assert moved["dwh_flights"] == moved["dwh_flights_report"] == FLIGHTS
    assert all(moved.values()), moved
