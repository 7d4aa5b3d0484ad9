"""Faults on demand: rules that answer a matching request wrongly, late, or not at all.

Kinds, and what is done with the request first: `status`, `reset_before`, `html` and `redirect` do not
handle it; `status_after`, `reset_after`, `truncate_body` and `malformed_json` do; `delay` only waits.
`handle` overrides this.
"""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = (
    "status",
    "status_after",
    "reset_before",
    "reset_after",
    "delay",
    "truncate_body",
    "html",
    "malformed_json",
    "redirect",
)
_HANDLED = ("status_after", "reset_after", "truncate_body", "malformed_json", "delay")


@dataclass
class Fault:
    kind: str
    operation: str | None = None
    method: str | None = None
    path_regex: str | None = None
    # how often it strikes; None: always
    times: int | None = 1
    # matching requests let through first
    after: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    delay_ms: int = 0
    handle: bool | None = None
    id: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault kind {self.kind!r}: must be one of {', '.join(KINDS)}")
        if self.path_regex is not None:
            re.compile(self.path_regex)

    @property
    def handles(self) -> bool:
        """Whether the request is really carried out before the fault strikes."""
        return self.kind in _HANDLED if self.handle is None else self.handle

    def matches(self, operation: str | None, method: str, path: str) -> bool:
        if self.operation is not None and self.operation != operation:
            return False
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path_regex is None or re.search(self.path_regex, path) is not None


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._next_id = 1

    def __bool__(self) -> bool:
        return bool(self._rules)

    def add(self, raw: dict[str, Any]) -> Fault:
        """Raises ValueError for an unknown kind, TypeError for an unknown key."""
        if "kind" not in raw:
            raise ValueError("a fault needs a kind")
        known = {"id", "struck"}
        rule = Fault(**{key: value for key, value in raw.items() if key not in known})
        with self._lock:
            rule.id = self._next_id
            self._next_id += 1
            self._rules.append(rule)
        return rule

    def take(self, operation: str | None, method: str, path: str) -> tuple[int, Fault | None]:
        """Milliseconds to wait, and the one fault that strikes this request."""
        delay, chosen = 0, None
        with self._lock:
            for rule in self._rules:
                if rule.kind != "delay" and chosen is not None:
                    continue
                if (rule.times is not None and rule.struck >= rule.times) or not rule.matches(
                    operation, method, path
                ):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                    continue
                rule.struck += 1
                delay += rule.delay_ms
                if rule.kind != "delay":
                    chosen = rule
        return delay, chosen

    def rows(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()
