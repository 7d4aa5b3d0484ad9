"""The provider in a real Airflow: a run that is started, waited for and succeeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.stack import Stack

DAG = """
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG({dag_id!r}, schedule=None):
        FdiRunTaskOperator(
            task_id="run", fdi_task_id={fdi_task_id!r}, deferrable={deferrable}, poll_interval=1,
        )
"""


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_a_run_is_started_once_and_succeeds(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str], deferrable: bool
) -> None:
    task = fdi.add_task(name="orders", script={"duration_ms": 1500, "rows": 42})
    dag_id = f"smoke_{'deferrable' if deferrable else 'synchronous'}"
    write_dag(dag_id, DAG.format(dag_id=dag_id, fdi_task_id=task, deferrable=deferrable))

    run_id = stack.api.trigger(dag_id)

    assert stack.api.wait_for_run(dag_id, run_id) == "success", stack.api.report(dag_id, run_id)
    record = stack.api.xcom(dag_id, run_id, "run")
    assert record["rows"] == 42
    assert len(fdi.runs_started(task)) == 1
