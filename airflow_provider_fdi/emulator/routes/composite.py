"""Composite (CDC) tasks: initialise, create, update, reset, and the mappings of their tables."""

from __future__ import annotations

from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_fdi.emulator import rules, views
from airflow_provider_fdi.emulator.api import INSTANCE, Call, Operation
from airflow_provider_fdi.emulator.errors import invalid, service_error
from airflow_provider_fdi.emulator.routes.tasks import check_name_free
from airflow_provider_fdi.emulator.state import Datasource, Mapping, Task, new_id

MAX_AUTO_TABLES = 2000


def _find(call: Call) -> Task:
    """A composite task, created or only initialised. Raises 404 FDI.3081."""
    return _find_id(call, call.params["task_id"])


def _find_id(call: Call, task_id: str) -> Task:
    store = call.world.store
    task = store.tasks.get(task_id) or store.drafts.get(task_id)
    if task is None or not (task.composite or task.draft):
        raise service_error("FDI.3081")
    return task


def _server_id(body: dict[str, Any]) -> str | None:
    info = body.get("ext_info")
    if info is None:
        return None
    if not isinstance(info, dict):
        raise invalid("ext_info")
    return rules.text(info, "server_id", lengths=(1, 20)) or None


def _bind(call: Call, task: Task, source: str, target: str) -> None:
    sources = call.world.store.datasources
    if source:
        task.source_ds = source
        if source in sources:
            task.source_app_id = sources[source].app_id
    if target:
        task.target_ds = target
        if target in sources:
            task.target_app_id = sources[target].app_id


def _refuse_started(task: Task) -> None:
    if task.started or task.active is not None:
        raise service_error("FDI.3023")


# Mappings made by the service itself


def _datasource(call: Call, datasource_id: str, field: str) -> Datasource:
    row = call.world.store.datasources.get(datasource_id)
    if row is None:
        raise invalid(field)
    return row


def _plain(column: dict[str, Any]) -> dict[str, str]:
    return {key: str(column[key]) for key in ("field_name", "field_type", "field_length")}


def pair_columns(
    source: list[dict[str, Any]], target: list[dict[str, Any]]
) -> tuple[list[dict[str, str]], int]:
    """MappingInfo of columns with equal names, and the percentage of source columns that found one."""
    by_name = {column["field_name"].lower(): column for column in target}
    rows = []
    for column in source:
        other = by_name.get(column["field_name"].lower())
        if other is not None:
            rows.append(
                {
                    "source_column": str(column["field_name"]),
                    "source_column_type": str(column.get("field_type", "")),
                    "source_column_length": str(column.get("field_length", "")),
                    "target_column": str(other["field_name"]),
                    "target_column_type": str(other.get("field_type", "")),
                    "target_column_length": str(other.get("field_length", "")),
                }
            )
    return rows, round(100 * len(rows) / len(source)) if source else 0


def _selected(table: str, selection: str) -> bool:
    """`selection`: comma list of schema.table or schema.*; empty selects everything."""
    if not selection.strip():
        return True
    schema, _, name = table.rpartition(".")
    for part in selection.split(","):
        wanted_schema, _, wanted = part.strip().rpartition(".")
        if (not wanted_schema or wanted_schema == schema) and wanted in ("*", name):
            return True
    return False


def auto_map(
    call: Call,
    task: Task,
    source: Datasource,
    target: Datasource,
    *,
    prefix: str = "",
    suffix: str = "",
    source_tables: str = "",
    target_tables: str = "",
) -> int:
    """Map every source table to the target table of the same name (between prefix and suffix); how many."""
    databases = call.world.databases
    if source.url is None or target.url is None:
        return 0
    there = {
        table.rpartition(".")[2].lower(): table
        for table in databases.tables(target.url)
        if _selected(table, target_tables)
    }
    tables = [table for table in databases.tables(source.url) if _selected(table, source_tables)][
        :MAX_AUTO_TABLES
    ]
    known = {(row.source_table, row.target_table) for row in task.mappings.values()}
    count = 0
    for table in tables:
        other = there.get((prefix + table.rpartition(".")[2] + suffix).lower())
        if other is None or (table, other) in known:
            continue
        left, right = databases.columns(source.url, table), databases.columns(target.url, other)
        columns, percent = pair_columns(left, right)
        row = Mapping(
            source_table=table,
            target_table=other,
            source_columns=[_plain(column) for column in left],
            target_columns=[_plain(column) for column in right],
            columns=columns,
            status="AUTO",
            updated=call.world.clock.now_ms(),
            percent=percent,
            source_ds=source.id,
            target_ds=target.id,
        )
        task.mappings[row.id] = row
        count += 1
    return count


