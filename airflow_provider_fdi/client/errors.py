"""The exceptions of the client: each tells a caller what to do next.

Every failure is an :class:`FdiError`. It names the operation and the ids, quotes the service's own code and
words, and never holds a credential. An exception is complete when it is raised; :meth:`FdiError.replace`
makes a changed copy. All of them can be pickled.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing import Protocol

    class BatchItemLike(Protocol):
        @property
        def task_id(self) -> str: ...

    class PartialResult(Protocol):
        """What is known of a batch that failed on the way; ``models.BatchResult`` is one."""

        @property
        def succeeded(self) -> tuple[BatchItemLike, ...]: ...

        @property
        def failed(self) -> tuple[BatchItemLike, ...]: ...


__all__ = [
    "HIDDEN",
    "FdiArgumentError",
    "FdiAuthError",
    "FdiConflictError",
    "FdiConnectionError",
    "FdiError",
    "FdiInvalidRequestError",
    "FdiNotFoundError",
    "FdiPermissionError",
    "FdiProtocolError",
    "FdiResponseError",
    "FdiServerError",
    "FdiThrottledError",
    "Shown",
    "clean_text",
    "describe",
]

E = TypeVar("E", bound="FdiError")

MAX_WORDS = 500
MAY_HAVE_STARTED = "FDI.3018"
"""The code of a start that failed, but may have been carried out."""


class FdiError(Exception):
    """Any failure of a call to FDI.

    ``operation`` is the client's method, ``ids`` what it was about, ``attempts`` how many requests it sent.
    ``unsettled`` says that an earlier attempt of the same call may have been carried out, ``partial`` what is
    known to be done when a batch over several requests failed on the way.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        ids: Mapping[str, str] | None = None,
        attempts: int = 0,
        unsettled: bool = False,
        partial: PartialResult | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.ids: Mapping[str, str] = dict(ids or {})
        self.attempts = attempts
        self.unsettled = unsettled
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors differ; all that an error knows is its text and its fields.
        return _restored, (type(self), self.args, self.__dict__)

    def replace(self: E, **changes: Any) -> E:
        """A copy with other fields, and the same cause."""
        twin = copy.copy(self)
        twin.__dict__.update(changes)
        twin.__cause__ = self.__cause__
        return twin

    @property
    def ambiguous(self) -> bool:
        """Whether a write may have been carried out although it failed; look before sending it again."""
        return self.unsettled


def _restored(kind: type[E], args: tuple[Any, ...], fields: Mapping[str, Any]) -> E:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class FdiArgumentError(FdiError, ValueError):
    """An argument is refused before anything is sent.

    ``field`` names it, ``value`` is its text as the message shows it (empty if it must not be shown), and
    ``rule`` says how it should be.

    :param owner: what the field belongs to, for the message, where the field alone does not tell
    """

    def __init__(self, field: str, value: object, rule: str, *, owner: str = "") -> None:
        self.field = field
        self.value = clean_text(_short_repr(value), 120)
        self.rule = rule
        head = f"{owner}: " if owner else ""
        shown = f"{field}={self.value}" if self.value else field
        super().__init__(f"{head}{shown}: {rule}")


class Shown(str):
    """Text that an :class:`FdiArgumentError` shows as it is, instead of a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


HIDDEN = Shown("")
"""Stands for a value that must not be shown."""


class FdiConnectionError(FdiError):
    """Nothing answered. ``may_have_arrived`` is False only if no connection was ever made."""

    def __init__(self, message: str, *, may_have_arrived: bool = True, **common: Any) -> None:
        super().__init__(message, **common)
        self.may_have_arrived = may_have_arrived

    @property
    def ambiguous(self) -> bool:
        return self.may_have_arrived or self.unsettled


class FdiProtocolError(FdiError):
    """The service said success (2xx) with a body that cannot be read, or that says that it failed.

    ``delivered`` is False if the login answered, so that the operation itself was not sent.
    """

    def __init__(self, message: str, *, delivered: bool = True, **common: Any) -> None:
        super().__init__(message, **common)
        self.delivered = delivered

    @property
    def ambiguous(self) -> bool:
        return self.delivered or self.unsettled


class FdiResponseError(FdiError):
    """The service answered with an error.

    ``server_time`` is its ``Date`` in epoch milliseconds, ``retry_after`` the wait it asks for in seconds.
    ``delivered`` is False if the login answered, so that the operation itself was not sent.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_code: str = "",
        error_msg: str = "",
        request_id: str | None = None,
        server_time: int | None = None,
        retry_after: float | None = None,
        delivered: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(message, **common)
        self.status = status
        self.error_code = error_code
        self.error_msg = error_msg
        self.request_id = request_id
        self.server_time = server_time
        self.retry_after = retry_after
        self.delivered = delivered

    @property
    def ambiguous(self) -> bool:
        if self.unsettled or not self.delivered or self.status is None:
            return self.unsettled
        return self.status >= 500 or self.status == 408 or self.error_code == MAY_HAVE_STARTED


class FdiAuthError(FdiResponseError):
    """The credentials are not accepted (401), or there are none that could be sent (``status`` None)."""


class FdiPermissionError(FdiResponseError):
    """The credentials are good but may not do this (403)."""


class FdiNotFoundError(FdiResponseError):
    """No such task, schedule, data source or instance, or none that these credentials may see."""

    @property
    def said_by_fdi(self) -> bool:
        """Whether FDI says so itself. A gateway or a proxy answers 404 for reasons of its own."""
        return self.error_code.startswith("FDI.")

    @property
    def ambiguous(self) -> bool:
        # A missing instance is answered with HTTP 500 (ROMA.00110002), and yet nothing was done.
        return self.unsettled


class FdiConflictError(FdiResponseError):
    """The state forbids it: the task is running, or the thing exists already."""


class FdiThrottledError(FdiResponseError):
    """Too many requests (429)."""


class FdiServerError(FdiResponseError):
    """The service failed (5xx), or could not start the task (FDI.3018)."""


class FdiInvalidRequestError(FdiResponseError):
    """The service refuses the request (4xx)."""


def _short_repr(value: object) -> str:
    if isinstance(value, str) and len(value) > 200:
        return repr(value[:90] + "…")
    if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > 20:
        return f"<{type(value).__name__} of {len(value)}>"
    return repr(value)


def clean_text(text: str, limit: int = MAX_WORDS) -> str:
    """One printable line of at most ``limit`` characters."""
    # A long page is cut first: only its beginning can be shown, and cleaning megabytes would cost time.
    part = text[: limit * 8]
    if not part.isprintable():
        # Control characters, bidirectional overrides, lone surrogates: whatever could forge a line of a log.
        part = "".join(c if c.isprintable() else " " for c in part)
    line = " ".join(part.split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1] + "…"


def describe(operation: str, ids: Mapping[str, str]) -> str:
    """``operation (task_id=…)``, the head of every message."""
    shown = ", ".join(f"{k}={clean_text(v, 80)}" for k, v in ids.items())
    return f"{operation} ({shown})" if shown else operation


def is_permanent(error: FdiError) -> bool:
    """Whether repeating the call cannot help: the request itself is wrong or not permitted."""
    return isinstance(
        error,
        (FdiArgumentError, FdiAuthError, FdiInvalidRequestError, FdiNotFoundError, FdiPermissionError),
    )
