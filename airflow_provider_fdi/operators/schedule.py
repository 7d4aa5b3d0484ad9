"""Giving FDI tasks a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.times import start_time_ms
from airflow_provider_fdi.exceptions import FdiAlreadyExists, fail_without_retry
from airflow_provider_fdi.links import FdiTaskLink
from airflow_provider_fdi.operators.base import ONE_TASK, TASK_CHECKS, FdiBaseOperator
from airflow_provider_fdi.operators.creation import IF_EXISTS, change_record
from airflow_provider_fdi.validation import choice, if_given, optional, text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

SCHEDULE_KEY = "fdi_schedule"


def _quartz(field: str, value: object) -> str:
    # Deferred: most DAG files have no cron expression for FDI, and importing the operators must stay cheap.
    from airflow_provider_fdi.client.cron import to_quartz

    return to_quartz(value, field=field)


def cron_or_period(cron: object, period: object, dispatch_interval: object, cron_timezone: object) -> None:
    """Either a cron expression with its time zone, or a period with its interval."""
    if cron and period:
        raise FdiArgumentError("cron", cron, f"give this or period, not both\nperiod is {period!r}.")
    if not cron and not period:
        raise FdiArgumentError("cron", cron, "give either cron, or period with dispatch_interval")
    if cron and dispatch_interval is not None:
        rule = "goes with period, not with cron\nRemove it: the cron says how often."
        raise FdiArgumentError("dispatch_interval", dispatch_interval, rule)
    if period and dispatch_interval is None:
        rule = f"is missing\nPeriod {period!r} needs it: how many of them lie between two runs, 1 to 59."
        raise FdiArgumentError("dispatch_interval", None, rule)
    if period and cron_timezone:
        raise FdiArgumentError("cron_timezone", cron_timezone, "goes with cron, not with period")


class FdiCreateScheduleOperator(FdiBaseOperator):
    """Give an FDI task its schedule; returns the schedule's id (``dispatch_id``).

    A task has one schedule. It triggers runs only while the task is started (:class:`FdiBatchOperator`).

    Source: CreateDispatches, ShowDispatches, UpdateDispatches.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param cron: Quartz cron (six fields, seconds 0, 1 = Sunday), five-field Unix cron, or a preset like
        ``@daily``; or, instead,
    :param period: ``MIN``, ``HOUR``, ``DAY``, ``WEEK`` or ``MON``, and
    :param dispatch_interval: how many periods lie between two runs, 1 to 59.
    :param start_time: when the schedule takes effect: a datetime, ISO text, or ms since the epoch.
    :param cron_timezone: time zone of ``cron``, for instance ``GMT+08:00``.
    :param remark: free text.
    :param if_exists: what to do if the task has a schedule: ``update`` it if it differs, ``reuse`` it as it
        is, or ``fail``.

    :raises FdiAlreadyExists: the task has a schedule and ``if_exists="fail"``.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "cron",
        "period",
        "dispatch_interval",
        "start_time",
        "cron_timezone",
        "remark",
        "if_exists",
    )
    _checks = {
        **FdiBaseOperator._checks,
        **TASK_CHECKS,
        "cron": if_given(_quartz),
        "period": if_given(validation.period),
        "dispatch_interval": optional(validation.dispatch_interval),
        "start_time": if_given(start_time_ms),
        "cron_timezone": if_given(text),
        "remark": optional(partial(text, minimum=0)),
        "if_exists": partial(choice, allowed=IF_EXISTS),
    }
    _joint_checks = {**ONE_TASK, ("cron", "period", "dispatch_interval", "cron_timezone"): cron_or_period}
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        cron: str | None = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        start_time: datetime | str | int | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
        if_exists: str = "update",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.cron = cron
        self.period = period
        self.dispatch_interval = dispatch_interval
        self.start_time = start_time
        self.cron_timezone = cron_timezone
        self.remark = remark
        self.if_exists = if_exists
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> str:
        # Deferred: only a task that runs creates anything.
        from airflow_provider_fdi.runs.creation import create_schedule_once, schedule_differences

        plan = self._plan()
        fdi_task_id = self._fdi_task_id()
        client = self.client
        self._push_task_link(context, fdi_task_id)
        existing = client.get_schedule(fdi_task_id)
        try_state, record = change_record(context, SCHEDULE_KEY, fdi_task_id)
        if existing is None:
            try_state.remember(record)
            made = create_schedule_once(
                client, fdi_task_id, plan, on_refusal=lambda: try_state.forget(record)
            )
            self.log.info("Created schedule %s of %s", made.dispatch_id, self._label(fdi_task_id))
            return made.dispatch_id
        differences = schedule_differences(existing, plan)
        if self.if_exists == "fail" and not try_state.remembers(record):
            raise FdiAlreadyExists.because(
                "The task has a schedule already, and if_exists='fail'.",
                f"{self._label(fdi_task_id)}.",
                "Set if_exists to 'update' or 'reuse'.",
                f"Schedule {existing.dispatch_id}.",
            )
        if self.if_exists == "update" and differences:
            for field, (reported, value) in differences.items():
                self.log.info("Schedule %s: %s %r -> %r", existing.dispatch_id, field, reported, value)
            client.update_schedule(fdi_task_id, existing.dispatch_id, **plan)
        else:
            self.log.info("Schedule %s is not changed", existing.dispatch_id)
        return existing.dispatch_id

    def _plan(self) -> dict[str, Any]:
        """The fields of the request."""
        given = self._arguments
        fields = ("cron", "cron_timezone") if given.cron else ("period", "dispatch_interval")
        return {field: getattr(given, field) for field in ("start_time", "remark", *fields)}
