"""Every failure that a DAG author can meet.

Failed calls to FDI are :class:`FdiError` and its subclasses, which come from the client. What an operator or
the sensor finds out about FDI's work is an :class:`FdiTaskFailure`: an ``AirflowException``, so that
``retries`` and ``soft_fail`` apply.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

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
    compose,
    counted,
    first_line,
    is_permanent,
)
from airflow_provider_fdi.compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_fdi.declarations.model import Problem

__all__ = [
    "FdiAlreadyExists",
    "FdiApplyFailed",
    "FdiApplyRefused",
    "FdiArgumentError",
    "FdiAuthError",
    "FdiBatchFailed",
    "FdiBatchRefused",
    "FdiConflictError",
    "FdiConnectionError",
    "FdiDataGateFailed",
    "FdiDatasourceUnreachable",
    "FdiDeclarationError",
    "FdiDriftFound",
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
    "in_dag_file",
    "is_permanent",
]


E = TypeVar("E", bound="FdiTaskFailure")


class FdiTaskFailure(AirflowException):
    """An operator or the sensor fails although FDI answered its requests: the base of the classes below.

    Retries apply, except to those that are an ``AirflowFailException`` too.
    """

    @classmethod
    def because(cls: type[E], reason: str, *more: str, anchor: str = "") -> E:
        """The failure for a reason, which becomes the first line of its message.

        :param more: what else there is to say, one line each: the numbers, what to do, ids.
        :param anchor: where the troubleshooting page explains it; at the name of the class if empty.
        """
        return cls(compose(first_line(reason), *more, anchor=anchor or cls.__name__))


class FdiRunFailed(FdiTaskFailure):
    """A run ended as ERROR or CANCELLED, or in a state that this version does not know."""


class FdiDataGateFailed(FdiTaskFailure):
    """A run succeeded, but moved too few rows (``min_rows``) or too many dirty ones (``max_dirty_rows``)."""


class FdiTaskBusy(FdiTaskFailure):
    """Another run is in progress and ``if_running="fail"``, or a task is started that must be stopped.

    ``running_for`` is how long that run has lasted, in seconds, by the log; None: there is none.
    """

    running_for: float | None = None


class FdiTimeout(FdiTaskFailure):
    """What the task waited for did not happen in time."""


class FdiBatchFailed(FdiTaskFailure):
    """Some tasks of a batch could not be started or stopped; a retry sends only those again."""


class FdiBatchRefused(FdiBatchFailed, AirflowFailException):
    """Some tasks of a batch could not be started or stopped, and no retry mends that: no task of this id, no
    schedule. Ends without retries."""


class FdiDatasourceUnreachable(FdiTaskFailure):
    """FDI cannot connect to a data source."""


class FdiAlreadyExists(FdiTaskFailure, AirflowFailException):
    """The task or schedule to be created exists already, and ``if_exists="fail"``. Ends without retries."""


class FdiDeclarationError(FdiTaskFailure, AirflowFailException):
    """Files that declare FDI tasks are wrong. Ends without retries.

    ``problems`` has every mistake, with its file and line.
    """

    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> FdiDeclarationError:
        """The failure for all these mistakes."""
        found = tuple(problems)
        first = f"{found[0].field or os.path.basename(found[0].file)}: {found[0].rule}."
        if found[0].suggestion:
            first += f" {found[0].suggestion}"
        error = cls.because(first, f"{counted(len(found), 'mistake')} in the files:", *map(str, found))
        error.problems = found
        return error


class FdiApplyFailed(FdiTaskFailure):
    """Some changes of a plan failed; all others were made, and a retry makes those that are left."""


class FdiApplyRefused(FdiApplyFailed, AirflowFailException):
    """Some changes of a plan cannot be made as the files declare them; all others were made. Ends without
    retries."""


class FdiDriftFound(FdiTaskFailure, AirflowFailException):
    """The instance is not as the files declare, and nothing was to be changed (``plan_only``). Ends without
    retries."""


class FdiTriggerEventError(FdiTaskFailure):
    """A trigger ended with an event that the operator does not know; it never counts as success."""


F = TypeVar("F", bound=Callable[..., Any])


def fail_without_retry(method: F) -> F:
    """Complete the errors of an operator's or the sensor's method, and turn permanent ones into
    ``AirflowFailException``, which ends the task without retries.

    Its message is the ``FdiError``'s, which is its context. Every other ``FdiError`` is raised as it is, so
    that retries apply. The class of the method completes an error with what it knows (``_completed``): the
    name of the task and of the connection.
    """

    @wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except FdiError as error:
            completed = self._completed(error)
            if is_permanent(error):
                raise AirflowFailException(str(completed)) from None
            raise completed.with_traceback(error.__traceback__) from None

    return cast("F", wrapper)


def in_dag_file(error: FdiArgumentError, what: str) -> FdiArgumentError:
    """The refusal of an argument in a DAG file, with ``what`` it belongs to, and the line that makes that.

    Airflow's import errors show only the last two frames, which are not the DAG file's.
    """
    place = ""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in ("airflow", "airflow_provider_fdi"):
            place = f", {os.path.basename(frame.f_code.co_filename)} line {frame.f_lineno}"
            break
        frame = frame.f_back
    return error.replace(hint="\n".join(filter(None, (error.hint, f"In {what}{place}."))))
