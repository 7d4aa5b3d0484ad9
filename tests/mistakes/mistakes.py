"""Mistakes that people make: what they do, and words that prove that the message says how to mend it.

A mistake found while the DAG is parsed raises in its function; one found at run time returns what to execute:
an operator, whose templates are rendered first, or a function.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.task_detail import (
    api_source,
    api_to_table,
    column,
    column_mapping,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import (
    FdiApplyOperator,
    FdiBatchOperator,
    FdiCreateCompositeTaskOperator,
    FdiCreateScheduleOperator,
    FdiCreateTaskOperator,
    FdiDeleteTaskOperator,
    FdiResetCompositeTaskOperator,
    FdiRunTaskOperator,
    FdiTerminateRunOperator,
    FdiTestDatasourceOperator,
    FdiUpdateTaskOperator,
)
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

TASK = "0123456789abcdef0123456789abcdef"
NAME = "flights"
SOURCE, TARGET = ["id", "origin"], ["id", "origin_airport"]


@dataclass
class Scene:
    """A service with the task ``flights``, to which the connection ``fdi_default`` leads."""

    fdi: FdiEmulator
    patch: pytest.MonkeyPatch

    def connect(self, auth_type: str = "token", *, without: tuple[str, ...] = (), **changes: Any) -> None:
        """Change the connection; what is none of its own fields goes into its extra."""
        row = self.fdi.connection(auth_type)
        for field, value in changes.items():
            place = row if field in ("host", "port", "login", "password", "schema") else row["extra"]
            place[field] = value
        for field in without:
            row.pop(field, None)
            row["extra"].pop(field, None)
        self.patch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(row))

    def busy(self) -> None:
        """A run of the task is in progress that nobody here started."""
        self.fdi.script(TASK, hold=True)
        self.fdi.request("POST", f"tasks/{TASK}/run")

    def datasources(self) -> dict[str, str]:
        return {
            "source_datasource_id": self.fdi.add_datasource("shop", None),
            "target_datasource_id": self.fdi.add_datasource("warehouse", None),
        }


@dataclass(frozen=True)
class Mistake:
    did: str
    mend: str
    do: Callable[[Scene], Any]


def run(**arguments: Any) -> FdiRunTaskOperator:
    given = {} if "fdi_task_name" in arguments else {"fdi_task_id": TASK}
    return FdiRunTaskOperator(
        **{"task_id": "run", "poll_interval": 0.05, "poll_failure_timeout": 0, **given, **arguments}
    )


def batch(**arguments: Any) -> FdiBatchOperator:
    given = {} if "fdi_task_names" in arguments else {"fdi_task_ids": [TASK]}
    return FdiBatchOperator(**{"task_id": "start", "action": "start", **given, **arguments})


def delete(**arguments: Any) -> FdiDeleteTaskOperator:
    return FdiDeleteTaskOperator(**{"task_id": "delete", "fdi_task_id": TASK, **arguments})


def create(**arguments: Any) -> FdiCreateTaskOperator:
    sides = {"source_datasource_id": "s", "target_datasource_id": "t"}
    return FdiCreateTaskOperator(
        **{"task_id": "create", "fdi_task_name": "orders", "task_detail": {}, **sides, **arguments}
    )


def composite(**arguments: Any) -> FdiCreateCompositeTaskOperator:
    sides = {"source_datasource_id": "s", "target_datasource_id": "t"}
    return FdiCreateCompositeTaskOperator(
        **{"task_id": "create", "fdi_task_name": "orders_cdc", **sides, **arguments}
    )


def update(**arguments: Any) -> FdiUpdateTaskOperator:
    return FdiUpdateTaskOperator(**{"task_id": "update", "fdi_task_id": TASK, "task_detail": {}, **arguments})


def schedule(**arguments: Any) -> FdiCreateScheduleOperator:
    return FdiCreateScheduleOperator(**{"task_id": "schedule", "fdi_task_id": TASK, **arguments})


def apply(**arguments: Any) -> FdiApplyOperator:
    return FdiApplyOperator(**{"task_id": "apply", "path": "fdi", **arguments})


def declared(*fields: str) -> Callable[[Scene], Any]:
    """Apply a file that declares one task."""

    def do(scene: Scene) -> Any:
        path = Path(os.environ["AIRFLOW_HOME"]) / "declared.yaml"
        path.write_text("tasks:\n  - " + "\n    ".join(fields) + "\n", encoding="utf-8")
        return apply(path=str(path))

    return do


def sensor(**arguments: Any) -> FdiTaskSensor:
    return FdiTaskSensor(
        **{
            "task_id": "wait",
            "fdi_task_id": TASK,
            "completed_after": None,
            "poll_failure_timeout": 0,
            **arguments,
        }
    )


def watch(**arguments: Any) -> Any:
    # Deferred: Airflow 2 has no asset watchers.
    from airflow_provider_fdi.triggers.fdi import FdiRunEventTrigger

    return FdiRunEventTrigger(**arguments)


def connected(operator: Callable[[], Any], *arguments: Any, **changes: Any) -> Callable[[Scene], Any]:
    """Change the connection, then execute."""

    def do(scene: Scene) -> Any:
        scene.connect(*arguments, **changes)
        return operator()

    return do


def auth_type_is_no_such(scene: Scene) -> Any:
    row = scene.fdi.connection()
    row["extra"]["auth_type"] = "AK/SK"
    scene.patch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(row))
    return run()


def over_tls(scene: Scene) -> Any:
    scene.connect(host=scene.fdi.url.replace("http://", "https://"))
    return run()


def failing(script: dict[str, Any], operator: Callable[[], Any]) -> Callable[[Scene], Any]:
    """Have the runs of the task follow a script, then execute."""

    def do(scene: Scene) -> Any:
        scene.fdi.script(TASK, **script)
        return operator()

    return do


def while_busy(operator: Callable[[], Any]) -> Callable[[Scene], Any]:
    def do(scene: Scene) -> Any:
        scene.busy()
        return operator()

    return do


def while_started(operator: Callable[..., Any]) -> Callable[[Scene], Any]:
    """Execute what needs a stopped task, for a started one."""

    def do(scene: Scene) -> Any:
        return operator(fdi_task_id=scene.fdi.add_task("nightly", schedule=True, started=True))

    return do


def tables(*mapping: Any, **changes: Any) -> dict[str, Any]:
    source = changes.get("source", table_source("flights", SOURCE))
    target = changes.get("target", table_target("dwh_flights", TARGET))
    return table_to_table(source, target, mapping)


ONLY_LITERALS: list[Mistake] = [
    Mistake('`if_running="restart"`', "'wait'", lambda s: run(if_running="restart")),
    Mistake('`if_running="Join"`', "'join'", lambda s: run(if_running="Join")),
    Mistake('`action="begin"`', "'start'", lambda s: batch(action="begin")),
    Mistake('`if_exists="overwrite"`', "'update'", lambda s: create(if_exists="overwrite")),
    Mistake('`on_partial_failure="ignore"`', "'warn'", lambda s: batch(on_partial_failure="ignore")),
    Mistake('`fdi_task_type="streaming"`', "'REALTIME'", lambda s: create(fdi_task_type="streaming")),
    Mistake("neither id nor name", "fdi_task_name", lambda s: run(fdi_task_id=None)),
    Mistake("both id and name", "not both", lambda s: run(fdi_task_id=TASK, fdi_task_name=NAME)),
    Mistake('`fdi_task_name=""`', "template", lambda s: run(fdi_task_name="")),
    Mistake("a task in the place of its result", ".output", lambda s: run(fdi_task_id=create())),
    Mistake("a `Path` in the place of an id", "as text", lambda s: run(fdi_task_id=Path("flights"))),
    Mistake("a URL in the place of an id", "/", lambda s: run(fdi_task_id="https://fdi/tasks/1")),
    Mistake('`min_rows="one"`', "a number", lambda s: run(min_rows="one")),
    Mistake("`max_dirty_rows=-1`", "at least 0", lambda s: run(max_dirty_rows=-1)),
    Mistake("`poll_interval=0`", "at least 0.01", lambda s: run(poll_interval=0)),
    Mistake(
        '`deferrable="{{ params.deferrable }}"`',
        "template",
        lambda s: run(deferrable="{{ params.deferrable }}"),
    ),
    Mistake('`wait_for_completion="False"`', "template", lambda s: run(wait_for_completion="False")),
    Mistake(
        "`min_rows` without waiting for the end",
        "wait_for_completion=True",
        lambda s: run(wait_for_completion=False, min_rows=1),
    ),
    Mistake("`fdi_task_ids=[]`", "not be empty", lambda s: batch(fdi_task_ids=[])),
    Mistake("`max_parallel_requests=0`", "at least 1", lambda s: batch(max_parallel_requests=0)),
    Mistake("a name with a space", "Allowed", lambda s: create(fdi_task_name="my flights")),
    Mistake("a name of two letters", "3 to 100", lambda s: create(fdi_task_name="ab")),
    Mistake('`task_tag="abc"`', "4 to 64", lambda s: create(task_tag="abc")),
    Mistake('`cron="every day"`', "@daily", lambda s: schedule(cron="every day")),
    Mistake('`cron="0 2 1 * 1"`', "two tasks", lambda s: schedule(cron="0 2 1 * 1")),
    Mistake('`cron="0 2 * * 8"`', "weekday", lambda s: schedule(cron="0 2 * * 8")),
    Mistake('`cron="@once"`', "run the task", lambda s: schedule(cron="@once")),
    Mistake('`cron="*/10 * * * * ?"`', "minute", lambda s: schedule(cron="*/10 * * * * ?")),
    Mistake("cron beside period", "not both", lambda s: schedule(cron="@daily", period="DAY")),
    Mistake("neither cron nor period", "cron", lambda s: schedule()),
    Mistake("period without interval", "1 to 59", lambda s: schedule(period="DAY")),
    Mistake('`period="MONTHLY"`', "'MON'", lambda s: schedule(period="MONTHLY", dispatch_interval=1)),
    Mistake(
        "a time zone beside a period",
        "with cron",
        lambda s: schedule(period="DAY", dispatch_interval=1, cron_timezone="GMT+08:00"),
    ),
    Mistake('`start_time="tomorrow"`', "ISO 8601", lambda s: schedule(cron="@daily", start_time="tomorrow")),
    Mistake(
        "`start_time` in seconds", "milliseconds", lambda s: schedule(cron="@daily", start_time=1795324815)
    ),
    Mistake(
        "a sensor without `completed_after`",
        "data_interval_end",
        lambda s: FdiTaskSensor(task_id="wait", fdi_task_id=TASK),
    ),
    Mistake('`completed_after="yesterday"`', "ISO 8601", lambda s: sensor(completed_after="yesterday")),
    Mistake('`target_statuses="OK"`', "'SUCCESS'", lambda s: sensor(target_statuses="OK")),
    Mistake('`failure_statuses=["FAILED"]`', "'ERROR'", lambda s: sensor(failure_statuses=["FAILED"])),
    Mistake(
        '`date_from="last week"`',
        "ISO 8601",
        lambda s: FdiResetCompositeTaskOperator(task_id="r", fdi_task_id=TASK, date_from="last week"),
    ),
    Mistake('`operation_types=["UPSERT"]`', "'UPDATE'", lambda s: composite(operation_types=["UPSERT"])),
    Mistake(
        "`source` in a table mapping",
        "'source_table'",
        lambda s: composite(table_mappings=[{"source": "a.b", "target_table": "a.b"}]),
    ),
    Mistake(
        "`datasource_id=None`",
        "a string",
        lambda s: FdiTestDatasourceOperator(task_id="t", datasource_id=None),  # type: ignore[arg-type]
    ),
    Mistake("`task_detail=[1]`", "table_to_table", lambda s: create(task_detail=[1])),
    Mistake("a comma too many in `task_detail`", "column", lambda s: create(task_detail='{"a": 1,}')),
    Mistake('`task_detail="detail.yaml"`', ".json", lambda s: create(task_detail="detail.yaml")),
    Mistake("`restart=1`", "True or False", lambda s: update(restart=1)),
    Mistake("a blank project", "empty", lambda s: run(project_id=" ")),
    Mistake("a `Path` of declarations", "as text", lambda s: apply(path=Path("fdi"))),
    Mistake('`on_drift="ignore"`', "warn", lambda s: apply(on_drift="ignore")),
    Mistake("a number among the variables", "PORT", lambda s: apply(variables={"PORT": 5})),
]
BUILDERS: list[Mistake] = [
    Mistake(
        "a mapping of a misspelt column",
        "'origin'",
        lambda s: tables(column_mapping("orgin", "origin_airport")),
    ),
    Mistake(
        "a mapping to a column that is not there",
        "origin_airport",
        lambda s: tables(column_mapping("origin", "destination")),
    ),
    Mistake(
        "the sides of a mapping swapped",
        "first",
        lambda s: tables(column_mapping("origin_airport", "origin")),
    ),
    Mistake(
        "source and target swapped",
        "first",
        lambda s: table_to_table(table_target("dwh_flights", TARGET), table_source("flights", SOURCE), []),
    ),
    Mistake("`{}` as source", "table_source", lambda s: tables(source={})),
    Mistake("`{}` as mapping", "column_mapping", lambda s: tables({})),
    Mistake("columns as one text", "a list", lambda s: table_source("flights", "id,origin")),
    Mistake("a number as column", "column(", lambda s: table_source("flights", [1])),  # type: ignore[list-item]
    Mistake("a column twice", "twice", lambda s: table_source("flights", ["id", "id"])),
    Mistake("no type of a column", "a string", lambda s: column("id", None)),  # type: ignore[arg-type]
    Mistake('`truncate="yes"`', "True or False", lambda s: table_target("t", TARGET, truncate="yes")),  # type: ignore[arg-type]
    Mistake(
        "increments without their column",
        "incremental_column",
        lambda s: table_source("flights", SOURCE, incremental_from="2026-01-01"),
    ),
    Mistake(
        "paging by a parameter that is not sent",
        "params",
        lambda s: api_source(["id"], params={"size": "100"}, page_param="page"),
    ),
    Mistake(
        "an unknown field of an API",
        "'origin'",
        lambda s: api_to_table(api_source(["id", "origin"]), table_target("t", TARGET), {"orgin": "id"}),
    ),
]
WATCHERS: list[Mistake] = [
    Mistake("a watcher of no task", "fdi_task_name", lambda s: watch()),
    Mistake(
        'a watcher with `statuses=["FAILED"]`',
        "'ERROR'",
        lambda s: watch(fdi_task_id=TASK, statuses=["FAILED"]),
    ),
    Mistake("a watcher with a template", "reference", lambda s: watch(fdi_task_name="{{ params.task }}")),
]
TEMPLATES: list[Mistake] = [
    Mistake(
        "an id from an empty XCom",
        "returned nothing",
        lambda s: run(fdi_task_id="{{ ti.xcom_pull('create') }}"),
    ),
    Mistake("a misspelt parameter in a template", "tabel", lambda s: run(fdi_task_name="{{ params.tabel }}")),
    Mistake("a name from an empty parameter", "empty", lambda s: run(fdi_task_name="{{ params.empty }}")),
    Mistake(
        "a gate from an empty XCom", "returned nothing", lambda s: run(min_rows="{{ ti.xcom_pull('count') }}")
    ),
    Mistake(
        "a moment from an empty XCom", "returned nothing", lambda s: sensor(completed_after="{{ none }}")
    ),
    Mistake("a choice from a wrong parameter", "'wait'", lambda s: run(if_running="{{ params.policy }}")),
    Mistake("ids from a task that found none", "not be empty", lambda s: batch(fdi_task_ids="{{ [] }}")),
    Mistake(
        "`task_detail` in a file that is not there",
        "template_searchpath",
        lambda s: create(task_detail="detials.json"),
    ),
    Mistake(
        "JSON that a template breaks", "column", lambda s: create(task_detail='{"table": {{ params.table }}}')
    ),
]
CONNECTIONS: list[Mistake] = [
    Mistake("no such connection", "fdi_prod", lambda s: run(fdi_conn_id="fdi_prod")),
    Mistake("neither host nor region", "region", connected(run, without=("host",))),
    Mistake("a region with a space", "cn-north-4", connected(run, without=("host",), region="cn north 4")),
    Mistake("https to a server of http", "http", over_tls),
    Mistake("http to another machine", "allow_http", connected(run, host="http://roma.example.com")),
    Mistake("no port, nobody listens", "endpoint", connected(run, host="http://127.0.0.1:9")),
    Mistake("a wrong secret key", "secret key", connected(run, "aksk", password="not-the-secret-key")),
    Mistake("no secret key", "secret key", connected(run, "aksk", password="")),
    Mistake("an expired token", "token", connected(run, password="not-the-token")),
    Mistake("a wrong IAM password", "password", connected(run, "password", password="not-the-password")),
    Mistake("no account name", "domain", connected(run, "password", without=("domain_name",))),
    Mistake("a wrong project", "project", connected(run, project_id="0" * 32)),
    Mistake("a wrong instance", "instance", connected(run, instance_id="no-such-instance")),
    Mistake("no instance", "instance_id", connected(run, without=("instance_id",))),
    Mistake(
        "`projectid` in the extra", "'project_id'", connected(run, without=("project_id",), projectid="x")
    ),
    Mistake('`auth_type="AK/SK"`', "aksk", auth_type_is_no_such),
    Mistake("`verify` names no file", "CA", connected(run, verify="/no/such/ca.pem")),
    Mistake("`timeout=0`", "more than 0", connected(run, timeout=0)),
]
MISSING: list[Mistake] = [
    Mistake("a name in another case", "flights", lambda s: run(fdi_task_name="Flights")),
    Mistake("a name with a letter missing", "flights", lambda s: run(fdi_task_name="flight")),
    Mistake("an id of nothing", "task", lambda s: run(fdi_task_id="f" * 32)),
    Mistake(
        "a batch with two names of nothing",
        "flights",
        lambda s: batch(fdi_task_names=["flights", "fligths", "orders"]),
    ),
    Mistake("a batch with an id of nothing", "f" * 32, lambda s: batch(fdi_task_ids=["f" * 32])),
    Mistake("a sensor of nothing", "task", lambda s: sensor(fdi_task_id="f" * 32)),
    Mistake(
        "deleting what is not there",
        "task",
        lambda s: delete(fdi_task_id="f" * 32),
    ),
    Mistake(
        "ending a run of nothing",
        "task",
        lambda s: FdiTerminateRunOperator(task_id="e", fdi_task_id="f" * 32),
    ),
    Mistake(
        "a data source of nothing",
        "datasource",
        lambda s: FdiTestDatasourceOperator(task_id="t", datasource_id="f" * 32),
    ),
]
STATES: list[Mistake] = [
    Mistake("running what is running", "if_running", while_busy(lambda: run(if_running="fail"))),
    Mistake("updating what is started", "stop_first", while_started(update)),
    Mistake("deleting what is started", "stop_first", while_started(delete)),
    Mistake("creating what exists", "if_exists", lambda s: create(fdi_task_name=NAME, **s.datasources())),
    Mistake(
        "a composite task with the name of a common one",
        "another name",
        lambda s: composite(fdi_task_name=NAME, **s.datasources()),
    ),
    Mistake(
        "a second schedule",
        "if_exists",
        lambda s: schedule(
            fdi_task_id=s.fdi.add_task("nightly", schedule=True), cron="@hourly", if_exists="fail"
        ),
    ),
    Mistake("starting a task without schedule", "schedule", lambda s: batch()),
    Mistake(
        "a run that fails", "lock timeout", failing({"outcome": "ERROR", "remarks": "lock timeout"}, run)
    ),
    Mistake("a run that somebody cancels", "CANCELLED", failing({"outcome": "CANCELLED"}, run)),
    Mistake("a run that moves too little", "min_rows", failing({"rows": 3}, lambda: run(min_rows=100))),
    Mistake(
        "a run with dirty rows",
        "max_dirty_rows",
        failing({"rows": 9, "dirty_rows": 7}, lambda: run(max_dirty_rows=5)),
    ),
    Mistake(
        "an event of a trigger that is not known",
        "event",
        lambda s: lambda context: run().execute_complete(context, event={"status": "done"}),
    ),
]
DECLARATIONS: list[Mistake] = [
    Mistake("a folder of declarations that is not there", "does not exist", lambda s: apply(path="fdi")),
    Mistake("a misspelt field in a declaration", "Did you mean 'name'", declared("nam: orders")),
    Mistake(
        "the name of a data source that is not there",
        "no data source",
        declared("name: orders", "source: shop", "target: warehouse", "detail: {a: b}"),
    ),
]
EMULATOR: list[Mistake] = [
    Mistake("a misspelt key in a script", "rows", lambda s: lambda c: s.fdi.script(TASK, row=120)),
    Mistake("a script for no task", "nope", lambda s: lambda c: s.fdi.script("nope", rows=1)),
    Mistake("a fault that is none", "status", lambda s: lambda c: s.fdi.fault("staus")),
    Mistake(
        "a switch that is none",
        "create_returns_null",
        lambda s: lambda c: s.fdi.switch(create_return_null=True),
    ),
]
MISTAKES = [
    *ONLY_LITERALS,
    *BUILDERS,
    *WATCHERS,
    *TEMPLATES,
    *CONNECTIONS,
    *MISSING,
    *STATES,
    *DECLARATIONS,
    *EMULATOR,
]
