"""What creating a common and a composite task have in common: one task, whatever is lost or there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import (
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiServerError,
)
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiAlreadyExists, FdiTaskBusy
from airflow_provider_fdi.operators.fdi import FdiCreateCompositeTaskOperator, FdiCreateTaskOperator
from tests.server import LOSSES, LOST, RESET, Answer, Request
from tests.standin import StandIn, flat, nested
from tests.taskinstance import Store, context, killed_by

pytestmark = pytest.mark.usefixtures("no_pauses")

NAME = "fdi_task_v2mysql-tomysql"


@dataclass(frozen=True)
class Kind:
    """A kind of task: its operator, the requests that create and update it, and its row in the list."""

    operator: Callable[..., Any]
    requests: tuple[str, ...]
    update: str
    row: dict[str, str]
    other_row: dict[str, str]

    @property
    def create(self) -> str:
        return self.requests[-1]

    def run(self, store: Store | None = None, try_number: int = 1, max_tries: int = 3, **changes: Any) -> str:
        """The id that one try of the operator returns."""
        arguments: dict[str, Any] = {
            "task_id": "create",
            "fdi_task_name": NAME,
            "source_datasource_id": "30969b205e8f4392a25fb321112d1753",
            "target_datasource_id": "40969b205e8f4392a25fb321112d1753",
        }
        made = self.operator(**(arguments | changes))
        return str(made.execute(context(store, try_number, max_tries)))


COMMON = {"task_type": "TIMING"}
# A list need not mark composite tasks as such.
COMPOSITE, MARKED = {"task_type": "REALTIME"}, {"task_type": "REALTIME", "ext_type": "cdc"}
KINDS = {
    "common": Kind(
        lambda **arguments: FdiCreateTaskOperator(task_detail={"mappingRequired": True}, **arguments),
        ("CreateCommonTask",),
        "UpdateTask",
        COMMON,
        MARKED,
    ),
    "composite": Kind(
        FdiCreateCompositeTaskOperator,
        ("InstallMultiTasks", "CreateMultiTasks"),
        "UpdateMultiTasks",
        COMPOSITE,
        COMMON,
    ),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request: pytest.FixtureRequest) -> Store | None:
    """What outlives a try; None: Airflow before 3.3."""
    return Store() if request.param else None


# --- refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [flat, nested])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_quoted_and_ends_the_task_at_once(
    stand_in: StandIn, kind: Kind, shape: Callable[..., Answer], status: int
) -> None:
    stand_in.script(kind.create, *[shape("FDI.9999", "The data source does not exist.", status)] * 2)
    words = rf"^The data source does not exist \(FDI\.9999, HTTP {status}\)"
    with pytest.raises(AirflowFailException, match=words) as caught:
        kind.run(Store())
    assert isinstance(caught.value.__context__, FdiError)
    assert stand_in.written.count(kind.create) == 1


def test_an_error_of_the_service_passes_through_so_that_retries_apply(stand_in: StandIn, kind: Kind) -> None:
    stand_in.script(kind.create, flat("FDI.0001", "Internal error.", 500))
    with pytest.raises(FdiServerError, match=r"^Internal error \(FDI\.0001, HTTP 500\)"):
        kind.run(Store())


# --- an answer that was lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_create_whose_answer_was_lost_leaves_one_task_and_returns_its_id(
    stand_in: StandIn, kind: Kind, loss: Answer, store: Store | None
) -> None:
    stand_in.script(kind.create, loss)
    task_id = kind.run(store)
    assert list(stand_in.tasks) == [task_id]
    assert stand_in.written == [*kind.requests]


def test_a_create_that_was_lost_on_the_way_is_sent_again_in_the_same_try(
    stand_in: StandIn, kind: Kind, store: Store | None
) -> None:
    stand_in.script(kind.create, RESET)
    task_id = kind.run(store)
    assert list(stand_in.tasks) == [task_id]
    assert stand_in.written == [*kind.requests, kind.create]


def test_a_create_is_sent_again_only_once_and_the_retry_creates_one_task(
    stand_in: StandIn, kind: Kind
) -> None:
    stand_in.script(kind.create, RESET, RESET)
    store = Store()
    with pytest.raises(FdiConnectionError):
        kind.run(store)
    assert stand_in.tasks == {}
    assert stand_in.written.count(kind.create) == 2
    task_id = kind.run(store, try_number=2)
    assert list(stand_in.tasks) == [task_id]


def test_a_name_that_exists_when_a_lost_create_is_sent_again_is_ours(stand_in: StandIn, kind: Kind) -> None:
    """The first request is carried out after all, but only after the task was searched."""
    late: list[str] = []

    def refuse(request: Request) -> Answer:
        late.append(stand_in.add_task(NAME, **kind.row))
        return flat("FDI.3002", "The task name already exists.")

    stand_in.script(kind.create, RESET, refuse)
    assert kind.run(Store()) == late[0]
    assert list(stand_in.tasks) == late


def test_a_name_that_exists_at_the_first_request_is_not_ours(stand_in: StandIn, kind: Kind) -> None:
    stand_in.script(kind.create, flat("FDI.3002", "The task name already exists."))
    with pytest.raises(FdiConflictError):
        kind.run(Store())
    assert stand_in.written.count(kind.create) == 1


def test_the_try_after_a_killed_one_returns_the_task_that_was_created(
    stand_in: StandIn, kind: Kind, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")

    def arm(kill: Callable[[], None]) -> None:
        def create_then_kill(request: Request) -> Answer:
            kill()
            return LOST

        stand_in.script(kind.create, create_then_kill)

    killed_by(lambda: kind.run(store), arm)
    (task_id,) = stand_in.tasks
    assert kind.run(store, try_number=2, if_exists="fail") == task_id
    assert stand_in.written == [*kind.requests]


def test_a_task_that_existed_before_the_first_try_is_not_taken_for_ours(
    stand_in: StandIn, kind: Kind
) -> None:
    stand_in.add_task(NAME, **kind.row)
    store = Store()
    for try_number in (1, 2):
        with pytest.raises(FdiAlreadyExists):
            kind.run(store, try_number)
    assert stand_in.writes == []


def test_a_cleared_task_does_not_take_the_old_task_for_its_own(stand_in: StandIn, kind: Kind) -> None:
    store = Store()
    kind.run(store, max_tries=0)
    with pytest.raises(FdiAlreadyExists):
        kind.run(store, try_number=2, max_tries=1)


def test_a_refused_create_leaves_no_claim_on_what_others_create(stand_in: StandIn, kind: Kind) -> None:
    store = Store()
    stand_in.script(kind.create, flat("FDI.3016", "The data source cannot be reached."))
    with pytest.raises(FdiError):
        kind.run(store)
    stand_in.add_task(NAME, **kind.row)
    with pytest.raises(FdiAlreadyExists):
        kind.run(store, try_number=2)


# --- if_exists --------------------------------------------------------------------------------------------


def test_if_exists_fail_names_the_task_and_the_way_out(stand_in: StandIn, kind: Kind) -> None:
    task_id = stand_in.add_task(NAME, **kind.row)
    with pytest.raises(
        FdiAlreadyExists, match=rf"(?s)^A task of this name.*{NAME}.*{task_id}.*'reuse' or 'update'"
    ):
        kind.run(Store())
    assert stand_in.writes == []


def test_if_exists_reuse_returns_the_task_as_it_is(stand_in: StandIn, kind: Kind) -> None:
    task_id = stand_in.add_task(NAME, status=1, **kind.row)
    assert kind.run(Store(), if_exists="reuse") == task_id
    assert stand_in.writes == []


def test_if_exists_reuse_creates_the_task_if_there_is_none(stand_in: StandIn, kind: Kind) -> None:
    task_id = kind.run(Store(), if_exists="reuse")
    assert list(stand_in.tasks) == [task_id]
    assert stand_in.written == [*kind.requests]


@pytest.mark.parametrize("if_exists", ["reuse", "update", "fail"])
def test_a_task_of_the_other_kind_with_the_same_name_is_neither_reused_nor_updated(
    stand_in: StandIn, kind: Kind, if_exists: str
) -> None:
    task_id = stand_in.add_task(NAME, **kind.other_row)
    with pytest.raises(
        FdiAlreadyExists, match=rf"(?s)^The name belongs to a .*\bcommon\b.*{task_id}"
    ) as caught:
        kind.run(Store(), if_exists=if_exists)
    assert "composite" in str(caught.value)
    assert stand_in.writes == []


def test_a_started_task_is_not_updated(stand_in: StandIn, kind: Kind) -> None:
    task_id = stand_in.add_task(NAME, status=1, **kind.row)
    with pytest.raises(FdiTaskBusy, match=rf"(?s)^The task is started.*{task_id}.*stop_first=True"):
        kind.run(Store(), if_exists="update")
    assert stand_in.writes == []


def test_stop_first_stops_the_task_before_it_is_updated(stand_in: StandIn, kind: Kind) -> None:
    task_id = stand_in.add_task(NAME, status=1, **kind.row)
    kind.run(Store(), if_exists="update", stop_first=True)
    assert stand_in.written == ["BatchStartOrStopTasks", kind.update]
    assert stand_in.writes[0].json == {"action_id": "stop", "list": [{"task_id": task_id}]}
    assert stand_in.tasks[task_id]["status"] == 0


def test_a_task_created_on_the_emulator_is_found_by_the_id_that_is_returned(
    fdi_emulator: FdiEmulator, fdi_connection: str, kind: Kind
) -> None:
    source = fdi_emulator.add_datasource("source", "sqlite://")
    task_id = kind.run(Store(), source_datasource_id=source, target_datasource_id=source)
    assert fdi_emulator.task(task_id)["task_name"] == NAME
