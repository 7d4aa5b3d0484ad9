"""Common tasks: what the service accepts, refuses and answers."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")


def error(answer):
    return answer.status_code, answer.json()["error_code"]


def test_a_created_task_is_stopped_and_shown_as_sent(api):
    body = api.task_body("t-1", description="words", task_tag="tag_1")
    created = api.ok("POST", "tasks", body)
    shown = api.ok("GET", f"tasks/{created['task']['task_id']}")
    assert shown == created
    assert shown["task"]["status"] == "stop"
    assert shown["task"]["task_type"] == "timing"
    assert shown["task"]["task_tag"] == "tag_1"
    assert shown["task_detail"] == body["task_detail"]


def test_empty_description_and_tag_are_left_out_of_the_answer(api):
    task = api.ok("POST", "tasks", api.task_body())["task"]
    assert "description" not in task
    assert "task_tag" not in task


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_name", "ab"),
        ("task_name", "-abc"),
        ("task_name", "a b c"),
        ("task_name", "x" * 101),
        ("task_type", "timing"),
        ("task_tag", "abc"),
        ("task_tag", "a.bcd"),
        ("description", "d" * 1025),
        ("source_datasource_id", ""),
        ("target_datasource_id", "i" * 65),
    ],
)
def test_a_field_against_the_rules_is_named_in_the_refusal(api, field, value):
    body = api.task_body()
    body["task"][field] = value
    answer = api("POST", "tasks", body)
    assert error(answer) == (400, "FDI.3033")
    assert f"[{field}]" in answer.json()["error_msg"]


@pytest.mark.parametrize("detail", [{"a": 1}, "", "{", "[1]", None])
def test_task_detail_must_be_a_text_that_holds_a_json_object(api, detail):
    body = api.task_body()
    body["task_detail"] = detail
    assert error(api("POST", "tasks", body)) == (400, "FDI.3033")


def test_a_body_that_is_no_json_is_refused(api):
    assert error(api("POST", "tasks", data=b"{")) == (400, "FDI.3002")


def test_a_second_task_of_the_same_name_is_refused(api, fdi_emulator):
    api.create("same")
    answer = api("POST", "tasks", api.task_body("same"))
    assert error(answer) == (400, "FDI.3002")
    assert answer.json()["error_msg"] == "The task name already exists."
    fdi_emulator.switch(allow_duplicate_names=True)
    assert api("POST", "tasks", api.task_body("same")).ok


def test_create_and_update_answer_null_when_switched_so(api, fdi_emulator):
    fdi_emulator.switch(create_returns_null=True)
    answer = api("POST", "tasks", api.task_body("silent"))
    assert answer.text == "null"
    task_id = api.ok("GET", "tasks", params={"name": "silent"})["entities"][0]["task_id"]
    assert api("PUT", f"tasks/{task_id}", api.task_body("silent-2")).text == "null"
    assert api.ok("GET", f"tasks/{task_id}")["task"]["task_name"] == "silent-2"


def test_update_replaces_everything(api):
    task_id = api.create("before", description="old", task_tag="old_tag")
    api.ok("PUT", f"tasks/{task_id}", api.task_body("after", task_detail={"x": 1}))
    shown = api.ok("GET", f"tasks/{task_id}")
    assert shown["task"]["task_name"] == "after"
    assert "description" not in shown["task"]
    assert json.loads(shown["task_detail"]) == {"x": 1}


def test_a_started_task_is_neither_updated_nor_deleted(api, fdi_emulator):
    task_id = fdi_emulator.add_task("busy", schedule=True, started=True)
    assert error(api("PUT", f"tasks/{task_id}", api.task_body("busy"))) == (400, "FDI.3023")
    assert error(api("DELETE", f"tasks/{task_id}")) == (400, "FDI.3028")
    fdi_emulator.stop_task(task_id)
    answer = api("DELETE", f"tasks/{task_id}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_missing_task_is_answered_with_its_code(api):
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/run"), ("POST", "/terminate")):
        assert error(api(method, "tasks/nowhere" + path)) == (404, "FDI.3081")


def test_the_name_filter_is_fuzzy_under_both_of_its_names(api):
    for name in ("load-a", "load-b", "Load-c"):
        api.create(name)
    for filter_name in ("name", "task_name"):
        found = api.ok("GET", "tasks", params={filter_name: "load"})
        assert [row["task_name"] for row in found["entities"]] == ["load-a", "load-b"]


def test_list_rows_spell_state_and_type_in_their_own_way(api, fdi_emulator):
    task_id = fdi_emulator.add_task("one", schedule=True, started=True)
    row = api.ok("GET", "tasks", params={"task_id": task_id})["entities"][0]
    assert (row["status"], row["task_type"], row["execute_status"]) == (1, "TIMING", "UNSTARTED")
    assert isinstance(row["created_date"], int)
    fdi_emulator.switch(created_date_style="iso", status_style="stopped")
    row = api.ok("GET", "tasks", params={"task_id": task_id})["entities"][0]
    assert len(row["created_date"].split("-")) == 3


def test_stopped_is_spelled_as_the_switch_says(api, fdi_emulator):
    task_id = api.create()
    fdi_emulator.switch(status_style="stopped")
    assert api.ok("GET", f"tasks/{task_id}")["task"]["status"] == "stopped"


def test_pages_are_counted_from_zero_and_clamped(api, fdi_emulator):
    fdi_emulator.add_tasks(1005)
    first = api.ok("GET", "tasks", params={"limit": 5000, "offset": 0})
    rest = api.ok("GET", "tasks", params={"limit": 5000, "offset": 999})
    assert (first["total"], first["size"], rest["size"]) == (1005, 999, 6)
    ids = {row["task_id"] for row in first["entities"] + rest["entities"]}
    assert len(ids) == 1005
    assert api.ok("GET", "tasks")["size"] == 10


def test_filters_combine(api, fdi_emulator):
    wanted = fdi_emulator.add_task("a-1", schedule=True, started=True, task_tag="left")
    fdi_emulator.add_task("a-2", task_tag="left")
    fdi_emulator.add_task("a-3", task_type="REALTIME", task_tag="left")
    found = api.ok("GET", "tasks", params={"status": 1, "task_type": "timing", "task_tag": "left"})
    assert [row["task_id"] for row in found["entities"]] == [wanted]


def test_tasks_are_sorted_on_request(api):
    for name in ("one", "two", "three"):
        api.create(name)
    rows = api.ok("GET", "tasks", params={"sort_field": "CREATED_DATE", "sort_type": "DESC"})["entities"]
    created = [row["created_date"] for row in rows]
    assert created == sorted(created, reverse=True)


def test_counts_follow_the_states(api, fdi_emulator):
    for outcome in ("SUCCESS", "ERROR", "CANCELLED"):
        api.ok("POST", f"tasks/{fdi_emulator.add_task(outcome, script={'outcome': outcome})}/run")
    fdi_emulator.add_task("armed", schedule=True, started=True)
    counts = api.ok("GET", "statistics/tasks")["common_task_details"]
    assert counts == {
        "running_tasks_count": 1,
        "abnormal_tasks_count": 1,
        "terminated_tasks_count": 1,
        "completed_tasks_count": 1,
    }


def test_unknown_paths_are_answered_by_the_gateway(api):
    answer = api("GET", "task")
    assert error(answer) == (404, "APIGW.0101")
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_ten_thousand_tasks_are_answered_page_by_page(api, fdi_emulator):
    fdi_emulator.add_tasks(10_000)
    seen = set()
    for offset in range(1, 10_001, 999):
        page = api.ok("GET", "task-monitors", params={"limit": 999, "offset": offset})
        assert page["total"] == 10_000
        seen.update(row["task_id"] for row in page["entities"])
    assert len(seen) == 10_000
