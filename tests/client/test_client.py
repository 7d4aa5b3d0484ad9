from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_fdi.client import (
    Backoff,
    ExecuteStatus,
    FdiArgumentError,
    FdiAuthError,
    FdiClient,
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    StaticTokenAuth,
    TaskStatus,
    TaskType,
)
from tests.client.conftest import BASE, INSTANCE, PROJECT, TOKEN
from tests.client.operations import IN_THE_SDK, NOT_IN_THE_SDK, OPERATIONS, SAME_OPERATION, WITH_ID
from tests.server import Answer, Request, Server

MakeClient = Callable[..., FdiClient]
NULLS = [Answer(200, b"null"), Answer(200), Answer(200, {}), Answer(204)]
common = {
    "task_name": "fdi_task",
    "task_type": "TIMING",
    "source_datasource_id": "s",
    "target_datasource_id": "t",
    "task_detail": {"名": "值"},
}

# Documented requests


def test_create_task_sends_the_documented_body(service: Server, client: FdiClient) -> None:
    service.always(Answer(200, b"null"))
    assert client.create_task(**common, description="mysql", task_tag="fdi_autotest") is None
    assert (service.last.method, service.last.target) == ("POST", f"{BASE}/tasks")
    assert service.last.json == {
        "task": {
            "task_name": "fdi_task",
            "task_type": "TIMING",
            "source_datasource_id": "s",
            "target_datasource_id": "t",
            "description": "mysql",
            "task_tag": "fdi_autotest",
        },
        "task_detail": '{"名": "值"}',
    }


def test_create_schedule_sends_the_documented_body_with_the_time_as_a_number(
    service: Server, client: FdiClient
) -> None:
    service.always(Answer(200, {"dispatch_id": "d", "start_datetime": 1605339505609}))
    schedule = client.create_schedule(
        "t", start_time="2020-11-14T07:38:25.609Z", period="DAY", dispatch_interval=1, remark="123"
    )
    assert service.last.json == {
        "use_quartz_cron": False,
        "remark": "123",
        "start_datetime": 1605339505609,
        "period": "DAY",
        "dispatch_interval": 1,
    }
    assert schedule.start_time == 1605339505609


def test_cron_is_sent_in_quartz_form(service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"dispatch_id": "d"}))
    client.create_schedule("t", cron="30 6 * * 1-5", cron_timezone="GMT+08:00")
    assert service.last.json == {
        "use_quartz_cron": True,
        "cron": "0 30 6 ? * 2-6",
        "cron_timezone": "GMT+08:00",
    }


def test_automatic_mapping_is_a_form_outside_the_instance(service: Server, client: FdiClient) -> None:
    service.always(Answer(200))
    client.auto_create_mappings(
        source_datasource_id="s", target_datasource_id="t", task_type="REALTIME", source_tables=["a.b", "c.*"]
    )
    assert service.last.target == f"/v2/{PROJECT}/fdi/multi-tasks/mappings/auto"
    assert service.last.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = dict(pair.split("=") for pair in unquote(service.last.body.decode()).split("&"))
    assert form == {
        "source_ds_id": "s",
        "target_ds_id": "t",
        "task_type": "1",
        "source_select_mapping_tables": "a.b,c.*",
    }


def test_operations_that_the_sdk_lacks(service: Server, client: FdiClient) -> None:
    service.always(
        Answer(200, {"id": "r", "mapping_id": "m", "columns": [{"field_name": "A"}], "mappings": []})
    )
    client.get_run_steps("t", "run 1")
    client.list_mappings("t", source_table="S.A")
    client.update_mapping(
        "t", "m", source_datasource_id="s", target_datasource_id="t", source_table="a", target_table="b"
    )
    assert [c.field_name for c in client.test_sql("d", "select 1")] == ["A"]
    assert [(s.method, s.target.removeprefix(BASE)) for s in service.requests] == [
        ("GET", "/tasks/t/monitor-logs/run%201"),
        ("GET", "/multi-tasks/t/mappings?limit=999&offset=0&source_table=S.A"),
        ("PUT", "/multi-tasks/t/mappings/m"),
        ("POST", "/datasources/d/test-sql"),
    ]
    assert service.last.json == {"sql": "select 1"}


