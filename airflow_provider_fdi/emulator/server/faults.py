"""Faults on demand: rules that answer a matching request wrongly, late, or not at all.

Each kind says what is done with the request first: `status`, `reset_before`, `html` and `redirect` do not
handle it; `status_after`, `reset_after`, `truncate_body` and `malformed_json` do; `delay` only waits.
`handle` overrides this.
"""

from __future__ import annotations

import re
import threading
from typing import Annotated, Any, Literal

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field, NonNegativeInt

from airflow_provider_fdi.emulator.service.errors import ServiceError, service_error
from airflow_provider_fdi.emulator.validation import Strict

_HANDLED = ("status_after", "reset_after", "truncate_body", "malformed_json", "delay")


_Method = Annotated[
    Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class FaultRule(Strict):
    """Which requests a fault strikes, and how."""

    kind: Literal[
        "status",
        "status_after",
        "reset_before",
        "reset_after",
        "delay",
        "truncate_body",
        "html",
        "malformed_json",
        "redirect",
    ]
    operation: str | None = None
    method: _Method | None = None
    path_regex: re.Pattern[str] | None = None
    # how often it strikes; None: always
    times: NonNegativeInt | None = 1
    # matching requests let through first
    after: NonNegativeInt = 0
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    headers: dict[str, str] = {}
    body: Any = None
    delay_ms: NonNegativeInt = 0
    handle: bool | None = None


class Fault(FaultRule):
    """A rule that was added, and how often it struck."""

    id: int
    struck: int = Field(0, description="how often it struck")

    @property
    def handles(self) -> bool:
        """Whether the request is really carried out before the fault strikes."""
        return self.kind in _HANDLED if self.handle is None else self.handle

    def matches(self, operation: str | None, method: str, path: str) -> bool:
        """Whether the fault strikes such a request."""
        if self.operation is not None and self.operation != operation:
            return False
        if self.method is not None and self.method != method:
            return False
        return self.path_regex is None or self.path_regex.search(path) is not None

    def answer(self, request_id: str) -> Response:
        """The answer in place of the service's own, for kinds that give one."""
        if self.kind == "html":
            page = (
                "<html><head><title>502 Bad Gateway</title></head>"
                "<body><h1>502 Bad Gateway</h1></body></html>"
            )
            page = self.body if isinstance(self.body, str) else page
            # Given as a header: as a media type it would get a charset.
            return Response(page, self.status or 502, {"content-type": "text/html", **self.headers})
        if self.kind == "malformed_json":
            text = self.body if isinstance(self.body, str) else '{"total": 1, "entities": [{'
            return Response(text, self.status or 200, self.headers, "application/json")
        if self.kind == "redirect":
            headers = {"Location": "http://127.0.0.1:9/elsewhere", **self.headers}
            return Response(b"", self.status or 302, headers, "application/json")
        status = self.status or 500
        if isinstance(self.body, str):
            return Response(self.body, status, self.headers, "application/json")
        body = self.body if self.body is not None else _usual_error(status).body(request_id)
        return JSONResponse(body, status, self.headers)


def _usual_error(status: int) -> ServiceError:
    if status == 401:
        return service_error("APIGW.0307")
    if status == 403:
        return service_error("APIGW.0302")
    if status == 404:
        return service_error("FDI.3081")
    if status == 429:
        return service_error("APIGW.0308", 1)
    if status in (502, 504):
        words = "Backend timeout" if status == 504 else "Backend unavailable"
        return ServiceError(status, "APIGW.0201", words)
    if status == 503:
        return ServiceError(status, "APIGW.0613", "The IAM service is unavailable.")
    if status >= 500:
        return ServiceError(status, "FDI.9999", "Network error.")
    return ServiceError(status, "FDI.3002", "Invalid parameters.")


class Faults:
    """The rules in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._next_id = 1

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, rule: FaultRule) -> Fault:
        """Add a rule."""
        with self._lock:
            fault = Fault(id=self._next_id, **dict(rule))
            self._next_id += 1
            self._faults.append(fault)
        return fault

    def take(self, operation: str | None, method: str, path: str) -> tuple[int, Fault | None]:
        """Milliseconds to wait, and the one fault that strikes this request."""
        delay, chosen = 0, None
        with self._lock:
            for fault in self._faults:
                if fault.kind != "delay" and chosen is not None:
                    continue
                if (fault.times is not None and fault.struck >= fault.times) or not fault.matches(
                    operation, method, path
                ):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.struck += 1
                delay += fault.delay_ms
                if fault.kind != "delay":
                    chosen = fault
        return delay, chosen

    def rows(self) -> list[Fault]:
        """All rules."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._faults.clear()
