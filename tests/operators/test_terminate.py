"""Terminating the run that a task is executing."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiServerError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import FdiTerminateRunOperator
from tests.taskinstance import context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")


def terminate(fdi_task_id: str | None = None, **given: Any) -> FdiTerminateRunOperator:
    return FdiTerminateRunOperator(task_id="terminate", fdi_task_id=fdi_task_id, **given)


@pytest.fixture
def task(fdi_emulator: FdiEmulator) -> str:
    """A task with a run that is executing."""
    task_id = fdi_emulator.add_task("flights", schedule=True, started=True, script={"hold": True})
    assert fdi_emulator.request("POST", f"tasks/{task_id}/run")[0] < 300
    return task_id


def test_run_is_terminated_and_the_task_stays_started(task: str, fdi_emulator: FdiEmulator) -> None:
    given = context()
    assert terminate(task).execute(given) is True
    assert fdi_emulator.task(task)["active_run"] is None
    assert fdi_emulator.task(task)["started"]
    assert task in given["ti"].xcoms["fdi_task_link"]


def test_task_is_found_by_its_name(task: str, fdi_emulator: FdiEmulator) -> None:
    assert terminate(fdi_task_name="flights").execute(context()) is True
    assert fdi_emulator.task(task)["active_run"] is None


def test_nothing_to_terminate_is_a_success(fdi_emulator: FdiEmulator) -> None:
    assert terminate(fdi_emulator.add_task("idle")).execute(context()) is False


def test_termination_whose_answer_is_lost_counts(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("reset_after", path_regex=f"{task}/(stop|terminate)", method="POST", times=1)
    assert terminate(task).execute(context()) is True
    assert fdi_emulator.task(task)["active_run"] is None


def test_unknown_task_ends_at_once() -> None:
    with pytest.raises(AirflowFailException):
        terminate("0" * 32).execute(context())


def test_service_that_fails_is_worth_a_retry(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("status", method="POST", status=500, times=20)
    with pytest.raises(FdiServerError):
        terminate(task).execute(context())
