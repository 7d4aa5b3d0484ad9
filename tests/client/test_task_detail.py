from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from airflow_provider_fdi.client import task_detail as td
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.secrets import secret_values

ID = td.column("ID", "INT", 11, nullable=False, unique=True)
NODE = td.column("NODE_ID", "VARCHAR2", "64")


def test_table_to_table_has_the_documented_structure() -> None:
    detail = td.table_to_table(
        td.table_source("mydb.orders", [ID]),
        td.table_target("DW.ORDERS", [NODE], truncate=True, batch_number=500),
        [td.column_mapping(ID, NODE)],
    )
    assert detail["sourceSelectedDatasource"]["sourceTable"] == "mydb.orders"
    assert detail["sourceSelectedDatasource"]["sourceSelectedColumnList"] == [
        {"field_name": "ID", "field_type": "INT", "field_length": "11", "null_able": "0", "unique": "1"}
    ]
    assert detail["targetSelectedDatasource"] == {
        "targetNeedCreateTable": False,
        "isSupportClearTab": True,
        "targetTable": "DW.ORDERS",
        "batchNumber": "500",
        "targetSelectedColumnList": [NODE],
        "supportPartUpdate": False,
    }
    assert detail["mappingTable"] == [
        {
            "source_column": "ID",
            "source_column_type": "INT",
            "source_column_length": "11",
            "target_column": "NODE_ID",
            "target_column_type": "VARCHAR2",
            "target_column_length": "64",
        }
    ]
    assert detail["mappingRequired"] is True
    assert "error_handler" not in detail


def test_api_to_table_matches_the_documented_example() -> None:
    detail = td.api_to_table(
        td.api_source(
            [td.metadata_field(0, "name"), td.metadata_field(1, "age", "Integer")],
            params={"pageNum": "0", "pageSize": "10"},
            body='{"pageNum":"1"}',
            page_param="pageNum",
            page_size_param="pageSize",
            max_pages=1,
        ),
        td.table_target("CDCMODEL.NODE", ["RES_SUBNET_IP_BETA", "METRIC_DATA"]),
        {"name": "RES_SUBNET_IP_BETA", "age": "METRIC_DATA"},
        on_error=td.error_handler(datasource_id="79c4", app_id="7396", path="data1"),
        on_completion=td.completion_message(
            datasource_id="a87a", app_id="7396", topic="t99", message="success"
        ),
    )
    source = detail["sourceSelectedDatasource"]
    assert source["sourceParams"] == [{"keys": "pageNum", "value": "0"}, {"keys": "pageSize", "value": "10"}]
    assert source["sourceMetaData"] == {
        "dataSource": [
            {"index": 0, "name": "name", "type": "String", "format": "", "path": ""},
            {"index": 1, "name": "age", "type": "Integer", "format": "", "path": ""},
        ],
        "mode": "keyValue",
    }
    assert (source["isNeedPageSrcApi"], source["pageNumLimit"], source["isParse"]) == (True, "1", "true")
    assert detail["mappingInput"] == {
        "dataSource": [
            {"sourceKey": "name", "targetKey": "RES_SUBNET_IP_BETA"},
            {"sourceKey": "age", "targetKey": "METRIC_DATA"},
        ]
    }
    assert detail["error_handler"] == {
        "mode": "OBS",
        "app_id": "7396",
        "datasource_id": "79c4",
        "path": "data1",
        "stop_task_when_obs_failure": False,
    }
    assert detail["afterImplementation"] == {
        "actionType": "KAFKA",
        "appId": "7396",
        "datasourceId": "a87a",
        "topic": "t99",
        "messageContent": "success",
    }


def test_unknown_keys_pass_through_and_win() -> None:
    assert td.table_source("a.b", [], new_key={"x": 1})["new_key"] == {"x": 1}
    assert td.table_target("a.b", [], targetTable="other")["targetTable"] == "other"
    assert td.table_to_table({"mine": 1}, {"yours": 2}, [], needAPI=False)["needAPI"] is False
    assert td.column("a", "b", is_partition=True)["is_partition"] is True


def test_incremental_source() -> None:
    source = td.table_source("a.b", [], incremental_column="updated", incremental_from=1606807799782)
    assert source["need_inc_migration"] is True
    assert (source["sourceDateColumn"], source["dataTimestamp"]) == ("updated", 1606807799782)


def test_mappings_become_json_text_that_keeps_its_letters() -> None:
    assert td.to_json_text({"名": "值", "flag": "true", "n": "1"}) == '{"名": "值", "flag": "true", "n": "1"}'


def test_json_text_is_sent_as_it_is() -> None:
    text = '{ "b": 1,\n "a": 2 }'
    assert td.to_json_text(text) == text