def test_all_documented_operations_have_a_method() -> None:
    methods = OPERATIONS.keys() - SAME_OPERATION
    assert [name for name in OPERATIONS if not callable(getattr(FdiClient, name, None))] == []
    assert len(methods) == len(IN_THE_SDK) + len(NOT_IN_THE_SDK)
    assert methods >= NOT_IN_THE_SDK


# Tolerance


@pytest.mark.parametrize("answer", NULLS, ids=str)
def test_nothing_as_the_answer_to_a_write(answer: Answer, service: Server, client: FdiClient) -> None:
    service.always(answer)
    assert client.create_task(**common) is None
    assert client.update_task("t", **common) is None
    assert client.get_schedule("t") is None
    assert client.create_composite_task(task_name="abc", operation_types=["INSERT"]) is None
    client.delete_task("t")
    client.terminate_task("t")
    client.reset_composite_task("t")
    client.delete_mapping("t", "m")
    client.run_task("t")


@pytest.mark.parametrize("answer", NULLS, ids=str)
def test_nothing_is_no_answer_where_something_is_needed(
    answer: Answer, service: Server, client: FdiClient
) -> None:
    service.always(answer)
    calls: list[Callable[[], Any]] = [
        lambda: client.get_task("t"),
        lambda: client.batch_operate_tasks("start", ["t"]),
        lambda: client.create_schedule("t", cron="@daily"),
        lambda: client.init_composite_task(),
        lambda: client.get_run_steps("t", "r"),
        lambda: client.list_tasks(),
        lambda: client.list_task_monitors(),
        lambda: client.list_runs("t"),
        lambda: client.list_mappings("t"),
        lambda: client.list_datasources(),
        lambda: client.list_tables("d", position="SOURCE"),
        lambda: client.list_columns("d", position="SOURCE"),
        lambda: client.test_sql("d", "select 1"),
    ]
    for call in calls:
        with pytest.raises(FdiProtocolError):
            call()


def test_listing_that_breaks_off_with_nothing_is_not_complete(service: Server, client: FdiClient) -> None:
    service.then(Answer(200, {"total": 1500, "entities": rows(999, "task_id")})).always(Answer(200, b"null"))
    with pytest.raises(
        FdiProtocolError, match=r"(?s)^The answer \(HTTP 200\) is not as expected: .*null.*list_tasks"
    ):
        client.list_tasks()


@pytest.mark.parametrize(
    "fields", [{"tables": None, "columns": None}, {"tables": [], "columns": []}], ids=str
)
def test_no_tables_and_no_columns(fields: dict[str, Any], service: Server, client: FdiClient) -> None:
    service.always(Answer(200, fields))
    assert client.list_tables("d", position="SOURCE") == ()
    assert client.list_columns("d", position="SOURCE") == ()


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (Answer(404, {"error_code": "FDI.3083", "error_msg": "no plan"}), True),
        (Answer(404), True),
        (Answer(404, {"error_code": "ROMA.00110006", "error_msg": "no resource"}), True),
        (Answer(404, {"error_code": "FDI.3081", "error_msg": "no task"}), False),
        (Answer(404, {"code": 404, "reason": {"error_code": "FDI.3180", "error_msg": "no"}}), False),
        (Answer(404, {"error_code": "APIGW.0101", "error_msg": "no API"}), False),
        (Answer(404, b"<html>nginx</html>", {"Content-Type": "text/html"}), False),
    ],
    ids=str,
)
def test_no_schedule_is_distinguished_from_no_task(
    answer: Answer, there: bool, service: Server, client: FdiClient
) -> None:
    service.always(answer)
    if there:
        assert client.get_schedule("t") is None
    else:
        with pytest.raises(FdiNotFoundError):
            client.get_schedule("t")


@pytest.mark.parametrize("form", ["list", "init_result", "body", "single"])
def test_init_answers_in_any_documented_form(form: str, service: Server, client: FdiClient) -> None:
    element = {"task_id": "a9", "mappings": [{"id": "m", "source_table": "S.A"}], "mappings_total_count": 12}
    body = {"list": [element], "single": element}.get(form, {form: [element]})
    service.always(Answer(200, body))
    (found,) = client.init_composite_task(source_datasource_id="s")
    assert (found.task_id, found.mappings[0].mapping_id, found.mappings_total_count) == ("a9", "m", 12)


