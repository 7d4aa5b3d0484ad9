"""Starting and stopping in batches."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")


def operate(api, action, ids):
    return api("POST", "batch-operation/tasks", {"action_id": action, "list": [{"task_id": i} for i in ids]})


def test_starting_and_stopping_moves_the_activation(api, fdi_emulator):
    ids = fdi_emulator.add_tasks(3, schedule=True)
    answer = operate(api, "start", ids).json()
    assert (answer["success_count"], answer["failure_count"], answer["failure"]) == (3, 0, [])
    assert answer["success"][0] == {
        "task_id": ids[0],
        "task_name": "task-00000",
        "error_code": "",
        "error_msg": "",
    }
    assert api.ok("GET", f"tasks/{ids[0]}")["task"]["status"] == "running"
    operate(api, "stop", ids)
    assert api.ok("GET", f"tasks/{ids[0]}")["task"]["status"] == "stop"


@pytest.mark.parametrize("body", [{"action_id": "start"}, {"action_id": "start", "list": []}])
def test_an_empty_list_is_refused(api, body):
    answer = api("POST", "batch-operation/tasks", body)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error_code": "FDI.3150", "error_msg": "The task list is empty."},
    )


def test_more_than_ten_are_refused(api, fdi_emulator):
    ids = fdi_emulator.add_tasks(11, schedule=True)
    answer = operate(api, "start", ids)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3033")


def test_an_empty_id_and_an_unknown_action_are_refused(api):
    assert operate(api, "start", [""]).json()["error_code"] == "FDI.3022"
    assert operate(api, "pause", ["a"]).json()["error_code"] == "FDI.3033"


def test_single_failures_stand_next_to_the_successes(api, fdi_emulator):
    good, running = fdi_emulator.add_tasks(2, schedule=True)
    fdi_emulator.start_task(running)
    answer = operate(api, "start", [good, running, "missing"])
    assert answer.status_code == 200
    assert [row["task_id"] for row in answer.json()["success"]] == [good]
    assert {row["task_id"]: row["error_code"] for row in answer.json()["failure"]} == {
        running: "FDI.3023",
        "missing": "FDI.3021",
    }


def test_a_task_without_schedule_refuses_the_whole_request(api, fdi_emulator):
    good = fdi_emulator.add_task("good", schedule=True)
    bare = fdi_emulator.add_task("bare")
    answer = operate(api, "start", [good, bare])
    assert (answer.status_code, answer.json()["error_code"]) == (404, "FDI.3083")
    assert fdi_emulator.task(good)["started"] is False


def test_single_failures_may_refuse_the_whole_request(api, fdi_emulator):
    fdi_emulator.switch(batch_errors="request")
    good = fdi_emulator.add_task("good", schedule=True)
    assert operate(api, "start", [good, "missing"]).json()["error_code"] == "FDI.3021"
    assert fdi_emulator.task(good)["started"] is False


def test_stopping_a_stopped_task_fails_unless_switched(api, fdi_emulator):
    task_id = fdi_emulator.add_task(schedule=True)
    assert operate(api, "stop", [task_id]).json()["failure"][0]["error_code"] == "FDI.3020"
    fdi_emulator.switch(stop_stopped="ok", batch_counts=False)
    answer = operate(api, "stop", [task_id]).json()
    assert answer["failure"] == []
    assert "success_count" not in answer


def test_stopping_leaves_a_run_in_progress_unless_switched(api, fdi_emulator):
    task_id = fdi_emulator.add_task(schedule=True, script={"hold": True}, started=True)
    api.ok("POST", f"tasks/{task_id}/run")
    operate(api, "stop", [task_id])
    assert api.logs(task_id)[0]["execute_status"] == "RUNNING"
    fdi_emulator.start_task(task_id)
    fdi_emulator.switch(stop_kills_run=True)
    operate(api, "stop", [task_id])
    assert api.logs(task_id)[0]["execute_status"] == "CANCELLED"
