"""The exceptions of the client: each tells a caller what to do next.

Every failure is an :class:`FdiError`. Its first line is the reason, in the service's own words and with its
code where it gave them. What to do, ids and request id follow; a place in the documentation comes last. It
never holds a credential. An exception is complete when it is raised, :meth:`FdiError.replace` makes a copy
with changes, and all of them can be pickled.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_fdi.client.codes import anchor_of, code_of
from airflow_provider_fdi.constants import TROUBLESHOOTING

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
    "compose",
    "first_line",
    "is_permanent",
    "said_with_code",
    "task_label",
    "words_of",
]

E = TypeVar("E", bound="FdiError")

MAX_WORDS = 500
FIRST_LINE = 80
"""Characters of a message's first line: what a log shows of it without scrolling."""
SHORTEST_VALUE = 12
"""Characters of a value in the refusal of an argument, where the rule leaves no room for more."""
MAY_HAVE_STARTED = "FDI.3018"
"""The code of a start that failed, but may have been carried out."""


class FdiError(Exception):
    """Any failure of a call to FDI.

    ``reason`` says in one line what is wrong, ``hint`` what to do about it (``{connection}`` in it stands for
    the connection), ``error_code`` is the service's code, ``request_id`` its id of the request. ``operation``
    is the client's method, ``ids`` what it was about, ``attempts`` how many requests it sent. ``task_name``
    and ``connection`` are filled in by callers that know them. ``unsettled`` says that an earlier attempt of
    the same call may have been carried out, ``partial`` what is known to be done when a batch over several
    requests failed on the way.
    """

    def __init__(
        self,
        reason: str,
        *,
        hint: str = "",
        error_code: str = "",
        request_id: str | None = None,
        operation: str = "",
        ids: Mapping[str, str] | None = None,
        attempts: int = 0,
        unsettled: bool = False,
        partial: PartialResult | None = None,
        task_name: str | None = None,
        connection: str = "",
    ) -> None:
        super().__init__(reason)
        self.hint = hint
        self.error_code = error_code
        self.request_id = request_id
        self.operation = operation
        self.ids: Mapping[str, str] = dict(ids or {})
        self.attempts = attempts
        self.unsettled = unsettled
        self.partial = partial
        self.task_name = task_name
        self.connection = connection

    @property
    def reason(self) -> str:
        """What is wrong, in one line."""
        return str(self.args[0])

    def _headline(self) -> str:
        return first_line(self.reason)

    @property
    def brief(self) -> str:
        """The reason for a line of a log, with the request id."""
        asked = f" (request id {self.request_id})" if self.request_id else ""
        return self.reason.rstrip(".") + asked

    @property
    def anchor(self) -> str:
        """Where the troubleshooting page explains this error."""
        return anchor_of(self.error_code) or type(self).__name__

    def __str__(self) -> str:
        ids = dict(self.ids)
        task = f"{task_label(ids.pop('task_id', ''), self.task_name)}." if self.task_name else ""
        connection = f"connection {self.connection!r}" if self.connection else "the connection"
        about = [self.operation, *(f"{name}={clean_text(value, 80)}" for name, value in ids.items())]
        about += [f"request id {self.request_id}"] if self.request_id else []
        return compose(
            self._headline(),
            task,
            self.hint.replace("{connection}", connection),
            ", ".join(filter(None, about)),
            anchor=self.anchor,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors differ; all that an error knows is its text and its fields.
        return _restored, (type(self), self.args, self.__dict__)

    def replace(self: E, **changes: Any) -> E:
        """A copy with other fields, and the same cause."""
        twin = copy.copy(self)
        twin.__dict__.update(changes)
        twin.__cause__ = self.__cause__
        return twin

    def completed(self: E, *, task_name: str | None, connection: str) -> E:
        """A copy with the names of the task and the connection, where it does not know them yet."""
        return self.replace(task_name=self.task_name or task_name, connection=self.connection or connection)

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
    ``rule`` says how it should be: its first line is the cause, what to do may follow on further lines. The
    value is cut so that the first line of the message has at most 80 characters if possible.

    :param owner: what the field belongs to, for the message, where the field alone does not tell
    """

    def __init__(
        self, field: str, value: object, rule: str, *, owner: str = "", hint: str = "", **common: Any
    ) -> None:
        self.field = field
        self.rule = rule
        head = f"{owner}: " if owner else ""
        cause, _, advice = rule.partition("\n")
        room = FIRST_LINE - len(f"{head}{field}=: {cause}")
        self.value = _short_repr(value, max(room, SHORTEST_VALUE))
        shown = f"{field}={self.value}" if self.value else field
        super().__init__(f"{head}{shown}: {cause}", hint="\n".join(filter(None, (advice, hint))), **common)

    def _headline(self) -> str:
        # Field and value come first: the rest may be as long as it is.
        return self.reason


class Shown(str):
    """Text that an :class:`FdiArgumentError` shows as it is, instead of a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


HIDDEN = Shown("")
"""Stands for a value that must not be shown."""


class FdiConnectionError(FdiError):
    """Nothing answered. ``may_have_arrived`` is False only if no connection was ever made.

    ``tls`` says that the two sides did not agree on encryption or certificate.
    """

    def __init__(
        self, reason: str, *, may_have_arrived: bool = True, tls: bool = False, **common: Any
    ) -> None:
        super().__init__(reason, **common)
        self.may_have_arrived = may_have_arrived
        self.tls = tls

    @property
    def ambiguous(self) -> bool:
        return self.may_have_arrived or self.unsettled


class FdiProtocolError(FdiError):
    """The service said success (2xx) with a body that cannot be read, or that says that it failed.

    ``delivered`` is False if the login answered, so that the operation itself was not sent.
    """

    def __init__(self, reason: str, *, delivered: bool = True, **common: Any) -> None:
        super().__init__(reason, **common)
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
        reason: str,
        *,
        status: int | None = None,
        error_msg: str = "",
        server_time: int | None = None,
        retry_after: float | None = None,
        delivered: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(reason, **common)
        self.status = status
        self.error_msg = error_msg
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


def _short_repr(value: object, limit: int) -> str:
    if isinstance(value, str) and not isinstance(value, Shown) and len(value) > limit - 2:
        return clean_text(repr(value[: limit - 3] + "…"), limit)
    if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > 20:
        return f"<{type(value).__name__} of {len(value)}>"
    return clean_text(repr(value), limit)


def clean_text(text: str, limit: int = MAX_WORDS) -> str:
    """One printable line of at most ``limit`` characters."""
    # A long page is cut first: only its beginning can be shown, and cleaning megabytes would cost time.
    part = text[: limit * 8]
    if not part.isprintable():
        # Control characters, bidirectional overrides, lone surrogates: whatever could forge a line of a log.
        part = "".join(c if c.isprintable() else " " for c in part)
    line = " ".join(part.split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1] + "…"


def words_of(text: str | None) -> str:
    """What the service says, in one printable line without a full stop; empty if it says nothing."""
    return clean_text(text or "").rstrip(". ")


def said_with_code(
    error_code: str | None, error_msg: str | None, otherwise: str = "The service gives no reason"
) -> str:
    """The service's words and code: ``One or more tasks do not exist (FDI.3021)``."""
    words = words_of(error_msg) or otherwise
    return f"{words} ({clean_text(error_code, 64)})" if error_code else words


def task_label(task_id: str, task_name: str | None) -> str:
    """A task as messages name it: by its name, where that is known, beside its id."""
    if not task_name:
        return f"FDI task {clean_text(task_id, 80)}"
    return f"FDI task {clean_text(task_name, 100)}" + (f" ({clean_text(task_id, 80)})" if task_id else "")


def counted(number: int, what: str) -> str:
    """So many of something: ``1 task``, ``1,200 tasks``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def compose(reason: str, *more: str, anchor: str) -> str:
    """The text of a failure: the reason, what else there is to say, and the place that explains it.

    Each sentence has a line of its own, because Airflow's UI cuts long lines off.
    """
    lines = [sentence for text in filter(None, more) for sentence in text.replace(". ", ".\n").split("\n")]
    return "\n".join([reason, *lines, f"See {TROUBLESHOOTING}#{anchor}"])


def first_line(reason: str) -> str:
    """A reason that is too long for one line of a log, such as the service's words, in two lines."""
    if len(reason) <= FIRST_LINE:
        return reason
    space = reason.rfind(" ", 1, FIRST_LINE + 1)
    cut = space if space > FIRST_LINE // 2 else FIRST_LINE
    return f"{reason[:cut]}\n{reason[cut:].lstrip()}"


_NO_RETRY = (FdiArgumentError, FdiAuthError, FdiInvalidRequestError, FdiNotFoundError, FdiPermissionError)
"""Kinds of error that the same call meets again: the request itself is wrong or not permitted.

All others may pass: no answer, an answer that cannot be read (a proxy's maintenance page), a conflict with
the present state, too many requests, a fault of the service.
"""


def is_permanent(error: FdiError) -> bool:
    """Whether repeating the call cannot help, by the service's code or else by the kind of error."""
    known = code_of(error.error_code)
    if known is not None and known.retry is not None:
        return not known.retry
    redirected = isinstance(error, FdiResponseError) and 300 <= (error.status or 0) < 400
    return redirected or isinstance(error, _NO_RETRY)
