"""Faults, the journal, and load switches."""

from __future__ import annotations

import re
import time

import pytest
import requests

from airflow_provider_fdi.emulator.handle import EmulatorError


def started(emulator, task_id):
    return len(emulator.runs_started(task_id))


@pytest.mark.parametrize(("kind", "runs"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_closes_the_connection_without_an_answer(api, fdi_emulator, kind, runs):
    task_id = fdi_emulator.add_task()
    fdi_emulator.fault(kind, operation="RunTask")
    with pytest.raises(requests.ConnectionError):
        api("POST", f"tasks/{task_id}/run")
    assert started(fdi_emulator, task_id) == runs
    assert api("POST", f"tasks/{task_id}/run").ok


@pytest.mark.parametrize(("kind", "runs"), [("status", 0), ("status_after", 1)])
def test_a_status_is_answered_before_or_after_handling(api, fdi_emulator, kind, runs):
    task_id = fdi_emulator.add_task()
    fdi_emulator.fault(kind, operation="RunTask", status=502)
    answer = api("POST", f"tasks/{task_id}/run")
    assert (answer.status_code, answer.json()["error_code"]) == (502, "APIGW.0201")
    assert started(fdi_emulator, task_id) == runs


def test_throttling_carries_its_headers(api, fdi_emulator):
    fdi_emulator.fault("status", status=429, headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        answer = api("GET", "tasks")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert api("GET", "tasks").ok


def test_a_body_of_ones_own_is_answered_as_given(api, fdi_emulator):
    fdi_emulator.fault("status", status=500, body={"error_code": "FDI.3018", "error_msg": "no"})
    fdi_emulator.fault("status", status=500, body="plain words")
    assert api("GET", "tasks").json()["error_code"] == "FDI.3018"
    assert api("GET", "tasks").text == "plain words"


def test_a_truncated_body_is_shorter_than_announced(api, fdi_emulator):
    task_id = fdi_emulator.add_task()
    fdi_emulator.fault("truncate_body")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        api("POST", f"tasks/{task_id}/run")
    assert started(fdi_emulator, task_id) == 1


def test_pages_broken_json_and_redirects(api, fdi_emulator):
    for kind in ("html", "malformed_json", "redirect"):
        fdi_emulator.fault(kind)
    page = api("GET", "tasks")
    assert page.status_code == 502
    assert page.headers["Content-Type"] == "text/html"
    broken = api("GET", "tasks")
    assert broken.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        broken.json()
    redirect = api("GET", "tasks")
    assert redirect.status_code == 302
    assert redirect.headers["Location"]


def test_rules_strike_where_and_when_they_say(api, fdi_emulator):
    fdi_emulator.fault("status", path_regex=r"/statistics/", status=503, after=1, times=None)
    statuses = [api("GET", path).status_code for path in ("tasks", "statistics/tasks", "statistics/tasks")]
    assert statuses == [200, 200, 503]
    fdi_emulator.clear_faults()
    fdi_emulator.fault("status", method="DELETE", status=503)
    assert api("GET", "tasks").ok
    assert api("DELETE", "tasks/x").status_code == 503


def test_a_delay_adds_to_another_fault(api, fdi_emulator):
    fdi_emulator.fault("delay", delay_ms=100)
    fdi_emulator.fault("status", status=503)
    began = time.monotonic()
    assert api("GET", "tasks").status_code == 503
    assert time.monotonic() - began >= 0.1


def test_an_unknown_kind_of_fault_is_refused(fdi_emulator):
    with pytest.raises(RuntimeError, match="must be one of"):
        fdi_emulator.fault("meteor")


def test_the_journal_tells_what_was_sent_without_secrets(api, fdi_emulator):
    api("GET", "tasks", params={"limit": 5, "name": "a b"})
    api("POST", "tasks", {"no": "task"})
    first, second = fdi_emulator.journal()
    assert (first["operation"], first["status"]) == ("ListTasks", 200)
    assert first["query"] == {"limit": "5", "name": "a b"}
    assert (second["body"], second["status"]) == ({"no": "task"}, 400)
    assert fdi_emulator.token not in str(fdi_emulator.journal())
    assert [row["operation"] for row in fdi_emulator.journal("ListTasks")] == ["ListTasks"]
    assert fdi_emulator.journal_counts() == {"ListTasks": 1, "CreateCommonTask": 1}
    fdi_emulator.clear_journal()
    assert fdi_emulator.journal() == []


def test_the_journal_keeps_no_password(fdi_emulator):
    user = {"name": "x", "password": "top-secret", "domain": {"name": "d"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    requests.post(f"{fdi_emulator.url}/v3/auth/tokens", json=body)
    assert "top-secret" not in str(fdi_emulator.journal())


def test_latency_and_rate_can_be_limited(api, fdi_emulator):
    fdi_emulator.switch(latency_ms=50)
    began = time.monotonic()
    api("GET", "tasks")
    assert time.monotonic() - began >= 0.05
    fdi_emulator.switch(latency_ms=0, rate_limit=1, retry_after_s=3)
    answers = [api("GET", "tasks") for _ in range(4)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "3"


def test_an_unknown_switch_changes_nothing(fdi_emulator):
    with pytest.raises(RuntimeError, match="unknown switch"):
        fdi_emulator.switch(latency_ms=5, warp=9)
    assert fdi_emulator.switch()["latency_ms"] == 0
    with pytest.raises(RuntimeError, match="one of"):
        fdi_emulator.switch(log_order="random")


def test_reset_forgets_everything(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"hold": True})
    api.ok("POST", f"tasks/{task_id}/run")
    fdi_emulator.fault("html")
    fdi_emulator.switch(log_order="asc")
    fdi_emulator.move_clock(10**9)
    fdi_emulator.reset()
    assert api.ok("GET", "tasks")["total"] == 0
    assert fdi_emulator.switch()["log_order"] == "desc"
    assert abs(fdi_emulator.now_ms() - time.time() * 1000) < 10_000
    assert len(fdi_emulator.journal()) == 1


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "stauts"}, "did you mean 'status'?"),
        (
            {"kind": "status", "operation": "RunTsk"},
            "there is no operation 'RunTsk'; did you mean 'RunTask'?",
        ),
        ({"kind": "status", "oparation": "RunTask"}, "unknown key 'oparation'; did you mean 'operation'?"),
        ({"kind": "status", "method": "PSOT"}, "did you mean 'POST'?"),
        ({"kind": "status", "status": 5033}, "status: Input should be less than or equal to 599"),
    ],
)
def test_a_misspelt_fault_is_refused_with_the_right_word(fdi_emulator, rule, words):
    with pytest.raises(EmulatorError, match=re.escape(words)):
        fdi_emulator.fault(**rule)
    assert fdi_emulator.faults() == []


def test_the_journal_of_an_operation_that_does_not_exist_is_refused(fdi_emulator):
    with pytest.raises(EmulatorError, match="did you mean 'DeleteTask'"):
        fdi_emulator.journal("DeleteTsk")
