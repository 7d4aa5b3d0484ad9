"""Starting and stopping many tasks: the requests, what counts as a failure, and what a retry does again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiError, FdiServerError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiBatchFailed, FdiTimeout, FdiTriggerEventError
from airflow_provider_fdi.operators.fdi import FdiBatchOperator, FdiCreateTaskOperator
from tests.server import LOST, RESET, Answer, Request
from tests.standin import INSTANCE, PROJECT, TOKEN, StandIn, flat, nested
from tests.taskinstance import Store, context, deferral, event_of, killed_by

pytestmark = pytest.mark.usefixtures("no_pauses")

MISSING = "no-such-task"


def make(ids: Any = None, action: str = "start", **arguments: Any) -> FdiBatchOperator:
    return FdiBatchOperator(task_id="batch", action=action, fdi_task_ids=ids, **arguments)


def add_tasks(stand_in: StandIn, count: int, **fields: Any) -> list[str]:
    return [stand_in.add_task(f"batch-{number:02d}", **fields) for number in range(count)]


def ids_sent(request: Request) -> list[str]:
    return [bean["task_id"] for bean in request.json["list"]]


# --- what is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "status"), [("start", 1), ("stop", 0)])
def test_25_tasks_are_three_documented_requests_and_nothing_else(
    stand_in: StandIn, action: str, status: int
) -> None:
    ids = add_tasks(stand_in, 25, status=1 - status)
    result = make(ids, action).execute(context(Store()))
    assert len(stand_in.requests) == 3
    path = f"/v2/{PROJECT}/fdi/instances/{INSTANCE}/batch-operation/tasks"
    for request in stand_in.requests:
        assert request.line == f"POST {path} HTTP/1.1"
        assert request.headers.get_content_type() == "application/json"
        assert request.headers["X-Auth-Token"] == TOKEN
    # In flight at once, so that their order is not reported.
    sent = sorted(
        (request.json for request in stand_in.requests), key=lambda body: body["list"][0]["task_id"]
    )
    assert sent == [
        {"action_id": action, "list": [{"task_id": task_id} for task_id in chunk]}
        for chunk in (ids[:10], ids[10:20], ids[20:])
    ]
    assert result == {"succeeded": ids, "failed": []}
    assert {row["status"] for row in stand_in.tasks.values()} == {status}


def test_one_request_at_a_time_keeps_the_order(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 25)
    make(ids, max_parallel_requests=1).execute(context(Store()))
    assert [ids_sent(request) for request in stand_in.writes] == [ids[:10], ids[10:20], ids[20:]]


def test_a_repeated_id_is_sent_once(stand_in: StandIn) -> None:
    first, second = add_tasks(stand_in, 2)
    result = make([first, second, first]).execute(context(Store()))
    assert ids_sent(stand_in.writes[0]) == [first, second]
    assert result["succeeded"] == [first, second]


@pytest.mark.parametrize(
    "render",
    [
        str,
        lambda ids: str(tuple(ids)),
        ",".join,
        lambda ids: "[" + ", ".join(f'"{i}"' for i in ids) + "]",
        iter,
    ],
    ids=["list as text", "tuple as text", "commas", "JSON", "any iterable"],
)
def test_ids_may_come_as_a_template_renders_them(stand_in: StandIn, render: Callable[[Any], Any]) -> None:
    ids = add_tasks(stand_in, 3)
    assert make(render(ids)).execute(context(Store()))["succeeded"] == ids


def test_a_real_airflow_hands_on_the_ids_of_mapped_tasks(
    stand_in: StandIn, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    ids = add_tasks(stand_in, 2)
    names = [stand_in.tasks[task_id]["task_name"] for task_id in ids]
    with DAG("batch_of_mapped", schedule=None) as dag:
        common = {"task_detail": {}, "source_datasource_id": "s", "target_datasource_id": "t"}
        created = FdiCreateTaskOperator.partial(task_id="create", if_exists="reuse", **common).expand(
            fdi_task_name=names
        )
        start = FdiBatchOperator(task_id="start", action="start", fdi_task_ids=created.output)
        pulled = "{{ ti.xcom_pull(task_ids='start').succeeded }}"
        start >> FdiBatchOperator(task_id="stop", action="stop", fdi_task_ids=pulled)
    assert str(run_dag(dag).state) == "success"
    sent = [(request.json["action_id"], sorted(ids_sent(request))) for request in stand_in.writes]
    assert sent == [("start", ids), ("stop", ids)]


@pytest.mark.parametrize("count", [2, 6])
def test_tasks_may_be_named(stand_in: StandIn, count: int) -> None:
    ids = add_tasks(stand_in, count)
    stand_in.add_task("batch-00-copy")
    names = [stand_in.tasks[task_id]["task_name"] for task_id in ids]
    assert make(fdi_task_names=names).execute(context(Store()))["succeeded"] == ids


def test_a_failure_of_a_task_given_by_name_includes_the_name(stand_in: StandIn) -> None:
    (task_id,) = add_tasks(stand_in, 1)
    name = stand_in.tasks[task_id]["task_name"]
    failure = {"task_id": task_id, "error_code": "FDI.3083", "error_msg": "No scheduled plan."}
    stand_in.script("BatchStartOrStopTasks", Answer(body={"success": [], "failure": [failure]}))
    words = rf"(?s): No scheduled plan \(FDI\.3083\)\.\n{name} \({task_id}\)\nCreate a schedule"
    with pytest.raises(FdiBatchFailed, match=words):
        make(fdi_task_names=[name]).execute(context(Store()))


@pytest.mark.parametrize("count", [1, 5])
def test_a_name_that_no_task_has_exactly_is_refused_before_anything_is_started(
    stand_in: StandIn, count: int
) -> None:
    names = [stand_in.tasks[task_id]["task_name"] for task_id in add_tasks(stand_in, count)]
    with pytest.raises(AirflowFailException, match=r"^fdi_task_name='batch-0': .*o task has this name"):
        make(fdi_task_names=[*names, "batch-0"]).execute(context(Store()))
    assert stand_in.writes == []


def test_all_names_that_no_task_has_are_listed_with_those_that_are_meant(stand_in: StandIn) -> None:
    add_tasks(stand_in, 5)
    with pytest.raises(AirflowFailException) as caught:
        make(fdi_task_names=["batch-00", "Batch-01", "batch_02", "nothing-like-it", "batch-03"]).execute(
            context(Store())
        )
    text = str(caught.value)
    names = "'Batch-01', 'batch_02', 'nothing-like-it'"
    assert text.startswith(f"fdi_task_names: no task has these 3 of 5 names: {names}\n")
    assert "\nDid you mean 'batch-01' instead of 'Batch-01'?\n" in text
    assert text.count("Did you mean") == 2
    assert "authorization" in text
    assert "connection 'fdi_default'" in text


# --- what counts as a failure -------------------------------------------------------------------------------


def test_a_bad_id_fails_the_batch_by_name_with_its_code_and_message(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 24)
    given = context(Store())
    with pytest.raises(FdiBatchFailed) as caught:
        make([*ids, MISSING]).execute(given)
    assert str(caught.value).splitlines()[:3] == [
        "1 of 25 tasks could not be started: The task does not exist (FDI.3021).",
        "no-such-task",
        "Check the task ids and the instance.",
    ]
    assert str(caught.value).endswith("\nSee docs/troubleshooting.md#FDI.3021")
    result = given["ti"].xcoms["fdi_batch"]
    assert result["succeeded"] == ids
    assert result["failed"] == [
        {
            "fdi_task_id": MISSING,
            "fdi_task_name": None,
            "error_code": "FDI.3021",
            "error_msg": "The task does not exist.",
        }
    ]


@pytest.mark.parametrize(
    ("code", "permanent"), [("FDI.3021", True), ("FDI.3083", True), ("FDI.3019", False), ("FDI.4711", False)]
)
def test_a_batch_that_no_retry_can_mend_is_not_retried(stand_in: StandIn, code: str, permanent: bool) -> None:
    ids = add_tasks(stand_in, 2)
    failure = [{"task_id": task_id, "error_code": code, "error_msg": "No."} for task_id in ids]
    stand_in.script("BatchStartOrStopTasks", Answer(body={"success": [], "failure": failure}))
    with pytest.raises(FdiBatchFailed) as caught:
        make(ids).execute(context(Store()))
    assert isinstance(caught.value, AirflowFailException) is permanent


def test_a_batch_of_which_a_retry_can_mend_a_part_is_retried(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 2)
    failure = [
        {"task_id": ids[0], "error_code": "FDI.3021", "error_msg": "No such task."},
        {"task_id": ids[1], "error_code": "FDI.3019", "error_msg": "Not now."},
    ]
    stand_in.script("BatchStartOrStopTasks", Answer(body={"success": [], "failure": failure}))
    with pytest.raises(FdiBatchFailed) as caught:
        make(ids).execute(context(Store()))
    assert not isinstance(caught.value, AirflowFailException)
    assert str(caught.value).splitlines()[:3] == [
        "2 of 2 tasks could not be started.",
        f"{ids[0]}: No such task (FDI.3021).",
        f"{ids[1]}: Not now (FDI.3019).",
    ]


def test_a_failure_includes_the_name_of_the_task_where_the_service_does(stand_in: StandIn) -> None:
    (task_id,) = add_tasks(stand_in, 1)
    bean = {
        "task_id": task_id,
        "task_name": "batch-00",
        "error_code": "FDI.3019",
        "error_msg": "Cannot start.",
    }
    body = {"success_count": 0, "failure_count": 1, "success": [], "failure": [bean]}
    stand_in.script("BatchStartOrStopTasks", Answer(body=body))
    with pytest.raises(FdiBatchFailed, match=rf"Cannot start \(FDI\.3019\)\.\nbatch-00 \({task_id}\)"):
        make([task_id]).execute(context(Store()))


def test_on_partial_failure_warn_lets_the_task_succeed(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    ids = add_tasks(stand_in, 2)
    result = make([*ids, MISSING], on_partial_failure="warn").execute(context(Store()))
    assert result["succeeded"] == ids
    assert [failure["fdi_task_id"] for failure in result["failed"]] == [MISSING]


@pytest.mark.parametrize(("action", "status"), [("start", 1), ("stop", 0)])
def test_already_so_counts_as_success_where_the_service_reports_it_per_task(
    stand_in: StandIn, action: str, status: int
) -> None:
    ids = add_tasks(stand_in, 2, status=status)

    def refuse_first(request: Request) -> Answer:
        success = [{"task_id": ids[1], "task_name": "batch-01"}]
        failure = [{"task_id": ids[0], "error_code": "FDI.3023", "error_msg": "The task is running."}]
        return Answer(body={"success_count": 1, "failure_count": 1, "success": success, "failure": failure})

    stand_in.script("BatchStartOrStopTasks", refuse_first)
    result = make(ids, action).execute(context(Store()))
    assert result == {"succeeded": ids, "failed": []}


@pytest.mark.parametrize("shape", [flat, nested])
def test_already_so_counts_as_success_where_the_service_refuses_the_whole_request(
    stand_in: StandIn, shape: Callable[..., Answer]
) -> None:
    started, stopped = stand_in.add_task("started", status=1), stand_in.add_task("stopped")

    def strict(request: Request) -> Any:
        running = any(stand_in.tasks[task_id]["status"] for task_id in ids_sent(request))
        return shape("FDI.3023", "The task is running.") if running else None

    stand_in.script("BatchStartOrStopTasks", *[strict] * 3)
    result = make([started, stopped]).execute(context(Store()))
    assert result == {"succeeded": [started, stopped], "failed": []}


def test_a_refusal_for_one_missing_task_names_that_task_and_starts_the_others(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 3)

    def strict(request: Request) -> Any:
        missing = any(task_id not in stand_in.tasks for task_id in ids_sent(request))
        return flat("FDI.3021", "The task does not exist.") if missing else None

    stand_in.script("BatchStartOrStopTasks", *[strict] * 5)
    with pytest.raises(
        FdiBatchFailed, match=rf"^1 of 4 .*The task does not exist \(FDI\.3021\)\.\n{MISSING}\n"
    ):
        make([*ids, MISSING]).execute(context(Store()))
    assert [stand_in.tasks[task_id]["status"] for task_id in ids] == [1, 1, 1]


def test_a_refusal_for_one_task_without_schedule_names_that_task(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 3)
    stand_in.schedules = {task_id: {"dispatch_id": "d"} for task_id in ids[:2]}

    def strict(request: Request) -> Any:
        bare = any(task_id not in stand_in.schedules for task_id in ids_sent(request))
        words = "One or more scheduled tasks are not configured with scheduled plans."
        return flat("FDI.3083", words, 404) if bare else None

    stand_in.script("BatchStartOrStopTasks", *[strict] * 4)
    with pytest.raises(FdiBatchFailed, match=rf"(?s)^1 of 3 .*: One or more .*\(FDI\.3083\)\.\n{ids[2]}"):
        make(ids).execute(context(Store()))


@pytest.mark.parametrize("status", [401, 403])
def test_what_no_retry_can_mend_ends_the_task_at_once(stand_in: StandIn, status: int) -> None:
    stand_in.script("BatchStartOrStopTasks", *[nested("APIGW.0301", "Not you.", status)] * 2)
    with pytest.raises(AirflowFailException, match=r"^Not you \(APIGW\.0301, HTTP") as caught:
        make(add_tasks(stand_in, 1)).execute(context(Store()))
    assert isinstance(caught.value.__context__, FdiError)


def test_an_error_of_the_service_passes_through_so_that_retries_apply(stand_in: StandIn) -> None:
    stand_in.script("BatchStartOrStopTasks", *[flat("FDI.0001", "Internal error.", 500)] * 9)
    with pytest.raises(FdiServerError, match="Internal error"):
        make(add_tasks(stand_in, 1)).execute(context(Store()))


def test_a_lost_answer_is_made_good_by_sending_again(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 2)
    stand_in.script("BatchStartOrStopTasks", LOST, RESET)
    assert make(ids).execute(context(Store()))["succeeded"] == ids


# --- what a retry does again --------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [Store, lambda: None], ids=["store", "no store"])
def test_a_retry_sends_only_the_id_that_failed(stand_in: StandIn, store: Callable[[], Store | None]) -> None:
    ids, kept = add_tasks(stand_in, 24), store()
    with pytest.raises(FdiBatchFailed):
        make([*ids, MISSING]).execute(context(kept))
    stand_in.requests.clear()
    stand_in.add_task("late", task_id=MISSING)
    result = make([*ids, MISSING]).execute(context(kept, try_number=2))
    assert [ids_sent(request) for request in stand_in.writes] == [[MISSING]]
    assert result == {"succeeded": [*ids, MISSING], "failed": []}


def test_a_retry_that_fails_again_names_only_what_is_left_of_the_whole(stand_in: StandIn) -> None:
    ids, store = add_tasks(stand_in, 2), Store()
    for try_number in (1, 2, 3):
        with pytest.raises(
            FdiBatchFailed, match=rf"(?s)^1 of 3 tasks could not be started: .*FDI\.3021\)\.\n{MISSING}\n"
        ):
            make([*ids, MISSING]).execute(context(store, try_number))
    assert [ids_sent(request) for request in stand_in.writes] == [[*ids, MISSING], [MISSING], [MISSING]]


def test_a_cleared_task_sends_what_is_not_so_any_more(stand_in: StandIn) -> None:
    ids, store = add_tasks(stand_in, 2), Store()
    make(ids).execute(context(store, max_tries=0))
    stand_in.tasks[ids[1]]["status"] = 0
    result = make(ids).execute(context(store, try_number=2, max_tries=1))
    assert [ids_sent(request) for request in stand_in.writes] == [ids, ids[1:]]
    assert result == {"succeeded": ids, "failed": []}


def test_what_was_done_before_the_service_broke_down_is_not_sent_again(stand_in: StandIn) -> None:
    ids, store = add_tasks(stand_in, 25), Store()
    broken = [flat("FDI.0001", "Internal error.", 500)] * 20
    stand_in.script("BatchStartOrStopTasks", lambda request: None, *broken)
    operator = make(ids, max_parallel_requests=1)
    with pytest.raises(FdiServerError):
        operator.execute(context(store))
    stand_in.scripted.clear()
    stand_in.requests.clear()
    assert operator.execute(context(store, try_number=2))["succeeded"] == ids
    assert [ids_sent(request) for request in stand_in.writes] == [ids[10:20], ids[20:]]


def test_what_was_done_is_remembered_although_searching_for_the_failures_failed(stand_in: StandIn) -> None:
    ids, store = add_tasks(stand_in, 2), Store()
    stand_in.script("ListTasks", *[flat("FDI.0001", "Internal error.", 500)] * 9)
    with pytest.raises(FdiServerError):
        make([*ids, MISSING]).execute(context(store))
    stand_in.scripted.clear()
    stand_in.requests.clear()
    with pytest.raises(FdiBatchFailed):
        make([*ids, MISSING]).execute(context(store, try_number=2))
    assert [ids_sent(request) for request in stand_in.writes] == [[MISSING]]
    # Remembered, not searched for: only the task that failed is queried.
    assert [request.query["task_id"] for request in stand_in.of("ListTasks")] == [MISSING]


@pytest.mark.parametrize("stored", [True, False], ids=["store", "no store"])
def test_the_try_after_a_process_that_was_killed_between_two_answers_sends_what_is_left(
    stand_in: StandIn, tmp_path: Path, stored: bool
) -> None:
    ids, store = add_tasks(stand_in, 25), Store(tmp_path / "store") if stored else None
    operator = make(ids, max_parallel_requests=1)

    def arm(kill: Callable[[], None]) -> None:
        def die(request: Request) -> Answer:
            kill()
            return RESET

        stand_in.script("BatchStartOrStopTasks", lambda request: None, die)

    killed_by(lambda: operator.execute(context(store)), arm)
    stand_in.requests.clear()
    result = operator.execute(context(store, try_number=2))
    assert result["succeeded"] == ids
    assert sorted(i for request in stand_in.writes for i in ids_sent(request)) == ids[10:]


# --- wait_for_status ----------------------------------------------------------------------------------------


def late(stand_in: StandIn, task_id: str, polls: int) -> None:
    """The task reports its old status to some polls after it was started."""

    def old(request: Request) -> Answer:
        row = {**stand_in.tasks[task_id], "status": 0}
        return Answer(body={"total": 1, "size": 1, "entities": [row]})

    stand_in.script("ListTasks", *[old] * polls)


def test_wait_for_status_waits_until_the_task_reports_it(stand_in: StandIn) -> None:
    (task_id,) = add_tasks(stand_in, 1)
    late(stand_in, task_id, polls=2)
    result = make([task_id], wait_for_status=True, poll_interval=0.02).execute(context(Store()))
    assert result["succeeded"] == [task_id]
    assert len(stand_in.of("ListTasks")) == 3


def test_waiting_for_many_tasks_costs_one_request_a_poll(stand_in: StandIn) -> None:
    ids = add_tasks(stand_in, 25)
    make(ids, wait_for_status=True, poll_interval=0.02).execute(context(Store()))
    assert [request.method for request in stand_in.requests].count("GET") == 1


@pytest.mark.parametrize("record", [None, [], {"succeeded": []}])
def test_an_event_without_the_result_is_no_success(stand_in: StandIn, record: Any) -> None:
    with pytest.raises(FdiTriggerEventError, match="lacks the result of the batch"):
        make(["a"]).execute_complete(context(Store()), {"status": "ready", "record": record})


def test_wait_for_status_waits_in_the_triggerer(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    ids = fdi_emulator.add_tasks(3, schedule=True)
    operator = make(ids, wait_for_status=True, deferrable=True, poll_interval=0.05)
    given = context(Store())
    deferred = deferral(operator, given)
    event = event_of(deferred.trigger)
    fresh = make(ids, wait_for_status=True, deferrable=True, poll_interval=0.05)
    assert getattr(fresh, deferred.method_name)(given, event=event) == {"succeeded": ids, "failed": []}


def test_a_deferred_batch_with_a_bad_id_fails_when_the_others_are_started(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    ids = [*fdi_emulator.add_tasks(2, schedule=True), MISSING]
    given = context(Store())
    deferred = deferral(make(ids, wait_for_status=True, deferrable=True, poll_interval=0.05), given)
    event = event_of(deferred.trigger)
    with pytest.raises(FdiBatchFailed, match=MISSING):
        make(ids).execute_complete(given, event=event)


def test_a_deferred_batch_whose_time_is_over_says_so(stand_in: StandIn) -> None:
    operator = make(add_tasks(stand_in, 1), execution_timeout=dt.timedelta(seconds=5))
    with pytest.raises(FdiTimeout, match=r"Not all tasks are started.*execution_timeout is over \(0:00:05\)"):
        operator.execute_complete(context(Store()), event={"status": "timeout", "record": None})


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_a_real_airflow_retries_only_what_failed(
    stand_in: StandIn, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    ids = add_tasks(stand_in, 3)
    sent: list[list[str]] = []

    def record(request: Request) -> Any:
        sent.append(ids_sent(request))
        if len(sent) == 1:
            bad = {"task_id": ids[0], "error_code": "FDI.3019", "error_msg": "Not now."}
            good = [{"task_id": task_id} for task_id in ids[1:]]
            for task_id in ids[1:]:
                stand_in.tasks[task_id]["status"] = 1
            return Answer(body={"success_count": 2, "failure_count": 1, "success": good, "failure": [bad]})
        return None

    stand_in.script("BatchStartOrStopTasks", record, record)
    with DAG(f"batch_retry_{deferrable}", schedule=None) as dag:
        FdiBatchOperator(
            task_id="start",
            action="start",
            fdi_task_ids=ids,
            retries=1,
            retry_delay=0,
            wait_for_status=True,
            deferrable=deferrable,
            poll_interval=0.05,
        )
    first = run_dag(dag)
    assert (str(first.state), sent) == ("success", [ids, [ids[0]]])
