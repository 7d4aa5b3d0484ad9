"""Sending a client's requests: authentication, retries within a budget, and holding back after a 429."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial

from requests import PreparedRequest

from airflow_provider_fdi.client.auth import FdiAuth
from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import (
    FdiConnectionError,
    FdiError,
    FdiResponseError,
    FdiThrottledError,
)
from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.client.responses import Answer, error_from_response, mask
from airflow_provider_fdi.client.wire import JSON, USER_AGENT, Timeout, Wire, WireFault, prepare

__all__ = ["Gate", "Resend", "Transport", "shared_gate"]

log = logging.getLogger(__name__)

JSON_BODY = "application/json;charset=utf-8"

sleep = time.sleep
_uniform = random.Random().uniform

_RETRY_STATUS = frozenset({429, 500, 502, 503, 504})
_NO_RETRY_CODES = frozenset({"ROMA.00110002"})


Authenticate = Callable[[PreparedRequest], PreparedRequest]


class Resend(Enum):
    """When a request may be sent again."""

    ALWAYS = "reads and idempotent writes"
    UNSENT = "only if it was certainly not carried out"
    NEVER = "not at all"


class Gate:
    """Holds back all requests of the clients that share it, until the moment that a 429 asked for."""

    __slots__ = ("not_before",)

    def __init__(self) -> None:
        # No lock: a float is replaced at once, and a signal handler may call a client (on_kill).
        self.not_before = 0.0
        """Of ``time.monotonic``."""

    def close_for(self, seconds: float) -> float:
        """Let nothing pass for so many seconds; returns by how many it stays closed longer than before."""
        now = time.monotonic()
        before = max(self.not_before, now)
        self.not_before = max(self.not_before, now + seconds)
        return self.not_before - before


_shared_gates: dict[tuple[str, str], Gate] = {}
_shared_gates_lock = threading.Lock()


def shared_gate(endpoint: str, identity: str) -> Gate:
    """The gate of all clients of this process that send to ``endpoint`` with the same credentials.

    :param identity: of the credentials, as :attr:`FdiAuth.identity <.auth.FdiAuth.identity>` has it
    """
    with _shared_gates_lock:
        return _shared_gates.setdefault((endpoint, identity), Gate())


class Transport:
    """Sends a client's requests. Safe for many threads; they share the session and the gate."""

    def __init__(
        self,
        endpoint: str,
        auth: FdiAuth,
        *,
        timeout: Timeout,
        retry: Backoff,
        verify: bool | str,
        proxies: Mapping[str, str] | None,
        allow_http: bool,
        headers: Mapping[str, str],
        gate: Gate | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.wire = Wire(
            endpoint,
            timeout=timeout,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            credentials=auth.secrets,
            observer=observer,
        )
        self.observer = self.wire.observer
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

        :raises FdiError: says why there is none.
        """
        url = self._url(path, query)
        kind = JSON if body is None else content_type
        headers = self._headers.get(kind) or {**self._headers[JSON], "Content-Type": kind}
        started = time.monotonic()
        sent = faults = 0
        renewed = unsettled = False
        while True:
            self._wait_at_gate(operation, ids, sent, unsettled, started)
            error: FdiError
            try:
                with self.auth.turn():
                    request = self.auth(prepare(method, url, headers, body))
                    sent += 1
                    status, answered, content = self.wire.send(operation, request, opaque=opaque)
                    if status != 401:
                        self.auth.accepted(request)
                        if 200 <= status < 300:
                            masked = partial(self._secrets, secrets)
                            return Answer(operation, ids, sent, status, answered, content, masked)
                    error = refusal = error_from_response(
                        operation=operation,
                        ids=ids,
                        attempts=sent,
                        status=status,
                        headers=answered,
                        body=content,
                        secrets=self._secrets(secrets),
                        unsettled=unsettled,
                    )
                    again = status == 401 and not renewed and self.auth.on_unauthorized(request, refusal)
            except WireFault as fault:
                error, again = self._connection_error(operation, ids, sent, unsettled, fault), False
            except FdiError as failed_login:
                again = False
                error = failed_login.replace(
                    operation=operation, ids=dict(ids), attempts=sent, unsettled=unsettled
                )
            if again:
                renewed = True
                continue
            faults += 1
            self._wait_or_raise(error, resend, faults, started)
            unsettled = unsettled or error.ambiguous

    def exchange(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | None = None,
        *,
        authenticate: Authenticate | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of whatever is answered, errors too; sent again only with a new token.

        :param authenticate: takes the place of the client's own authentication
        :raises FdiError: nothing was answered, or the login failed.
        """
        url = self._url(path, query)
        headers = self._headers[JSON if body is None else JSON_BODY]
        renewed = False
        while True:
            try:
                with self.auth.turn():
                    request = (authenticate or self.auth)(prepare(method, url, headers, body))
                    status, answered, content = self.wire.send("exchange", request)
                    if authenticate is not None:
                        return status, answered, content
                    if status != 401:
                        self.auth.accepted(request)
                        return status, answered, content
                    error = error_from_response(
                        operation="exchange",
                        ids={},
                        attempts=1,
                        status=status,
                        headers=answered,
                        body=content,
                        secrets=self._secrets(()),
                    )
                    again = self.auth.on_unauthorized(request, error)
            except WireFault as fault:
                raise self._connection_error("exchange", {}, 1, False, fault) from None
            if renewed or not again:
                return status, answered, content
            renewed = True

    def close(self) -> None:
        """Close the connections, those of the login too."""
        self.wire.close()
        self.auth.close()

    def _url(self, path: str, query: str) -> str:
        return f"{self.wire.base}{path}?{query}" if query else f"{self.wire.base}{path}"

    def _secrets(self, more: Iterable[str]) -> tuple[str, ...]:
        return (*self.auth.secrets(), *self.wire.secrets, *more)

    def _connection_error(
        self, operation: str, ids: Mapping[str, str], sent: int, unsettled: bool, fault: WireFault
    ) -> FdiConnectionError:
        arrived = "The request may have arrived." if fault.may_have_arrived else "The request was not sent."
        hint = "Check endpoint, network and proxy of {connection}."
        if fault.tls:
            hint = (
                "Check endpoint (http:// if it speaks plain HTTP), proxy and the setting verify of"
                " {connection}."
            )
        return FdiConnectionError(
            f"No answer from {self.wire.base}: {mask(str(fault), self._secrets(()))}.",
            hint=f"{arrived} {hint}",
            operation=operation,
            ids=ids,
            attempts=sent,
            unsettled=unsettled,
            may_have_arrived=fault.may_have_arrived,
            tls=fault.tls,
        )

    def _wait_at_gate(
        self, operation: str, ids: Mapping[str, str], sent: int, unsettled: bool, started: float
    ) -> None:
        while (wait := self.gate.not_before - time.monotonic()) > 0:
            if time.monotonic() + wait > started + self.retry.budget:
                raise FdiThrottledError(
                    "Held back: the service asked for fewer requests (HTTP 429).",
                    hint=f"The wait of {wait:.1f} s is longer than the time left for this call.",
                    operation=operation,
                    ids=ids,
                    attempts=sent,
                    unsettled=unsettled,
                    status=429,
                    retry_after=wait,
                )
            # A little apart, so that the threads held back do not all return in the same instant.
            sleep(wait + _uniform(0, min(0.1 * wait, 0.5)))

    def _wait_or_raise(self, error: FdiError, resend: Resend, faults: int, started: float) -> None:
        asked = error.retry_after if isinstance(error, FdiResponseError) else None
        delay = self.retry.delay(faults, asked, uniform=_uniform)
        if isinstance(error, FdiThrottledError) and error.delivered:
            self.observer.held_back(self.gate.close_for(min(delay, self.retry.retry_after_cap)))
        if not _may_resend(error, resend) or not self.retry.allows(
            faults, time.monotonic() - started, delay, asked
        ):
            raise error
        log.info("%s. Attempt %d failed, next in %.1f s", error.brief, faults, delay)
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
