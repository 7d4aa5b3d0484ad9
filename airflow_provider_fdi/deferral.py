"""Between a worker and the triggerer: deferring, deadlines, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_fdi.exceptions import FdiTriggerEventError
from airflow_provider_fdi.version_compat import AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.runs.wait import Wait

BACKSTOP = 120.0
"""Seconds by which Airflow's own trigger timeout follows the deadline that the trigger keeps by itself."""


def chain_of(context: Context) -> int:
    """``max_tries``: Airflow changes it when a task is cleared, and only then."""
    return int(getattr(context["ti"], "max_tries", 0) or 0)


def try_of(context: Context) -> int:
    return int(getattr(context["ti"], "try_number", 1) or 1)


def deadline_of(context: Context, limit: timedelta | None) -> float | None:
    """Epoch seconds at which ``limit`` is over, counted from the try's start, which survives a resume."""
    if limit is None:
        return None
    started = getattr(context["ti"], "start_date", None)
    begin = started.timestamp() if started is not None else time.time()
    return begin + limit.total_seconds()


def backstop(deadline: float | None) -> timedelta | None:
    """How long Airflow itself lets a trigger wait whose own deadline did not come about."""
    return None if deadline is None else timedelta(seconds=max(deadline - time.time(), 0) + BACKSTOP)


def check_event(event: Any) -> dict[str, Any]:
    """The event of a trigger, if it is one that is known; ``ready`` and ``timeout`` are left to the caller.

    :raises AirflowFailException: waiting failed in a way that no retry can mend.
    :raises FdiTriggerEventError: anything else.
    """
    from airflow_provider_fdi.triggers.fdi import ERROR, READY, TIMEOUT

    if isinstance(event, Mapping):
        if event.get("status") in (READY, TIMEOUT):
            return dict(event)
        if event.get("status") == ERROR:
            kind = AirflowFailException if event.get("final") else FdiTriggerEventError
            raise kind(f"Waiting for FDI failed: {event.get('message')}")
    raise FdiTriggerEventError(f"The trigger ended with an unknown event: {event!r}")


def defer_for(
    operator: Any,
    waits: Sequence[Wait],
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    deadline: float | None,
    record: dict[str, Any] | None = None,
    terminate_on_kill: bool = False,
) -> NoReturn:
    """Defer ``operator`` until all waits are over; resumes in ``execute_complete``."""
    from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger

    client = operator.hook.get_conn()
    operator.defer(
        trigger=FdiWaitTrigger(
            fdi_conn_id=operator.fdi_conn_id,
            # Resolved here, so that tasks in the same place share one poller however they named it.
            project_id=client.project_id,
            instance_id=client.instance_id,
            waits=[wait.to_args() for wait in waits],
            poll_interval=poll_interval,
            poll_failure_timeout=poll_failure_timeout,
            deadline=deadline,
            record=record,
            terminate_on_kill=terminate_on_kill,
        ),
        method_name="execute_complete",
        timeout=backstop(deadline),
    )
    raise AssertionError("defer() returned")
