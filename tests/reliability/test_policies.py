"""What a try does about runs that are there already and about a run's end, and what the next try does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.compat import AirflowFailException, AirflowSkipException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import (
    FdiDataGateFailed,
    FdiRunFailed,
    FdiTaskBusy,
    FdiTriggerEventError,
)
from airflow_provider_fdi.operators import execution
from tests.reliability.tries import Background, Slice, Tries
from tests.waiting import eventually

MakeTries = Callable[..., Tries]


def ids_of(runs: list[dict[str, Any]]) -> list[str]:
    return [run["run_id"] for run in runs]


# --- if_running ------------------------------------------------------------------------------------


@pytest.fixture
def another(emulator: FdiEmulator, task: str) -> str:
    """Another's run in progress."""
    return emulator.add_run(task, execute_status="RUNNING")


def test_by_default_another_run_is_waited_for_and_then_ours_is_started(
    emulator: FdiEmulator, task: str, tries: MakeTries, another: str
) -> None:
    trial = Background(tries().run)
    eventually(lambda: emulator.journal_counts().get("ListTasks", 0) >= 2)
    assert emulator.runs_started(task) == []
    emulator.release(task)

    result = trial.result()

    assert ids_of(emulator.runs_started(task)) == [result["fdi_run_id"]]
    assert not result["joined"]


def test_join_takes_another_run_for_ours(
    emulator: FdiEmulator, task: str, tries: MakeTries, another: str
) -> None:
    trial = Background(tries(if_running="join").run)
    eventually(lambda: emulator.journal_counts().get("ListMonitorLog", 0) >= 3)
    emulator.release(task, rows=7)

    result = trial.result()

    assert (result["fdi_run_id"], result["joined"], result["rows"]) == (another, True, 7)
    assert emulator.runs_started(task) == []


def test_join_takes_a_run_that_began_hours_ago(emulator: FdiEmulator, task: str, tries: MakeTries) -> None:
    long_ago = emulator.now_ms() - 5 * 3_600_000
    old = emulator.add_run(task, execute_status="RUNNING", dispatch_time=long_ago, start_time=long_ago)
    trial = Background(tries(if_running="join").run)
    eventually(lambda: emulator.journal_counts().get("ListMonitorLog", 0) >= 3)
    emulator.release(task)

    assert trial.result()["fdi_run_id"] == old
    assert emulator.runs_started(task) == []


