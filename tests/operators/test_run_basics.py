"""Running a task and waiting for it, in both modes: what an author of DAGs sees.

What happens when processes die and answers are lost on the way is shown in ``tests/reliability``.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.compat import AirflowFailException, AirflowSkipException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import (
    FdiDataGateFailed,
    FdiRunFailed,
    FdiTaskBusy,
    FdiTimeout,
)
from airflow_provider_fdi.operators import execution
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from tests.standin import StandIn, flat
from tests.taskinstance import ON_AIRFLOW_2, Store, context, deferral, event_of

pytestmark = pytest.mark.usefixtures("no_pauses", "events_at_once")

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LOCATE_INTERVAL", 0.05)


def make(fdi_task_id: str | None = "a-task", **arguments: Any) -> FdiRunTaskOperator:
    arguments = {"poll_interval": 0.05, "start_grace": 5} | arguments
    return FdiRunTaskOperator(task_id="run", fdi_task_id=fdi_task_id, **arguments)


def carry_out(arguments: dict[str, Any], given: dict[str, Any]) -> Any:
    """The whole way of a task through worker and triggerer, with a new operator after every deferral."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    method, event = "execute", None
    while True:
        operator = make(**arguments)
        try:
            if method == "execute":
                return operator.execute(given)
            return operator.resume_execution(method, {"event": event}, given)
        except TaskDeferred as deferred:
            assert arguments.get("deferrable")
            method, event = deferred.method_name, event_of(deferred.trigger)


@MODES
@pytest.mark.parametrize("store", [Store, lambda: None], ids=["store", "no store"])
def test_a_run_is_started_once_waited_for_and_recorded(
    fdi_emulator: FdiEmulator,
    fdi_connection: str,
    deferrable: bool,
    store: Callable[[], Store | None],
) -> None:
    task_id = fdi_emulator.add_task(script={"duration_ms": 300, "rows": 12, "dirty_rows": 1})
    given = context(store())
    record = carry_out({"fdi_task_id": task_id, "deferrable": deferrable}, given)
    (started,) = fdi_emulator.runs_started(task_id)
    assert record["fdi_run_id"] == started["run_id"]
    assert (record["status"], record["rows"], record["dirty_rows"]) == ("SUCCESS", 12, 1)
    assert record["joined"] is False
    assert given["ti"].xcoms["fdi_run_id"] == started["run_id"]


