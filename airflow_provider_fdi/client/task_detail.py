"""Builders for ``task_detail``, the JSON text that says what a common task moves.

The service documents it in part only, so every builder takes further keys and passes them through as they
are, and an existing task's text can be used as a template (``get_task(…).task_detail``). Spelling and types
are the service's own: booleans and numbers are partly strings there.

Builders refuse what cannot be meant, with an :class:`~airflow_provider_fdi.client.errors.FdiArgumentError`:
a mapping of a column that is not there, a target in the place of the source. What holds a template of
Airflow, or is one of its references, is passed through: it is not known yet.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError, Shown, clean_text
from airflow_provider_fdi.client.times import time_ms
from airflow_provider_fdi.validation import flag, is_reference, nearest, string, whole

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
            rule = f"is text, but not JSON\n{error.msg} at {where}. The path of a file must end in .json."
            raise FdiArgumentError(field, HIDDEN, rule) from None
        except (ValueError, RecursionError):
            raise FdiArgumentError(field, HIDDEN, "is text, but not JSON that can be read") from None
        if not isinstance(data, dict):
            raise FdiArgumentError(field, HIDDEN, f"must be a JSON object, is {_kind(data)}")
        return task_detail
    if not isinstance(task_detail, Mapping):
        rule = f"is {_kind(task_detail)}, not a dict or JSON text\n{_BUILDERS}"
        raise FdiArgumentError(field, HIDDEN, rule)
    try:
        return json.dumps(dict(task_detail), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FdiArgumentError(field, HIDDEN, f"cannot be written as JSON\n{error}.") from None


_BUILDERS = "Give a dict (table_to_table and api_to_table make one), JSON text, or the path of a .json file."


def _kind(data: object) -> str:
    """What a value is, in a word of JSON."""
    words = {list: "a list", tuple: "a list", str: "text", bool: "true or false", int: "a number"}
    words |= {float: "a number", dict: "a dict", type(None): "null"}
    return words.get(type(data), f"of type {type(data).__name__}")


def _is_what(data: object, lacks: str = "") -> str:
    """What is wrong with a value in the place of what a builder makes."""
    return "is empty" if data == {} else f"is {_kind(data)}" + (f" without {lacks}" if lacks else "")


def _text(field: str, value: Any) -> Any:
    """Text that is not empty, or a reference."""
    if not is_reference(value) and not string(field, value).strip():
        raise FdiArgumentError(field, value, "must not be empty")
    return value


def _flag(field: str, value: Any) -> Any:
    return value if is_reference(value) else flag(field, value)


def _columns(field: str, columns: Iterable[Mapping[str, Any] | str]) -> list[dict[str, Any]]:
    """Columns as the service wants them, from names and from what ``column`` makes."""
    found = [_column(f"{field}[{i}]", c) for i, c in enumerate(_items(field, columns, "columns"))]
    names = [column["field_name"] for column in found]
    for name in names:
        if names.count(name) > 1:
            raise FdiArgumentError(field, name, "is there twice")
    return found


def _column(field: str, given: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(given, str):
        return {"field_name": _text(field, given)}
    if not isinstance(given, Mapping) or not given.get("field_name"):
        rule = f"{_is_what(given, 'a name')}\nGive the name of a column, or what column(…) makes."
        raise FdiArgumentError(field, HIDDEN, rule)
    return dict(given)


def _items(field: str, value: Any, what: str) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise FdiArgumentError(field, HIDDEN, f"must be a list of {what}, is {_kind(value)}")
    return list(value)


def _side(field: str, given: Any, builder: str, other_key: str) -> dict[str, Any]:
    """Source or target of a task."""
    if not isinstance(given, Mapping) or not given:
        raise FdiArgumentError(field, HIDDEN, f"{_is_what(given)}\nGive what {builder}(…) makes.")
    if other_key in given:
        rule = f"has {other_key}: source and target are swapped\nThe source comes first, then the target."
        raise FdiArgumentError(field, HIDDEN, rule)
    return dict(given)


def _names(rows: Any, key: str) -> list[str]:
    """The names in a list of columns or fields; empty if they are not known."""
    names = [row.get(key) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    texts = [name for name in names if isinstance(name, str) and not is_reference(name)]
    return texts if len(texts) == len(names) else []


def _refuse_unknown(
    pairs: Iterable[tuple[Any, Any]], sources: Collection[str], targets: Collection[str]
) -> None:
    """Refuse pairs of columns that the two sides do not have; nothing is known of a side without columns."""
    pairs = [pair for pair in pairs if not is_reference(pair)]
    for source, target in pairs:
        for side, name, known, others in (
            ("source", source, sources, targets),
            ("target", target, targets, sources),
        ):
            if not known or name in known:
                continue
            if name in others and (target if side == "source" else source) in known:
                rule = "the sides are swapped\nThe source's column comes first, then the target's."
                raise FdiArgumentError("mapping", Shown(f"{source!r} -> {target!r}"), rule)
            meant = nearest(name, known)
            hint = (
                f"Did you mean {meant!r}?" if meant else f"Its columns: {clean_text(', '.join(known), 200)}."
            )
            rule = f"the {side} has no such column\n{hint}"
            raise FdiArgumentError("mapping", name, rule)
    filled: set[str] = set()
    for _, target in pairs:
        if target in filled:
            raise FdiArgumentError("mapping", target, "is the target of two columns")
        filled.add(target)


def _field(field: str, given: Any) -> dict[str, Any]:
    """A field of an API's answer."""
    if not isinstance(given, Mapping) or not given.get("name"):
        rule = f"{_is_what(given, 'a name')}\nGive a name, or what metadata_field(…) makes."
        raise FdiArgumentError(field, HIDDEN, rule)
    return dict(given)