def test_a_run_that_only_the_log_shows_is_waited_for_without_a_round_over_the_worker(
    emulator: FdiEmulator, task: str, tries: MakeTries, another: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_fdi.runs import verdict

    by_state = verdict.is_executing
    monkeypatch.setattr(verdict, "is_executing", lambda task, runs=(): bool(runs) and by_state(task, runs))
    attempts = tries()
    trial = Background(attempts.run)
    eventually(lambda: emulator.journal_counts().get("ListMonitorLog", 0) >= 6)
    assert len(attempts.slices) <= 2  # the worker, and one wait in the triggerer
    assert emulator.runs_started(task) == []
    emulator.release(task)

    assert trial.result()["fdi_run_id"] in ids_of(emulator.runs_started(task))


def test_a_joined_run_that_is_not_in_the_log_yet_is_waited_for(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, duration_ms=1200, log_delay_ms=500)
    emulator.request("POST", f"tasks/{task}/run")

    result = tries(if_running="join", start_grace=5).run()

    assert ids_of(emulator.runs_started(task)) == [result["fdi_run_id"]]
    assert result["joined"]


def test_fail_names_the_run_in_the_way(
    emulator: FdiEmulator, task: str, tries: MakeTries, another: str
) -> None:
    with pytest.raises(FdiTaskBusy, match=another):
        tries(if_running="fail").run()
    assert emulator.runs_started(task) == []


def test_skip_skips(emulator: FdiEmulator, task: str, tries: MakeTries, another: str) -> None:
    with pytest.raises(AirflowSkipException, match=another):
        tries(if_running="skip").run()
    assert emulator.runs_started(task) == []


# --- the end of a run ------------------------------------------------------------------------------


def test_a_failed_run_fails_the_try_and_the_next_one_starts_a_new_run(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, {"outcome": "ERROR", "duration_ms": 50}, {"duration_ms": 50})
    attempts = tries()
    with pytest.raises(FdiRunFailed):
        attempts.run()

    result = attempts.run()

    started = ids_of(emulator.runs_started(task))
    assert len(started) == 2 and result["fdi_run_id"] == started[1]


def test_a_failure_says_what_somebody_needs_to_know(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(
        task,
        outcome="ERROR",
        duration_ms=50,
        rows=120,
        dirty_rows=3,
        remarks="ORA-12899: value too large for column NAME",
        error_code=503,
    )
    with pytest.raises(FdiRunFailed) as failed:
        tries().run()

    text = str(failed.value)
    run_id = emulator.runs_started(task)[0]["run_id"]
    for needed in (
        run_id,
        task,
        "ERROR",
        "120 rows",
        "3 dirty rows",
        "ORA-12899",
        "WRITER 503: ORA-12899",
        f"run={run_id}",
    ):
        assert needed in text


def test_the_run_stands_in_xcom_also_when_it_failed(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, outcome="ERROR", duration_ms=50, rows=2)
    attempts = tries()
    with pytest.raises(FdiRunFailed):
        attempts.run()

    run_id = emulator.runs_started(task)[0]["run_id"]
    assert attempts.xcoms["fdi_run_id"] == run_id
    assert run_id in attempts.xcoms["fdi_run_link"]
    assert task in attempts.xcoms["fdi_task_link"]
    assert attempts.xcoms["fdi_run"]["status"] == "ERROR"
    assert attempts.xcoms["fdi_run"]["rows"] == 2


def test_run_id_and_links_are_there_while_the_run_goes_on(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    attempts = tries()
    trial = Background(attempts.run)
    run_id = eventually(lambda: attempts.ti is not None and attempts.xcoms.get("fdi_run_id"))

    assert trial.alive
    assert run_id in attempts.xcoms["fdi_run_link"]
    emulator.release(task)
    trial.result()


def test_a_status_that_is_not_known_is_no_success(emulator: FdiEmulator, task: str, tries: MakeTries) -> None:
    attempts = tries()
    emulator.script(task, hold=True)
    trial = Background(attempts.run)
    eventually(lambda: emulator.runs_started(task))
    row = {
        "id": emulator.runs_started(task)[0]["run_id"],
        "execute_status": "ARCHIVED",
        "dispatch_time": emulator.now_ms(),
    }
    emulator.fault(
        "status",
        operation="ListMonitorLog",
        times=None,
        status=200,
        body={"total": 1, "size": 1, "entities": [row]},
    )

    with pytest.raises(FdiRunFailed, match="ARCHIVED"):
        trial.result()


# --- the data gate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "words"),
    [({"min_rows": 6}, "^Rows: 5, required 6"), ({"max_dirty_rows": 1}, "^Dirty rows: 2, allowed 1")],
    ids=["min_rows", "max_dirty_rows"],
)
def test_a_gate_fails_the_try_and_the_next_one_starts_a_new_run(
    emulator: FdiEmulator, task: str, tries: MakeTries, gate: dict[str, int], words: str
) -> None:
    good = {"duration_ms": 50, "rows": 9}
    emulator.script(task, {"duration_ms": 50, "rows": 5, "dirty_rows": 2}, good)
    attempts = tries(**gate)
    with pytest.raises(FdiDataGateFailed, match=words):
        attempts.run()

    result = attempts.run()

    started = ids_of(emulator.runs_started(task))
    assert len(started) == 2
    assert (result["fdi_run_id"], result["rows"]) == (started[1], 9)


def test_a_gate_that_is_met_passes(tries: MakeTries) -> None:
    assert tries(min_rows=5, max_dirty_rows=0, skip_if_empty=True).run()["rows"] == 5


def test_skip_if_empty_skips_an_empty_run(emulator: FdiEmulator, task: str, tries: MakeTries) -> None:
    emulator.script(task, duration_ms=50, rows=0)

    attempts = tries(skip_if_empty=True, min_rows=1)
    with pytest.raises(AirflowSkipException, match="No rows"):
        attempts.run()
    assert attempts.xcoms["fdi_run"]["rows"] == 0


# --- chains of tries -------------------------------------------------------------------------------


def test_a_success_that_was_not_recorded_is_taken_by_the_next_try(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    attempts = tries()
    first = attempts.run()

    assert attempts.run()["fdi_run_id"] == first["fdi_run_id"]
    assert len(emulator.runs_started(task)) == 1


def test_a_run_that_goes_on_is_joined_by_the_next_try_as_ours(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    attempts = tries()
    first = Background(attempts.run)
    run_id = eventually(lambda: (attempts.record or {}).get("run_id"))
    store = attempts.store
    second = tries(store=store)
    second.number = 1
    trial = Background(second.run)
    eventually(lambda: (second.record or {}).get("try_number") == 2)
    emulator.release(task)

    result = trial.result()

    assert (result["fdi_run_id"], result["joined"]) == (run_id, False)
    assert len(emulator.runs_started(task)) == 1
    first.result()


def test_a_refusal_is_not_absorbed_because_another_task_s_record_is_open(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    attempts = tries()
    attempts.run()
    attempts.clear()
    attempts.options |= {"fdi_task_id": emulator.add_task("other"), "start_if_stopped": True}

    with pytest.raises(AirflowFailException, match=r"(?s)FDI\.3083\).*cannot be started"):
        attempts.run()
    assert emulator.journal_counts()["BatchStartOrStopTasks"] == 1


def test_clearing_a_succeeded_task_starts_a_new_run(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    attempts = tries()
    first = attempts.run()
    attempts.clear()

    assert attempts.run()["fdi_run_id"] != first["fdi_run_id"]
    assert len(emulator.runs_started(task)) == 2


def test_clearing_long_after_the_log_forgot_the_run_starts_a_new_one(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    attempts = tries(poll_failure_timeout=0.5)
    attempts.run()
    gone = attempts.record | {"run_id": "0" * 32}
    attempts.store.set("fdi_run", gone)  # type: ignore[union-attr]
    attempts.clear()

    attempts.run()

    assert len(emulator.runs_started(task)) == 2


def cleared(tries: MakeTries, **options: Any) -> tuple[Tries, str]:
    """A task instance that was cleared while its run went on, or a joined one, and the id of that run."""
    before = tries(mode="deferrable", **options)
    before.until_deferred("run_ends")
    after = tries(store=before.store, **options)
    after.number = before.number
    after.clear()
    return after, before.record["run_id"]


@pytest.mark.parametrize("if_running", ["wait", "join", "fail", "skip"])
def test_clearing_while_the_run_goes_on_terminates_it_and_starts_a_new_one(
    emulator: FdiEmulator, task: str, tries: MakeTries, if_running: str
) -> None:
    emulator.script(task, {"hold": True}, {"duration_ms": 50})
    again, first = cleared(tries, if_running=if_running)

    result = again.run()

    assert ids_of(emulator.runs_started(task)) == [first, result["fdi_run_id"]]
    assert result["status"] == "SUCCESS"
    assert emulator.journal_counts()["StopTask"] == 1


def test_clearing_without_terminate_on_kill_leaves_the_run_and_goes_by_if_running(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    again, _ = cleared(tries, if_running="fail", terminate_on_kill=False)

    with pytest.raises(FdiTaskBusy):
        again.run()


@pytest.fixture
def clear_drops_state(_short_pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Airflow 3.4, where what is still remembered after a clear was kept on purpose."""
    monkeypatch.setattr(execution, "clear_drops_state", lambda: True)


@pytest.mark.usefixtures("clear_drops_state")
def test_clearing_with_its_state_kept_continues_with_the_run_that_goes_on(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    again, first = cleared(tries)
    trial = Background(again.run)
    eventually(lambda: again.record["clear_generation"] == again.max_tries)
    emulator.release(task)

    assert trial.result()["fdi_run_id"] == first
    assert ids_of(emulator.runs_started(task)) == [first]
    assert "StopTask" not in emulator.journal_counts()


@pytest.mark.usefixtures("clear_drops_state")
def test_clearing_with_its_state_kept_takes_the_success_that_the_task_had_missed(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    again, first = cleared(tries)
    emulator.release(task)

    assert again.run()["fdi_run_id"] == first
    assert len(emulator.runs_started(task)) == 1


@pytest.mark.usefixtures("clear_drops_state")
@pytest.mark.parametrize("wait", [True, False], ids=["waited", "only started"])
def test_clearing_a_succeeded_task_starts_a_new_run_even_with_its_state_kept(
    emulator: FdiEmulator, task: str, tries: MakeTries, wait: bool
) -> None:
    attempts = tries(wait_for_completion=wait)
    first = attempts.run()
    attempts.clear()

    assert attempts.run()["fdi_run_id"] != first["fdi_run_id"]


@pytest.mark.usefixtures("clear_drops_state")
def test_clearing_with_its_state_kept_starts_a_new_run_after_one_that_failed(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, {"outcome": "ERROR"}, {"duration_ms": 50})
    attempts = tries()
    with pytest.raises(FdiRunFailed):
        attempts.run()
    attempts.clear()

    assert attempts.run()["status"] == "SUCCESS"
    assert len(emulator.runs_started(task)) == 2


def test_clearing_leaves_a_joined_run_going(
    emulator: FdiEmulator, task: str, tries: MakeTries, another: str
) -> None:
    again, joined = cleared(tries, if_running="join")
    trial = Background(again.run)
    eventually(lambda: again.record["clear_generation"] == again.max_tries)
    emulator.release(task)

    assert joined == another
    assert trial.result()["fdi_run_id"] == another
    assert "StopTask" not in emulator.journal_counts()


def test_a_run_cancelled_by_a_kill_is_started_afresh_in_the_same_try(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, {"outcome": "CANCELLED", "duration_ms": 50}, {"duration_ms": 50})
    attempts = tries()
    with pytest.raises(FdiRunFailed, match=r"^The run was cancelled"):
        attempts.run()

    result = attempts.run()

    assert result["status"] == "SUCCESS"
    assert len(emulator.runs_started(task)) == 2


def test_a_termination_that_lands_after_the_next_try_looked_is_no_failure_of_it(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, {"hold": True}, {"duration_ms": 50})
    # Killed: it does nothing more once the next try has begun.
    killed = tries(mode="deferrable")
    killed.until_deferred("run_ends")
    second = tries(store=killed.store)
    second.number = 1
    trial = Background(second.run)
    eventually(lambda: second.record.get("rejoined_at"))
    emulator.release(task, "CANCELLED")

    result = trial.result()

    assert result["status"] == "SUCCESS"
    assert len(emulator.runs_started(task)) == 2


def test_an_old_intent_never_takes_a_later_run_of_another_for_ours(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    # The start was lost with its process. Long after, when the next try comes, another's run is in progress.
    attempts = tries(if_running="fail")
    old = emulator.now_ms() - 600_000
    attempts.store.set(  # type: ignore[union-attr]
        "fdi_run",
        {
            "fdi_task_id": task,
            "clear_generation": attempts.max_tries,
            "try_number": 1,
            "intent_time": old,
            "deadline": old + 2_000,
        },
    )
    attempts.number = 1
    another = emulator.add_run(task, execute_status="RUNNING")

    with pytest.raises(FdiTaskBusy, match=another):
        attempts.run()


def test_mapped_tasks_keep_apart(emulator: FdiEmulator, tries: MakeTries) -> None:
    tasks = [emulator.add_task(f"part-{n}", script={"duration_ms": 50}) for n in range(3)]
    results = [tries(fdi_task_id=task).run() for task in tasks]

    for task, result in zip(tasks, results, strict=True):
        assert ids_of(emulator.runs_started(task)) == [result["fdi_run_id"]]


def test_mapped_tasks_on_one_fdi_task_run_one_after_the_other(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    first = Background(tries().run)
    eventually(lambda: emulator.runs_started(task))
    second = tries().run()

    assert ids_of(emulator.runs_started(task)) == [first.result()["fdi_run_id"], second["fdi_run_id"]]


def test_not_durable_means_that_nothing_is_remembered(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    attempts = tries(durable=False)
    attempts.run()
    attempts.run()

    assert attempts.record is None
    assert len(emulator.runs_started(task)) == 2


def test_without_a_store_a_retry_joins_the_run_in_progress(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    emulator.script(task, hold=True)
    abandoned = Background(tries(store=None).run)
    run_id = eventually(lambda: emulator.runs_started(task))[0]["run_id"]
    retry = tries(store=None)
    retry.number = 1
    trial = Background(retry.run)
    eventually(lambda: retry.ti is not None and retry.xcoms.get("fdi_run_id"))
    emulator.release(task)

    assert trial.result()["fdi_run_id"] == run_id
    assert len(emulator.runs_started(task)) == 1
    abandoned.result()


def test_without_a_store_a_deferral_carries_the_run(emulator: FdiEmulator, task: str) -> None:
    result = Tries(task, "deferrable", store=None).run()

    assert ids_of(emulator.runs_started(task)) == [result["fdi_run_id"]]


# --- waiting ---------------------------------------------------------------------------------------


def test_the_service_may_be_gone_for_a_while(emulator: FdiEmulator, task: str, tries: MakeTries) -> None:
    emulator.script(task, hold=True)
    attempts = tries()
    trial = Background(attempts.run)
    eventually(lambda: attempts.ti is not None and attempts.xcoms.get("fdi_run_id"))
    emulator.fault("reset_before", operation="ListMonitorLog", times=None)
    struck = len(emulator.journal("ListMonitorLog"))
    # More than one call of the client with all its attempts fails.
    eventually(lambda: len(emulator.journal("ListMonitorLog")) > struck + 7, 20)
    assert trial.alive
    emulator.clear_faults()
    emulator.release(task)

    assert trial.result()["status"] == "SUCCESS"
    assert len(emulator.runs_started(task)) == 1


def test_a_service_that_stays_away_fails_the_try_with_its_last_error(
    emulator: FdiEmulator, task: str, tries: MakeTries
) -> None:
    from airflow_provider_fdi.client.errors import FdiServerError

    emulator.script(task, hold=True)
    attempts = tries(poll_failure_timeout=0.5)
    trial = Background(attempts.run)
    eventually(lambda: attempts.ti is not None and attempts.xcoms.get("fdi_run_id"))
    emulator.fault("status", operation="ListMonitorLog", times=None, status=503)

    with pytest.raises((FdiServerError, FdiTriggerEventError), match="503"):
        trial.result()
    emulator.clear_faults()
    emulator.release(task)
    assert attempts.run()["status"] == "SUCCESS"
    assert len(emulator.runs_started(task)) == 1


def test_a_service_that_goes_away_between_trigger_and_worker_fails_nothing(
    emulator: FdiEmulator, task: str
) -> None:
    attempts = Tries(task, "deferrable")
    now = attempts.step(attempts.until_deferred("run_ends"))
    assert isinstance(now, Slice) and now.kind == "resume"
    emulator.fault("reset_before", operation="ListMonitorLog", times=7)

    result = attempts.step(now)

    assert isinstance(result, dict) and result["status"] == "SUCCESS"


@pytest.mark.parametrize(
    "event", [None, "failed", "success", {}, {"status": "done"}, ["ready"]], ids=lambda event: str(event)
)
def test_an_event_that_is_not_known_is_no_success(task: str, emulator: FdiEmulator, event: Any) -> None:
    attempts = Tries(task, "deferrable")
    attempts.until_deferred()

    with pytest.raises(FdiTriggerEventError):
        attempts.step(Slice("resume", method="execute_complete", event=event))


def test_nothing_secret_travels_with_a_deferral(emulator: FdiEmulator, task: str) -> None:
    now = Tries(task, "deferrable").until_deferred()

    assert emulator.token not in str(now.arguments)
