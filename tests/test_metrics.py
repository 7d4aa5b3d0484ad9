"""What this provider adds to Airflow's metrics, when, and that it costs nothing where nobody listens."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_fdi import metrics
from airflow_provider_fdi.client import FdiThrottledError, transport
from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiRunFailed
from airflow_provider_fdi.hooks.fdi import FdiHook, connect
from airflow_provider_fdi.operators import execution
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.runs.poller import SharedPoller
from airflow_provider_fdi.runs.polling import watch
from airflow_provider_fdi.runs.waits import RunEnds
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor
from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger
from tests.server import RESET, Answer
from tests.standin import INSTANCE, PROJECT, StandIn, flat
from tests.stats import Listener, RecordedStats
from tests.taskinstance import Store, context, deferral, event_of
from tests.waiting import eventually, until

pytestmark = pytest.mark.usefixtures("events_at_once")

NOW = int(time.time() * 1000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LOCATE_INTERVAL", 0.05)


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> RecordedStats:
    """Metrics are on, and kept here."""
    recorded = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", recorded)
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    return recorded


def run_operator(fdi_task_id: str, **arguments: Any) -> Any:
    operator = FdiRunTaskOperator(task_id="run", fdi_task_id=fdi_task_id, poll_interval=0.05, **arguments)
    return operator.execute(context(Store()))


# --- requests -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pauses")
def test_each_request_counts_by_operation_and_outcome(stand_in: StandIn, stats: RecordedStats) -> None:
    stand_in.script("ListTasks", RESET, flat("FDI.0001", "Internal error.", 500), Answer(429))
    client = FdiHook().get_conn()

    client.list_tasks()
    with pytest.raises(FdiError):
        client.get_task("nobody")

    counted = [(sent.tags["operation"], sent.tags["outcome"]) for sent in stats.of("fdi.requests")]
    assert counted == [
        ("list_tasks", "no_answer"),
        ("list_tasks", "failed"),
        ("list_tasks", "throttled"),
        ("list_tasks", "success"),
        ("get_task", "refused"),
    ]


def test_a_login_counts_as_a_request(
    fdi_emulator: FdiEmulator, stats: RecordedStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator.connection_json("password"))

    FdiHook().get_conn().list_tasks()

    assert stats.total("fdi.requests", operation="login", outcome="success") == 1


def test_the_connection_is_a_tag_of_every_metric(stand_in: StandIn, stats: RecordedStats) -> None:
    FdiHook().get_conn().list_tasks()

    assert {sent.tags["conn_id"] for sent in stats.sent} == {"fdi_default"}


def test_testing_a_connection_does_not_count(
    fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    """The form tests under a new id each time, and each id would stay a tag for ever."""
    works, _ = FdiHook().test_connection()

    assert works
    assert stats.sent == []


@pytest.mark.usefixtures("no_pauses")
def test_the_time_lost_to_a_429_counts_once_however_many_requests_meet_it(
    stand_in: StandIn, stats: RecordedStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not the gate of other tests, which would be closed as well.
    monkeypatch.setattr(transport, "_shared_gates", {})
    stand_in.script("ListTasks", *[Answer(429, headers={"Retry-After": "30"})] * 2)
    client = asyncio.run(connect("fdi_default", PROJECT, INSTANCE))

    for _ in range(2):
        with pytest.raises(FdiThrottledError):
            client.list_tasks()

    assert stats.total("fdi.throttled") == pytest.approx(30_000, abs=1_000)


# --- polls and waits ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pauses")
def test_a_wait_in_a_worker_counts_its_polls_and_those_that_failed(
    stand_in: StandIn, stats: RecordedStats
) -> None:
    fdi_task_id = stand_in.add_task("nightly", status=1)
    stand_in.add_run(fdi_task_id, "r", "SUCCESS", NOW, NOW + 1)
    stand_in.script("ListMonitorLog", *[flat("FDI.0001", "Internal error.", 500)] * 5)

    watch(
        FdiHook().get_conn(),
        RunEnds(fdi_task_id, "r", NOW),
        poll_interval=0.01,
        poll_failure_timeout=20,
        poll_first=True,
    )

    assert (stats.total("fdi.polls"), stats.total("fdi.poll_failures")) == (2, 1)


def test_the_poller_of_a_triggerer_counts_its_polls_and_shows_its_waits(
    stand_in: StandIn, stats: RecordedStats
) -> None:
    fdi_task_id = stand_in.add_task("nightly", status=1)
    stand_in.add_run(fdi_task_id, "r", "RUNNING", NOW, None)
    endpoint = ("fdi_default", PROJECT, INSTANCE)

    async def scenario() -> None:
        async with SharedPoller(endpoint, partial(connect, *endpoint)) as poller:
            wait = RunEnds(fdi_task_id, "r", NOW)
            watched = [poller.watch(wait, poll_interval=0.05, poll_failure_timeout=20) for _ in range(3)]
            await until(lambda: stats.total("fdi.polls") >= 6)
            for future in watched:
                future.cancel()

    asyncio.run(scenario())
    shown = stats.of("fdi.waits", instance_id=INSTANCE)
    assert max(sent.value for sent in shown) == 3
    assert shown[-1].value == 0, "of a poller that has ended"


def test_pages_of_all_tasks_are_one_poll(stand_in: StandIn, stats: RecordedStats) -> None:
    client = FdiHook().get_conn()
    from airflow_provider_fdi.runs.poller import read_pages

    stand_in.then(Answer(200, {"total": 0, "size": 0, "entities": []}))
    read_pages(client, [], None, 1)

    assert stats.total("fdi.polls") == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])
def test_the_delay_from_the_end_of_a_run_to_its_notice(
    deferrable: bool, fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    fdi_task_id = fdi_emulator.add_task(script={"duration_ms": 300})
    if deferrable:
        operator = FdiRunTaskOperator(
            task_id="run", fdi_task_id=fdi_task_id, poll_interval=1, deferrable=True
        )
        event_of(deferral(operator, context(Store())).trigger)
    else:
        run_operator(fdi_task_id)

    (delay,) = stats.of("fdi.run.notice_delay")
    assert 0 <= delay.value <= 3_000


# --- runs ---------------------------------------------------------------------------------------------------


def test_a_run_counts_with_its_figures_by_the_name_of_its_task(
    fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    script = {"duration_ms": 200, "rows": 12, "dirty_rows": 1}
    record = run_operator(fdi_emulator.add_task(name="orders", script=script))

    tags = {"fdi_task": "orders", "seen_by": "operator"}
    assert stats.total("fdi.runs", outcome="success", **tags) == 1
    assert stats.total("fdi.run.rows", **tags) == 12
    assert stats.total("fdi.run.dirty_rows", **tags) == 1
    assert stats.total("fdi.run.bytes", **tags) == record["bytes"]
    assert stats.total("fdi.run.duration", **tags) == record["duration_ms"]


def test_a_run_that_failed_counts_as_such(
    fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    with pytest.raises(FdiRunFailed):
        run_operator(fdi_emulator.add_task(script={"outcome": "ERROR"}))

    assert [sent.tags["outcome"] for sent in stats.of("fdi.runs")] == ["error"]


def test_a_run_that_the_sensor_saw_counts_as_seen_by_it(
    fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    fdi_task_id = fdi_emulator.add_task(name="orders")
    fdi_emulator.add_run(fdi_task_id)

    FdiTaskSensor(task_id="wait", fdi_task_id=fdi_task_id, completed_after=None).poke(context())

    assert stats.total("fdi.runs", seen_by="sensor", fdi_task="orders", outcome="success") == 1


def test_a_run_that_an_event_reports_counts_as_seen_by_it(
    fdi_emulator: FdiEmulator, fdi_connection: str, stats: RecordedStats
) -> None:
    fdi_task_id = fdi_emulator.add_task(name="orders")

    async def scenario() -> None:
        events = FdiRunEventTrigger(fdi_task_name="orders", poll_interval=0.05).run()
        first = asyncio.ensure_future(anext(events))
        await until(lambda: stats.total("fdi.polls") >= 1)
        fdi_emulator.add_run(fdi_task_id)
        await asyncio.wait_for(first, 20)
        await events.aclose()

    asyncio.run(scenario())
    assert stats.total("fdi.runs", seen_by="event", fdi_task="orders") == 1


def test_a_tag_holds_only_what_statsd_can_send(stats: RecordedStats) -> None:
    record = {"fdi_task_id": "t", "status": "SUCCESS", "rows": None, "dirty_rows": None, "bytes": None}
    observer = metrics.observer_for("a=b,c:d")
    observer.run_ended({**record, "duration_ms": None}, "订单 " + "x" * 300, "operator")

    (sent,) = stats.sent
    assert sent.tags["conn_id"] == "a_b_c_d"
    assert sent.tags["fdi_task"] == "___" + "x" * 97


def test_a_figure_that_cannot_be_is_left_out(stats: RecordedStats) -> None:
    record = {"fdi_task_id": "t", "status": "SUCCESS", "rows": -1, "dirty_rows": 0, "bytes": None}
    metrics.observer_for("fdi_default").run_ended({**record, "duration_ms": -5}, None, "operator")

    assert [sent.name for sent in stats.sent] == ["fdi.runs", "fdi.run.dirty_rows"]


# --- what it costs ------------------------------------------------------------------------------------------


def test_nothing_is_reported_where_metrics_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("STATSD_ON", "STATSD_DATADOG_ENABLED", "OTEL_ON"):
        monkeypatch.setenv(f"AIRFLOW__METRICS__{backend}", "False")

    assert type(metrics.observer_for("fdi_default")) is Observer


def test_no_metric_costs_a_request(
    fdi_emulator: FdiEmulator, fdi_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requests_of_a_run() -> dict[str, int]:
        fdi_task_id = fdi_emulator.add_task(script={"duration_ms": 0})
        fdi_emulator.clear_journal()
        run_operator(fdi_task_id)
        return fdi_emulator.journal_counts()

    without = requests_of_a_run()
    recorded = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", recorded)
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")

    assert requests_of_a_run() == without
    assert recorded.total("fdi.requests") == sum(without.values())


# --- at real listeners --------------------------------------------------------------------------------------

TASK = """
import os
from tests.taskinstance import Store, context
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