def _mapping_rows(mapping: Any) -> list[dict[str, Any]]:
    """The mapping of a table to a table, as the service wants it."""
    if isinstance(mapping, Mapping):
        if not mapping:
            raise FdiArgumentError(
                "mapping", HIDDEN, "is empty\nGive a list of what column_mapping(…) makes."
            )
        return [column_mapping(source, target) for source, target in mapping.items()]
    rows = []
    for index, row in enumerate(_items("mapping", mapping, "what column_mapping(…) makes")):
        if isinstance(row, str):
            row = column_mapping(row, row)
        elif not isinstance(row, Mapping) or not {"source_column", "target_column"} <= row.keys():
            what = _is_what(row, "source_column and target_column")
            rule = f"{what}\nGive the name of a column, or what column_mapping(…) makes."
            raise FdiArgumentError(f"mapping[{index}]", HIDDEN, rule)
        rows.append(dict(row))
    return rows


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
    digit = {True: "1", False: "0", None: None}
    return {
        "field_name": _text("field_name", field_name),
        "field_type": _text("field_type", field_type),
        "field_length": str(
            field_length if is_reference(field_length) else whole("field_length", field_length)
        ),
        "null_able": digit[flag("nullable", nullable)],
        "unique": digit[flag("unique", unique)],
        **_given(primary=None if primary is None else digit[flag("primary", primary)]),
        **more,
    }


def column_mapping(
    source: Mapping[str, Any] | str, target: Mapping[str, Any] | str, **more: Any
) -> dict[str, Any]:
    """Which source column goes to which target column; each a name, or what ``column`` made."""
    left, right = _column("source", source), _column("target", target)
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
    return {"keys": _text("key", key), "value": value}


def metadata_field(
    index: int, name: str, field_type: str = "String", *, format: str = "", path: str = "", **more: Any
) -> dict[str, Any]:
    """A field that is parsed from an API's answer; ``path`` is where it lies below the root."""
    return {
        "index": whole("index", index),
        "name": _text("name", name),
        "type": _text("field_type", field_type),
        "format": format,
        "path": path,
        **more,
    }


