"""What we send equals what the official SDK sends, but for the differences in the table below."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_fdi.client import AkSkAuth, FdiClient, FdiError
from tests.client.conftest import INSTANCE, PROJECT
from tests.client.operations import IN_THE_SDK
from tests.server import Answer, Request, Server

sdk = pytest.importorskip("huaweicloudsdkroma.v2")
from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: E402
from huaweicloudsdkcore.exceptions.exceptions import SdkException  # noqa: E402

TASK, DISPATCH, SOURCE = (
    "15366328208d4d77b76532fe9f4006a6",
    "a0f7fa9897da423dadbe8391d7ea7a43",
    "30969b205e8f4392",
)
MAPPING, APP = "9cb3a5b0f3ef4a6f", "d5afd9af-a8fe-47f6-a98c-edbcba11a0da"
NAME = "日报 load/a+b&c=d"  # of a filter: whatever a user may have typed
COLUMN = {"field_name": "ID", "field_type": "VARCHAR2", "field_length": "64"}
PAIR = {"source_column": "ID", "target_column": "NODE_ID", "source_column_type": "VARCHAR2"}
CONTENT = {"mode": "default", "host": "10.0.0.1", "port": "3306", "user_name": "u", "password": "pässwörd"}


@dataclass
class Case:
    operation: str
    """Method of the SDK."""
    request: str
    """Request class of the SDK."""
    args: dict[str, Any]
    """Its arguments."""
    ours: Callable[[FdiClient], Any]
    body: Any = None
    differs: dict[str, Any] = field(default_factory=dict)
    """What our query or body has that the SDK's has not; every name is explained in ON_PURPOSE."""


ON_PURPOSE = {
    "cron_timezone": "documented, but the SDK's model does not know it and drops it",
    "task_name": "the documentation names the filter by name in both ways (T6), so both are sent",
    "datasource_id": "documented filter that the SDK does not know",
    "task_mode": "documented filter that the SDK does not know",
    "customized": "documented filter that the SDK does not know",
    "task_type": "composite tasks are REALTIME only, so it is said even if the caller does not",
}

common = {
    "task": {
        "task_name": "fdi_task",
        "task_type": "TIMING",
        "source_datasource_id": SOURCE,
        "target_datasource_id": SOURCE,
    },
    "task_detail": '{"a": "日"}',
}
full = {**common, "task": {**common["task"], "description": "mysql", "task_tag": "fdi_autotest"}}
ours_common = {**common["task"], "task_detail": common["task_detail"]}
ours_full = {**ours_common, "description": "mysql", "task_tag": "fdi_autotest"}
interval = {
    "start_datetime": 1605339505609,
    "period": "DAY",
    "dispatch_interval": 1,
    "use_quartz_cron": False,
}
quartz = {"use_quartz_cron": True, "cron": "0 30 12 * * ?"}
mapping = {
    "source_datasource_id": SOURCE,
    "target_datasource_id": SOURCE,
    "source_table": "S.A",
    "target_table": "S.B",
}
mapping_full = {
    **mapping,
    "source_columns": [COLUMN],
    "target_columns": [COLUMN],
    "mapping_columns": [PAIR],
    "ext_info": {"server_id": "7"},
}
datasource = {"datasource_name": "ds 1", "datasource_type": "MYSQL", "app_id": APP, "content": CONTENT}
datasource_full = {**datasource, "description": "数据源"}

