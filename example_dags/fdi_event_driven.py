"""A DAG that FDI starts: it runs whenever FDI has finished a run of a task, by its own schedule or by anyone.

The asset is what the FDI task brings. Its watcher looks at FDI and makes every successful run an event of the
asset, with the run's record: which run, how many rows, when. Between runs no worker is busy. Needs Airflow 3;
the task is named by the Airflow variable ``fdi_watched_task`` in the environment
(``AIRFLOW_VAR_FDI_WATCHED_TASK``), or is ``flights_every_minute``, which the DAG
``fdi_wait_for_scheduled_run`` creates.
"""

from __future__ import annotations

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger

# A watcher is made when the file is parsed: there is no run yet in which a template could be rendered.
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
    tags=["fdi", "example"],
    doc_md=__doc__,
) as dag:

    @task
    def report(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Whatever follows the load. Several runs may have ended before this DAG came to run."""
        records = [event.extra["payload"] for event in triggering_asset_events[flights]]
        for record in records:
            print(f"run {record['fdi_run_id']}: {record['rows']} rows, {record['dirty_rows']} dirty rows")
        return records

    report()
