"""Misspelt names in a test's own calls are refused with the nearest right word, instead of being ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import EmulatorError, FdiEmulator

Call = Callable[[FdiEmulator], Any]

CALLS: list[tuple[Call, str]] = [
    (lambda fdi: fdi.add_task(script={"row": 120}), "script: unknown key 'row'; did you mean 'rows'?"),
    (lambda fdi: fdi.add_task(script=[{}, {"outcom": "ERROR"}]), "did you mean 'outcome'?"),
    (lambda fdi: fdi.add_task(script={"outcome": "SUCESS"}), "did you mean 'SUCCESS'?"),
    (lambda fdi: fdi.add_task(script={"rows": -1}), "script.rows: Input should be greater than"),
    (lambda fdi: fdi.add_task(script={"steps": [{"remark": "x"}]}), "did you mean 'remarks'?"),
    (lambda fdi: fdi.add_task(scrpt={"rows": 1}), "unknown key 'scrpt'; did you mean 'script'?"),
    (lambda fdi: fdi.add_task(task_type="TIMNG"), "did you mean 'TIMING'?"),
    (
        lambda fdi: fdi.add_task(schedule={"perod": "DAY"}),
        "schedule: unknown key 'perod'; did you mean 'period'?",
    ),
    (lambda fdi: fdi.add_tasks(2, perfix="x"), "unknown key 'perfix'; did you mean 'prefix'?"),
    (lambda fdi: fdi.script(fdi.add_task(), durationms=5), "did you mean 'duration_ms'?"),
    (
        lambda fdi: fdi.release(fdi.add_task(), outcome="FAILED"),
        "must be one of 'SUCCESS', 'CANCELLED' or 'ERROR'",
    ),
    (lambda fdi: fdi.add_run(fdi.add_task(), execute_status="SUCESS"), "did you mean 'SUCCESS'?"),
    (lambda fdi: fdi.add_run(fdi.add_task(), data_cont=5), "did you mean 'data_count'?"),
    (lambda fdi: fdi.switch(log_ordr="asc"), "unknown switch 'log_ordr'; did you mean 'log_order'?"),
    (
        lambda fdi: fdi.switch(log_order="acs"),
        "switch log_order 'acs': did you mean 'asc'?\nIt must be one of 'asc' or 'desc'",
    ),
    (lambda fdi: fdi.connection("tokn"), "unknown auth_type 'tokn'; did you mean 'token'?"),
    (lambda fdi: fdi.runs_started(fdi.add_task(), "manul"), "did you mean 'manual'?"),
    (
        lambda fdi: fdi.add_datasource("x", "mysqll://host/db"),
        "does not connect to 'mysqll'; did you mean 'mysql'?",
    ),
    (lambda fdi: fdi.add_datasource("x", "postgres://host/db"), "did you mean 'postgresql'?"),
    (lambda fdi: fdi.add_datasource("x", "/data/x.db"), "must be an SQLAlchemy URL, such as sqlite:////"),
    (lambda fdi: fdi.add_datasource("x", None, "MYSQLL"), "no type 'MYSQLL'; did you mean 'MYSQL'?"),
    (lambda fdi: fdi.add_datasource("x", None, ur="x"), "unknown key 'ur'; did you mean 'url'?"),
]


@pytest.mark.parametrize(("call", "words"), CALLS, ids=[words for _, words in CALLS])
def test_a_misspelt_name_is_refused_with_the_right_one(
    fdi_emulator: FdiEmulator, call: Call, words: str
) -> None:
    with pytest.raises(EmulatorError, match=re.escape(words)):
        call(fdi_emulator)


@pytest.mark.parametrize("method", ["runs_started", "runs_refused", "runs", "task", "stop_task", "unscript"])
def test_an_id_that_no_task_has_is_refused(fdi_emulator: FdiEmulator, method: str) -> None:
    with pytest.raises(EmulatorError, match="there is no task with the id 'nope'"):
        getattr(fdi_emulator, method)("nope")


def test_a_name_in_place_of_an_id_is_recognised(fdi_emulator: FdiEmulator) -> None:
    task_id = fdi_emulator.add_task("daily-load")
    with pytest.raises(EmulatorError, match=f"the task of this name has the id '{task_id}'"):
        fdi_emulator.runs_started("daily-load")
    with pytest.raises(EmulatorError, match=f"did you mean '{task_id}', the task 'daily-load'"):
        fdi_emulator.runs_started("daily_load")


def test_the_runs_of_a_deleted_task_are_still_known(fdi_emulator: FdiEmulator) -> None:
    task_id = fdi_emulator.add_task()
    fdi_emulator.request("POST", f"tasks/{task_id}/run", {})
    assert fdi_emulator.request("DELETE", f"tasks/{task_id}")[0] == 204

    assert len(fdi_emulator.runs_started(task_id)) == 1


def test_a_data_source_may_have_a_type_that_this_version_does_not_know(fdi_emulator: FdiEmulator) -> None:
    assert fdi_emulator.add_datasource("x", None, "POSTGRESQL/OPENGAUSS")
    assert fdi_emulator.add_datasource("y", None, "MRS HIVE")
