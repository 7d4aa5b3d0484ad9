"""Data sources: records, and a look into the databases behind them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("checked_answers")


def body(name="erp", **fields):
    return {
        "datasource_name": name,
        "datasource_type": "MYSQL",
        "app_id": "app-1",
        "content": {"mode": "professional", "url": "sqlite:////nowhere/file.db", "password": "top-secret"},
        **fields,
    }


def test_a_data_source_is_created_shown_changed_and_deleted(api):
    answer = api("POST", "datasources", body())
    assert answer.status_code == 201
    row = answer.json()
    path = f"datasources/{row['datasource_id']}"
    assert api.ok("GET", path) == row
    changed = api.ok("PUT", path, body("crm", description="customers"))
    assert (changed["datasource_name"], changed["description"]) == ("crm", "customers")
    assert api("DELETE", path).status_code == 204
    assert api("GET", path).status_code == 404


def test_secrets_of_the_content_are_not_given_away(api):
    row = api.ok("POST", "datasources", body())
    assert row["content"]["password"] == "******"
    assert "top-secret" not in api("GET", "datasources").text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("datasource_name", "a<b"),
        ("datasource_name", ""),
        ("content", "x"),
        ("app_id", ""),
        ("datasource_type", ""),
    ],
)
def test_a_bad_field_is_named(api, field, value):
    answer = api("POST", "datasources", body(**{field: value}))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3033")
    assert f"[{field}]" in answer.json()["error_msg"]


def test_the_list_filters_by_name_and_type(api, fdi_emulator):
    for name, kind in (("a-1", "MYSQL"), ("a-2", "KAFKA"), ("b-1", "KAFKA")):
        fdi_emulator.add_datasource(name, None, kind)
    found = api.ok("GET", "datasources", params={"name": "a-", "datasource_type": "KAFKA"})
    assert [row["datasource_name"] for row in found["entities"]] == ["a-2"]
    assert api.ok("GET", "datasources", params={"offset": 2})["size"] == 1


def test_the_connection_test_tells_good_from_bad(api, databases):
    path = f"datasources/{databases.source_id}/test-connect"
    assert api.ok("POST", path) == {"result": True}
    answer = api("POST", path, body())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3016")
    kafka = api.emulator.add_datasource("k", None, "KAFKA")
    assert api("POST", f"datasources/{kafka}/test-connect").json()["error_code"] == "FDI.3016"


def test_tables_and_columns_are_those_of_the_database(api, databases):
    path = f"datasources/{databases.source_id}"
    assert api.ok("GET", f"{path}/tables", params={"position": "SOURCE"}) == {"tables": ["main.orders"]}
    assert api.ok("GET", f"{path}/tables", params={"position": "SOURCE", "filter": "x"}) == {"tables": []}
    assert api("GET", f"{path}/tables").status_code == 400
    columns = api.ok("GET", f"{path}/columns", params={"position": "SOURCE", "table_name": "orders"})[
        "columns"
    ]
    assert columns[0] == {
        "field_name": "id",
        "field_type": "INTEGER",
        "field_length": "0",
        "null_able": "0",
        "is_partition": False,
        "primary": "1",
        "unique": "1",
        "decimal_digits": None,
    }
    missing = api("GET", f"{path}/columns", params={"position": "SOURCE", "table_name": "none"})
    assert missing.json()["error_code"] == "FDI.3033"


def test_a_statement_is_checked_and_described(api, databases):
    path = f"datasources/{databases.source_id}/test-sql"
    columns = api.ok("POST", path, {"sql": "SELECT id, name AS label FROM orders"})["columns"]
    assert [(row["field_name"], row["field_type"]) for row in columns] == [
        ("id", "INTEGER"),
        ("label", "VARCHAR"),
    ]
    answer = api("POST", path, {"sql": "SELEC"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "FDI.3035")
    assert answer.json()["detail"]


def test_a_data_source_in_use_is_not_deleted(api, databases, mapped):
    databases.task(mapped)
    assert api("DELETE", f"datasources/{databases.source_id}").status_code == 400


def test_a_data_source_of_the_api_can_carry_a_task(api, databases, mapped):
    content = {"mode": "professional", "url": f"sqlite:///{databases.folder}/target.db"}
    row = api.ok("POST", "datasources", body("warehouse", content=content))
    databases.target_id = row["datasource_id"]
    assert databases.run(mapped)["data_count"] == 10
