"""Whatever a service lacks, refuses or answers, the doctor ends with a report."""

from __future__ import annotations

import json
import threading
import time

import pytest

from airflow_provider_fdi.doctor import command
from airflow_provider_fdi.doctor.own_task import TaskPlan
from airflow_provider_fdi.doctor.probe import Limits
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from tests.doctor.instance import NO_FIRING, NOTHING_PLANNED, add_history, visit
from tests.server import RESET, Answer, Server, closed_port
from tests.standin import StandIn

IMPATIENT = Limits(pace=0.0, poll=0.01, log_wait=0.1, fire_wait=0.0, seconds=20.0)


def test_the_other_stand_in_gets_a_report(stand_in: StandIn) -> None:
    task_id = stand_in.add_task("orders")
    stand_in.add_task("customers")
    stand_in.add_run(task_id, "run-1", "SUCCESS", 1_700_000_000_000, 1_700_000_060_000)

    report = command.examine(FdiHook(), IMPATIENT, NOTHING_PLANNED)

    found = {finding.assumption.key: finding.verdict for finding in report.findings}
    assert found["connection"].seen == "the layer Service failed (HTTP 404 APIGW.0101)"
    assert found["create_answer"].value is True
    assert found["created_date"].value == "iso"
    assert found["stopped_word"].value == "stopped"
    assert found["init_answer"].outcome == "as assumed"
    assert found["offset_of_monitors"].outcome == "not checked"
    assert found["nothing_left"].outcome == "as assumed"
    assert {row["task_name"] for row in stand_in.tasks.values()} == {"orders", "customers"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {"error_code": "APIGW.0101", "error_msg": "no"}),
        Answer(403, {"error_code": "APIGW.0302", "error_msg": "no"}),
        Answer(500, b"<html>"),
        Answer(200, {}),
        Answer(200, []),
        Answer(200, b"null"),
        Answer(200, "text"),
        Answer(200, b"not JSON"),
        Answer(200, b""),
        Answer(
            200,
            {"total": "x", "entities": [{}, None, {"task_id": 7, "status": []}], "task": [], "failure": 1},
        ),
        Answer(200, {"total": 2, "entities": [{"task_id": "a", "id": "a", "status": {}}, {"task_id": "b"}]}),
        RESET,
    ],
    ids=lambda answer: f"{answer.status} {answer.body or answer.fault}"[:40],
)
def test_whatever_is_always_answered_there_is_a_report(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server().always(answer)
    extra = {"auth_type": "token", "project_id": "a" * 32, "instance_id": "b" * 36}
    connection = {"conn_type": "fdi", "host": server.url, "password": "a-token-of-a-test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(connection))
    try:
        report = command.examine(FdiHook(), IMPATIENT, NOTHING_PLANNED)
    finally:
        server.close()

    assert len(report.findings) > 40
    assert len(server.requests) < 150


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        ({"host": f"http://127.0.0.1:{closed_port()}"}, "Network"),
        ({"password": "a-token-that-is-wrong"}, "Credentials"),
        ({"extra": {"auth_type": "token", "project_id": "f" * 32, "instance_id": "i"}}, "Project"),
        ({"extra": {"auth_type": "token", "project_id": "p" * 32}}, "Settings"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_layer_that_fails_is_named_and_nothing_more_is_sent(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], layer: str
) -> None:
    connection = json.dumps(fdi_emulator.connection() | changes)
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", connection)
    fdi_emulator.clear_journal()

    report = command.examine(FdiHook(), NO_FIRING, NOTHING_PLANNED)

    assert f"the layer {layer} failed" in report.finding("connection").verdict.seen
    assert len(fdi_emulator.journal()) <= 1
    assert {finding.verdict.outcome for finding in report.findings[1:]} == {"not checked"}


def test_a_refused_key_is_not_used_again(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.dumps(fdi_emulator.connection("aksk") | {"password": "not-the-secret-key"})
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", connection)

    command.examine(FdiHook(), NO_FIRING)

    assert fdi_emulator.lock_state()["failures"] == {fdi_emulator.access_key: 1}


def test_the_old_signature_is_forgotten_by_the_next_good_one(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = visit(fdi_emulator, monkeypatch, auth_type="aksk")

    assert report.finding("stale_signature").verdict.outcome == "as assumed"
    assert fdi_emulator.lock_state()["failures"] == {}


def test_requests_are_bounded_and_what_was_made_is_removed_all_the_same(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_history(fdi_emulator)
    limits = Limits(requests=28, pace=0.0, poll=0.01, fire_wait=0.0)

    report = visit(fdi_emulator, monkeypatch, limits=limits, plan=TaskPlan())

    assert report.finding("nothing_left").verdict.outcome == "as assumed"
    assert fdi_emulator.request("GET", "tasks")[1]["total"] == 4
    assert "the limit of 28 requests was reached" in {row.verdict.seen for row in report.of("not checked")}


def test_requests_keep_their_pace_and_never_two_at_once(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fdi_emulator.clear_journal()
    started = time.monotonic()

    report = visit(fdi_emulator, monkeypatch, limits=Limits(pace=0.05, fire_wait=0.0))

    assert time.monotonic() - started >= 0.05 * (report.requests - 2)
    assert threading.active_count() < 10


def test_the_time_is_bounded(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    fdi_emulator.switch(latency_ms=100)

    report = visit(fdi_emulator, monkeypatch, limits=Limits(seconds=0.5, pace=0.0, fire_wait=0.0))

    assert report.seconds < 2
    assert "the time of 0.5 s was over" in {finding.verdict.seen for finding in report.of("not checked")}
