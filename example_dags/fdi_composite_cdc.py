"""Keep a composite task (change data capture) running only for as long as it is needed.

The setup creates the task and starts it. A composite task never ends, so the sensor waits until it is started
and executing. The teardown stops and deletes it, even if the work in between failed.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_fdi.operators.fdi import (
    FdiBatchOperator,
    FdiCreateCompositeTaskOperator,
    FdiDeleteTaskOperator,
)
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

with DAG(
    "fdi_composite_cdc",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:
    create = FdiCreateCompositeTaskOperator(
        task_id="create",
        fdi_task_name="flights_follow",
        operation_types=["INSERT"],
        source_datasource_id="{{ var.value.fdi_source_datasource_id }}",
        target_datasource_id="{{ var.value.fdi_target_datasource_id }}",
        table_mappings=[
            {
                "source_table": "flights",
                "target_table": "dwh_flights_live",
                "mapping_columns": [
                    {"source_column": "carrier", "target_column": "carrier_code"},
                    {"source_column": "flight", "target_column": "flight_number"},
                    {"source_column": "distance", "target_column": "distance_miles"},
                ],
            }
        ],
        if_exists="reuse",
    ).as_setup()

    start = FdiBatchOperator(task_id="start", action="start", fdi_task_ids=[create.output]).as_setup()

    healthy = FdiTaskSensor(
        task_id="healthy",
        fdi_task_id=create.output,
        completed_after=None,
        poke_interval=1,
        timeout=300,
    )

    @task
    def use_fresh_data() -> None:
        """Placeholder for work that needs the target to follow the source."""

    stop = FdiBatchOperator(task_id="stop", action="stop", fdi_task_ids=[create.output])
    delete = FdiDeleteTaskOperator(task_id="delete", fdi_task_id=create.output, missing_ok=True)

    create >> start >> healthy >> use_fresh_data() >> stop >> delete
    stop.as_teardown(setups=start)
    delete.as_teardown(setups=create)
