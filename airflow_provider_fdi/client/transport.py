"""Requests to one endpoint: one pooled session, time limits, retries, and no secret in anything printed.

:class:`Wire` sends one request once and says, if nothing answers, whether it can have arrived.
:class:`Transport` adds authentication, the retry rules and the gate that holds all threads of a client back
after a 429.
"""

from __future__ import annotations

import http.client
import ipaddress
import logging
import os
import random
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_fdi import __version__
from airflow_provider_fdi.client.errors import (
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
    clean_text,
    describe,
    error_from_response,
    http_date_ms,
    load_json,
    mask,
    parse_error_body,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.auth import FdiAuth

__all__ = ["Answer", "Gate", "Resend", "RetryPolicy", "Transport"]

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-fdi/{__version__}"
JSON = "application/json"
JSON_BODY = "application/json;charset=utf-8"
POOL_SIZE = 64

Timeout = float | tuple[float, float]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is sent again. All times are seconds.

    ``max_attempts`` counts the first request, too. The wait before attempt n+1 is random between 0 and
    ``backoff * 2**(n-1)``, at most ``backoff_cap``. ``Retry-After`` is obeyed up to ``retry_after_cap``; a
    longer one raises. ``budget`` bounds the time from the first request to the last wait.
    """

    max_attempts: int = 5
    backoff: float = 0.5
    backoff_cap: float = 30.0
    budget: float = 120.0
    retry_after_cap: float = 60.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise FdiInvalidRequestError.local(
                "RetryPolicy", "max_attempts", self.max_attempts, "must be 1 or more"
            )
        for name in ("backoff", "backoff_cap", "budget", "retry_after_cap"):
            if getattr(self, name) < 0:
                raise FdiInvalidRequestError.local(
                    "RetryPolicy", name, getattr(self, name), "must not be negative"
                )


class Resend(Enum):
    """When a request may be sent again."""

    ALWAYS = "reads and idempotent writes"
    UNSENT = "only if it was certainly not carried out"
    NEVER = "not at all"


class Answer:
    """A successful answer."""

    __slots__ = ("attempts", "body", "headers", "secrets", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        attempts: int,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.attempts = attempts
        self.secrets = secrets

    @property
    def server_time(self) -> int | None:
        """The ``Date`` of the answer in epoch milliseconds."""
        return http_date_ms(self.headers.get("Date"))

    def json(self, operation: str, ids: Mapping[str, str]) -> Any:
        """The body's JSON; an empty body is None.

        Raises FdiProtocolError for anything else, and for the body of an error: then the service did not do
        what it was asked for, or only a part of it.
        """
        if not self.body or self.body.isspace():
            return None
        try:
            data = load_json(self.body)
        except ValueError as error:
            kind = clean_text(self.headers.get("Content-Type") or "of unknown type", 80)
            raise FdiProtocolError(
                f"{describe(operation, ids)}: the service answered HTTP {self.status}, but its body ({kind}, "
                f"{len(self.body)} bytes) is no JSON: {clean_text(str(error), 120)}. "
                "Check the endpoint, and whether a proxy answers in its place.",
                operation=operation,
                ids=ids,
                attempts=self.attempts,
            ) from None
        self._refuse_error(data, operation, ids)
        return data

    def check(self, operation: str, ids: Mapping[str, str]) -> None:
        """Raise if the body is that of an error. Anything else passes, also what is no JSON."""
        try:
            data = load_json(self.body)
        except ValueError:
            return
        self._refuse_error(data, operation, ids)

    def _refuse_error(self, data: Any, operation: str, ids: Mapping[str, str]) -> None:
        # No documented success has this field, at the top or in a `reason`.
        places = (data, data.get("reason")) if isinstance(data, dict) else ()
        codes = [place.get("error_code") for place in places if isinstance(place, dict)]
        if not any(isinstance(code, str) and code.strip() for code in codes):
            return
        words = parse_error_body(
            self.body, request_id=self.headers.get("X-Request-Id"), secrets=self.secrets()
        )
        where = f"HTTP {self.status}" + (f", request id {words.request_id}" if words.request_id else "")
        said = f"{words.code} {words.message}".strip()
        raise FdiProtocolError(
            f"{describe(operation, ids)}: {said} [{where}, but the body is that of an error].",
            operation=operation,
            ids=ids,
            attempts=self.attempts,
        )


# One request, once


class _NotSentOnFailure:
    """A connection that marks a failure to make it: by then nothing of the request can have left."""

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:
            error.fdi_not_sent = True  # type: ignore[attr-defined]
            raise


class _HttpConnection(_NotSentOnFailure, HTTPConnection):
    pass


class _HttpsConnection(_NotSentOnFailure, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def causes(error: BaseException) -> Iterable[BaseException]:
    """An error and all that is wrapped in it, by cause, context, reason or argument."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [current.__cause__, current.__context__, getattr(current, "reason", None)]
        todo += [a for a in current.args if isinstance(a, BaseException)]
        todo = [t for t in todo if isinstance(t, BaseException)]


def _was_not_sent(error: BaseException) -> bool:
    # The classes cover adapters and proxies whose connections are not ours and so carry no mark.
    return isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.InvalidURL)) or any(
        getattr(e, "fdi_not_sent", False) or isinstance(e, urllib3.exceptions.NewConnectionError)
        for e in causes(error)
    )


