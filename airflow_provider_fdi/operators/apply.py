"""Making an instance agree with files that declare its tasks."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError
from airflow_provider_fdi.exceptions import (
    FdiApplyFailed,
    FdiApplyRefused,
    FdiDriftFound,
    fail_without_retry,
)
from airflow_provider_fdi.operators.base import FdiBaseOperator
from airflow_provider_fdi.validation import boolean, choice, not_rendered_none, text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.declarations.apply import Applied
    from airflow_provider_fdi.declarations.plan import Plan

ON_DRIFT = ("fail", "warn")
PLAN_KEY = "plan"
"""The key of the plan's XCom."""


def _path(field: str, value: object) -> str:
    not_rendered_none(field, value)
    path = text(field, value, maximum=4096)
    if not path.strip():
        raise FdiArgumentError(field, value, "must not be empty")
    return path


def _paths(field: str, value: object) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return [_path(field, value)]
    if not value:
        raise FdiArgumentError(field, value, "must not be empty")
    return [_path(f"{field}[{index}]", path) for index, path in enumerate(value)]


def _variables(field: str, value: object) -> dict[str, str]:
    # Not one of the values is shown: they may be secrets.
    if isinstance(value, str):
        not_rendered_none(field, value)
        try:
            value = json.loads(value)
        except ValueError:
            raise FdiArgumentError(field, HIDDEN, "is text, but not JSON\nGive a dict.") from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise FdiArgumentError(field, HIDDEN, f"must be a dict, is of type {type(value).__name__}")
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            rule = f"must be a dict of texts\nThat of {name!r} is of type {type(content).__name__}."
            raise FdiArgumentError(field, HIDDEN, rule)
    return dict(value)


class FdiApplyOperator(FdiBaseOperator):
    """Make the tasks of an instance what files declare them to be; returns what was changed.

    The files are those of ``airflow fdi plan`` and ``airflow fdi apply``. The plan is in the log and, without
    secrets, in the XCom ``plan``. What is as declared is not written, so that a retry goes on with what is
    left.

    Source: ListTasks, ListDatasources, ShowTask, ShowDispatches; whatever the changes need.

    :param path: a file or folder, or a list of such, among them the environment file. A relative path begins
        at the folder of the DAG file.
    :param variables: what ``${NAME}`` in the files stands for; goes before the environment file and the
        variables of the worker's process. Values under secret-named keys are masked.
    :param prune: delete the tasks that carry the managed tag of the environment file and are in no file.
    :param plan_only: change nothing; see ``on_drift``.
    :param on_drift: with ``plan_only``, if the instance is not as declared: ``fail``, or ``warn`` in the log.
    :param interrupt: also stop tasks whose run is in progress, where FDI demands that.
    :param write_secrets: also write the tasks that have secrets, because one may have changed.

    Returns ``{"created": […], "updated": […], "deleted": […], "unchanged": 30}``, with names of tasks; with
    ``plan_only`` nothing was changed yet.

    :raises FdiDeclarationError: files are wrong; names every mistake. No retry.
    :raises FdiDriftFound: ``plan_only``, and the instance is not as declared. No retry.
    :raises FdiApplyFailed: some changes failed; a retry makes those.
    :raises FdiApplyRefused: some changes cannot be made as they are declared, all others were. No retry.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "path",
        "variables",
        "prune",
        "plan_only",
        "on_drift",
        "interrupt",
        "write_secrets",
    )
    template_fields_renderers = {"variables": "json"}
    fields_with_secrets = ("variables",)
    _checks = {
        **FdiBaseOperator._checks,
        "path": _paths,
        "variables": _variables,
        "prune": boolean,
        "plan_only": boolean,
        "on_drift": partial(choice, allowed=ON_DRIFT),
        "interrupt": boolean,
        "write_secrets": boolean,
    }

    def __init__(
        self,
        *,
        path: str | Sequence[str],
        variables: Mapping[str, str] | None = None,
        prune: bool = False,
        plan_only: bool = False,
        on_drift: str = "fail",
        interrupt: bool = False,
        write_secrets: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.variables = variables
        self.prune = prune
        self.plan_only = plan_only
        self.on_drift = on_drift
        self.interrupt = interrupt
        self.write_secrets = write_secrets
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> dict[str, Any]:
        given = self._arguments
        # Deferred: loads pydantic and yaml.
        from airflow_provider_fdi.declarations.actual import read_actual
        from airflow_provider_fdi.declarations.apply import apply_plan
        from airflow_provider_fdi.declarations.files import load
        from airflow_provider_fdi.declarations.plan import make_plan
        from airflow_provider_fdi.declarations.report import applied_lines, text_of

        declared = load([self._folder() / path for path in given.path], given.variables)
        actual = read_actual(self.client, declared)
        plan = make_plan(declared, actual, prune=given.prune, write_secrets=given.write_secrets)
        context["ti"].xcom_push(key=PLAN_KEY, value=plan.as_dict())
        drift = given.plan_only and not plan.is_empty
        self._log_plan(plan, logging.WARNING if drift else logging.INFO)
        if drift and given.on_drift == "fail":
            raise _drift(plan)
        if given.plan_only:
            return _result(plan, ())

        def report(applied: Applied) -> None:
            for line in applied_lines(applied):
                self.log.log(logging.ERROR if applied.failure else logging.INFO, "%s", text_of(line))

        result = apply_plan(self.client, plan, interrupt=given.interrupt, on_change=report)
        _raise_for_failures(result)
        return _result(plan, result)

    def _folder(self) -> Path:
        """Where relative paths begin."""
        return Path(self.dag.folder) if self.has_dag() else Path()  # type: ignore[no-untyped-call]

    def _log_plan(self, plan: Plan, level: int) -> None:
        # Deferred, as in execute().
        from airflow_provider_fdi.declarations.report import plan_lines, text_of

        for line in plan_lines(plan):
            self.log.log(level, "%s", text_of(line))


def _drift(plan: Plan) -> FdiDriftFound:
    count = f"{len(plan.changes):,} task{' is' if len(plan.changes) == 1 else 's are'}"
    names = ", ".join(change.task_name for change in plan.changes[:20])
    more = ", …" if len(plan.changes) > 20 else ""
    return FdiDriftFound.because(
        f"{count} not as declared.",
        f"{names}{more}.",
        "The plan, field by field, is in the log above and in the XCom 'plan'.",
        "Without plan_only, it is carried out.",
    )


def _raise_for_failures(result: Sequence[Applied]) -> None:
    failed = [applied for applied in result if applied.failure]
    if not failed:
        return
    refused = all(applied.change.problem for applied in failed)
    failure: type[FdiApplyFailed] = FdiApplyRefused if refused else FdiApplyFailed
    what = "cannot be made" if refused else "failed"
    first = failed[0].failure.splitlines()[0]
    raise failure.because(
        first,
        f"{len(failed):,} of {len(result):,} changes {what}:",
        *(f"{applied.change.task_name}: {applied.failure.splitlines()[0]}" for applied in failed[:20]),
        *([f"And {len(failed) - 20:,} more, see the log above."] if len(failed) > 20 else []),
    )


def _result(plan: Plan, result: Sequence[Applied]) -> dict[str, Any]:
    names = {
        key: [applied.change.task_name for applied in result if applied.change.action == action]
        for action, key in (("create", "created"), ("update", "updated"), ("delete", "deleted"))
    }
    return {**names, "unchanged": len(plan.unchanged)}
