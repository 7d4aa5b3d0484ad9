"""The structure of the files, as pydantic models; the JSON Schema for editors comes from them."""

from __future__ import annotations

from typing import Any


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file of declarations."""
    raise NotImplementedError
