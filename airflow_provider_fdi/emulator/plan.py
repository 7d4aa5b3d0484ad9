"""When a schedule fires next: `period` times `dispatch_interval` from its start time, or by Quartz."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta, timezone, tzinfo

from airflow_provider_fdi.emulator.quartz import Quartz
from airflow_provider_fdi.emulator.state import Schedule
from airflow_provider_fdi.emulator.timezones import parse_timezone

_UNIT_MS = {"MIN": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "WEEK": 604_800_000}


def next_firing(schedule: Schedule, after_ms: int, default_timezone: str) -> int | None:
    """The first planned time later than `after_ms` (epoch ms); None if there is none."""
    zone = parse_timezone(schedule.cron_timezone or default_timezone)
    if schedule.use_quartz_cron:
        if schedule.start_datetime is not None:
            after_ms = max(after_ms, schedule.start_datetime - 1)
        after = datetime.fromtimestamp(after_ms / 1000, tz=timezone.utc)
        moment = Quartz.parse(schedule.cron or "").next_after(after, zone)
        return None if moment is None else round(moment.timestamp() * 1000)
    # Without a start time the plan counts from the schedule's creation.
    start = schedule.start_datetime if schedule.start_datetime is not None else schedule.created
    interval = schedule.dispatch_interval or 1
    if start > after_ms:
        return start
    if schedule.period == "MON":
        return _next_month(start, after_ms, interval, zone)
    length = _UNIT_MS[schedule.period or "DAY"] * interval
    return start + ((after_ms - start) // length + 1) * length


def _next_month(start_ms: int, after_ms: int, interval: int, zone: tzinfo) -> int:
    start = datetime.fromtimestamp(start_ms / 1000, tz=zone)
    after = datetime.fromtimestamp(after_ms / 1000, tz=zone)
    months = (after.year - start.year) * 12 + after.month - start.month
    count = max(0, months // interval - 1)
    while True:
        total = start.month - 1 + count * interval
        year, month = start.year + total // 12, total % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        moment = start.replace(year=year, month=month, day=day, tzinfo=None) + timedelta(0)
        moment_ms = round(moment.replace(tzinfo=zone).timestamp() * 1000)
        if moment_ms > after_ms:
            return moment_ms
        count += 1
