"""Defers operators to the triggerer, computes deadlines, and checks the events that come back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_fdi.client.errors import clean_text
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.constants import ERROR, READY, TIMEOUT
from airflow_provider_fdi.exceptions import FdiTriggerEventError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.runs.waits import Wait

BACKSTOP = 120.0
"""Seconds by which Airflow's own trigger timeout follows the deadline that the trigger keeps by itself."""


def clear_generation_of(context: Context) -> int:
    """The task instance's ``max_tries``, which Airflow changes only when the task is cleared."""
    return int(getattr(context["ti"], "max_tries", 0) or 0)


def try_of(context: Context) -> int:
    """The number of the current try."""
    return int(getattr(context["ti"], "try_number", 1) or 1)


def deadline_of(context: Context, limit: timedelta | None) -> float | None:
    """Epoch seconds at which ``limit`` is over, counted from the try's start, which survives a resume."""
    if limit is None:
        return None
    started = getattr(context["ti"], "start_date", None)
    begin = started.timestamp() if started is not None else time.time()
    return begin + limit.total_seconds()


def backstop(deadline: float | None) -> timedelta | None:
    """How long Airflow lets a trigger wait that does not keep its own deadline."""
    return None if deadline is None else timedelta(seconds=max(deadline - time.time(), 0) + BACKSTOP)


def check_event(event: Any) -> dict[str, Any]:
    """Return the event of a trigger if its status is ``ready`` or ``timeout``.

    :raises AirflowFailException: waiting failed with a permanent error.
    :raises FdiTriggerEventError: waiting failed with another error, or the event is not known.
    """
    if isinstance(event, Mapping):
        if event.get("status") in (READY, TIMEOUT):
            return dict(event)
        if event.get("status") == ERROR:
            # The trigger wrote the whole message.
            raise (AirflowFailException if event.get("final") else FdiTriggerEventError)(event.get("message"))
    raise FdiTriggerEventError.because(
        "The trigger ended with an unknown event.",
        f"The event: {clean_text(repr(event))}",
        "Were triggerer and workers upgraded together? The next try looks for the run and continues with it.",
    )


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
    # Deferred: loads the triggers' base class and the poller.
    from airflow_provider_fdi.triggers.wait import FdiWaitTrigger

    client = operator.hook.get_conn()
    operator.defer(
        trigger=FdiWaitTrigger(
            fdi_conn_id=operator.fdi_conn_id,
            # Resolved here, so that tasks on the same instance share one poller however they named it.
            project_id=client.project_id,
            instance_id=client.instance_id,
            waits=[wait.to_json() for wait in waits],
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
