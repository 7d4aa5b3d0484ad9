"""Ends a run that is ours, and no other run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.enums import ExecuteStatus
from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiError,
    FdiNotFoundError,
    FdiPermissionError,
)
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.polling import find_in_log
from airflow_provider_fdi.runs.state import RunRecord
from airflow_provider_fdi.runs.waits import LOOKBACK_MS

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Run

log = logging.getLogger(__name__)

SEARCH_TIME = 6.0
"""Seconds for which the log is searched for a run that was started but has not appeared there yet."""
BACKOFF = Backoff(base=1.0, factor=1.0, jitter=0.0, attempts=3)
"""How often a termination is requested; the pause between two requests, and between two polls of the log."""


def terminate_own_run(
    client: FdiClient,
    record: RunRecord | None,
    *,
    search_time: float = SEARCH_TIME,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Terminate the run of ``record`` if we started it and its own row is still active; its id, else None.

    FDI's ``terminate`` names no run: it stops whichever run the task is executing. The row is therefore read
    immediately before each request, also before one that repeats a request whose answer was lost.

    :raises FdiError: reading the log or the termination failed.
    """
    if record is None or not record.is_ours:
        return None
    until = clock() + search_time
    while (run := _own_row(client, record)) is None and record.run_id is None and clock() < until:
        sleep(BACKOFF.delay(1))
    requests = 0
    while run is not None and verdict.outcome(run) is verdict.Outcome.GOING_ON:
        requests += 1
        try:
            client.terminate_task(record.fdi_task_id, resend=False)
        except (FdiAuthError, FdiPermissionError, FdiNotFoundError):
            raise
        except FdiError as error:
            # For example FDI.3027, nothing is executing: the row shows how the run ended.
            log.warning("The termination of run %s failed: %s", run.run_id, error.brief)
            if requests == BACKOFF.attempts:
                raise
            sleep(BACKOFF.delay(requests))
            run = _own_row(client, record)
            continue
        log.info("Terminated run %s of %s", run.run_id, record.task_label)
        return run.run_id
    cancelled = run is not None and run.execute_status is ExecuteStatus.CANCELLED
    return run.run_id if run is not None and requests and cancelled else None


def _own_row(client: FdiClient, record: RunRecord) -> Run | None:
    """Read the row of our run; None if the log does not show it."""

    def find(rows: Iterable[Run]) -> Run | None:
        if record.run_id is not None:
            return verdict.find_run(rows, record.run_id)
        # As before the deadline: with slack for the clock this could end a run that is not ours.
        return verdict.locate(
            rows,
            baseline=record.baseline,
            intent_time=record.intent_time,
            deadline=record.deadline,
            now=record.intent_time,
        ).run

    start = record.run_time or record.intent_time
    return find_in_log(client, record.fdi_task_id, start - LOOKBACK_MS, find)[0]
