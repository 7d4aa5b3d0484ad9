"""Waiting for runs that FDI starts itself: which run counts, what fails the sensor, and in which modes."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import airflow
import pytest

from airflow_provider_fdi.client.errors import FdiError, FdiServerError
from airflow_provider_fdi.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiRunFailed, FdiTimeout, FdiTriggerEventError
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor
from tests.server import RESET, Answer
from tests.standin import StandIn, flat, nested
from tests.taskinstance import context, deferral, event_of

pytestmark = pytest.mark.usefixtures("no_pauses", "events_at_once")

NOW = int(time.time() * 1000)
MINUTE = 60_000

BROKEN = flat("FDI.0001", "Internal error.", 500)
ATTEMPTS = 5
"""How often the client sends a request that the service fails to answer."""


@pytest.fixture(autouse=True)
def _never_rescheduled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 2 asks its database when a rescheduled sensor first poked; without one, it is now."""
    if airflow.__version__.startswith("2.") and "run_dag" not in request.fixturenames:
        monkeypatch.setattr("airflow.sensors.base._orig_start_date", lambda **ti: None)


@pytest.fixture
def fdi_task(stand_in: StandIn) -> str:
    return stand_in.add_task("nightly", status=1)


def make(fdi_task_id: str | None = "a-task", **arguments: Any) -> FdiTaskSensor:
    arguments = {"completed_after": NOW, "poke_interval": 0.02, "timeout": 20} | arguments
    return FdiTaskSensor(task_id="wait", fdi_task_id=fdi_task_id, **arguments)


def is_done(sensor: FdiTaskSensor) -> bool:
    return sensor.poke(context()).is_done


# --- which run counts ---------------------------------------------------------------------------------------


def test_a_success_after_the_given_time_satisfies_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW + MINUTE, NOW + 2 * MINUTE)
    given = context()
    record = make(fdi_task).execute(given)
    assert record["fdi_run_id"] == "run-1"
    assert (record["status"], record["rows"], record["end_time"]) == ("SUCCESS", 10, NOW + 2 * MINUTE)
    assert given["ti"].xcoms["fdi_run_id"] == "run-1"


def test_an_old_success_does_not_satisfy_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW - 2 * MINUTE, NOW - 1)
    assert not is_done(make(fdi_task))


def test_a_run_that_began_before_the_given_time_and_ended_after_it_counts(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW - 300 * MINUTE, NOW)
    assert is_done(make(fdi_task))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_of_more_than_a_day_counts_when_it_ends(
    fdi_emulator: FdiEmulator, fdi_connection: str, deferrable: bool
) -> None:
    task_id = fdi_emulator.add_task("slow")
    day = 24 * 60 * MINUTE
    now = fdi_emulator.now_ms()
    fdi_emulator.add_run(
        task_id, dispatch_time=now - 3 * day, start_time=now - 3 * day, end_time=now, spend_time=3 * day
    )
    sensor = make(task_id, completed_after=now - MINUTE, deferrable=deferrable)
    assert sensor.execute(context())["fdi_task_id"] == task_id


def test_a_run_in_progress_is_waited_for(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "RUNNING", NOW + MINUTE, None)
    assert not is_done(make(fdi_task))


def test_none_given_explicitly_takes_the_latest_run_whatever_its_age(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW - 10**10, NOW - 10**10 + MINUTE)
    assert is_done(make(fdi_task, completed_after=None))


@pytest.mark.parametrize(
    "after",
    [
        dt.datetime.fromtimestamp(NOW / 1000, dt.timezone.utc),
        dt.datetime.fromtimestamp(NOW / 1000, dt.timezone.utc).isoformat(),
        str(NOW),
    ],
    ids=["datetime", "ISO text", "digits"],
)
def test_the_given_time_may_have_any_form(stand_in: StandIn, fdi_task: str, after: Any) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW - MINUTE, NOW - 1)
    assert not is_done(make(fdi_task, completed_after=after))
    stand_in.add_run(fdi_task, "run-2", "SUCCESS", NOW, NOW + 1)
    assert is_done(make(fdi_task, completed_after=after))


