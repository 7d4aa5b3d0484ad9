"""The request journal: what clients sent and what they were answered, without credentials."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

_HIDDEN = (
    "x-auth-token",
    "authorization",
    "x-security-token",
    "x-metadata-token",
    "cookie",
    "proxy-authorization",
)
LIMIT = 100_000


class Journal:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=LIMIT)
        self._seq = 0

    def open(
        self,
        *,
        time: int,
        method: str,
        path: str,
        target: str,
        query: dict[str, Any],
        headers: dict[str, str],
        body: bytes,
        operation: str | None,
        secret_body: bool,
    ) -> dict[str, Any]:
        """Note a request; its status is filled in when it is answered."""
        row = {
            "time": time,
            "method": method,
            "path": path,
            "target": target,
            "query": query,
            "headers": headers,
            "body": b"" if secret_body else body,
            "operation": operation,
            "status": None,
            "fault": None,
            "request_id": None,
        }
        with self._lock:
            self._seq += 1
            row["seq"] = self._seq
            self._rows.append(row)
        return row

    def rows(self, operation: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        with self._lock:
            rows = list(self._rows)
        return [
            {
                **row,
                "headers": {k: "***" if k in _HIDDEN else v for k, v in row["headers"].items()},
                "body": _readable(row["body"]),
            }
            for row in rows
            if row["seq"] > since and (operation is None or row["operation"] == operation)
        ]

    def counts(self) -> dict[str, int]:
        """Requests by operation (cheaper than all rows, for load tests)."""
        with self._lock:
            rows = list(self._rows)
        totals: dict[str, int] = {}
        for row in rows:
            name = row["operation"] or "unknown"
            totals[name] = totals.get(name, 0) + 1
        return totals

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
