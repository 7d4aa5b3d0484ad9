"""When a task that failed because of FDI runs again, and whether that uses up a retry (Airflow >= 3.3)."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.codes import OVERLAP_CODES, code_of
from airflow_provider_fdi.client.errors import (
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    FdiServerError,
    FdiThrottledError,
    is_permanent,
)
from airflow_provider_fdi.compat import RetryDecision, RetryPolicy, task_state_store
from airflow_provider_fdi.exceptions import FdiTaskBusy, FdiTriggerEventError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["FdiRetryPolicy"]


class Cause(Enum):
    """Why a task failed, as far as it matters for when it should run again."""

    PERMANENT = "no retry can help"
    THROTTLED = "FDI asks for fewer requests"
    BUSY = "another run of the FDI task is in progress"
    OUTAGE = "FDI cannot be reached or is out of order"
    OTHER = "the task's own settings apply"


def cause_of(failure: BaseException) -> Cause:
    """The cause of a task's failure."""
    if isinstance(failure, FdiTaskBusy):
        # Otherwise somebody has to stop the task.
        return Cause.BUSY if failure.running_for is not None else Cause.OTHER
    if isinstance(failure, FdiTriggerEventError):
        # Polls have failed for too long: a wait that failed for good ends as AirflowFailException.
        return Cause.OUTAGE
    if not isinstance(failure, FdiError):
        return Cause.OTHER
    if is_permanent(failure):
        return Cause.PERMANENT
    if isinstance(failure, FdiThrottledError):
        return Cause.THROTTLED
    if failure.error_code in OVERLAP_CODES:
        return Cause.BUSY
    known = code_of(failure.error_code)
    # A code of FDI's own with a verdict is about the task: a data source that is away, a start that failed.
    about_the_task = known is not None and known.retry is not None and failure.error_code.startswith("FDI.")
    if isinstance(failure, (FdiConnectionError, FdiServerError, FdiProtocolError)) and not about_the_task:
        return Cause.OUTAGE
    return Cause.OTHER


class FdiRetryPolicy(RetryPolicy):
    """Runs a task again when FDI is likely to be ready for it: give it to an operator as ``retry_policy``.

    On Airflow >= 3.4, a failure uses up no retry if FDI asked for fewer requests, if another run of the FDI
    task was in progress (``if_running="fail"``), or if FDI could not be reached before a run was started: the
    task is rescheduled, for at most ``reschedule_timeout`` in each try, then retried as usual. On Airflow 3.3
    the policy only sets the delay of the retry. Any other failure is retried as the task says; one that no
    retry can mend ends the task.

    :param delay: time before the next attempt, where FDI does not ask for a longer one (``Retry-After``) and
        the run in the way has not lasted longer; the task's ``retry_delay`` when None.
    :param reschedule_timeout: how long after the first reschedule of a try a retry is used up instead.
    """

    def __init__(
        self, *, delay: timedelta | None = None, reschedule_timeout: timedelta = timedelta(hours=1)
    ) -> None:
        if RetryDecision is None:
            # Deferred: nobody else needs it.
            from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

            raise AirflowOptionalProviderFeatureException("FdiRetryPolicy needs Airflow 3.3 or later.")
        self.delay = delay
        self.reschedule_timeout = reschedule_timeout

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> Any:
        """Airflow's ``RetryDecision`` about a failure."""
        cause = cause_of(exception)
        if cause is Cause.PERMANENT:
            return RetryDecision.fail(reason=_reason(cause, exception))
        if cause is Cause.OTHER or (cause is Cause.OUTAGE and _has_started(max_tries, context)):
            return RetryDecision.default()
        delay, reason = self._delay_after(exception), _reason(cause, exception)
        # Since Airflow 3.4.
        reschedule: Any = getattr(RetryDecision, "reschedule", None)
        if reschedule is None:
            return RetryDecision.retry(delay, reason)
        return reschedule(delay, reschedule_timeout=self.reschedule_timeout, reason=reason)

    def _delay_after(self, failure: BaseException) -> timedelta | None:
        asked = failure.retry_after if isinstance(failure, FdiThrottledError) else None
        if isinstance(failure, FdiTaskBusy):
            # What has lasted for half an hour is seldom over within a minute; nobody knows better.
            asked = failure.running_for
        if asked is None:
            return self.delay
        wait = min(timedelta(seconds=asked), self.reschedule_timeout)
        return wait if self.delay is None else max(wait, self.delay)


def _has_started(max_tries: int, context: Context | None) -> bool:
    """Whether this task instance may have started a run: its retry continues with that one."""
    # Deferred: a DAG file that uses the policy does not pay for it.
    from airflow_provider_fdi.runs.state import TryState

    record = TryState.open(task_state_store(context) if context is not None else None, None).open_record
    return record is not None and record.clear_generation == max_tries


def _reason(cause: Cause, failure: BaseException) -> str:
    said = failure.brief if isinstance(failure, FdiError) else str(failure).partition("\n")[0]
    return f"{cause.value}: {said}"
