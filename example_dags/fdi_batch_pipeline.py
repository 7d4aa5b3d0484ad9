"""The whole life cycle of an FDI task: create, schedule, start, run and wait, check, stop.

Moves the table ``flights`` from an operational database to ``dwh_flights`` in a warehouse, where the columns
have different names. Needs the connection ``fdi_default`` and the Airflow variables
``fdi_source_datasource_id`` and ``fdi_target_datasource_id``; ``make demo`` sets all of this up.
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
from airflow_provider_fdi.operators.fdi import (
    FdiBatchOperator,
    FdiCreateScheduleOperator,
    FdiCreateTaskOperator,
    FdiRunTaskOperator,
)

INTEGER, TEXT, TIMESTAMP = ("INTEGER", 0), ("VARCHAR", 16), ("TIMESTAMP", 0)
COLUMNS = {
    # source: (target, (type, length))
    "year": ("flight_year", INTEGER),
    "month": ("flight_month", INTEGER),
    "day": ("flight_day", INTEGER),
    "dep_time": ("actual_departure", INTEGER),
    "sched_dep_time": ("scheduled_departure", INTEGER),
    "dep_delay": ("departure_delay_min", INTEGER),
    "arr_time": ("actual_arrival", INTEGER),
    "sched_arr_time": ("scheduled_arrival", INTEGER),
    "arr_delay": ("arrival_delay_min", INTEGER),
    "carrier": ("carrier_code", TEXT),
    "flight": ("flight_number", INTEGER),
    "tailnum": ("tail_number", TEXT),
    "origin": ("origin_airport", TEXT),
    "dest": ("destination_airport", TEXT),
    "air_time": ("air_time_min", INTEGER),
    "distance": ("distance_miles", INTEGER),
    "hour": ("scheduled_hour", INTEGER),
    "minute": ("scheduled_minute", INTEGER),
    "time_hour": ("scheduled_at", TIMESTAMP),
}

with DAG(
    "fdi_batch_pipeline",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:
    create = FdiCreateTaskOperator(
        task_id="create",
        fdi_task_name="flights_to_warehouse",
        source_datasource_id="{{ var.value.fdi_source_datasource_id }}",
        target_datasource_id="{{ var.value.fdi_target_datasource_id }}",
        task_detail=table_to_table(
            table_source("flights", [column(name, *kind) for name, (_, kind) in COLUMNS.items()]),
            table_target(
                "dwh_flights", [column(name, *kind) for name, kind in COLUMNS.values()], truncate=True
            ),
            [column_mapping(source, target) for source, (target, _) in COLUMNS.items()],
        ),
        description="Flights from the operational database into the warehouse",
        if_exists="update",
        stop_first=True,
    )

    schedule = FdiCreateScheduleOperator(
        task_id="schedule",
        fdi_task_id=create.output,
        cron="30 2 * * *",
        cron_timezone="GMT+00:00",
        remark="every night",
    )

    start = FdiBatchOperator(
        task_id="start", action="start", fdi_task_ids=[create.output], wait_for_status=True, poll_interval=1
    )

    run = FdiRunTaskOperator(
        task_id="run",
        fdi_task_id=create.output,
        deferrable=True,
        poll_interval=1,
        min_rows=1,
        max_dirty_rows=0,
        retries=2,
        retry_delay=pendulum.duration(seconds=10),
    )

    @task
    def check(record: dict[str, Any]) -> str:
        """Check the result of the run before anything uses it."""
        if record["status"] != "SUCCESS" or record["dirty_rows"]:
            raise ValueError(f"unexpected result of the run: {record}")
        return f"{record['rows']} rows, {record['bytes']} bytes in {record['duration_ms'] / 1000:.1f} s"

    stop = FdiBatchOperator(task_id="stop", action="stop", fdi_task_ids=[create.output])

    create >> schedule >> start >> run >> check(run.output) >> stop