def test_listing_reports_the_servers_time_of_its_first_page(service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"total": 0, "entities": []}))
    listing = client.list_runs("t", begin_time=dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))
    assert listing.server_time is not None
    assert abs(listing.server_time - dt.datetime.now().timestamp() * 1000) < 5000
    assert service.last.query["begin_time"] == "1577836800000"


def test_log_can_be_read_from_any_computed_millisecond(service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"total": 0, "entities": []}))
    client.list_runs("t", begin_time=1)
    assert service.last.query["begin_time"] == "1"


@pytest.mark.parametrize("length", [63, 64, 65, 100])
def test_long_names_are_cut_to_what_the_filters_take(length: int, service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"total": 0, "entities": []}))
    name = ("0123456789" * 10)[:length]
    client.list_tasks(name=name)
    query = service.last.query
    assert (query["name"], query["task_name"]) == (name[:64], name[:64])
    client.list_datasources(name=name)
    assert service.last.query["name"] == name[:30]
    client.list_task_monitors(task_name=name)
    assert service.last.query["task_name"] == name


def test_filters_take_enums_and_words(service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"total": 0, "entities": []}))
    client.list_tasks(
        status=TaskStatus.STOPPED, task_type=TaskType.REALTIME, execute_status=ExecuteStatus.ERROR
    )
    assert service.last.query == {
        "status": "0",
        "task_type": "realtime",
        "execute_status": "ERROR",
        "limit": "999",
        "offset": "0",
    }


# Paging


def rows(count: int, kind: str) -> list[dict[str, Any]]:
    return [{kind: f"{kind}{i:05}", "execute_status": "SUCCESS"} for i in range(count)]


class Paged:
    """A listing that counts as the service may do it."""

    def __init__(
        self,
        entities: list[dict[str, Any]],
        *,
        base: int,
        by_page: bool = False,
        clamp: int = 999,
        total: bool = True,
    ) -> None:
        self.entities, self.base, self.by_page, self.clamp, self.total = entities, base, by_page, clamp, total

    def __call__(self, request: Request) -> Answer:
        query = request.query
        limit = min(int(query["limit"]), self.clamp)
        offset = max(int(query["offset"]), self.base) - self.base
        start = offset * limit if self.by_page else offset
        page = self.entities[start : start + limit]
        body: dict[str, Any] = {"size": len(page), "entities": page}
        if self.total:
            body["total"] = len(self.entities)
        return Answer(200, body)


@pytest.mark.parametrize("count", [0, 1, 998, 999, 1000, 1998, 2500])
@pytest.mark.parametrize("by_page", [False, True], ids=["rows", "pages"])
@pytest.mark.parametrize("clamp", [999, 500])
def test_all_pages_of_the_monitors_whatever_offset_means(
    count: int, by_page: bool, clamp: int, service: Server, client: FdiClient
) -> None:
    service.always(Paged(rows(count, "task_id"), base=1, by_page=by_page, clamp=clamp))
    found = client.list_task_monitors()
    assert [m.task_id for m in found] == [r["task_id"] for r in rows(count, "task_id")]
    assert found.total == count
    assert service.requests[0].query == {"limit": "999", "offset": "1"}
    if clamp == 999:
        pages = max(1, -(-count // 999))
        assert len(service.requests) == pages + (1 if by_page and pages > 1 else 0)


@pytest.mark.parametrize("count", [0, 999, 1000, 2500])
@pytest.mark.parametrize("total", [True, False])
def test_all_pages_of_the_runs(count: int, total: bool, service: Server, client: FdiClient) -> None:
    service.always(Paged(rows(count, "id"), base=1, total=total))
    found = client.list_runs("t")
    assert [r.run_id for r in found] == [r["id"] for r in rows(count, "id")]
    assert found.total == count


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 2500])
@pytest.mark.parametrize("clamp", [999, 200])
def test_all_pages_of_the_tasks(count: int, clamp: int, service: Server, client: FdiClient) -> None:
    service.always(Paged(rows(count, "task_id"), base=0, clamp=clamp))
    found = client.list_tasks()
    assert [t.task_id for t in found] == [r["task_id"] for r in rows(count, "task_id")]
    assert service.requests[0].query == {"limit": "999", "offset": "0"}


