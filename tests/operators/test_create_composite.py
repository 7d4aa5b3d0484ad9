"""Creating a composite task: init, mappings, create, in this order and in the documented form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.operators.fdi import FdiCreateCompositeTaskOperator
from tests.server import LOST, RESET, Answer
from tests.standin import StandIn, flat, nested
from tests.taskinstance import Store, context

pytestmark = pytest.mark.usefixtures("no_pauses")

NAME = "cdctest1"
SOURCE = "30969b205e8f4392a25fb321112d1753"
TARGET = "40969b205e8f4392a25fb321112d1753"
APP = "d5afd9af-a8fe-47f6-a98c-edbcba11a0da"


def make(**changes: Any) -> FdiCreateCompositeTaskOperator:
    arguments: dict[str, Any] = {
        "task_id": "create",
        "fdi_task_name": NAME,
        "source_datasource_id": SOURCE,
        "target_datasource_id": TARGET,
    }
    return FdiCreateCompositeTaskOperator(**(arguments | changes))


# --- what is sent -----------------------------------------------------------------------------------------


def test_init_and_create_send_the_documented_bodies_and_nothing_else_is_written(stand_in: StandIn) -> None:
    task_id = make(
        description="create", task_tag="combination", source_app_id=APP, target_app_id=APP
    ).execute(context(Store()))
    assert stand_in.written == ["InstallMultiTasks", "CreateMultiTasks"]
    init, create = stand_in.writes
    assert init.json == {
        "source_datasource_id": SOURCE,
        "target_datasource_id": TARGET,
        "auto_mapping": False,
    }
    assert create.json == {
        "task_name": NAME,
        "task_id": task_id,
        "task_type": "REALTIME",
        "description": "create",
        "task_tag": "combination",
        "operation_types": ["INSERT", "UPDATE", "DELETE"],
        "source_app_id": APP,
        "target_app_id": APP,
    }
    assert stand_in.initialised == [task_id]


def test_what_is_not_given_is_left_out_of_the_body(stand_in: StandIn) -> None:
    make().execute(context(Store()))
    assert set(stand_in.writes[1].json) == {"task_name", "task_id", "task_type", "operation_types"}


def test_auto_mapping_and_the_server_id_go_to_the_initialisation(stand_in: StandIn) -> None:
    make(auto_mapping=True, server_id="5400").execute(context(Store()))
    assert stand_in.writes[0].json == {
        "ext_info": {"server_id": "5400"},
        "source_datasource_id": SOURCE,
        "target_datasource_id": TARGET,
        "auto_mapping": True,
    }


MAPPINGS = [
    {"source_table": "shop.orders", "target_table": "dwh.orders"},
    {
        "source_table": "shop.clients",
        "target_table": "dwh.customers",
        "source_columns": [{"field_name": "no", "field_type": "INT", "field_length": "11"}],
        "target_columns": [{"field_name": "id", "field_type": "INT", "field_length": "11"}],
        "mapping_columns": [{"source_column": "no", "target_column": "id"}],
    },
]


@pytest.mark.parametrize("given", [MAPPINGS, str(MAPPINGS)], ids=["list", "text of a template"])
def test_table_mappings_are_added_between_init_and_create(stand_in: StandIn, given: Any) -> None:
    task_id = make(table_mappings=given).execute(context(Store()))
    assert stand_in.written == ["InstallMultiTasks", *["CreateMultiTaskMappings"] * 2, "CreateMultiTasks"]
    sides = {"source_datasource_id": SOURCE, "target_datasource_id": TARGET}
    assert stand_in.mappings[task_id] == [sides | mapping for mapping in MAPPINGS]


def test_operation_types_may_be_some_of_the_three(stand_in: StandIn) -> None:
    make(operation_types=["insert", "DELETE"]).execute(context(Store()))
    assert stand_in.writes[1].json["operation_types"] == ["INSERT", "DELETE"]


def test_operation_types_may_be_the_text_of_a_template(stand_in: StandIn) -> None:
    make(operation_types="['INSERT', 'UPDATE']").execute(context(Store()))
    assert stand_in.writes[1].json["operation_types"] == ["INSERT", "UPDATE"]


# --- what comes back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [lambda rows: rows, lambda rows: {"init_result": rows}], ids=["list", "object with init_result"]
)
def test_the_initialisation_may_answer_a_list_or_an_object(
    stand_in: StandIn, wrap: Callable[[Any], Any]
) -> None:
    stand_in.initialised.append("from-the-init")
    rows = [{"task_id": "from-the-init", "mappings": [], "mappings_total_count": 0}]
    stand_in.script("InstallMultiTasks", Answer(body=wrap(rows)))
    assert make().execute(context(Store())) == "from-the-init"
    assert stand_in.writes[1].json["task_id"] == "from-the-init"


@pytest.mark.parametrize("answer", [{"task_id": None}, {}, b"null", b""])
def test_a_create_that_returns_no_id_has_the_one_of_the_initialisation(
    stand_in: StandIn, answer: Any
) -> None:
    stand_in.script("CreateMultiTasks", Answer(body=answer, handled=True))
    task_id = make().execute(context(Store()))
    assert stand_in.tasks[task_id]["task_name"] == NAME


@pytest.mark.parametrize("operation", ["InstallMultiTasks", "CreateMultiTaskMappings", "CreateMultiTasks"])
@pytest.mark.parametrize("shape", [flat, nested])
def test_a_refusal_is_quoted_and_nothing_follows_it(stand_in: StandIn, operation: str, shape: Any) -> None:
    stand_in.script(operation, shape("FDI.3150", "The task list is empty."))
    with pytest.raises(AirflowFailException, match=r"^The task list is empty \(FDI\.3150, HTTP 400\)"):
        make(table_mappings=MAPPINGS).execute(context(Store()))
    assert stand_in.written[-1] == operation
    assert stand_in.tasks == {}


# --- an answer that was lost --------------------------------------------------------------------------------


def test_a_create_that_was_lost_on_the_way_is_sent_again_without_its_mappings(stand_in: StandIn) -> None:
    stand_in.script("CreateMultiTasks", RESET)
    task_id = make(table_mappings=MAPPINGS[:1]).execute(context(Store()))
    assert list(stand_in.tasks) == [task_id]
    assert stand_in.written == ["InstallMultiTasks", "CreateMultiTaskMappings", *["CreateMultiTasks"] * 2]


@pytest.mark.parametrize("operation", ["InstallMultiTasks", "CreateMultiTaskMappings"])
@pytest.mark.parametrize("loss", [RESET, LOST], ids=["before", "after"])
def test_a_lost_preparation_is_repeated_and_leads_to_one_whole_task(
    stand_in: StandIn, operation: str, loss: Answer
) -> None:
    stand_in.script(operation, loss)
    task_id = make(table_mappings=MAPPINGS).execute(context(Store()))
    assert list(stand_in.tasks) == [task_id]
    assert len(stand_in.mappings[task_id]) == 2


@pytest.mark.parametrize("operation", ["InstallMultiTasks", "CreateMultiTaskMappings"])
def test_the_retry_after_a_lost_preparation_creates_one_whole_task(stand_in: StandIn, operation: str) -> None:
    stand_in.script(operation, LOST, LOST)
    store = Store()
    with pytest.raises(FdiError):
        make(table_mappings=MAPPINGS).execute(context(store))
    task_id = make(table_mappings=MAPPINGS).execute(context(store, try_number=2))
    assert list(stand_in.tasks) == [task_id]
    assert len(stand_in.mappings[task_id]) == 2


# --- if_exists --------------------------------------------------------------------------------------------


def test_if_exists_update_sends_what_can_be_updated(stand_in: StandIn) -> None:
    task_id = stand_in.add_task(NAME, task_type="REALTIME")
    returned = make(if_exists="update", operation_types=["INSERT"], description="new").execute(
        context(Store())
    )
    assert returned == task_id
    (request,) = stand_in.writes
    assert request.operation == "UpdateMultiTasks"
    assert request.json == {
        "description": "new",
        "operation_types": ["INSERT"],
        "repulling_snapshot": False,
    }


def test_an_update_may_pull_the_snapshot_again(stand_in: StandIn) -> None:
    stand_in.add_task(NAME, task_type="REALTIME")
    make(if_exists="update", repulling_snapshot=True).execute(context(Store()))
    assert stand_in.writes[0].json["repulling_snapshot"] is True
