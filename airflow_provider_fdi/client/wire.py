"""One request, sent once: a pooled session to one endpoint, with time limits.

If nothing answers, :class:`WireFault` says whether the request can have arrived.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_fdi import __version__
from airflow_provider_fdi.client.endpoint import base_url
from airflow_provider_fdi.client.errors import FdiArgumentError, clean_text
from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.client.responses import mask

__all__ = ["Timeout", "Wire", "WireFault", "causes", "prepare"]

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-fdi/{__version__}"
JSON = "application/json"
POOL_SIZE = 64

Timeout = float | tuple[float, float]


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
        (type(e).__name__, str(e), getattr(e, "strerror", None))
        for e in causes(error)
        if not isinstance(e, (requests.exceptions.RequestException, urllib3.exceptions.MaxRetryError))
    ] or [(type(error).__name__, str(error), None)]
    name, text, plain = words[-1]
    return str(plain) if plain else f"{name}: {text}" if text else name


class WireFault(Exception):
    """Nothing usable came back."""

    def __init__(self, words: str, may_have_arrived: bool, tls: bool) -> None:
        super().__init__(words)
        self.may_have_arrived = may_have_arrived
        self.tls = tls


# Whatever a broken or hostile peer makes requests, urllib3, http.client and zlib raise.
_FAULTS = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    zlib.error,
)


def check_timeout(value: object) -> tuple[float, float]:
    """Connect and read time limit in seconds."""
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or not all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0 < p < 86_400 for p in pair
    ):
        rule = "must be a number of seconds above 0, or a pair of them (connect, read)"
        raise FdiArgumentError("timeout", value, rule)
    return float(pair[0]), float(pair[1])


class Wire:
    """One pooled session to one endpoint. What can be decided once (proxies, CA bundle) is decided here."""

    def __init__(
        self,
        endpoint: str,
        *,
        timeout: Timeout,
        verify: bool | str,
        proxies: Mapping[str, str] | None,
        allow_http: bool,
        field: str = "endpoint",
        credentials: Callable[[], Iterable[str]] = tuple,
        observer: Observer | None = None,
    ) -> None:
        self.base = base_url(field, endpoint, allow_http=allow_http)
        self.host = urlsplit(self.base).netloc
        self.timeout = check_timeout(timeout)
        self.proxies = dict(proxies) if proxies is not None else dict(get_environ_proxies(self.base))
        self.secrets = tuple(s for p in self.proxies.values() for s in _proxy_secrets(p))
        self._credentials = credentials
        self.observer = Observer() if observer is None else observer
        if verify is True:
            verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        if isinstance(verify, str) and not os.path.exists(verify):
            raise FdiArgumentError("verify", verify, "no such CA file or directory")
        if not isinstance(verify, (bool, str)):
            raise FdiArgumentError("verify", verify, "must be True, False or a CA path")
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
        self, operation: str, request: requests.PreparedRequest, *, opaque: bool = False
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one request sent once. Raises WireFault if there is none.

        ``operation``: what the observer is told.
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
            self.observer.request_sent(operation, None)
            raise WireFault(words, sent, any(isinstance(e, ssl.SSLError) for e in causes(error))) from None
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s %s -> %s in %.0f ms, request id %s",
                request.method,
                _path(request),
                status,
                (time.perf_counter() - started) * 1000,
                clean_text(self._masked(response.headers.get("X-Request-Id") or "-"), 80),
            )
        self.observer.request_sent(operation, status)
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
