"""Writes docs/api.md from the docstrings: python tools/api_reference.py [--check]"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"

HEAD = """\
# API reference

Made from the docstrings by `tools/api_reference.py`. Beyond the parameters listed, operators and the
sensor take those of Airflow's own base classes.
"""
SECTIONS = [
    (
        "Operators",
        "airflow_provider_fdi.operators.fdi",
        [
            "FdiBaseOperator",
            "FdiRunTaskOperator",
            "FdiCreateTaskOperator",
            "FdiUpdateTaskOperator",
            "FdiCreateScheduleOperator",
            "FdiBatchOperator",
            "FdiCreateCompositeTaskOperator",
            "FdiResetCompositeTaskOperator",
            "FdiTerminateRunOperator",
            "FdiTestDatasourceOperator",
            "FdiDeleteTaskOperator",
        ],
    ),
    ("Sensor", "airflow_provider_fdi.sensors.fdi", ["FdiTaskSensor"]),
    ("Event trigger", "airflow_provider_fdi.triggers.fdi", ["FdiRunEventTrigger"]),
    ("Hook", "airflow_provider_fdi.hooks.fdi", ["FdiHook"]),
    ("Failures", "airflow_provider_fdi.exceptions", None),
    ("Client", "airflow_provider_fdi.client", ["FdiClient", "RetryPolicy"]),
    ("Credentials", "airflow_provider_fdi.client.auth", None),
    ("Errors of the client", "airflow_provider_fdi.client.errors", None),
    ("Building a task_detail", "airflow_provider_fdi.client.task_detail", None),
]

METHODS_OF = {"FdiHook", "FdiClient"}
"""Classes that are used through their methods; of the others the constructor is what matters."""


def render() -> str:
    parts = [HEAD]
    for title, module_name, names in SECTIONS:
        module = importlib.import_module(module_name)
        parts.append(f"## {title}\n\n`{module_name}`\n")
        for name, thing in members(module, names):
            parts.append(describe(name, thing))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def members(module: Any, names: list[str] | None) -> Iterator[tuple[str, Any]]:
    """What is named, or all that is public and was made in the module, in its order."""
    if names is None:
        own = [
            name
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
            and thing.__module__ == module.__name__
        ]
        listed = getattr(module, "__all__", own)
        names = [name for name in own if name in listed]
    for name in names:
        yield name, getattr(module, name)


def describe(name: str, thing: Any) -> str:
    lines = [f"### {name}\n"]
    base = thing.__mro__[1] if inspect.isclass(thing) else None
    if base is not None and issubclass(thing, Exception):
        lines.append(f"A kind of `{base.__name__}`. {text_of(thing)}\n")
        return "\n".join(lines)
    lines.append(f"```text\n{signature(name, thing)}\n```\n")
    lines.append(text_of(thing) + "\n")
    if name in METHODS_OF:
        for method, function in vars(thing).items():
            if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
                lines.append(f"```text\n{signature(method, function)}\n```\n\n{text_of(function)}\n")
    return "\n".join(lines)


def signature(name: str, thing: Any) -> str:
    told = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing)
    shown = []
    keyword_only = False
    for parameter in told.parameters.values():
        if parameter.name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f"={shown_default(parameter.default)}"
        shown.append(parameter.name + default)
    line = f"{name}({', '.join(shown)})"
    return line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(shown) + ",\n)"


def shown_default(value: Any) -> str:
    text = repr(value)
    return "…" if " at 0x" in text else text


def text_of(thing: Any) -> str:
    """The docstring as Markdown: parameters and exceptions as lists."""
    doc = inspect.getdoc(thing) or ""
    doc = re.sub(r":(?:class|meth|func|mod|data):`[.~]?([^`]+)`", r"`\1`", doc).replace("``", "`")
    prose, *fields = re.split(r"^(?=:(?:param|raises|return|returns)\b)", doc, flags=re.MULTILINE)
    prose = "\n\n".join(" ".join(p.split()) for p in re.split(r"\n\s*\n", prose.strip()) if p.strip())
    rows = []
    for field in fields:
        found = re.match(r":(param|raises|returns?) ?([^:]*):\s*(.*)", field, re.DOTALL)
        assert found is not None, field
        kind, what, text = found[1], found[2].strip(), " ".join(found[3].split())
        label = {"param": f"`{what}`", "raises": f"raises `{what}`"}.get(kind, "returns")
        rows.append(f"- {label}: {text}")
    return prose + ("\n\n" + "\n".join(rows) if rows else "")


def main() -> int:
    text = render()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != text:
            print(
                "docs/api.md is not what the docstrings say: python tools/api_reference.py", file=sys.stderr
            )
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
