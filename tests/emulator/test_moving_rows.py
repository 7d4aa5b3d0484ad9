"""Table-to-table tasks: rows really move, and the log tells the truth about them."""

from __future__ import annotations

import pytest


def sales(databases):
    return databases.target.execute("SELECT * FROM sales ORDER BY order_id").fetchall()


def test_rows_arrive_under_their_mapped_columns(databases, mapped):
    run = databases.run(mapped)
    assert run["execute_status"] == "SUCCESS"
    assert sales(databases) == databases.source.execute("SELECT id, name, price FROM orders").fetchall()
    assert (run["data_count"], run["dirty_data_count"]) == (10, 0)
    assert [step["status"] for step in run["detail_logs"]] == [
        900, 99, 100, 102, 104, 101, 500, 502, 504, 501, 901,
    ]  # fmt: skip


def test_the_size_is_that_of_the_values(databases, mapped):
    run = databases.run(mapped)
    text = sum(len(f"name {n}") for n in range(1, 11))
    assert (run["data_size"], run["data_size_unit"]) == (text + 10 * 16, "B")


def test_a_second_run_appends_or_clears_first(databases, mapped):
    databases.run(mapped)
    again = databases.run(mapped, "again")
    assert (again["execute_status"], again["dirty_data_count"]) == ("SUCCESS", 10)
    mapped["targetSelectedDatasource"]["isSupportClearTab"] = True
    cleared = databases.run(mapped, "cleared")
    assert (cleared["data_count"], cleared["dirty_data_count"]) == (10, 0)
    assert len(sales(databases)) == 10


def test_only_the_rows_that_the_target_refuses_are_dirty(databases, mapped):
    databases.source.execute("UPDATE orders SET name = NULL WHERE id IN (3, 7)")
    run = databases.run(mapped)
    assert (run["execute_status"], run["data_count"], run["dirty_data_count"]) == ("SUCCESS", 8, 2)
    assert [row[0] for row in sales(databases)] == [1, 2, 4, 5, 6, 8, 9, 10]
    assert "NOT NULL" in run["remarks"]


def test_many_batches_with_bad_rows_in_some(databases, mapped):
    databases.source.execute("DELETE FROM orders")
    databases.source.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " INSERT INTO orders SELECT i, iif(i % 500 = 0, NULL, 'x'), 1, '' FROM n"
    )
    mapped["targetSelectedDatasource"]["batchNumber"] = "300"
    run = databases.run(mapped)
    assert (run["data_count"], run["dirty_data_count"]) == (4990, 10)
    assert len(sales(databases)) == 4990


def test_column_lists_serve_where_there_is_no_mapping(databases, mapped):
    mapped["mappingTable"] = []
    mapped["sourceSelectedDatasource"]["sourceSelectedColumnList"] = [
        {"field_name": name} for name in ("id", "name", "price")
    ]
    mapped["targetSelectedDatasource"]["targetSelectedColumnList"] = [
        {"field_name": name} for name in ("order_id", "title", "amount")
    ]
    assert databases.run(mapped)["data_count"] == 10
    assert sales(databases)[0] == (1, "name 1", 0.25)


def test_a_filter_and_an_order_are_applied(databases, mapped):
    mapped["sourceSelectedDatasource"] |= {"where": "price > 1 AND name <> 'a:b'", "orderColumn": "id"}
    assert databases.run(mapped)["data_count"] == 6
    mapped["sourceSelectedDatasource"]["where"] = [{"column": "id", "operator": "<=", "value": 2}]
    mapped["targetSelectedDatasource"]["isSupportClearTab"] = True
    assert databases.run(mapped, "second")["data_count"] == 2


def test_a_statement_of_ones_own_is_read(databases, mapped):
    mapped["sourceSelectedDatasource"] = {
        "isAddSql": True,
        "querySql": "SELECT price * 2 AS price, name, id + 100 AS id FROM orders WHERE id < 3;",
    }
    assert databases.run(mapped)["data_count"] == 2
    assert sales(databases) == [(101, "name 1", 0.5), (102, "name 2", 1.0)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "WITH gone AS (SELECT 1) DELETE FROM orders",
        "SELECT id, name, price FROM orders; --",
        "ATTACH 'x.db' AS x",
        "PRAGMA writable_schema = 1",
        "SELECT writefile('x', 'y') AS id",
    ],
)
def test_sql_of_a_request_never_writes(databases, mapped, sql):
    mapped["sourceSelectedDatasource"] = {"isAddSql": True, "querySql": sql}
    databases.run(mapped)
    assert databases.source.execute("SELECT count(*) FROM orders").fetchone() == (10,)
    assert not list(databases.folder.glob("x*"))


