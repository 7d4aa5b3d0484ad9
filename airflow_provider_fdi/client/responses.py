"""Reading what the service answered: a success, or an error body into the exception that says it.

The service, IAM, its gateway and proxies write errors in many shapes; this module knows them all. What is
quoted is masked, so that no exception holds a credential.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_fdi.client.codes import advice
from airflow_provider_fdi.client.errors import (
    MAY_HAVE_STARTED,
    FdiAuthError,
    FdiConflictError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
    clean_text,
)
from airflow_provider_fdi.client.times import http_date_ms

__all__ = [
    "Answer",
    "ServiceWords",
    "error_from_response",
    "load_json",
    "mask",
    "parse_error_body",
    "retry_after",
]

T = TypeVar("T")

MAX_CODE = 64
LONGEST_RETRY_AFTER = 86_400.0
"""A service that asks for more is in error: no clock and no sleep can be given 10**15 seconds."""
_MASK = "***"
_SIGNATURE = re.compile(r"(Signature=)[0-9A-Fa-f]{16,}")


@dataclass(frozen=True)
class Answer:
    """The successful answer to one operation; knows what was asked, for the errors that reading it raises."""

    operation: str
    ids: Mapping[str, str]
    attempts: int
    status: int
    headers: Mapping[str, str]
    body: bytes
    secrets: Callable[[], Iterable[str]] = tuple

    @property
    def server_time(self) -> int | None:
        """The ``Date`` of the answer in epoch milliseconds."""
        return http_date_ms(self.headers.get("Date"))

    def parse(self, read: Callable[[Any], T]) -> T:
        """The parsed body.

        :raises FdiProtocolError: it is not what the operation answers.
        """
        data = self.json()
        try:
            return read(data)
        except (ValueError, RecursionError) as error:
            words = clean_text(str(error), 200)
            raise self._unreadable(f"The answer (HTTP {self.status}) is not as expected: {words}.") from None

    def json(self) -> Any:
        """The body's JSON; an empty body is None.

        :raises FdiProtocolError: it is not JSON, or it is the body of an error: then the service did not do
            what it was asked for, or only a part of it.
        """
        if not self.body or self.body.isspace():
            return None
        try:
            data = load_json(self.body)
        except ValueError as error:
            kind = clean_text(self.headers.get("Content-Type") or "of unknown type", 80)
            raise self._unreadable(
                f"The answer (HTTP {self.status}, {kind}) is not JSON: {clean_text(str(error), 120)}.",
                hint="Check the endpoint of {connection}, and whether a proxy answers in its place.",
            ) from None
        self._refuse_error(data)
        return data

    def check(self) -> None:
        """Raise if the body is that of an error. Anything else passes, also what is not JSON."""
        try:
            data = load_json(self.body)
        except ValueError:
            return
        self._refuse_error(data)

    def _refuse_error(self, data: Any) -> None:
        # No documented success has this field, at the top or in a `reason`.
        places = (data, data.get("reason")) if isinstance(data, dict) else ()
        codes = [place.get("error_code") for place in places if isinstance(place, dict)]
        if not any(isinstance(code, str) and code.strip() for code in codes):
            return
        words = parse_error_body(
            self.body, request_id=self.headers.get("X-Request-Id"), secrets=self.secrets()
        )
        raise self._unreadable(
            said(words, f"in an answer of HTTP {self.status}"),
            error_code=words.code,
            request_id=words.request_id,
            hint=advice(words.code),
        )

    def _unreadable(self, reason: str, **more: Any) -> FdiProtocolError:
        return FdiProtocolError(
            reason, operation=self.operation, ids=self.ids, attempts=self.attempts, **more
        )


@dataclass(frozen=True)
class ServiceWords:
    """What an error body says, whatever its shape."""

    code: str
    message: str
    request_id: str | None


def said(words: ServiceWords, where: str) -> str:
    """The service's words and code as a sentence: ``The task does not exist (FDI.3081, HTTP 404).``"""
    # IAM's own shape has the status as its code.
    code = "" if words.code.isdigit() and words.code in where else words.code
    message = words.message.rstrip(". ") or ("Refused" if code else "The service gave no reason")
    return f"{message} ({', '.join(filter(None, (code, where)))})."


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
    """Parsed JSON; ValueError for anything that is not JSON, however it is broken."""
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


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as an HTTP date, at most a day.

    None if it is absent or unreadable.
    """
    value = headers.get("Retry-After")
    if not value:
        return None
    text = str(value).strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    moment = http_date_ms(text)
    if moment is None:
        return None
    # Measured on the server's clock where it tells it: ours may be off by minutes.
    here = http_date_ms(headers.get("Date"))
    base = here if here is not None else time.time() * 1000
    return min(max(0.0, (moment - base) / 1000), LONGEST_RETRY_AFTER)


_NOT_FOUND_CODES = frozenset({"FDI.3021", "FDI.3081", "FDI.3180", "ROMA.00110002", "ROMA.00110006"})
_CONFLICT_CODES = frozenset({"FDI.3023", "FDI.3026", "FDI.3027", "FDI.3028"})
# The request was good, the service tried and did not succeed: neither invalid nor forbidden, and worth
# another try.
_FAILED_CODES = frozenset({"FDI.3016", "FDI.3019", "FDI.3020"})
_CONFLICT_WORDS = re.compile(
    r"\balready (?:running|started|exists?)\b|\b(?:name|task) exists\b", re.IGNORECASE
)

_NEXT_BY_KIND: dict[type[FdiResponseError], str] = {
    FdiAuthError: "Check the credentials of {connection}.",
    FdiPermissionError: "Ask for permission on this ROMA Connect instance and its integration application.",
    FdiNotFoundError: "Check ids, project and instance of {connection}; a missing authorization of the"
    " integration application can look like this, too.",
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
    if code == MAY_HAVE_STARTED:
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
    if status == 408:
        return FdiResponseError
    if 400 <= status < 500:
        return (
            FdiConflictError if status == 400 and _CONFLICT_WORDS.search(message) else FdiInvalidRequestError
        )
    return FdiResponseError


def error_from_response(
    *,
    operation: str,
    ids: Mapping[str, str],
    attempts: int,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[str] = (),
    unsettled: bool = False,
    delivered: bool = True,
    next_step: str | None = None,
    kind: type[FdiResponseError] | None = None,
    by: str = "",
) -> FdiResponseError:
    """The exception for an answer that is not a success.

    :param kind: overrules what status and code say.
    :param by: who answered, if not the service itself, such as " from IAM".
    """
    words = parse_error_body(
        body,
        content_type=headers.get("Content-Type") or "",
        request_id=headers.get("X-Request-Id"),
        secrets=secrets,
    )
    kind = kind or kind_of(status, words.code, words.message)
    hint = next_step or advice(words.code) or _NEXT_BY_KIND.get(kind, "")
    if 300 <= status < 400 and not next_step:
        hint = (
            "Redirects are not followed, because the credentials would travel along: correct the endpoint of"
            " {connection}."
        )
    return kind(
        said(words, f"HTTP {status}{by}"),
        hint=hint,
        operation=operation,
        ids=ids,
        attempts=attempts,
        unsettled=unsettled,
        status=status,
        error_code=words.code,
        error_msg=words.message,
        request_id=words.request_id,
        server_time=http_date_ms(headers.get("Date")),
        retry_after=retry_after(headers) if status in (429, 503) else None,
        delivered=delivered,
    )