# Operations


def init_composite(call: Call) -> Any:
    body = call.json_object()
    world = call.world
    source = rules.text(body, "source_datasource_id")
    target = rules.text(body, "target_datasource_id")
    task_id = rules.text(body, "task_id", lengths=(3, 50))
    auto = rules.boolean(body, "auto_mapping") or False
    server_id = _server_id(body)
    with world.store.lock:
        task = world.store.drafts.get(task_id) or world.store.tasks.get(task_id)
        if task is not None and not (task.composite or task.draft):
            raise invalid("task_id")
        if task is None:
            now = world.clock.now_ms()
            task = Task(
                name="", type="REALTIME", created=now, modified=now, id=task_id or new_id(), draft=True
            )
        if server_id:
            task.server_id = server_id
        _bind(call, task, source, target)
        if auto:
            auto_map(
                call,
                task,
                _datasource(call, task.source_ds, "source_datasource_id"),
                _datasource(call, task.target_ds, "target_datasource_id"),
            )
        if task.draft:
            world.store.drafts[task.id] = task
        rows = list(task.mappings.values())
        element = views.composite(task, rows[:10], len(rows), world.store, world.instance_id)
    return {"init_result": [element]} if world.switches.init_as_dict else [element]


def create_composite(call: Call) -> Any:
    body = call.json_object()
    world = call.world
    name = rules.task_name(body)
    operation_types = rules.operation_types(body)
    task_id = rules.text(body, "task_id", lengths=(3, 50))
    kind = body.get("task_type")
    if kind is not None and kind != "REALTIME":
        # The documentation lists TIMING too and says in the same line that it is not supported.
        raise invalid("task_type")
    description = rules.text(body, "description", lengths=(1, 1024))
    tag = rules.task_tag(body)
    source_app = rules.text(body, "source_app_id")
    target_app = rules.text(body, "target_app_id")
    with world.store.lock:
        if task_id in world.store.tasks:
            raise invalid("task_id")
        check_name_free(call, name)
        now = world.clock.now_ms()
        task = world.store.drafts.pop(task_id, None) if task_id else None
        if task is None:
            task = Task(name=name, type="REALTIME", created=now, modified=now, id=task_id or new_id())
        task.name, task.draft, task.composite = name, False, True
        task.created = task.modified = now
        task.description, task.tag, task.operation_types = description, tag, operation_types
        if source_app:
            task.source_app_id = source_app
        if target_app:
            task.target_app_id = target_app
        world.store.add_task(task)
    return {"task_id": task.id}