@pytest.mark.parametrize("where", ["1 = 1; DELETE FROM orders", "id IN (DELETE FROM orders RETURNING id)"])
def test_a_filter_never_writes(databases, mapped, where):
    mapped["sourceSelectedDatasource"]["where"] = where
    assert databases.run(mapped)["execute_status"] == "ERROR"
    assert databases.source.execute("SELECT count(*) FROM orders").fetchone() == (10,)


def test_the_target_table_is_created_on_request(databases, mapped):
    mapped["targetSelectedDatasource"] = {
        "targetTable": "fresh",
        "targetNeedCreateTable": True,
        "targetSelectedColumnList": [
            {
                "field_name": "order_id",
                "field_type": "NUMBER",
                "field_length": "10",
                "null_able": "0",
                "unique": "1",
            },
            {"field_name": "title", "field_type": "VARCHAR2", "field_length": "64", "null_able": "1"},
        ],
    }
    assert databases.run(mapped)["data_count"] == 10
    columns = {row[1]: (row[2], row[3]) for row in databases.target.execute("PRAGMA table_info(fresh)")}
    assert columns["title"] == ("VARCHAR(64)", 0)
    assert columns["order_id"][1] == 1


def test_an_incremental_task_reads_what_is_new(databases, mapped):
    mapped["sourceSelectedDatasource"] |= {
        "need_inc_migration": True,
        "sourceDateColumn": "CHANGED",
        "dataTimestamp": 1704412800000,
        "timeZone": "UTC",
    }
    task_id = databases.task(mapped)
    api = databases.api
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.finished(task_id)["data_count"] == 6
    databases.source.execute("INSERT INTO orders VALUES (11, 'new', 1, '2024-02-01 00:00:00')")
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.finished(task_id)["data_count"] == 1
    api.ok("POST", f"tasks/{task_id}/run")
    empty = api.finished(task_id)
    assert (empty["execute_status"], empty["data_count"]) == ("SUCCESS", 0)
    assert 105 in [step["status"] for step in empty["detail_logs"]]


def test_moving_the_window_of_an_incremental_task_makes_it_begin_there(databases, mapped):
    source = mapped["sourceSelectedDatasource"]
    source |= {
        "need_inc_migration": True,
        "sourceDateColumn": "changed",
        "dataTimestamp": "",
        "timeZone": "UTC",
    }
    mapped["targetSelectedDatasource"]["isSupportClearTab"] = True
    task_id = databases.task(mapped)
    api = databases.api
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.finished(task_id)["data_count"] == 10
    source["dataTimestamp"] = "2024-01-09 00:00:00"
    body = api.task_body(
        "copy",
        source_datasource_id=databases.source_id,
        target_datasource_id=databases.target_id,
        task_detail=mapped,
    )
    api.ok("PUT", f"tasks/{task_id}", body)
    api.ok("POST", f"tasks/{task_id}/run")
    assert api.finished(task_id)["data_count"] == 2


def test_source_and_target_may_be_one_file(databases, mapped):
    databases.source.execute("CREATE TABLE sales (order_id INTEGER PRIMARY KEY, title TEXT, amount REAL)")
    mapped["targetSelectedDatasource"]["batchNumber"] = "3"
    databases.target_id = databases.source_id
    run = databases.run(mapped)
    assert (run["execute_status"], run["data_count"]) == ("SUCCESS", 10)
    assert databases.source.execute("SELECT count(*) FROM sales").fetchone() == (10,)


def fails_with(run, code, text):
    assert (run["execute_status"], run["status"]) == ("ERROR", code)
    assert text in run["remarks"]
    assert run["detail_logs"][-1]["remarks"] == run["remarks"]


def test_a_missing_table_fails_the_run_by_name(databases, mapped):
    mapped["sourceSelectedDatasource"]["sourceTable"] = "nowhere"
    fails_with(databases.run(mapped), 911, "The source has no table nowhere.")


