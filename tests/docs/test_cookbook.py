"""The recipes of the cookbook: each of their DAGs runs to success, against the emulator, over real rows."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import sqlite3
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pendulum
import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.test_examples import load
from tests.docs.world import ROWS, ByName, World
from tests.waiting import until as until_in_loop

PAGES = sorted((ROOT / "docs" / "cookbook").glob("*.md"))
BY_ID = {block.dag_id: block for page in PAGES for block in blocks(page) if block.dag_id}

pytestmark = pytest.mark.usefixtures("events_at_once")

Run = Callable[..., Any]


@pytest.fixture
def run_example(run_dag: Run, world: World) -> Run:
    """Runs the recipe's DAG of this id to its end; returns the DAG run."""

    def run(dag_id: str, **kwargs: Any) -> Any:
        return run_dag(dag_of(BY_ID[dag_id]), **kwargs)

    return run


def dag_of(block: Block) -> Any:
    # Nobody needs 30 seconds for ten rows.
    text = re.sub(r'(poll_interval=|poke_interval=|"poll_interval": )\d+', r"\g<1>0.2", block.text)
    return load(
        Block(block.page, block.line, block.language, text), Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    )


def results(dag_run: Any) -> dict[str, Any]:
    """What the tasks returned; all of them have succeeded."""
    instances = dag_run.get_task_instances()
    assert {ti.task_id: str(ti.state) for ti in instances if str(ti.state) != "success"} == {}
    return {ti.task_id: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index) for ti in instances}


