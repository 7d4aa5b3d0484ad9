"""Carrying out a plan, one change at a time. Each can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.declarations.plan import Plan, Step, TaskChange


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a change: the steps that were done, and why the others were not (empty: all were)."""

    change: TaskChange
    done: tuple[Step, ...] = ()
    failure: str = ""


def apply_plan(
    client: FdiClient,
    plan: Plan,
    *,
    interrupt: bool = False,
    on_change: Callable[[Applied], None] | None = None,
) -> tuple[Applied, ...]:
    """Make the changes of a plan; goes on after a failure, which is in the result.

    Killed at any moment, it has left nothing that a new plan would not put right.

    :param interrupt: also stop tasks whose run is in progress (a started real-time or composite task always
        has one)
    :param on_change: called after each change
    """
    raise NotImplementedError
