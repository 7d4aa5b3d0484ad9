"""Across systems: FDI loads the warehouse, SQL makes a report from it, and the row counts are compared.

The run record says how many rows the warehouse must contain, so the report uses only data that was really
moved. Needs the Airflow variable ``fdi_warehouse_url``, the SQLAlchemy URL of the warehouse.
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
from airflow_provider_fdi.operators.fdi import FdiCreateTaskOperator, FdiRunTaskOperator

COLUMNS = {"carrier": "carrier_code", "flight": "flight_number", "distance": "distance_miles"}

with DAG(
    "fdi_then_sql",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:
    create = FdiCreateTaskOperator(
        task_id="create",
        fdi_task_name="flights_for_report",
        source_datasource_id="{{ var.value.fdi_source_datasource_id }}",
        target_datasource_id="{{ var.value.fdi_target_datasource_id }}",
        task_detail=table_to_table(
            table_source("flights", [column(name, "VARCHAR", 16) for name in COLUMNS]),
            table_target(
                "dwh_flights_report",
                [column(name, "VARCHAR", 16) for name in COLUMNS.values()],
                truncate=True,
            ),
            [column_mapping(source, target) for source, target in COLUMNS.items()],
        ),
        if_exists="update",
        stop_first=True,
    )
    run = FdiRunTaskOperator(
        task_id="run",
        fdi_task_id=create.output,
        poll_interval=2,
        skip_if_empty=True,
        retries=1,
        retry_delay=pendulum.duration(seconds=10),
    )

    @task
    def report(record: dict[str, Any], warehouse_url: str) -> list[list[Any]]:
        """Return flights and mean distance per airline; fail if the warehouse has a different row count."""
        import sqlalchemy

        with sqlalchemy.create_engine(warehouse_url).connect() as warehouse:
            loaded = warehouse.execute(
                sqlalchemy.text("SELECT COUNT(*) FROM dwh_flights_report")
            ).scalar_one()
            if loaded != record["rows"]:
                raise ValueError(f"FDI moved {record['rows']} rows, the warehouse contains {loaded}")
            rows = warehouse.execute(
                sqlalchemy.text(
                    "SELECT carrier_code, COUNT(*), ROUND(AVG(distance_miles)) FROM dwh_flights_report"
                    " GROUP BY carrier_code ORDER BY 2 DESC"
                )
            )
            return [list(row) for row in rows]

    create >> run
    report(run.output, "{{ var.value.fdi_warehouse_url }}")
