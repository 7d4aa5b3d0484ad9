"""Writes docs/api.md from the docstrings: python tools/api_reference.py [--check]"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"

HEAD = """\
# API reference

What DAGs and scripts of one's own import, made from the docstrings by `tools/api_reference.py`. Beyond the
parameters listed, operators and the sensor take those of Airflow's own base classes. What is not on this
page is internal and may change in any version. The emulator has [a page of its own](emulator.md).
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
    ("Assets", "airflow_provider_fdi.lineage.assets", ["create_asset"]),
    ("Links", "airflow_provider_fdi.links", ["FdiTaskLink", "FdiRunLink"]),
    ("Hook", "airflow_provider_fdi.hooks.fdi", ["FdiHook"]),
    (
        "Failures of tasks",
        "airflow_provider_fdi.exceptions",
        [
            "FdiTaskFailure",
            "FdiRunFailed",
            "FdiDataGateFailed",
            "FdiTaskBusy",
            "FdiTimeout",
            "FdiBatchFailed",
            "FdiDatasourceUnreachable",
            "FdiAlreadyExists",
            "FdiTriggerEventError",
        ],
    ),
    ("Client", "airflow_provider_fdi.client", ["FdiClient", "Backoff"]),
    (
        "Credentials",
        "airflow_provider_fdi.client",
        ["AkSkAuth", "TokenAuth", "StaticTokenAuth", "SdkAuth"],
    ),
    (
        "What the client returns",
        "airflow_provider_fdi.client.models",
        [
            "Listing",
            "Task",
            "TaskType",
            "TaskStatus",
            "ExecuteStatus",
            "TaskMonitor",
            "TaskCounts",
            "KindCounts",
            "Run",
            "RunSteps",
            "RunStep",
            "Schedule",
            "BatchResult",
            "BatchItem",
            "CompositeInit",
            "TableMapping",
            "MappingColumn",
            "Datasource",
            "Column",
        ],
    ),
    (
        "Errors of the client",
        "airflow_provider_fdi.client",
        [
            "FdiError",
            "FdiArgumentError",
            "FdiConnectionError",
            "FdiProtocolError",
            "FdiResponseError",
            "FdiAuthError",
            "FdiPermissionError",
            "FdiNotFoundError",
            "FdiConflictError",
            "FdiThrottledError",
            "FdiServerError",
            "FdiInvalidRequestError",
        ],
    ),
    ("A start without a run", "airflow_provider_fdi.runs.start", ["FdiStartError"]),
    ("Cron", "airflow_provider_fdi.client", ["to_quartz"]),
    (
        "Building a task_detail",
        "airflow_provider_fdi.client.task_detail",
        [
            "table_to_table",
            "api_to_table",
            "table_source",
            "table_target",
            "api_source",
            "column",
            "column_mapping",
            "metadata_field",
            "key_value",
            "error_handler",
            "completion_message",
            "to_json_text",
        ],
    ),
]

METHODS_OF = {"FdiHook", "FdiClient"}
"""Classes that are used through their methods; of the others the constructor is what matters."""

MODELS = "airflow_provider_fdi.client.models"
"""What stands in here is made by the client: its fields matter, not its constructor."""

WIDTH = 100


def render() -> str:
    parts = [HEAD]
    for title, module_name, names in SECTIONS:
        module = importlib.import_module(module_name)
        parts.append(f"## {title}\n\n`{module_name}`\n")
        parts += [describe(name, getattr(module, name)) for name in names]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def describe(name: str, thing: Any) -> str:
    lines = [f"### {name}\n"]
    if inspect.isclass(thing) and issubclass(thing, Exception):
        lines.append(f"A kind of `{thing.__mro__[1].__name__}`. {text_of(thing)}\n")
    elif inspect.isclass(thing) and issubclass(thing, enum.Enum):
        lines.append(f"{text_of(thing)} One of {', '.join(f'`{member.name}`' for member in thing)}.\n")
    elif hasattr(thing, "xcom_key"):
        lines.append(f"{text_of(thing)} Shown as *{thing.name}*; its address is in XCom `{thing.key}`.\n")
        return "\n".join(lines)
    elif thing.__module__ == MODELS:
        fields = "\n".join(f"{field.name}: {field.type}" for field in dataclasses.fields(thing))
        lines.append(f"{text_of(thing)}\n\n```text\n{fields}\n```\n")
    else:
        lines.append(f"```text\n{signature(name, thing)}\n```\n")
        lines.append(text_of(thing) + "\n")
    if inspect.isclass(thing):
        lines += [*properties(thing), ""]
    if name in METHODS_OF:
        ours = [c for c in thing.__mro__ if c.__module__.startswith("airflow_provider_fdi.")]
        for method, function in (item for part in ours for item in vars(part).items()):
            if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
                lines.append(f"```text\n{signature(method, function)}\n```\n\n{text_of(function)}\n")
    return "\n".join(lines)


def properties(thing: type) -> Iterator[str]:
    """Public properties that have a docstring."""
    for attribute, value in vars(thing).items():
        getter = value.fget if isinstance(value, property) else getattr(value, "func", None)
        if attribute.startswith("_") or not isinstance(value, (property, cached_property)):
            continue
        if getter is not None and getter.__doc__:
            returned = inspect.signature(getter).return_annotation
            yield f"- `{attribute}: {annotation(returned)}`: {text_of(getter)}"


def signature(name: str, thing: Any) -> str:
    reported = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing)
    shown = []
    keyword_only = False
    for parameter in reported.parameters.values():
        kind = parameter.kind
        if parameter.name == "self" or (kind is parameter.VAR_KEYWORD and inspect.isclass(thing)):
            continue
        if kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        text = ("**" if kind is parameter.VAR_KEYWORD else "") + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {shown_default(parameter.default)}"
        shown.append(text)
    returned = reported.empty if inspect.isclass(thing) else reported.return_annotation
    arrow = "" if returned is reported.empty else f" -> {annotation(returned)}"
    line = f"{name}({', '.join(shown)}){arrow}"
    return line if len(line) <= WIDTH else f"{name}(\n    " + ",\n    ".join(shown) + f",\n){arrow}"


def annotation(reported: Any) -> str:
    """A type as it is written, without the modules' names."""
    text = reported if isinstance(reported, str) else getattr(reported, "__name__", str(reported))
    text = re.sub(r"\b(?:models|transport|dt|typing)\.", "", text)
    return re.sub(r"\bTimeout\b", "float | tuple[float, float]", text)


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