def update_composite(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = _find(call)
        body = call.json_object()
        operation_types = rules.operation_types(body)
        repull = rules.boolean(body, "repulling_snapshot")
        if repull is None:
            raise invalid("repulling_snapshot")
        description = rules.text(body, "description", lengths=(1, 1024))
        tag = rules.task_tag(body)
        if task.draft:
            raise service_error("FDI.3081")
        _refuse_started(task)
        task.operation_types, task.description, task.tag = operation_types, description, tag
        if repull:
            for row in task.mappings.values():
                _from_beginning(row)
        task.modified = world.clock.now_ms()
        task.touch()
    return {"task_id": task.id}


def _from_beginning(row: Mapping) -> None:
    row.last_key, row.first_copy_done, row.replace = None, False, True
    row.marks.clear()


def reset_composite(call: Call) -> Any:
    world = call.world
    with world.store.lock:
        task = _find(call)
        body = call.json_object()
        date_from = rules.integer(body, "date_from")
        if task.draft:
            raise service_error("FDI.3081")
        _refuse_started(task)
        for row in task.mappings.values():
            earlier = [mark for mark in row.marks if date_from is not None and mark[0] <= date_from]
            if earlier:
                _, row.last_key, row.first_copy_done = earlier[-1]
                row.replace = True
                del row.marks[len(earlier) :]
            else:
                _from_beginning(row)
    return {"message": "Reset Success"}


def _columns(body: dict[str, Any], field: str) -> list[dict[str, Any]]:
    value = body.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise invalid(field)
    return value


def _read_mapping(call: Call, task: Task, row: Mapping | None) -> Mapping:
    body = call.json_object()
    source = rules.text(body, "source_datasource_id", required=True)
    target = rules.text(body, "target_datasource_id", required=True)
    server_id = _server_id(body)
    if (task.source_ds and source != task.source_ds) or (task.target_ds and target != task.target_ds):
        raise service_error("FDI.3037")
    source_table = rules.text(body, "source_table", required=True, lengths=(1, 256))
    target_table = rules.text(body, "target_table", required=True, lengths=(1, 256))
    left, right = _columns(body, "source_columns"), _columns(body, "target_columns")
    columns = _columns(body, "mapping_columns")
    for item in columns:
        if not item.get("source_column") or not item.get("target_column"):
            raise service_error("FDI.3037")
    for other in task.mappings.values():
        if other is not row and (other.source_table, other.target_table) == (source_table, target_table):
            raise service_error("FDI.3037")
    _bind(call, task, source, target)
    if server_id:
        task.server_id = server_id
    made = row or Mapping(source_table, target_table, left, right, columns, "MANUAL", 0)
    made.source_table, made.target_table = source_table, target_table
    made.source_columns, made.target_columns, made.columns = left, right, columns
    made.source_ds, made.target_ds = source, target
    made.percent = round(100 * len(columns) / len(left)) if left and columns else 100
    made.updated = call.world.clock.now_ms()
    if row is not None:
        made.status = "UPDATE"
    return made


def create_mapping(call: Call) -> Any:
    with call.world.store.lock:
        task = _find(call)
        _refuse_started(task)
        row = _read_mapping(call, task, None)
        task.mappings[row.id] = row
    return {"mapping_id": row.id}


def list_mappings(call: Call) -> Any:
    world = call.world
    query = call.query
    limit, offset = min(call.number("limit", 10), 1000), max(0, call.number("offset", 0))
    with world.store.lock:
        task = _find(call)
        rows = [
            row
            for row in task.mappings.values()
            if query.get("source_datasource_id") in (None, "", row.source_ds)
            and query.get("target_datasource_id") in (None, "", row.target_ds)
            and query.get("source_table", "") in row.source_table
            and query.get("target_table", "") in row.target_table
            and (
                query.get("table_name", "") in row.source_table
                or query.get("table_name", "") in row.target_table
            )
        ]
        answer = views.composite(
            task, rows[offset : offset + limit], len(rows), world.store, world.instance_id
        )
        answer["total"] = len(rows)
        return answer


def _mapping(call: Call, task: Task) -> Mapping:
    row = task.mappings.get(call.params["mapping_id"])
    if row is None:
        raise service_error("ROMA.00110006")
    return row


def update_mapping(call: Call) -> Any:
    with call.world.store.lock:
        task = _find(call)
        row = _mapping(call, task)
        _refuse_started(task)
        _read_mapping(call, task, row)
    return {"mapping_id": row.id}


def delete_mapping(call: Call) -> Any:
    with call.world.store.lock:
        task = _find(call)
        row = _mapping(call, task)
        _refuse_started(task)
        del task.mappings[row.id]
    return {"mapping_id": row.id}


def _form(call: Call) -> dict[str, str]:
    kind = call.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        message = message_from_bytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + call.body)
        fields = {}
        for part in message.get_payload() if message.is_multipart() else []:
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            payload = part.get_payload(decode=True)  # type: ignore[union-attr]
            if isinstance(name, str) and isinstance(payload, bytes):
                fields[name] = payload.decode("utf-8", "replace")
        return fields
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))


