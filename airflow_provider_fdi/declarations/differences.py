"""Where a task of the instance differs from its declaration, field by field. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_fdi.client.enums import TaskStatus
from airflow_provider_fdi.client.models import Schedule, TableMapping
from airflow_provider_fdi.declarations.actual import Actual, ActualTask
from airflow_provider_fdi.declarations.leaves import (
    Leaf,
    leaves,
    mean_the_same,
    secrets_missing,
    without_services_own,
)
from airflow_provider_fdi.declarations.leaves import Path as LeafPath
from airflow_provider_fdi.declarations.model import ScheduleDeclaration, TaskDeclaration
from airflow_provider_fdi.runs.creation import schedule_differences

COLUMN_LISTS = ("source_columns", "target_columns", "mapping_columns")

_SCHEDULE_PATHS = {
    "cron": "schedule.cron",
    "cron_timezone": "schedule.timezone",
    "period": "schedule.period",
    "dispatch_interval": "schedule.every",
    "start_time": "schedule.start",
    "remark": "schedule.remark",
    "use_quartz_cron": "schedule",
}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs: its path in the file, what FDI has, and what the file says (None: nothing).

    A secret is never in it: it reads ``***``.
    """

    path: str
    actual: Any
    declared: Any

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"path": self.path, "actual": self.actual, "declared": self.declared}


@dataclass(frozen=True, slots=True)
class Differences:
    """Where a task differs, by what it takes to change it.

    :param task: fields that UpdateTask or UpdateMultiTasks writes
    :param missing_secrets: places of the secrets that FDI has and the files do not
    """

    task: tuple[FieldChange, ...] = ()
    mappings: tuple[FieldChange, ...] = ()
    schedule: tuple[FieldChange, ...] = ()
    started: tuple[FieldChange, ...] = ()
    missing_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingChanges:
    """What is to be done to the mappings of a composite task."""

    create: tuple[Mapping[str, Any], ...] = ()
    update: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    delete: tuple[str, ...] = ()


def differences(task: TaskDeclaration, found: ActualTask, actual: Actual) -> Differences:
    """Where ``found`` differs from ``task``, whose names of data sources are replaced by ids already."""
    fields = list(_plain_fields(task, found, actual))
    missing: list[str] = []
    if task.kind != "composite":
        actual_detail, declared_detail = _details(task, found, actual)
        fields += _leaf_changes(actual_detail, declared_detail)
        missing = secrets_missing(actual_detail, task.detail)
    started = found.listed.status == TaskStatus.RUNNING
    return Differences(
        tuple(fields),
        tuple(_mapping_fields(task, found.mappings)) if task.mappings is not None else (),
        tuple(_schedule_fields(task.schedule, found.schedule, _shows_timezones(actual))),
        (FieldChange("started", started, task.started),) if task.started not in (None, started) else (),
        tuple(missing),
    )


def is_ignored(path: str, ignored: Sequence[str]) -> bool:
    """Whether a path is one of ``ignored``, in which ``*`` stands for any text, or below one of them."""
    patterns = (".*".join(map(re.escape, one.split("*"))) for one in ignored)
    return any(re.fullmatch(rf"{pattern}(?:[.\[].*)?", path) for pattern in patterns)


# What UpdateTask writes


def _plain_fields(task: TaskDeclaration, found: ActualTask, actual: Actual) -> Iterator[FieldChange]:
    shown = found.shown or found.listed
    if found.kind != task.kind:
        yield FieldChange("kind", found.kind, task.kind)
    for side, declared in (("source", task.source), ("target", task.target)):
        known = getattr(shown, f"{side}_datasource_id")
        name = actual.datasource_name(known) or getattr(shown, f"{side}_datasource_name") or known
        # Of a composite task without mappings FDI may not say it.
        if name and name != declared:
            yield FieldChange(side, name, declared)
    for field, declared in (("description", task.description), ("tag", task.tag)):
        value = (shown.description if field == "description" else shown.task_tag) or ""
        if value != declared:
            yield FieldChange(field, value or None, declared or None)


def _details(
    task: TaskDeclaration, found: ActualTask, actual: Actual
) -> tuple[dict[LeafPath, Leaf], dict[LeafPath, Leaf]]:
    """What the two sides' ``task_detail`` say."""
    shown = found.shown or found.listed
    declared = leaves(task.detail, "detail", template=True)
    ids = frozenset(
        text
        for text in (
            actual.instance_id,
            shown.project_id,
            shown.task_id,
            shown.source_datasource_id,
            shown.target_datasource_id,
            shown.source_app_id,
            shown.target_app_id,
        )
        if text
    )
    return without_services_own(leaves(detail_of(found), "detail"), declared, ids), declared