def _reason(error: BaseException) -> str:
    """The innermost words, the plainest: "Connection refused", not "Max retries exceeded"."""
    words = [
        (type(e).__name__, str(e))
        for e in causes(error)
        if not isinstance(e, (requests.exceptions.RequestException, urllib3.exceptions.MaxRetryError))
    ] or [(type(error).__name__, str(error))]
    name, text = words[-1]
    return f"{name}: {text}" if text else name


class WireFault(Exception):
    """Nothing usable came back."""

    def __init__(self, words: str, may_have_arrived: bool) -> None:
        super().__init__(words)
        self.may_have_arrived = may_have_arrived


# Whatever a broken or hostile peer makes requests, urllib3, http.client and zlib raise.
_FAULTS = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    zlib.error,
)


def is_loopback(host: str) -> bool:
    """Whether traffic to this host stays on the machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def base_url(operation: str, value: object, *, allow_http: bool = False, field: str = "endpoint") -> str:
    """``scheme://host[:port]`` of an endpoint; FdiInvalidRequestError for anything that is more or less."""

    def refuse(rule: str, shown: object = value) -> NoReturn:
        raise FdiInvalidRequestError.local(operation, field, shown, rule)

    if not isinstance(value, str) or not value.strip():
        refuse("must be a host or a URL such as https://roma.cn-north-4.myhuaweicloud.com")
    text = value.strip()
    if not text.isprintable() or " " in text:
        refuse("must not contain spaces or control characters")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        refuse("is no valid URL", "…" if "@" in text else text)
    if "@" in parts.netloc:
        refuse("must not hold credentials", "…")
    if parts.scheme not in ("http", "https"):
        refuse("must begin with https:// (or http:// for a loopback address)")
    if not host:
        refuse("has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text or "#" in text:
        refuse("must be a host with an optional port, without path, query or fragment")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            refuse("has no valid host name")
    if not all(c.isalnum() or c in "-._" for c in host):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            refuse("has no valid host name")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        refuse("plain http shows the credentials to everyone on the way: use https, or set allow_http")
    shown_host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown_host}" + (f":{port}" if port not in (None, default) else "")


def check_timeout(operation: str, value: object) -> tuple[float, float]:
    """Connect and read time limit in seconds."""
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or not all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0 < p < 86_400 for p in pair
    ):
        rule = "must be a number of seconds above 0, or a pair of them (connect, read)"
        raise FdiInvalidRequestError.local(operation, "timeout", value, rule)
    return float(pair[0]), float(pair[1])