try:
    # As Airflow's task runner does it.
    from airflow.sdk.observability.metrics import stats_utils
    from airflow.sdk.observability.stats import initialize
    initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
except ImportError:
    pass
FdiRunTaskOperator(task_id="run", fdi_task_id=os.environ["FDI_TASK"], poll_interval=0.05).execute(
    context(Store())
)
"""


@pytest.fixture
def run_elsewhere(fdi_emulator: FdiEmulator) -> Callable[[dict[str, str]], None]:
    """Runs the task `orders` in another process with these settings of Airflow, which keeps one `Stats`."""
    fdi_task_id = fdi_emulator.add_task(name="orders", script={"duration_ms": 100, "rows": 12})

    def run(settings: dict[str, str]) -> None:
        given = {"FDI_TASK": fdi_task_id, "AIRFLOW_CONN_FDI_DEFAULT": fdi_emulator.connection_json()}
        done = subprocess.run(
            [sys.executable, "-c", TASK],
            env={**os.environ, **settings, **given},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    return run


def test_airflow_s_statsd_client_sends_them(run_elsewhere: Callable[[dict[str, str]], None]) -> None:
    listener = Listener()

    run_elsewhere(listener.settings)

    rows = eventually(lambda: listener.of("fdi.run.rows", fdi_task="orders"))
    assert [sent.value for sent in rows] == [12]
    assert listener.of("fdi.requests", operation="run_task", outcome="success", conn_id="fdi_default")
    listener.close()


class Collector(HTTPServer):
    """An OpenTelemetry collector: it keeps the metrics that it receives over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def points(self) -> dict[str, list[tuple[float, dict[str, str]]]]:
        """The value (of a histogram, the sum) and tags of each data point, by the name of its metric."""
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        found: dict[str, list[tuple[float, dict[str, str]]]] = {}
        for body in list(self.bodies):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    data = getattr(metric, metric.WhichOneof("data"))
                    for point in data.data_points:
                        tags = {tag.key: tag.value.string_value for tag in point.attributes}
                        value = point.sum if hasattr(point, "sum") else point.as_int or point.as_double
                        found.setdefault(metric.name, []).append((value, tags))
        return found


class CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.skipif(
    tuple(map(int, version("apache-airflow").split(".")[:2])) < (3, 3),
    reason="before Airflow 3.3, OpenTelemetry is an extra, or loses what a short process has not sent yet",
)
def test_airflow_s_opentelemetry_exporter_sends_them(
    run_elsewhere: Callable[[dict[str, str]], None], collector: Collector
) -> None:
    run_elsewhere(
        {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
    )

    points = collector.points()
    # Sent again with each report, since it is a sum.
    rows, tags = points["airflow.fdi.run.rows"][-1]
    assert (rows, tags["fdi_task"], tags["conn_id"]) == (12, "orders", "fdi_default")
    duration, _ = points["airflow.fdi.run.duration"][-1]
    assert duration >= 100
    assert json.dumps(sorted(points)).count("fdi.") >= 8
