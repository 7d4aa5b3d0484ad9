"""Schedules: what is sent for each way of saying when, and what becomes of a schedule that is there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiAlreadyExists
from airflow_provider_fdi.operators.fdi import FdiCreateScheduleOperator
from tests.server import LOSSES, LOST, RESET, Answer, Request
from tests.standin import INSTANCE, PROJECT, TOKEN, StandIn, flat, nested
from tests.taskinstance import Store, context

pytestmark = pytest.mark.usefixtures("no_pauses")

START = 1605339505609


@pytest.fixture
def fdi_task(stand_in: StandIn) -> str:
    return stand_in.add_task("scheduled")


def make(fdi_task_id: str | None = "a-task", **arguments: Any) -> FdiCreateScheduleOperator:
    return FdiCreateScheduleOperator(task_id="schedule", fdi_task_id=fdi_task_id, **arguments)


# --- what is sent -----------------------------------------------------------------------------------------


def test_a_schedule_by_period_sends_the_documented_body_and_nothing_else_is_written(
    stand_in: StandIn, fdi_task: str
) -> None:
    dispatch_id = make(
        fdi_task, period="DAY", dispatch_interval=1, start_time="2020-11-14T07:38:25.609Z", remark="123"
    ).execute(context(Store()))
    (request,) = stand_in.writes
    path = f"/v2/{PROJECT}/fdi/instances/{INSTANCE}/tasks/{fdi_task}/dispatches"
    assert request.line == f"POST {path} HTTP/1.1"
    assert request.headers.get_content_type() == "application/json"
    assert request.headers["X-Auth-Token"] == TOKEN
    assert request.json == {
        "use_quartz_cron": False,
        "period": "DAY",
        "dispatch_interval": 1,
        "start_datetime": START,
        "remark": "123",
    }
    assert dispatch_id == stand_in.schedules[fdi_task]["dispatch_id"]


def test_a_schedule_by_cron_sends_the_documented_body_and_nothing_else_is_written(
    stand_in: StandIn, fdi_task: str
) -> None:
    make(fdi_task, cron="0 0 2 * * ?", cron_timezone="GMT+08:00").execute(context(Store()))
    (request,) = stand_in.writes
    assert request.json == {"use_quartz_cron": True, "cron": "0 0 2 * * ?", "cron_timezone": "GMT+08:00"}


@pytest.mark.parametrize(
    "start",
    [
        dt.datetime(2020, 11, 14, 7, 38, 25, 609_000, tzinfo=dt.timezone.utc),
        dt.datetime(2020, 11, 14, 7, 38, 25, 609_000),
        dt.datetime(2020, 11, 14, 15, 38, 25, 609_000, tzinfo=dt.timezone(dt.timedelta(hours=8))),
        "2020-11-14T07:38:25.609Z",
        "2020-11-14 07:38:25.609",
        "2020-11-14T15:38:25.609+08:00",
        START,
        float(START),
        str(START),
    ],
    ids=str,
)
def test_the_start_time_may_be_given_in_any_form(stand_in: StandIn, fdi_task: str, start: Any) -> None:
    make(fdi_task, cron="@daily", start_time=start).execute(context(Store()))
    assert stand_in.writes[0].json["start_datetime"] == START


@pytest.mark.parametrize(
    ("cron", "quartz"),
    [
        ("0 0 2 * * ?", "0 0 2 * * ?"),
        # In FDI 1 is Sunday, in Unix 0 and 7 are.
        ("0 2 * * 1-5", "0 0 2 ? * 2-6"),
        ("@daily", "0 0 0 * * ?"),
    ],
)
def test_cron_in_any_notation_is_sent_as_quartz(
    stand_in: StandIn, fdi_task: str, cron: str, quartz: str
) -> None:
    make(fdi_task, cron=cron).execute(context(Store()))
    assert stand_in.writes[0].json == {"use_quartz_cron": True, "cron": quartz}


def test_the_task_may_be_named(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_task("scheduled-too")
    make(None, fdi_task_name="scheduled", cron="@daily").execute(context(Store()))
    assert stand_in.writes[0].path.endswith(f"/tasks/{fdi_task}/dispatches")


def test_an_interval_that_a_template_rendered_is_sent_as_a_number(stand_in: StandIn, fdi_task: str) -> None:
    make(fdi_task, period="hour", dispatch_interval="12").execute(context(Store()))
    assert stand_in.writes[0].json == {"use_quartz_cron": False, "period": "HOUR", "dispatch_interval": 12}


def test_a_real_airflow_schedules_from_a_template(
    stand_in: StandIn, fdi_task: str, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("schedule_from_template", schedule=None) as dag:
        make("{{ dag_run.conf.id }}", cron="{{ dag_run.conf.cron }}", start_time="{{ dag_run.conf.start }}")
    conf = {"id": fdi_task, "cron": "30 2 * * 1-5", "start": START}
    assert str(run_dag(dag, run_conf=conf).state) == "success"
    assert stand_in.writes[0].json == {
        "use_quartz_cron": True,
        "cron": "0 30 2 ? * 2-6",
        "start_datetime": START,
    }


def test_the_emulator_agrees(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    task_id = fdi_emulator.add_task("scheduled")
    operator = make(task_id, cron="@daily")
    assert operator.execute(context(Store())) == operator.execute(context(Store()))


# --- what comes back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [flat, nested])
def test_a_refusal_is_quoted_and_ends_the_task_at_once(
    stand_in: StandIn, fdi_task: str, shape: Callable[..., Answer]
) -> None:
    stand_in.script("CreateDispatches", shape("FDI.3149", "The task ID is empty."))
    with pytest.raises(
        AirflowFailException, match=r"^The task ID is empty \(FDI\.3149, HTTP 400\)"
    ) as caught:
        make(fdi_task, cron="@daily").execute(context(Store()))
    assert isinstance(caught.value.__context__, FdiError)
    assert len(stand_in.writes) == 1


def test_a_task_that_is_not_there_ends_the_task_at_once(stand_in: StandIn) -> None:
    with pytest.raises(AirflowFailException, match=r"^This task is not in the project \(FDI\.3180"):
        make("elsewhere", cron="@daily").execute(context(Store()))
    assert stand_in.writes == []


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("if_exists", ["update", "reuse", "fail"])
def test_a_create_whose_answer_was_lost_leaves_one_schedule_and_returns_its_id(
    stand_in: StandIn, fdi_task: str, loss: Answer, if_exists: str
) -> None:
    stand_in.script("CreateDispatches", loss)
    dispatch_id = make(fdi_task, cron="@daily", if_exists=if_exists).execute(context(Store()))
    assert dispatch_id == stand_in.schedules[fdi_task]["dispatch_id"]
    assert len(stand_in.writes) == 1


def test_a_create_that_was_lost_on_the_way_is_made_good_by_the_retry(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.script("CreateDispatches", RESET)
    operator, store = make(fdi_task, cron="@daily", if_exists="fail"), Store()
    with pytest.raises(FdiError):
        operator.execute(context(store))
    operator.execute(context(store, try_number=2))
    assert len(stand_in.schedules) == 1


def test_the_try_after_one_that_could_not_search_takes_the_schedule_for_its_own(
    stand_in: StandIn, fdi_task: str
) -> None:
    def then_break_down(request: Request) -> Answer:
        stand_in.script("ShowDispatches", *[flat("FDI.0001", "Internal error.", 500)] * 9)
        return LOST

    stand_in.script("CreateDispatches", then_break_down)
    operator, store = make(fdi_task, cron="@daily", if_exists="fail"), Store()
    with pytest.raises(FdiError):
        operator.execute(context(store))
    stand_in.scripted.clear()
    dispatch_id = operator.execute(context(store, try_number=2))
    assert dispatch_id == stand_in.schedules[fdi_task]["dispatch_id"]
    assert len(stand_in.writes) == 1


# --- if_exists --------------------------------------------------------------------------------------------


@pytest.fixture
def daily(stand_in: StandIn, fdi_task: str) -> str:
    dispatch_id: str = make(fdi_task, cron="@daily", remark="old").execute(context(Store()))
    stand_in.requests.clear()
    return dispatch_id


def test_a_schedule_that_is_so_already_is_not_written(stand_in: StandIn, fdi_task: str, daily: str) -> None:
    assert make(fdi_task, cron="0 0 * * *").execute(context(Store())) == daily
    assert stand_in.writes == []


def test_a_schedule_that_differs_is_updated(stand_in: StandIn, fdi_task: str, daily: str) -> None:
    assert make(fdi_task, cron="@hourly").execute(context(Store())) == daily
    (request,) = stand_in.writes
    assert (request.method, request.path.rpartition("/")[2]) == ("PUT", daily)
    assert request.json == {"use_quartz_cron": True, "cron": "0 0 * * * ?"}


def test_a_schedule_that_goes_by_cron_is_updated_to_a_period_it_still_holds(
    stand_in: StandIn, fdi_task: str, daily: str
) -> None:
    stand_in.schedules[fdi_task] |= {"period": "DAY", "dispatch_interval": 1}
    make(fdi_task, period="DAY", dispatch_interval=1).execute(context(Store()))
    (request,) = stand_in.writes
    assert request.json == {"use_quartz_cron": False, "period": "DAY", "dispatch_interval": 1}


def test_reuse_leaves_a_schedule_that_differs_as_it_is(stand_in: StandIn, fdi_task: str, daily: str) -> None:
    assert make(fdi_task, cron="@hourly", if_exists="reuse").execute(context(Store())) == daily
    assert stand_in.writes == []


def test_fail_names_the_schedule_and_the_way_out(stand_in: StandIn, fdi_task: str, daily: str) -> None:
    with pytest.raises(
        FdiAlreadyExists, match=rf"(?s)^The task has a schedule.*{fdi_task}.*'update' or 'reuse'.*{daily}"
    ):
        make(fdi_task, cron="@hourly", if_exists="fail").execute(context(Store()))
    assert stand_in.writes == []


def test_a_start_time_given_as_text_is_compared_as_a_time(
    stand_in: StandIn, fdi_task: str, daily: str
) -> None:
    stand_in.schedules[fdi_task]["start_datetime"] = "2020-11-14T07:38:25.609Z"
    make(fdi_task, cron="@daily", start_time=START).execute(context(Store()))
    assert stand_in.writes == []
