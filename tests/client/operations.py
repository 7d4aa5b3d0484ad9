"""Every operation of the client once, as a call with good arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_fdi.client import FdiClient

Call = Callable[[FdiClient], Any]

SIDES = {"source_datasource_id": "s", "target_datasource_id": "t"}
TASK: dict[str, Any] = {"task_name": "abc", "task_type": "TIMING", "task_detail": {"a": 1}, **SIDES}
TABLES = {**SIDES, "source_table": "a", "target_table": "b"}
COMPOSITE: dict[str, Any] = {"operation_types": ["INSERT"], "repulling_snapshot": False}
DATASOURCE: dict[str, Any] = {
    "datasource_name": "d",
    "datasource_type": "MYSQL",
    "app_id": "a",
    "content": {},
}

WITH_ID: dict[str, Callable[[FdiClient, Any], Any]] = {
    "get_task": lambda c, i: c.get_task(i),
    "update_task": lambda c, i: c.update_task(i, **TASK),
    "delete_task": lambda c, i: c.delete_task(i),
    "run_task": lambda c, i: c.run_task(i),
    "terminate_task": lambda c, i: c.terminate_task(i),
    "batch_operate_tasks": lambda c, i: c.batch_operate_tasks("start", [i, "u"]),
    "start_tasks": lambda c, i: c.start_tasks(["u", i]),
    "create_schedule": lambda c, i: c.create_schedule(i, cron="@daily"),
    "update_schedule": lambda c, i: c.update_schedule("t", i, cron="@daily"),
    "get_schedule": lambda c, i: c.get_schedule(i),
    "update_composite_task": lambda c, i: c.update_composite_task(i, **COMPOSITE),
    "reset_composite_task": lambda c, i: c.reset_composite_task(i),
    "create_mapping": lambda c, i: c.create_mapping(i, **TABLES),
    "list_mappings": lambda c, i: c.list_mappings(i),
    "update_mapping": lambda c, i: c.update_mapping("t", i, **TABLES),
    "delete_mapping": lambda c, i: c.delete_mapping("t", i),
    "list_runs": lambda c, i: [run.bytes for run in c.list_runs(i)],
    "get_run_steps": lambda c, i: c.get_run_steps("t", i),
    "get_datasource": lambda c, i: c.get_datasource(i),
    "update_datasource": lambda c, i: c.update_datasource(i, **DATASOURCE),
    "delete_datasource": lambda c, i: c.delete_datasource(i),
    "test_datasource": lambda c, i: c.test_datasource(i, **DATASOURCE),
    "list_tables": lambda c, i: c.list_tables(i, position="SOURCE"),
    "list_columns": lambda c, i: c.list_columns(i, position="SOURCE"),
    "test_sql": lambda c, i: c.test_sql(i, "select 1"),
}
"""Those about one thing, called with its id; of two ids it is the second."""

WITHOUT_ID: dict[str, Call] = {
    "create_task": lambda c: c.create_task(**TASK),
    "list_tasks": lambda c: c.list_tasks(name="x"),
    "count_tasks": lambda c: c.count_tasks(),
    "stop_tasks": lambda c: c.stop_tasks([f"t{i}" for i in range(11)], max_parallel_requests=1),
    "init_composite_task": lambda c: c.init_composite_task(),
    "create_composite_task": lambda c: c.create_composite_task(task_name="abc", operation_types=["INSERT"]),
    "auto_create_mappings": lambda c: c.auto_create_mappings(**SIDES),
    "list_task_monitors": lambda c: c.list_task_monitors(),
    "create_datasource": lambda c: c.create_datasource(**DATASOURCE),
    "list_datasources": lambda c: c.list_datasources(),
}


def with_id(call: Callable[[FdiClient, Any], Any], client: FdiClient) -> Any:
    return call(client, "t")


OPERATIONS: dict[str, Call] = {
    **{name: partial(with_id, call) for name, call in WITH_ID.items()},
    **WITHOUT_ID,
}

WRITES_ONCE = (
    "run_task",
    "create_task",
    "create_schedule",
    "init_composite_task",
    "create_composite_task",
    "create_mapping",
    "create_datasource",
    "auto_create_mappings",
)
"""Those that are not sent again when they may have been carried out."""

IDEMPOTENT = (
    "get_task",
    "list_runs",
    "update_task",
    "delete_task",
    "terminate_task",
    "batch_operate_tasks",
    "update_schedule",
    "test_datasource",
    "test_sql",
)
"""Of the others, one of each kind."""

SAME_OPERATION = {"start_tasks", "stop_tasks"}
"""Methods that send the operation of batch_operate_tasks, as often as it takes."""

IN_THE_SDK = {
    "create_common_task", "list_tasks", "count_tasks", "update_task", "show_task", "delete_task", "run_task",
    "stop_task", "create_dispatches", "show_dispatches", "update_dispatches", "batch_start_or_stop_tasks",
    "create_multi_tasks", "install_multi_tasks", "update_multi_tasks", "reset_multi_task_offset",
    "create_multi_task_mappings", "delete_multi_task_mapping", "list_monitor_infos", "list_monitor_log",
    "list_datasources", "create_datasource_info", "show_dataource_detail", "update_datasource_info",
    "delete_datasource_info_by_id", "start_test_datasource", "list_datasource_tables",
    "list_datasource_columns",
}  # fmt: skip
"""FDI's operations in the official SDK, under its names."""

NOT_IN_THE_SDK = {"auto_create_mappings", "get_run_steps", "list_mappings", "test_sql", "update_mapping"}
"""Methods of the operations that only the documentation has."""
