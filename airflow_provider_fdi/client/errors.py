"""What can go wrong with FDI, as exceptions that tell a caller what to do next.

Every failure of the client is an :class:`FdiError`. Each names the operation and the ids, quotes the
service's own code and words, and never holds a credential. All of them can be pickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import BatchResult

__all__ = [
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
    "ServiceWords",
    "clean_text",
    "describe",
    "error_from_response",
    "http_date_ms",
    "mask",
    "parse_error_body",
]

_MAY_HAVE_STARTED = "FDI.3018"
MAX_WORDS = 500
MAX_CODE = 64
_MASK = "***"


class FdiError(Exception):
    """Any failure of a call to FDI.

    ``operation`` is the client's method, ``ids`` what it was about, ``attempts`` how many requests it sent.
    """

    partial: BatchResult | None = None
    """What is known to be done, when a batch over several requests failed on the way."""
    unsettled: bool = False
    """Whether an earlier attempt of the same call may have been carried out."""

    def __init__(
        self, message: str, *, operation: str = "", ids: Mapping[str, str] | None = None, attempts: int = 0
    ) -> None:
        # Only the message goes to Exception: pickling rebuilds from it and then restores __dict__.
        super().__init__(message)
        self.operation = operation
        self.ids: Mapping[str, str] = dict(ids or {})
        self.attempts = attempts

    @property
    def ambiguous(self) -> bool:
        """Whether a write may have been carried out although it failed; look before sending it again."""
        return self.unsettled


class FdiConnectionError(FdiError):
    """Nothing answered. ``may_have_arrived`` is False only if no connection was ever made."""

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        ids: Mapping[str, str] | None = None,
        attempts: int = 0,
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(message, operation=operation, ids=ids, attempts=attempts)
        self.may_have_arrived = may_have_arrived

    @property
    def ambiguous(self) -> bool:
        return self.may_have_arrived or self.unsettled


class FdiProtocolError(FdiError):
    """The service said success (2xx) with a body that cannot be read, or that says that it failed."""

    delivered: bool = True
    """False if the login answered, so that the operation itself was not sent."""

    @property
    def ambiguous(self) -> bool:
        return self.delivered or self.unsettled


class FdiResponseError(FdiError):
    """The service answered with an error. ``server_time`` is its ``Date`` in epoch milliseconds."""

    delivered: bool = True
    """False if the login answered, so that the operation itself was not sent."""

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        ids: Mapping[str, str] | None = None,
        attempts: int = 0,
        status: int | None = None,
        error_code: str = "",
        error_msg: str = "",
        request_id: str | None = None,
        server_time: int | None = None,
    ) -> None:
        super().__init__(message, operation=operation, ids=ids, attempts=attempts)
        self.status = status
        self.error_code = error_code
        self.error_msg = error_msg
        self.request_id = request_id
        self.server_time = server_time

    @property
    def ambiguous(self) -> bool:
        if self.unsettled or not self.delivered or self.status is None:
            return self.unsettled
        return self.status >= 500 or self.status == 408 or self.error_code == _MAY_HAVE_STARTED


class FdiAuthError(FdiResponseError):
    """The credentials are not accepted (401), or there are none that could be sent."""


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
    """Too many requests (429). ``retry_after`` is the wait the service asks for, in seconds."""

    retry_after: float | None = None


class FdiServerError(FdiResponseError):
    """The service failed (5xx), or could not start the task (FDI.3018)."""

    retry_after: float | None = None


class FdiInvalidRequestError(FdiResponseError, ValueError):
    """The request is refused: by the service (4xx), or here before it was sent (``status`` None)."""

    @classmethod
    def local(cls, operation: str, field: str, value: object, rule: str) -> FdiInvalidRequestError:
        """A refusal before anything is sent, naming the field, the value and the rule."""
        shown = clean_text(_short_repr(value), 120)
        head = f"{operation}: " if operation else ""
        error = cls(f"{head}{field}={shown}: {rule}", operation=operation, error_msg=rule)
        error.field = field
        return error

    field: str | None = None


def _short_repr(value: object) -> str:
    if isinstance(value, str) and len(value) > 200:
        return repr(value[:90] + "…")
    if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > 20:
        return f"<{type(value).__name__} of {len(value)}>"
    return repr(value)


@dataclass(frozen=True)
class ServiceWords:
    """What an error body says, whatever its shape."""

    code: str
    message: str
    request_id: str | None


_SIGNATURE = re.compile(r"(Signature=)[0-9A-Fa-f]{16,}")


def clean_text(text: str, limit: int = MAX_WORDS) -> str:
    """One printable line of at most ``limit`` characters."""
    # A long page is cut first: only its beginning can be shown, and cleaning megabytes would cost time.
    part = text[: limit * 8]
    if not part.isprintable():
        # Control characters, bidirectional overrides, lone surrogates: whatever could forge a line of a log.
        part = "".join(c if c.isprintable() else " " for c in part)
    line = " ".join(part.split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1] + "…"


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in ``text``, also where it is JSON- or percent-encoded."""
    for secret in sorted({s for s in secrets if len(s) >= 4}, key=len, reverse=True):
        for form in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            _quoted(secret),
        ):
            if form in text:
                text = text.replace(form, _MASK)
    return _SIGNATURE.sub(rf"\1{_MASK}", text)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (str, int, float)):
        try:
            return str(value) or None
        except ValueError:  # an integer of thousands of digits
            return None
    return None


