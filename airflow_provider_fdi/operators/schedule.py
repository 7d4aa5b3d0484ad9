"""Giving FDI tasks a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.errors import FdiArgumentError, FdiError
from airflow_provider_fdi.client.times import start_time_ms
from airflow_provider_fdi.exceptions import FdiAlreadyExists, fail_without_retry
from airflow_provider_fdi.links import FdiTaskLink
from airflow_provider_fdi.operators.base import FdiBaseOperator
from airflow_provider_fdi.operators.creation import IF_EXISTS, change_record
from airflow_provider_fdi.validation import choice, not_rendered_none

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

SCHEDULE_KEY = "fdi_schedule"


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

    @fail_without_retry
    def execute(self, context: Context) -> str:
        plan = self._checked_plan()
        choice("if_exists", self.if_exists, IF_EXISTS)
        fdi_task_id = self._task_id_of(self.fdi_task_id, self.fdi_task_name)
        client = self.client
        self._push_task_link(context, fdi_task_id)
        existing = client.get_schedule(fdi_task_id)
        try_state, record = change_record(context, SCHEDULE_KEY, fdi_task_id)
        if existing is None:
            try_state.remember(record)
            try:
                made = client.create_schedule(fdi_task_id, **plan)
                self.log.info("Created schedule %s of %s", made.dispatch_id, self._label(fdi_task_id))
                return made.dispatch_id
            except FdiError as error:
                if not error.ambiguous:
                    try_state.forget(record)
                    raise
                # A task has one schedule: if it has one now, it is the one we sent.
                found = client.get_schedule(fdi_task_id)
                if found is None:
                    raise
                self.log.warning("The new schedule was not confirmed, but it exists: %s", error.brief)
                return found.dispatch_id
        wanted = plan if existing.use_quartz_cron is None else plan | {"use_quartz_cron": "cron" in plan}
        differences = {
            field: (reported, value)
            for field, value in wanted.items()
            if value is not None and (reported := getattr(existing, field)) != value
        }
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

    def _checked_plan(self) -> dict[str, Any]:
        """The fields of the request, checked before anything is sent."""
        if bool(self.cron) == bool(self.period):
            both = f", not both (period={self.period!r})" if self.cron else ""
            raise FdiArgumentError(
                "cron",
                self.cron,
                f"give either cron, or period with dispatch_interval{both}",
            )
        start = start_time_ms("start_time", self.start_time) if self.start_time not in (None, "") else None
        for field in ("remark", "cron_timezone"):
            not_rendered_none(field, getattr(self, field))
            if getattr(self, field) is not None:
                validation.text(field, getattr(self, field), minimum=0)
        plan: dict[str, Any] = {"start_time": start, "remark": self.remark}
        if self.cron:
            if self.dispatch_interval is not None:
                raise FdiArgumentError(
                    "dispatch_interval",
                    self.dispatch_interval,
                    "goes with period, not cron",
                )
            return plan | {"cron": to_quartz(self.cron), "cron_timezone": self.cron_timezone or None}
        if self.cron_timezone:
            raise FdiArgumentError("cron_timezone", self.cron_timezone, "goes with cron, not period")
        return plan | {
            "period": validation.period("period", self.period),
            "dispatch_interval": validation.dispatch_interval("dispatch_interval", self.dispatch_interval),
        }
