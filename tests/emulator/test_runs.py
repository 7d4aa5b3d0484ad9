"""Runs: scripts, the log, overlap, cancelling."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")

CODES = [900, 99, 100, 102, 104, 101, 500, 502, 504, 501, 901]


def test_run_answers_nothing_and_the_log_tells_the_rest(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"rows": 7, "dirty_rows": 2})
    answer = api("POST", f"tasks/{task_id}/run")
    assert (answer.status_code, answer.content) == (200, b"")
    (row,) = api.logs(task_id)
    assert (row["execute_status"], row["data_count"], row["dirty_data_count"]) == ("SUCCESS", 7, 2)
    assert [step["status"] for step in row["detail_logs"]] == CODES
    assert (row["status"], row["position_status"]) == (901, "TASK_END")
    assert row["dispatch_time"] <= row["start_time"] <= row["end_time"]


def test_a_run_without_rows_says_so_in_a_step(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"rows": 0})
    api.ok("POST", f"tasks/{task_id}/run")
    assert [step["status"] for step in api.logs(task_id)[0]["detail_logs"]] == [
        900, 99, 100, 102, 105, 104, 101, 901,
    ]  # fmt: skip


def test_the_detail_of_a_run_has_steps_but_no_status(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"rows": 1})
    api.ok("POST", f"tasks/{task_id}/run")
    (row,) = api.logs(task_id)
    detail = api.ok("GET", f"tasks/{task_id}/monitor-logs/{row['id']}")
    assert detail == {"id": row["id"], "dirty_data_count": 0, "detail_logs": row["detail_logs"]}
    assert api("GET", f"tasks/{task_id}/monitor-logs/other").status_code == 404


def test_a_failed_run_carries_the_remarks_of_its_script(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"outcome": "error", "remarks": "ORA-00942", "error_code": 103})
    api.ok("POST", f"tasks/{task_id}/run")
    (row,) = api.logs(task_id)
    assert (row["execute_status"], row["status"], row["remarks"]) == ("ERROR", 103, "ORA-00942")
    assert row["position_status"] == "RUNTIME_ERR"


def test_a_held_run_ends_when_it_is_released(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"hold": True, "rows": 3})
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.logs(task_id)[0]["execute_status"] == "RUNNING"
    assert api.logs(task_id)[0]["end_time"] is None
    assert fdi_emulator.release(task_id, "error", remarks="no more") is True
    row = api.logs(task_id)[0]
    assert (row["execute_status"], row["remarks"], row["data_count"]) == ("ERROR", "no more", 3)
    assert fdi_emulator.release(task_id) is False


def test_a_scripted_run_lasts_as_long_as_it_is_told(api, fdi_emulator, eventually):
    task_id = fdi_emulator.add_task(script={"waiting_ms": 100, "duration_ms": 100})
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.logs(task_id)[0]["execute_status"] == "WAITING"
    eventually(lambda: api.logs(task_id)[0]["execute_status"] == "RUNNING")
    row = api.finished(task_id)
    assert row["execute_status"] == "SUCCESS"
    assert row["spend_time"] >= 100


def test_scripts_are_used_one_after_the_other(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script=[{"outcome": "ERROR"}, {"outcome": "SUCCESS"}])
    for _ in range(3):
        api.ok("POST", f"tasks/{task_id}/run")
    assert [row["execute_status"] for row in api.logs(task_id)] == ["SUCCESS", "SUCCESS", "ERROR"]


def test_a_dispatch_into_a_run_is_refused_over_http(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"hold": True})
    api.ok("POST", f"tasks/{task_id}/run")
    answer = api("POST", f"tasks/{task_id}/run")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3026")
    assert len(api.logs(task_id)) == 1
    assert len(fdi_emulator.runs_started(task_id)) == 1
    assert len(fdi_emulator.runs_refused(task_id)) == 1


def test_a_dispatch_into_a_run_leaves_a_refused_row_when_switched_so(api, fdi_emulator):
    fdi_emulator.switch(overlap_style="row")
    task_id = fdi_emulator.add_task(script={"hold": True})
    api.ok("POST", f"tasks/{task_id}/run")
    api.ok("POST", f"tasks/{task_id}/run")
    refused, running = api.logs(task_id)
    assert (refused["execute_status"], refused["status"]) == ("ERROR", 914)
    assert running["execute_status"] == "RUNNING"
    assert api.ok("GET", "task-monitors")["entities"][0]["execute_status"] == "RUNNING"


def test_terminate_cancels_what_is_executing(api, fdi_emulator):
    task_id = fdi_emulator.add_task(script={"hold": True})
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.ok("POST", f"tasks/{task_id}/terminate") == {"message": "success"}
    row = api.logs(task_id)[0]
    assert (row["execute_status"], row["status"], row["position_status"]) == (
        "CANCELLED",
        106,
        "RUNTIME_CANCEL",
    )


def test_terminate_with_nothing_executing_is_refused(api, fdi_emulator):
    answer = api("POST", f"tasks/{fdi_emulator.add_task()}/terminate")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3027")


def test_run_may_demand_a_started_task(api, fdi_emulator):
    fdi_emulator.switch(run_requires_started=True)
    task_id = fdi_emulator.add_task(schedule=True)
    assert api("POST", f"tasks/{task_id}/run").json()["error_code"] == "FDI.3026"
    fdi_emulator.start_task(task_id)
    api.ok("POST", f"tasks/{task_id}/run")


def test_a_log_may_be_late(api, fdi_emulator, eventually):
    task_id = fdi_emulator.add_task(script={"log_delay_ms": 200})
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.logs(task_id) == []
    assert api.ok("GET", "task-monitors")["entities"][0]["execute_status"] == "SUCCESS"
    eventually(lambda: api.logs(task_id))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_log_is_ordered_as_switched(api, fdi_emulator, order):
    fdi_emulator.switch(log_order=order)
    task_id = fdi_emulator.add_task()
    for moment in (3000, 1000, 2000):
        fdi_emulator.add_run(task_id, dispatch_time=moment)
    times = [row["dispatch_time"] for row in api.logs(task_id)]
    assert times == sorted(times, reverse=order == "desc")


def test_log_pages_are_counted_from_one_by_row_or_by_page(api, fdi_emulator):
    task_id = fdi_emulator.add_task()
    for moment in range(1, 8):
        fdi_emulator.add_run(task_id, dispatch_time=moment)
    assert [row["dispatch_time"] for row in api.logs(task_id, limit=3)] == [7, 6, 5]
    assert [row["dispatch_time"] for row in api.logs(task_id, limit=3, offset=0)] == [7, 6, 5]
    assert [row["dispatch_time"] for row in api.logs(task_id, limit=3, offset=4)] == [4, 3, 2]
    fdi_emulator.switch(offset_is_page_index=True)
    assert [row["dispatch_time"] for row in api.logs(task_id, limit=3, offset=3)] == [1]


@pytest.mark.parametrize("field", ["dispatch_time", "start_time", "end_time"])
def test_begin_and_end_time_filter_the_switched_timestamp(api, fdi_emulator, field):
    fdi_emulator.switch(begin_time_filters=field)
    task_id = fdi_emulator.add_task()
    times = {"dispatch_time": 1000, "start_time": 1000, "end_time": 1000}
    early = fdi_emulator.add_run(task_id, **times)
    late = fdi_emulator.add_run(task_id, **{**times, field: 5000})
    assert [row["id"] for row in api.logs(task_id, begin_time=5000)] == [late]
    assert [row["id"] for row in api.logs(task_id, end_time=4999)] == [early]


def test_the_monitor_filters_by_case_sensitive_name_and_state(api, fdi_emulator):
    failed = fdi_emulator.add_task("Load-1", script={"outcome": "ERROR"})
    fdi_emulator.add_task("load-2")
    api.ok("POST", f"tasks/{failed}/run")
    for query in ({"task_name": "Load"}, {"execute_status": "ERROR"}):
        rows = api.ok("GET", "task-monitors", params=query)["entities"]
        assert [row["task_id"] for row in rows] == [failed]


def test_an_inserted_active_run_counts_as_the_task_executing(api, fdi_emulator):
    task_id = fdi_emulator.add_task()
    run_id = fdi_emulator.add_run(task_id, execute_status="RUNNING")
    assert api("POST", f"tasks/{task_id}/run").status_code == 400
    api.ok("POST", f"tasks/{task_id}/terminate")
    (row,) = api.logs(task_id)
    assert (row["id"], row["execute_status"]) == (run_id, "CANCELLED")


def test_a_real_time_task_is_not_run_once(api, fdi_emulator):
    task_id = fdi_emulator.add_task(task_type="REALTIME")
    assert api("POST", f"tasks/{task_id}/run").json()["error_code"] == "FDI.3026"


def test_times_follow_the_moved_clock(api, fdi_emulator):
    fdi_emulator.move_clock(600_000)
    task_id = fdi_emulator.add_task()
    answer = api("POST", f"tasks/{task_id}/run")
    (row,) = api.logs(task_id)
    from email.utils import parsedate_to_datetime

    date = parsedate_to_datetime(answer.headers["Date"]).timestamp() * 1000
    assert abs(date - row["start_time"]) < 2000
    assert abs(fdi_emulator.now_ms() - row["start_time"]) < 60_000


def test_a_script_may_add_steps(api, fdi_emulator):
    step = {"status": 904, "remarks": "Loss detected", "data_count": 5}
    task_id = fdi_emulator.add_task(script={"rows": 7, "steps": [step]})
    api.ok("POST", f"tasks/{task_id}/run")
    (run,) = fdi_emulator.runs(task_id)
    last = run["detail_logs"][-1]
    assert (last["status"], last["position"], last["remarks"]) == (904, "ADAPTER", "Loss detected")
    assert (last["position_status"], last["data_count"]) == ("NORMAL", 5)