# The order is the official SDK's: what is most specific first. "message"/"title" alone come last.
_CODE_KEYS = ("error_code", "errorCode", "code")
_MESSAGE_KEYS = ("error_msg", "errorMsg", "error_message", "message", "msg", "title", "detail")


def _find_words(data: Any, depth: int = 0) -> tuple[str | None, str | None]:
    """Code and message from any of the shapes; an inner object wins over a bare outer code."""
    if not isinstance(data, dict) or depth > 4:
        return None, None
    for code_key, message_key in (("error_code", "error_msg"), ("errorCode", "errorMsg")):
        code, message = _scalar(data.get(code_key)), _scalar(data.get(message_key))
        if code and message:
            return code, message
    inner: tuple[str | None, str | None] = (None, None)
    for key in ("reason", "error", *data):
        value = data.get(key)
        if isinstance(value, dict):
            inner = _find_words(value, depth + 1)
            if inner[0] or inner[1]:
                break
    code = next((c for k in _CODE_KEYS if (c := _scalar(data.get(k)))), None)
    message = next((m for k in _MESSAGE_KEYS if (m := _scalar(data.get(k)))), None)
    if code is None and message is None and isinstance(data.get("error"), str):
        message = data["error"]
    return inner[0] or code, inner[1] or message


def load_json(body: bytes) -> Any:
    """Parsed JSON; ValueError for anything that is none, however it is broken."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


# A script that is not closed reaches to the end; so every character is looked at once.
_TAG = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)", re.IGNORECASE | re.DOTALL)


def parse_error_body(
    body: bytes, *, content_type: str = "", request_id: str | None = None, secrets: Iterable[str] = ()
) -> ServiceWords:
    """Code, words and request id of an error body: flat, nested, IAM's, plain text, HTML or empty."""
    secrets = tuple(secrets)
    code: str | None = None
    message: str | None = None
    data: Any = None
    try:
        data = load_json(body)
    except ValueError:
        text = body[:20_000].decode("utf-8", "replace")
        # The whole text is masked before it is cut, so that no half of a secret is left over at the edge.
        message = mask(text, secrets)
        if "html" in content_type.lower() or text.lstrip()[:1] == "<":
            message = _TAG.sub(" ", message)
    else:
        code, message = _find_words(data)
        if isinstance(data, dict):
            request_id = request_id or _scalar(data.get("request_id")) or _scalar(data.get("requestId"))
            detail = _scalar(data.get("detail")) or _scalar(data.get("error_details"))
            if message and detail and detail not in message:
                message = f"{message} ({detail})"
            if code is None and message is None and data:
                message = json.dumps(data)[:4000]
        elif isinstance(data, (str, int, float)) and not isinstance(data, bool):
            message = _scalar(data)
        elif data:
            message = json.dumps(data)[:4000]
    return ServiceWords(
        code=clean_text(mask(code or "", secrets), MAX_CODE),
        message=clean_text(mask(message or "", secrets)),
        request_id=clean_text(mask(request_id, secrets), 128) if request_id else None,
    )


def http_date_ms(value: str | None) -> int | None:
    """Epoch milliseconds of an HTTP date such as the ``Date`` header; None for anything unreadable."""
    if not value:
        return None
    try:
        return int(parsedate_to_datetime(value).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError, IndexError, OSError):
        return None


_NOT_FOUND_CODES = frozenset({"FDI.3021", "FDI.3081", "FDI.3180", "ROMA.00110002", "ROMA.00110006"})
_CONFLICT_CODES = frozenset({"FDI.3023", "FDI.3026", "FDI.3027", "FDI.3028"})
# The request was good, the service tried and did not succeed: neither invalid nor forbidden, and worth
# another try.
_FAILED_CODES = frozenset({"FDI.3016", "FDI.3019", "FDI.3020"})
_CONFLICT_WORDS = re.compile(
    r"\balready (?:running|started|exists?)\b|\b(?:name|task) exists\b", re.IGNORECASE
)

