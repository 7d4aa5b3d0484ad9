"""A task that cannot reach FDI before it has started anything, with `FdiRetryPolicy`, on a real Airflow."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.stack import Stack

RESCHEDULES = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 4)
"""Whether this Airflow can run a task again without using up a retry."""

DAG = """
    import datetime
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
    from airflow_provider_fdi.retry_policy import FdiRetryPolicy

    with DAG("out_of_reach", schedule=None):
        FdiRunTaskOperator(
            task_id="run",
            fdi_task_id={fdi_task!r},
            poll_interval=0.5,
            poll_failure_timeout=1,
            retries={retries},
            retry_policy=FdiRetryPolicy(delay=datetime.timedelta(seconds=1)),
        )
"""


def test_an_outage_before_the_start_uses_up_no_retry_where_airflow_can_reschedule(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    fdi_task = fdi.add_task(name="out_of_reach", script={"duration_ms": 0})
    dag_id = write_dag("out_of_reach", DAG.format(fdi_task=fdi_task, retries=0 if RESCHEDULES else 1))
    fdi.fault("reset_before", times=None)
    run_id = stack.api.trigger(dag_id)
    waiting = "up_for_reschedule" if RESCHEDULES else "up_for_retry"
    stack.api.wait_for_task(dag_id, run_id, "run", waiting, timeout=180)
    fdi.clear_faults()

    assert stack.api.wait_for_run(dag_id, run_id) == "success", stack.api.report(dag_id, run_id)

    task = stack.api.task(dag_id, run_id, "run")
    assert task["try_number"] == (1 if RESCHEDULES else 2)
    assert len(fdi.runs_started(fdi_task)) == 1
