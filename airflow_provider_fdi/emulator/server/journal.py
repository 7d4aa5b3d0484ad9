"""The request journal: what clients sent and what they were answered, without credentials."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter, deque
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
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=LIMIT)
        self._seq = 0

    def add(self, **row: Any) -> dict[str, Any]:
        """Note a request; the row comes back, for its status and fault to be filled in."""
        row |= {"status": None, "fault": None}
        with self._lock:
            self._seq += 1
            row["seq"] = self._seq
            self._rows.append(row)
        return row

    def rows(self, operation: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """The requests after number `since`, all or those of one operation."""
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

    def latest(self, count: int) -> list[dict[str, Any]]:
        """The last requests as they are kept, credentials included, newest first."""
        with self._lock:
            return list(itertools.islice(reversed(self._rows), count))

    def counts(self) -> dict[str, int]:
        """Numbers of requests by operation (cheaper than all rows, for load tests)."""
        with self._lock:
            return dict(Counter(row["operation"] or "unknown" for row in self._rows))

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._rows.clear()


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
