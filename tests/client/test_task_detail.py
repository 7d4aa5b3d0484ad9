from __future__ import annotations

import json
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
        td.table_target("CDCMODEL.NODE", [NODE]),
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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{"a": 1,}', r"is not JSON: .* line 1, column 9"),
        ("", "is not JSON"),
        ("null", "must be a JSON object, is null"),
        ("[]", "must be a JSON object, is a list"),
        ("7", "must be a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ({"a": object()}, "cannot be written as JSON"),
        ({"a": float("nan")}, "cannot be written as JSON"),
        (None, "must be a mapping or JSON text"),
        ([], "must be a mapping or JSON text"),
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
