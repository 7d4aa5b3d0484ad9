"""DAGs run with secrets in the connection and in ``task_detail``, at DEBUG and with faults; then everything
that was logged, printed, stored, sent to a trigger or said by an exception is searched for them."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import (
    FdiCreateTaskOperator,
    FdiRunTaskOperator,
    FdiTestDatasourceOperator,
    FdiUpdateTaskOperator,
)
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger

SECRETS = {
    "one": "detail-secret-one",
    "two": 'detail "secret" two',
    "three": "detail\\secret-thrée",
    "four": "Bearer detail-secret-four",
}
EMULATOR = (FdiEmulator.token, FdiEmulator.password, FdiEmulator.secret_key)
DETAIL = {
    "sourceSelectedDatasource": {
        "password": SECRETS["one"],
        "sourceHeaders": [{"keys": "Authorization", "value": SECRETS["four"]}],
        "auth": json.dumps({"client_secret": SECRETS["two"], "user": "somebody"}),
    },
    "targetSelectedDatasource": {"sk": SECRETS["three"], "targetTable": "a.table"},
    "mappingTable": [],
}
TEMPLATE = {
    "sourceSelectedDatasource": {
        "password": "{{ var.value.one }}",
        "sourceHeaders": [{"keys": "Authorization", "value": "{{ var.value.four }}"}],
        "auth": "{{ var.value.auth }}",
    },
    "targetSelectedDatasource": {"sk": "{{ var.value.three }}", "targetTable": "a.table"},
}


def forms(secret: str) -> set[str]:
    """A secret as text, and as it may stand within JSON or Python text."""
    inside = {secret}
    for _ in range(2):
        inside |= {json.dumps(s)[1:-1] for s in inside} | {repr(s)[1:-1] for s in inside}
        inside |= {json.dumps(s, ensure_ascii=False)[1:-1] for s in inside}
    return inside


def leaks(where: str, text: str, secrets: Sequence[str] = ()) -> list[str]:
    found = []
    for secret in secrets or (*SECRETS.values(), *EMULATOR):
        for form in forms(secret):
            at = text.find(form)
            if at >= 0:
                found.append(f"{where}: …{text[max(0, at - 150) : at + 60]}…")
                break
    return found


class Witness:
    """What became known outside of the operators' own memory."""

    def __init__(self) -> None:
        self.log = io.StringIO()
        self.triggers: list[str] = []
        self.events: list[str] = []

    def database(self, *without: str) -> dict[str, str]:
        """Every table of Airflow's database as text."""
        path = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as connection:
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            return {
                name: "\n".join(map(repr, connection.execute(f'SELECT * FROM "{name}"')))
                for name in tables
                if name not in without
            }


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    found = Witness()
    # Not a handler that Airflow knows: what it reads has not gone through any mask.
    handler = logging.StreamHandler(found.log)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    run = FdiWaitTrigger.run

    async def watched(self: FdiWaitTrigger) -> Any:
        found.triggers.append(repr(self.serialize()) + repr(vars(self)))
        async for event in run(self):
            found.events.append(repr(event))
            yield event

    monkeypatch.setattr(FdiWaitTrigger, "run", watched)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables whose names mean nothing to Airflow."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(f"AIRFLOW_VAR_{name.upper()}", secret)
    monkeypatch.setenv("AIRFLOW_VAR_AUTH", DETAIL["sourceSelectedDatasource"]["auth"])  # type: ignore[index]
    monkeypatch.setenv("AIRFLOW_VAR_DETAIL", json.dumps(DETAIL, ensure_ascii=False))
    monkeypatch.setenv("AIRFLOW_VAR_ALMOST", json.dumps(DETAIL)[:-1] + ",}")


def reported(auth_type: str) -> str:
    """What the service was reported, as it might repeat it."""
    ours = {"token": FdiEmulator.token, "password": FdiEmulator.password}.get(
        auth_type, FdiEmulator.secret_key
    )
    return f"refused: {' '.join(SECRETS.values())} {ours}"