TRAILING_COMMA = 8 if sys.version_info >= (3, 13) else 9
"""The column that Python's reader of JSON names: the comma's or, before 3.13, the one after it."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{"a": 1,}', rf"is text, but not JSON\n.* at line 1, column {TRAILING_COMMA}"),
        ("", "is text, but not JSON"),
        ("null", "must be a JSON object, is null"),
        ("[]", "must be a JSON object, is a list"),
        ("7", "must be a JSON object"),
        ("[" * 100_000, "is text, but not JSON that can be read"),
        ({"a": object()}, "cannot be written as JSON"),
        ({"a": float("nan")}, "cannot be written as JSON"),
        (None, "is null, not a dict or JSON text"),
        ([1], r"^task_detail: is a list, not a dict or JSON text\nGive a dict"),
    ],
)
def test_what_is_no_json_object_is_refused(given: Any, words: str) -> None:
    with pytest.raises(FdiArgumentError, match=words):
        td.to_json_text(given)


def test_refused_text_is_not_shown() -> None:
    with pytest.raises(FdiArgumentError) as caught:
        td.to_json_text('{"password": "hidden-one"')
    assert "hidden-one" not in str(caught.value)


def test_secrets_are_found_at_any_depth() -> None:
    inner = json.dumps({"api_auth_detail": {"app_secret": "s1"}, "list": [{"password": "s2"}]})
    data = {
        "task_detail": inner,
        "headers": [{"keys": "Authorization", "value": "s3"}],
        "ak": "s4",
        "user_name": "u",
    }
    assert sorted(secret_values(data)) == ["s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jdbc:mysql://db:3306/erp?user=fdi&password=hidden-one&useSSL=true", ["hidden-one"]),
        ("jdbc:sqlserver://db;user=fdi;password=hidden-one;encrypt=true", ["hidden-one"]),
        ("mongodb://fdi:hidden-one@db:27017/erp", ["hidden-one"]),
        ("https://db.example.com/a?page=1&size=20", []),
    ],
)
def test_secrets_are_found_in_addresses(url: str, expected: list[str]) -> None:
    assert secret_values({"content": {"url": url}}) == expected


# --- what builders refuse -----------------------------------------------------------------------------------

SOURCE = td.table_source("flights", ["id", "origin"])
TARGET = td.table_target("dwh_flights", ["id", "origin_airport"])
API = td.api_source(["id", "origin"])


def test_columns_may_be_plain_names() -> None:
    detail = td.table_to_table(SOURCE, TARGET, ["id", td.column_mapping("origin", "origin_airport")])
    assert detail["sourceSelectedDatasource"]["sourceSelectedColumnList"] == [
        {"field_name": "id"},
        {"field_name": "origin"},
    ]
    assert [(row["source_column"], row["target_column"]) for row in detail["mappingTable"]] == [
        ("id", "id"),
        ("origin", "origin_airport"),
    ]
    by_dict = td.table_to_table(SOURCE, TARGET, {"id": "id", "origin": "origin_airport"})
    assert by_dict["mappingTable"] == detail["mappingTable"]


def test_fields_of_an_api_may_be_plain_names() -> None:
    assert API["sourceMetaData"]["dataSource"] == [td.metadata_field(0, "id"), td.metadata_field(1, "origin")]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: td.column("", "INT"), "field_name='': must not be empty"),
        (lambda: td.column("id", 5), "field_type=5: must be a string"),
        (lambda: td.column("id", "INT", "long"), "field_length='long': must be a number"),
        (lambda: td.column("id", "INT", nullable="no"), "nullable='no': must be True or False"),
        (lambda: td.column_mapping({}, "id"), "source: is empty\nGive the name of a column"),
        (lambda: td.column_mapping("id", 5), "target: is a number without a name\n"),
        (lambda: td.table_source("", []), "table='': must not be empty"),
        (lambda: td.table_source("t", "id,origin"), "columns: must be a list of columns, is text"),
        (lambda: td.table_source("t", {"id": "INT"}), "columns: must be a list of columns, is a dict"),
        (lambda: td.table_source("t", [{}]), "columns[0]: is empty\n"),
        (lambda: td.table_source("t", ["id", 5]), "columns[1]: is a number without a name\n"),
        (lambda: td.table_source("t", ["id", "id"]), "columns='id': is there twice"),
        (lambda: td.table_source("t", [], sql=" "), "sql=' ': must not be empty"),
        (lambda: td.table_source("t", [], order_type="UP"), "order_type='UP': must be ASC or DESC"),
        (lambda: td.table_source("t", [], incremental_from=0), "needs incremental_column\n"),
        (
            lambda: td.table_source("t", [], incremental_column="c", incremental_from="soon"),
            "incremental_from='soon': is not a time\n",
        ),
        (lambda: td.table_target("t", [], truncate="yes"), "truncate='yes': must be True or False"),
        (lambda: td.table_target("t", [], batch_number=0), "batch_number=0: must be a number of at least 1"),
        (lambda: td.api_source([5]), "fields[0]: is a number without a name\nGive a name, or what"),
        (lambda: td.api_source(["id"], page_param="page"), "page_param='page': must be in params or body\n"),
        (lambda: td.error_handler(datasource_id="", app_id="a", path="p"), "datasource_id='': must not"),
        (lambda: td.table_to_table({}, TARGET, []), "source: is empty\nGive what table_source(…) makes."),
        (lambda: td.table_to_table(SOURCE, "t", []), "target: is text\nGive what table_target(…) makes."),
        (lambda: td.table_to_table(TARGET, SOURCE, []), "source: has targetTable: source and target are"),
        (lambda: td.table_to_table(SOURCE, SOURCE, []), "target: has sourceTable: source and target are"),
        (lambda: td.table_to_table(SOURCE, TARGET, {}), "mapping: is empty\n"),
        (lambda: td.table_to_table(SOURCE, TARGET, "id"), "mapping: must be a list of what column_mapping"),
        (lambda: td.table_to_table(SOURCE, TARGET, [{}]), "mapping[0]: is empty\n"),
        (
            lambda: td.table_to_table(SOURCE, TARGET, {"orgin": "id"}),
            "mapping='orgin': the source has no such column\nDid you mean 'origin'?",
        ),
        (
            lambda: td.table_to_table(SOURCE, TARGET, {"id": "airline"}),
            "mapping='airline': the target has no such column\nIts columns: id, origin_airport.",
        ),
        (
            lambda: td.table_to_table(SOURCE, TARGET, {"origin_airport": "origin"}),
            "mapping='origin_airport' -> 'origin': the sides are swapped\n",
        ),
        (
            lambda: td.table_to_table(SOURCE, TARGET, {"id": "id", "origin": "id"}),
            "mapping='id': is the target of two columns",
        ),
        (lambda: td.table_to_table(SOURCE, TARGET, [], on_error={}), "on_error: is empty\n"),
        (lambda: td.api_to_table(API, TARGET, {}), "mapping: is empty\nGive a dict"),
        (lambda: td.api_to_table(API, TARGET, ["id"]), "mapping: is a list\nGive a dict"),
        (lambda: td.api_to_table(API, TARGET, {"ids": "id"}), "mapping='ids': the source has no such"),
        (lambda: td.api_to_table(TARGET, API, {"id": "id"}), "source: has targetTable: source and target"),
    ],
)
def test_what_cannot_be_meant_is_refused(build: Any, words: str) -> None:
    with pytest.raises(FdiArgumentError) as caught:
        build()
    message = str(caught.value)
    assert message.startswith(words) or words in message
    assert len(message.partition("\n")[0]) <= 80


def test_templates_and_references_are_passed_through() -> None:
    class Reference:
        def resolve(self, context: Any) -> str:
            return "later"

    later = Reference()
    source = td.table_source("{{ params.table }}", ["{{ params.key }}", "id"], incremental_column=later)  # type: ignore[arg-type]
    target = td.table_target(later, ["id"], truncate="{{ params.truncate }}")  # type: ignore[arg-type]
    detail = td.table_to_table(source, target, {"whatever": "id", "id": "{{ params.to }}"})
    assert detail["sourceSelectedDatasource"]["sourceTable"] == "{{ params.table }}"
    assert detail["sourceSelectedDatasource"]["sourceDateColumn"] is later
    assert detail["targetSelectedDatasource"]["targetTable"] is later
    assert detail["targetSelectedDatasource"]["isSupportClearTab"] == "{{ params.truncate }}"


def test_increments_begin_at_a_time_of_any_form() -> None:
    source = td.table_source("t", [], incremental_column="changed", incremental_from="2026-01-01")
    assert source["dataTimestamp"] == 1767225600000


# --- what is moved, in a line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        (td.table_to_table(SOURCE, TARGET, []), "flights (2 columns) -> dwh_flights"),
        (
            td.table_to_table(SOURCE, td.table_target("t", ["id"], truncate=True, create_table=True), []),
            "flights (2 columns) -> t, create the table, truncate first",
        ),
        (
            td.table_to_table(td.table_source("flights", ["id"], sql="SELECT 1"), TARGET, []),
            "query over flights (1 column) -> dwh_flights",
        ),
        (
            td.table_to_table(
                td.table_source("f", [], incremental_column="changed"), td.table_target("t", []), ["a", "b"]
            ),
            "f (2 columns) -> t, only rows newer by changed",
        ),
        (td.api_to_table(API, TARGET, {"id": "id"}), "API (2 fields) -> dwh_flights"),
        ({}, None),
        ({"sourceSelectedDatasource": "x", "targetSelectedDatasource": []}, None),
    ],
)
def test_a_detail_is_described_in_a_line(detail: dict[str, Any], line: str | None) -> None:
    assert td.describe_detail(json.dumps(detail)) == line


def test_a_detail_that_cannot_be_read_is_not_described() -> None:
    assert td.describe_detail("{") is None
