"""Creating a common task: what is sent, what comes back, and what is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import (
    FdiError,
)
from airflow_provider_fdi.client.task_detail import table_source, table_target, table_to_table
from airflow_provider_fdi.operators.fdi import FdiCreateTaskOperator
from tests.server import Answer
from tests.standin import INSTANCE, NULL, PROJECT, TOKEN, StandIn
from tests.taskinstance import Store, context

pytestmark = pytest.mark.usefixtures("no_pauses")

NAME = "fdi_task_v2mysql-tomysql"
SOURCE = "30969b205e8f4392a25fb321112d1753"
TARGET = "40969b205e8f4392a25fb321112d1753"
DETAIL = {"sourceSelectedDatasource": {"rootPath": "", "Größe": "ж"}, "mappingRequired": True}


def make(**changes: Any) -> FdiCreateTaskOperator:
    arguments: dict[str, Any] = {
        "task_id": "create",
        "fdi_task_name": NAME,
        "source_datasource_id": SOURCE,
        "target_datasource_id": TARGET,
        "task_detail": DETAIL,
    }
    return FdiCreateTaskOperator(**(arguments | changes))


# --- what is sent -----------------------------------------------------------------------------------------


def test_a_create_sends_the_documented_body_once_and_writes_nothing_else(stand_in: StandIn) -> None:
    make(description="mysql", task_tag="fdi_autotest").execute(context(Store()))
    (request,) = stand_in.writes
    assert request.line == f"POST /v2/{PROJECT}/fdi/instances/{INSTANCE}/tasks HTTP/1.1"
    body = request.json
    assert json.loads(body.pop("task_detail")) == DETAIL
    assert body == {
        "task": {
            "task_name": NAME,
            "task_type": "TIMING",
            "source_datasource_id": SOURCE,
            "target_datasource_id": TARGET,
            "description": "mysql",
            "task_tag": "fdi_autotest",
        }
    }


def test_the_log_says_what_is_moved(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    detail = table_to_table(
        table_source("flights", ["id"]), table_target("dwh", ["id"], truncate=True), ["id"]
    )
    make(task_detail=detail).execute(context(Store()))
    # Airflow logs by structlog or by logging.
    assert "flights (1 column) -> dwh, truncate first" in capsys.readouterr().out + caplog.text


def test_what_is_not_given_is_left_out_of_the_body(stand_in: StandIn) -> None:
    make().execute(context(Store()))
    assert set(stand_in.writes[0].json["task"]) == {
        "task_name",
        "task_type",
        "source_datasource_id",
        "target_datasource_id",
    }


def test_the_headers_are_the_documented_ones(stand_in: StandIn) -> None:
    make().execute(context(Store()))
    request = stand_in.writes[0]
    assert request.headers.get_content_type() == "application/json"
    assert request.headers["X-Auth-Token"] == TOKEN
    assert request.headers["Authorization"] is None


def test_task_detail_as_text_is_sent_as_it_is(stand_in: StandIn) -> None:
    text = '{ "a" : 1.50, "b":"ж" }'
    make(task_detail=text).execute(context(Store()))
    assert stand_in.writes[0].json["task_detail"] == text


def test_a_task_type_in_lower_case_is_sent_in_upper_case(stand_in: StandIn) -> None:
    make(fdi_task_type="realtime").execute(context(Store()))
    assert stand_in.writes[0].json["task"]["task_type"] == "REALTIME"


def test_a_real_airflow_renders_a_json_template_file(
    stand_in: StandIn, run_dag: Callable[..., Any], tmp_path: Any
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    (tmp_path / "flights.json").write_text('{"window": "{{ dag_run.conf.window }}"}')
    with DAG("create_from_file", schedule=None, template_searchpath=str(tmp_path)) as dag:
        make(task_detail="flights.json")
    run = run_dag(dag, run_conf={"window": "2026-01"})
    assert str(run.state) == "success"
    assert json.loads(stand_in.writes[0].json["task_detail"]) == {"window": "2026-01"}


# --- what comes back --------------------------------------------------------------------------------------


def test_null_as_answer_leads_to_the_id_of_exactly_this_name(stand_in: StandIn) -> None:
    # The service's name filter is fuzzy: it finds these as well.
    for name in (f"{NAME}-2", NAME.upper(), f"my.{NAME}"):
        stand_in.add_task(name)
    task_id = make().execute(context(Store()))
    assert stand_in.tasks[task_id]["task_name"] == NAME


@pytest.mark.parametrize(
    "created", [1605311230685, "1605311230685", "2020-11-14", "2020-11-13T23:47:10Z", None]
)
def test_a_created_date_of_any_spelling_is_taken(stand_in: StandIn, created: Any) -> None:
    task = {"task_id": "the-id", "task_name": NAME, "created_date": created, "last_modified_date": created}
    stand_in.script("CreateCommonTask", Answer(body={"task": task, "task_detail": "{}"}))
    assert make().execute(context(Store())) == "the-id"


def test_an_accepted_task_that_is_nowhere_fails_and_says_so(stand_in: StandIn) -> None:
    stand_in.script("CreateCommonTask", NULL)
    with pytest.raises(
        FdiError, match=rf"(?s)^The service accepted the task without returning its id.*task_name={NAME}"
    ):
        make().execute(context(Store()))


def test_a_typo_in_the_host_says_which_host_cannot_be_found(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = stand_in.connection_json(host="https://roma.cn-nrth-4.invalid")
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", wrong)
    with pytest.raises(FdiError, match=r"(?s)^No .*roma\.cn-nrth-4\.invalid: .*not\s+known.*Check endpoint"):
        make().execute(context(Store()))


def test_an_unknown_connection_is_named(stand_in: StandIn) -> None:
    with pytest.raises(Exception, match="fdi_prod"):
        make(fdi_conn_id="fdi_prod").execute(context(Store()))
    assert stand_in.requests == []


# --- if_exists --------------------------------------------------------------------------------------------


def test_a_task_that_exists_is_not_retried(stand_in: StandIn, run_dag: Callable[..., Any]) -> None:
    from airflow.providers.common.compat.sdk import DAG

    stand_in.add_task(NAME)
    with DAG("exists", schedule=None) as dag:
        make(retries=2, retry_delay=0)
    (ti,) = run_dag(dag).get_task_instances()
    assert (str(ti.state), ti.try_number) == ("failed", 1)


def test_if_exists_update_sends_the_whole_task(stand_in: StandIn) -> None:
    task_id = stand_in.add_task(NAME)
    assert make(if_exists="update", description="new").execute(context(Store())) == task_id
    (request,) = stand_in.writes
    assert (request.operation, request.path.rpartition("/")[2]) == ("UpdateTask", task_id)
    assert request.json["task"] == {
        "task_name": NAME,
        "task_type": "TIMING",
        "source_datasource_id": SOURCE,
        "target_datasource_id": TARGET,
        "description": "new",
    }
    assert json.loads(request.json["task_detail"]) == DETAIL
