"""A DAG that runs whenever FDI has finished a run of a task, no matter who or what started that run.

The asset stands for the data that the FDI task loads. Its watcher polls FDI and turns every successful run
into an asset event with the run record: which run, how many rows, when. Between runs no worker is busy. Needs
Airflow 3. The environment variable ``AIRFLOW_VAR_FDI_WATCHED_TASK`` names the FDI task; the default is
``flights_every_minute``, which the DAG ``fdi_wait_for_scheduled_run`` creates.
"""

from __future__ import annotations

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger

# The watcher is created when the file is parsed. There is no DAG run then, so templates cannot be used.
WATCHED = os.environ.get("AIRFLOW_VAR_FDI_WATCHED_TASK", "flights_every_minute")

flights = Asset(
    "fdi_flights",
    watchers=[
        AssetWatcher(
            name="fdi_flights_loaded",
            trigger=FdiRunEventTrigger(fdi_task_name=WATCHED, poll_interval=5),
        )
    ],
)

with DAG(
    "fdi_event_driven",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    schedule=[flights],
    catchup=False,
    max_active_runs=1,
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:

    @task
    def report(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Placeholder for work after the load. Several runs may have ended before this DAG run started."""
        records = [event.extra["payload"] for event in triggering_asset_events[flights]]
        for record in records:
            print(f"run {record['fdi_run_id']}: {record['rows']} rows, {record['dirty_rows']} dirty rows")
        return records

    report()
