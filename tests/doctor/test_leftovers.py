"""The doctor leaves nothing behind, wherever it is killed, once it is started again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.client.wire import Wire
from airflow_provider_fdi.doctor import command
from airflow_provider_fdi.doctor.own_task import PREFIX, TaskPlan
from airflow_provider_fdi.doctor.probe import Limits
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.doctor.instance import NO_FIRING, NOTHING_PLANNED, own_tasks, visit


class Killed(BaseException):
    """Nothing more is sent: neither is anything removed."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ends all sending when so many requests have been carried out; the answer to the last one is lost."""
    send = Wire.send

    def arm(number: int) -> None:
        sent: list[str] = []

        def killed(wire: Wire, operation: str, request: Any, **options: Any) -> Any:
            if len(sent) < number:
                sent.append(request.method)
                answer = send(wire, operation, request, **options)
                if len(sent) < number:
                    return answer
            raise Killed

        monkeypatch.setattr(Wire, "send", killed)

    return arm


def test_nothing_is_left(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    report = visit(fdi_emulator, monkeypatch, limits=NO_FIRING, plan=NOTHING_PLANNED)

    assert fdi_emulator.request("GET", "tasks?limit=999")[1]["total"] == 0
    assert report.finding("nothing_left").verdict.outcome == "as assumed"


def test_reading_sends_only_get(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    fdi_emulator.clear_journal()

    visit(fdi_emulator, monkeypatch, auth_type="aksk")

    assert {row["method"] for row in fdi_emulator.journal()} == {"GET"}


def test_what_a_killed_one_left_is_removed_by_the_next(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, kill_after: Callable[[int], None]
) -> None:
    fdi_emulator.switch(max_parallel_runs=0)
    other = fdi_emulator.add_task("somebody-elses")
    # What is only read leaves nothing.
    monkeypatch.setattr(command, "look", lambda *_: None)
    send, number, found = Wire.send, 0, 0
    again = Limits(requests=1, pace=0.0, fire_wait=0.0)
    while True:
        number += 1
        kill_after(number)
        try:
            visit(fdi_emulator, monkeypatch, limits=NO_FIRING, plan=NOTHING_PLANNED)
            break
        except Killed:
            monkeypatch.setattr(Wire, "send", send)
        found += bool(own_tasks(fdi_emulator))

        # Its own limits do not keep it from removing what it finds.
        report = visit(fdi_emulator, monkeypatch, limits=again, plan=NOTHING_PLANNED)

        assert own_tasks(fdi_emulator) == [], f"killed after request {number}"
        assert report.finding("nothing_left").verdict.outcome == "as assumed"
    assert number > 35
    assert found > 30
    assert fdi_emulator.task(other)["execute_status"] == "UNSTARTED"


@pytest.mark.parametrize("number", [20, 30, 40])
def test_an_interrupted_one_removes_what_it_made(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Ctrl-C while a request is under way: what was made is removed before the doctor ends."""
    send, sent = Wire.send, []

    def interrupted(wire: Wire, operation: str, request: Any, **options: Any) -> Any:
        sent.append(request.method)
        answer = send(wire, operation, request, **options)
        if len(sent) == number:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Wire, "send", interrupted)

    with pytest.raises(KeyboardInterrupt):
        visit(fdi_emulator, monkeypatch, limits=NO_FIRING, plan=NOTHING_PLANNED)

    assert "DELETE" in sent[number:]
    assert own_tasks(fdi_emulator) == []


def test_tasks_of_others_are_left_alone(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    other = fdi_emulator.add_task(f"my-{PREFIX}task")

    visit(fdi_emulator, monkeypatch, limits=NO_FIRING, plan=TaskPlan())

    assert fdi_emulator.task(other)["execute_status"] == "UNSTARTED"


def test_what_was_initialised_is_made_a_task_and_deleted(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fdi_emulator.clear_journal()

    visit(fdi_emulator, monkeypatch, limits=NO_FIRING, plan=NOTHING_PLANNED)

    (first,) = fdi_emulator.journal("InstallMultiTasks")
    (made,) = fdi_emulator.journal("CreateMultiTasks")
    deleted = {row["path"].rpartition("/")[2] for row in fdi_emulator.journal("DeleteTask")}
    assert first["body"]["task_id"] == made["body"]["task_id"]
    assert made["body"]["task_id"] in deleted