def detail_of(found: ActualTask) -> Any:
    """The ``task_detail`` of a task as JSON; its text where it is none."""
    text = (found.shown.task_detail if found.shown else None) or ""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _leaf_changes(
    actual: Mapping[LeafPath, Leaf], declared: Mapping[LeafPath, Leaf]
) -> Iterator[FieldChange]:
    """The leaves that differ, in the order of the files, then of FDI."""
    for path in {**declared, **actual}:
        left, right = actual.get(path), declared.get(path)
        if mean_the_same(path, left, right):
            continue
        yield FieldChange(
            (right or left or Leaf("", None)).place,
            left.value if left else None,
            right.value if right else None,
        )


# Schedules


def _shows_timezones(actual: Actual) -> bool:
    """Whether this version of the service answers with the time zones of schedules."""
    every = (task.schedule for tasks in actual.tasks.values() for task in tasks)
    return any(schedule is not None and schedule.cron_timezone for schedule in every)


def _schedule_fields(
    declared: ScheduleDeclaration | None, found: Schedule | None, shows_timezones: bool
) -> Iterator[FieldChange]:
    if declared is None:
        return
    fields = declared.fields()
    if found is None:
        for name, value in fields.items():
            if value is not None:
                yield FieldChange(_SCHEDULE_PATHS[name], None, _shown(name, value))
        return
    wanted = {**fields, "cron_timezone": declared.timezone if shows_timezones else None}
    changed = schedule_differences(found, wanted)
    # Nothing is meant too where it can be told from what the service adds by itself.
    for name in ("remark", "cron_timezone"):
        if fields[name] is None and getattr(found, name):
            changed[name] = (getattr(found, name), None)
    if len(changed) > 1:
        changed.pop("use_quartz_cron", None)
    for name, (reported, value) in changed.items():
        yield FieldChange(_SCHEDULE_PATHS[name], _shown(name, reported), _shown(name, value))


def _shown(field: str, value: Any) -> Any:
    """A value of a schedule as a file has it."""
    if field == "use_quartz_cron":
        return "by cron" if value else "by interval"
    return time_text(value) if field == "start_time" and value is not None else value


def time_text(ms: int) -> str:
    """Epoch milliseconds as ISO text that is read as the same."""
    moment = datetime.fromtimestamp(ms // 1000, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{ms % 1000:03d}Z" if ms % 1000 else f"{moment}Z"


# Mappings of composite tasks


def mapping_name(source_table: object, target_table: object) -> str:
    """How a mapping is called."""
    return f"{source_table} -> {target_table}"


def actual_columns(mapping: TableMapping) -> dict[str, list[Any]]:
    """The lists of columns of a mapping that are not empty."""
    raw = mapping.raw
    pairs = raw.get("mapping") if raw.get("mapping") is not None else raw.get("mapping_columns")
    lists = {**{name: raw.get(name) for name in COLUMN_LISTS}, "mapping_columns": pairs}
    return {name: rows for name, rows in lists.items() if isinstance(rows, list) and rows}


def _mapping_differs(declared: Mapping[str, Any], found: TableMapping) -> list[FieldChange]:
    """Where a mapping differs; lists of columns that the file leaves out are FDI's business."""
    name = f"mappings[{mapping_name(found.source_table, found.target_table)}]"
    columns = actual_columns(found)
    changes: list[FieldChange] = []
    for key in COLUMN_LISTS:
        if key in declared:
            left, right = (
                leaves(columns.get(key) or [], f"{name}.{key}"),
                leaves(declared[key], f"{name}.{key}"),
            )
            changes += _leaf_changes(left, right)
    return changes


def _mapping_fields(task: TaskDeclaration, found: Sequence[TableMapping]) -> Iterator[FieldChange]:
    by_name = {mapping_name(row.source_table, row.target_table): row for row in found}
    for declared in task.mappings or ():
        name = mapping_name(declared["source_table"], declared["target_table"])
        existing = by_name.pop(name, None)
        if existing is None:
            yield FieldChange(f"mappings[{name}]", None, "mapped")
        else:
            yield from _mapping_differs(declared, existing)
    for name in by_name:
        yield FieldChange(f"mappings[{name}]", "mapped", None)


def mapping_changes(task: TaskDeclaration, found: Sequence[TableMapping]) -> MappingChanges:
    """What makes the mappings of a composite task those that the file declares."""
    by_name = {mapping_name(row.source_table, row.target_table): row for row in found}
    create: list[Mapping[str, Any]] = []
    update: list[tuple[str, Mapping[str, Any]]] = []
    for declared in task.mappings or ():
        existing = by_name.pop(mapping_name(declared["source_table"], declared["target_table"]), None)
        if existing is None:
            create.append(declared)
        elif existing.mapping_id and _mapping_differs(declared, existing):
            update.append((existing.mapping_id, declared))
    gone = tuple(row.mapping_id for row in by_name.values() if row.mapping_id)
    return MappingChanges(tuple(create), tuple(update), gone)
