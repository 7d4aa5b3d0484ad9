"""Carrying out a plan, one change at a time. Each can be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.enums import TaskStatus
from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConflictError,
    FdiError,
    FdiProtocolError,
    said_with_code,
    task_label,
)
from airflow_provider_fdi.client.models import Task
from airflow_provider_fdi.client.names import find_task
from airflow_provider_fdi.declarations.actual import ActualTask
from airflow_provider_fdi.declarations.differences import mapping_changes, mapping_name
from airflow_provider_fdi.declarations.ids import datasource_named
from airflow_provider_fdi.declarations.model import TaskDeclaration
from airflow_provider_fdi.declarations.plan import IN_PROGRESS, Plan, Step, TaskChange
from airflow_provider_fdi.declarations.references import substitute_all
from airflow_provider_fdi.exceptions import FdiBatchFailed, FdiTaskBusy, FdiTaskFailure
from airflow_provider_fdi.runs.creation import create_schedule_once, create_task_once
from airflow_provider_fdi.runs.polling import poll_until, task_state
from airflow_provider_fdi.status import STOP_TIMEOUT, still_to_do, stop_and_wait


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
    results: list[Applied] = []
    refused = ""
    for change in plan.changes:
        applied = Applied(change, failure=refused or change.problem)
        if not applied.failure:
            done: list[Step] = []
            try:
                _Change(client, plan, change, interrupt, done).apply()
                applied = replace(applied, done=tuple(done))
            except (FdiError, FdiTaskFailure) as error:
                applied = replace(applied, done=tuple(done), failure=str(error))
                if isinstance(error, FdiAuthError):
                    # Each further request would be refused too, and too many lock an access key.
                    refused = f"Not tried: {error.brief}."
        results.append(applied)
        if on_change is not None:
            on_change(applied)
    return tuple(results)


@dataclass
class _Change:
    """One change on its way."""

    client: FdiClient
    plan: Plan
    change: TaskChange
    interrupt: bool
    done: list[Step]

    def __post_init__(self) -> None:
        declared = self.plan.declaration_of(self.change)
        self.task_id = self.change.task_id or ""
        self.task: TaskDeclaration | None = declared

    def apply(self) -> None:
        """All steps, one after the other. Raises FdiError or FdiTaskFailure."""
        if self.change.action != "create":
            self._check_state()
        for step in self.change.steps:
            getattr(self, f"_{step}")()
            self.done.append(step)

    def _check_state(self) -> None:
        """Refuse if the task is not any more what the plan was made for, or if a run is in progress."""
        change = self.change
        label = task_label(self.task_id, change.task_name)
        now, _ = task_state(self.client, self.task_id)
        if now is None or now.task_name != change.task_name:
            raise FdiTaskBusy.because("The task is gone since the plan was made.", f"{label}.", "Plan again.")
        tag = self.plan.declarations.managed_tag
        if change.action == "delete" and (not tag or now.task_tag != tag):
            raise FdiTaskBusy.because(
                "The task does not carry the managed tag any more.", f"{label}.", "Plan again."
            )
        started = now.status == TaskStatus.RUNNING
        touched = {"stop", "update", "mappings", "delete"} & {*change.steps}
        if started and touched and "stop" not in change.steps:
            raise FdiTaskBusy.because(
                "The task was started since the plan was made.", f"{label}.", "Plan again."
            )
        if touched and now.execute_status in IN_PROGRESS:
            self._end_run(now)

    def _stop_unless_running(self) -> None:
        now, _ = task_state(self.client, self.task_id)
        if now is not None and now.execute_status in IN_PROGRESS:
            self._end_run(now)
        self._stop()

    def _end_run(self, now: Task) -> None:
        label = task_label(self.task_id, self.change.task_name)
        if not self.interrupt:
            raise FdiTaskBusy.because(
                "A run is in progress, and interrupt is not set.",
                f"{label}.",
                "Wait until it has ended, or set interrupt, which ends it.",
            )
        if now.status == TaskStatus.RUNNING:
            stop_and_wait(self.client, self.task_id, self.change.task_name)
            now = task_state(self.client, self.task_id)[0] or now
        if now.execute_status in IN_PROGRESS:
            try:
                self.client.terminate_task(self.task_id, resend=False)
            except FdiError as error:
                # It may have ended by itself in between.
                if not isinstance(error, FdiConflictError) and not error.ambiguous:
                    raise
            self._wait_for_end(label)

    def _wait_for_end(self, label: str) -> None:
        def ended() -> bool | None:
            now, _ = task_state(self.client, self.task_id)
            return None if now is not None and now.execute_status in IN_PROGRESS else True

        until = time.monotonic() + STOP_TIMEOUT
        if not poll_until(
            ended, poll_interval=1.0, poll_failure_timeout=STOP_TIMEOUT / 2, until=until, poll_first=True
        ):
            raise FdiTaskBusy.because(
                f"The run has not ended {STOP_TIMEOUT:g} s after its termination.", f"{label}.", "Plan again."
            )

    # Steps

    def _stop(self) -> None:
        now, _ = task_state(self.client, self.task_id)
        if now is None or now.status == TaskStatus.RUNNING:
            stop_and_wait(self.client, self.task_id, self.change.task_name)

    def _start(self) -> None:
        failed = still_to_do(self.client, self.client.start_tasks([self.task_id]).failed, "start")
        if failed:
            item = failed[0]
            raise FdiBatchFailed.because(
                f"{said_with_code(item.error_code, item.error_msg)}.",
                f"{task_label(self.task_id, self.change.task_name)} is left stopped.",
            )

    def _create(self) -> None:
        task = self._declared()
        if self._find(task.name) is not None:
            raise FdiTaskBusy.because(
                "A task of this name appeared since the plan was made.",
                f"{task_label('', task.name)}.",
                "Plan again.",
            )
        make = self._composite_maker(task) if task.kind == "composite" else self._common_maker(task)
        self.task_id = create_task_once(self._find, task.name, make)

    def _common_maker(self, task: TaskDeclaration) -> Callable[[], str | None]:
        fields = self._fields(task)

        def create() -> str | None:
            made = self.client.create_task(**fields)
            return None if made is None else made.task_id

        return create

    def _composite_maker(self, task: TaskDeclaration) -> Callable[[], str | None]:
        """What makes a composite task; called again, it repeats only its last request.

        The task appears with that one. Killed before, it has left nothing but an id that is not used.
        """
        sides: dict[str, Any] = self._sides(task)
        found = self.client.init_composite_task(
            **sides, auto_mapping=task.auto_mapping, server_id=task.server_id
        )
        if not found:
            raise FdiProtocolError(
                "The service did not say the id of the task to be.", operation="init_composite_task"
            )
        prepared = found[0].task_id
        # A mapping may be there already, because FDI made it.
        changes = mapping_changes(task, found[0].mappings)
        for mapping in changes.create:
            self._create_mapping(prepared, task, mapping)
        for mapping_id, mapping in changes.update:
            self.client.update_mapping(
                prepared, mapping_id, **sides, server_id=task.server_id, **dict(mapping)
            )

        def create() -> str | None:
            made = self.client.create_composite_task(
                task_name=task.name,
                operation_types=task.operation_types,
                task_id=prepared,
                description=task.description or None,
                task_tag=task.tag or None,
            )
            return made or prepared

        return create

    def _update(self) -> None:
        task = self._declared()
        if task.kind == "composite":
            self.client.update_composite_task(
                self.task_id,
                operation_types=task.operation_types,
                repulling_snapshot=False,
                description=task.description,
                task_tag=task.tag,
            )
        else:
            self.client.update_task(self.task_id, **self._fields(task))

    def _mappings(self) -> None:
        task = self._declared()
        common: dict[str, Any] = {**self._sides(task), "server_id": task.server_id}
        changes = mapping_changes(task, self._existing().mappings)
        for mapping_id in changes.delete:
            self.client.delete_mapping(self.task_id, mapping_id)
        for mapping_id, mapping in changes.update:
            self.client.update_mapping(self.task_id, mapping_id, **common, **dict(mapping))
        for mapping in changes.create:
            self._create_mapping(self.task_id, task, mapping)

    def _create_mapping(self, task_id: str, task: TaskDeclaration, mapping: Any) -> None:
        try:
            self.client.create_mapping(task_id, **{**self._sides(task), **mapping}, server_id=task.server_id)
        except FdiError as error:
            if not error.ambiguous:
                raise
            wanted = mapping_name(mapping["source_table"], mapping["target_table"])
            rows = self.client.list_mappings(task_id)
            if wanted not in (mapping_name(row.source_table, row.target_table) for row in rows):
                raise

    def _schedule(self) -> None:
        task = self._declared()
        assert task.schedule is not None
        fields = task.schedule.fields()
        if self.change.action == "create":
            create_schedule_once(self.client, self.task_id, fields)
            return
        existing = self._existing().schedule or self.client.get_schedule(self.task_id)
        if existing is None:
            create_schedule_once(self.client, self.task_id, fields)
            return
        try:
            self.client.update_schedule(self.task_id, existing.dispatch_id, **fields)
        except FdiConflictError:
            # Not documented: FDI may want the task to be stopped for this too.
            if not task.started or "stop" in self.change.steps:
                raise
            self._stop_unless_running()
            self.client.update_schedule(self.task_id, existing.dispatch_id, **fields)
            self._start()

    def _delete(self) -> None:
        self.client.delete_task(self.task_id)

    # What the steps need

    def _declared(self) -> TaskDeclaration:
        assert self.task is not None
        return self.task

    def _existing(self) -> ActualTask:
        return self.plan.actual.tasks[self.change.task_name][0]

    def _find(self, name: str) -> Task | None:
        return find_task(self.client, name)

    def _sides(self, task: TaskDeclaration) -> dict[str, str]:
        known = self.plan.actual.datasources
        return {
            "source_datasource_id": datasource_named(task.source, known).datasource_id,
            "target_datasource_id": datasource_named(task.target, known).datasource_id,
        }

    def _fields(self, task: TaskDeclaration) -> dict[str, Any]:
        """The fields of CreateCommonTask and UpdateTask, with the secrets in place."""
        variables = self.plan.declarations.variables
        return {
            "task_name": task.name,
            "task_type": task.kind.upper(),
            **self._sides(task),
            "task_detail": substitute_all(task.detail, variables.__getitem__),
            "description": task.description or None,
            "task_tag": task.tag or None,
        }
