"""Schedules: the requests, and that they fire."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def schedule(api, task_id, **fields):
    return api("POST", f"tasks/{task_id}/dispatches", fields)


def test_a_start_time_may_be_the_iso_text_of_the_vendors_example(api):
    task_id = api.create()
    answer = schedule(
        api,
        task_id,
        use_quartz_cron=False,
        remark="123",
        start_datetime="2020-11-14T07:38:25.609Z",
        period="DAY",
        dispatch_interval=1,
    ).json()
    assert answer["start_datetime"] == 1605339505609
    assert answer["remark"] == "123"
    assert "cron" not in answer
    assert api.ok("GET", f"tasks/{task_id}/dispatches") == answer


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"period": "YEAR", "dispatch_interval": 1}, "period"),
        ({"period": "DAY", "dispatch_interval": 60}, "dispatch_interval"),
        ({"period": "DAY", "dispatch_interval": 0}, "dispatch_interval"),
        ({"period": "DAY", "dispatch_interval": 1, "start_datetime": 1}, "start_datetime"),
        ({"period": "DAY", "dispatch_interval": 1, "start_datetime": "soon"}, "start_datetime"),
        ({"use_quartz_cron": True}, "cron"),
        ({"use_quartz_cron": True, "cron": "* * * * *"}, "cron"),
        ({"use_quartz_cron": True, "cron": "5 0 0 * * ?"}, "cron"),
        ({"use_quartz_cron": True, "cron": "0 0 0 * * *"}, "cron"),
        ({"use_quartz_cron": True, "cron": "0 0 0 30 2 ?"}, "cron"),
        ({"use_quartz_cron": True, "cron": "0 0 0 * * ?", "cron_timezone": "Mars/Base"}, "cron_timezone"),
    ],
)
def test_a_bad_field_is_named_in_a_nested_error(api, fields, named):
    answer = schedule(api, api.create(), **fields)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert answer.json()["reason"]["error_code"] == "FDI.3033"
    assert f"[{named}]" in answer.json()["reason"]["error_msg"]


def test_a_missing_task_is_answered_as_in_the_documentation(api, fdi_emulator):
    answer = schedule(api, "missing", period="DAY", dispatch_interval=1)
    assert (answer.status_code, answer.json()["reason"]["error_code"]) == (404, "FDI.3180")
    fdi_emulator.switch(nested_errors_for_dispatch=False)
    answer = schedule(api, "missing", period="DAY", dispatch_interval=1)
    assert answer.json()["error_code"] == "FDI.3180"


@pytest.mark.parametrize(
    ("style", "status", "text"),
    [("null", 200, "null"), ("empty", 200, ""), ("object", 200, "{}"), ("404", 404, None)],
)
def test_no_schedule_is_answered_as_switched(api, fdi_emulator, style, status, text):
    fdi_emulator.switch(no_schedule_answer=style)
    answer = api("GET", f"tasks/{api.create()}/dispatches")
    assert answer.status_code == status
    assert text is None or answer.text == text


def test_a_task_has_one_schedule(api, fdi_emulator):
    task_id = api.create()
    assert schedule(api, task_id, period="DAY", dispatch_interval=1).ok
    assert schedule(api, task_id, period="DAY", dispatch_interval=2).status_code == 400
    fdi_emulator.switch(second_schedule="replace")
    assert schedule(api, task_id, period="DAY", dispatch_interval=2).ok


def test_an_update_keeps_the_id(api):
    task_id = api.create()
    made = schedule(api, task_id, period="DAY", dispatch_interval=1).json()
    path = f"tasks/{task_id}/dispatches/{made['dispatch_id']}"
    changed = api.ok(
        "PUT", path, {"use_quartz_cron": True, "cron": "0 0 5 * * ?", "cron_timezone": "GMT+08:00"}
    )
    assert changed["dispatch_id"] == made["dispatch_id"]
    assert (changed["cron"], changed["cron_timezone"]) == ("0 0 5 * * ?", "GMT+08:00")
    assert "period" not in changed
    assert api("PUT", f"tasks/{task_id}/dispatches/other", {}).status_code == 404


def test_cron_timezone_may_be_missing_from_answers(api, fdi_emulator):
    fdi_emulator.switch(show_cron_timezone=False)
    answer = schedule(api, api.create(), use_quartz_cron=True, cron="0 0 5 * * ?", cron_timezone="UTC").json()
    assert "cron_timezone" not in answer


def test_an_interval_fires_when_its_time_comes(api, fdi_emulator, eventually):
    start = fdi_emulator.now_ms() + HOUR
    plan = {"period": "HOUR", "dispatch_interval": 2, "start_datetime": start}
    task_id = fdi_emulator.add_task(schedule=plan, started=True, script={})
    assert fdi_emulator.task(task_id)["next_firing"] == start
    fdi_emulator.move_clock(HOUR + 1000)
    row = eventually(lambda: api.logs(task_id))[0]
    assert row["dispatch_time"] == start
    assert row["start_time"] >= start
    assert fdi_emulator.task(task_id)["next_firing"] == start + 2 * HOUR
    assert [run["trigger"] for run in fdi_emulator.runs_started(task_id)] == ["schedule"]


def test_a_start_time_in_the_past_leads_to_the_next_multiple(fdi_emulator):
    now = fdi_emulator.now_ms()
    plan = {"period": "DAY", "dispatch_interval": 1, "start_datetime": now - 10 * DAY - HOUR}
    task_id = fdi_emulator.add_task(schedule=plan, started=True)
    assert fdi_emulator.task(task_id)["next_firing"] == now - HOUR + DAY - 0


def test_a_clock_moved_over_many_firings_fires_the_last_of_them(api, fdi_emulator, eventually):
    start = fdi_emulator.now_ms() + MINUTE
    plan = {"period": "MIN", "dispatch_interval": 1, "start_datetime": start}
    task_id = fdi_emulator.add_task(schedule=plan, started=True, script={})
    fdi_emulator.move_clock(DAY + 1000)
    eventually(lambda: api.logs(task_id))
    (row,) = api.logs(task_id)
    assert row["dispatch_time"] == start + 1439 * MINUTE


def test_cron_goes_by_its_time_zone(fdi_emulator):
    for zone, hour in (("GMT+08:00", 2), ("Europe/Berlin", None), ("UTC", 10)):
        plan = {"use_quartz_cron": True, "cron": "0 0 10 * * ?", "cron_timezone": zone}
        task_id = fdi_emulator.add_task(schedule=plan, started=True)
        moment = datetime.fromtimestamp(fdi_emulator.task(task_id)["next_firing"] / 1000, tz=timezone.utc)
        assert moment.minute == 0
        assert moment.hour in ((8, 9) if hour is None else (hour,))


def test_a_stopped_task_does_not_fire(api, fdi_emulator):
    plan = {"period": "MIN", "dispatch_interval": 1}
    task_id = fdi_emulator.add_task(schedule=plan, started=True)
    fdi_emulator.stop_task(task_id)
    assert fdi_emulator.task(task_id)["next_firing"] is None


def test_an_updated_schedule_is_armed_anew(api, fdi_emulator):
    task_id = fdi_emulator.add_task(schedule={"period": "MIN", "dispatch_interval": 1}, started=True)
    made = api.ok("GET", f"tasks/{task_id}/dispatches")
    start = fdi_emulator.now_ms() + 5 * DAY
    body = {"period": "DAY", "dispatch_interval": 1, "start_datetime": start}
    api.ok("PUT", f"tasks/{task_id}/dispatches/{made['dispatch_id']}", body)
    assert fdi_emulator.task(task_id)["next_firing"] == start


def test_a_schedule_firing_into_a_run_leaves_a_refused_row(api, fdi_emulator, eventually):
    plan = {"period": "MIN", "dispatch_interval": 1}
    task_id = fdi_emulator.add_task(schedule=plan, started=True, script={"hold": True})
    api.ok("POST", f"tasks/{task_id}/run")
    fdi_emulator.move_clock(MINUTE + 1000)
    eventually(lambda: len(api.logs(task_id)) == 2)
    assert sorted((row["execute_status"], row["status"]) for row in api.logs(task_id)) == [
        ("ERROR", 914),
        ("RUNNING", 102),
    ]
    assert fdi_emulator.runs_refused(task_id)[0]["trigger"] == "schedule"


def test_only_scheduled_tasks_have_schedules(api):
    task_id = api.create("stream", task_type="REALTIME")
    assert schedule(api, task_id, period="DAY", dispatch_interval=1).status_code == 400
