"""What a request handler gets (:class:`Call`), what it is (:class:`Operation`), and how a path finds it.

Handlers are plain functions `Call -> JSON value`. They run on the server's event loop, or in a worker thread
when they talk to a database (`blocking`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.emulator.errors import invalid, service_error

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.world import World

INSTANCE = "/v2/{project_id}/fdi/instances/{instance_id}"


@dataclass(slots=True)
class Call:
    """One request, read and authenticated."""

    world: World
    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    request_id: str
    operation: Operation | None = None
    raw_path: str = ""
    raw_query: str = ""

    def json(self) -> Any:
        """The body as JSON. Raises 400 FDI.3002 where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise service_error(
                "FDI.3002", message="Invalid parameters. The request body is not JSON."
            ) from None

    def json_object(self) -> dict[str, Any]:
        value = self.json()
        if not isinstance(value, dict):
            raise service_error("FDI.3002", message="Invalid parameters. The request body must be an object.")
        return value

    def number(self, name: str, default: int) -> int:
        """A whole number of the query. Raises 400 FDI.3033."""
        text = self.query.get(name, "")
        if text == "":
            return default
        try:
            return int(text)
        except ValueError:
            raise invalid(name) from None

    def optional_number(self, name: str) -> int | None:
        return self.number(name, 0) if self.query.get(name) else None


@dataclass(slots=True)
class Answer:
    """An answer that is not just JSON with the operation's usual status."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the service."""

    id: str
    method: str
    path: str
    handler: Callable[[Call], Any]
    summary: str
    tag: str
    success: int = 200
    blocking: bool = False
    query: tuple[str, ...] = ()
    body: str | None = None
    answer: str | None = None
    # "fdi": token or signature and instance are checked; "project": only the caller; "open": nothing
    access: str = "fdi"


# Fixed words (None: a placeholder), names of the placeholders, the operation.
_Shape = tuple[tuple[str | None, ...], tuple[str, ...], Operation]


class Router:
    """Finds the operation of a request by the shape of its path."""

    def __init__(self, operations: list[Operation]) -> None:
        self._shapes: dict[tuple[str, int], list[_Shape]] = {}
        for operation in operations:
            parts = operation.path.strip("/").split("/")
            pattern = tuple(None if part.startswith("{") else part for part in parts)
            names = tuple(part[1:-1] if part.startswith("{") else "" for part in parts)
            self._shapes.setdefault((operation.method, len(parts)), []).append((pattern, names, operation))
        for rows in self._shapes.values():
            # fixed words before placeholders: multi-tasks/init is no task id
            rows.sort(key=lambda row: sum(part is None for part in row[0]))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        parts = path.strip("/").split("/")
        for pattern, names, operation in self._shapes.get((method, len(parts)), ()):
            for expected, part in zip(pattern, parts, strict=True):
                if (expected is not None and expected != part) or not part:
                    break
            else:
                return operation, {name: part for name, part in zip(names, parts, strict=True) if name}
        return None
