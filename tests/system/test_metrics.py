"""Metrics of a real Airflow: both the worker and the triggerer send them to a StatsD server."""

from __future__ import annotations

from collections.abc import Callable

from demo.airflow_api import wait_until
from tests.stats import Listener
from tests.system.conftest import Play


def test_worker_and_triggerer_send_metrics(start: Callable[..., Play], statsd: Listener) -> None:
    synchronous = start("measured_in_worker", deferrable=False)
    deferred = start("measured_in_triggerer", deferrable=True)
    synchronous.wait_until_known("running")
    deferred.wait_until_watched()
    wait_until(lambda: statsd.of("fdi.waits", conn_id="fdi_default"), 60, "the triggerer to report its waits")
    for play in (synchronous, deferred):
        play.release()
        play.wait_for_run("success")

    for play in (synchronous, deferred):
        (rows,) = statsd.of("fdi.run.rows", fdi_task=play.dag_id, seen_by="operator")
        assert rows.value == 42
    assert max(sent.value for sent in statsd.of("fdi.waits")) >= 1
    assert len(statsd.of("fdi.run.notice_delay")) >= 2
    assert statsd.of("fdi.requests", operation="run_task", outcome="success")