@pytest.mark.parametrize(("base", "call"), [(0, "list_tasks"), (1, "list_task_monitors")])
@pytest.mark.parametrize("clamp", [1, 3])
@pytest.mark.parametrize("count", [4, 10])
def test_all_pages_of_a_service_that_sends_less_than_asked_for_and_counts_pages(
    base: int, call: str, clamp: int, count: int, service: Server, client: FdiClient
) -> None:
    service.always(Paged(rows(count, "task_id"), base=base, by_page=True, clamp=clamp))
    found = getattr(client, call)()
    assert sorted(task.task_id for task in found) == [row["task_id"] for row in rows(count, "task_id")]


@pytest.mark.parametrize("total", [None, -1])
def test_all_rows_of_a_service_that_sends_less_than_asked_for_and_does_not_say_how_many_there_are(
    total: int | None, service: Server, client: FdiClient
) -> None:
    def answer(request: Request) -> Answer:
        offset = int(request.query["offset"]) - 1
        return Answer(200, {"total": total, "entities": rows(30, "id")[offset : offset + 10]})

    service.always(answer)
    assert len(client.list_runs("t")) == 30


def test_all_pages_of_the_datasources(service: Server, client: FdiClient) -> None:
    service.always(Paged(rows(450, "datasource_id"), base=0, clamp=200))
    assert len(client.list_datasources()) == 450
    assert [s.query["offset"] for s in service.requests] == ["0", "200", "400"]


def test_all_pages_of_the_mappings(service: Server, client: FdiClient) -> None:
    found = [{"id": f"m{i}", "source_table": f"S.{i}"} for i in range(1500)]

    def answer(request: Request) -> Answer:
        offset = int(request.query["offset"])
        return Answer(200, {"task_id": "t", "total": 1500, "mappings": found[offset : offset + 999]})

    service.always(answer)
    assert [m.mapping_id for m in client.list_mappings("t")] == [m["id"] for m in found]


def test_rows_that_shift_while_paging_come_once(service: Server, client: FdiClient) -> None:
    all_rows = rows(1500, "id")
    service.then(
        Answer(200, {"total": 1500, "entities": all_rows[:999]}),
        Answer(200, {"total": 1500, "entities": all_rows[990:]}),
    )
    assert len(client.list_runs("t")) == 1500


def test_first_page_only(service: Server, client: FdiClient) -> None:
    service.always(Paged(rows(5000, "task_id"), base=1))
    found = client.list_task_monitors(max_pages=1)
    assert (len(found), found.total, len(service.requests)) == (999, 5000, 1)


def test_pages_of_the_monitors_are_asked_for_one_by_one(service: Server, client: FdiClient) -> None:
    service.always(Paged(rows(5000, "task_id"), base=1))
    pages = client.task_monitor_pages(limit=100)
    assert (len(next(pages)), len(next(pages)), len(service.requests)) == (100, 100, 2)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: Answer(200, {"total": 10**12, "entities": rows(999, "id")}),
        lambda request: Answer(200, {"total": 10**12, "entities": []}),
        lambda request: Answer(200, {"total": 10**12, "entities": ["x", 1, None]}),
        lambda request: Answer(200, {"entities": rows(999, "id")}),
        lambda request: Answer(200, {"total": -5, "entities": rows(3, "id")}),
        lambda request: Answer(200, {"total": "many", "entities": rows(999, "id")}),
    ],
)
def test_listing_ends_whatever_the_service_says(
    answer: Callable[[Request], Answer], service: Server, client: FdiClient
) -> None:
    service.always(answer)
    client.list_runs("t")
    assert len(service.requests) <= 3


# Batches


def batch(request: Request, **failures: tuple[str, str]) -> Answer:
    ids = [row["task_id"] for row in request.json["list"]]
    bad = [
        {"task_id": i, "task_name": f"n{i}", "error_code": failures[i][0], "error_msg": failures[i][1]}
        for i in ids
        if i in failures
    ]
    good = [
        {"task_id": i, "task_name": f"n{i}", "error_code": "", "error_msg": ""}
        for i in ids
        if i not in failures
    ]
    return Answer(
        200, {"success_count": len(good), "failure_count": len(bad), "success": good, "failure": bad}
    )


