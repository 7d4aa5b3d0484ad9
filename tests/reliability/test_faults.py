"""Faults around the start of a run: whatever is answered, one run is started, and it is the one taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiConnectionError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiRunFailed, FdiTaskBusy
from airflow_provider_fdi.runs import start
from airflow_provider_fdi.runs.start import FdiStartError
from tests.reliability.tries import Background, Tries
from tests.taskinstance import Store
from tests.waiting import eventually

MakeTries = Callable[..., Tries]


def one_run_was_started(emulator: FdiEmulator, task: str, result: dict[str, Any]) -> None:
    started = emulator.runs_started(task)
    assert [run["run_id"] for run in started] == [result["fdi_run_id"]]
    assert result["status"] == "SUCCESS"


HANDLED = {
    "answer lost": {"kind": "reset_after"},
    "500 after handling": {"kind": "status_after", "status": 500},
    "502 after handling": {"kind": "status_after", "status": 502},
    "503 after handling": {"kind": "status_after", "status": 503},
    "504 after handling": {"kind": "status_after", "status": 504},
    "FDI.3018 after handling": {
        "kind": "status_after",
        "status": 500,
        "body": {"error_code": "FDI.3018", "error_msg": "Failed to start the scheduled task."},
    },
    "HTML page after handling": {"kind": "html", "handle": True},
    "FDI.3018 as a bad request": {
        "kind": "status_after",
        "status": 400,
        "body": {"error_code": "FDI.3018", "error_msg": "Failed to start the scheduled task."},
    },
    "truncated body": {"kind": "truncate_body"},
    "broken JSON": {"kind": "malformed_json"},
}
UNHANDLED = {
    "reset before handling": {"kind": "reset_before"},
    "500 before handling": {"kind": "status", "status": 500},
    "502 before handling": {"kind": "status", "status": 502},
    "HTML page of a proxy": {"kind": "html"},
    "FDI.3018 before handling": {
        "kind": "status",
        "status": 500,
        "body": {"error_code": "FDI.3018", "error_msg": "Failed to start the scheduled task."},
    },
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
}


@pytest.mark.parametrize("fault", HANDLED.values(), ids=HANDLED)
def test_a_start_that_was_carried_out_is_found_and_not_sent_again(
    emulator: FdiEmulator, task: str, tries: MakeTries, fault: dict[str, Any]
) -> None:
    emulator.add_run(task)
    emulator.fault(operation="RunTask", **fault)

    result = tries().run()

    one_run_was_started(emulator, task, result)
    assert emulator.journal_counts()["RunTask"] == 1


@pytest.mark.parametrize(
    ("mode_", "fault"),
    [
        *(pytest.param("sync", fault, id=f"sync-{name}") for name, fault in UNHANDLED.items()),
        pytest.param("deferrable", UNHANDLED["reset before handling"], id="deferrable-reset before handling"),
    ],
)
def test_a_start_that_was_not_carried_out_is_sent_again_once_that_is_certain(
    emulator: FdiEmulator, task: str, mode_: str, fault: dict[str, Any]
) -> None:
    earlier = emulator.add_run(task)
    emulator.fault(operation="RunTask", **fault)

    result = Tries(task, mode_, start_grace=0.1).run()

    one_run_was_started(emulator, task, result)
    assert result["fdi_run_id"] != earlier
    assert emulator.journal_counts()["RunTask"] == 2


def test_starts_that_nobody_answers_end_after_the_second_with_the_words_of_the_service(
    emulator: FdiEmulator, task: str, mode: str
) -> None:
    words = {"error_code": "FDI.3018", "error_msg": "Failed to start the scheduled task."}
    emulator.fault("status", operation="RunTask", status=500, body=words, times=None)

    with pytest.raises(FdiStartError, match=r"2 starts were left unanswered \(Failed to start.*FDI\.3018"):
        Tries(task, mode, start_grace=0.1).run()

    assert emulator.journal_counts()["RunTask"] == 2


def test_a_throttled_start_waits_as_long_as_retry_after_says(emulator: FdiEmulator, task: str) -> None:
    emulator.fault("status", operation="RunTask", status=429, headers={"Retry-After": "1"})

    Tries(task, "sync").run()

    first, second = [row["time"] for row in emulator.journal("RunTask")]
    assert second - first >= 1000


@pytest.mark.parametrize("kind", ["reset_after", "status_after", "reset_before", "truncate_body", "html"])
def test_polls_that_fail_do_not_matter(emulator: FdiEmulator, task: str, tries: MakeTries, kind: str) -> None:
    emulator.fault(kind, operation="ListMonitorLog", times=4, after=1)

    result = tries().run()

    one_run_was_started(emulator, task, result)


@pytest.mark.parametrize("operation", ["ListTasks", "ListMonitorLog"])
@pytest.mark.parametrize("by_name", [False, True], ids=["by id", "by name"])
def test_a_service_that_is_away_before_the_start_is_waited_for(
    emulator: FdiEmulator, task: str, tries: MakeTries, operation: str, by_name: bool
) -> None:
    emulator.fault("reset_before", operation=operation, times=12)
    named = {"fdi_task_id": None, "fdi_task_name": "daily-load"} if by_name else {}

    result = tries(**named).run()

    one_run_was_started(emulator, task, result)


def test_a_service_that_stays_away_before_the_start_fails_the_try_in_time(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.fault("reset_before", operation="ListTasks", times=None)
    began = time.monotonic()

    with pytest.raises(FdiConnectionError):
        tries(poll_failure_timeout=1).run()
    assert time.monotonic() - began < 10
    assert emulator.runs_started(task) == []


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_before_the_start_is_not_waited_out(
    emulator: FdiEmulator, task: str, tries: MakeTries, status: int
) -> None:
    emulator.fault("status", operation="ListTasks", times=None, status=status)

    with pytest.raises(AirflowFailException):
        tries().run()
    assert emulator.journal_counts()["ListTasks"] == 1


class ReplacedStore(Store):
    """The state store of a try that a newer one replaces right after its intent was written."""

    def get(self, key: str) -> Any:
        return None if key in self.kept else super().get(key)


def test_a_try_that_a_newer_one_has_replaced_starts_nothing(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    with pytest.raises(FdiStartError, match=r"^Nothing was started: a newer try"):
        tries(store=ReplacedStore()).run()
    assert "RunTask" not in emulator.journal_counts()


def slow_intents(monkeypatch: pytest.MonkeyPatch, seconds: float, times: int) -> None:
    """Let so many intents take so long to be stored and confirmed."""
    clock = [0.0]
    left = [2 * times]

    def boot_time() -> float:
        clock[0] += seconds if left[0] > 0 else 0.0
        left[0] -= 1
        return clock[0]

    monkeypatch.setattr(start, "boot_time", boot_time)


def test_an_intent_that_took_too_long_is_not_acted_on_but_written_anew(
    emulator: FdiEmulator, task: str, tries: MakeTries, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_intents(monkeypatch, 0.6, times=2)

    result = tries(start_grace=1).run()

    one_run_was_started(emulator, task, result)


def test_intents_that_always_take_too_long_fail_the_try(
    emulator: FdiEmulator, task: str, tries: MakeTries, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_intents(monkeypatch, 0.6, times=100)

    with pytest.raises(FdiStartError, match=r"(?s)more\s+than\s+half\s+of\s+start_grace=1\s+s,\s+5\s+times"):
        tries(start_grace=1).run()
    assert "RunTask" not in emulator.journal_counts()


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
def test_a_log_late_up_to_just_under_the_grace_is_waited_for(
    emulator: FdiEmulator, task: str, tries: MakeTries, lost: bool
) -> None:
    emulator.add_run(task)
    emulator.switch(run_log_delay_ms=900)
    if lost:
        emulator.fault("reset_after", operation="RunTask")

    result = tries(start_grace=1).run()

    one_run_was_started(emulator, task, result)


def test_a_try_that_died_in_the_start_is_given_the_whole_grace_too(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.switch(run_log_delay_ms=1400)
    attempts = tries(start_grace=1.5)

    class Died(BaseException):
        pass

    # Late in its second, where a clock of whole seconds is furthest off.
    eventually(lambda: 0.9 < (emulator.now_ms() / 1000) % 1 < 0.96)
    keep = attempts.store.set  # type: ignore[union-attr]

    def set_and_die(key: str, value: Any) -> None:
        if value["accepted"]:
            raise Died
        keep(key, value)

    attempts.store.set = set_and_die  # type: ignore[method-assign, union-attr]
    with pytest.raises(Died):
        attempts.run()
    attempts.store.set = keep  # type: ignore[method-assign, union-attr]

    result = attempts.run()

    one_run_was_started(emulator, task, result)


@pytest.mark.parametrize("off_ms", [-600_000, 600_000], ids=["behind", "ahead"])
@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
def test_a_server_clock_ten_minutes_off_does_not_matter(
    emulator: FdiEmulator, task: str, tries: MakeTries, off_ms: int, lost: bool
) -> None:
    emulator.move_clock(off_ms)
    emulator.add_run(task)
    if lost:
        emulator.fault("reset_after", operation="RunTask")

    result = tries().run()

    one_run_was_started(emulator, task, result)


def test_answers_without_a_date_are_read_by_the_clock_of_this_machine(
    emulator: FdiEmulator, task: str, tries: MakeTries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def without_date(*args: Any, **kwargs: Any) -> Any:
        response = send(*args, **kwargs)
        del response.headers["Date"]
        return response

    monkeypatch.setattr(HTTPAdapter, "send", without_date)
    emulator.add_run(task)

    one_run_was_started(emulator, task, tries().run())


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
def test_the_order_of_the_log_does_not_matter(
    emulator: FdiEmulator, task: str, tries: MakeTries, order: str, lost: bool
) -> None:
    emulator.switch(log_order=order)
    for _ in range(3):
        emulator.add_run(task)
    if lost:
        emulator.fault("reset_after", operation="RunTask")

    one_run_was_started(emulator, task, tries().run())


@pytest.mark.parametrize(
    ("time_", "script"),
    [
        ("dispatch_time", {"duration_ms": 100}),
        # The row lacks the time, and the filter hides it, until the grace is long over.
        ("start_time", {"waiting_ms": 1600, "duration_ms": 50}),
        ("end_time", {"duration_ms": 1600}),
    ],
)
def test_whichever_time_the_log_is_filtered_by(
    emulator: FdiEmulator, task: str, tries: MakeTries, time_: str, script: dict[str, Any]
) -> None:
    emulator.switch(begin_time_filters=time_)
    emulator.add_run(task)
    emulator.script(task, **script)
    emulator.fault("reset_after", operation="RunTask")

    one_run_was_started(emulator, task, tries(start_grace=0.1).run())


def test_a_run_that_is_cancelled_in_the_queue_ends_the_wait_although_the_filter_hides_it(
    emulator: FdiEmulator, task: str, tries: MakeTries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Listing

    emulator.script(task, waiting_ms=60_000)
    attempts = tries()
    trial = Background(attempts.run)
    eventually(lambda: (attempts.record or {}).get("run_id"))
    list_runs = FdiClient.list_runs

    def by_a_time_that_the_row_lacks(self: FdiClient, *args: Any, **filters: Any) -> Any:
        rows = list_runs(self, *args, **filters)
        return Listing((), 0, rows.server_time) if filters.get("begin_time") else rows

    monkeypatch.setattr(FdiClient, "list_runs", by_a_time_that_the_row_lacks)
    emulator.request("POST", f"tasks/{task}/terminate")

    with pytest.raises(FdiRunFailed, match=r"^The run was cancelled"):
        trial.result(10)


def test_a_run_that_ends_between_the_last_poll_of_the_log_and_of_the_state_is_found(
    emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_fdi.client.client import FdiClient

    emulator.switch(begin_time_filters="end_time")
    emulator.script(task, hold=True)
    emulator.fault("reset_after", operation="RunTask")
    list_tasks = FdiClient.list_tasks

    def just_over(self: FdiClient, **kwargs: Any) -> Any:
        emulator.release(task)
        return list_tasks(self, **kwargs)

    monkeypatch.setattr(FdiClient, "list_tasks", just_over)

    one_run_was_started(emulator, task, Tries(task, "sync", start_grace=0.1).run())


def test_a_run_that_waits_long_for_its_turn_is_ours_all_the_same(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, waiting_ms=400, duration_ms=50)

    one_run_was_started(emulator, task, tries(start_grace=0.2).run())


def test_a_schedule_firing_into_our_run_leaves_a_row_that_is_not_taken_for_ours(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, duration_ms=1500)
    now = emulator.now_ms
    trial = Background(tries(start_grace=0.3).run)
    ours = eventually(lambda: emulator.runs_started(task))[0]["run_id"]
    emulator.add_run(
        task, execute_status="ERROR", status=914, dispatch_time=now(), start_time=now(), end_time=now()
    )

    assert trial.result()["fdi_run_id"] == ours


def test_a_schedule_at_the_same_second_costs_no_second_start(emulator: FdiEmulator, tries: MakeTries) -> None:
    # The schedule fires between the search for other runs and the start.
    emulator.switch(overlap_style="http")
    start = emulator.now_ms() // 1000 * 1000 + 1000
    task = emulator.add_task(
        "both",
        schedule={"start_datetime": start, "period": "DAY", "dispatch_interval": 1},
        started=True,
        script={"duration_ms": 300, "rows": 5},
    )
    eventually(lambda: emulator.now_ms() > start - 60)
    attempts = tries(fdi_task_id=task, if_running="join", start_grace=0.3)

    result = attempts.run()

    started = [run["run_id"] for run in emulator.runs_started(task)]
    assert result["fdi_run_id"] in started
    assert len(emulator.runs_started(task, "manual")) + (1 if result["joined"] else 0) <= 1


# --- a start that is refused because another run is in progress ------------------------------------


REFUSALS = {
    "FDI.3026": {"status": 400, "body": {"error_code": "FDI.3026", "error_msg": "Failed to start."}},
    "FDI.3023": {"status": 409, "body": {"error_code": "FDI.3023", "error_msg": "The task is running."}},
}


@pytest.fixture
def overtaken(emulator: FdiEmulator, task: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Another's run begins between the search for other runs and the start, and ends when it is released."""
    from airflow_provider_fdi.client.client import FdiClient

    run_task = FdiClient.run_task
    others: list[str] = []

    def overtaken_run(self: FdiClient, *args: Any, **kwargs: Any) -> None:
        if not others:
            others.append(emulator.add_run(task, execute_status="RUNNING"))
        run_task(self, *args, **kwargs)

    monkeypatch.setattr(FdiClient, "run_task", overtaken_run)
    return others


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_start_waits_for_the_run_in_its_way(
    emulator: FdiEmulator, task: str, tries: MakeTries, overtaken: list[str], refusal: dict[str, Any]
) -> None:
    emulator.fault("status", operation="RunTask", **refusal)
    trial = Background(tries().run)
    eventually(lambda: emulator.journal_counts().get("ListTasks", 0) >= 3)
    assert trial.alive
    emulator.release(task)

    result = trial.result()

    one_run_was_started(emulator, task, result)
    assert result["fdi_run_id"] not in overtaken


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_start_fails_if_configured_so(
    emulator: FdiEmulator, tries: MakeTries, overtaken: list[str], refusal: dict[str, Any]
) -> None:
    emulator.fault("status", operation="RunTask", **refusal)

    with pytest.raises(FdiTaskBusy, match=r"^Another run is in progress, and if_running='fail'"):
        tries(if_running="fail").run()


