"""What the files declare, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["timing", "realtime", "composite"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is, the rule that is broken, and what may have been meant.

    ``field`` is a path such as ``tasks[3].schedule.cron``; ``line`` counts from 1 and is None where the file
    has no lines to show, for example because it cannot be read.
    """

    file: str
    line: int | None
    field: str
    rule: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{place}: {self.field}: {self.rule}" if self.field else f"{place}: {self.rule}"
        return f"{text}. {self.suggestion}" if self.suggestion else text


@dataclass(frozen=True, slots=True)
class ScheduleDeclaration:
    """When a scheduled task runs: by ``cron`` (as FDI writes it), or ``every`` so many of ``period``."""

    cron: str | None = None
    timezone: str | None = None
    period: str | None = None
    every: int | None = None
    start_time: int | None = None
    remark: str | None = None

    def fields(self) -> dict[str, Any]:
        """The arguments of ``create_schedule`` and ``update_schedule``."""
        return {
            "cron": self.cron,
            "cron_timezone": self.timezone,
            "period": self.period,
            "dispatch_interval": self.every,
            "start_time": self.start_time,
            "remark": self.remark,
        }


@dataclass(frozen=True, slots=True)
class TaskDeclaration:
    """One task as a file declares it.

    ``detail`` (kinds ``timing`` and ``realtime``) may hold references such as ``${NAME}`` where a secret
    belongs and ``${datasource:NAME}`` where an id belongs; all others are replaced already. ``mappings`` is
    None if the file leaves a composite task's mappings to FDI, ``started`` if it does not say.
    """

    name: str
    kind: Kind
    source: str
    target: str
    description: str = ""
    tag: str = ""
    detail: Mapping[str, Any] | None = field(default=None, repr=False)
    mappings: tuple[Mapping[str, Any], ...] | None = None
    operation_types: tuple[str, ...] = ()
    server_id: str | None = None
    auto_mapping: bool = False
    schedule: ScheduleDeclaration | None = None
    started: bool | None = None
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Declarations:
    """All that the files declare, in their order.

    :param managed_tag: the tag of all these tasks; only tasks that carry it are ever deleted
    :param ignored: paths in a task that are never compared, for example ``detail.needAPI``
    :param variables: what ``${NAME}`` stands for; it holds secrets, so it is not in the repr
    """

    tasks: tuple[TaskDeclaration, ...] = ()
    managed_tag: str | None = None
    ignored: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
