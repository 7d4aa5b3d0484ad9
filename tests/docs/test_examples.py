"""The Python of the documentation: all of it is executed, and every DAG loads and runs to success."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest

from airflow_provider_fdi import compat
from airflow_provider_fdi.emulator.dags import dag_bag
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from tests.docs.pages import DOCS, PAGES, ROOT, Block, blocks, name_of
from tests.docs.world import ROWS, ByName, World

PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]
DAGS = [block for block in PYTHON if block.dag_id]
BY_ID = {block.dag_id: block for block in DAGS}


def test_no_two_examples_share_a_dag_id() -> None:
    """But for the same example in the README of another language, whose comments are translated."""
    for block in DAGS:
        assert ast.dump(ast.parse(block.text)) == ast.dump(ast.parse(BY_ID[block.dag_id].text)), block


@pytest.mark.parametrize("block", DAGS, ids=str)
def test_dags_load(block: Block, tmp_path: Path) -> None:
    assert load(block, tmp_path).task_ids


def test_every_dag_is_run_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [b for b in DAGS if f'"{b.dag_id}"' not in tests and f'"{b.file}"' not in tests] == []


@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}), ids=name_of)
def test_python_of_a_page_runs_from_top_to_bottom(
    page: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader sees is all that is needed: each block may use what the blocks above it have defined."""
    here = tmp_path / "reader"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)
    for name in ("flights_every_minute", "orders_to_warehouse"):
        world.add_task(name)
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language != "python":
            continue
        text = for_this_airflow(block)
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(text, encoding="utf-8")
        exec(compile(text, str(block), "exec"), names)
    for module in [module for module in sys.modules if module.split(".")[0] == "dags"]:
        del sys.modules[module]


RunExample = Callable[..., dict[str, Any]]


@pytest.fixture
def run_example(run_dag: Callable[..., Any]) -> RunExample:
    """Runs the documentation's DAG of this id to success; returns what its tasks returned."""

    def run(dag_id: str, **kwargs: Any) -> dict[str, Any]:
        dag = load(BY_ID[dag_id], Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]))
        instances = {ti.task_id: ti for ti in run_dag(dag, **kwargs).get_task_instances()}
        assert {name: str(ti.state) for name, ti in instances.items()} == dict.fromkeys(instances, "success")
        return {name: ti.xcom_pull(task_ids=name) for name, ti in instances.items()}

    return run


def test_run_a_task(world: World, run_example: RunExample) -> None:
    world.add_task()

    record = run_example("run_orders")["run"]

    assert (record["rows"], record["dirty_rows"], world.rows()) == (ROWS, 0, ROWS)


def test_create_a_task(world: World, run_example: RunExample) -> None:
    fdi_task_id = run_example("create_orders")["create"]

    assert FdiHook().find_task("orders_to_dwh").task_id == fdi_task_id


def test_change_a_task_then_run_it(world: World, run_example: RunExample) -> None:
    world.add_task(started=True, schedule=True)

    record = run_example("orders_of_a_day")["run"]

    assert record["rows"] == world.rows() == ROWS / 2


def test_give_a_task_its_schedule(world: World, run_example: RunExample) -> None:
    fdi_task_id = world.add_task()

    run_example("schedule_orders")

    world.fdi.start_task(fdi_task_id)
    assert world.fdi.task(fdi_task_id)["next_firing"]


def test_start_tasks(world: World, run_example: RunExample) -> None:
    ids = [world.add_task(name, schedule=True) for name in ("orders_to_warehouse", "customers_to_warehouse")]

    assert run_example("start_all")["start"] == {"succeeded": ids, "failed": []}


def test_composite_task(world: World, run_example: RunExample) -> None:
    values = run_example("follow_orders")

    assert world.fdi.task(values["create"])["started"]


def test_terminate_a_run(world: World, run_example: RunExample) -> None:
    fdi_task_id = world.add_task(script={"hold": True})
    world.fdi.request("POST", f"tasks/{fdi_task_id}/run", {"task_id": fdi_task_id})

    assert run_example("terminate_orders")["terminate"] is True


def test_apply_files(world: World, run_example: RunExample, request: pytest.FixtureRequest) -> None:
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / "fdi"
    request.addfinalizer(lambda: shutil.rmtree(folder))
    for name in ("tasks", "environments"):
        (folder / name).mkdir(parents=True)
    (folder / "environments" / "test.yaml").write_text("environment: {managed_tag: fdi-git}\n")
    (folder / "tasks" / "orders.yaml").write_text(
        "tasks: [{name: orders, source: operations, target: warehouse, table_to_table:"
        " {source_table: orders, target_table: dwh_orders, columns: [id]}}]\n"
    )

    assert run_example("deploy_fdi")["apply"]["created"] == ["orders"]


