"""References in the texts of the files: ``${NAME}`` for a variable, ``${datasource:NAME}`` for an id.

``$${`` stands for ``${`` itself. A text that holds references that are not replaced yet is a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_REFERENCE = re.compile(r"\$(\$(?=\{))|\$\{([^${}]*)\}")

Lookup = Callable[[str], str]
"""The text that a reference, such as ``NAME`` or ``datasource:NAME``, stands for. Raises LookupError."""


def references_in(text: str) -> list[str]:
    """What a template refers to."""
    return [match[2] for match in _REFERENCE.finditer(text) if match[2] is not None]


def escape(text: str) -> str:
    """The template that stands for exactly this text."""
    return text.replace("${", "$${")


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts changed; keys stay as they are."""
    if isinstance(value, dict):
        return {key: map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def escape_all(value: Any) -> Any:
    """A JSON value as a template that stands for exactly it."""
    return map_texts(value, escape)


def substitute(template: str, lookup: Lookup) -> str:
    """The text that a template stands for."""
    return _REFERENCE.sub(lambda found: "$" if found[1] else lookup(found[2]), template)


def substitute_some(template: str, lookup: Callable[[str], str | None]) -> str:
    """The template with some references replaced: those for which ``lookup`` returns a text."""

    def replaced(found: re.Match[str]) -> str:
        value = None if found[1] else lookup(found[2])
        return found[0] if value is None else escape(value)

    return _REFERENCE.sub(replaced, template)


def json_inside(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or list that a text is, as the body of a request often is; None if it is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, (dict, list)) else None


def substitute_all(value: Any, lookup: Lookup) -> Any:
    """A JSON value with all references in its texts replaced, also in text that is JSON itself."""

    def replaced(text: str) -> str:
        if "${" not in text:
            return text
        inside = json_inside(text)
        if inside is not None:
            # What is put in may hold quotes, so that it must be written as JSON again.
            return json.dumps(substitute_all(inside, lookup), ensure_ascii=False)
        return substitute(text, lookup)

    return map_texts(value, replaced)


def all_references(value: Any) -> Iterator[str]:
    """What the templates in a JSON value refer to."""
    if isinstance(value, dict):
        for item in value.values():
            yield from all_references(item)
    elif isinstance(value, list):
        for item in value:
            yield from all_references(item)
    elif isinstance(value, str):
        yield from references_in(value)