IDS = [f"t{i}" for i in range(25)]


def test_25_tasks_are_three_requests_with_the_documented_bodies(service: Server, client: FdiClient) -> None:
    service.always(batch)
    result = client.start_tasks(IDS)
    sent = sorted((s.json for s in service.requests), key=lambda body: int(body["list"][0]["task_id"][1:]))
    assert sent == [
        {"action_id": "start", "list": [{"task_id": i} for i in chunk]}
        for chunk in (IDS[:10], IDS[10:20], IDS[20:])
    ]
    assert [i.task_id for i in result.succeeded] == IDS
    assert result.failed == ()


def test_failures_keep_their_code_and_words(service: Server, client: FdiClient) -> None:
    service.always(lambda request: batch(request, t3=("FDI.3081", "gone"), t12=("FDI.3023", "running")))
    result = client.stop_tasks(IDS)
    assert [(i.task_id, i.error_code, i.error_msg) for i in result.failed] == [
        ("t3", "FDI.3081", "gone"),
        ("t12", "FDI.3023", "running"),
    ]
    assert [i.task_id for i in result.succeeded] == [i for i in IDS if i not in ("t3", "t12")]


def test_repeated_ids_are_sent_once(service: Server, client: FdiClient) -> None:
    service.always(batch)
    assert [i.task_id for i in client.start_tasks(["b", "a", "b"]).succeeded] == ["b", "a"]
    assert service.last.json["list"] == [{"task_id": "b"}, {"task_id": "a"}]


def test_refusal_of_a_whole_request_is_broken_down_to_its_tasks(service: Server, client: FdiClient) -> None:
    def answer(request: Request) -> Answer:
        ids = [row["task_id"] for row in request.json["list"]]
        if "t13" in ids:
            return Answer(404, {"error_code": "FDI.3083", "error_msg": "not configured"})
        return batch(request)

    service.always(answer)
    result = client.start_tasks(IDS)
    assert [(i.task_id, i.error_code, i.error_msg) for i in result.failed] == [
        ("t13", "FDI.3083", "not configured")
    ]
    assert [i.task_id for i in result.succeeded] == [i for i in IDS if i != "t13"]
    assert len(service.requests) == 3 + 10


def test_refusal_of_a_single_task_is_its_failure(service: Server, client: FdiClient) -> None:
    service.always(Answer(400, {"error_code": "FDI.3021", "error_msg": "One or more tasks do not exist."}))
    (failure,) = client.start_tasks(["t"]).failed
    assert failure.error_code == "FDI.3021"
    assert len(service.requests) == 1


def test_refusal_of_a_whole_request_raises_where_one_request_was_asked_for(
    service: Server, client: FdiClient
) -> None:
    service.always(Answer(400, {"error_code": "FDI.3021", "error_msg": "One or more tasks do not exist."}))
    with pytest.raises(FdiNotFoundError):
        client.batch_operate_tasks("start", ["a", "b"])


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer(401, {"error_code": "APIGW.0301"}), FdiAuthError),
        (Answer(500), FdiServerError),
        (Answer(fault="reset"), FdiConnectionError),
        (Answer(404, {"error_code": "APIGW.0101"}), FdiNotFoundError),
    ],
    ids=str,
)
def test_failure_that_is_not_the_tasks_raises_with_what_is_done(
    fault: Answer, kind: type[FdiError], workers: int, service: Server, make_client: MakeClient
) -> None:
    gate = threading.Event()

    def answer(request: Request) -> Answer:
        if request.json["list"][0]["task_id"] == "t10":
            gate.wait(5)
            return fault
        answer = batch(request)
        gate.set()
        return answer

    service.always(answer)
    with pytest.raises(kind) as caught:
        make_client(retry=Backoff(attempts=1)).start_tasks(IDS, max_parallel_requests=workers)
    partial = caught.value.partial
    assert partial is not None
    assert {i.task_id for i in partial.succeeded} >= set(IDS[:10])
    assert partial.failed == ()


