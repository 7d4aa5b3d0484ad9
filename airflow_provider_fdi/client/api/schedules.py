"""Schedules of tasks."""

from __future__ import annotations

from airflow_provider_fdi.client.api.base import Api
from airflow_provider_fdi.client.api.bodies import schedule_body
from airflow_provider_fdi.client.errors import FdiNotFoundError
from airflow_provider_fdi.client.models import Schedule
from airflow_provider_fdi.client.transport import Resend

SCHEDULES = "/tasks/{task_id}/dispatches"

_MISSING_ELSE = frozenset({"FDI.3021", "FDI.3081", "FDI.3180"})
_NO_RESOURCE = "ROMA.00110006"


class Schedules(Api):
    """Operations on schedules."""

    def create_schedule(
        self,
        task_id: str,
        *,
        start_time: object = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        cron: str | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
    ) -> Schedule:
        """CreateDispatches: runs by ``cron``, or every ``dispatch_interval`` periods.

        ``cron`` has any form that ``to_quartz`` takes, ``start_time`` is a datetime, ISO text or epoch
        milliseconds, ``period`` is MIN, HOUR, DAY, WEEK or MON.
        """
        body = schedule_body(start_time, period, dispatch_interval, cron, cron_timezone, remark)
        answer = self._call(
            "create_schedule", "POST", SCHEDULES, {"task_id": task_id}, body=body, resend=Resend.UNSENT
        )
        return answer.parse(Schedule.from_wire)

    def update_schedule(
        self,
        task_id: str,
        dispatch_id: str,
        *,
        start_time: object = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        cron: str | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
    ) -> Schedule:
        """UpdateDispatches; arguments as for ``create_schedule``."""
        body = schedule_body(start_time, period, dispatch_interval, cron, cron_timezone, remark)
        ids = {"task_id": task_id, "dispatch_id": dispatch_id}
        answer = self._call("update_schedule", "PUT", f"{SCHEDULES}/{{dispatch_id}}", ids, body=body)
        return answer.parse(Schedule.from_wire)

    def get_schedule(self, task_id: str) -> Schedule | None:
        """ShowDispatches: the task's schedule, None if it has none. A task that does not exist raises."""
        try:
            answer = self._call("get_schedule", "GET", SCHEDULES, {"task_id": task_id})
        except FdiNotFoundError as error:
            # What a task without a schedule is answered is not documented; of these codes we know that they
            # mean a missing task, instance or API.
            silent = not error.error_code and not error.error_msg
            by_roma = error.said_by_fdi or error.error_code == _NO_RESOURCE
            if error.error_code in _MISSING_ELSE or not (silent or by_roma):
                raise
            return None
        return answer.parse(Schedule.optional_from_wire)
