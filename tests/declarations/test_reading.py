"""Reading a thousand tasks: at most two requests for each, in parallel within the limit."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from airflow_provider_fdi.client import Backoff
from airflow_provider_fdi.client.errors import FdiPermissionError
from airflow_provider_fdi.declarations.actual import read_actual
from airflow_provider_fdi.declarations.model import Declarations, ScheduleDeclaration, TaskDeclaration
from airflow_provider_fdi.declarations.plan import make_plan
from tests.declarations.world import client_of
from tests.server import Answer, Server

COUNT = 1000
SCHEDULE = {"period": "DAY", "dispatch_interval": 1}
DETAIL = '{"sourceSelectedDatasource": {"sourceTable": "a.b"}}'
LATENCY = 0.05


def declared(count: int) -> Declarations:
    return Declarations(
        tuple(
            TaskDeclaration(
                f"task-{number:05d}",
                "timing",
                "shop",
                "dwh",
                detail={"sourceSelectedDatasource": {"sourceTable": "a.b"}},
                schedule=ScheduleDeclaration(period="DAY", every=1),
            )
            for number in range(count)
        )
    )


@pytest.fixture
def service():
    """Answers like an instance of a thousand tasks, 50 ms late."""
    server = Server()
    rows = [
        {"task_id": f"{n:032x}", "task_name": f"task-{n:05d}", "task_type": "TIMING", "status": 0}
        for n in range(COUNT)
    ]
    sources = [{"datasource_id": name * 8, "datasource_name": name} for name in ("shop", "dwh")]

    def page(request, all_rows):
        first = int(request.query["offset"])
        found = all_rows[first : first + int(request.query["limit"])]
        return {"total": len(all_rows), "size": len(found), "entities": found}

    def answer(request):
        path = request.path
        if path.endswith("/tasks"):
            body = page(request, rows)
        elif path.endswith("/datasources"):
            body = page(request, sources)
        elif path.endswith("/dispatches"):
            body = {"dispatch_id": "d" * 32, "use_quartz_cron": False, **SCHEDULE}
        else:
            row = rows[int(path.rsplit("/", 1)[1], 16)]
            sides = {
                "source_datasource_id": sources[0]["datasource_id"],
                "target_datasource_id": sources[1]["datasource_id"],
            }
            body = {"task": {**row, "task_type": "timing", "status": "stop", **sides}, "task_detail": DETAIL}
        return Answer(200, body, delay=LATENCY)

    server.always(answer)
    yield server
    server.close()


class Emulator:
    """What ``client_of`` needs to know of a server."""

    project_id, instance_id, token = "p" * 32, "i" * 32, "a-token"

    def __init__(self, url: str) -> None:
        self.url = url


def test_a_thousand_tasks_with_two_requests_each_and_in_parallel(service):
    progress = []
    declarations = declared(COUNT)
    with client_of(Emulator(service.url), proxies={}) as client:
        started = time.monotonic()
        actual = read_actual(
            client,
            declarations,
            max_parallel_requests=16,
            on_progress=lambda done, all: progress.append((done, all)),
        )
        plan = make_plan(declarations, actual)
        took = time.monotonic() - started
    assert plan.is_empty and len(plan.unchanged) == COUNT
    # The list has two pages, and the data sources one.
    assert len(service.requests) == 2 * COUNT + 3
    assert service.most_in_flight <= 16
    one_after_the_other = len(service.requests) * LATENCY
    assert took < one_after_the_other / 6
    assert progress == [(number, COUNT) for number in range(1, COUNT + 1)]


def test_a_429_holds_all_requests_back(service):
    """Obeyed: after it nothing is sent before the time that the service asked for, but what is on its way."""
    declarations = declared(40)
    refused = Answer(429, {"error_code": "APIGW.0308", "error_msg": "slow"}, {"Retry-After": "1"})
    for _ in range(9):
        service.then(lambda request: None)
    service.then(refused)
    with client_of(Emulator(service.url), proxies={}, retry=Backoff(base=0.01)) as client:
        actual = read_actual(client, declarations, max_parallel_requests=4)
    assert make_plan(declarations, actual).is_empty
    times = [request.time for request in service.requests]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) > 0.8
    quiet = gaps.index(max(gaps))
    assert 10 <= quiet + 1 <= 10 + 2 * 4


def test_only_what_is_declared_or_managed_is_read(service):
    with client_of(Emulator(service.url), proxies={}) as client:
        read_actual(client, declared(3))
    assert len(service.requests) == 2 * 3 + 3


def test_a_failure_ends_the_reading(service):
    declarations = declared(COUNT)
    service.then(*[lambda request: None] * 20, Answer(403, {"error_code": "APIGW.0302", "error_msg": "no"}))
    with client_of(Emulator(service.url), proxies={}) as client, pytest.raises(FdiPermissionError):
        read_actual(client, declarations, max_parallel_requests=4)
    assert len(service.requests) < 60