def test_parallel_requests_stay_within_their_limit(service: Server, client: FdiClient) -> None:
    service.always(lambda request: Answer(200, batch(request).body, delay=0.03))
    client.start_tasks([f"t{i}" for i in range(120)], max_parallel_requests=3)
    assert len(service.requests) == 12
    assert service.most_in_flight == 3


# What is refused before anything is sent

BAD_IDS = [
    "",
    " ",
    ".",
    "..",
    "...",
    "a/b",
    "../x",
    "a?b",
    "a#b",
    "a\\b",
    "a\nb",
    "a\x00",
    "\ud800",
    "x" * 65,
    None,
    7,
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_bad_ids_are_refused_everywhere(bad: Any, service: Server, client: FdiClient) -> None:
    for call in WITH_ID.values():
        with pytest.raises(FdiArgumentError):
            call(client, bad)
    for project_id, instance_id in ((bad, INSTANCE), (PROJECT, bad)):
        with pytest.raises(FdiArgumentError):
            FdiClient(service.url, project_id, instance_id, StaticTokenAuth(TOKEN))
    assert service.requests == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda c: c.create_task(**{**common, "task_name": "a b"}),
            r"^task_name='a b': must not contain ' '",
        ),
        (lambda c: c.create_task(**{**common, "task_name": "_ab"}), "task_name='_ab'"),
        (lambda c: c.create_task(**{**common, "task_name": "ab"}), "task_name='ab': "),
        (lambda c: c.create_task(**{**common, "task_name": "abc\n"}), r"task_name='abc\\n': "),
        (
            lambda c: c.create_task(**{**common, "task_type": "HOURLY"}),
            "task_type='HOURLY': must be one of TIMING, REALTIME",
        ),
        (
            lambda c: c.create_task(**{**common, "task_detail": "{'a': 1}"}),
            r"task_detail: is text, but not JSON\n.*line 1, column 2",
        ),
        (lambda c: c.create_task(**{**common, "task_detail": "[1]"}), "task_detail.*must be a JSON object"),
        (lambda c: c.create_task(**{**common, "task_detail": None}), "^task_detail"),
        (lambda c: c.create_task(**common, task_tag="abc"), "task_tag='abc': must be 4 to 64"),
        (lambda c: c.create_task(**common, description="x" * 1025), "description=.*1024"),
        (lambda c: c.batch_operate_tasks("restart", ["t"]), "action='restart': must be one of start, stop"),
        (lambda c: c.batch_operate_tasks("start", []), r"task_ids=\[\]: must not be empty"),
        (
            lambda c: c.batch_operate_tasks("start", [f"t{i}" for i in range(11)]),
            "task_ids.*at most 10 ids, has 11",
        ),
        (lambda c: c.start_tasks([]), r"task_ids=\[\]: must not be empty"),
        (lambda c: c.start_tasks("abc"), "task_ids='abc': must be a list"),
        (lambda c: c.start_tasks(["a"], max_parallel_requests=0), "max_parallel_requests=0"),
        (
            lambda c: c.create_schedule("t", period="DAY", dispatch_interval=60),
            "dispatch_interval=60: .*1 to 59",
        ),
        (lambda c: c.create_schedule("t", period="YEAR", dispatch_interval=1), "period='YEAR'"),
        (lambda c: c.create_schedule("t", period="DAY"), "dispatch_interval=None: .*belong together"),
        (
            lambda c: c.create_schedule("t", period="DAY", dispatch_interval=1, cron="@daily"),
            "not by both",
        ),
        (lambda c: c.create_schedule("t"), "either cron, or period"),
        (lambda c: c.create_schedule("t", cron="0 0 1 * 1"), "sets both day and weekday"),
        (lambda c: c.create_schedule("t", cron="@daily", start_time=1), "start_time=1: must be from 2000"),
        (
            lambda c: c.create_schedule("t", cron="@daily", start_time="1999-12-31T23:59:59Z"),
            "start_time='1999",
        ),
        (lambda c: c.create_schedule("t", cron="@daily", start_time="tomorrow"), "start_time='tomorrow'"),
        (
            lambda c: c.create_schedule("t", period="DAY", dispatch_interval=1, cron_timezone="GMT+08:00"),
            r"cron_timezone='GMT\+08:00': ",
        ),
        (lambda c: c.create_composite_task(task_name="abc", operation_types=[]), r"operation_types=\[\]: "),
        (
            lambda c: c.create_composite_task(task_name="abc", operation_types=["UPSERT"]),
            r"operation_types=\['UPSERT'\]: ",
        ),
        (
            lambda c: c.create_composite_task(
                task_name="abc", operation_types=["INSERT"], task_type="TIMING"
            ),
            "task_type='TIMING': .*REALTIME only",
        ),
        (
            lambda c: c.update_composite_task("t", operation_types=["INSERT"], repulling_snapshot="no"),
            "repulling_snapshot='no': must be True or False",
        ),
        (lambda c: c.reset_composite_task("t", date_from="x"), "date_from='x'"),
        (
            lambda c: c.reset_composite_task("t", date_from="20261122"),
            "date_from='20261122': looks like seconds or YYYYMMDD",
        ),
        (
            lambda c: c.list_runs("t", begin_time="20261122"),
            "begin_time='20261122': looks like seconds or YYYYMMDD",
        ),
        (lambda c: c.get_task(" t"), "task_id=' t': must not begin or end with white space"),
        (lambda c: c.start_tasks(["t", "u "]), "task_ids.*'u ': must not begin or end with white space"),
        (lambda c: c.init_composite_task(server_id="x" * 21), "server_id='x+': .*20"),
        (lambda c: c.list_tasks(status="DONE"), "status='DONE'"),
        (lambda c: c.list_tasks(execute_status="DONE"), "execute_status='DONE'"),
        (lambda c: c.list_task_monitors(limit=1000), "limit=1000"),
        (lambda c: c.list_runs("t", begin_time="x"), "begin_time='x'"),
        (lambda c: c.list_tables("d", position="LEFT"), "position='LEFT'"),
        (
            lambda c: c.create_datasource(
                datasource_name="a<b", datasource_type="API", app_id="a", content={}
            ),
            "datasource_name='a<b'",
        ),
        (
            lambda c: c.create_datasource(
                datasource_name="ab", datasource_type="API", app_id="a", content="{}"
            ),
            "^content=",
        ),
        (
            lambda c: c.create_datasource(
                datasource_name="ab", datasource_type="API", app_id="a", content={"a": float("nan")}
            ),
            "body: cannot be written as JSON",
        ),
    ],
)
def test_bad_input_is_refused_naming_field_value_and_rule(
    call: Callable[[FdiClient], Any], words: str, service: Server, client: FdiClient
) -> None:
    with pytest.raises(FdiArgumentError, match=words) as caught:
        call(client)
    assert service.requests == []
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, FdiResponseError)
    assert (caught.value.attempts, caught.value.ambiguous) == (0, False)


