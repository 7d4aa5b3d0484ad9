"""Create and run many FDI tasks from a list with dynamic task mapping, one for each airline.

All of them wait in the triggerer, where they share one poller: a thousand waits cost two requests
per interval.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_fdi.client.task_detail import (
    column,
    column_mapping,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.operators.fdi import FdiBatchOperator, FdiCreateTaskOperator, FdiRunTaskOperator

CARRIERS = ["AA", "B6", "DL", "UA"]
COLUMNS = {"carrier": "carrier_code", "flight": "flight_number", "distance": "distance_miles"}

with DAG(
    "fdi_many_tasks",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:

    @task
    def plan() -> list[dict[str, Any]]:
        """Return the arguments of each task; a real DAG would read them from a table or a file."""
        return [
            {
                "fdi_task_name": f"flights_of_{carrier}",
                "task_detail": table_to_table(
                    table_source(
                        "flights",
                        [column(name, "VARCHAR", 16) for name in COLUMNS],
                        sql=f"SELECT carrier, flight, distance FROM flights WHERE carrier = '{carrier}'",
                    ),
                    table_target(
                        "dwh_flights_by_airline", [column(name, "VARCHAR", 16) for name in COLUMNS.values()]
                    ),
                    [column_mapping(source, target) for source, target in COLUMNS.items()],
                ),
            }
            for carrier in CARRIERS
        ]

    create = FdiCreateTaskOperator.partial(
        task_id="create",
        source_datasource_id="{{ var.value.fdi_source_datasource_id }}",
        target_datasource_id="{{ var.value.fdi_target_datasource_id }}",
        if_exists="update",
        stop_first=True,
        map_index_template="{{ task.fdi_task_name }}",
    ).expand_kwargs(plan())

    run = FdiRunTaskOperator.partial(
        task_id="run",
        deferrable=True,
        poll_interval=2,
        max_dirty_rows=0,
        retries=1,
        retry_delay=pendulum.duration(seconds=10),
        map_index_template="{{ task.fdi_task_name }}",
    ).expand(fdi_task_name=[f"flights_of_{carrier}" for carrier in CARRIERS])

    @task
    def total(records: list[dict[str, Any]]) -> int:
        """Return the total number of rows moved by all runs."""
        return sum(record["rows"] for record in records)

    stop = FdiBatchOperator(
        task_id="stop", action="stop", fdi_task_ids=create.output, on_partial_failure="warn"
    )

    create >> run
    total(run.output) >> stop
