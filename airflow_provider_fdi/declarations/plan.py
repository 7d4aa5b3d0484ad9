"""What has to change so that an instance agrees with the files. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_fdi.declarations.actual import Actual
from airflow_provider_fdi.declarations.model import Declarations, Kind, TaskDeclaration

Action = Literal["create", "update", "delete", "none"]
Step = Literal["stop", "create", "update", "mappings", "schedule", "start", "delete"]


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
        raise NotImplementedError


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
        """What the files say about the task of a change; None for a delete."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """As JSON; without secrets."""
        raise NotImplementedError


def make_plan(
    declarations: Declarations, actual: Actual, *, prune: bool = False, write_secrets: bool = False
) -> Plan:
    """What has to change.

    :param prune: delete the tasks that carry the managed tag and are in no file
    :param write_secrets: also write each task that has references to secrets, because a secret has changed
    """
    raise NotImplementedError