@pytest.mark.parametrize("strange", ["日报-1", "a b", "100%", "a%2Fb", "a;b", "a&b=c", "a+b", "~", "a.b"])
def test_strange_ids_stay_in_their_segment(strange: str, service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"task": {"task_id": strange}}))
    assert client.get_task(strange).task_id == strange
    assert service.last.raw_path.rpartition("/")[0] == f"{BASE}/tasks"
    assert service.last.path == f"{BASE}/tasks/{strange}"


# Errors of the service


def test_message_names_operation_ids_code_words_and_what_to_do(service: Server, client: FdiClient) -> None:
    service.always(
        Answer(
            400,
            {"error_code": "FDI.3023", "error_msg": "One or more tasks are running."},
            {"X-Request-Id": "r-1"},
        )
    )
    with pytest.raises(FdiConflictError) as caught:
        client.delete_task("t1")
    assert str(caught.value).splitlines() == [
        "One or more tasks are running (FDI.3023, HTTP 400).",
        "Stop the task, or wait until its run is over, and try again.",
        "delete_task, task_id=t1, request id r-1",
        "See docs/troubleshooting.md#FDI.3023",
    ]
    error = caught.value
    assert (error.operation, dict(error.ids), error.attempts) == ("delete_task", {"task_id": "t1"}, 1)
    assert (error.status, error.error_code, error.request_id) == (400, "FDI.3023", "r-1")
    assert error.server_time is not None