CASES = [
    Case("create_common_task", "CreateCommonTask", {}, lambda c: c.create_task(**ours_common), common),
    Case("create_common_task", "CreateCommonTask", {}, lambda c: c.create_task(**ours_full), full),
    Case(
        "update_task", "UpdateTask", {"task_id": TASK}, lambda c: c.update_task(TASK, **ours_common), common
    ),
    Case("update_task", "UpdateTask", {"task_id": TASK}, lambda c: c.update_task(TASK, **ours_full), full),
    Case("show_task", "ShowTask", {"task_id": TASK}, lambda c: c.get_task(TASK)),
    Case("delete_task", "DeleteTask", {"task_id": TASK}, lambda c: c.delete_task(TASK)),
    Case("list_tasks", "ListTasks", {"limit": 999, "offset": 0}, lambda c: c.list_tasks()),
    Case(
        "list_tasks",
        "ListTasks",
        {
            "limit": 999,
            "offset": 0,
            "task_id": TASK,
            "name": NAME,
            "status": 1,
            "task_type": "timing",
            "source_datasource_id": SOURCE,
            "target_datasource_id": SOURCE,
            "sort_field": "CREATED_DATE",
            "sort_type": "ASC",
            "execute_status": "ERROR",
            "source_app_id": APP,
            "target_app_id": APP,
            "task_tag": "fdi_autotest",
        },
        lambda c: c.list_tasks(
            task_id=TASK,
            name=NAME,
            status="RUNNING",
            task_type="TIMING",
            source_datasource_id=SOURCE,
            target_datasource_id=SOURCE,
            sort_field="CREATED_DATE",
            sort_type="ASC",
            execute_status="ERROR",
            source_app_id=APP,
            target_app_id=APP,
            task_tag="fdi_autotest",
            datasource_id=SOURCE,
            task_mode="common",
        ),
        differs={"task_name": NAME, "datasource_id": SOURCE, "task_mode": "common"},
    ),
    Case("count_tasks", "CountTasks", {}, lambda c: c.count_tasks()),
    Case("run_task", "RunTask", {"task_id": TASK}, lambda c: c.run_task(TASK)),
    Case("stop_task", "StopTask", {"task_id": TASK}, lambda c: c.terminate_task(TASK)),
    Case(
        "batch_start_or_stop_tasks",
        "BatchStartOrStopTasks",
        {},
        lambda c: c.batch_operate_tasks("start", [TASK]),
        {"action_id": "start", "list": [{"task_id": TASK}]},
    ),
    Case(
        "batch_start_or_stop_tasks",
        "BatchStartOrStopTasks",
        {},
        lambda c: c.batch_operate_tasks("stop", [TASK, SOURCE]),
        {"action_id": "stop", "list": [{"task_id": TASK}, {"task_id": SOURCE}]},
    ),
    Case(
        "create_dispatches",
        "CreateDispatches",
        {"task_id": TASK},
        lambda c: c.create_schedule(
            TASK, start_time=1605339505609, period="DAY", dispatch_interval=1, remark="123"
        ),
        {**interval, "remark": "123"},
    ),
    Case(
        "create_dispatches",
        "CreateDispatches",
        {"task_id": TASK},
        lambda c: c.create_schedule(TASK, cron="0 30 12 * * ?", cron_timezone="GMT+08:00"),
        quartz,
        differs={"cron_timezone": "GMT+08:00"},
    ),
    Case("show_dispatches", "ShowDispatches", {"task_id": TASK}, lambda c: c.get_schedule(TASK)),
    Case(
        "update_dispatches",
        "UpdateDispatches",
        {"task_id": TASK, "dispatch_id": DISPATCH},
        lambda c: c.update_schedule(TASK, DISPATCH, cron="0 30 12 * * ?"),
        quartz,
    ),
    Case(
        "update_dispatches",
        "UpdateDispatches",
        {"task_id": TASK, "dispatch_id": DISPATCH},
        lambda c: c.update_schedule(
            TASK, DISPATCH, start_time="2020-11-14T07:38:25.609Z", period="DAY", dispatch_interval=1
        ),
        interval,
    ),
    Case("install_multi_tasks", "InstallMultiTasks", {}, lambda c: c.init_composite_task(), {}),
    Case(
        "install_multi_tasks",
        "InstallMultiTasks",
        {},
        lambda c: c.init_composite_task(
            source_datasource_id=SOURCE,
            target_datasource_id=SOURCE,
            task_id=TASK,
            auto_mapping=False,
            server_id="7",
        ),
        {
            "ext_info": {"server_id": "7"},
            "source_datasource_id": SOURCE,
            "target_datasource_id": SOURCE,
            "task_id": TASK,
            "auto_mapping": False,
        },
    ),
    Case(
        "create_multi_tasks",
        "CreateMultiTasks",
        {},
        lambda c: c.create_composite_task(task_name="cdctest1", operation_types=["INSERT"]),
        {"task_name": "cdctest1", "operation_types": ["INSERT"]},
        differs={"task_type": "REALTIME"},
    ),
    Case(
        "create_multi_tasks",
        "CreateMultiTasks",
        {},
        lambda c: c.create_composite_task(
            task_name="cdctest1",
            operation_types=["INSERT", "UPDATE", "DELETE"],
            task_id=TASK,
            description="create",
            task_tag="combination",
            source_app_id=APP,
            target_app_id=APP,
        ),
        {
            "task_name": "cdctest1",
            "task_id": TASK,
            "task_type": "REALTIME",
            "description": "create",
            "task_tag": "combination",
            "operation_types": ["INSERT", "UPDATE", "DELETE"],
            "source_app_id": APP,
            "target_app_id": APP,
        },
    ),
    Case(
        "update_multi_tasks",
        "UpdateMultiTasks",
        {"task_id": TASK},
        lambda c: c.update_composite_task(TASK, operation_types=["DELETE"], repulling_snapshot=False),
        {"operation_types": ["DELETE"], "repulling_snapshot": False},
    ),
    Case(
        "update_multi_tasks",
        "UpdateMultiTasks",
        {"task_id": TASK},
        lambda c: c.update_composite_task(
            TASK, operation_types=["DELETE"], repulling_snapshot=True, description="d", task_tag="combination"
        ),
        {
            "operation_types": ["DELETE"],
            "repulling_snapshot": True,
            "description": "d",
            "task_tag": "combination",
        },
    ),
    Case(
        "reset_multi_task_offset",
        "ResetMultiTaskOffset",
        {"task_id": TASK},
        lambda c: c.reset_composite_task(TASK),
        {},
    ),
    Case(
        "reset_multi_task_offset",
        "ResetMultiTaskOffset",
        {"task_id": TASK},
        lambda c: c.reset_composite_task(TASK, date_from=1630052714000),
        {"date_from": 1630052714000},
    ),
    Case(
        "create_multi_task_mappings",
        "CreateMultiTaskMappings",
        {"task_id": TASK},
        lambda c: c.create_mapping(TASK, **mapping),
        mapping,
    ),
    Case(
        "create_multi_task_mappings",
        "CreateMultiTaskMappings",
        {"task_id": TASK},
        lambda c: c.create_mapping(
            TASK,
            **mapping,
            source_columns=[COLUMN],
            target_columns=[COLUMN],
            mapping_columns=[PAIR],
            server_id="7",
        ),
        mapping_full,
    ),
    Case(
        "delete_multi_task_mapping",
        "DeleteMultiTaskMapping",
        {"task_id": TASK, "mapping_id": MAPPING},
        lambda c: c.delete_mapping(TASK, MAPPING),
    ),
    Case(
        "list_monitor_infos",
        "ListMonitorInfos",
        {"offset": 1, "limit": 999},
        lambda c: c.list_task_monitors(),
    ),
    Case(
        "list_monitor_infos",
        "ListMonitorInfos",
        {"offset": 1, "limit": 999, "task_name": NAME, "execute_status": "WAITING"},
        lambda c: c.list_task_monitors(task_name=NAME, execute_status="WAITING"),
    ),
    Case(
        "list_monitor_log",
        "ListMonitorLog",
        {"task_id": TASK, "offset": 1, "limit": 999},
        lambda c: c.list_runs(TASK),
    ),
    Case(
        "list_monitor_log",
        "ListMonitorLog",
        {"task_id": TASK, "offset": 1, "limit": 999, "begin_time": 1605339505609, "end_time": 1605339505610},
        lambda c: c.list_runs(TASK, begin_time=1605339505609, end_time=1605339505610),
    ),
    Case("list_datasources", "ListDatasources", {"offset": 0, "limit": 200}, lambda c: c.list_datasources()),
    Case(
        "list_datasources",
        "ListDatasources",
        {
            "offset": 0,
            "limit": 200,
            "datasource_type": "MYSQL",
            "sort_field": "CREATED_DATE",
            "sort_type": "DESC",
            "name": NAME,
            "app_id": APP,
            "custom_plugin_id": MAPPING,
        },
        lambda c: c.list_datasources(
            datasource_type="MYSQL",
            sort_field="CREATED_DATE",
            sort_type="DESC",
            name=NAME,
            app_id=APP,
            custom_plugin_id=MAPPING,
            customized=True,
        ),
        differs={"customized": "true"},
    ),
    Case(
        "create_datasource_info",
        "CreateDatasourceInfo",
        {},
        lambda c: c.create_datasource(**datasource),
        datasource,
    ),
    Case(
        "create_datasource_info",
        "CreateDatasourceInfo",
        {},
        lambda c: c.create_datasource(**datasource_full),
        datasource_full,
    ),
    Case(
        "show_dataource_detail",
        "ShowDataourceDetail",
        {"datasource_id": SOURCE},
        lambda c: c.get_datasource(SOURCE),
    ),
    Case(
        "update_datasource_info",
        "UpdateDatasourceInfo",
        {"datasource_id": SOURCE},
        lambda c: c.update_datasource(SOURCE, **datasource),
        datasource,
    ),
    Case(
        "update_datasource_info",
        "UpdateDatasourceInfo",
        {"datasource_id": SOURCE},
        lambda c: c.update_datasource(SOURCE, **datasource_full),
        datasource_full,
    ),
    Case(
        "delete_datasource_info_by_id",
        "DeleteDatasourceInfoById",
        {"datasource_id": SOURCE},
        lambda c: c.delete_datasource(SOURCE),
    ),
    Case(
        "start_test_datasource",
        "StartTestDatasource",
        {"datasource_id": SOURCE},
        lambda c: c.test_datasource(SOURCE, **datasource),
        datasource,
    ),
    Case(
        "start_test_datasource",
        "StartTestDatasource",
        {"datasource_id": SOURCE},
        lambda c: c.test_datasource(SOURCE, **datasource_full),
        datasource_full,
    ),
    Case(
        "list_datasource_tables",
        "ListDatasourceTables",
        {"datasource_id": SOURCE, "position": "SOURCE"},
        lambda c: c.list_tables(SOURCE, position="SOURCE"),
    ),
    Case(
        "list_datasource_tables",
        "ListDatasourceTables",
        {"datasource_id": SOURCE, "position": "TARGET", "db_name": "库", "db_schema": "S", "filter": "T A"},
        lambda c: c.list_tables(SOURCE, position="TARGET", db_name="库", db_schema="S", filter="T A"),
    ),
    Case(
        "list_datasource_columns",
        "ListDatasourceColumns",
        {"datasource_id": SOURCE, "position": "SOURCE"},
        lambda c: c.list_columns(SOURCE, position="SOURCE"),
    ),
    Case(
        "list_datasource_columns",
        "ListDatasourceColumns",
        {"datasource_id": SOURCE, "position": "TARGET", "db_name": "D", "table_name": "S.T"},
        lambda c: c.list_columns(SOURCE, position="TARGET", db_name="D", table_name="S.T"),
    ),
]


