"""Reading YAML and JSON with the line of each value, and writing YAML.

YAML is read as its version 1.2 has it where 1.1 surprises: ``on``, ``no``, ``12:30`` and dates are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file, and the line of each value and key in it, counted from 1."""

    data: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of what stands at ``path``, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


class NotReadable(ValueError):
    """A text is neither YAML nor JSON. ``line`` counts from 1."""

    def __init__(self, rule: str, line: int | None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.line = line


# Written in C where PyYAML was built with libyaml, which is many times faster.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML without the types that surprise people, and without keys that are there twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read(text: str, *, is_json: bool) -> Document:
    """The content of a file. Raises NotReadable."""
    if is_json:
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise NotReadable(f"is not JSON: {error.msg}", error.lineno) from None
        except RecursionError:
            raise NotReadable("is nested too deeply", None) from None
        # JSON is YAML but for the tabs between its values, so that one reader finds the lines of both.
        return Document(data, _read_yaml(text.expandtabs()).lines)
    return _read_yaml(text)


def _read_yaml(text: str) -> Document:
    lines: dict[Path, int] = {}
    loader: Any = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, {(): 1})
        _note(node, (), lines, set())
        return Document(loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = error.problem or error.context or "it cannot be read"
        raise NotReadable(f"is not YAML: {words}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        raise NotReadable(f"holds a character that YAML does not allow: {error.character!r}", None) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        rule = str(error) if isinstance(error, NotReadable) else f"cannot be read ({type(error).__name__})"
        raise NotReadable(rule, getattr(error, "line", None)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _note(node: yaml.Node, path: Path, lines: dict[Path, int], inside: set[int]) -> None:
    """Note the lines of a node and all below it; refuses a key that is there twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in inside:
        raise NotReadable("refers to itself", node.start_mark.line + 1)
    below = inside | {id(node)}
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            if name in seen and name != "<<":
                raise NotReadable(f"has {name!r} twice in the same place", key.start_mark.line + 1)
            seen.add(name)
            place = (*path, name)
            lines[place] = key.start_mark.line + 1
            _note(value, place, lines, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note(item, (*path, index), lines, below)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Lists are indented, and text of several lines stays readable."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def write(data: Any) -> str:
    """YAML that ``read`` reads as the same."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