def test_test_a_data_source(world: World, run_example: RunExample) -> None:
    assert run_example("test_source")["reachable"] is True


def test_delete_a_task(world: World, run_example: RunExample) -> None:
    world.add_task(started=True, schedule=True)

    run_example("delete_orders")

    assert world.fdi.journal("DeleteTask")


def test_wait_for_a_run_that_fdi_started(world: World, run_example: RunExample) -> None:
    fdi_task_id = world.add_task()
    fdi_run_id = world.fdi.add_run(fdi_task_id)

    record = run_example("wait_for_orders", logical_date=pendulum.datetime(2026, 1, 1, tz="UTC"))["wait"]

    assert record["fdi_run_id"] == fdi_run_id


def test_setup_teardown_and_task_groups(world: World, run_example: RunExample) -> None:
    values = run_example("orders_day_by_day")

    for day in ("2026-01-01", "2026-01-02"):
        assert values[f"day_{day}.run"]["rows"] == ROWS / 2
    assert world.rows() == ROWS
    assert FdiHook().find_task("orders_2026-01-01") is None


def test_the_dag_of_the_readme(world: World, run_example: RunExample) -> None:
    world.add_task()

    record = run_example("orders", logical_date=pendulum.datetime(2026, 1, 1, tz="UTC"))["load"]

    assert record["rows"] == ROWS


@pytest.mark.parametrize("dag_id", ["load_orders", "orders_in_production", "orders_with_patience"])
def test_a_load_that_is_deferred(dag_id: str, world: World, run_example: RunExample) -> None:
    world.add_task()

    record = run_example(dag_id, logical_date=pendulum.datetime(2026, 1, 1, tz="UTC"))["load"]

    assert record["rows"] == ROWS


def test_a_dag_that_fdi_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dag = load(BY_ID["after_orders"], tmp_path)
    (orders,) = dag.timetable.asset_condition.objects
    event = SimpleNamespace(extra={"from_trigger": True, "payload": {"fdi_run_id": "r1", "rows": 3}})

    dag.get_task("report").python_callable(ByName({orders.name: [event]}))

    assert capsys.readouterr().out.endswith("r1 3\n")


def test_getting_started_gets_there(
    fdi_emulator: FdiEmulator,
    fdi_connection: str,
    run_example: RunExample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = list(blocks(DOCS / "getting-started.md"))
    monkeypatch.chdir(tmp_path)
    databases = next(block for block in page if block.language == "python")
    config = next(block for block in page if block.language == "json")
    exec(compile(databases.text, str(databases), "exec"), {})
    for source in json.loads(config.text)["datasources"]:
        path = tmp_path / source.pop("url").removeprefix("sqlite:///")
        fdi_emulator.add_datasource(url=f"sqlite:///{path}", **source)

    run_example("first_fdi")

    with sqlite3.connect("warehouse.db") as warehouse:
        found = str(warehouse.execute("SELECT * FROM dwh_orders").fetchall())
    assert found in [block.text.strip() for block in page]


def for_this_airflow(block: Block) -> str:
    """The block's code; the pages are written for Airflow 3."""
    if "FdiRetryPolicy" in block.text and compat.RetryDecision is None:
        pytest.skip("this Airflow has no retry policies")
    if importlib.util.find_spec("airflow.sdk") is not None:
        return block.text
    if "AssetWatcher" in block.text:
        pytest.skip("this Airflow has no asset watchers")
    return block.text.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")


def load(block: Block, folder: Path) -> Any:
    """The DAG that a block makes, loaded as Airflow loads a DAG file."""
    assert block.dag_id is not None
    text = for_this_airflow(block)
    if "poll_interval" not in text:
        # Nobody needs 30 seconds for ten rows.
        text = text.replace("FdiRunTaskOperator(\n", "FdiRunTaskOperator(\n        poll_interval=0.2,\n")
        text = text.replace("FdiRunTaskOperator(task_id", "FdiRunTaskOperator(poll_interval=0.2, task_id")
    path = folder / f"{block.dag_id}.py"
    path.write_text(text, encoding="utf-8")
    bag = dag_bag(path)
    assert not bag.import_errors
    return bag.dags[block.dag_id]
