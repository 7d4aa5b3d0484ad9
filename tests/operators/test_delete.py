"""Deleting a task."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiConflictError, FdiError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiTaskBusy
from airflow_provider_fdi.operators.fdi import FdiDeleteTaskOperator
from tests.taskinstance import Store, context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")


def delete(fdi_task_id: str | None = None, **given: Any) -> FdiDeleteTaskOperator:
    return FdiDeleteTaskOperator(task_id="delete", fdi_task_id=fdi_task_id, **given)


def names(emulator: FdiEmulator) -> list[str]:
    from airflow_provider_fdi.hooks.fdi import FdiHook

    return [task.task_name or "" for task in FdiHook().get_conn().list_tasks()]


@pytest.mark.parametrize("composite", [False, True])
def test_task_is_deleted(composite: bool, fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights", composite=composite)
    fdi_emulator.add_task("other")
    assert delete(task).execute(context()) is None
    assert names(fdi_emulator) == ["other"]


def test_task_is_found_by_its_exact_name(fdi_emulator: FdiEmulator) -> None:
    for name in ("flights", "flights-2"):
        fdi_emulator.add_task(name)
    delete(fdi_task_name="flights").execute(context())
    assert names(fdi_emulator) == ["flights-2"]


def test_started_task_is_refused(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights", schedule=True, started=True)
    with pytest.raises(FdiTaskBusy, match="FDI can delete it only when it is stopped"):
        delete(task).execute(context())
    assert names(fdi_emulator) == ["flights"]


@pytest.mark.parametrize("flag", [True, "true"])
def test_started_task_is_stopped_for_it(flag: Any, fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights", schedule=True, started=True)
    delete(task, stop_first=flag).execute(context())
    assert names(fdi_emulator) == []


@pytest.mark.parametrize("given", [{"fdi_task_id": "0" * 32}, {"fdi_task_name": "nobody"}])
def test_missing_task_ends_at_once(given: dict[str, str], fdi_emulator: FdiEmulator) -> None:
    with pytest.raises(AirflowFailException):
        delete(**given).execute(context(Store()))


@pytest.mark.parametrize("flag", [True, "True"])
@pytest.mark.parametrize("given", [{"fdi_task_id": "0" * 32}, {"fdi_task_name": "nobody"}])
def test_missing_task_may_be_missing(given: dict[str, str], flag: Any, fdi_emulator: FdiEmulator) -> None:
    delete(**given, missing_ok=flag).execute(context())


def test_deletion_whose_answer_is_lost_is_a_success(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights")
    fdi_emulator.fault("reset_after", method="DELETE", times=1)
    delete(task).execute(context())
    assert names(fdi_emulator) == []


@pytest.mark.parametrize("by", ["id", "name"])
def test_retry_after_a_deletion_that_was_not_heard_of_is_a_success(
    by: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    task = fdi_emulator.add_task("flights")
    given = {"fdi_task_id": task} if by == "id" else {"fdi_task_name": "flights"}
    store = Store()
    first = delete(**given)
    really = first.client.delete_task

    def delete_and_die(task_id: str) -> None:
        really(task_id)
        raise Death

    monkeypatch.setattr(first.client, "delete_task", delete_and_die)
    with pytest.raises(Death):
        first.execute(context(store))
    delete(**given).execute(context(store, try_number=2))
    assert names(fdi_emulator) == []


def test_cleared_task_does_not_take_a_missing_task_for_deleted(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights")
    store = Store()
    delete(task).execute(context(store))
    with pytest.raises(AirflowFailException):
        delete(task).execute(context(store, try_number=2, max_tries=4))


def test_a_404_that_is_not_fdi_s_says_nothing_about_the_task(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights")
    words = {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}
    fdi_emulator.fault("status", operation="ShowTask", status=404, body=words, times=None)
    with pytest.raises(AirflowFailException, match=r"APIGW\.0101"):
        delete(task, missing_ok=True).execute(context(Store()))


def test_a_task_that_vanished_after_its_deletion_was_refused_was_not_deleted_by_us(
    fdi_emulator: FdiEmulator,
) -> None:
    task = fdi_emulator.add_task("flights")
    store = Store()
    words = {"error_code": "FDI.3028", "error_msg": "The task is running."}
    fdi_emulator.fault("status", method="DELETE", status=400, body=words)
    with pytest.raises(FdiConflictError):
        delete(task).execute(context(store))
    fdi_emulator.request("DELETE", f"tasks/{task}")
    with pytest.raises(AirflowFailException, match=r"FDI\.3081"):
        delete(task).execute(context(store, try_number=2))


def test_a_refused_search_does_not_forget_a_deletion_that_was_not_answered(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task("flights")
    store = Store()
    fdi_emulator.fault("reset_after", method="DELETE")
    fdi_emulator.fault("status", operation="DeleteTask", status=503, times=20)
    with pytest.raises(FdiError):
        delete(task).execute(context(store))
    fdi_emulator.clear_faults()
    assert names(fdi_emulator) == []
    fdi_emulator.fault("status", operation="ShowTask", status=403)
    with pytest.raises(AirflowFailException):
        delete(task).execute(context(store, try_number=2))
    delete(task).execute(context(store, try_number=3))
