"""The policy to copy grants what the provider asks for, and its table says the same as the emulator does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pendulum
import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.emulator.service import permissions
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "connection.md"
(POLICY,) = (json.loads(block.text) for block in blocks(PAGE) if block.language == "json")
ACTIONS: list[str] = POLICY["Statement"][0]["Action"]
ROWS = {
    action: (re.findall(r"\b[A-Z]\w+[a-z]\w*\b", documented), re.findall(r"\b[A-Z][a-z]\w+\b", guessed))
    for action, documented, guessed in re.findall(
        r"^\| `(roma:[\w:]+)` \| ([^|]*) \| ([^|]*) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
}


@pytest.fixture
def dag() -> Any:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("permitted", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as made:
        FdiRunTaskOperator(task_id="run", fdi_task_name="orders", poll_interval=0.05)
    return made


def test_the_policy_has_every_action_that_an_operation_asks_for_and_no_other() -> None:
    assert sorted(ACTIONS) == sorted(set(permissions.ACTIONS.values()))
    assert (POLICY["Version"], POLICY["Statement"][0]["Effect"]) == ("1.1", "Allow")


@pytest.mark.parametrize("action", ACTIONS)
def test_the_table_tells_what_is_documented_from_what_is_guessed(action: str) -> None:
    documented, guessed = ROWS[action]

    assert documented == [name for name, wanted in permissions.DOCUMENTED.items() if wanted == action]
    assert {permissions.GUESSED[name] for name in guessed} <= {action}


def test_three_actions_are_enough_to_run_a_task(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any], dag: Any
) -> None:
    fdi_task_id = fdi_emulator.add_task("orders", script={"rows": 3})
    fdi_emulator.switch(iam_actions=ACTIONS[:3])

    run = run_dag(dag)

    assert str(run.state) == "success"
    assert len(fdi_emulator.runs_started(fdi_task_id)) == 1


def test_an_action_less_and_the_task_is_forbidden_to_run(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any], dag: Any
) -> None:
    fdi_task_id = fdi_emulator.add_task("orders", script={"rows": 3})
    fdi_emulator.switch(iam_actions=ACTIONS[:2])

    run = run_dag(dag)

    assert str(run.state) == "failed"
    assert fdi_emulator.runs_started(fdi_task_id) == []


def test_the_whole_policy_is_enough_for_the_connection_test(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    fdi_emulator.switch(iam_actions=ACTIONS)

    assert FdiHook().test_connection()[0]