def test_a_failed_run_fails_the_sensor_with_the_service_s_words(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(
        fdi_task, "run-1", "ERROR", NOW, NOW + 1, remarks="ORA-00942: table or view does not exist"
    )
    given = context()
    words = rf"(?s)^ORA-00942: table or view.*\nFDI task \S+ \({fdi_task}\): the run ended as ERROR.*run-1"
    with pytest.raises(FdiRunFailed, match=words):
        make(fdi_task).execute(given)
    assert given["ti"].xcoms["fdi_run"]["status"] == "ERROR"


def test_a_cancelled_run_fails_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "CANCELLED", NOW, NOW + 1)
    with pytest.raises(FdiRunFailed, match=r"^The run was cancelled\."):
        make(fdi_task).execute(context())


def test_a_state_that_is_not_known_fails_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "PARTIALLY_DONE", NOW, NOW + 1)
    with pytest.raises(FdiRunFailed, match="PARTIALLY_DONE"):
        make(fdi_task).execute(context())


def test_an_old_failure_does_not_fail_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "ERROR", NOW - 2 * MINUTE, NOW - 1)
    assert not is_done(make(fdi_task))


@pytest.mark.parametrize("code", [907, 909, 914])
def test_the_note_that_a_dispatch_was_refused_does_not_fail_the_sensor(
    stand_in: StandIn, fdi_task: str, code: int
) -> None:
    stand_in.add_run(fdi_task, "run-1", "ERROR", NOW, NOW + 1, status=code)
    assert not is_done(make(fdi_task))


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_runs_the_latest_counts(stand_in: StandIn, fdi_task: str, order: int) -> None:
    stand_in.add_run(fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    stand_in.add_run(fdi_task, "run-2", "SUCCESS", NOW + 2, NOW + 3)
    # The order of the log is not documented.
    stand_in.runs[fdi_task] = stand_in.runs[fdi_task][::order]
    assert make(fdi_task).execute(context())["fdi_run_id"] == "run-2"


def test_a_failure_after_a_success_fails_the_sensor(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    stand_in.add_run(fdi_task, "run-2", "ERROR", NOW + 2, NOW + 3)
    with pytest.raises(FdiRunFailed, match="run-2"):
        make(fdi_task).execute(context())


def test_other_target_statuses_may_be_given(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "CANCELLED", NOW, NOW + 1)
    assert is_done(make(fdi_task, target_statuses=["success", "cancelled"]))


def test_without_failure_statuses_the_sensor_waits_on_for_a_success(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    sensor = make(fdi_task, failure_statuses=[])
    assert not is_done(sensor)
    stand_in.add_run(fdi_task, "run-2", "SUCCESS", NOW + 2, NOW + 3)
    assert is_done(sensor)


def test_the_task_may_be_named_exactly(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_task("nightly-2")
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    assert make(None, fdi_task_name="nightly").execute(context())["fdi_task_id"] == fdi_task


def test_a_run_is_waited_for_by_its_id(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "RUNNING", NOW - MINUTE, None)
    stand_in.add_run(fdi_task, "run-2", "SUCCESS", NOW, NOW + 1)
    sensor = make(fdi_task, fdi_run_id="run-1", completed_after=None)
    assert not is_done(sensor)
    stand_in.runs[fdi_task][0] |= {"execute_status": "SUCCESS", "end_time": NOW}
    assert sensor.execute(context())["fdi_run_id"] == "run-1"


def test_a_run_by_id_needs_no_time(stand_in: StandIn) -> None:
    FdiTaskSensor(task_id="wait", fdi_task_id="a-task", fdi_run_id="run-1")


def test_a_run_by_id_that_the_log_does_not_show_yet_is_waited_for(stand_in: StandIn, fdi_task: str) -> None:
    assert not is_done(make(fdi_task, fdi_run_id="run-1"))


def test_the_sensor_writes_nothing(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    make(fdi_task).execute(context())
    assert stand_in.writes == []


# --- tasks that never end -----------------------------------------------------------------------------------

ENDLESS = [{"task_type": "REALTIME"}, {"task_type": "TIMING", "ext_type": "cdc"}]


@pytest.mark.parametrize("kind", ENDLESS, ids=["real-time", "composite"])
def test_a_task_that_never_ends_satisfies_the_sensor_when_it_is_started_and_executing(
    stand_in: StandIn, kind: dict[str, Any]
) -> None:
    task_id = stand_in.add_task("stream", status=0, execute_status="UNSTARTED", **kind)
    sensor = make(task_id)
    assert not is_done(sensor)
    stand_in.tasks[task_id] |= {"status": 1, "execute_status": "WAITING"}
    assert not is_done(sensor)
    stand_in.tasks[task_id]["execute_status"] = "RUNNING"
    assert sensor.execute(context()) == {
        "fdi_task_id": task_id,
        "task_status": "RUNNING",
        "status": "RUNNING",
    }


def test_a_task_that_never_ends_and_is_deleted_ends_a_synchronous_sensor(stand_in: StandIn) -> None:
    task_id = stand_in.add_task("stream", status=0, task_type="REALTIME")
    sensor = make(task_id)
    assert not is_done(sensor)
    del stand_in.tasks[task_id]
    with pytest.raises(AirflowFailException, match="get_task"):
        sensor.execute(context())


@pytest.mark.parametrize("status", ["ERROR", "CANCELLED"])
def test_a_task_that_never_ends_fails_the_sensor_when_its_execution_ended(
    stand_in: StandIn, status: str
) -> None:
    task_id = stand_in.add_task("stream", status=1, execute_status=status, task_type="REALTIME")
    with pytest.raises(FdiRunFailed, match=rf"ended as {status}\.\nFDI task stream \({task_id}\)"):
        make(task_id).execute(context())


# --- the modes ----------------------------------------------------------------------------------------------


def test_a_synchronous_sensor_pokes_until_the_run_has_ended(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run_after_polls(2, fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    assert make(fdi_task).execute(context())["fdi_run_id"] == "run-1"
    assert len(stand_in.of("ListMonitorLog")) == 3


def test_a_deferrable_sensor_that_is_satisfied_at_once_does_not_defer(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    assert make(fdi_task, deferrable=True).execute(context())["fdi_run_id"] == "run-1"


def resume(deferred: Any, given: Any, event: Any, **arguments: Any) -> Any:
    """Go on in a new process, as it were: on a new operator, by Airflow's own way."""
    sensor = make(**arguments)
    return sensor.resume_execution(deferred.method_name, {"event": event}, given)


@pytest.mark.parametrize("named", [False, True], ids=["by id", "by name"])
def test_a_deferrable_sensor_waits_in_the_triggerer(stand_in: StandIn, fdi_task: str, named: bool) -> None:
    stand_in.add_run_after_polls(3, fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    arguments = {"fdi_task_id": None, "fdi_task_name": "nightly"} if named else {"fdi_task_id": fdi_task}
    given = context()
    deferred = deferral(make(deferrable=True, **arguments), given)
    event = event_of(deferred.trigger)
    assert event["status"] == "ready"
    record = resume(deferred, given, event, deferrable=True, **arguments)
    assert record["fdi_run_id"] == "run-1"


def test_a_run_that_fails_while_the_sensor_is_deferred_fails_it(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run_after_polls(2, fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    given = context()
    deferred = deferral(make(fdi_task, deferrable=True), given)
    with pytest.raises(FdiRunFailed, match="run-1"):
        resume(deferred, given, event_of(deferred.trigger), fdi_task_id=fdi_task, deferrable=True)


def test_a_task_that_never_ends_is_waited_for_in_the_triggerer(stand_in: StandIn) -> None:
    task_id = stand_in.add_task("stream", status=0, execute_status="UNSTARTED", task_type="REALTIME")
    given = context()
    deferred = deferral(make(task_id, deferrable=True), given)
    stand_in.tasks[task_id] |= {"status": 1, "execute_status": "RUNNING"}
    record = resume(deferred, given, event_of(deferred.trigger), fdi_task_id=task_id, deferrable=True)
    assert record["status"] == "RUNNING"


def test_an_event_only_wakes_and_a_sensor_that_is_not_satisfied_defers_again(
    stand_in: StandIn, fdi_task: str
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred):
        make(fdi_task, deferrable=True).execute_complete(context(), event={"status": "ready"})


def test_the_trigger_s_arguments_hold_no_secret(stand_in: StandIn, fdi_task: str) -> None:
    from tests.standin import TOKEN

    deferred = deferral(make(fdi_task, deferrable=True), context())
    assert TOKEN not in str(deferred.trigger.serialize())


# --- what the log says --------------------------------------------------------------------------------------


class Lines(list[str]):
    """Collects what an operator logs, whichever logger this version of Airflow gives it."""

    def info(self, text: str, *args: object) -> None:
        self.append(text % args if args else text)

    debug = warning = info


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    collected = Lines()
    monkeypatch.setattr(FdiTaskSensor, "log", collected)
    return collected


def test_a_sensor_logs_what_there_is_whenever_that_changes(
    stand_in: StandIn, fdi_task: str, lines: Lines
) -> None:
    sensor = make(fdi_task)
    for _ in range(2):
        sensor.poke(context())
    stand_in.add_run(fdi_task, "run-1", "RUNNING", NOW + MINUTE, None)
    for _ in range(2):
        sensor.poke(context())
    seen = [line.partition("): ")[2] for line in lines if line.startswith("No run that counts")]
    assert len(seen) == 2
    assert seen[0] == "its log shows none."
    assert seen[1].startswith("the latest is RUNNING")


def test_a_sensor_on_a_task_that_never_ends_reports_its_state(stand_in: StandIn, lines: Lines) -> None:
    task_id = stand_in.add_task("stream", status=0, execute_status="UNSTARTED", task_type="REALTIME")
    make(task_id).poke(context())
    task = f"FDI task stream ({task_id}): it is STOPPED, its execution UNSTARTED."
    assert lines == [f"The task, which never ends by itself, is not executing. {task}"]


# --- timeout ------------------------------------------------------------------------------------------------


def test_a_synchronous_sensor_that_times_out_says_what_is_missing_and_what_there_was(
    stand_in: StandIn, fdi_task: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW - 2 * MINUTE, NOW - MINUTE)
    missing = (
        rf"^No run that counts has ended at or after {NOW}\.\n.*{fdi_task}.*: the latest is SUCCESS.*run-1"
    )
    with pytest.raises(AirflowSensorTimeout, match=missing + r"\)\.\nThe sensor has timed out"):
        make(fdi_task, timeout=0.05).execute(context())


def test_a_deferred_sensor_times_out_although_the_trigger_has_long_intervals(
    stand_in: StandIn, fdi_task: str
) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "timeout": 0.3, "poke_interval": 60}
    given = context()
    deferred = deferral(make(**arguments), given)
    began = time.monotonic()
    event = event_of(deferred.trigger)
    assert time.monotonic() - began < 5
    with pytest.raises(AirflowSensorTimeout, match=r"0\.3 s"):
        resume(deferred, given, event, **arguments)


def test_the_timeout_counts_from_the_start_of_the_task_over_all_deferrals(
    stand_in: StandIn, fdi_task: str
) -> None:
    given = context()
    given["ti"].start_date -= dt.timedelta(seconds=100)
    deferred = deferral(make(fdi_task, deferrable=True, timeout=130), given)
    left = deferred.trigger.serialize()[1]["deadline"] - time.time()
    assert 25 < left < 31
    assert deferred.timeout.total_seconds() > left  # Airflow's own is only the backstop


EXECUTION_TIMEOUT = {"deferrable": True, "poke_interval": 60, "execution_timeout": dt.timedelta(seconds=0.2)}


def test_the_execution_timeout_holds_for_a_deferred_sensor(stand_in: StandIn, fdi_task: str) -> None:
    given = context()
    deferred = deferral(make(fdi_task, **EXECUTION_TIMEOUT), given)
    with pytest.raises(FdiTimeout, match=r"execution_timeout=0:00:00\.2"):
        resume(deferred, given, event_of(deferred.trigger), fdi_task_id=fdi_task, **EXECUTION_TIMEOUT)


# --- soft_fail ----------------------------------------------------------------------------------------------

MODES: dict[str, dict[str, Any]] = {
    "poke": {},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("soft", ["soft_fail", "never_fail"])
def test_soft_fail_skips_for_a_failed_run(
    stand_in: StandIn, fdi_task: str, mode: dict[str, Any], soft: str
) -> None:
    stand_in.add_run(fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    with pytest.raises(AirflowSkipException):
        make(fdi_task, **{soft: True}, **mode).execute(context())


def test_soft_fail_skips_for_a_run_that_fails_while_deferred(stand_in: StandIn, fdi_task: str) -> None:
    stand_in.add_run_after_polls(1, fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "soft_fail": True}
    given = context()
    deferred = deferral(make(**arguments), given)
    with pytest.raises(AirflowSkipException):
        resume(deferred, given, event_of(deferred.trigger), **arguments)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_soft_fail_skips_for_a_timeout(stand_in: StandIn, fdi_task: str, mode: str) -> None:
    with pytest.raises(AirflowSkipException):
        make(fdi_task, timeout=0, soft_fail=True, mode=mode).execute(context())


def test_soft_fail_skips_for_a_timeout_while_deferred(stand_in: StandIn, fdi_task: str) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "soft_fail": True, "timeout": 0.1}
    given = context()
    deferred = deferral(make(**arguments), given)
    with pytest.raises(AirflowSkipException):
        resume(deferred, given, event_of(deferred.trigger), **arguments)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    "answer", [nested("APIGW.0301", "Not you.", 401), nested("FDI.3021", "None such.", 404)]
)
def test_soft_fail_skips_for_permanent_errors(
    stand_in: StandIn, fdi_task: str, mode: dict[str, Any], answer: Answer
) -> None:
    stand_in.script("ListMonitorLog", answer, answer)
    with pytest.raises(AirflowSkipException, match=r"Not you|None such|soft_fail"):
        make(fdi_task, soft_fail=True, **mode).execute(context())


def test_soft_fail_skips_for_a_permanent_error_while_deferred(stand_in: StandIn, fdi_task: str) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "soft_fail": True}
    given = context()
    deferred = deferral(make(**arguments), given)
    stand_in.script("ListMonitorLog", *[flat("FDI.3021", "The task does not exist.", 404)] * 3)
    with pytest.raises(AirflowSkipException):
        resume(deferred, given, event_of(deferred.trigger), **arguments)


def test_soft_fail_skips_for_the_execution_timeout_while_deferred(stand_in: StandIn, fdi_task: str) -> None:
    arguments = EXECUTION_TIMEOUT | {"soft_fail": True}
    given = context()
    deferred = deferral(make(fdi_task, **arguments), given)
    with pytest.raises(AirflowSkipException):
        resume(deferred, given, event_of(deferred.trigger), fdi_task_id=fdi_task, **arguments)


# --- polls that fail ----------------------------------------------------------------------------------------


def break_down(stand_in: StandIn, operation: str, polls: int, answer: Answer = BROKEN) -> None:
    stand_in.script(operation, *[answer] * (polls * ATTEMPTS))


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize("operation", ["ListTasks", "ListMonitorLog"])
@pytest.mark.parametrize("answer", [BROKEN, RESET, Answer(200, b"?")], ids=["500", "reset", "not JSON"])
def test_a_poll_that_fails_is_absorbed(
    stand_in: StandIn, fdi_task: str, mode: str, operation: str, answer: Answer
) -> None:
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    break_down(stand_in, operation, 1, answer)
    sensor = make(fdi_task, mode=mode)
    assert not is_done(sensor)
    stand_in.scripted.clear()
    assert is_done(sensor)


@pytest.mark.parametrize("operation", ["ListTasks", "ListMonitorLog"])
def test_a_deferrable_sensor_absorbs_a_poll_that_fails_in_the_worker(
    stand_in: StandIn, fdi_task: str, operation: str
) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True}
    break_down(stand_in, operation, 1)
    given = context()
    deferred = deferral(make(**arguments), given)
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    record = resume(deferred, given, event_of(deferred.trigger), **arguments)
    assert record["fdi_run_id"] == "run-1"


def test_a_deferrable_sensor_absorbs_a_poll_that_fails_in_the_triggerer(
    stand_in: StandIn, fdi_task: str
) -> None:
    given = context()
    deferred = deferral(make(fdi_task, deferrable=True), given)
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    break_down(stand_in, "ListMonitorLog", 1)
    assert event_of(deferred.trigger)["status"] == "ready"


def test_polls_that_fail_for_too_long_fail_the_sensor_with_the_service_s_words(
    stand_in: StandIn, fdi_task: str
) -> None:
    break_down(stand_in, "ListMonitorLog", 200)
    with pytest.raises(FdiServerError, match=r"^Internal error \("):
        make(fdi_task, poll_failure_timeout=0.05).execute(context())


def test_polls_that_fail_for_too_long_while_deferred_fail_the_sensor(
    stand_in: StandIn, fdi_task: str
) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "poll_failure_timeout": 0.05}
    given = context()
    deferred = deferral(make(**arguments), given)
    break_down(stand_in, "ListMonitorLog", 200)
    with pytest.raises(FdiTriggerEventError, match=r"^Internal error \("):
        resume(deferred, given, event_of(deferred.trigger), **arguments)


def test_a_poll_that_succeeds_ends_the_count_of_those_that_failed(stand_in: StandIn, fdi_task: str) -> None:
    sensor = make(fdi_task, poll_failure_timeout=0.2)
    for _ in range(3):
        break_down(stand_in, "ListMonitorLog", 1)
        assert not is_done(sensor)
        assert not is_done(sensor)
        time.sleep(0.12)


def test_rescheduled_polls_may_fail_for_as_long_as_the_sensor_may_wait(
    stand_in: StandIn, fdi_task: str
) -> None:
    # Every poke is in a process of its own, and none knows for how long the others have failed.
    break_down(stand_in, "ListMonitorLog", 3)
    for _ in range(3):
        assert not is_done(make(fdi_task, mode="reschedule", poll_failure_timeout=0))


PERMANENT = {
    "400": flat("FDI.3001", "Bad request."),
    "401": nested("APIGW.0301", "Not you.", 401),
    "403": nested("APIGW.0302", "Not yours.", 403),
    "404": flat("FDI.3021", "The task does not exist.", 404),
    "missing": flat("FDI.3021", "The task does not exist.", 400),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("answer", PERMANENT.values(), ids=PERMANENT)
def test_a_permanent_error_ends_the_sensor_at_once(
    stand_in: StandIn, fdi_task: str, mode: dict[str, Any], answer: Answer
) -> None:
    stand_in.script("ListMonitorLog", answer, answer)
    with pytest.raises(AirflowFailException) as caught:
        make(fdi_task, **mode).execute(context())
    assert isinstance(caught.value.__context__, FdiError)
    assert str(caught.value).startswith(answer.body.get("error_msg", "").rstrip("."))


def test_a_refusal_after_polls_that_succeeded_is_absorbed(stand_in: StandIn, fdi_task: str) -> None:
    sensor = make(fdi_task)
    assert not is_done(sensor)
    stand_in.script("ListMonitorLog", PERMANENT["403"])
    assert not is_done(sensor)
    stand_in.add_run(fdi_task, "run-1", "SUCCESS", NOW, NOW + 1)
    assert is_done(sensor)


def test_a_permanent_error_while_deferred_ends_the_sensor_without_a_retry(
    stand_in: StandIn, fdi_task: str
) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True}
    given = context()
    deferred = deferral(make(**arguments), given)
    stand_in.script("ListMonitorLog", *[flat("FDI.3021", "The task does not exist.", 404)] * 3)
    with pytest.raises(AirflowFailException, match=r"^The task does not exist \(FDI\.3021"):
        resume(deferred, given, event_of(deferred.trigger), **arguments)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_task_that_is_not_there_ends_the_sensor_at_once(stand_in: StandIn, mode: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match=r"^This task is not in the project \(FDI\.3180"):
        make("elsewhere", **mode).execute(context())


# --- on a real Airflow --------------------------------------------------------------------------------------


def run_with(run_dag: Callable[..., Any], name: str, **arguments: Any) -> tuple[str, Any]:
    from airflow.providers.common.compat.sdk import DAG

    with DAG(name, schedule=None) as dag:
        make(**arguments)
    (ti,) = run_dag(dag).get_task_instances()
    return str(ti.state), ti


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_real_airflow_waits_for_a_run_that_fdi_starts(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any], mode: dict[str, Any]
) -> None:
    task_id = fdi_emulator.add_task(started=True, schedule=True, script={"duration_ms": 0, "rows": 7})
    fdi_emulator.add_run(task_id)  # yesterday's, as it were
    after = fdi_emulator.now_ms() + MINUTE
    fdi_emulator.add_run(task_id, start_time=after, end_time=after + 1)
    state, ti = run_with(
        run_dag, f"sensor_{'_'.join(mode)}", fdi_task_id=task_id, completed_after=after, **mode
    )
    assert state == "success"
    assert ti.xcom_pull(task_ids="wait", key="fdi_run_id")


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_real_airflow_skips_softly(
    stand_in: StandIn, fdi_task: str, run_dag: Callable[..., Any], mode: dict[str, Any]
) -> None:
    stand_in.add_run_after_polls(1, fdi_task, "run-1", "ERROR", NOW, NOW + 1)
    arguments = {"fdi_task_id": fdi_task, "soft_fail": True, **mode}
    assert run_with(run_dag, f"soft_{'_'.join(mode)}", **arguments)[0] == "skipped"


def test_a_real_airflow_ends_a_deferred_sensor_that_is_over_its_time(
    stand_in: StandIn, fdi_task: str, run_dag: Callable[..., Any]
) -> None:
    arguments = {"fdi_task_id": fdi_task, "deferrable": True, "timeout": 1, "retries": 2}
    state, ti = run_with(run_dag, "timeout_deferred", **arguments)
    assert (state, ti.try_number) == ("failed", 1)
