"""Words for what pydantic refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def explain(errors: Sequence[Any], noun: str = "", known: Iterable[str] = ()) -> str:
    """What is wrong, by the first of pydantic's errors; `noun`: what it names, `known`: the right names."""
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "extra_forbidden":
        names = ", ".join(sorted(known))
        return f"unknown {noun}{name!r}" + (f"; known: {names}" if names else "")
    if first["type"] == "literal_error":
        return f"{noun}{name} {first['input']!r}: must be one of {first['ctx']['expected']}"
    return f"{noun}{name}: {first['msg']}" if name else str(first["msg"])