def test_both_modes_return_and_push_the_same(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    seen = []
    for deferrable in (False, True):
        task_id = fdi_emulator.add_task(script={"duration_ms": 300, "rows": 12, "dirty_rows": 1})
        given = context(Store())
        record = carry_out({"fdi_task_id": task_id, "deferrable": deferrable}, given)
        reported = json.dumps({"returned": record, **given["ti"].xcoms}, sort_keys=True)
        # What differs between any two runs: ids, and when.
        for mine, name in ((task_id, "the task"), (record["fdi_run_id"], "the run")):
            reported = reported.replace(mine, name)
        seen.append(re.sub(r"(_time|duration_ms|_iso)\": (\d+|\"[^\"]+\")", r'\1": "some"', reported))
    assert seen[0] == seen[1]
    assert all(f'"{name}"' in seen[0] for name in ("returned", "fdi_run_id", "fdi_task_link", "fdi_run_link"))


def test_the_record_of_a_run_that_succeeded_is_not_pushed_twice(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    given = context(Store())
    carry_out({"fdi_task_id": fdi_emulator.add_task(script={"rows": 12})}, given)
    assert "fdi_run" not in given["ti"].xcoms


def test_the_record_has_its_times_as_numbers_and_as_text(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    record = carry_out({"fdi_task_id": fdi_emulator.add_task(script={"rows": 12})}, context(Store()))
    for name in ("dispatch_time", "start_time", "end_time"):
        told = dt.datetime.fromisoformat(record[f"{name}_iso"])
        assert told.utcoffset() == dt.timedelta(0)
        assert round(told.timestamp() * 1000) == record[name]


@MODES
def test_the_task_may_be_named(fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool) -> None:
    fdi_emulator.add_task("nightly-2")
    task_id = fdi_emulator.add_task("nightly", script={"rows": 1})
    arguments = {"fdi_task_id": None, "fdi_task_name": "nightly", "deferrable": deferrable}
    assert carry_out(arguments, context(Store()))["fdi_task_id"] == task_id


@MODES
def test_a_failed_run_fails_the_task_with_the_service_s_words(
    fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool
) -> None:
    script = {"duration_ms": 100, "outcome": "ERROR", "remarks": "ORA-00942: table or view does not exist"}
    task_id = fdi_emulator.add_task(script=script)
    given = context(Store())
    with pytest.raises(FdiRunFailed, match="ORA-00942"):
        carry_out({"fdi_task_id": task_id, "deferrable": deferrable}, given)
    assert given["ti"].xcoms["fdi_run"]["status"] == "ERROR"


@MODES
@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"min_rows": 13}, r"^Rows: 12, required 13\.\n"),
        ({"max_dirty_rows": 0}, r"^Dirty rows: 1, allowed 0\.\n"),
    ],
)
def test_the_data_gate_fails_a_run_that_succeeded(
    fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool, gate: dict[str, Any], message: str
) -> None:
    task_id = fdi_emulator.add_task(script={"rows": 12, "dirty_rows": 1})
    with pytest.raises(FdiDataGateFailed, match=message):
        carry_out({"fdi_task_id": task_id, "deferrable": deferrable, **gate}, context(Store()))


@MODES
def test_skip_if_empty_skips_what_comes_after(
    fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool
) -> None:
    task_id = fdi_emulator.add_task(script={"rows": 0})
    with pytest.raises(AirflowSkipException, match="No rows"):
        carry_out({"fdi_task_id": task_id, "deferrable": deferrable, "skip_if_empty": True}, context(Store()))


@MODES
def test_without_waiting_the_run_is_returned_as_soon_as_it_is_known(
    fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool
) -> None:
    task_id = fdi_emulator.add_task(script={"hold": True})
    arguments = {"fdi_task_id": task_id, "wait_for_completion": False, "deferrable": deferrable}
    record = carry_out(arguments, context(Store()))
    assert record["status"] in ("WAITING", "RUNNING")
    assert record["fdi_run_id"] == fdi_emulator.runs_started(task_id)[0]["run_id"]


@pytest.fixture
def busy(fdi_emulator: FdiEmulator, fdi_connection: str) -> str:
    """A task that is executing a run which somebody else started."""
    task_id = fdi_emulator.add_task(script={"hold": True, "rows": 5})
    fdi_emulator.request("POST", f"tasks/{task_id}/run")
    return task_id


def test_if_running_fail_names_the_run(fdi_emulator: FdiEmulator, busy: str) -> None:
    (run,) = fdi_emulator.runs_started(busy)
    with pytest.raises(
        FdiTaskBusy, match=rf"(?s)^Another run is in progress, and if_running='fail'\..*{run['run_id']}"
    ):
        make(busy, if_running="fail").execute(context(Store()))


def test_if_running_skip_skips(busy: str) -> None:
    with pytest.raises(AirflowSkipException, match=r"if_running='skip'"):
        make(busy, if_running="skip").execute(context(Store()))


@MODES
def test_if_running_join_waits_for_the_run_of_another(
    fdi_emulator: FdiEmulator, busy: str, deferrable: bool
) -> None:
    (run,) = fdi_emulator.runs_started(busy)
    threading.Timer(0.3, fdi_emulator.release, [busy]).start()
    record = carry_out(
        {"fdi_task_id": busy, "if_running": "join", "deferrable": deferrable}, context(Store())
    )
    assert (record["fdi_run_id"], record["joined"]) == (run["run_id"], True)
    assert len(fdi_emulator.runs_started(busy)) == 1