def test_a_day_that_is_loaded_twice_is_there_once(
    world: World,
    run_example: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_FDI_WAREHOUSE_URL", f"sqlite:///{world.target_path}")
    world.target.execute("ALTER TABLE dwh_orders ADD COLUMN day TEXT")
    world.add_task("orders_by_day")
    # The interval that ends at this moment: the first of January.
    first, second = pendulum.datetime(2026, 1, 2, tz="UTC"), pendulum.datetime(2026, 1, 3, tz="UTC")

    assert results(run_example("orders_by_day", logical_date=first))["run"]["rows"] == ROWS / 2
    assert results(run_example("orders_by_day", logical_date=second))["run"]["rows"] == ROWS / 2
    world.target.execute("UPDATE dwh_orders SET amount = -1 WHERE day = '2026-01-01'")
    world.target.commit()
    results(run_example("orders_by_day", logical_date=first.add(seconds=1)))

    days = world.target.execute("SELECT day, COUNT(*), MIN(amount) FROM dwh_orders GROUP BY day").fetchall()
    assert [(day, count) for day, count, _ in days] == [("2026-01-01", ROWS / 2), ("2026-01-02", ROWS / 2)]
    assert min(amount for *_, amount in days) >= 0


def test_airflow_takes_the_command_of_the_backfill() -> None:
    pytest.importorskip("airflow.sdk", reason="Airflow 2 has another command")
    from airflow.cli.cli_parser import get_parser

    text = (ROOT / "docs" / "cookbook" / "backfill.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`airflow (backfill create[^`]+)`", text)
    arguments = get_parser().parse_args(command.split())

    assert (arguments.dag_id, arguments.max_active_runs) == ("orders_by_day", 1)


def test_change_data_capture_is_set_up_watched_and_reset(world: World, run_example: Run) -> None:
    world.fdi.switch(stream_poll_ms=50)
    fdi_task_id = results(run_example("cdc_setup"))["create"]
    until(lambda: world.rows() == ROWS)
    insert(world, 100)
    until(lambda: world.rows() == ROWS + 1)

    assert results(run_example("cdc_watch"))["healthy"]["fdi_task_id"] == fdi_task_id
    world.target.execute("DELETE FROM dwh_orders")
    world.target.commit()
    results(run_example("cdc_reset"))
    until(lambda: world.rows() == ROWS + 1)

    world.fdi.stop_task(fdi_task_id)


def test_a_stopped_stream_fails_the_watch(world: World, run_example: Run) -> None:
    fdi_task_id = results(run_example("cdc_setup"))["create"]
    world.fdi.stop_task(fdi_task_id)

    dag_run = run_example("cdc_watch")

    assert str(dag_run.state) == "failed"


@pytest.fixture
def alerts(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was posted to the webhook; the emulator takes the place of the chat."""
    fdi_emulator.fault("status", path_regex="^/alerts$", status=200, body={}, times=None)
    monkeypatch.setenv("AIRFLOW_VAR_ALERT_WEBHOOK", f"{fdi_emulator.url}/alerts")
    return lambda: [row["body"]["text"] for row in fdi_emulator.journal() if row["path"] == "/alerts"]


@pytest.mark.parametrize(
    ("dirty", "state", "posted"),
    [(0, "success", []), (3, "success", ["3 dirty"]), (101, "failed", ["101 dirty"])],
)
def test_dirty_rows_are_reported_and_too_many_fail(
    world: World,
    run_example: Run,
    alerts: Callable[[], list[str]],
    dirty: int,
    state: str,
    posted: list[str],
) -> None:
    world.add_task(script={"rows": 120, "dirty_rows": dirty})

    dag_run = run_example("orders_with_alert")

    assert str(dag_run.state) == state
    assert [text[: len(words)] for text, words in zip(alerts(), posted, strict=True)] == posted


def test_all_tasks_with_the_tag_are_run(world: World, run_example: Run) -> None:
    tagged = [world.fdi.add_task(f"load-{n}", task_tag="nightly", script={"rows": n}) for n in range(1, 8)]
    other = world.fdi.add_task("other", task_tag="weekly")

    values = results(run_example("nightly_loads"))

    assert values["total"] == "28 rows by 7 tasks"
    assert [len(world.fdi.runs_started(task)) for task in [*tagged, other]] == [1] * 7 + [0]


def test_the_sensor_takes_the_load_of_tonight(world: World, run_example: Run) -> None:
    fdi_task_id = world.add_task()
    world.fdi.add_run(fdi_task_id, end_time=time_ms("2026-01-01T18:29:00Z"), data_count=1)
    tonight = world.fdi.add_run(fdi_task_id, end_time=time_ms("2026-01-01T18:45:00Z"), data_count=2)

    half_past_two = pendulum.datetime(2026, 1, 2, 2, 30, tz="Asia/Shanghai")

    values = results(run_example("after_nightly_load", logical_date=half_past_two))

    assert values["report"] == f"2 rows in run {tonight}"


def test_each_load_is_an_event_that_the_dag_can_read(world: World) -> None:
    pytest.importorskip("airflow.sdk", reason="Airflow 2 has no asset watchers")
    fdi_task_id = world.add_task(script={"rows": 7})
    dag = dag_of(BY_ID["after_each_load"])
    (asset,) = dag.timetable.asset_condition.objects
    trigger = trigger_of(asset.watchers[0])

    event = asyncio.run(first_event(trigger, world.fdi, fdi_task_id))

    report = dag.task_dict["report"].python_callable
    # As Airflow passes on what a watcher has fired.
    passed = type("Event", (), {"extra": {"from_trigger": True, "payload": event}})
    (line,) = report(triggering_asset_events=ByName({"orders_in_warehouse": [passed]}))
    assert line == f"7 rows in run {event['fdi_run_id']}"


def test_the_job_of_dataarts_goes_on_after_a_failed_node(world: World, run_example: Run) -> None:
    world.add_task("customers_to_warehouse", script={"rows": 1})
    orders = world.add_task()

    assert set(results(run_example("job_orders"))) == {"load_customers", "load_orders"}
    assert (len(world.fdi.runs_started(orders)), world.rows()) == (1, ROWS)


def test_the_script_and_the_dag_that_replaces_it_do_the_same(
    world: World,
    run_example: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fdi = world.fdi
    fdi_task_id = world.add_task()
    (script,) = (
        block for block in blocks(ROOT / "docs/cookbook/from-scripts.md") if "# run_fdi_task.py" in block.text
    )
    environment = {
        "IAM_ENDPOINT": fdi.url,
        "FDI_ENDPOINT": fdi.url,
        "PROJECT_ID": fdi.project_id,
        "INSTANCE_ID": fdi.instance_id,
        "TASK_ID": fdi_task_id,
        "IAM_USER": fdi.user_name,
        "IAM_PASSWORD": fdi.password,
        "IAM_DOMAIN": fdi.domain_name,
        "INTERVAL": "0.1",
        "AIRFLOW_VAR_ORDERS_TASK_ID": fdi_task_id,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "run_fdi_task.py"
    path.write_text(script.text, encoding="utf-8")

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert world.rows() == ROWS

    world.target.execute("DELETE FROM dwh_orders")
    world.target.commit()
    assert results(run_example("from_a_script"))["load"]["rows"] == world.rows() == ROWS


def test_every_recipe_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    run = set(re.findall(r'run_example\("(\w+)"|BY_ID\["(\w+)"\]', here))
    assert {name for pair in run for name in pair if name} == set(BY_ID)


def test_every_recipe_has_a_dag() -> None:
    assert {block.page for block in BY_ID.values()} == set(PAGES)


def trigger_of(watcher: Any) -> Any:
    trigger = watcher.trigger
    if isinstance(trigger, dict):
        from airflow.sdk.module_loading import import_string

        return import_string(trigger["classpath"])(**{**trigger["kwargs"], "poll_interval": 0.1})
    return type(trigger)(**{**trigger.serialize()[1], "poll_interval": 0.1})


async def first_event(trigger: Any, fdi: FdiEmulator, fdi_task_id: str) -> dict[str, Any]:
    """The payload of the event for a run that ends once the trigger is watching."""
    async with aclosing(trigger.run()) as events:
        waiting = asyncio.ensure_future(anext(events))
        await until_in_loop(lambda: len(fdi.journal("ListMonitorLog")) >= 3)
        fdi.add_run(fdi_task_id, data_count=7)
        payload: dict[str, Any] = (await asyncio.wait_for(waiting, 20)).payload
    return payload


def insert(world: World, key: int) -> None:
    with sqlite3.connect(world.source_path) as source:
        source.execute("INSERT INTO orders VALUES (?, 1, '2026-01-03')", (key,))
    source.close()


def time_ms(text: str) -> int:
    return int(pendulum.parse(text).timestamp() * 1000)  # type: ignore[union-attr]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
