"""Every example DAG runs to success on a real Airflow, against the emulator, over real rows."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo import flights

EXAMPLES = Path(__file__).parents[2] / "example_dags"
ROWS = 500

pytestmark = pytest.mark.usefixtures("airflow_db", "fdi_connection")


@pytest.fixture
def warehouse(
    fdi_emulator: FdiEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sqlite3.Connection]:
    """Two databases that FDI knows, and the variables by which the examples name them."""
    operational, target = tmp_path / "operational.db", tmp_path / "warehouse.db"
    flights.make_operational_database(operational, flights.sample(ROWS))
    flights.make_warehouse(target)
    for side, path in (("SOURCE", operational), ("TARGET", target)):
        datasource_id = fdi_emulator.add_datasource(side.lower(), f"sqlite:///{path}")
        monkeypatch.setenv(f"AIRFLOW_VAR_FDI_{side}_DATASOURCE_ID", datasource_id)
    monkeypatch.setenv("AIRFLOW_VAR_FDI_WAREHOUSE_URL", f"sqlite:///{target}")
    connection = sqlite3.connect(target)
    yield connection
    connection.close()


def load(name: str) -> Any:
    """The example's DAG, from this Airflow's DAG folder: it runs no others."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    for path in (EXAMPLES / f"{name}.py", *EXAMPLES.glob("*.json")):
        shutil.copy(path, folder)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag


def run(name: str) -> Any:
    dag_run = load(name).test()
    states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}
    assert str(dag_run.state) == "success", states
    return dag_run


def count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def test_batch_pipeline_moves_every_row(warehouse: sqlite3.Connection, fdi_emulator: FdiEmulator) -> None:
    run("fdi_batch_pipeline")

    assert count(warehouse, "dwh_flights") == ROWS
    assert len(fdi_emulator.journal("RunTask")) == 1


def test_composite_task_follows_its_source_and_is_torn_down(
    warehouse: sqlite3.Connection, fdi_emulator: FdiEmulator
) -> None:
    run("fdi_composite_cdc")

    operations = [entry["operation"] for entry in fdi_emulator.journal() if entry["method"] != "GET"]
    assert operations[-1] == "DeleteTask"


def test_many_tasks_are_created_and_run_by_mapping(
    warehouse: sqlite3.Connection, fdi_emulator: FdiEmulator
) -> None:
    run("fdi_many_tasks")

    assert len(fdi_emulator.journal("CreateCommonTask")) == 4
    assert count(warehouse, "dwh_flights_by_airline") == ROWS  # the sample has one airline only


def test_scheduled_run_is_waited_for(warehouse: sqlite3.Connection, fdi_emulator: FdiEmulator) -> None:
    def let_time_pass() -> None:
        while not fdi_emulator.journal("BatchStartOrStopTasks"):
            time.sleep(0.05)
        fdi_emulator.move_clock(61_000)

    clock = threading.Thread(target=let_time_pass)
    clock.start()
    run("fdi_wait_for_scheduled_run")
    clock.join()

    assert not fdi_emulator.journal("RunTask")
    assert count(warehouse, "dwh_flights_of_a_day") > 0


def test_report_is_made_of_what_was_moved(warehouse: sqlite3.Connection) -> None:
    run("fdi_then_sql")

    assert count(warehouse, "dwh_flights_report") == ROWS


def test_a_dag_is_started_by_the_runs_of_fdi() -> None:
    """That it really is, `tests/system/test_events.py` shows: it takes a scheduler and a triggerer."""
    pytest.importorskip("airflow.sdk", reason="Airflow 2 has no asset watchers")
    from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger

    dag = load("fdi_event_driven")

    (asset,) = dag.timetable.asset_condition.objects
    (watcher,) = asset.watchers
    trigger = watcher.trigger
    path = trigger["classpath"] if isinstance(trigger, dict) else trigger.serialize()[0]
    assert path == FdiRunEventTrigger(fdi_task_name="any").serialize()[0]


def test_no_two_examples_write_to_the_same_table() -> None:
    """Or they would fail each other when they run at the same time."""
    writers: dict[str, set[str]] = {table: set() for table in flights.TARGET_TABLES}
    for path in EXAMPLES.iterdir():
        for table in re.findall(r"\bdwh_\w+", path.read_text(encoding="utf-8") if path.is_file() else ""):
            writers[table].add(path.name)
    assert all(len(names) == 1 for names in writers.values()), writers


def test_every_example_is_tested_here() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'run("{path.stem}")' in tested or f'load("{path.stem}")' in tested
