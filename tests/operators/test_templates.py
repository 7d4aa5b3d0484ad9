"""Operators as DAG authors use them: templates of every kind, mapped, in groups, as setup and teardown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.auth import StaticTokenAuth
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import (
    FdiBatchOperator,
    FdiCreateScheduleOperator,
    FdiCreateTaskOperator,
    FdiDeleteTaskOperator,
    FdiRunTaskOperator,
    FdiTerminateRunOperator,
    FdiUpdateTaskOperator,
)
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

RunDag = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fdi_connection")


def dag(dag_id: str, **arguments: Any) -> Any:
    from airflow.providers.common.compat.sdk import DAG

    return DAG(dag_id, schedule=None, **arguments)


def states(dag_run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}


def succeeded(dag_run: Any) -> bool:
    assert str(dag_run.state) == "success", states(dag_run)
    return True


def created(fdi: FdiEmulator) -> dict[str, dict[str, Any]]:
    """The tasks that are there: name and `task_detail`."""
    with FdiClient(fdi.url, fdi.project_id, fdi.instance_id, StaticTokenAuth(fdi.token)) as client:
        tasks = [client.get_task(task.task_id) for task in client.list_tasks()]
    return {task.task_name: json.loads(task.task_detail or "{}") for task in tasks}


@pytest.fixture
def datasources(fdi_emulator: FdiEmulator) -> dict[str, str]:
    source, target = (fdi_emulator.add_datasource(name, None) for name in ("source", "target"))
    return {"source_datasource_id": source, "target_datasource_id": target}


def test_task_detail_is_shown_as_json_in_the_ui() -> None:
    assert FdiCreateTaskOperator.template_fields_renderers["task_detail"] == "json"


def test_templates_inside_a_detail_are_rendered_at_any_depth(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str]
) -> None:
    with dag("nested_templates", params={"table": "orders"}) as made:
        FdiCreateTaskOperator(
            task_id="create",
            fdi_task_name="load_{{ params.table }}",
            task_detail={
                "sourceSelectedDatasource": {
                    "sourceTable": "{{ params.table }}",
                    "where": [{"value": "{{ dag.dag_id }}"}],
                },
                "mappingRequired": True,
            },
            **datasources,
        )

    assert succeeded(run_dag(made))
    assert created(fdi_emulator)["load_orders"] == {
        "sourceSelectedDatasource": {"sourceTable": "orders", "where": [{"value": "nested_templates"}]},
        "mappingRequired": True,
    }


def test_a_detail_is_read_from_a_json_file_with_templates(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "detail.json").write_text(
        '{"sourceSelectedDatasource": {"sourceTable": "{{ params.table }}"}}'
    )
    with dag("json_file", params={"table": "orders"}, template_searchpath=[str(tmp_path)]) as made:
        FdiCreateTaskOperator(
            task_id="create", fdi_task_name="load_orders", task_detail="detail.json", **datasources
        )

    assert succeeded(run_dag(made))
    assert created(fdi_emulator)["load_orders"] == {"sourceSelectedDatasource": {"sourceTable": "orders"}}


def test_a_mapped_detail_is_read_from_a_json_file(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "detail.json").write_text('{"sourceTable": "{{ params.table }}"}')
    with dag("mapped_json_file", params={"table": "orders"}, template_searchpath=[str(tmp_path)]) as made:
        FdiCreateTaskOperator.partial(task_id="create", task_detail="detail.json", **datasources).expand(
            fdi_task_name=["load_1", "load_2"]
        )

    assert succeeded(run_dag(made))
    assert created(fdi_emulator) == {"load_1": {"sourceTable": "orders"}, "load_2": {"sourceTable": "orders"}}


def test_text_that_ends_like_a_file_name_is_one_only_as_the_whole_detail(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str]
) -> None:
    with dag("names_of_files") as made:
        create = FdiCreateTaskOperator(
            task_id="create",
            fdi_task_name="orders.json",
            description="Loads orders.json",
            task_detail={"sourceSelectedDatasource": {"path": "/in/orders.json"}},
            **datasources,
        )
        create >> FdiUpdateTaskOperator(
            task_id="update", fdi_task_name="orders.json", task_detail={"path": ["/out/orders.json"]}
        )

    assert succeeded(run_dag(made))
    assert created(fdi_emulator) == {"orders.json": {"path": ["/out/orders.json"]}}


def test_a_detail_given_as_text_is_rendered(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str]
) -> None:
    with dag("json_text", params={"table": "orders"}) as made:
        FdiCreateTaskOperator(
            task_id="create",
            fdi_task_name="load_orders",
            task_detail='{"sourceTable": {{ params.table | tojson }}}',
            **datasources,
        )

    assert succeeded(run_dag(made))
    assert created(fdi_emulator)["load_orders"] == {"sourceTable": "orders"}


def test_ids_come_from_other_tasks(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str]
) -> None:
    with dag("xcom_args") as made:
        create = FdiCreateTaskOperator(
            task_id="create",
            fdi_task_name="load_orders",
            task_detail={},
            **datasources,
        )
        schedule = FdiCreateScheduleOperator(task_id="schedule", fdi_task_id=create.output, cron="@daily")
        start = FdiBatchOperator(task_id="start", action="start", fdi_task_ids=[create.output])
        run = FdiRunTaskOperator(
            task_id="run", fdi_task_id=create.output, wait_for_completion=False, if_running="join"
        )
        terminate = FdiTerminateRunOperator(task_id="terminate", fdi_task_id=create.output)
        delete = FdiDeleteTaskOperator(task_id="delete", fdi_task_id=create.output, stop_first=True)
        create >> schedule >> start >> run >> terminate >> delete

    dag_run = run_dag(made)

    assert set(states(dag_run)) == {"create", "schedule", "start", "run", "terminate", "delete"}
    assert succeeded(dag_run)
    task_id = fdi_emulator.journal("RunTask")[0]["path"].split("/")[-2]
    assert fdi_emulator.journal("DeleteTask")[0]["path"].endswith(task_id)


def test_numbers_and_flags_may_be_templates(fdi_emulator: FdiEmulator, run_dag: RunDag) -> None:
    task = fdi_emulator.add_task(schedule=True, script={"rows": 10})
    params = {"rows": 5, "seconds": 0.1, "start": True}
    with dag("typed_templates", params=params) as made:
        FdiRunTaskOperator(
            task_id="run",
            fdi_task_id=task,
            min_rows="{{ params.rows }}",  # type: ignore[arg-type]
            poll_interval="{{ params.seconds }}",  # type: ignore[arg-type]
            start_if_stopped="{{ params.start }}",  # type: ignore[arg-type]
        )

    assert succeeded(run_dag(made))
    assert fdi_emulator.task(task)["started"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_a_run_is_mapped_over_tasks(fdi_emulator: FdiEmulator, run_dag: RunDag, deferrable: bool) -> None:
    tasks = fdi_emulator.add_tasks(3, script={"rows": 1, "duration_ms": 100})
    with dag(f"mapped_{deferrable}".lower()) as made:
        FdiRunTaskOperator.partial(task_id="run", deferrable=deferrable, poll_interval=0.1).expand(
            fdi_task_id=tasks
        )

    dag_run = run_dag(made)

    assert succeeded(dag_run)
    assert [len(fdi_emulator.runs_started(task)) for task in tasks] == [1, 1, 1]


def test_creating_and_running_are_mapped_over_what_a_task_returns(
    fdi_emulator: FdiEmulator, run_dag: RunDag, datasources: dict[str, str]
) -> None:
    from airflow.providers.common.compat.sdk import task

    with dag("mapped_chain") as made:

        @task
        def tables() -> list[dict[str, Any]]:
            return [
                {"fdi_task_name": f"load_{name}", "task_detail": {"sourceTable": name}}
                for name in ("one", "two")
            ]

        create = FdiCreateTaskOperator.partial(
            task_id="create", fdi_task_type="REALTIME", **datasources
        ).expand_kwargs(tables())
        FdiBatchOperator(task_id="start", action="start", fdi_task_ids=create.output)

    assert succeeded(run_dag(made))
    assert created(fdi_emulator) == {"load_one": {"sourceTable": "one"}, "load_two": {"sourceTable": "two"}}
    assert len(fdi_emulator.journal("BatchStartOrStopTasks")) == 1


def test_operators_work_in_task_groups_and_mapped_groups(fdi_emulator: FdiEmulator, run_dag: RunDag) -> None:
    from airflow.providers.common.compat.sdk import task_group

    tasks = fdi_emulator.add_tasks(2)
    with dag("groups") as made:

        @task_group
        def load(fdi_task_id: str) -> None:
            run = FdiRunTaskOperator(task_id="run", fdi_task_id=fdi_task_id, poll_interval=0.1)
            check = FdiTaskSensor(
                task_id="check",
                fdi_task_id=fdi_task_id,
                fdi_run_id="{{ ti.xcom_pull('load.run', key='fdi_run_id', map_indexes=ti.map_index) }}",
            )
            run >> check

        load.expand(fdi_task_id=tasks)

    dag_run = run_dag(made)

    assert succeeded(dag_run)
    assert set(states(dag_run)) == {"load.run", "load.check"}
    assert [len(fdi_emulator.runs_started(task)) for task in tasks] == [1, 1]


def test_a_teardown_stops_what_a_setup_has_started_although_the_work_failed(
    fdi_emulator: FdiEmulator, run_dag: RunDag
) -> None:
    task = fdi_emulator.add_task(schedule=True, script={"outcome": "ERROR"})
    with dag("setup_teardown") as made:
        start = FdiBatchOperator(task_id="start", action="start", fdi_task_ids=[task])
        run = FdiRunTaskOperator(task_id="run", fdi_task_id=task, poll_interval=0.1)
        stop = FdiBatchOperator(task_id="stop", action="stop", fdi_task_ids=[task])
        start >> run >> stop.as_teardown(setups=start)

    dag_run = run_dag(made)

    assert states(dag_run) == {"start": "success", "run": "failed", "stop": "success"}
    assert str(dag_run.state) == "failed"
    assert not fdi_emulator.task(task)["started"]


def test_a_run_is_a_setup_itself(fdi_emulator: FdiEmulator, run_dag: RunDag) -> None:
    task = fdi_emulator.add_task()
    with dag("run_as_setup") as made:
        run = FdiRunTaskOperator(task_id="run", fdi_task_id=task, poll_interval=0.1).as_setup()
        delete = FdiDeleteTaskOperator(task_id="delete", fdi_task_id=task).as_teardown(setups=run)
        run >> delete

    assert succeeded(run_dag(made))
    assert len(fdi_emulator.journal("DeleteTask")) == 1
