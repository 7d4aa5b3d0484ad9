"""What all commands share: arguments, exit codes, errors, and where they look for the connection."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_fdi.cli.main import main
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.get_provider_info import get_provider_info
from tests.operators.test_imports import loaded_by

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("apply", "doctor", "export", "list", "plan", "runs", "schema", "validate")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plam", "tasks"], "invalid choice: 'plam'"),
        (["plan"], "the following arguments are required: PATH"),
        (["plan", ".", "--prun"], "unknown argument --prun; did you mean --prune?"),
        (["plan", ".", "-o", "yaml"], "argument -o/--output: invalid choice: 'yaml'"),
        (["plan", ".", "--var", "X"], "argument --var: must be NAME=VALUE, is 'X'"),
        (["runs"], "the following arguments are required: TASK"),
        (["runs", "x", "--limit", "0"], "argument --limit: must be a whole number of at least 1, is '0'"),
        (["list", "tasks"], "unknown argument tasks"),
        (["export"], "the following arguments are required: DIR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_usage_error_is_1_and_one_line(arguments: list[str], words: str, capsys: Capture) -> None:
    assert main(arguments) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert words in err.splitlines()[0]
    assert err.splitlines()[1].startswith("  python -m airflow_provider_fdi")


def test_no_command_at_all_is_a_usage_error_with_the_help(capsys: Capture) -> None:
    assert main([]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert all(f"    {command} " in err for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0

    assert capsys.readouterr().out.startswith(f"usage: python -m airflow_provider_fdi {command} ")


def test_airflow_s_own_help_names_every_command() -> None:
    pytest.importorskip("airflow.cli.cli_config")
    from airflow_provider_fdi.cli.definition import COMMANDS as TEXT

    assert sorted(line.split()[0] for line in TEXT.splitlines() if line.startswith("  ")) == sorted(COMMANDS)


def test_a_connection_that_is_not_there_is_named_with_the_places_that_were_searched(
    airflow_db: None, capsys: Capture
) -> None:
    assert main(["list", "--conn-id", "fdi_nowhere"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "error: there is no connection 'fdi_nowhere'",
        "  Airflow looked for the variable AIRFLOW_CONN_FDI_NOWHERE, in its secrets backends and in its"
        " database.",
    ]


@pytest.fixture
def stored_connection(airflow_db: None, fdi_emulator: FdiEmulator) -> Iterator[str]:
    """A connection that only Airflow's database knows."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    row = fdi_emulator.connection()
    with create_session() as session:
        session.add(Connection(conn_id="fdi_stored", **{**row, "extra": json.dumps(row["extra"])}))
    yield "fdi_stored"
    with create_session() as session:
        session.query(Connection).filter(Connection.conn_id == "fdi_stored").delete()


def test_a_connection_of_the_database_is_found(
    stored_connection: str, fdi_emulator: FdiEmulator, capsys: Capture
) -> None:
    fdi_emulator.add_task("orders")

    assert main(["list", "--conn-id", stored_connection]) == 0

    assert "orders" in capsys.readouterr().out


def test_an_error_of_the_service_is_said_without_a_traceback(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    row = fdi_emulator.connection()
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps({**row, "password": "another-token"}))

    assert main(["list"]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert "another-token" not in err
    assert "connection 'fdi_default'" in err


def test_ctrl_c_ends_without_a_traceback(
    fdi_emulator: FdiEmulator, fdi_connection: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from airflow_provider_fdi.client.api.monitoring import Monitoring

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Monitoring, "list_task_monitors", interrupted)

    assert main(["list"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize("command", ["airflow_provider_fdi", "airflow fdi"])
def test_the_commands_work_as_real_processes(
    command: str, fdi_emulator: FdiEmulator, fdi_connection: str, airflow_db: None
) -> None:
    """A log line of Airflow, or a warning, on stdout would not be JSON."""
    if command == "airflow fdi" and not airflow_takes_commands_of_providers():
        pytest.skip("Airflow before 3.2 has no commands of providers")
    fdi_emulator.add_task("orders")

    done = run(*command.split(), "list", "-o", "json")
    wrong = run(*command.split(), "plan", "--nonsense")

    assert done.returncode == 0, done.stderr
    assert [task["name"] for task in json.loads(done.stdout)] == ["orders"]
    assert wrong.returncode == 1
    assert wrong.stdout == ""


def airflow_takes_commands_of_providers() -> bool:
    from airflow.providers_manager import ProvidersManager

    return hasattr(ProvidersManager, "cli_command_functions")


def test_what_every_airflow_command_imports_of_us_is_next_to_nothing() -> None:
    module = get_provider_info()["cli"][0].rpartition(".")[0]

    loaded = loaded_by(module, besides="airflow.cli.cli_config")

    assert loaded - {"airflow_provider_fdi"} == {"airflow_provider_fdi.cli", module}
