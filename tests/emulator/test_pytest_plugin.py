"""The fixtures for tests of users, used as a user does: in a folder and a process of their own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

# Each imports Airflow in a new process.
pytestmark = pytest.mark.timeout(300)

TESTS = """
def test_fdi_fails(fdi_emulator, run_dag, assert_succeeded):
    fdi_emulator.add_task("daily-load", script={"outcome": "ERROR", "remarks": "Duplicate entry '42'"})
    assert_succeeded(run_dag("dags/my_dag.py"))


def test_the_task_fails(fdi_emulator, assert_succeeded):
    from dags.my_dag import dag

    fdi_emulator.add_task("daily-load", script={"dirty_rows": 30})
    assert_succeeded(dag.test())


def test_nothing_runs(fdi_emulator, run_dag, assert_succeeded):
    assert_succeeded(run_dag("dags/my_dag.py"))


def test_a_run_of_fdi(fdi_emulator, assert_succeeded):
    task_id = fdi_emulator.add_task(script=[{}, {"outcome": "ERROR", "remarks": "Disk full"}])
    for _ in range(2):
        fdi_emulator.request("POST", f"tasks/{task_id}/run", {})
    good, bad = fdi_emulator.runs_started(task_id)
    assert_succeeded(good)
    assert_succeeded(bad)


def test_a_file_with_a_mistake(run_dag):
    run_dag("broken.py")


def test_a_file_that_is_not_there(run_dag):
    run_dag("dags/mydag.py")


def test_the_database_is_not_the_one_of_the_environment(airflow_db):
    from airflow.configuration import conf

    assert conf.get("database", "sql_alchemy_conn") != "sqlite:////nowhere/real.db"
    assert not conf.get("secrets", "backend")
"""


def environment(**values: str) -> dict[str, str]:
    """The environment without what this suite has set for its own Airflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | values


def run_pytest(folder: Path, *arguments: str, **env: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--show-capture=no", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest prints of each test, `passed` if nothing: of those of the emulator's page, and of TESTS."""
    folder = tmp_path_factory.mktemp("project")
    for block in blocks(ROOT / "docs" / "emulator.md"):
        name = re.match(r"# ([\w/]+\.py)\n", block.text)
        if name:
            text = block.text
            if importlib.util.find_spec("airflow.sdk") is None:
                text = text.replace("from airflow.sdk import", "from airflow import")
            (folder / name[1]).parent.mkdir(exist_ok=True)
            (folder / name[1]).write_text(text)
    (folder / "test_failures.py").write_text(TESTS)
    (folder / "broken.py").write_text("from airflow import nothing_of_the_kind")
    # A database and a store of secrets that somebody uses.
    output = run_pytest(
        folder,
        "-vv",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:////nowhere/real.db",
        AIRFLOW__SECRETS__BACKEND="airflow.secrets.local_filesystem.LocalFilesystemBackend",
    )
    found = dict.fromkeys(re.findall(r"::(test_\w+) PASSED", output), "passed")
    for name, text in re.findall(r"^_+ (test_\w+) _+\n(.*?)(?=^[_=]{3,} )", output, re.MULTILINE | re.DOTALL):
        found[name] = text
    assert "test_fdi_fails" in found, output
    return found


def test_the_test_of_the_page_passes(report: dict[str, str]) -> None:
    assert report["test_the_load_runs_once_and_is_checked"] == "passed"


def test_the_reason_of_a_failed_run_is_shown_and_not_where_it_was_found(report: dict[str, str]) -> None:
    text = report["test_fdi_fails"]
    assert text.startswith("DAG my_dag failed.\nTask load: failed\n    FdiRunFailed: ")
    assert "Duplicate entry '42'" in text
    assert "dags.py" not in text


def test_a_run_that_the_exception_tells_of_is_not_told_twice(report: dict[str, str]) -> None:
    assert "FDI run of task" not in report["test_fdi_fails"]


def test_the_exception_of_a_failed_task_is_shown_with_plain_dag_test(report: dict[str, str]) -> None:
    text = report["test_the_task_fails"]
    assert text.startswith("DAG my_dag failed.\nTask load: failed\n    FdiDataGateFailed: ")
    assert "30" in text


def test_it_is_said_that_fdi_has_started_nothing(report: dict[str, str]) -> None:
    text = report["test_nothing_runs"]
    assert "AirflowFailException: " in text
    assert text.rstrip().endswith("FDI has started no run.")


def test_a_run_of_fdi_can_be_checked_itself(report: dict[str, str]) -> None:
    text = report["test_a_run_of_fdi"]
    assert text.startswith("FDI run of task 'task-")
    assert "ERROR, 0 rows, 0 dirty rows" in text
    assert "    Disk full\n    step WRITER 503: Disk full" in text


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("test_a_file_with_a_mistake", "nothing_of_the_kind"),
        ("test_a_file_that_is_not_there", "there is no file"),
    ],
)
def test_a_file_without_a_dag_is_refused_with_the_reason(
    report: dict[str, str], test: str, words: str
) -> None:
    assert words in report[test]


def test_the_session_has_a_database_of_its_own(report: dict[str, str]) -> None:
    assert report["test_the_database_is_not_the_one_of_the_environment"] == "passed"


def test_an_airflow_that_was_imported_too_early_keeps_its_database(tmp_path: Path) -> None:
    plugin = 'pytest_plugins = ["airflow_provider_fdi.emulator.pytest_plugin"]\n'
    test = "def test_it(run_dag):\n    raise NotImplementedError\n"
    (tmp_path / "test_it.py").write_text(f"import airflow.configuration\n\n{plugin}\n\n{test}")
    database = tmp_path / "home" / "airflow.db"

    output = run_pytest(tmp_path, AIRFLOW_HOME=str(database.parent))

    assert "Load the plugin in conftest.py" in output
    assert not database.exists()
