"""Builders for ``task_detail``, the JSON text that says what a common task moves.

The service documents it in part only, so every builder takes further keys and passes them through as they
are, and an existing task's text can be used as a template (``get_task(…).task_detail``). Spelling and types
are the service's own: booleans and numbers are partly strings there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError

__all__ = [
    "api_source",
    "api_to_table",
    "column",
    "column_mapping",
    "completion_message",
    "error_handler",
    "key_value",
    "metadata_field",
    "table_source",
    "table_target",
    "table_to_table",
    "to_json_text",
]


def to_json_text(task_detail: Mapping[str, Any] | str, *, field: str = "task_detail") -> str:
    """``task_detail`` as the JSON text the service wants; text is checked and sent as it is.

    :raises FdiArgumentError: it is not a JSON object; names the position of the mistake.
    """
    # The text itself may hold passwords, so it is not shown.
    if isinstance(task_detail, str):
        try:
            data = json.loads(task_detail)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno} (character {error.pos})"
            raise FdiArgumentError(field, HIDDEN, f"is not JSON: {error.msg} at {where}") from None
        except (ValueError, RecursionError):
            raise FdiArgumentError(field, HIDDEN, "is not JSON that can be read") from None
        if not isinstance(data, dict):
            raise FdiArgumentError(field, HIDDEN, f"must be a JSON object, is {_json_kind(data)}")
        return task_detail
    if not isinstance(task_detail, Mapping):
        raise FdiArgumentError(field, type(task_detail).__name__, "must be a mapping or JSON text")
    try:
        return json.dumps(dict(task_detail), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FdiArgumentError(field, HIDDEN, f"cannot be written as JSON: {error}") from None


def _json_kind(data: object) -> str:
    if isinstance(data, list):
        return "a list"
    return "null" if data is None else f"a {type(data).__name__}"


def _given(**fields: Any) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v is not None}


def _yes(value: bool) -> str:
    return "true" if value else "false"


def column(
    field_name: str,
    field_type: str,
    field_length: str | int = "0",
    *,
    nullable: bool = True,
    unique: bool = False,
    primary: bool | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A column of a source or target table; ``list_columns`` returns those of a table."""
    flag = {True: "1", False: "0", None: None}
    return {
        "field_name": field_name,
        "field_type": field_type,
        "field_length": str(field_length),
        "null_able": flag[bool(nullable)],
        "unique": flag[bool(unique)],
        **_given(primary=flag[primary]),
        **more,
    }


def column_mapping(
    source: Mapping[str, Any] | str, target: Mapping[str, Any] | str, **more: Any
) -> dict[str, Any]:
    """Which source column goes to which target column; each a name, or what ``column`` made."""
    left = {"field_name": source} if isinstance(source, str) else source
    right = {"field_name": target} if isinstance(target, str) else target
    return {
        "source_column": left["field_name"],
        **_given(
            source_column_type=left.get("field_type"),
            source_column_length=left.get("field_length"),
        ),
        "target_column": right["field_name"],
        **_given(
            target_column_type=right.get("field_type"),
            target_column_length=right.get("field_length"),
        ),
        **more,
    }


def key_value(key: str, value: str) -> dict[str, str]:
    """A parameter or header of an API source. The service spells the key ``keys``."""
    return {"keys": key, "value": value}


def metadata_field(
    index: int, name: str, field_type: str = "String", *, format: str = "", path: str = "", **more: Any
) -> dict[str, Any]:
    """A field that is parsed from an API's answer; ``path`` is where it lies below the root."""
    return {"index": index, "name": name, "type": field_type, "format": format, "path": path, **more}


def error_handler(
    *, datasource_id: str, app_id: str, path: str, stop_task_when_obs_failure: bool = False, **more: Any
) -> dict[str, Any]:
    """Where rows go that the target refused: a path in an OBS data source."""
    return {
        "mode": "OBS",
        "app_id": app_id,
        "datasource_id": datasource_id,
        "path": path,
        "stop_task_when_obs_failure": stop_task_when_obs_failure,
        **more,
    }


def completion_message(
    *, datasource_id: str, app_id: str, topic: str, message: str, **more: Any
) -> dict[str, Any]:
    """The message that FDI sends to a Kafka data source when the task completes."""
    return {
        "actionType": "KAFKA",
        "appId": app_id,
        "datasourceId": datasource_id,
        "topic": topic,
        "messageContent": message,
        **more,
    }


