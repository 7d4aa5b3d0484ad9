"""Making an instance agree with files, as a task of a DAG."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import (
    FdiApplyFailed,
    FdiApplyRefused,
    FdiConnectionError,
    FdiDeclarationError,
    FdiDriftFound,
)
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.operators.fdi import FdiApplyOperator
from tests.taskinstance import context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")

TASK = """\
  - name: {name}
    source: operations
    target: warehouse
    description: {words}
    table_to_table:
      source_table: orders
      target_table: dwh_orders
      columns: [{{name: id, type: INTEGER}}]
"""


@pytest.fixture
def files(tmp_path: Path, fdi_emulator: FdiEmulator) -> Path:
    """The folder of the files, which declare the tasks `orders` and `customers`."""
    for name in ("operations", "warehouse"):
        fdi_emulator.add_datasource(name, None)
    declare(tmp_path, orders="Orders of the day", customers="All customers")
    return tmp_path


def declare(folder: Path, **tasks: str) -> None:
    text = "".join(TASK.format(name=name, words=words) for name, words in tasks.items())
    (folder / "tasks.yaml").write_text("tasks:\n" + text, encoding="utf-8")


def apply(path: Path | str, **given: Any) -> tuple[Any, dict[str, Any]]:
    """What the operator returns, and its XComs."""
    made = context()
    result = FdiApplyOperator(task_id="apply", path=str(path), **given).execute(made)  # type: ignore[arg-type]
    return result, made["ti"].xcoms


def description_of(name: str) -> str | None:
    hook = FdiHook()
    return hook.client.get_task(hook.task_named(name).task_id).description


def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """What the operator logs from now on: levels and messages. Airflow 3 does not log by ``logging``."""
    lines: list[tuple[int, str]] = []

    class Log:
        def log(self, level: int, words: str, *values: Any) -> None:
            lines.append((level, words % values))

        def warning(self, words: str) -> None:
            """Airflow says that no task runner calls the operator."""

    monkeypatch.setattr(FdiApplyOperator, "log", Log())
    return lines


def writes(emulator: FdiEmulator) -> list[str]:
    return [row["operation"] for row in emulator.journal() if row["method"] != "GET"]


def test_what_is_declared_is_made(files: Path, fdi_emulator: FdiEmulator) -> None:
    result, xcoms = apply(files)

    assert result == {"created": ["orders", "customers"], "updated": [], "deleted": [], "unchanged": 0}
    assert description_of("customers") == "All customers"
    assert [change["action"] for change in xcoms["plan"]["changes"]] == ["create", "create"]


def test_what_is_so_already_is_not_written_again(files: Path, fdi_emulator: FdiEmulator) -> None:
    apply(files)
    fdi_emulator.clear_journal()

    result, _ = apply(files)

    assert result == {"created": [], "updated": [], "deleted": [], "unchanged": 2}
    assert writes(fdi_emulator) == []


def test_the_plan_is_in_the_log(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(files)
    declare(files, orders="All orders", customers="All customers")
    lines = logged(monkeypatch)

    apply(files)

    assert (logging.INFO, '    description: "Orders of the day" -> "All orders"') in lines
    assert lines[-1] == (logging.INFO, "updated orders")


def test_plan_only_fails_on_drift_and_writes_nothing(files: Path, fdi_emulator: FdiEmulator) -> None:
    with pytest.raises(FdiDriftFound, match=r"^2 tasks are not as declared\.\norders, customers\.\n"):
        apply(files, plan_only=True)
    assert writes(fdi_emulator) == []
    assert issubclass(FdiDriftFound, AirflowFailException)


def test_plan_only_may_warn_instead(
    files: Path, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = logged(monkeypatch)

    result, _ = apply(files, plan_only=True, on_drift="warn")

    assert result == {"created": [], "updated": [], "deleted": [], "unchanged": 0}
    assert writes(fdi_emulator) == []
    assert lines[-1] == (logging.WARNING, "Plan: 2 to create; 0 tasks unchanged.")


def test_plan_only_without_drift_succeeds(files: Path) -> None:
    apply(files)

    assert apply(files, plan_only=True)[0]["unchanged"] == 2


def test_a_relative_path_begins_at_the_folder_of_the_dag_file(
    files: Path, run_dag: Callable[..., Any], fdi_emulator: FdiEmulator
) -> None:
    from airflow_provider_fdi.emulator.dags import load_dag

    (files / "deploy.py").write_text(
        "from airflow.providers.common.compat.sdk import DAG\n"
        "from airflow_provider_fdi.operators.fdi import FdiApplyOperator\n"
        "with DAG('deploy', schedule=None):\n"
        "    FdiApplyOperator(task_id='apply', path='tasks.yaml')\n"
    )

    run = run_dag(load_dag(files / "deploy.py"))

    assert str(run.state) == "success"
    assert len(writes(fdi_emulator)) == 2


def test_variables_stand_for_references(files: Path) -> None:
    declare(files, orders="${WORDS}")

    apply(files, variables={"WORDS": "Put in"})

    assert description_of("orders") == "Put in"


def test_secrets_among_the_variables_are_masked_before_airflow_stores_them(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_fdi.operators import base

    masked: list[str] = []
    monkeypatch.setattr(base, "mask_secrets", masked.extend)
    operator = FdiApplyOperator(
        task_id="apply", path=str(files), variables={"DB_PASSWORD": "hunter2-hunter2", "HOST": "db"}
    )

    operator.render_template_fields({})  # type: ignore[arg-type]

    assert set(masked) == {"hunter2-hunter2"}


def test_wrong_files_fail_at_once_with_every_mistake(files: Path, fdi_emulator: FdiEmulator) -> None:
    (files / "tasks.yaml").write_text("tasks:\n  - nam: orders\n  - name: customers\n    kind: batch\n")

    with pytest.raises(FdiDeclarationError) as caught:
        apply(files)

    assert "tasks.yaml:2" in str(caught.value)
    assert "tasks.yaml:4" in str(caught.value)
    assert fdi_emulator.journal() == []


def test_a_path_that_is_not_there_fails_at_once(files: Path) -> None:
    with pytest.raises(FdiDeclarationError, match="nowhere"):
        apply(files / "nowhere")


def test_a_failed_change_fails_the_task_after_the_others_and_a_retry_makes_it(
    files: Path, fdi_emulator: FdiEmulator
) -> None:
    fdi_emulator.fault("status", operation="CreateCommonTask", times=1, status=400,
                       body={"error_code": "FDI.9999", "error_msg": "Not today"})  # fmt: skip

    with pytest.raises(FdiApplyFailed, match=r"^Not today .*\n1 of 2 changes failed:\norders: Not") as caught:
        apply(files)

    assert not isinstance(caught.value, AirflowFailException)
    assert apply(files)[0] == {"created": ["orders"], "updated": [], "deleted": [], "unchanged": 1}


def test_a_change_that_cannot_be_made_is_not_retried(files: Path) -> None:
    text = (files / "tasks.yaml").read_text()
    (files / "tasks.yaml").write_text(text.replace("target: warehouse", "target: warehuose", 1))

    with pytest.raises(FdiApplyRefused, match=r"^.*warehuose.*\n1 of 2 changes cannot be made:\norders: "):
        apply(files)

    assert FdiHook().find_task("customers") is not None


def test_a_service_that_cannot_be_reached_is_a_matter_for_a_retry(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"auth_type": "token", "project_id": "p", "instance_id": "i"}
    row = {"conn_type": "fdi", "host": "http://127.0.0.1:1", "password": "x" * 20, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(row))

    with pytest.raises(FdiConnectionError):
        apply(files)
