"""Every failure that a DAG author can meet.

Failed calls to FDI are :class:`FdiError` and its subclasses, which come from the client. What an operator or
the sensor finds out about FDI's work is an :class:`FdiTaskFailure`: an ``AirflowException``, so that
``retries`` and ``soft_fail`` apply.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from airflow_provider_fdi.client.errors import (
    FdiArgumentError,
    FdiAuthError,
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
    is_permanent,
)
from airflow_provider_fdi.compat import AirflowException, AirflowFailException

__all__ = [
    "FdiAlreadyExists",
    "FdiArgumentError",
    "FdiAuthError",
    "FdiBatchFailed",
    "FdiConflictError",
    "FdiConnectionError",
    "FdiDataGateFailed",
    "FdiDatasourceUnreachable",
    "FdiError",
    "FdiInvalidRequestError",
    "FdiNotFoundError",
    "FdiPermissionError",
    "FdiProtocolError",
    "FdiResponseError",
    "FdiRunFailed",
    "FdiServerError",
    "FdiTaskBusy",
    "FdiTaskFailure",
    "FdiThrottledError",
    "FdiTimeout",
    "FdiTriggerEventError",
    "fail_without_retry",
    "is_permanent",
]


class FdiTaskFailure(AirflowException):
    """An operator or the sensor fails although FDI answered its requests: the base of the classes below."""


class FdiRunFailed(FdiTaskFailure):
    """A run ended as ERROR or CANCELLED, or in a state that this version does not know."""


class FdiDataGateFailed(FdiTaskFailure):
    """A run succeeded, but moved too few rows (``min_rows``) or too many dirty ones (``max_dirty_rows``)."""


class FdiTaskBusy(FdiTaskFailure):
    """Another run is in progress and ``if_running="fail"``, or a task is started that must be stopped."""


class FdiTimeout(FdiTaskFailure):
    """What the task waited for did not happen in time."""


class FdiBatchFailed(FdiTaskFailure):
    """Some tasks of a batch could not be started or stopped."""


class FdiDatasourceUnreachable(FdiTaskFailure):
    """FDI cannot connect to a data source."""


class FdiAlreadyExists(FdiTaskFailure):
    """The task or schedule to be created exists already, and ``if_exists="fail"``."""


class FdiTriggerEventError(FdiTaskFailure):
    """A trigger ended with an event that the operator does not know; it never counts as success."""


F = TypeVar("F", bound=Callable[..., Any])


def fail_without_retry(method: F) -> F:
    """Turn permanent errors into ``AirflowFailException``, which ends the task without retries.

    Refused arguments and requests, missing permission, wrong credentials, and tasks or instances that do not
    exist are permanent. The message stays the service's own; if a request was sent, the ``FdiError`` is the
    cause. Every other ``FdiError`` passes through, so that retries apply.
    """

    @wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except FdiError as error:
            if not is_permanent(error):
                raise
            # A refused argument needs no traceback: nothing was sent, and the message says it all.
            cause = None if isinstance(error, FdiArgumentError) else error
            raise AirflowFailException(str(error)) from cause

    return cast("F", wrapper)
