"""Every mistake is really made; ``table.md`` is what people then see.

After a change of messages, ``WRITE_MISTAKES=1 make test-one T=tests/mistakes`` writes the table anew: review
its diff.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client import transport
from airflow_provider_fdi.client.errors import is_permanent
from airflow_provider_fdi.compat import AIRFLOW_2, AirflowFailException, BaseOperator
from airflow_provider_fdi.emulator.handle import EmulatorError, FdiEmulator
from airflow_provider_fdi.exceptions import FdiError
from tests.mistakes.mistakes import MISTAKES, NAME, TASK, Mistake, Scene
from tests.taskinstance import Store, context

TABLE = Path(__file__).with_name("table.md")
LONGEST_LINE = 80
HEAD = """# What people do wrong, and what they see first

Written by the test beside this file. *When*: `parse` is an import error of the DAG file, `run` the end of a
task's log, `test` the failure of a test with the emulator. *Retried*: whether Airflow runs the task again.

| what a user did | when | retried | the first line |
|---|---|---|---|
"""

pytestmark = [
    pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 has other words for its own errors"),
    pytest.mark.timeout(300),  # the first test waits for all mistakes to be made
]


@dataclass(frozen=True)
class Seen:
    """What somebody saw who made a mistake."""

    when: str
    error: BaseException

    @property
    def message(self) -> str:
        return str(self.error)

    @property
    def first_line(self) -> str:
        return self.message.partition("\n")[0]

    def row(self, did: str, url: str) -> str:
        """The row of the table, without what differs from run to run."""
        permanent = isinstance(self.error, AirflowFailException) or (
            isinstance(self.error, FdiError) and is_permanent(self.error) and self.when == "parse"
        )
        retried = {"run": "no" if permanent else "yes"}.get(self.when, "")
        line = self.first_line.replace(url.partition("//")[2], "127.0.0.1:8765")
        line = re.sub(r"\b(?!0{32}|f{32})(?!0123456789abcdef)[0-9a-f]{32}\b", "…", line)
        line = re.sub(r" \(_ssl\.c:\d+\)", "", line)
        tick = "``" if "`" in line else "`"
        return f"| {did} | {self.when} | {retried} | {tick}{line.replace('|', chr(92) + '|')}{tick} |"


class TaskInstance:
    """A task instance whose other tasks returned nothing."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def xcom_pull(self, task_ids: str) -> None:
        return None


def seen_by(mistake: Mistake, scene: Scene) -> Seen:
    """Make a mistake: build the operator, render its templates, execute it."""
    from airflow.providers.common.compat.sdk import DAG

    given = context(Store())
    given["ti"] = TaskInstance(given["ti"])
    given |= {"params": {"policy": "restart", "table": "flights", "empty": ""}, "none": None}
    with DAG("mistakes", schedule=None):
        try:
            made = mistake.do(scene)
        except Exception as error:
            return Seen("parse", error)
    try:
        if isinstance(made, BaseOperator):
            made.render_template_fields(given)  # type: ignore[arg-type]
            made.execute(given)  # type: ignore[arg-type]
        else:
            made(given)
    except Exception as error:
        return Seen("test" if isinstance(error, EmulatorError) else "run", error)
    return Seen("never", AssertionError("nobody noticed"))


@pytest.fixture(scope="module")
def seen(fdi_emulator_process: FdiEmulator) -> dict[str, Seen]:
    """What was seen of every mistake."""
    found = {}
    for mistake in MISTAKES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transport, "sleep", lambda seconds: None)
            fdi_emulator_process.reset()
            fdi_emulator_process.add_task(NAME, task_id=TASK)
            patch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator_process.connection_json())
            found[mistake.did] = seen_by(mistake, Scene(fdi_emulator_process, patch))
    fdi_emulator_process.reset()
    return found


def test_there_are_at_least_sixty_and_none_twice() -> None:
    assert len({mistake.did for mistake in MISTAKES}) == len(MISTAKES) >= 60


def test_the_table_is_what_people_see(seen: dict[str, Seen], fdi_emulator_process: FdiEmulator) -> None:
    rows = [each.row(did, fdi_emulator_process.url) for did, each in seen.items()]
    table = HEAD + "\n".join(rows) + "\n"
    if os.environ.get("WRITE_MISTAKES"):
        TABLE.write_text(table, encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == table


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.did)
def test_the_first_line_is_short_and_the_mend_is_named(mistake: Mistake, seen: dict[str, Seen]) -> None:
    each = seen[mistake.did]
    assert len(each.first_line) <= LONGEST_LINE, each.message
    assert mistake.mend in each.message
