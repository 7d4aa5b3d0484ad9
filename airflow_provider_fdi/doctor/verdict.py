"""What became of an assumption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AS_ASSUMED, DIFFERENT, NOT_CHECKED = "as assumed", "different", "not checked"


@dataclass(frozen=True)
class Verdict:
    """What became of an assumption; ``value`` is that of the emulator's switch that behaves like this.

    The words hold figures, codes and words of the service's vocabulary, never an id or a name.
    """

    outcome: str
    seen: str
    value: Any = None


def same(seen: str) -> Verdict:
    """It is as assumed."""
    return Verdict(AS_ASSUMED, seen)


def other(seen: str, value: Any = None) -> Verdict:
    """It is different."""
    return Verdict(DIFFERENT, seen, value)


def either(expected: bool, seen: str, value: Any = None) -> Verdict:
    """It is as assumed, or different."""
    return same(seen) if expected else other(seen, value)
