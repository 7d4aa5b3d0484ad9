"""Ending a run that is ours, and only such a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiError,
    FdiNotFoundError,
    FdiPermissionError,
)
from airflow_provider_fdi.client.models import ExecuteStatus, Run
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.record import RunRecord
from airflow_provider_fdi.runs.wait import LOOKBACK_MS, find_in_log

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

PATIENCE = 6.0
"""Seconds for which a run is looked for that was started but is not in its log yet."""
ATTEMPTS = 3
"""How often a termination is requested."""
PAUSE = 1.0
"""Seconds between two looks, and between two requests."""


def terminate_own_run(
    client: FdiClient,
    record: RunRecord | None,
    *,
    patience: float = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Terminate the run of ``record`` if we started it and its own row is still active; its id, else None.

    FDI's ``terminate`` names no run: it stops whatever the task is executing. The row is therefore read
    immediately before each request, also before one that repeats another whose answer was lost.

    :raises FdiError: the look or the termination failed.
    """
    if record is None or not record.ours:
        return None
    until = clock() + patience
    while (run := _own_row(client, record)) is None and record.run_id is None and clock() < until:
        sleep(PAUSE)
    asked = 0
    while run is not None and verdict.outcome(run) is verdict.Outcome.GOING_ON:
        asked += 1
        try:
            client.terminate_task(record.fdi_task_id, resend=False)
        except (FdiAuthError, FdiPermissionError, FdiNotFoundError):
            raise
        except FdiError as error:
            # Among others FDI.3027, nothing is executing: the row tells what has become of it.
            log.warning("The termination of run %s failed: %s", run.run_id, error)
            if asked == ATTEMPTS:
                raise
            sleep(PAUSE)
            run = _own_row(client, record)
            continue
        log.info("Terminated run %s of FDI task %s", run.run_id, record.fdi_task_id)
        return run.run_id
    cancelled = run is not None and run.execute_status is ExecuteStatus.CANCELLED
    return run.run_id if run is not None and asked and cancelled else None


def _own_row(client: FdiClient, record: RunRecord) -> Run | None:
    def find(rows: Iterable[Run]) -> Run | None:
        if record.run_id is not None:
            return verdict.find_run(rows, record.run_id)
        # As before the deadline: no slack for the clock where it could end another's run.
        return verdict.locate(
            rows,
            baseline=record.baseline,
            intent_time=record.intent_time,
            deadline=record.deadline,
            now=record.intent_time,
        ).run

    start = record.run_time or record.intent_time
    return find_in_log(client, record.fdi_task_id, start - LOOKBACK_MS, find)[0]