@pytest.fixture
def roma(service: Server) -> Any:
    credentials = BasicCredentials("AKEXAMPLE0000000001", "SKexample", PROJECT)
    return sdk.RomaClient.new_builder().with_credentials(credentials).with_endpoint(service.url).build()


def answer(request: Request) -> Answer:
    """Something that either client takes for a success of any operation."""
    if request.method == "DELETE" and "mappings" not in request.path:
        return Answer(204)
    if request.path.endswith("/init"):
        return Answer(200, [{"task_id": TASK}])
    if request.path.endswith("/batch-operation/tasks"):
        return Answer(200, {"success_count": len(request.json["list"]), "failure_count": 0})
    if request.method == "GET" and request.path.endswith(
        ("/tasks", "/datasources", "/task-monitors", "/monitor-logs")
    ):
        return Answer(200, {"total": 0, "size": 0, "entities": []})
    body = {"task_id": TASK, "datasource_id": SOURCE, "dispatch_id": DISPATCH, "result": True}
    return Answer(200, {**body, "tables": [], "columns": []})


def without(sent: Any, differs: dict[str, Any]) -> Any:
    assert {k: sent[k] for k in differs} == differs
    return {k: v for k, v in sent.items() if k not in differs}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.operation}-{'full' if c.differs else 'plain'}")
