"""Creates an FDI task, runs it twice, in a worker and in the triggerer, and deletes it."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fdi.client.task_detail import (
    column,
    column_mapping,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.operators.fdi import (
    FdiCreateTaskOperator,
    FdiDeleteTaskOperator,
    FdiRunTaskOperator,
)

INTEGER, AMOUNT = ("INTEGER", 0), ("NUMERIC", 10)

with DAG("fdi_trial", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), tags=["fdi"]):
    create = FdiCreateTaskOperator(
        task_id="create",
        fdi_task_name="orders_trial",
        fdi_task_type="TIMING",
        source_datasource_id="30969b205e8f4392a25fb321112d1753",
        target_datasource_id="79c4caaa3e1441dfb0351038fcf5f281",
        task_detail=table_to_table(
            table_source("orders", [column("id", *INTEGER), column("amount", *AMOUNT)]),
            table_target(
                "dwh_orders", [column("order_id", *INTEGER), column("total", *AMOUNT)], truncate=True
            ),
            [column_mapping("id", "order_id"), column_mapping("amount", "total")],
        ),
        if_exists="reuse",
    )
    runs = [
        FdiRunTaskOperator(
            task_id=task_id,
            fdi_task_id=create.output,
            deferrable=deferrable,
            poll_interval=2,
            min_rows=1000,
            max_dirty_rows=0,
        )
        for task_id, deferrable in (("in_a_worker", False), ("in_the_triggerer", True))
    ]
    delete = FdiDeleteTaskOperator(task_id="delete", fdi_task_id=create.output, stop_first=True)
    create >> runs[0] >> runs[1] >> delete