def error_handler(
    *, datasource_id: str, app_id: str, path: str, stop_task_when_obs_failure: bool = False, **more: Any
) -> dict[str, Any]:
    """Where rows go that the target refused: a path in an OBS data source."""
    return {
        "mode": "OBS",
        "app_id": _text("app_id", app_id),
        "datasource_id": _text("datasource_id", datasource_id),
        "path": _text("path", path),
        "stop_task_when_obs_failure": stop_task_when_obs_failure,
        **more,
    }


def completion_message(
    *, datasource_id: str, app_id: str, topic: str, message: str, **more: Any
) -> dict[str, Any]:
    """The message that FDI sends to a Kafka data source when the task completes."""
    return {
        "actionType": "KAFKA",
        "appId": _text("app_id", app_id),
        "datasourceId": _text("datasource_id", datasource_id),
        "topic": _text("topic", topic),
        "messageContent": message,
        **more,
    }


def table_source(
    table: str,
    columns: Iterable[Mapping[str, Any] | str],
    *,
    where: Iterable[Any] = (),
    sql: str | None = None,
    order_column: str = "",
    order_type: str = "ASC",
    incremental_column: str | None = None,
    incremental_from: datetime | str | int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A relational source: a table (``schema.table``), or ``sql`` over it.

    ``columns`` are names, or what ``column`` makes. ``incremental_column`` makes every run after the first
    move the newer rows only, beginning at ``incremental_from`` (a datetime, ISO text or epoch milliseconds).
    """
    if sql is not None:
        _text("sql", sql)
    if str(order_type).upper() not in ("ASC", "DESC") and not is_reference(order_type):
        raise FdiArgumentError("order_type", order_type, "must be ASC or DESC")
    if incremental_from is not None:
        if incremental_column is None:
            rule = "needs incremental_column\nGive the column whose values tell which rows are newer."
            raise FdiArgumentError("incremental_from", incremental_from, rule)
        if not is_reference(incremental_from):
            incremental_from = time_ms("incremental_from", incremental_from)
    return {
        "sourceTable": _text("table", table),
        "sourceSelectedColumnList": _columns("columns", columns),
        "isAddSql": sql is not None,
        "querySql": sql or "",
        "where": _items("where", where, "conditions"),
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
    columns: Iterable[Mapping[str, Any] | str],
    *,
    truncate: bool = False,
    create_table: bool = False,
    batch_number: str | int = "",
    partial_update: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A relational target. ``truncate`` empties the table before each run."""
    return {
        "targetNeedCreateTable": _flag("create_table", create_table),
        "isSupportClearTab": _flag("truncate", truncate),
        "targetTable": _text("table", table),
        "batchNumber": str(
            batch_number
            if batch_number == "" or is_reference(batch_number)
            else whole("batch_number", batch_number, minimum=1)
        ),
        "targetSelectedColumnList": _columns("columns", columns),
        "supportPartUpdate": _flag("partial_update", partial_update),
        **more,
    }


def api_source(
    fields: Iterable[Mapping[str, Any] | str],
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

    ``fields`` are names, or what ``metadata_field`` makes. With ``page_param`` the pages are read one after
    the other (``max_pages`` "0": all); the parameter must be in ``params`` or in ``body``.
    """
    rows = [
        metadata_field(index, row) if isinstance(row, str) else _field(f"fields[{index}]", row)
        for index, row in enumerate(_items("fields", fields, "fields"))
    ]
    known = (params or {}).keys() | ({body} if is_reference(body) else set())
    for field, name in (("page_param", page_param), ("page_size_param", page_size_param)):
        if name is not None and not is_reference([name, body]) and name not in known and name not in body:
            rule = "must be in params or body\nFDI changes its value there from page to page."
            raise FdiArgumentError(field, name, rule)
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
        "sourceMetaData": {"dataSource": rows, "mode": "keyValue"},
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
    mapping: Iterable[Mapping[str, Any] | str] | Mapping[str, str],
    *,
    on_error: Mapping[str, Any] | None = None,
    on_completion: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A table into a table: ``table_source``, ``table_target``, and a ``column_mapping`` for each column.

    ``mapping`` may also be a dict from the names of the source to those of the target, and a name alone
    stands for equal names.
    """
    from_side = _side("source", source, "table_source", "targetTable")
    to_side = _side("target", target, "table_target", "sourceTable")
    rows = _mapping_rows(mapping)
    _refuse_unknown(
        [(row["source_column"], row["target_column"]) for row in rows],
        _names(from_side.get("sourceSelectedColumnList"), "field_name"),
        _names(to_side.get("targetSelectedColumnList"), "field_name"),
    )
    return {
        "sourceSelectedDatasource": from_side,
        "targetSelectedDatasource": to_side,
        "mappingTable": rows,
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
    from_side = _side("source", source, "api_source", "targetTable")
    to_side = _side("target", target, "table_target", "sourceMetaData")
    if not isinstance(mapping, Mapping) or not mapping:
        rule = f"{_is_what(mapping)}\nGive a dict: field of the API -> column."
        raise FdiArgumentError("mapping", HIDDEN, rule)
    fields = from_side.get("sourceMetaData")
    _refuse_unknown(
        mapping.items(),
        _names(fields.get("dataSource"), "name") if isinstance(fields, Mapping) else [],
        _names(to_side.get("targetSelectedColumnList"), "field_name"),
    )
    pairs = [{"sourceKey": k, "targetKey": v} for k, v in mapping.items()]
    return {
        "sourceSelectedDatasource": from_side,
        "targetSelectedDatasource": to_side,
        "mappingTable": [],
        "mappingInput": {"dataSource": pairs},
        "mappingRequired": True,
        **_extras(on_error, on_completion),
        **more,
    }


def _extras(on_error: Mapping[str, Any] | None, on_completion: Mapping[str, Any] | None) -> dict[str, Any]:
    for field, value, builder in (
        ("on_error", on_error, "error_handler"),
        ("on_completion", on_completion, "completion_message"),
    ):
        if value is not None and (not isinstance(value, Mapping) or not value):
            raise FdiArgumentError(field, HIDDEN, f"{_is_what(value)}\nGive what {builder}(…) makes.")
    return _given(
        error_handler=None if on_error is None else dict(on_error),
        afterImplementation=None if on_completion is None else dict(on_completion),
    )


def describe_detail(task_detail: str) -> str | None:
    """What a task moves, in a line: ``flights (19 columns) -> dwh_flights, truncate first``.

    None: the text says it in a way that is not known here.
    """
    try:
        data = json.loads(task_detail)
        source, target = data["sourceSelectedDatasource"], data["targetSelectedDatasource"]
        table = target["targetTable"]
        columns = source.get("sourceSelectedColumnList") or data.get("mappingTable") or []
        what = "column"
        if "sourceMetaData" in source and "sourceTable" not in source:
            origin, what = "API", "field"
            columns = source["sourceMetaData"]["dataSource"]
        elif source.get("isAddSql") is True:
            origin = f"query over {source['sourceTable']}"
        else:
            origin = source["sourceTable"]
        number = len(columns)
        kept = source.get("sourceDateColumn") if source.get("need_inc_migration") is True else None
        steps = (
            "create the table" if target.get("targetNeedCreateTable") is True else None,
            "truncate first" if target.get("isSupportClearTab") is True else None,
            f"only rows newer by {kept}" if kept else None,
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    size = f" ({number} {what}{'' if number == 1 else 's'})" if number else ""
    return clean_text(", ".join((f"{origin}{size} -> {table}", *filter(None, steps))))
