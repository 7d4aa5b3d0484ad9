"""Composite tasks: initialising, mapping, creating, and the stream of a started one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")


def init(api, databases, **fields):
    body = {
        "source_datasource_id": databases.source_id,
        "target_datasource_id": databases.target_id,
        **fields,
    }
    return api.ok("POST", "multi-tasks/init", body)[0]


def mapping_body(databases):
    return {
        "source_datasource_id": databases.source_id,
        "target_datasource_id": databases.target_id,
        "source_table": "main.orders",
        "target_table": "main.sales",
        "mapping_columns": [
            {"source_column": "id", "target_column": "order_id"},
            {"source_column": "name", "target_column": "title"},
        ],
    }


@pytest.fixture
def composite(api, databases):
    """A composite task over one mapped table, not started."""
    task_id = init(api, databases)["task_id"]
    api.ok("POST", f"multi-tasks/{task_id}/mappings", mapping_body(databases))
    body = {"task_name": "cdc-1", "task_id": task_id, "task_type": "REALTIME", "operation_types": ["INSERT"]}
    assert api.ok("POST", "multi-tasks", body) == {"task_id": task_id}
    return task_id


def count(databases):
    return databases.target.execute("SELECT count(*) FROM sales").fetchone()[0]


def test_init_hands_out_a_task_id_and_says_what_it_knows(api, databases):
    element = init(api, databases, ext_info={"server_id": "42"})
    assert len(element["task_id"]) == 32
    assert element["ext_info"] == {"server_id": "42"}
    assert (element["source_group"], element["target_group"]) == ("SOURCE_GROUP1", "TARGET_GROUP1")
    assert element["source_datasource_type"] == "MYSQL"
    assert (element["mappings"], element["mappings_total_count"]) == ([], 0)


def test_init_may_answer_a_dict(api, databases, fdi_emulator):
    fdi_emulator.switch(init_as_dict=True)
    answer = api.ok("POST", "multi-tasks/init", {"ext_info": None, "task_id": None})
    assert list(answer) == ["init_result"]


def test_auto_mapping_pairs_tables_and_columns_by_name(api, databases):
    databases.target.execute("CREATE TABLE Orders (ID INTEGER PRIMARY KEY, NAME TEXT)")
    element = init(api, databases, auto_mapping=True)
    (row,) = element["mappings"]
    assert (row["source_table"], row["target_table"], row["status"]) == ("main.orders", "main.Orders", "AUTO")
    assert [(item["source_column"], item["target_column"]) for item in row["mapping"]] == [
        ("id", "ID"),
        ("name", "NAME"),
    ]
    assert row["mapping_percent"] == 50


def test_only_the_first_ten_mappings_are_shown(api, databases):
    for number in range(12):
        for side in (databases.source, databases.target):
            side.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY)")
    element = init(api, databases, auto_mapping=True)
    assert (len(element["mappings"]), element["mappings_total_count"]) == (10, 12)
    listed = api.ok("GET", f"multi-tasks/{element['task_id']}/mappings", params={"limit": 1000})
    assert (len(listed["mappings"]), listed["total"]) == (12, 12)


def test_mappings_are_created_listed_changed_and_deleted(api, databases):
    task_id = init(api, databases)["task_id"]
    path = f"multi-tasks/{task_id}/mappings"
    mapping_id = api.ok("POST", path, mapping_body(databases))["mapping_id"]
    assert api("POST", path, mapping_body(databases)).json()["error_code"] == "FDI.3037"
    changed = {**mapping_body(databases), "target_table": "other"}
    api.ok("PUT", f"{path}/{mapping_id}", changed)
    (row,) = api.ok("GET", path, params={"table_name": "other"})["mappings"]
    assert (row["id"], row["target_table"], row["status"]) == (mapping_id, "other", "UPDATE")
    assert api.ok("DELETE", f"{path}/{mapping_id}") == {"mapping_id": mapping_id}
    assert api.ok("GET", path)["mappings"] == []


@pytest.mark.parametrize("how", ["data", "files"])
def test_tables_are_mapped_by_form_data_with_prefix_and_selection(api, databases, how):
    databases.source.execute("CREATE TABLE unwanted (id INTEGER)")
    for name in ("dw_orders_v1", "dw_unwanted_v1"):
        databases.target.execute(f"CREATE TABLE {name} (id INTEGER, name TEXT)")
    form = {
        "source_ds_id": databases.source_id,
        "target_ds_id": databases.target_id,
        "task_type": "1",
        "mapping_prefix": "dw_",
        "mapping_suffix": "_v1",
        "source_select_mapping_tables": "main.orders",
    }
    url = f"{api.emulator.url}/v2/{api.emulator.project_id}/fdi/multi-tasks/mappings/auto"
    if how == "data":
        answer = api.session.post(url, data=form)
    else:
        answer = api.session.post(url, files={key: (None, value) for key, value in form.items()})
    assert answer.ok, answer.text
    assert [row["target_table"] for row in answer.json()["mappings"]] == ["main.dw_orders_v1"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_name", "x"),
        ("operation_types", []),
        ("operation_types", ["MERGE"]),
        ("task_type", "TIMING"),
    ],
)
def test_create_refuses_what_the_documentation_forbids(api, field, value):
    body = {"task_name": "cdc-2", "operation_types": ["INSERT"], field: value}
    answer = api("POST", "multi-tasks", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3033")
    assert f"[{field}]" in answer.json()["error_msg"]


def test_a_composite_task_is_listed_as_cdc(api, composite):
    row = api.ok("GET", "tasks", params={"task_id": composite})["entities"][0]
    monitor = api.ok("GET", "task-monitors")["entities"][0]
    assert (row["ext_type"], monitor["ext_type"], row["task_type"]) == ("cdc", "CDC", "REALTIME")


def test_a_started_task_copies_once_and_then_follows(api, fdi_emulator, databases, composite, eventually):
    fdi_emulator.switch(stream_poll_ms=20)
    fdi_emulator.start_task(composite)
    eventually(lambda: count(databases) == 10)
    databases.source.execute("INSERT INTO orders VALUES (11, 'new', 1, '')")
    eventually(lambda: count(databases) == 11)
    eventually(lambda: api.logs(composite)[0]["data_count"] == 11)
    assert api.logs(composite)[0]["execute_status"] == "RUNNING"
    fdi_emulator.stop_task(composite)
    assert api.finished(composite)["execute_status"] == "CANCELLED"


def test_a_restarted_task_goes_on_where_it_was(api, fdi_emulator, databases, composite, eventually):
    fdi_emulator.switch(stream_poll_ms=20)
    fdi_emulator.start_task(composite)
    eventually(lambda: count(databases) == 10)
    fdi_emulator.stop_task(composite)
    api.finished(composite)
    databases.source.execute("INSERT INTO orders VALUES (11, 'new', 1, '')")
    fdi_emulator.start_task(composite)
    eventually(lambda: count(databases) == 11)
    eventually(lambda: api.logs(composite)[0]["data_count"] == 1)


def test_a_reset_task_copies_again_without_doubling(api, fdi_emulator, databases, composite, eventually):
    fdi_emulator.switch(stream_poll_ms=20)
    fdi_emulator.start_task(composite)
    eventually(lambda: count(databases) == 10)
    assert api("POST", f"multi-tasks/{composite}/reset", {}).json()["error_code"] == "FDI.3023"
    fdi_emulator.stop_task(composite)
    api.finished(composite)
    answer = api.ok("POST", f"multi-tasks/{composite}/reset", {"date_from": None})
    assert answer == {"message": "Reset Success"}
    databases.source.execute("UPDATE orders SET name = 'renamed'")
    fdi_emulator.start_task(composite)
    eventually(lambda: api.logs(composite)[0]["data_count"] == 10)
    assert databases.target.execute("SELECT DISTINCT title FROM sales").fetchall() == [("renamed",)]
    assert count(databases) == 10


def test_a_reset_to_a_date_copies_what_came_after_it(api, fdi_emulator, databases, composite, eventually):
    fdi_emulator.switch(stream_poll_ms=20)
    fdi_emulator.start_task(composite)
    eventually(lambda: api.logs(composite)[0]["data_count"] == 10)
    fdi_emulator.stop_task(composite)
    api.finished(composite)
    between = fdi_emulator.move_clock(60_000)
    fdi_emulator.move_clock(60_000)
    databases.source.execute("INSERT INTO orders VALUES (11, 'new', 1, '')")
    fdi_emulator.start_task(composite)
    eventually(lambda: count(databases) == 11)
    fdi_emulator.stop_task(composite)
    api.finished(composite)
    api.ok("POST", f"multi-tasks/{composite}/reset", {"date_from": between})
    fdi_emulator.start_task(composite)
    eventually(lambda: api.logs(composite)[0]["data_count"] == 1)
    assert count(databases) == 11


def test_update_demands_both_of_its_fields_and_a_stopped_task(api, fdi_emulator, composite):
    path = f"multi-tasks/{composite}"
    assert api("PUT", path, {"operation_types": ["INSERT"]}).json()["error_code"] == "FDI.3033"
    body = {"operation_types": ["INSERT", "UPDATE"], "repulling_snapshot": True, "description": "d"}
    assert api.ok("PUT", path, body) == {"task_id": composite}
    fdi_emulator.start_task(composite)
    assert api("PUT", path, body).json()["error_code"] == "FDI.3023"


def test_a_composite_task_without_tables_fails_with_the_reason(api, fdi_emulator):
    task_id = api.ok("POST", "multi-tasks", {"task_name": "bare", "operation_types": ["INSERT"]})["task_id"]
    fdi_emulator.start_task(task_id)
    run = api.finished(task_id)
    assert (run["execute_status"], run["remarks"]) == ("ERROR", "The composite task has no mapped table.")


def test_a_real_time_task_follows_its_table(api, fdi_emulator, databases, mapped, eventually):
    fdi_emulator.switch(stream_poll_ms=20)
    task_id = databases.task(mapped, "stream", task_type="REALTIME")
    api.ok("POST", "batch-operation/tasks", {"action_id": "start", "list": [{"task_id": task_id}]})
    eventually(lambda: count(databases) == 10)
    databases.source.execute("INSERT INTO orders VALUES (11, 'new', 1, '')")
    eventually(lambda: count(databases) == 11)
    assert api.ok("GET", "tasks", params={"task_id": task_id})["entities"][0]["execute_status"] == "RUNNING"


def test_a_scripted_stream_runs_until_it_is_stopped(api, fdi_emulator):
    task_id = fdi_emulator.add_task(task_type="REALTIME", started=True)
    assert api.logs(task_id)[0]["execute_status"] == "RUNNING"
    fdi_emulator.stop_task(task_id)
    assert api.logs(task_id)[0]["execute_status"] == "CANCELLED"


def test_deleting_a_composite_task_is_deleting_a_task(api, composite):
    assert api("DELETE", f"tasks/{composite}").status_code == 204
    assert api("GET", f"multi-tasks/{composite}/mappings").status_code == 404
