"""A ``task_detail`` as the flat list of what it says, so that two of them can be compared by meaning.

What means the same becomes the same: numbers and texts, the order of keys and of lists of named things, JSON
within text, the two spellings of keys (``sourceTable``, ``source_table``), what is empty and what is absent.
Secrets are never compared, and never shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_fdi.client.secrets import is_secret_name, mask_urls, secret_values
from airflow_provider_fdi.declarations.references import (
    json_inside,
    references_in,
    substitute,
    substitute_some,
)

MASK = "***"

Path = tuple[str, ...]
Keys = tuple[str | int, ...]

_NAMES = (
    ("source_table", "target_table"),
    ("source_column", "target_column"),
    ("sourceKey", "targetKey"),
    ("field_name",),
    ("keys",),
    ("name",),
)
"""The keys that name an object in a list, such as a column, a mapping or a parameter."""

_DEFAULTS = {"mappingrequired": "true", "ordertype": "ASC"}
"""What a key that is absent means, where that is not "nothing": by the vendor's documentation."""


SERVICES_OWN = frozenset(
    """projectid taskid taskname tasktype tasktag description status createddate lastmodifieddate needapi
    needmqs needemailnew sourcedatasource sourcedatasourcetype sourcedsid targetdatasource
    targetdatasourcetype targetdsid""".split()
)
"""Keys at the top of a ``task_detail`` that FDI adds to its answers."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: where it is as people read it, the value as it is shown, and whether it is a secret."""

    place: str
    value: Any
    is_secret: bool = False

    @property
    def text(self) -> str:
        """The same for two values that mean the same."""
        value = self.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        return text.lower() if text.lower() in ("true", "false") else text


def is_secret_reference(reference: str) -> bool:
    """Whether the variable of this name holds a secret."""
    return ":" not in reference and is_secret_name(reference)


def leaves(value: Any, place: str, *, template: bool = False) -> dict[Path, Leaf]:
    """What a JSON value says, by paths that do not depend on spelling and order.

    :param template: the texts in it are templates, as in a declaration
    """
    return dict(_walk(value, _At((), place, False, template)))


