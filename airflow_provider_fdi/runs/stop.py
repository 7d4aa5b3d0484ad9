"""Ending a run that is ours, and only such a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.record import RunRecord
from airflow_provider_fdi.runs.wait import LOOKBACK_MS, server_now

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)


def terminate_own_run(client: FdiClient, record: RunRecord | None) -> str | None:
    """Terminate the run of ``record`` if we started it and its own row is still active; its id, else None.

    FDI's ``terminate`` names no run: it stops whatever the task is executing. The row is therefore read
    immediately before. A start that is not located yet is looked for once.

    :raises FdiError: the look or the termination failed.
    """
    if record is None or not record.ours:
        return None
    start = record.run_time or record.intent_time
    rows = client.list_runs(record.fdi_task_id, begin_time=start - LOOKBACK_MS)
    if record.run_id is not None:
        run = verdict.find_run(rows, record.run_id)
    else:
        run = verdict.locate(
            rows,
            baseline=record.baseline,
            intent_time=record.intent_time,
            deadline=record.deadline,
            now=server_now(rows.server_time),
        ).run
    if run is None or not run.execute_status.is_active:
        return None
    client.terminate_task(record.fdi_task_id)
    log.info("Terminated run %s of FDI task %s", run.run_id, record.fdi_task_id)
    return run.run_id
