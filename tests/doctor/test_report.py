"""The report can be posted: nothing in it tells whose instance it is. The command around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.cli.main import main
from airflow_provider_fdi.doctor import command
from airflow_provider_fdi.doctor.probe import Limits
from airflow_provider_fdi.doctor.report import as_json, as_markdown
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from tests.doctor.instance import NO_FIRING, NOTHING_PLANNED, add_history, arguments, switches_of, visit

NAMES = ("secret-orders", "secret_tag", "secret description", "secret remarks", "secret_source", "SECRETWORD")


def add_secrets(emulator: FdiEmulator) -> set[str]:
    """An instance whose every name is recognisable; what must not be seen of it."""
    source = emulator.add_datasource(NAMES[4], "sqlite:///secret.db")
    task_id = emulator.add_task(
        NAMES[0],
        task_tag=NAMES[1],
        description=NAMES[2],
        source_datasource_id=source,
        target_datasource_id=source,
        task_detail=json.dumps({"sourceSelectedDatasource": {"sourceTable": NAMES[5]}}),
    )
    run_id = emulator.add_run(task_id, remarks=NAMES[3])
    return {source, task_id, run_id}


def hidden(emulator: FdiEmulator) -> set[str]:
    """Ids, names and secrets of the emulator itself, and all ids that it handed out to the doctor."""
    ids = {part for row in emulator.journal() for part in row["path"].split("/") if len(part) > 20}
    account = {
        emulator.project_id, emulator.instance_id, emulator.app_id, emulator.token, emulator.access_key,
        emulator.secret_key, emulator.user_name, emulator.password, emulator.domain_name,
        emulator.project_name, emulator.url.partition("://")[2], "127.0.0.1", "fdi_default", "emulator-app",
    }  # fmt: skip
    return {*ids, *account, *NAMES, "secret"}


@pytest.mark.parametrize("auth_type", ["token", "password", "aksk"])
@pytest.mark.parametrize(
    "trouble",
    [
        None,
        {"extra": {"project_id": "f" * 32}},
        {"extra": {"instance_id": "0" * 36}},
        {"password": "secret-but-wrong"},
        {"host": "https://127.0.0.1:1"},
        {"host": "http://secret.example.invalid"},
    ],
    ids=["all is well", "project", "instance", "credentials", "network", "settings"],
)
def test_no_secret_id_or_name_is_in_it(
    fdi_emulator: FdiEmulator,
    monkeypatch: pytest.MonkeyPatch,
    auth_type: str,
    trouble: dict[str, Any] | None,
) -> None:
    own = add_secrets(fdi_emulator)
    connection = fdi_emulator.connection(auth_type)
    changes = dict(trouble or {})
    connection["extra"] |= changes.pop("extra", {})
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(connection | changes))

    report = command.examine(FdiHook(), NO_FIRING, NOTHING_PLANNED)

    text = as_markdown(report) + as_json(report)
    unwanted = own | hidden(fdi_emulator) | {"f" * 32, "0" * 36}
    assert [word for word in unwanted if word in text] == []
    assert len(text) > 5000


def test_strange_words_are_not_shown(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown state is named if it looks like one."""
    task_id = fdi_emulator.add_task("orders")
    row = {"task_id": task_id, "task_name": "orders", "task_type": "TIMING", "status": 0}
    rows = [row | {"execute_status": "SUSPENDED"}, row | {"execute_status": "Mr. Smith's"}]
    page = {"total": 2, "size": 2, "entities": rows}
    fdi_emulator.fault("status", operation="ListTasks", status=200, body=page, times=None)

    report = visit(fdi_emulator, monkeypatch, limits=NO_FIRING)

    finding = report.finding("known_values")
    assert finding.verdict.seen == "unknown: execute_status (not shown), execute_status SUSPENDED"


@pytest.fixture
def doctor(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command with these arguments."""
    monkeypatch.setattr(command, "DEFAULTS", Limits(pace=0.0, poll=0.01, fire_wait=0.0))
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator.connection_json())
    add_history(fdi_emulator)
    return lambda *words: command.run(FdiHook(), arguments(*words))


def test_it_is_a_command(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "DEFAULTS", Limits(pace=0.0))
    monkeypatch.setenv("AIRFLOW_CONN_REAL", fdi_emulator.connection_json())
    fdi_emulator.switch(created_date_style="iso")
    fdi_emulator.add_task("orders")

    assert main(["doctor", "--conn-id", "real", "-o", "json"]) == 2

    assert switches_of(capsys.readouterr().out) == {"created_date_style": "iso"}


def test_as_assumed_is_0(doctor: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor() == 0
    assert capsys.readouterr().out.startswith("# FDI doctor: 0 different, ")


def test_different_is_2(
    fdi_emulator: FdiEmulator, doctor: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    fdi_emulator.switch(log_order="asc")

    assert doctor("--output", "json") == 2
    assert switches_of(capsys.readouterr().out) == {"log_order": "asc"}


def test_a_connection_that_does_not_work_is_1(
    fdi_emulator: FdiEmulator,
    doctor: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_FDI_DEFAULT", json.dumps(fdi_emulator.connection() | {"password": "x" * 9})
    )

    assert doctor() == 1

    out, err = capsys.readouterr()
    assert "the layer Credentials failed (HTTP 401 APIGW.0301)" in out
    assert err.startswith("error: Incorrect IAM authentication information")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--write", "--source", "a"], "belong together"),
        (["--source", "a", "--target", "b"], "go with --write"),
        (["--write", "--detail", "missing.json"], "missing.json"),
    ],
    ids=["half", "read-only", "no file"],
)
def test_wrong_arguments_are_1(
    doctor: Callable[..., int], capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert doctor(*words) == 1
    assert says in capsys.readouterr().err


def test_data_sources_and_settings_are_those_given(
    fdi_emulator: FdiEmulator, doctor: Callable[..., int], tmp_path: Path
) -> None:
    fdi_emulator.switch(check_datasources=True)
    sides = [fdi_emulator.add_datasource(name, f"sqlite:///{tmp_path}/{name}.db") for name in ("from", "to")]
    table = {"sourceTable": "orders"}
    detail = {"sourceSelectedDatasource": table, "targetSelectedDatasource": {"targetTable": "orders"}}
    file = tmp_path / "detail.json"
    file.write_text(json.dumps(detail))

    doctor("--write", "--source", sides[0], "--target", sides[1], "--detail", str(file))

    bodies = [row["body"] for row in fdi_emulator.journal("CreateCommonTask")]
    made = [body if isinstance(body, dict) else json.loads(body) for body in bodies][1:]
    for body in made:
        assert [body["task"][f"{side}_datasource_id"] for side in ("source", "target")] == sides
        assert json.loads(body["task_detail"]) == detail
    assert len(fdi_emulator.journal("RunTask")) >= 2
    assert fdi_emulator.request("GET", "tasks")[1]["total"] == 4
