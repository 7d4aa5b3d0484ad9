"""The steps of a run in the task's log: once each, in words, in the log of the task that waits."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from airflow_provider_fdi.client.models import RunStep
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.runs.report import step_line
from airflow_provider_fdi.runs.waits import RunEnds
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger
from tests.waiting import until

LOG_OF = contextvars.ContextVar("LOG_OF", default="nobody")


class Lines:
    """Collects lines by the task in whose context they were logged, as the triggerer does."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}

    def warning(self, text: str, *args: object) -> None:
        self.of.setdefault(LOG_OF.get(), []).append(text % args if args else text)

    def log(self, level: int, text: str) -> None:
        self.warning(text)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    collected = Lines()
    monkeypatch.setattr(FdiWaitTrigger, "log", collected)
    return collected


async def wait_for(emulator: FdiEmulator, name: str, task_id: str, run_id: str) -> None:
    LOG_OF.set(name)
    trigger = FdiWaitTrigger(
        "fdi_default",
        emulator.project_id,
        emulator.instance_id,
        [RunEnds(task_id, run_id).to_json()],
        poll_interval=0.05,
        poll_failure_timeout=10,
        record={"fdi_task_id": task_id, "run_id": run_id, "clear_generation": 0, "try_number": 1},
    )
    async for _ in trigger.run():
        return


@pytest.mark.usefixtures("fdi_connection")
def test_every_waiting_task_has_the_steps_of_its_own_run_in_its_log(
    fdi_emulator: FdiEmulator, lines: Lines
) -> None:
    async def both() -> None:
        waits = []
        for name in ("first", "second"):
            task_id = fdi_emulator.add_task(name)
            run_id = fdi_emulator.add_run(task_id, remarks=f"moved for {name}")
            waits.append(asyncio.create_task(wait_for(fdi_emulator, name, task_id, run_id)))
        await asyncio.gather(*waits)

    asyncio.run(both())

    assert {name: [_words(line) for line in reported] for name, reported in lines.of.items()} == {
        name: [f"WRITER 901: moved for {name}"] for name in ("first", "second")
    }


@pytest.mark.usefixtures("fdi_connection")
def test_the_steps_of_several_runs_are_logged_while_they_go_on(
    fdi_emulator: FdiEmulator, lines: Lines
) -> None:
    async def both() -> None:
        waits = []
        for name in ("first", "second"):
            task_id = fdi_emulator.add_task(name, script={"hold": True})
            fdi_emulator.request("POST", f"tasks/{task_id}/run")
            run_id = fdi_emulator.runs_started(task_id)[0]["run_id"]
            waits.append(asyncio.create_task(wait_for(fdi_emulator, name, task_id, run_id)))
        await until(lambda: set(lines.of) == {"first", "second"})
        for wait in waits:
            assert not wait.done()
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(both())

    assert all("The scheduling request is received" in reported[0] for reported in lines.of.values())


@pytest.mark.usefixtures("fdi_connection")
def test_every_waiting_task_logs_once_that_polls_fail(fdi_emulator: FdiEmulator, lines: Lines) -> None:
    def failures() -> dict[str, list[str]]:
        lines_of = {
            name: [line for line in reported if "failed" in line] for name, reported in lines.of.items()
        }
        return {name: reported for name, reported in lines_of.items() if reported}

    async def many() -> None:
        waits = []
        for name in map(str, range(8)):
            task_id = fdi_emulator.add_task(name)
            run_id = fdi_emulator.add_run(task_id, execute_status="RUNNING", end_time=None)
            waits.append(asyncio.create_task(wait_for(fdi_emulator, name, task_id, run_id)))
        await until(lambda: len(fdi_emulator.journal("ListMonitorInfos")) > 1)
        fdi_emulator.fault("status", times=None, status=503)
        await until(lambda: len(failures()) == len(waits))
        failed = fdi_emulator.faults()[0]["struck"]
        await until(lambda: fdi_emulator.faults()[0]["struck"] > failed)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(many())

    for reported in failures().values():
        (line,) = reported
        assert line.startswith("Polling FDI failed, trying again for up to 10 s: The IAM service is un")
        assert "HTTP 503" in line


def _words(line: str) -> str:
    """The line without the service's time."""
    return line.partition("Z ")[2]


def step(code: int | None, remarks: str | None = None, **fields: object) -> RunStep:
    row = {"id": "1", "status": code, "position": "READER", "remarks": remarks, **fields}
    return RunStep.from_wire(row)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (step(102), "READER 102: reading"),
        (
            step(104, "Data reading is finished.", data_count=336776),
            "READER 104: Data reading is finished, 336,776 rows",
        ),
        (
            step(103, "ORA-00942: no such table", dirty_data_count=2),
            "READER 103: ORA-00942: no such table, 2 dirty rows",
        ),
        (
            step(102, step_begin_time=1_700_000_000_000),
            "2023-11-14 22:13:20Z READER 102: reading",
        ),
        (step(103), "READER 103: exception at the source"),
        (step(4711), "READER 4711: step"),
    ],
)
def test_a_step_is_logged_in_words_and_nothing_twice(given: RunStep, line: str) -> None:
    assert step_line(given) == line
