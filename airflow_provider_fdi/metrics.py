"""What this provider adds to Airflow's metrics; docs/metrics.md lists them.

Loaded only where a client is made: a DAG file does not pay for it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.compat import conf

__all__ = ["FdiMetrics", "observer_for"]

_BACKENDS = ("statsd_on", "statsd_datadog_enabled", "otel_on")
_OUTCOMES = {2: "success", 3: "refused", 4: "refused", 5: "failed"}
"""Outcome of a request by the first digit of its HTTP status."""
_UNSAFE_IN_A_TAG = re.compile(r"[^A-Za-z0-9._-]")
"""What StatsD would not send. FDI allows none of it in the name of a task."""
MAX_TAG = 100
"""Characters of a tag, as many as FDI allows in the name of a task."""


def observer_for(conn_id: str) -> Observer:
    """What reports a client's work as Airflow's metrics; nothing where those are off."""
    on = any(conf.getboolean("metrics", option, fallback=False) for option in _BACKENDS)
    return FdiMetrics(conn_id) if on else Observer()


@dataclass(frozen=True, slots=True)
class FdiMetrics(Observer):
    """Reports to Airflow's ``Stats``: StatsD, Datadog or OpenTelemetry, as ``[metrics]`` says.

    :param conn_id: the connection, a tag of every metric.
    """

    conn_id: str

    def request_sent(self, operation: str, status: int | None) -> None:
        if status is None:
            outcome = "no_answer"
        elif status == 429:
            outcome = "throttled"
        else:
            outcome = _OUTCOMES.get(status // 100, "failed")
        Stats.incr("fdi.requests", tags=self._tags(operation=operation, outcome=outcome))

    def held_back(self, seconds: float) -> None:
        Stats.timing("fdi.throttled", timedelta(seconds=seconds), tags=self._tags())

    def polled(self, *, failed: bool) -> None:
        Stats.incr("fdi.polls", tags=self._tags())
        if failed:
            Stats.incr("fdi.poll_failures", tags=self._tags())

    def waiting(self, instance_id: str, waits: int) -> None:
        tags = self._tags(instance_id=instance_id, hostname=socket.gethostname())
        Stats.gauge("fdi.waits", waits, tags=tags)

    def run_noticed(self, seconds: float) -> None:
        Stats.timing("fdi.run.notice_delay", timedelta(seconds=seconds), tags=self._tags())

    def run_ended(self, record: Mapping[str, Any], task_name: str | None, seen_by: str) -> None:
        tags = self._tags(fdi_task=task_name or record["fdi_task_id"], seen_by=seen_by)
        Stats.incr("fdi.runs", tags={**tags, "outcome": record["status"].lower()})
        for metric, field in _AMOUNTS.items():
            if _counts(record[field]):
                Stats.incr(metric, record[field], tags=tags)
        if _counts(record["duration_ms"]):
            Stats.timing("fdi.run.duration", timedelta(milliseconds=record["duration_ms"]), tags=tags)

    def _tags(self, **more: str) -> dict[str, str]:
        tags = {"conn_id": self.conn_id, **more}
        return {tag: _UNSAFE_IN_A_TAG.sub("_", value[:MAX_TAG]) for tag, value in tags.items()}


def _counts(figure: int | None) -> bool:
    # OpenTelemetry raises for what is below 0, and a service may say anything.
    return figure is not None and figure >= 0


_AMOUNTS = {"fdi.run.rows": "rows", "fdi.run.dirty_rows": "dirty_rows", "fdi.run.bytes": "bytes"}
"""Counters of what runs moved, and the fields of the run record."""
