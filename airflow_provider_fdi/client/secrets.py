"""Finding the secrets in what is sent, so that they are masked in what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["is_secret_name", "mask_urls", "secret_values"]

# Patterns are compiled at their first use, by re itself: a DAG file that imports this uses none of them.
_SECRET = (
    r"(?i)passw|pwd|secret|token(?!_?url)|^ak$|^sk$|_ak$|_sk$|app_?key|api_?key|private_?key|credential"
    r"|authorization|community|config_file_content"
)


# A pair, or the two halves of {"keys": …, "value": …}, in text that is almost JSON: a template, Python's own
# notation, JSON with a comma too many. Quotes may be escaped, as they are in JSON within JSON.
_KEY = r"""["']([\w .$-]{1,64})\\*["']\s*:\s*"""
_VALUE = r"""(?:"((?:\\.|[^"\\]){1,8192})"|'((?:\\.|[^'\\]){1,8192})'|\\+"(.{1,8192}?)\\+")"""
# Looked for ahead, so that a pair within the value of another is found too.
_PAIR = f"(?={_KEY}{_VALUE})"
_IN_URL = r"[?&;](\w{1,64})=([^&;\s\"']+)"
_LOGIN_IN_URL = r"://[^/\s:@\"']+:([^/\s@\"']+)@"
_NAMED = (
    rf"""["']keys\\*["']\s*:\s*\\*["']([\w .$-]{{1,64}})\\*["']\s*,\s*\\*["']value\\*["']\s*:\s*{_VALUE}"""
)


def is_secret_name(name: object) -> bool:
    """Whether what stands under this name is a secret."""
    return bool(re.search(_SECRET, str(name)))


def mask_urls(text: str, mask: str) -> str:
    """``text`` with ``mask`` in the place of the secrets in its URLs."""

    def masked(found: re.Match[str]) -> str:
        if found.re.groups > 1 and not is_secret_name(found[1]):
            return found[0]
        start, end = (position - found.start() for position in found.span(found.re.groups))
        return found[0][:start] + mask + found[0][end:]

    return re.sub(_LOGIN_IN_URL, masked, re.sub(_IN_URL, masked, text))


def secret_values(data: Any) -> list[str]:
    """Texts under secret-named keys, at any depth, also in text that is JSON or was meant to be."""
    found: list[str] = []
    _collect(data, False, found, 0)
    return found


def _collect(data: Any, secret: bool, found: list[str], depth: int) -> None:
    if depth > 20:
        return
    if isinstance(data, Mapping):
        for key, value in data.items():
            _collect(value, secret or is_secret_name(key), found, depth + 1)
        name = data.get("keys")
        if isinstance(name, str) and is_secret_name(name):  # {"keys": "Authorization", "value": …}
            _collect(data.get("value"), True, found, depth + 1)
    elif isinstance(data, (list, tuple)):
        for value in data:
            _collect(value, secret, found, depth + 1)
    elif isinstance(data, str) and data:
        if secret:
            found.append(data)
        found += [value for key, value in re.findall(_IN_URL, data) if re.search(_SECRET, key)]
        found += re.findall(_LOGIN_IN_URL, data)
        if data.lstrip()[:1] in ("{", "["):
            try:
                inner = json.loads(data)
            except (ValueError, RecursionError):
                pairs = [*re.findall(_PAIR, data), *re.findall(_NAMED, data)]
                found += [
                    value for key, *values in pairs for value in values if value and re.search(_SECRET, key)
                ]
                return
            if isinstance(inner, (dict, list)):
                _collect(inner, secret, found, depth + 1)
