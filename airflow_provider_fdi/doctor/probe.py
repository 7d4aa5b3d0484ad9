"""Sends the doctor's requests: one after the other, not too fast, and not too many."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.errors import FdiAuthError, FdiConnectionError, FdiError
from airflow_provider_fdi.client.responses import load_json, parse_error_body, retry_after
from airflow_provider_fdi.client.signing import canonical_query
from airflow_provider_fdi.client.times import http_date_ms
from airflow_provider_fdi.client.transport import Authenticate
from airflow_provider_fdi.doctor.evidence import Evidence, NotSeen, Reply
from airflow_provider_fdi.doctor.operations import OPERATIONS
from airflow_provider_fdi.validation import path_id

_LIMIT = re.compile(r"limit:\s*(\d{1,6})")
_RESERVE = 60
"""Requests kept back for removing what was made."""
_LONGEST_WAIT = 30.0
_THROTTLED = 3
"""How often a request is sent again that was answered with 429."""
_SILENT = 3
"""Requests without an answer, one after the other, after which no more are sent."""


@dataclass(frozen=True)
class Limits:
    """How much the doctor may do. Times are seconds.

    :param requests: most requests; those that remove the doctor's own task come on top
    :param seconds: time after which no further check is begun
    :param pace: shortest time between two requests
    :param poll: time between two looks at something that is awaited
    :param log_wait: longest wait for a run to appear in the log
    :param fire_wait: longest wait for a schedule to fire once its minute has come; 0: this is not tried
    """

    requests: int = 250
    seconds: float = 300.0
    pace: float = 0.2
    poll: float = 2.0
    log_wait: float = 120.0
    fire_wait: float = 20.0


class Probe:
    """Asks one instance, and keeps what it is answered."""

    def __init__(self, client: FdiClient, limits: Limits) -> None:
        self._client = client
        self.limits = limits
        self.began = time.monotonic()
        self.sent = 0
        self._kept = 0
        self._last = 0.0
        self._silent = 0
        self._closed = ""
        self.replies: dict[str, Reply] = {}
        self.figures: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}
        self.times: list[float] = []
        self.trouble = ""
        self._recent: list[float] = []

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def evidence(self) -> Evidence:
        """All that was seen so far."""
        return Evidence(dict(self.replies), dict(self.figures), dict(self.reasons))

    def ask(
        self,
        name: str,
        operation: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        removing: bool = False,
        authenticate: Authenticate | None = None,
        **ids: str,
    ) -> Reply:
        """The answer to one request, kept under ``name``. Raises NotSeen if there is none.

        ``removing``: the request removes what the doctor made, and is sent even if its limits are reached.
        """
        try:
            reply = self._ask(operation, query or {}, body, removing, authenticate, ids)
        except NotSeen as reason:
            self.reasons[name] = str(reason)
            raise
        self.replies[name] = reply
        return reply

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the doctor's time. Raises NotSeen when that is over."""
        left = self.limits.seconds - self.elapsed
        if left <= 0:
            raise NotSeen(f"the time of {self.limits.seconds:g} s was over")
        time.sleep(min(seconds, left))

    def close(self, reason: str) -> None:
        """Send nothing more, for this reason."""
        self._closed = self.reasons[""] = reason

    def _ask(
        self,
        operation: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        removing: bool,
        authenticate: Authenticate | None,
        ids: Mapping[str, str],
    ) -> Reply:
        method, address = OPERATIONS[operation]
        path = address.format(**{name: path_id(name, value) for name, value in ids.items()})
        content = None if body is None else json.dumps(body).encode()
        for _ in range(_THROTTLED):
            self._admit(removing)
            started = time.monotonic()
            try:
                status, headers, answered = self._client.exchange(
                    method, path, canonical_query(query.items()), content, authenticate=authenticate
                )
            except FdiError as error:
                raise NotSeen(self._no_answer(error)) from None
            self._silent = 0
            seconds = time.monotonic() - started
            self.times.append(seconds)
            if status != 429:
                return _reply(operation, status, headers, answered, seconds)
            self._throttled(headers, answered)
        raise NotSeen("the service answered HTTP 429 again and again")

    def _admit(self, removing: bool) -> None:
        if self._closed:
            raise NotSeen(self._closed)
        if removing:
            self._kept += 1
            if self._kept > _RESERVE:
                raise NotSeen(f"{_RESERVE} requests were not enough to remove what was made")
        elif self.sent >= self.limits.requests:
            raise NotSeen(f"the limit of {self.limits.requests} requests was reached")
        elif self.elapsed > self.limits.seconds:
            raise NotSeen(f"the time of {self.limits.seconds:g} s was over")
        wait = self._last + self.limits.pace - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last = time.monotonic()
        self._recent = [moment for moment in self._recent if moment > self._last - 1] + [self._last]
        self.sent += 1

    def _no_answer(self, error: FdiError) -> str:
        if isinstance(error, FdiAuthError):
            self._closed = "the service does not accept the credentials any more"
            return self._closed
        if isinstance(error, FdiConnectionError):
            self._silent += 1
            if self._silent >= _SILENT:
                self._closed = f"{_SILENT} requests in a row were not answered"
            return "the request was not answered"
        return f"the request could not be sent ({type(error).__name__})"

    def _throttled(self, headers: Mapping[str, str], answered: bytes) -> None:
        asked = retry_after(headers)
        found = _LIMIT.search(parse_error_body(answered).message)
        self.figures.setdefault("throttle_limit", int(found[1]) if found else len(self._recent) - 1)
        self.figures.setdefault("throttle_pause", asked)
        self.figures["throttled"] = self.figures.get("throttled", 0) + 1
        time.sleep(min(asked if asked is not None else 1.0, _LONGEST_WAIT))


def _reply(operation: str, status: int, headers: Mapping[str, str], content: bytes, seconds: float) -> Reply:
    data: Any = None
    form = "empty"
    if content.strip():
        try:
            data, form = load_json(content), "json"
        except ValueError:
            form = "text"
    ok = 200 <= status < 300
    reason = data.get("reason") if isinstance(data, dict) else None
    return Reply(
        operation=operation,
        status=status,
        data=data,
        form=form,
        code="" if ok else parse_error_body(content).code,
        nested=isinstance(reason, dict) and "error_code" in reason,
        seconds=seconds,
        server_time=http_date_ms(headers.get("Date")),
    )