def mean_the_same(path: Path, one: Leaf | None, other: Leaf | None) -> bool:
    """Whether two values, of which one may be absent, need not or cannot be told apart."""
    if (one is not None and one.is_secret) or (other is not None and other.is_secret):
        return True
    default = _DEFAULTS.get(path[-1]) if path else None
    return (default if one is None else one.text) == (default if other is None else other.text)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a value stands."""

    path: Path
    place: str
    secret: bool
    template: bool

    @property
    def means_more(self) -> bool:
        """Whether false is not the same as nothing here."""
        return bool(self.path) and self.path[-1] in _DEFAULTS

    def below(self, step: str, shown: str, secret: bool = False) -> _At:
        return _At((*self.path, step), self.place + shown, self.secret or secret, self.template)


def _walk(value: Any, at: _At) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, at.below(plain_key(key), f".{key}", holds_secret(value, key)))
    elif isinstance(value, list):
        yield from _walk_list(value, at)
    elif isinstance(value, str):
        yield from _walk_text(value, at)
    elif value is not None and (value is not False or at.means_more):
        hidden = at.secret and not isinstance(value, bool)
        yield at.path, Leaf(at.place, MASK if hidden else value, hidden)


def _walk_list(items: list[Any], at: _At) -> Iterator[tuple[Path, Leaf]]:
    if not items:
        return
    names = item_names(items)
    if names is None and all(isinstance(item, Mapping) for item in items):
        # Nothing names them, so that they can only be compared as a whole.
        rows = sorted(_as_whole(item, at) for item in items)
        if not any(MASK in row for row in rows):
            yield at.path, Leaf(at.place, [json.loads(row) for row in rows])
            return
    for index, item in enumerate(items):
        step = f"[{names[index] if names else index}]"
        yield from _walk(item, at.below(step, step))


def _as_whole(item: Any, at: _At) -> str:
    """An object as text that is the same for two that mean the same."""
    found = {".".join(path): leaf.text for path, leaf in _walk(item, _At((), "", at.secret, at.template))}
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def _walk_text(text: str, at: _At) -> Iterator[tuple[Path, Leaf]]:
    if is_masked(text) or (at.secret and is_secret_text(text)):
        yield at.path, Leaf(at.place, MASK, True)
        return
    inside = json_inside(text)
    if inside is not None:
        yield from _walk(inside, at)
        return
    text = mask_urls(text, MASK)
    if at.template:
        if any(map(is_secret_reference, references_in(text))):
            yield at.path, Leaf(at.place, MASK, True)
            return
        text = substitute(text, lambda reference: f"${{{reference}}}")
    if text and (text.lower() != "false" or at.means_more):
        yield at.path, Leaf(at.place, text)


def is_masked(text: str) -> bool:
    """Whether FDI shows asterisks instead of a secret, also where it is not known here to be one."""
    return len(text) > 2 and not text.strip("*")


def is_secret_text(text: str) -> bool:
    """Whether a text in the place of a secret can be one."""
    return text.lower() not in ("", "true", "false")


def holds_secret(owner: Mapping[str, Any], key: str) -> bool:
    """Whether what ``owner`` has under ``key`` is a secret."""
    if is_secret_name(key):
        return True
    # {"keys": "Authorization", "value": …}
    return key == "value" and is_secret_name(owner.get("keys") or "")


def plain_key(key: str) -> str:
    """A key without its spelling: FDI writes ``sourceTable`` and ``source_table``."""
    return str(key).replace("_", "").lower()


def item_name(item: Any) -> str | None:
    """What names an object in a list; None if nothing does."""
    if not isinstance(item, Mapping):
        return None
    for keys in _NAMES:
        values = [item.get(key) for key in keys]
        if all(isinstance(value, str) and value for value in values):
            return " -> ".join(map(str, values))
    return None


def item_names(items: list[Any]) -> list[str] | None:
    """The names of the objects in a list; None if one has none, or two have the same."""
    names = [name for name in map(item_name, items) if name is not None]
    return names if len(names) == len(items) == len(set(names)) else None


def without_services_own(
    actual: Mapping[Path, Leaf], declared: Mapping[Path, Leaf], ids: frozenset[str]
) -> dict[Path, Leaf]:
    """What FDI has, but for what it adds to its answers: some keys, and ids that the task has elsewhere."""
    return {
        path: leaf
        for path, leaf in actual.items()
        if path in declared or (not (path[:1] and path[0] in SERVICES_OWN) and leaf.text not in ids)
    }


def secrets_missing(actual: Mapping[Path, Leaf], declared: Any) -> list[str]:
    """Places of the secrets that FDI has and for which the files have nothing, be it an empty text."""
    known = set(_all_paths(declared, ()))
    return [leaf.place for path, leaf in actual.items() if leaf.is_secret and path not in known]


def _all_paths(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, str):
        inside = json_inside(value)
        value = value if inside is None else inside
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _all_paths(item, (*path, plain_key(key)))
    elif isinstance(value, list):
        names = item_names(value)
        for index, item in enumerate(value):
            yield from _all_paths(item, (*path, f"[{names[index] if names else index}]"))
    else:
        yield path


def clear_secrets(value: Any, path: Keys = (), secret: bool = False) -> Iterator[Keys]:
    """Where a declaration has a secret in clear instead of a reference."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from clear_secrets(item, (*path, key), secret or holds_secret(value, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from clear_secrets(item, (*path, index), secret)
    elif isinstance(value, str):
        inside = json_inside(value)
        if secret:
            clear = is_secret_text(value) and not references_in(value)
        elif inside is not None:
            clear = any(True for _ in clear_secrets(inside))
        else:
            clear = any(not references_in(found) for found in secret_values(value))
        if clear:
            yield path
    elif secret and isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def template(
    value: Any,
    known: Mapping[str, str],
    unknown: Callable[[Keys, str], None],
    at: Keys = (),
    secret: bool = False,
) -> Any:
    """A declaration with its references replaced, but those to secrets and to ids.

    :param unknown: called with the place of each reference to nothing, and with the reference
    """
    if isinstance(value, dict):
        return {
            key: template(item, known, unknown, (*at, key), secret or holds_secret(value, key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [template(item, known, unknown, (*at, index), secret) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value or secret:
        return value

    def lookup(name: str) -> str | None:
        if ":" in name or is_secret_reference(name):
            return None
        if name not in known:
            unknown(at, name)
        return known.get(name)

    inside = json_inside(value)
    if inside is None:
        return substitute_some(value, lookup)
    # What is put in may hold quotes, so that it must be written as JSON again.
    return json.dumps(template(inside, known, lambda _, name: unknown(at, name)), ensure_ascii=False)