@MODES
def test_if_running_wait_starts_ours_when_the_run_of_another_has_ended(
    fdi_emulator: FdiEmulator, busy: str, deferrable: bool
) -> None:
    fdi_emulator.script(busy, rows=6)

    threading.Timer(0.3, fdi_emulator.release, [busy]).start()
    record = carry_out({"fdi_task_id": busy, "deferrable": deferrable}, context(Store()))
    first, ours = fdi_emulator.runs_started(busy)
    assert (record["fdi_run_id"], record["joined"]) == (ours["run_id"], False)
    assert first["run_id"] != ours["run_id"]


def test_execution_timeout_ends_our_run_and_the_deferred_task(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    task_id = fdi_emulator.add_task(script={"hold": True})
    arguments = {
        "fdi_task_id": task_id,
        "deferrable": True,
        "execution_timeout": dt.timedelta(seconds=1),
        "poll_interval": 30,
    }
    began = time.monotonic()
    # On Airflow 2 the trigger has done so already.
    ended = "no run of ours was in progress" if ON_AIRFLOW_2 else "run .* was terminated"
    with pytest.raises(FdiTimeout, match=rf"^execution_timeout=0:00:01 is over\.\nFDI task .*: {ended}"):
        carry_out(arguments, context(Store()))
    assert time.monotonic() - began < 10
    assert fdi_emulator.journal_counts().get("StopTask") == 1


def test_the_trigger_s_arguments_hold_no_secret(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    task_id = fdi_emulator.add_task(script={"hold": True})
    deferred = deferral(make(task_id, deferrable=True), context(Store()))
    assert fdi_emulator.token not in str(deferred.trigger.serialize())


@pytest.mark.parametrize("status", [401, 403])
@MODES
def test_what_no_retry_can_mend_ends_the_task_at_once(
    stand_in: StandIn, deferrable: bool, status: int
) -> None:
    task_id = stand_in.add_task("nightly")
    stand_in.script("RunTask", *[flat("APIGW.0301", "Not you.", status)] * 2)
    with pytest.raises(AirflowFailException, match=r"^Not you \("):
        make(task_id, deferrable=deferrable).execute(context(Store()))


@MODES
def test_a_task_that_is_not_there_ends_the_task_at_once(stand_in: StandIn, deferrable: bool) -> None:
    with pytest.raises(AirflowFailException, match=r"^This task is not in the project \(FDI\.3180"):
        make("elsewhere", deferrable=deferrable).execute(context(Store()))
    assert stand_in.writes == []


@MODES
def test_a_real_airflow_runs_the_task_anew_after_a_failed_run(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    task_id = fdi_emulator.add_task()
    fdi_emulator.script(task_id, {"outcome": "ERROR", "remarks": "lock timeout"}, {"rows": 3})
    with DAG(f"run_retry_{deferrable}", schedule=None) as dag:
        make("{{ dag_run.conf.id }}", deferrable=deferrable, retries=1, retry_delay=0)
    run = run_dag(dag, run_conf={"id": task_id})
    (ti,) = run.get_task_instances()
    assert (str(ti.state), ti.try_number) == ("success", 2)
    assert len(fdi_emulator.runs_started(task_id)) == 2
    assert ti.xcom_pull(task_ids="run")["rows"] == 3


@pytest.mark.parametrize("status", [403, 500])
def test_a_poll_that_fails_after_the_start_does_not_fail_a_task_that_does_not_wait(
    fdi_emulator: FdiEmulator, fdi_connection: str, status: int
) -> None:
    task_id = fdi_emulator.add_task(script={"duration_ms": 60_000})
    # The search for other runs, the search for ours, and then the poll that describes it.
    fdi_emulator.fault("status", operation="ListMonitorLog", status=status, after=2, times=1)
    record = carry_out({"fdi_task_id": task_id, "wait_for_completion": False}, context(Store()))
    (started,) = fdi_emulator.runs_started(task_id)
    assert record["fdi_run_id"] == started["run_id"]