def table_source(
    table: str,
    columns: Iterable[Mapping[str, Any]],
    *,
    where: Iterable[Any] = (),
    sql: str | None = None,
    order_column: str = "",
    order_type: str = "ASC",
    incremental_column: str | None = None,
    incremental_from: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A relational source: a table (``schema.table``), or ``sql`` over it.

    ``incremental_column`` makes every run after the first move the newer rows only, beginning at
    ``incremental_from`` (epoch milliseconds).
    """
    return {
        "sourceTable": table,
        "sourceSelectedColumnList": [dict(c) for c in columns],
        "isAddSql": sql is not None,
        "querySql": sql or "",
        "where": list(where),
        "whereOptions": [],
        "orderColumn": order_column,
        "orderType": order_type,
        "need_inc_migration": incremental_column is not None,
        "sourceDateColumn": incremental_column or "",
        "dataTimestamp": "" if incremental_from is None else incremental_from,
        "isParse": "true",
        **more,
    }


def table_target(
    table: str,
    columns: Iterable[Mapping[str, Any]],
    *,
    truncate: bool = False,
    create_table: bool = False,
    batch_number: str | int = "",
    partial_update: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A relational target. ``truncate`` empties the table before each run."""
    return {
        "targetNeedCreateTable": create_table,
        "isSupportClearTab": truncate,
        "targetTable": table,
        "batchNumber": str(batch_number),
        "targetSelectedColumnList": [dict(c) for c in columns],
        "supportPartUpdate": partial_update,
        **more,
    }


def api_source(
    fields: Iterable[Mapping[str, Any]],
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    root_path: str = "",
    parse: bool = True,
    page_param: str | None = None,
    page_size_param: str | None = None,
    first_page: int | str = "1",
    page_size: int | str = "10",
    max_pages: int | str = "0",
    **more: Any,
) -> dict[str, Any]:
    """An HTTP API as source; its address and login are in the data source.

    ``fields`` are what ``metadata_field`` makes. With ``page_param`` the pages are read one after the other
    (``max_pages`` "0": all); the parameter must be in ``params`` or in ``body``.
    """
    return {
        "isNeedPageSrcApi": page_param is not None,
        "pageKeySrcApi": page_param or "",
        "pageSizeKeySrcApi": page_size_param or "",
        "rootPath": root_path,
        "sourceParams": [key_value(k, v) for k, v in (params or {}).items()],
        "sourceHeaders": [key_value(k, v) for k, v in (headers or {}).items()],
        "sourceBodyType": "raw-json",
        "bodyRaw": body,
        "sourceBodyFormData": [],
        "sourceResponseType": "json",
        "sourceMetaData": {"dataSource": [dict(f) for f in fields], "mode": "keyValue"},
        "pagingEndType": "paging-list",
        "pagingEndFieldPath": "",
        "resultTotalRootPath": "",
        "pageNumLimit": str(max_pages),
        "current_page_num": str(first_page),
        "page_size": str(page_size),
        "need_inc_migration": False,
        "isUseDynamicSignal": False,
        "isParse": _yes(parse),
        **more,
    }


def table_to_table(
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    mapping: Iterable[Mapping[str, Any]],
    *,
    on_error: Mapping[str, Any] | None = None,
    on_completion: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A table into a table: ``table_source``, ``table_target``, and a ``column_mapping`` for each column."""
    return {
        "sourceSelectedDatasource": dict(source),
        "targetSelectedDatasource": dict(target),
        "mappingTable": [dict(m) for m in mapping],
        "mappingRequired": True,
        **_extras(on_error, on_completion),
        **more,
    }


def api_to_table(
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    mapping: Mapping[str, str],
    *,
    on_error: Mapping[str, Any] | None = None,
    on_completion: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An API into a table: ``api_source``, ``table_target``, and which field goes to which column."""
    pairs = [{"sourceKey": k, "targetKey": v} for k, v in mapping.items()]
    return {
        "sourceSelectedDatasource": dict(source),
        "targetSelectedDatasource": dict(target),
        "mappingTable": [],
        "mappingInput": {"dataSource": pairs},
        "mappingRequired": True,
        **_extras(on_error, on_completion),
        **more,
    }


def _extras(on_error: Mapping[str, Any] | None, on_completion: Mapping[str, Any] | None) -> dict[str, Any]:
    return _given(
        error_handler=None if on_error is None else dict(on_error),
        afterImplementation=None if on_completion is None else dict(on_completion),
    )
