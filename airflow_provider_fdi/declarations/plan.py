"""What has to change so that an instance agrees with the files. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.task_detail import describe_detail, to_json_text
from airflow_provider_fdi.declarations.actual import Actual, ActualTask
from airflow_provider_fdi.declarations.differences import (
    Differences,
    FieldChange,
    differences,
    is_ignored,
    time_text,
)
from airflow_provider_fdi.declarations.ids import Unknown, datasource_named, with_ids
from airflow_provider_fdi.declarations.leaves import leaves
from airflow_provider_fdi.declarations.model import Declarations, Kind, TaskDeclaration
from airflow_provider_fdi.declarations.references import all_references

__all__ = ["Action", "FieldChange", "Plan", "Step", "TaskChange", "make_plan"]

Action = Literal["create", "update", "delete", "none"]
Step = Literal["stop", "create", "update", "mappings", "schedule", "start", "delete"]

IN_PROGRESS = (ExecuteStatus.WAITING, ExecuteStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What is to be done to one task.

    :param steps: the requests, in order; empty if there is a ``problem``
    :param notes: what somebody who decides about the change should know, a sentence each
    :param problem: why the change cannot be made, and what to do; empty if it can. With the action ``none``,
        the task could not even be compared.
    :param secrets: paths of the secrets that are written
    """

    action: Action
    task_name: str
    kind: Kind
    task_id: str | None = None
    fields: tuple[FieldChange, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    secrets: tuple[str, ...] = ()
    file: str = ""
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "action": self.action,
            "task_name": self.task_name,
            "kind": self.kind,
            "task_id": self.task_id,
            "fields": [change.as_dict() for change in self.fields],
            "steps": list(self.steps),
            "notes": list(self.notes),
            "problem": self.problem,
            "secrets": list(self.secrets),
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, in the order in which they are made: creates, updates, deletes.

    :param unchanged: names of the tasks that agree
    :param not_declared: names of the tasks that carry the managed tag, but are in no file; ``prune`` would
        delete them
    :param notes: about tasks that need no change, a sentence each
    """

    changes: tuple[TaskChange, ...] = ()
    unchanged: tuple[str, ...] = ()
    not_declared: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    declarations: Declarations = field(default_factory=Declarations, repr=False)
    actual: Actual = field(default_factory=Actual, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be done, and nothing is in the way."""
        return not self.changes

    @property
    def problems(self) -> tuple[TaskChange, ...]:
        """The changes that cannot be made."""
        return tuple(change for change in self.changes if change.problem)

    def declaration_of(self, change: TaskChange) -> TaskDeclaration | None:
        """What the files say about the task of a change, with ids in place; None for a delete."""
        found = next((task for task in self.declarations.tasks if task.name == change.task_name), None)
        return None if found is None else replace(found, detail=with_ids(found.detail, self.actual))

    def as_dict(self) -> dict[str, Any]:
        """As JSON; without secrets."""
        return {
            "changes": [change.as_dict() for change in self.changes],
            "unchanged": list(self.unchanged),
            "not_declared": list(self.not_declared),
            "notes": list(self.notes),
        }


def make_plan(
    declarations: Declarations, actual: Actual, *, prune: bool = False, write_secrets: bool = False
) -> Plan:
    """What has to change.

    :param prune: delete the tasks that carry the managed tag and are in no file
    :param write_secrets: also write each task that has references to secrets, because a secret has changed

    :raises FdiArgumentError: ``prune`` without a managed tag.
    """
    if prune and not declarations.managed_tag:
        rule = "needs a managed_tag\nSet it in the environment file: only tasks that carry it are deleted."
        raise FdiArgumentError("prune", prune, rule)
    left_over = _left_over(declarations, actual)
    changes: list[TaskChange] = []
    unchanged: list[str] = []
    notes: list[str] = []
    for task in declarations.tasks:
        found = actual.tasks.get(task.name, ())
        change = _change(task, found, declarations, actual, write_secrets)
        if change.action == "create":
            change = _with_rename(change, task, left_over, actual, prune)
        if change.problem or change.steps:
            changes.append(change)
        else:
            unchanged.append(task.name)
            notes += [f"{task.name}: {note}" for note in change.notes]
    if prune:
        changes += [_deletion(task) for task in left_over]
    order = {"create": 0, "none": 1, "update": 1, "delete": 2}
    return Plan(
        tuple(sorted(changes, key=lambda change: order[change.action])),
        tuple(unchanged),
        () if prune else tuple(task.listed.task_name or "" for task in left_over),
        tuple(notes),
        declarations,
        actual,
    )


def _left_over(declarations: Declarations, actual: Actual) -> list[ActualTask]:
    """The tasks that carry the managed tag and are in no file."""
    names = {task.name for task in declarations.tasks}
    return [
        task
        for name, tasks in actual.tasks.items()
        for task in tasks
        if name not in names and declarations.managed_tag and task.listed.task_tag == declarations.managed_tag
    ]


def _change(
    task: TaskDeclaration,
    found: Sequence[ActualTask],
    declarations: Declarations,
    actual: Actual,
    write_secrets: bool,
) -> TaskChange:
    """What is to be done to a declared task; without steps and problem, nothing."""
    change = TaskChange("none", task.name, task.kind, file=task.file, line=task.line)
    if len(found) > 1:
        ids = ", ".join(one.listed.task_id for one in found)
        problem = f"{len(found)} tasks have this name. Rename or delete all but one. Their ids: {ids}."
        return replace(change, problem=problem)
    change = replace(change, task_id=found[0].listed.task_id if found else None)
    try:
        for name in (task.source, task.target):
            datasource_named(name, actual.datasources)
        task = replace(task, detail=with_ids(task.detail, actual))
    except Unknown as unknown:
        return replace(change, problem=str(unknown))
    if not found:
        return _with_secrets(_creation(change, task), task, declarations)
    existing = found[0]
    if (existing.kind == "composite") != (task.kind == "composite"):
        problem = (
            f"FDI has a {existing.kind} task of this name, and does not change kinds. Choose another name."
        )
        return replace(change, problem=problem)
    found_differences = _without_ignored(differences(task, existing, actual), declarations.ignored)
    return _with_secrets(
        _update(change, task, existing, found_differences, write_secrets, declarations), task, declarations
    )


def _creation(change: TaskChange, task: TaskDeclaration) -> TaskChange:
    steps: list[Step] = ["create"]
    fields = [
        FieldChange(name, None, value)
        for name, value in (
            ("kind", task.kind),
            ("source", task.source),
            ("target", task.target),
            ("description", task.description),
            ("tag", task.tag),
        )
        if value
    ]
    moved = describe_detail(to_json_text(task.detail)) if task.detail else None
    if moved:
        fields.append(FieldChange("detail", None, moved))
    if task.mappings is not None:
        fields.append(FieldChange("mappings", None, len(task.mappings)))
    if task.schedule is not None:
        steps.append("schedule")
        plan = task.schedule
        by = plan.cron or f"every {plan.every} {plan.period}"
        fields.append(FieldChange("schedule", None, f"{by} {plan.timezone}" if plan.timezone else by))
        if plan.start_time is not None:
            fields.append(FieldChange("schedule.start", None, time_text(plan.start_time)))
    if task.started:
        steps.append("start")
        fields.append(FieldChange("started", None, True))
    return replace(change, action="create", fields=tuple(fields), steps=tuple(steps))


def _update(
    change: TaskChange,
    task: TaskDeclaration,
    found: ActualTask,
    differs: Differences,
    write_secrets: bool,
    declarations: Declarations,
) -> TaskChange:
    started = found.listed.status == TaskStatus.RUNNING
    writes = bool(differs.task) or (write_secrets and bool(_secret_paths(task)))
    needs_stop = writes or bool(differs.mappings)
    fields = (*differs.task, *differs.mappings, *differs.schedule, *differs.started)
    notes = list(_notes(task, found, declarations))
    change = replace(change, action="update", fields=fields)
    moved = [one for one in differs.task if one.path in ("source", "target")]
    if task.kind == "composite" and moved:
        problem = "FDI does not change the data sources of a composite task. Give it another name."
        return replace(change, problem=problem)
    if writes and differs.missing_secrets:
        places = ", ".join(differs.missing_secrets)
        problem = f"FDI has secrets that the file lacks, and the change would erase them: {places}. Write a"
        return replace(change, problem=f"{problem} reference such as ${{NAME}} there.")
    if started and needs_stop and task.started is None:
        problem = "It must be stopped for this, and the file does not say whether it is to be started again."
        return replace(change, problem=f"{problem} Write started: true or started: false.")
    steps: list[Step] = []
    if started and (needs_stop or task.started is False):
        steps.append("stop")
    if writes:
        steps.append("update")
    if differs.mappings:
        steps.append("mappings")
    if differs.schedule:
        steps.append("schedule")
    if task.started and (not started or "stop" in steps):
        steps.append("start")
    if "stop" in steps and "start" in steps:
        notes.append("It is stopped for the change and started again.")
    if steps and found.listed.execute_status in IN_PROGRESS and (needs_stop or "stop" in steps):
        notes.append("A run is in progress: it is changed only when that has ended, or with interrupt.")
    return replace(change, steps=tuple(steps), notes=tuple(notes))


def _notes(task: TaskDeclaration, found: ActualTask, declarations: Declarations) -> Iterable[str]:
    tag = declarations.managed_tag
    if tag and found.listed.task_tag != tag:
        yield f"It was not made by these files: from now on it is theirs, with the tag {tag}."
    if task.schedule is None and found.schedule is not None:
        yield "It has a schedule, and FDI cannot delete one. Declare it, or leave the task stopped."


def _with_secrets(change: TaskChange, task: TaskDeclaration, declarations: Declarations) -> TaskChange:
    """The change with the secrets that it writes; a problem if one of them is not known."""
    if change.problem or not {"create", "update"} & {*change.steps}:
        return change
    missing = sorted({name for name in all_references(task.detail) if name not in declarations.variables})
    if missing:
        names = ", ".join(missing)
        problem = f"The task is written with secrets that are not set: {names}. Set these variables."
        return replace(change, steps=(), problem=problem)
    return replace(change, secrets=_secret_paths(task))


def _secret_paths(task: TaskDeclaration) -> tuple[str, ...]:
    found = leaves(task.detail, "detail", template=True).values()
    return tuple(leaf.place for leaf in found if leaf.is_secret)


def _without_ignored(found: Differences, ignored: Sequence[str]) -> Differences:
    if not ignored:
        return found

    def kept(changes: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        return tuple(change for change in changes if not is_ignored(change.path, ignored))

    return Differences(
        kept(found.task),
        kept(found.mappings),
        kept(found.schedule),
        kept(found.started),
        found.missing_secrets,
    )


# Deleting and renaming


def _deletion(task: ActualTask) -> TaskChange:
    started = task.listed.status == TaskStatus.RUNNING
    notes = ("A run is in progress: it is deleted only when that has ended, or with interrupt.",)
    return TaskChange(
        "delete",
        task.listed.task_name or "",
        task.kind,
        task.listed.task_id,
        steps=("stop", "delete") if started else ("delete",),
        notes=notes if task.listed.execute_status in IN_PROGRESS else (),
    )


def _with_rename(
    change: TaskChange, task: TaskDeclaration, left_over: Sequence[ActualTask], actual: Actual, prune: bool
) -> TaskChange:
    """A create that may be a rename says so: a task of the managed tag agrees in all but its name."""
    for old in left_over:
        if old.shown is None or old.kind != task.kind:
            continue
        try:
            differs = differences(replace(task, detail=with_ids(task.detail, actual)), old, actual)
        except Unknown:
            continue
        if not differs.task and not differs.mappings:
            what = "is deleted" if prune else "stays, because prune is not set"
            name = old.listed.task_name
            note = f"It looks like {name} under a new name. A new task is made, without the old one's runs;"
            return replace(change, notes=(*change.notes, f"{note} {name} {what}."))
    return change