def test_our_request_equals_that_of_the_official_sdk(
    case: Case, service: Server, roma: Any, make_client: Callable[..., FdiClient]
) -> None:
    service.always(answer)
    request = getattr(sdk, f"{case.request}Request")(instance_id=INSTANCE, **case.args)
    if case.body is not None:
        request.body = case.body
    getattr(roma, case.operation)(request)
    case.ours(make_client(AkSkAuth("AKEXAMPLE0000000001", "SKexample", project_id=PROJECT)))
    theirs, ours = service.requests

    assert ours.method == theirs.method
    assert ours.raw_path == theirs.raw_path
    on_body = case.body is not None
    ours_query = ours.query if on_body else without(ours.query, case.differs)
    assert ours_query == theirs.query
    if not case.differs:
        assert ours.target == theirs.target
    ours_body = without(ours.json, case.differs) if on_body else ours.json
    assert ours_body == theirs.json
    assert ours.headers["X-Project-Id"] == theirs.headers["X-Project-Id"]
    assert ours.headers["Content-Type"].lower() == theirs.headers["Content-Type"].lower()
    assert (
        ours.headers["Content-Length"] == (str(len(ours.body)) if ours.method != "GET" else None)
        or not ours.body
    )


def test_every_fdi_operation_of_the_sdk_is_compared() -> None:
    assert {case.operation for case in CASES} == IN_THE_SDK
    assert len(IN_THE_SDK) == 28