def connection(auth_type: str, emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    if auth_type == "sdk":
        pytest.importorskip("huaweicloudsdkcore")
        monkeypatch.setenv("HUAWEICLOUD_SDK_AK", emulator.access_key)
        monkeypatch.setenv("HUAWEICLOUD_SDK_SK", emulator.secret_key)
        monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", emulator.project_id)
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", emulator.connection_json(auth_type))


@pytest.mark.usefixtures("airflow_db", "variables", "no_pauses")
@pytest.mark.parametrize("auth_type", ["token", "password", "aksk", "sdk"])
def test_no_secret_is_logged_stored_or_sent_to_a_trigger(
    auth_type: str,
    fdi_emulator: FdiEmulator,
    witness: Witness,
    run_dag: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    connection(auth_type, fdi_emulator, monkeypatch)
    source, target = (fdi_emulator.add_datasource(name, None) for name in ("source", "target"))
    sides = {"source_datasource_id": source, "target_datasource_id": target}
    good, bad = fdi_emulator.add_task("good"), fdi_emulator.add_task("bad", script={"outcome": "ERROR"})
    # Long enough for the task to be deferred on a busy machine.
    slow = fdi_emulator.add_task("slow", script={"duration_ms": 2000})
    said = reported(auth_type)
    # A failure, a page, no answer at all, and a refusal; what says something says what it was reported.
    body = {"error_code": "FDI.3030", "error_msg": said}
    fault = {"method": "PUT", "path_regex": "/tasks/"}
    fdi_emulator.fault("status", status=500, body=body, times=1, **fault)
    fdi_emulator.fault("status", status=502, body=f"<html>{said}</html>", times=1, **fault)
    fdi_emulator.fault("reset_after", times=1, **fault)
    fdi_emulator.fault("status", status=400, body=body, times=1, **fault)

    with DAG(f"secrets_{auth_type}", schedule=None) as dag:
        FdiCreateTaskOperator(task_id="as_dict", fdi_task_name="as-dict", task_detail=TEMPLATE, **sides)
        FdiCreateTaskOperator(
            task_id="as_text", fdi_task_name="as-text", task_detail="{{ var.value.detail }}", **sides
        )
        FdiCreateTaskOperator(
            task_id="almost_json", fdi_task_name="almost", task_detail="{{ var.value.almost }}", **sides
        )
        FdiCreateTaskOperator.partial(
            task_id="mapped", task_detail={"inner": "{{ var.value.detail }}", **TEMPLATE}, **sides
        ).expand(fdi_task_name=["mapped-1", "mapped-2"])
        FdiUpdateTaskOperator(task_id="refused", fdi_task_id=good, task_detail=TEMPLATE)
        FdiRunTaskOperator(task_id="run", fdi_task_id=good, poll_interval=0.1)
        FdiRunTaskOperator(task_id="failing", fdi_task_id=bad, poll_interval=0.1)
        FdiRunTaskOperator(task_id="deferred", fdi_task_id=slow, poll_interval=0.1, deferrable=True)
        FdiTestDatasourceOperator(task_id="datasource", datasource_id=source)
    dag_run = run_dag(dag)

    states = {(ti.task_id, ti.map_index): str(ti.state) for ti in dag_run.get_task_instances()}
    for task in (
        ("as_dict", -1),
        ("as_text", -1),
        ("mapped", 0),
        ("mapped", 1),
        ("run", -1),
        ("deferred", -1),
    ):
        assert states[task] == "success", states
    for task in (("almost_json", -1), ("refused", -1), ("failing", -1)):
        assert states[task] == "failed", states

    log, printed = witness.log.getvalue(), "".join(capfd.readouterr())
    # The DAG's own source, this file, is stored too.
    stored = witness.database("dag_code")
    # Airflow 3.4 has another table, and keeps the old one under another name.
    names = {"rendered_task_instance_fields", "rtif_v1", "rtif_v2"} & stored.keys()
    assert names
    rendered = "".join(stored[name] for name in names)
    assert "/tasks/" in log and "DEBUG" not in rendered
    assert "***" in rendered and "a.table" in rendered and "somebody" in rendered
    assert witness.triggers and witness.events
    found = leaks("log", log) + leaks("output", printed)
    for name, text in stored.items():
        found += leaks(name, text)
    for text in (*witness.triggers, *witness.events):
        found += leaks("trigger", text)
    # A token that IAM issued: not even a part of it.
    assert not re.search(r"\bMII[\w-]{40}", log + printed + "".join(stored.values()))
    assert not found, "\n".join(found)


@pytest.mark.usefixtures("airflow_db", "fdi_connection")
def test_secret_in_a_template_that_fails_is_not_logged(
    witness: Witness, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Airflow logs a template that cannot be rendered, and here the secret is part of it."""
    inner = json.dumps(json.dumps({"token": "inner-secret"}))
    text = f'{{"rows": {{{{ nothing.of.it }}}}, "password": "literal-secret", "inner": {inner}}}'
    with DAG("secrets_in_templates", schedule=None) as dag:
        FdiCreateTaskOperator(
            task_id="text",
            fdi_task_name="text",
            task_detail=text,
            source_datasource_id="s",
            target_datasource_id="t",
        )
    dag_run = run_dag(dag)
    assert str(dag_run.state) == "failed"
    printed = "".join(capfd.readouterr())
    said = witness.log.getvalue() + printed
    assert "Exception rendering Jinja template" in said
    secrets = ("literal-secret", "inner-secret")
    assert leaks("output", printed, secrets) == []
    stored = witness.database("serialized_dag", "dag_code")
    assert [line for name, rows in stored.items() for line in leaks(name, rows, secrets)] == []


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("auth_type", ["token", "password", "aksk", "sdk"])
@pytest.mark.parametrize("fault", ["refused", "server", "page", "not JSON", "cut", "login"])
def test_no_exception_says_a_secret(
    fault: str, auth_type: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.taskinstance import Store, context

    connection(auth_type, fdi_emulator, monkeypatch)
    said = reported(auth_type)
    body = {"error_code": "FDI.3030", "error_msg": said}
    task_id = fdi_emulator.add_task("good")
    rule: dict[str, Any] = {"method": "PUT", "times": 10}
    match fault:
        case "refused":
            fdi_emulator.fault("status", status=400, body=body, **rule)
        case "server":
            fdi_emulator.fault("status", status=500, body=body, **rule)
        case "page":
            fdi_emulator.fault("status", status=502, body=f"<html>{said}</html>", **rule)
        case "not JSON":
            fdi_emulator.fault("malformed_json", **rule)
        case "cut":
            fdi_emulator.fault("truncate_body", **rule)
        case "login":
            fdi_emulator.fault("status", status=401, body=body, **rule)
    store, given = Store(), context()
    given["task_state_store"] = store
    operator = FdiUpdateTaskOperator(task_id="update", fdi_task_id=task_id, task_detail=DETAIL)
    with pytest.raises(Exception) as caught:
        operator.execute(given)
    error: BaseException | None = caught.value
    words = "".join(traceback.format_exception(caught.value)) + repr(store.kept) + repr(given["ti"].xcoms)
    words += repr(operator) + repr(operator.hook) + repr(operator.hook.settings) + repr(operator.client)
    while error is not None:
        words += repr(error) + str(error) + repr(vars(error))
        error = error.__cause__ or error.__context__
    assert leaks(fault, words) == []
