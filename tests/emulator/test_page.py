"""The page at the emulator's address: what people see of tasks, runs and requests."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from urllib.parse import urlencode

import pytest
import requests

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def page(emulator: FdiEmulator, status: int = 200, **query: str) -> requests.Response:
    answer = requests.get(f"{emulator.url}/", params=query, timeout=30)
    assert answer.status_code == status
    return answer


def text(emulator: FdiEmulator, status: int = 200, **query: str) -> str:
    """What a reader sees in the main part: without tags, and with single spaces."""
    main = re.search(r"<main>(.*)</main>", page(emulator, status, **query).text, re.DOTALL)
    assert main
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main[1])).split())


def run(emulator: FdiEmulator, task_id: str) -> str:
    emulator.request("POST", f"tasks/{task_id}/run", {})
    return str(emulator.runs_started(task_id)[-1]["run_id"])


def test_an_empty_emulator_says_so(fdi_emulator: FdiEmulator) -> None:
    assert text(fdi_emulator).count("None yet.") == 3


def test_a_task_has_its_schedule_and_its_last_run(fdi_emulator: FdiEmulator) -> None:
    schedule = {"use_quartz_cron": True, "cron": "0 0 2 * * ?", "cron_timezone": "Asia/Shanghai"}
    task_id = fdi_emulator.add_task(
        "daily-load", started=True, schedule=schedule, script={"rows": 336_776, "dirty_rows": 7}
    )
    run(fdi_emulator, task_id)

    seen = text(fdi_emulator)
    assert f"daily-load {task_id} TIMING scripted started 0 0 2 * * ? Asia/Shanghai next 20" in seen
    assert re.search(r"SUCCESS [\d: -]+ [\d.]+ s 336,776 7 Task execute success", seen)


def test_a_run_shows_its_steps_and_what_went_wrong(fdi_emulator: FdiEmulator) -> None:
    task_id = fdi_emulator.add_task(script={"outcome": "ERROR", "remarks": "Duplicate entry '42'"})
    run_id = run(fdi_emulator, task_id)

    seen = text(fdi_emulator, task=task_id, run=run_id)
    assert f"Run {run_id}" in seen
    assert "READER 100" in seen
    assert re.search(r"WRITER 503 [\d: -]+ [\d.]+ s 0 0 Duplicate entry '42'", seen)


def test_the_last_requests_are_listed_without_project_and_instance(fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("status", operation="CountTasks", status=503)
    fdi_emulator.request("GET", "tasks/nope?a=b")
    fdi_emulator.request("GET", "statistics/tasks")

    seen = text(fdi_emulator)
    assert "ShowTask GET …/tasks/nope?a=b 404" in seen
    assert "CountTasks GET …/statistics/tasks 503 fault status" in seen


def test_switches_faults_and_a_moved_clock_are_named(fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.switch(log_order="asc")
    fdi_emulator.fault("reset_after", operation="RunTask", times=3)
    fdi_emulator.move_clock(90_000)

    seen = text(fdi_emulator)
    assert 'switch log_order = "asc"' in seen
    assert "fault reset_after for RunTask : struck 0 of 3 times" in seen
    assert "the clock was moved by 1 min 30 s" in page(fdi_emulator).text


def test_names_and_remarks_are_text_and_nothing_else(fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.add_task(EVIL, task_id=EVIL)
    task_id = fdi_emulator.add_task(EVIL, description=EVIL)
    run_id = fdi_emulator.add_run(task_id, id=EVIL, execute_status="ERROR", remarks=EVIL)
    fdi_emulator.fault("status", path_regex=re.escape(EVIL))
    requests.get(f"{fdi_emulator.api}/tasks/{EVIL}", timeout=30)

    for query in ({}, {"task": task_id}, {"task": task_id, "run": run_id}, {"task": EVIL}, {"name": EVIL}):
        shown = page(fdi_emulator, **query).text
        assert "<img" not in shown
        assert shown.count("<script") == shown.count("</script") == 1
        assert html.escape("<img src=x onerror=alert(1)>") in shown
    assert "<img" not in page(fdi_emulator, 404, task=EVIL + "x").text


def test_only_the_pages_own_script_may_run(fdi_emulator: FdiEmulator) -> None:
    answer = page(fdi_emulator)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    for element in ("style", "script"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_no_secret_is_on_the_page(fdi_emulator: FdiEmulator) -> None:
    source = fdi_emulator.add_datasource("source", "mysql+pymysql://etl:top-secret@host/db")
    detail = {"sourceSelectedDatasource": {"password": "top-secret"}}
    task_id = fdi_emulator.add_task(source_datasource_id=source, task_detail=detail)
    fdi_emulator.request("GET", "tasks")

    shown = page(fdi_emulator).text + page(fdi_emulator, task=task_id).text
    for secret in ("top-secret", fdi_emulator.token, fdi_emulator.password, fdi_emulator.secret_key):
        assert secret not in shown


def test_tasks_can_be_found_by_a_part_of_their_name(fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.add_task("daily-load")
    fdi_emulator.add_task("hourly-load")

    seen = text(fdi_emulator, name="DAILY")
    assert "daily-load" in seen
    assert "hourly-load" not in seen


def test_of_many_tasks_the_last_active_are_shown(fdi_emulator: FdiEmulator) -> None:
    ids = fdi_emulator.add_tasks(300)
    run(fdi_emulator, ids[0])

    seen = text(fdi_emulator)
    assert "Tasks 300, the last active 100" in seen
    assert ids[0] in seen


def test_a_task_that_is_gone_is_a_page_that_says_why(fdi_emulator: FdiEmulator) -> None:
    assert "gone after a reset" in text(fdi_emulator, 404, task="nope")


@pytest.mark.usefixtures("fdi_connection")
def test_the_links_of_operators_lead_here(fdi_emulator: FdiEmulator) -> None:
    task_id = fdi_emulator.add_task("daily-load")
    run_id = run(fdi_emulator, task_id)

    for link, words in (
        (FdiHook().console_link(task_id), "Task daily-load"),
        (FdiHook().console_link(task_id, run_id), f"Run {run_id}"),
    ):
        assert link.startswith(f"{fdi_emulator.url}/?{urlencode({'task': task_id})}")
        assert words in requests.get(link, timeout=30).text
