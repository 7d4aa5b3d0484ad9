"""Moving the point from which a composite task follows changes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiConflictError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import FdiResetCompositeTaskOperator
from tests.taskinstance import context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")

MOMENT = 1_767_225_600_000


def reset(fdi_task_id: str | None = None, **given: Any) -> FdiResetCompositeTaskOperator:
    return FdiResetCompositeTaskOperator(task_id="reset", fdi_task_id=fdi_task_id, **given)


def request(emulator: FdiEmulator) -> dict[str, Any]:
    found = [row for row in emulator.journal() if row["method"] != "GET"]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def task(fdi_emulator: FdiEmulator) -> str:
    return fdi_emulator.add_task("cdc", task_type="REALTIME", composite=True)


@pytest.mark.parametrize(
    "date_from",
    [
        MOMENT,
        str(MOMENT),
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T08:00:00+08:00",
        dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
    ],
)
def test_moment_in_every_notation(date_from: Any, task: str, fdi_emulator: FdiEmulator) -> None:
    assert reset(task, date_from=date_from).execute(context()) == task
    assert str(MOMENT) in str(request(fdi_emulator)["body"]) + str(request(fdi_emulator)["query"])


def test_no_moment_is_the_beginning(task: str, fdi_emulator: FdiEmulator) -> None:
    assert reset(fdi_task_name="cdc", date_from=None).execute(context()) == task
    assert "date_from" not in str(request(fdi_emulator)["body"])


def test_started_task_is_refused_in_the_service_s_words(task: str, fdi_emulator: FdiEmulator) -> None:
    body = {"error_code": "FDI.3023", "error_msg": "The task is running."}
    fdi_emulator.fault("status", method="PUT", status=400, body=body)
    fdi_emulator.fault("status", method="POST", status=400, body=body)
    with pytest.raises(
        FdiConflictError, match=r"^The task is running \(FDI\.3023, HTTP 400\)\.\nStop the task"
    ):
        reset(task).execute(context())


def test_unknown_task_ends_at_once(fdi_emulator: FdiEmulator) -> None:
    with pytest.raises(AirflowFailException):
        reset("0" * 32).execute(context())


def test_lost_answer_is_asked_for_again(task: str, fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("reset_after", path_regex="reset|offset", times=1)
    assert reset(task).execute(context()) == task