class Wire:
    """One pooled session to one endpoint. What can be decided once (proxies, CA bundle) is decided here."""

    def __init__(
        self,
        operation: str,
        endpoint: str,
        *,
        timeout: Timeout,
        verify: bool | str,
        proxies: Mapping[str, str] | None,
        allow_http: bool,
        field: str = "endpoint",
        credentials: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.base = base_url(operation, endpoint, allow_http=allow_http, field=field)
        self.host = urlsplit(self.base).netloc
        self.timeout = check_timeout(operation, timeout)
        self.proxies = dict(proxies) if proxies is not None else dict(get_environ_proxies(self.base))
        self.secrets = tuple(s for p in self.proxies.values() for s in _proxy_secrets(p))
        self._credentials = credentials
        if verify is True:
            verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        if isinstance(verify, str) and not os.path.exists(verify):
            raise FdiInvalidRequestError.local(operation, "verify", verify, "no such CA file or directory")
        if not isinstance(verify, (bool, str)):
            raise FdiInvalidRequestError.local(
                operation, "verify", verify, "must be True, False or a CA path"
            )
        if verify is False and self.base.startswith("https:"):
            log.warning(
                "TLS certificates of %s are not verified (verify=False): anyone can pose as it.", self.base
            )
        self.verify = verify
        self.session = requests.Session()
        self.session.trust_env = False  # no .netrc, and no look at the environment with every request
        self.session.mount("https://", _Adapter(pool_connections=4, pool_maxsize=POOL_SIZE))
        self.session.mount("http://", _Adapter(pool_connections=4, pool_maxsize=POOL_SIZE))

    def send(
        self, request: requests.PreparedRequest, *, opaque: bool = False
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one request sent once. Raises WireFault if there is none.

        ``opaque``: the body of a success does not matter, so losing it does not, either.
        """
        started = time.perf_counter()
        status = 0
        try:
            # Not Session.send: it would follow redirects, keep cookies and read the environment.
            response = self.session.get_adapter(str(request.url)).send(
                request,
                stream=True,
                timeout=self.timeout,
                verify=self.verify,
                cert=None,
                proxies=self.proxies,
            )
            status = response.status_code if isinstance(response.status_code, int) else 0
            try:
                body = response.content
            except _FAULTS:
                response.close()
                if 200 <= status < 300 and not opaque:
                    raise
                body = b""
        except _FAULTS as error:
            sent = not _was_not_sent(error)
            words = clean_text(self._masked(_reason(error)), 300)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s %s -> %s", request.method, _path(request), words)
            raise WireFault(words, sent) from error
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s %s -> %s in %.0f ms, request id %s",
                request.method,
                _path(request),
                status,
                (time.perf_counter() - started) * 1000,
                clean_text(self._masked(response.headers.get("X-Request-Id") or "-"), 80),
            )
        return status, response.headers, body or b""

    def _masked(self, text: str) -> str:
        return mask(text, (*self._credentials(), *self.secrets))

    def close(self) -> None:
        self.session.close()


def _path(request: requests.PreparedRequest) -> str:
    return urlsplit(str(request.url)).path


def _proxy_secrets(proxy: object) -> list[str]:
    password = urlsplit(proxy).password if isinstance(proxy, str) and "@" in proxy else None
    return [password, unquote(password)] if password else []


def prepare(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> requests.PreparedRequest:
    """A request from parts in their final form, to which ``requests`` does nothing more."""
    request = requests.PreparedRequest()
    request.method = method
    request.url = url
    request.headers = CaseInsensitiveDict(headers)
    request.body = body
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    elif method in ("POST", "PUT"):
        request.headers["Content-Length"] = "0"
    return request


LONGEST_RETRY_AFTER = 86_400.0
"""A service that asks for more is in error: no clock and no sleep can be given 10**15 seconds."""


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
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
    base = here if here is not None else (time.time() if now is None else now) * 1000
    return min(max(0.0, (moment - base) / 1000), LONGEST_RETRY_AFTER)


# Authentication, retries, gate

sleep = time.sleep
_uniform = random.Random().uniform

_RETRY_STATUS = frozenset({429, 500, 502, 503, 504})
_NO_RETRY_CODES = frozenset({"ROMA.00110002"})


class Gate:
    """Holds back all requests of the clients that share it, until the moment that a 429 asked for."""

    __slots__ = ("not_before",)

    def __init__(self) -> None:
        # No lock: a float is replaced at once, and a signal handler may call a client (on_kill).
        self.not_before = 0.0
        """Of ``time.monotonic``."""

    def close_for(self, seconds: float) -> None:
        self.not_before = max(self.not_before, time.monotonic() + seconds)


PROCESS_GATE = Gate()
"""For all clients in a triggerer: what one of them is told counts for every other."""


class Transport:
    """Sends a client's requests. Safe for many threads; they share the session and the gate."""

    def __init__(
        self,
        operation: str,
        endpoint: str,
        auth: FdiAuth,
        *,
        timeout: Timeout,
        retry: RetryPolicy,
        verify: bool | str,
        proxies: Mapping[str, str] | None,
        allow_http: bool,
        headers: Mapping[str, str],
        gate: Gate | None = None,
    ) -> None:
        self.wire = Wire(
            operation,
            endpoint,
            timeout=timeout,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            credentials=auth.secrets,
        )
        self.auth = auth
        self.retry = retry
        base = {"Accept": JSON, "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT, **headers}
        self._headers = {kind: {**base, "Content-Type": kind} for kind in (JSON, JSON_BODY)}
        self.gate = Gate() if gate is None else gate

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        ids: Mapping[str, str],
        query: str = "",
        body: bytes | None = None,
        content_type: str = JSON_BODY,
        resend: Resend = Resend.ALWAYS,
        opaque: bool = False,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """The successful answer to one operation, sent as often as ``resend`` and the policy allow.

        Raises the FdiError that says why there is none.
        """
        url = f"{self.wire.base}{path}?{query}" if query else f"{self.wire.base}{path}"
        kind = JSON if body is None else content_type
        headers = self._headers.get(kind) or {**self._headers[JSON], "Content-Type": kind}
        deadline = time.monotonic() + self.retry.budget
        sent = faults = 0
        renewed = unsettled = False
        while True:
            self._wait_at_gate(operation, ids, sent, unsettled, deadline)
            error: FdiError
            try:
                with self.auth.turn():
                    request = self.auth(prepare(method, url, headers, body))
                    sent += 1
                    status, answered, content = self.wire.send(request, opaque=opaque)
                    if status != 401:
                        self.auth.accepted(request)
                        if 200 <= status < 300:
                            return Answer(status, answered, content, sent, lambda: self._secrets(secrets))
                    error = refusal = self._error(operation, ids, sent, status, answered, content, secrets)
                    again = status == 401 and not renewed and self.auth.on_unauthorized(request, refusal)
            except WireFault as fault:
                error = self._connection_error(operation, ids, sent, fault)
                error.__cause__ = fault.__cause__
                again = False
            except FdiError as failed_login:
                error, again = failed_login, False
                error.operation, error.ids, error.attempts = operation, dict(ids), sent
            error.unsettled = unsettled
            if again:
                renewed = True
                continue
            faults += 1
            self._wait_or_raise(error, resend, faults, deadline)
            unsettled = unsettled or error.ambiguous

    def close(self) -> None:
        self.wire.close()
        self.auth.close()

    def _secrets(self, more: Iterable[str]) -> tuple[str, ...]:
        return (*self.auth.secrets(), *self.wire.secrets, *more)

    def _error(
        self,
        operation: str,
        ids: Mapping[str, str],
        sent: int,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Iterable[str],
    ) -> FdiResponseError:
        return error_from_response(
            operation=operation,
            ids=ids,
            attempts=sent,
            status=status,
            headers=headers,
            body=body,
            secrets=self._secrets(secrets),
            retry_after=retry_after(headers) if status in (429, 503) else None,
        )

    def _connection_error(
        self, operation: str, ids: Mapping[str, str], sent: int, fault: WireFault
    ) -> FdiConnectionError:
        arrived = "it may have arrived" if fault.may_have_arrived else "it was not sent"
        words = mask(str(fault), self._secrets(()))
        hint = "Check endpoint, network and proxy."
        if isinstance(fault.__cause__, requests.exceptions.SSLError):
            hint = "Check endpoint (http:// if it speaks plain HTTP), proxy, and the setting verify."
        return FdiConnectionError(
            f"{describe(operation, ids)}: no answer from {self.wire.base}, {arrived} ({words}). {hint}",
            operation=operation,
            ids=ids,
            attempts=sent,
            may_have_arrived=fault.may_have_arrived,
        )

    def _wait_at_gate(
        self, operation: str, ids: Mapping[str, str], sent: int, unsettled: bool, deadline: float
    ) -> None:
        while (wait := self.gate.not_before - time.monotonic()) > 0:
            if time.monotonic() + wait > deadline:
                held = FdiThrottledError(
                    f"{describe(operation, ids)}: held back: the service asked for fewer requests (429), "
                    f"and the wait of {wait:.1f} s is longer than the time left for this call.",
                    operation=operation,
                    ids=ids,
                    attempts=sent,
                    status=429,
                )
                held.retry_after = wait
                held.unsettled = unsettled
                raise held
            # A little apart, so that the threads held back do not all return in the same instant.
            sleep(wait + _uniform(0, min(0.1 * wait, 0.5)))

    def _wait_or_raise(self, error: FdiError, resend: Resend, faults: int, deadline: float) -> None:
        policy = self.retry
        asked = error.retry_after if isinstance(error, (FdiThrottledError, FdiServerError)) else None
        backoff = _uniform(0, min(policy.backoff_cap, policy.backoff * 2 ** min(faults - 1, 30)))
        delay = backoff if asked is None else max(asked, backoff)
        from_service = not isinstance(error, FdiResponseError) or error.delivered
        if isinstance(error, FdiThrottledError) and from_service:
            self.gate.close_for(min(delay, policy.retry_after_cap))
        if not _may_resend(error, resend) or faults >= policy.max_attempts:
            raise error
        if (asked is not None and asked > policy.retry_after_cap) or time.monotonic() + delay > deadline:
            raise error
        log.info("%s Attempt %d failed, next in %.1f s.", error, faults, delay)
        sleep(delay)


def _may_resend(error: FdiError, resend: Resend) -> bool:
    if resend is Resend.NEVER:
        return False
    if isinstance(error, FdiConnectionError):
        return resend is Resend.ALWAYS or not error.may_have_arrived
    if not isinstance(error, FdiResponseError) or error.status not in _RETRY_STATUS:
        return False
    if error.error_code in _NO_RETRY_CODES:
        return False
    return resend is Resend.ALWAYS or error.status == 429 or not error.delivered