def test_a_missing_target_table_fails_the_run_by_name(databases, mapped):
    mapped["targetSelectedDatasource"]["targetTable"] = "nowhere"
    fails_with(databases.run(mapped), 912, "The target has no table nowhere.")


def test_a_missing_column_fails_the_run_by_name(databases, mapped):
    mapped["mappingTable"][0]["source_column"] = "number"
    fails_with(databases.run(mapped), 911, "The source has no column number")


def test_a_statement_that_breaks_at_the_source_fails_the_run(databases, mapped):
    mapped["sourceSelectedDatasource"]["where"] = "no_such_column = 1"
    fails_with(databases.run(mapped), 103, "no such column")


def test_a_source_that_cannot_be_read_fails_the_run_with_the_reason(api, databases, mapped):
    kafka = api.emulator.add_datasource("events", None, "KAFKA")
    databases.source_id = kafka
    fails_with(databases.run(mapped), 911, "cannot read from the source data source 'events' of type KAFKA")


def test_a_database_that_it_does_not_know_fails_the_run_with_the_reason(api, databases, mapped):
    row = {"datasource_name": "erp", "datasource_type": "ORACLE", "app_id": "a"}
    row["content"] = {"url": "oracle+oracledb://u:p@host/db"}
    databases.source_id = api.ok("POST", "datasources", row)["datasource_id"]
    words = "does not connect to 'oracle'; known: mariadb, mysql, postgresql, sqlite"
    fails_with(databases.run(mapped), 103, words)


def test_an_unknown_data_source_fails_the_run(databases, mapped):
    databases.target_id = "f" * 32
    fails_with(databases.run(mapped), 912, "does not exist")


def test_a_completion_message_is_not_faked(databases, mapped):
    mapped["afterImplementation"] = {"actionType": "KAFKA", "topic": "done", "messageContent": "ok"}
    fails_with(databases.run(mapped), 912, "a message to KAFKA")
    assert sales(databases) == []


def test_terminate_stops_the_moving_and_counts_what_was_written(api, databases, mapped, eventually):
    databases.source.execute(
        "WITH RECURSIVE n(i) AS (SELECT 11 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
        " INSERT INTO orders SELECT i, 'name', 1, '' FROM n"
    )
    mapped["targetSelectedDatasource"]["batchNumber"] = "100"
    task_id = databases.task(mapped)
    api.ok("POST", f"tasks/{task_id}/run")
    eventually(lambda: api.logs(task_id)[0]["data_count"] > 0)
    api.ok("POST", f"tasks/{task_id}/terminate")
    run = api.finished(task_id)
    assert (run["execute_status"], run["position_status"]) == ("CANCELLED", "RUNTIME_CANCEL")
    assert 0 < run["data_count"] < 400_000
    assert len(sales(databases)) == run["data_count"]


def test_terminate_breaks_off_a_statement_before_its_first_row(api, databases, mapped, eventually):
    mapped["sourceSelectedDatasource"] = {
        "isAddSql": True,
        "querySql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS id, 'x' AS name, 1 AS price FROM n WHERE i < 0",
    }
    task_id = databases.task(mapped)
    api.ok("POST", f"tasks/{task_id}/run")
    eventually(lambda: api.logs(task_id)[0]["execute_status"] == "RUNNING")
    eventually(lambda: api.logs(task_id)[0]["status"] in (100, 102))
    # The statement begins a moment after the step that announces it: ask until it is heard.
    eventually(
        lambda: (
            api("POST", f"tasks/{task_id}/terminate").status_code == 400
            or api.logs(task_id)[0]["execute_status"] == "CANCELLED"
        )
    )
    assert api.finished(task_id)["execute_status"] == "CANCELLED"


def test_runs_beyond_the_limit_wait(api, fdi_emulator, databases, mapped, eventually):
    fdi_emulator.switch(max_parallel_runs=0)
    task_id = databases.task(mapped)
    api.ok("POST", f"tasks/{task_id}/run")
    eventually(lambda: api.logs(task_id)[0]["status"] == 906)
    assert api.logs(task_id)[0]["execute_status"] == "WAITING"
    fdi_emulator.switch(max_parallel_runs=1)
    assert api.finished(task_id)["execute_status"] == "SUCCESS"