_NEXT_BY_CODE = {
    _MAY_HAVE_STARTED: "The start may have been carried out: look at the run log before starting again.",
    "FDI.3021": "Check the task ids, and that they belong to this instance.",
    "FDI.3023": "Stop the task, or wait until its run is over, and try again.",
    "FDI.3026": "The task may be running already: look at its run log.",
    "FDI.3027": "Nothing may be running: look at the run log.",
    "FDI.3028": "Stop the task before deleting it.",
    "FDI.3039": "Check project_id: it must be the one of the credentials and of the endpoint's region.",
    "FDI.3081": "Check the task id (a name is none), and that it belongs to this project and instance.",
    "FDI.3083": "Create a schedule for the scheduled task before starting it.",
    "FDI.3180": "Check the task id and the project id.",
    "ROMA.00110002": "Check the instance id, the project id and the endpoint's region.",
    "APIGW.0101": "No such API at this address: check endpoint and region.",
    "APIG.0101": "No such API at this address: check endpoint and region.",
}
_NEXT_BY_KIND: dict[type[FdiResponseError], str] = {
    FdiAuthError: "Check the credentials of the connection.",
    FdiPermissionError: "Ask for permission on this ROMA Connect instance and its integration application.",
    FdiNotFoundError: "Check ids, project and instance; missing permission can look like this, too.",
    FdiConflictError: "Look at the present state first.",
    FdiThrottledError: "Send fewer requests, or try again later.",
    FdiServerError: "Try again later; the request id helps the service's support.",
}


def kind_of(status: int, code: str, message: str) -> type[FdiResponseError]:
    """Which error an answer is, by HTTP status and by the service's code, the more reliable of the two."""
    if code in _NOT_FOUND_CODES:
        return FdiNotFoundError
    if code in _CONFLICT_CODES:
        return FdiConflictError
    if code == _MAY_HAVE_STARTED:
        return FdiServerError
    if code in _FAILED_CODES and status < 500:
        return FdiResponseError
    if status == 401:
        return FdiAuthError
    if status == 403:
        return FdiPermissionError
    if status == 404:
        return FdiNotFoundError
    if status == 409:
        return FdiConflictError
    if status == 429:
        return FdiThrottledError
    if status >= 500:
        return FdiServerError
    if 400 <= status < 500:
        return (
            FdiConflictError if status == 400 and _CONFLICT_WORDS.search(message) else FdiInvalidRequestError
        )
    return FdiResponseError


def advice(error_code: str) -> str:
    """What to do about an error of this code; empty where nothing is known that its words do not say."""
    return _NEXT_BY_CODE.get(error_code, "")


def describe(operation: str, ids: Mapping[str, str]) -> str:
    """``operation (task_id=…)``, the head of every message."""
    shown = ", ".join(f"{k}={clean_text(v, 80)}" for k, v in ids.items())
    return f"{operation} ({shown})" if shown else operation


def error_from_response(
    *,
    operation: str,
    ids: Mapping[str, str],
    attempts: int,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[str] = (),
    retry_after: float | None = None,
    next_step: str | None = None,
    kind: type[FdiResponseError] | None = None,
) -> FdiResponseError:
    """The error for an answer that is no success; ``kind`` overrules what status and code say."""
    words = parse_error_body(
        body,
        content_type=headers.get("Content-Type") or "",
        request_id=headers.get("X-Request-Id"),
        secrets=secrets,
    )
    kind = kind or kind_of(status, words.code, words.message)
    said = " ".join(part for part in (words.code, words.message) if part) or "no words"
    where = f"HTTP {status}" + (f", request id {words.request_id}" if words.request_id else "")
    hint = next_step or advice(words.code) or _NEXT_BY_KIND.get(kind, "")
    if 300 <= status < 400 and not next_step:
        hint = "Redirects are not followed, because the credentials would travel along: correct the endpoint."
    message = f"{describe(operation, ids)}: {said} [{where}]." + (f" {hint}" if hint else "")
    error = kind(
        message,
        operation=operation,
        ids=ids,
        attempts=attempts,
        status=status,
        error_code=words.code,
        error_msg=words.message,
        request_id=words.request_id,
        server_time=http_date_ms(headers.get("Date")),
    )
    if isinstance(error, (FdiThrottledError, FdiServerError)):
        error.retry_after = retry_after
    return error