@pytest.mark.parametrize(
    ("call", "tail"),
    [
        (lambda c: c.list_tasks(task_id="t1"), "list_tasks, task_id=t1"),
        (lambda c: c.list_tasks(name="abc"), "list_tasks, name=abc"),
        (lambda c: c.list_task_monitors(task_name="abc"), "list_task_monitors, task_name=abc"),
        (lambda c: c.list_datasources(name="abc"), "list_datasources, name=abc"),
    ],
)
def test_failed_searches_name_what_was_searched_for(
    call: Callable[[FdiClient], Any], tail: str, service: Server, client: FdiClient
) -> None:
    service.always(Answer(403))
    with pytest.raises(FdiError, match=tail):
        call(client)


UPGRADE = {"error_code": "FDI.4711", "error_msg": "Instance is being upgraded."}


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get_task("t"),
        lambda c: c.list_tasks(),
        lambda c: c.list_tables("d", position="SOURCE"),
        lambda c: c.get_schedule("t"),
        lambda c: c.create_task(**common),
        lambda c: c.update_task("t", **common),
        lambda c: c.run_task("t"),
        lambda c: c.terminate_task("t"),
        lambda c: c.delete_task("t"),
        lambda c: c.stop_tasks(["t"]),
        lambda c: c.reset_composite_task("t"),
        lambda c: c.update_composite_task("t", operation_types=["INSERT"], repulling_snapshot=False),
        lambda c: c.delete_mapping("t", "m"),
        lambda c: c.auto_create_mappings(source_datasource_id="s", target_datasource_id="t"),
    ],
)
def test_success_with_the_body_of_an_error_is_an_error(
    call: Callable[[FdiClient], Any], service: Server, client: FdiClient
) -> None:
    service.always(Answer(200, UPGRADE, {"X-Request-Id": "r-1"}))
    with pytest.raises(
        FdiProtocolError,
        match=r"(?s)^Instance is being upgraded \(FDI\.4711, in an answer of HTTP 200\)\..*request id r-1",
    ) as caught:
        call(client)
    assert caught.value.ambiguous  # it may have been done all the same
    assert len(service.requests) == 1


def test_success_with_the_nested_body_of_an_error_is_an_error(service: Server, client: FdiClient) -> None:
    service.always(
        Answer(200, {"code": 404, "reason": {"error_code": "FDI.3180", "error_msg": "Not there."}})
    )
    with pytest.raises(FdiProtocolError, match=r"^Not there \(FDI\.3180, in an answer of HTTP 200\)"):
        client.reset_composite_task("t")


def test_error_in_a_success_shows_no_secret(service: Server, client: FdiClient) -> None:
    password = "secret-of-the-task"
    words = f"no login with {password}, {TOKEN}"
    service.always(Answer(200, {"error_code": "FDI.1", "error_msg": words}))
    with pytest.raises(FdiProtocolError, match="no login with") as caught:
        client.create_task(**{**common, "task_detail": {"password": password}})
    assert password not in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("code", ["", " ", None, 0, []], ids=repr)
def test_empty_error_code_is_no_error(code: Any, service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"error_code": code, "task_id": "t"}))
    assert client.get_task("t").task_id == "t"
    client.run_task("t")


def test_what_failed_but_was_no_bad_request_is_not_called_invalid(service: Server, client: FdiClient) -> None:
    service.always(Answer(400, {"error_code": "FDI.3016", "error_msg": "Failed to test the connectivity."}))
    with pytest.raises(FdiResponseError) as caught:
        client.test_datasource("d", datasource_name="d", datasource_type="API", app_id="a", content={})
    assert not isinstance(caught.value, FdiInvalidRequestError)


@pytest.mark.parametrize(("result", "expected"), [(True, True), ("true", True), (False, False)])
def test_result_of_a_connection_test(result: Any, expected: bool, service: Server, client: FdiClient) -> None:
    service.always(Answer(200, {"result": result}))
    found = client.test_datasource("d", datasource_name="d", datasource_type="API", app_id="a", content={})
    assert found is expected
