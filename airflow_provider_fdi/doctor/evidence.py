"""What was seen of an instance, without judging it: answers and figures, or why there are none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CODE = re.compile(r"[A-Za-z]{2,8}\.\d{3,10}")


def shown_code(code: str) -> str:
    """An error code if it looks like one of the service's; anything else could hold a name."""
    return code if _CODE.fullmatch(code) else ""


class NotSeen(Exception):
    """Something could not be observed. The text completes "not checked, because …"."""


@dataclass(frozen=True)
class Reply:
    """The answer to one request, success or error; times in seconds and epoch milliseconds."""

    operation: str
    status: int
    data: Any = None
    form: str = "json"
    """``json``, ``empty`` or ``text`` (anything that is not JSON)."""
    code: str = ""
    nested: bool = False
    """Whether an error stands in ``reason`` instead of at the top."""
    seconds: float = 0.0
    server_time: int | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def by_service(self) -> bool:
        """Whether the service itself has answered, and no gateway in front of it."""
        return self.ok or self.code.startswith(("FDI.", "ROMA."))

    @property
    def said(self) -> str:
        """Status and code, which name nobody: ``HTTP 400 FDI.3026``."""
        return f"HTTP {self.status} {shown_code(self.code)}".rstrip()

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of a listing; empty for what is none."""
        entities = self.data.get("entities") if isinstance(self.data, dict) else None
        return [row for row in entities if isinstance(row, dict)] if isinstance(entities, list) else []

    @property
    def total(self) -> int | None:
        """How many rows the listing says there are."""
        total = self.data.get("total") if isinstance(self.data, dict) else None
        return total if isinstance(total, int) and not isinstance(total, bool) else None

    def part(self, key: str) -> Mapping[str, Any]:
        """An object in the answer; empty if it is not there."""
        part = self.data.get(key) if isinstance(self.data, dict) else None
        return part if isinstance(part, dict) else {}


@dataclass(frozen=True)
class Evidence:
    """All that was seen, by name."""

    replies: Mapping[str, Reply] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a reply or figure is missing; under the empty name, why any is."""

    def reply(self, name: str) -> Reply:
        """A reply, be it an error. Raises NotSeen."""
        if name in self.replies:
            return self.replies[name]
        raise NotSeen(self.why_not(name))

    def good(self, name: str) -> Reply:
        """A successful reply. Raises NotSeen."""
        reply = self.reply(name)
        if not reply.ok:
            raise NotSeen(f"{reply.operation} was refused ({reply.said})")
        return reply

    def figure(self, name: str) -> Any:
        """A figure. Raises NotSeen."""
        if name in self.figures:
            return self.figures[name]
        raise NotSeen(self.why_not(name))

    def why_not(self, name: str) -> str:
        """Why a reply or figure is missing."""
        return self.reasons.get(name) or self.reasons.get("", "an earlier step did not get that far")

    def present(self, *names: str) -> list[Reply]:
        """Those of the replies that are there and successful."""
        return [self.replies[name] for name in names if name in self.replies and self.replies[name].ok]
