"""Wait for a run that FDI's own schedule starts, then continue.

Here the DAG also creates the task that it waits for, which FDI runs every minute. In production the task
already exists and only the sensor is needed. ``completed_after`` makes sure that an earlier success does not
count.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_fdi.operators.fdi import (
    FdiBatchOperator,
    FdiCreateScheduleOperator,
    FdiCreateTaskOperator,
)
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

with DAG(
    "fdi_wait_for_scheduled_run",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:
    create = FdiCreateTaskOperator(
        task_id="create",
        fdi_task_name="flights_every_minute",
        source_datasource_id="{{ var.value.fdi_source_datasource_id }}",
        target_datasource_id="{{ var.value.fdi_target_datasource_id }}",
        task_detail="flights_every_minute.json",
        if_exists="update",
        stop_first=True,
    )
    schedule = FdiCreateScheduleOperator(
        task_id="schedule", fdi_task_id=create.output, period="MIN", dispatch_interval=1
    )
    start = FdiBatchOperator(task_id="start", action="start", fdi_task_ids=[create.output]).as_setup()

    wait = FdiTaskSensor(
        task_id="wait",
        fdi_task_id=create.output,
        # In a DAG that has a schedule, use "{{ data_interval_end }}".
        completed_after="{{ dag_run.start_date }}",
        deferrable=True,
        poke_interval=2,
        timeout=600,
        retries=2,
        retry_delay=pendulum.duration(seconds=10),
    )

    @task
    def go_on(record: dict[str, object]) -> None:
        """Placeholder for work after the load."""
        print(f"run {record['fdi_run_id']}: {record['rows']} rows")

    stop = FdiBatchOperator(task_id="stop", action="stop", fdi_task_ids=[create.output])

    create >> schedule >> start >> wait >> go_on(wait.output) >> stop
    stop.as_teardown(setups=start)
