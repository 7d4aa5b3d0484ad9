"""Turning what pydantic and the checks of values say into problems that name a line of a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.declarations import schema
from airflow_provider_fdi.declarations.model import Problem
from airflow_provider_fdi.declarations.text import Document, Path
from airflow_provider_fdi.validation import nearest

_MODELS: dict[str, type[BaseModel]] = {
    "": schema.File,
    "tasks": schema.Task,
    "schedule": schema.Schedule,
    "table_to_table": schema.TableToTable,
    "columns": schema.Column,
    "target_columns": schema.Column,
    "mappings": schema.TableMapping,
    "environment": schema.Environment,
}
"""The model of what stands under each key."""

_MEANT = {
    "type": "kind",
    "task_type": "kind",
    "task_name": "name",
    "task_tag": "tag",
    "tags": "tag",
    "task_detail": "detail",
    "cron_timezone": "timezone",
    "tz": "timezone",
    "interval": "every",
    "dispatch_interval": "every",
    "start_time": "start",
    "start_datetime": "start",
    "unit": "period",
    "source_datasource": "source",
    "source_datasource_id": "source",
    "target_datasource": "target",
    "target_datasource_id": "target",
    "table_mappings": "mappings",
    "status": "started",
    "enabled": "started",
    "table": "source_table",
    "field_name": "name",
    "field_type": "type",
    "field_length": "length",
    "vars": "variables",
    "env": "environment",
    "task": "tasks",
}
"""What FDI's own names, and other likely words, are called in the files."""


def field_name(path: Path) -> str:
    """A path as people write it: ``tasks[0].schedule.cron``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def problem(file: str, document: Document, path: Path, rule: str, suggestion: str = "") -> Problem:
    """A problem at ``path``. What a rule says after its first line is a suggestion."""
    first, _, more = rule.partition("\n")
    words = " ".join(filter(None, (more.replace("\n", " "), suggestion)))
    return Problem(file, document.line(path), field_name(path), first.rstrip("."), words)


def problems_of(error: ValidationError, file: str, document: Document, at: Path = ()) -> Iterable[Problem]:
    """The problems that pydantic found in what stands at ``at``."""
    for found in error.errors(include_url=False):
        path = (*at, *found["loc"])
        yield problem(file, document, path, *_said(found, path))


def _said(found: Any, path: Path) -> tuple[str, str]:
    """Rule and suggestion."""
    kind, given = found["type"], found["input"]
    refused = found.get("ctx", {}).get("error")
    if isinstance(refused, FdiArgumentError):
        return refused.rule, ""
    if kind == "missing":
        return "is missing", ""
    if kind == "extra_forbidden":
        return "is not a known field", _meant_field(path)
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in found["ctx"]["expected"].replace(" or ", ",").split(",")]
        meant = nearest(given, allowed)
        return f"must be one of {', '.join(allowed)}", f"Did you mean {meant!r}?" if meant else ""
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"must have fields, is {_kind(given)}", ""
    if kind == "list_type":
        return f"must be a list, is {_kind(given)}", "Write each item after '- '."
    if kind == "too_short":
        return "must not be empty", ""
    return str(found["msg"]), ""


def _kind(value: Any) -> str:
    words = {list: "a list", dict: "an object", str: "text", bool: "true or false", type(None): "empty"}
    return words.get(type(value), "a number")


def _meant_field(path: Path) -> str:
    keys = [step for step in path[:-1] if isinstance(step, str)]
    model = _MODELS.get(keys[-1] if keys else "")
    known = list(model.model_fields) if model else []
    written = str(path[-1])
    meant = _MEANT.get(written) if _MEANT.get(written) in known else nearest(written, known)
    return f"Did you mean {meant!r}?" if meant else f"Known are {', '.join(known)}."
