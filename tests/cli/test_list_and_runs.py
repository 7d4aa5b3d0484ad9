"""`list` and `runs`: tables for people, JSON for programs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_fdi.cli.main import main
from airflow_provider_fdi.emulator.handle import FdiEmulator

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def some_tasks(fdi_emulator: FdiEmulator, fdi_connection: str) -> FdiEmulator:
    done = fdi_emulator.add_task("orders", started=True, schedule=True)
    fdi_emulator.add_run(done, dispatch_time=fdi_emulator.now_ms() - 125_000)
    fdi_emulator.add_task("customers")
    return fdi_emulator


def test_list_says_in_words_how_each_task_is(some_tasks: FdiEmulator, capsys: Capture) -> None:
    assert main(["list"]) == 0

    out, err = capsys.readouterr()
    head, _, *rows = out.splitlines()
    assert head.split() == ["Task", "Kind", "State", "Schedule", "Last", "run", "When"]
    assert [row.split()[:3] for row in rows if row.strip()] == [
        ["customers", "scheduled", "stopped"],
        ["orders", "scheduled", "started"],
    ]
    assert "never run" in rows[0]
    assert "succeeded" in rows[1]
    assert "2 min ago" in rows[1]
    assert err.strip() == "2 tasks"


def test_list_takes_a_pattern_of_names(some_tasks: FdiEmulator, capsys: Capture) -> None:
    assert main(["list", "--name", "cust*"]) == 0

    out, err = capsys.readouterr()
    assert "customers" in out
    assert "orders" not in out
    assert err.strip() == "1 task like 'cust*'"


def test_list_without_tasks_says_so(fdi_emulator: FdiEmulator, fdi_connection: str, capsys: Capture) -> None:
    assert main(["list"]) == 0

    assert capsys.readouterr() == ("", "0 tasks\n")


def test_list_as_json_holds_nothing_else(some_tasks: FdiEmulator, capsys: Capture) -> None:
    assert main(["list", "-o", "json"]) == 0

    out, err = capsys.readouterr()
    customers, orders = json.loads(out)
    assert (customers["name"], customers["started"], customers["last_run_time"]) == ("customers", False, None)
    assert (orders["kind"], orders["started"], orders["last_run_status"]) == ("scheduled", True, "SUCCESS")
    assert orders["last_run_time"].endswith("+00:00")
    assert err == ""


def test_runs_are_listed_newest_first_with_separators(
    fdi_emulator: FdiEmulator, fdi_connection: str, capsys: Capture
) -> None:
    task = fdi_emulator.add_task("orders")
    fdi_emulator.add_run(task, data_count=1234567)
    fdi_emulator.move_clock(60_000)
    fdi_emulator.add_run(task, execute_status="ERROR", remarks="no such table")

    assert main(["runs", "orders"]) == 0

    out, err = capsys.readouterr()
    newest, oldest = [line for line in out.splitlines()[2:] if line.strip()]
    assert "failed" in newest
    assert "no such table" in newest
    assert "succeeded" in oldest
    assert "1,234,567" in oldest
    assert err.strip() == "orders: 2 runs"


def test_runs_are_cut_at_a_limit_that_is_said(
    fdi_emulator: FdiEmulator, fdi_connection: str, capsys: Capture
) -> None:
    task = fdi_emulator.add_task("orders")
    for _ in range(3):
        fdi_emulator.add_run(task)

    assert main(["runs", task, "--limit", "2"]) == 0

    assert capsys.readouterr().err.strip() == "orders: 3 runs, the newest 2 of them shown"


def test_runs_as_json_are_run_records(
    fdi_emulator: FdiEmulator, fdi_connection: str, capsys: Capture
) -> None:
    task = fdi_emulator.add_task("orders")
    run = fdi_emulator.add_run(task, data_count=3)

    assert main(["runs", "orders", "--output", "json"]) == 0

    (record,) = json.loads(capsys.readouterr().out)
    assert (record["fdi_task_id"], record["fdi_run_id"], record["rows"]) == (task, run, 3)


def test_runs_of_a_misspelt_task_name_the_right_one(some_tasks: FdiEmulator, capsys: Capture) -> None:
    assert main(["runs", "oders"]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: fdi_task_name='oders': did you mean 'orders'?")


def test_what_a_service_sends_cannot_control_the_terminal(
    fdi_emulator: FdiEmulator, fdi_connection: str, capsys: Capture
) -> None:
    task = fdi_emulator.add_task("orders")
    fdi_emulator.add_run(task, execute_status="ERROR", remarks="\x1b[2Jgone")

    assert main(["runs", "orders"]) == 0

    assert "\x1b" not in capsys.readouterr().out
