"""Failures of tasks that are about FDI's work rather than about calling FDI (those are ``client.errors``).

All of them are ``AirflowException``, so that ``retries`` and ``soft_fail`` apply.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_fdi.version_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_fdi.client.errors import FdiError


class FdiRunFailed(AirflowException):
    """A run ended as ERROR or CANCELLED, or in a state that this version does not know."""


class FdiDataGateFailed(AirflowException):
    """A run succeeded, but moved too few rows (``min_rows``) or too many dirty ones (``max_dirty_rows``)."""


class FdiTaskBusy(AirflowException):
    """Another run is in progress and ``if_running="fail"``, or a task is started that must be stopped."""


class FdiTimeout(AirflowException):
    """What was waited for did not come about in time."""


class FdiBatchFailed(AirflowException):
    """Some tasks of a batch could not be started or stopped."""


class FdiDatasourceUnreachable(AirflowException):
    """FDI cannot connect to a data source."""


class FdiAlreadyExists(AirflowException):
    """What should be created is there already, and ``if_exists="fail"``."""


class FdiTriggerEventError(AirflowException):
    """A trigger ended with an event that this operator does not know: never taken for a success."""


F = TypeVar("F", bound=Callable[..., Any])


def ends_at_once_if_hopeless(method: F) -> F:
    """Let what no retry can mend end the task at once, with the service's own words.

    Refused requests, missing permission, no such task or instance and wrong credentials become
    ``AirflowFailException``, chained from the ``FdiError`` if anything was sent. Every other ``FdiError``
    passes through.
    """

    @wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from airflow_provider_fdi.client.errors import FdiError

        try:
            return method(*args, **kwargs)
        except FdiError as error:
            if no_retry_mends(error):
                # What was refused here, before anything was sent, has no story to tell.
                sent = getattr(error, "status", None) is not None
                raise AirflowFailException(str(error)) from (error if sent else None)
            raise

    return cast("F", wrapper)


def no_retry_mends(error: FdiError) -> bool:
    """Whether a failure of the service's or of ours speaks of the request, not of the moment."""
    from airflow_provider_fdi.client.errors import (
        FdiAuthError,
        FdiInvalidRequestError,
        FdiNotFoundError,
        FdiPermissionError,
    )

    final = (FdiAuthError, FdiInvalidRequestError, FdiNotFoundError, FdiPermissionError)
    return isinstance(error, final)
