"""Changing a task: what is not given stays, and a started task is started again, whatever dies or fails."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from airflow_provider_fdi import status
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.errors import FdiConnectionError, FdiServerError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiBatchFailed, FdiTaskBusy
from airflow_provider_fdi.operators.fdi import FdiUpdateTaskOperator
from tests.taskinstance import Store, context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")

DETAIL: dict[str, Any] = {
    "sourceSelectedDatasource": {"sourceTable": "public.flights"},
    "targetSelectedDatasource": {"targetTable": "dwh.flights"},
    "mappingTable": [],
}


def update(fdi_task_id: str | None = None, task_detail: Any = DETAIL, **given: Any) -> FdiUpdateTaskOperator:
    return FdiUpdateTaskOperator(task_id="update", fdi_task_id=fdi_task_id, task_detail=task_detail, **given)


def sent(emulator: FdiEmulator) -> dict[str, Any]:
    """The body of the last change."""
    bodies = [row["body"] for row in emulator.journal() if row["method"] == "PUT"]
    body = bodies[-1]
    found: dict[str, Any] = json.loads(body) if isinstance(body, str) else body
    return found


def started(emulator: FdiEmulator, task_id: str) -> bool:
    return bool(emulator.task(task_id)["started"])


@pytest.fixture
def task(fdi_emulator: FdiEmulator) -> str:
    return fdi_emulator.add_task(
        "flights",
        schedule=True,
        description="moves flights",
        task_tag="daily",
        source_datasource_id="source-1",
        target_datasource_id="target-1",
    )


def test_what_is_not_given_stays_as_it_is(task: str, fdi_emulator: FdiEmulator) -> None:
    assert update(task).execute(context()) == task
    body = sent(fdi_emulator)
    assert body["task"] == {
        "task_name": "flights",
        "task_type": "TIMING",
        "description": "moves flights",
        "task_tag": "daily",
        "source_datasource_id": "source-1",
        "target_datasource_id": "target-1",
    }
    assert json.loads(body["task_detail"]) == DETAIL


def test_what_is_given_is_changed(task: str, fdi_emulator: FdiEmulator) -> None:
    update(
        fdi_task_name="flights",
        new_fdi_task_name="flights-2",
        fdi_task_type="REALTIME",
        source_datasource_id="source-2",
        target_datasource_id="target-2",
        description="",
        task_tag="hourly",
    ).execute(context())
    assert sent(fdi_emulator)["task"] == {
        "task_name": "flights-2",
        "task_type": "REALTIME",
        "description": "",
        "task_tag": "hourly",
        "source_datasource_id": "source-2",
        "target_datasource_id": "target-2",
    }


def test_json_text_is_sent_as_it_is(task: str, fdi_emulator: FdiEmulator) -> None:
    text = '{"isParse": "true",  "name": "größe"}'
    update(task, text).execute(context())
    assert sent(fdi_emulator)["task_detail"] == text


def test_started_task_is_refused(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.start_task(task)
    with pytest.raises(
        FdiTaskBusy, match=r"(?s)^The task is started, and FDI can update it only .* set stop_first=True"
    ):
        update(task, restart=True).execute(context())
    assert started(fdi_emulator, task)


def test_started_task_is_stopped_for_it(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.start_task(task)
    update(task, stop_first=True).execute(context(Store()))
    assert sent(fdi_emulator)["task"]["task_name"] == "flights"
    assert not started(fdi_emulator, task)


@pytest.mark.parametrize("flag", [True, "True", "true"])
def test_started_task_is_started_again(flag: Any, task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.start_task(task)
    update(task, stop_first=flag, restart=flag).execute(context(Store()))
    assert started(fdi_emulator, task)


def test_stopped_task_stays_stopped(task: str, fdi_emulator: FdiEmulator) -> None:
    update(task, stop_first=True, restart=True).execute(context(Store()))
    assert not started(fdi_emulator, task)


@pytest.mark.parametrize("dies_at", ["stopped", "updated"])
def test_restart_survives_a_process_that_dies(
    dies_at: str, task: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> None:
        raise Death

    fdi_emulator.start_task(task)
    store = Store()
    first = update(task, stop_first=True, restart=True)
    method = "update_task" if dies_at == "stopped" else "start_tasks"
    monkeypatch.setattr(type(first.client), method, die)
    with pytest.raises(Death):
        first.execute(context(store))
    assert not started(fdi_emulator, task)
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator.connection_json())
    update(task, stop_first=True, restart=True).execute(context(store, try_number=2))
    assert started(fdi_emulator, task)


def test_cleared_task_does_not_start_what_an_earlier_chain_stopped(
    task: str, fdi_emulator: FdiEmulator
) -> None:
    fdi_emulator.start_task(task)
    store = Store()
    update(task, stop_first=True, restart=True).execute(context(store))
    fdi_emulator.stop_task(task)
    update(task, stop_first=True, restart=True).execute(context(store, try_number=2, max_tries=4))
    assert not started(fdi_emulator, task)


def test_refused_change_leaves_the_task_started(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.start_task(task)
    fdi_emulator.fault("status", method="PUT", status=400, body={"error_code": "FDI.3030", "error_msg": "no"})
    with pytest.raises(AirflowFailException, match=r"^no \(FDI\.3030"):
        update(task, stop_first=True, restart=True).execute(context(Store()))
    assert started(fdi_emulator, task)


def test_failed_change_leaves_the_task_started(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.start_task(task)
    fdi_emulator.fault("status", method="PUT", status=500, times=10)
    with pytest.raises(FdiServerError):
        update(task, stop_first=True, restart=True).execute(context(Store()))
    assert started(fdi_emulator, task)


def test_stop_with_an_unknown_outcome_leaves_the_task_started(
    task: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "STOP_TIMEOUT", 0.5)
    fdi_emulator.start_task(task)
    fdi_emulator.fault("status", operation="ListTasks", status=503, times=None)
    with pytest.raises(FdiServerError, match=r"(?s)HTTP 503.*list_tasks"):
        update(task, stop_first=True, restart=True).execute(context(Store()))
    assert fdi_emulator.journal_counts()["BatchStartOrStopTasks"] == 2
    assert started(fdi_emulator, task)


def test_change_whose_answer_is_lost_is_sent_again(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("reset_after", method="PUT", times=1)
    update(task, description="new").execute(context())
    assert sent(fdi_emulator)["task"]["description"] == "new"


def test_start_that_fails_is_said_and_a_retry_starts_it(
    task: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fdi_emulator.start_task(task)
    store = Store()
    operator = update(task, stop_first=True, restart=True)
    with monkeypatch.context() as patched:

        def fail(*args: Any, **kwargs: Any) -> None:
            raise FdiConnectionError("No answer.")

        patched.setattr(type(operator.client), "start_tasks", fail)
        with pytest.raises(FdiBatchFailed, match=r"^The task was updated, but is left stopped: No answer."):
            operator.execute(context(store))
    update(task, stop_first=True, restart=True).execute(context(store, try_number=2))
    assert started(fdi_emulator, task)


def test_link_is_there_before_the_change(task: str) -> None:
    given = context()
    update(task).execute(given)
    assert task in given["ti"].xcoms["fdi_task_link"]


def test_a_task_is_not_stopped_for_a_change_that_cannot_be_sent(
    task: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As of a task that names no source by itself.
    original = FdiClient.get_task
    monkeypatch.setattr(
        FdiClient, "get_task", lambda *a: dataclasses.replace(original(*a), source_datasource_id=None)
    )
    fdi_emulator.start_task(task)
    with pytest.raises(AirflowFailException, match="source_datasource_id=''"):
        update(task, stop_first=True).execute(context())
    assert started(fdi_emulator, task)
