"""The steps of a run in the task's log: once each, in words, in the log of the task that waits."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from airflow_provider_fdi.client.models import RunStep
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.runs.report import step_line
from airflow_provider_fdi.runs.wait import ENDED, Wait
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger

LOG_OF = contextvars.ContextVar("LOG_OF", default="nobody")


class Lines:
    """Collects lines by the task in whose context they were logged, as the triggerer does."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}

    def info(self, text: str, *args: object) -> None:
        self.of.setdefault(LOG_OF.get(), []).append(text % args if args else text)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    collected = Lines()
    monkeypatch.setattr(FdiWaitTrigger, "log", collected)
    return collected


def test_every_waiting_task_has_the_steps_of_its_own_run_in_its_log(
    fdi_emulator: FdiEmulator, fdi_connection: str, lines: Lines
) -> None:
    async def wait_for(name: str) -> None:
        LOG_OF.set(name)
        task_id = fdi_emulator.add_task(name)
        run_id = fdi_emulator.add_run(task_id, remarks=f"moved for {name}")
        wait = Wait(task_id, ENDED, run_id=run_id)
        trigger = FdiWaitTrigger(
            fdi_connection,
            fdi_emulator.project_id,
            fdi_emulator.instance_id,
            [wait.to_args()],
            poll_interval=0.05,
            poll_failure_timeout=10,
            record={"fdi_task_id": task_id, "run_id": run_id, "chain": 0, "try_number": 1},
        )
        async for _ in trigger.run():
            return

    async def both() -> None:
        await asyncio.gather(*(asyncio.create_task(wait_for(name)) for name in ("first", "second")))

    asyncio.run(both())

    assert lines.of == {name: [f"WRITER 901: moved for {name}"] for name in ("first", "second")}


def step(code: int | None, remarks: str | None = None, **fields: object) -> RunStep:
    row = {"id": "1", "status": code, "position": "READER", "remarks": remarks, **fields}
    return RunStep.from_wire(row)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (step(102), "READER 102: reading"),
        (
            step(104, "Data reading is finished.", data_count=5),
            "READER 104: Data reading is finished, 5 rows",
        ),
        (
            step(103, "ORA-00942: no such table", dirty_data_count=2),
            "READER 103: exception at the source, 2 dirty rows: ORA-00942: no such table",
        ),
        (step(103), "READER 103: exception at the source"),
        (step(4711), "READER 4711: step"),
    ],
)
def test_a_step_is_told_in_words_and_nothing_twice(given: RunStep, line: str) -> None:
    assert step_line(given) == line