def test_a_refused_start_joins_the_run_in_its_way(
    emulator: FdiEmulator, task: str, tries: MakeTries, overtaken: list[str]
) -> None:
    attempts = tries(if_running="join")
    trial = Background(attempts.run)
    eventually(lambda: (attempts.record or {}).get("joined"))
    emulator.release(task)

    result = trial.result()

    assert (result["fdi_run_id"], result["joined"]) == (overtaken[0], True)
    assert emulator.runs_started(task) == []


def test_a_refused_start_without_a_run_in_its_way_fails(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    from airflow_provider_fdi.client.errors import FdiResponseError

    emulator.fault("status", operation="RunTask", **REFUSALS["FDI.3026"])

    with pytest.raises(FdiResponseError, match=r"FDI\.3026"):
        tries().run()
    assert emulator.runs_started(task) == []


@pytest.mark.parametrize("code", [907, 909, 914])
def test_a_start_refused_by_a_row_is_made_again_when_the_run_in_its_way_is_over(
    emulator: FdiEmulator, task: str, code: int
) -> None:
    emulator.switch(overlap_style="row", refused_code=code)
    old = emulator.now_ms() - 60_000
    attempts = Tries(task, "sync", start_grace=0.2)
    # The state lags behind: the search for other runs sees an idle task.
    from airflow_provider_fdi.runs import verdict

    seen = verdict.is_executing
    try:
        verdict.is_executing = lambda *args: False  # type: ignore[assignment]
        emulator.add_run(task, execute_status="RUNNING", dispatch_time=old, start_time=old)
        trial = Background(attempts.run)
        eventually(lambda: emulator.runs_refused(task))
    finally:
        verdict.is_executing = seen
    emulator.release(task)

    result = trial.result()

    assert result["status"] == "SUCCESS"
    assert [run["run_id"] for run in emulator.runs_started(task)] == [result["fdi_run_id"]]
    assert len(emulator.runs_refused(task)) == 1