def auto_create_mappings(call: Call) -> Any:
    form = _form(call)
    world = call.world
    source_id = rules.text(form, "source_ds_id", required=True)
    target_id = rules.text(form, "target_ds_id", required=True)
    if form.get("task_type", "1") not in ("1", "2", ""):
        raise invalid("task_type")
    with world.store.lock:
        source, target = (
            _datasource(call, source_id, "source_ds_id"),
            _datasource(call, target_id, "target_ds_id"),
        )
        if form.get("task_id"):
            task = _find_id(call, form["task_id"])
            _refuse_started(task)
        else:
            now = world.clock.now_ms()
            task = Task(name="", type="REALTIME", created=now, modified=now, draft=True)
            world.store.drafts[task.id] = task
        _bind(call, task, source_id, target_id)
        task.source_group = form.get("source_group") or task.source_group
        task.target_group = form.get("target_group") or task.target_group
        auto_map(
            call,
            task,
            source,
            target,
            prefix=form.get("mapping_prefix", ""),
            suffix=form.get("mapping_suffix", ""),
            source_tables=form.get("source_select_mapping_tables", ""),
            target_tables=form.get("target_select_mapping_tables", ""),
        )
        rows = list(task.mappings.values())
        return views.composite(task, rows[:10], len(rows), world.store, world.instance_id)


_TAG = "Task management"
_TASK = f"{INSTANCE}/multi-tasks/{{task_id}}"
_MAPPING = f"{_TASK}/mappings/{{mapping_id}}"

OPERATIONS = [
    Operation(
        "InstallMultiTasks",
        "POST",
        f"{INSTANCE}/multi-tasks/init",
        init_composite,
        "Initialise a composite task",
        _TAG,
        blocking=True,
        body="MultiTaskInitBody",
        answer="MultiTaskInitList",
    ),
    Operation(
        "CreateMultiTasks",
        "POST",
        f"{INSTANCE}/multi-tasks",
        create_composite,
        "Create a composite task",
        _TAG,
        body="MultiTaskRequestBody",
        answer="TaskSimpleRsp",
    ),
    Operation(
        "UpdateMultiTasks",
        "PUT",
        _TASK,
        update_composite,
        "Update a stopped composite task",
        _TAG,
        body="MultiTaskUpdateBody",
        answer="TaskSimpleRsp",
    ),
    Operation(
        "ResetMultiTaskOffset",
        "POST",
        f"{_TASK}/reset",
        reset_composite,
        "Move a composite task's restart point",
        _TAG,
        body="MultiTaskResetBody",
        answer="MultiTaskResetRsp",
    ),
    Operation(
        "CreateMultiTaskMappings",
        "POST",
        f"{_TASK}/mappings",
        create_mapping,
        "Map a table",
        _TAG,
        body="MultiTaskMappingCreateBody",
        answer="MultiTaskMappingCreateRsp",
    ),
    Operation(
        "ListMultiTaskMappings",
        "GET",
        f"{_TASK}/mappings",
        list_mappings,
        "List the mapped tables",
        _TAG,
        query=(
            "limit",
            "offset",
            "source_datasource_id",
            "target_datasource_id",
            "source_table",
            "target_table",
            "table_name",
        ),
        answer="MultiTaskInitElement",
    ),
    Operation(
        "UpdateMultiTaskMappings",
        "PUT",
        _MAPPING,
        update_mapping,
        "Change a mapped table",
        _TAG,
        body="MultiTaskMappingCreateBody",
        answer="MultiTaskMappingCreateRsp",
    ),
    Operation(
        "DeleteMultiTaskMapping",
        "DELETE",
        _MAPPING,
        delete_mapping,
        "Remove a mapped table",
        _TAG,
        answer="MultiTaskMappingCreateRsp",
    ),
    Operation(
        "CreateMultiTaskMappingsAutomatically",
        "POST",
        "/v2/{project_id}/fdi/multi-tasks/mappings/auto",
        auto_create_mappings,
        "Map tables by their names",
        _TAG,
        blocking=True,
        body="AutoMappingForm",
        answer="MultiTaskInitElement",
        access="project",
    ),
]