def test_every_difference_has_its_reason() -> None:
    assert {name for case in CASES for name in case.differs} == set(ON_PURPOSE)


def test_the_sdk_itself_fails_on_the_integer_date_that_we_read(
    service: Server, roma: Any, client: FdiClient
) -> None:
    row = {"task_id": TASK, "task_name": "x", "status": 0, "created_date": 1605288733684}
    service.always(Answer(200, {"total": 1, "size": 1, "entities": [row]}))
    with pytest.raises((AttributeError, SdkException)):
        roma.list_tasks(sdk.ListTasksRequest(instance_id=INSTANCE))
    assert client.list_tasks()[0].created_time == 1605288733684


def test_a_refusal_is_read_like_the_sdk_reads_it(service: Server, roma: Any, client: FdiClient) -> None:
    service.always(Answer(404, {"code": 404, "reason": {"error_code": "FDI.3180", "error_msg": "Not here."}}))
    with pytest.raises(SdkException) as theirs:
        roma.show_dispatches(sdk.ShowDispatchesRequest(instance_id=INSTANCE, task_id=TASK))
    with pytest.raises(FdiError) as ours:
        client.get_schedule(TASK)
    assert (ours.value.error_code, ours.value.error_msg) == ("FDI.3180", "Not here.")
    assert theirs.value.error_code == ours.value.error_code
    assert json.dumps(theirs.value.error_msg)
