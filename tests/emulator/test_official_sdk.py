"""The vendor's own SDK drives the emulator through all its 28 FDI operations, signing every request."""

from __future__ import annotations

import pytest

pytest.importorskip("huaweicloudsdkroma")

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, ServerResponseException
from huaweicloudsdkroma.v2 import (
    BatchStartOrStopTasksRequest,
    Content,
    CountTasksRequest,
    CreateCommonTaskRequest,
    CreateCommonTaskRequestBody,
    CreateDatasourceInfoRequest,
    CreateDispatchesRequest,
    CreateMultiTaskMappingsRequest,
    CreateMultiTasksRequest,
    DatasourceInfo,
    DeleteDatasourceInfoByIdRequest,
    DeleteMultiTaskMappingRequest,
    DeleteTaskRequest,
    InstallMultiTasksRequest,
    ListDatasourceColumnsRequest,
    ListDatasourcesRequest,
    ListDatasourceTablesRequest,
    ListMonitorInfosRequest,
    ListMonitorLogRequest,
    ListTasksRequest,
    MappingInfo,
    MultiTaskInitBody,
    MultiTaskMappingCreateBody,
    MultiTaskRequestBody,
    MultiTaskResetBody,
    MultiTaskUpdateBody,
    OperateTasksBean,
    ResetMultiTaskOffsetRequest,
    RomaClient,
    RunTaskRequest,
    ShowDataourceDetailRequest,
    ShowDispatchesRequest,
    ShowTaskRequest,
    StartTestDatasourceRequest,
    StopTaskRequest,
    TaskBasicRequestBody,
    TaskBean,
    TaskDispatch,
    UpdateDatasourceInfoRequest,
    UpdateDispatchesRequest,
    UpdateMultiTasksRequest,
    UpdateTaskRequest,
)

pytestmark = pytest.mark.usefixtures("checked_answers")


@pytest.fixture
def client(fdi_emulator):
    credentials = BasicCredentials(fdi_emulator.access_key, fdi_emulator.secret_key, fdi_emulator.project_id)
    return RomaClient.new_builder().with_credentials(credentials).with_endpoint(fdi_emulator.url).build()


@pytest.fixture
def instance(fdi_emulator):
    return fdi_emulator.instance_id


def task_body(name, source="1" * 32, target="2" * 32, **fields):
    task = TaskBasicRequestBody(
        task_name=name, task_type="TIMING", source_datasource_id=source, target_datasource_id=target, **fields
    )
    return CreateCommonTaskRequestBody(task=task, task_detail="{}")


def create(client, instance, name="sdk-task"):
    return client.create_common_task(
        CreateCommonTaskRequest(instance_id=instance, body=task_body(name))
    ).task.task_id


def operate(client, instance, action, *ids):
    body = OperateTasksBean(action_id=action, list=[TaskBean(task_id=task_id) for task_id in ids])
    return client.batch_start_or_stop_tasks(BatchStartOrStopTasksRequest(instance_id=instance, body=body))


# An ISO day is no time for the SDK: it says so, and goes on.
@pytest.mark.filterwarnings("ignore:Unable to convert")
def test_common_tasks(client, instance, fdi_emulator):
    task_id = create(client, instance)
    shown = client.show_task(ShowTaskRequest(instance_id=instance, task_id=task_id))
    assert (shown.task.task_name, shown.task.status, shown.task_detail) == ("sdk-task", "stop", "{}")
    changed = client.update_task(
        UpdateTaskRequest(
            instance_id=instance, task_id=task_id, body=task_body("sdk-task-2", description="中文 text")
        )
    )
    assert changed.task.description == "中文 text"
    assert client.count_tasks(CountTasksRequest(instance_id=instance)).common_task_details is not None
    fdi_emulator.switch(created_date_style="iso")
    listed = client.list_tasks(ListTasksRequest(instance_id=instance, name="sdk-task", limit=5, offset=0))
    assert [row.task_id for row in listed.entities] == [task_id]
    client.delete_task(DeleteTaskRequest(instance_id=instance, task_id=task_id))
    with pytest.raises(ClientRequestException) as caught:
        client.show_task(ShowTaskRequest(instance_id=instance, task_id=task_id))
    assert (caught.value.status_code, caught.value.error_code) == (404, "FDI.3081")


def test_its_crash_on_an_integer_date_is_the_documented_one(client, instance):
    create(client, instance)
    with pytest.raises(AttributeError, match="endswith"):
        client.list_tasks(ListTasksRequest(instance_id=instance))


def test_runs_and_monitoring(client, instance, fdi_emulator):
    task_id = create(client, instance)
    fdi_emulator.script(task_id, hold=True, rows=4)
    client.run_task(RunTaskRequest(instance_id=instance, task_id=task_id))
    with pytest.raises(ClientRequestException, match=r"FDI\.3026"):
        client.run_task(RunTaskRequest(instance_id=instance, task_id=task_id))
    infos = client.list_monitor_infos(ListMonitorInfosRequest(instance_id=instance, task_name="sdk"))
    assert [row.execute_status for row in infos.entities] == ["RUNNING"]
    assert client.stop_task(StopTaskRequest(instance_id=instance, task_id=task_id)).message == "success"
    log = client.list_monitor_log(
        ListMonitorLogRequest(instance_id=instance, task_id=task_id, offset=1, limit=5, begin_time=1)
    )
    assert [row.execute_status for row in log.entities] == ["CANCELLED"]
    assert log.entities[0].detail_logs[-1].position_status == "RUNTIME_CANCEL"


def test_schedules_and_batches(client, instance):
    task_id = create(client, instance)
    plan = TaskDispatch(use_quartz_cron=True, cron="0 30 12 * * ?", remark="12345678")
    made = client.create_dispatches(CreateDispatchesRequest(instance_id=instance, task_id=task_id, body=plan))
    assert made.cron == "0 30 12 * * ?"
    plan = TaskDispatch(start_datetime=1605339505609, period="DAY", dispatch_interval=1)
    client.update_dispatches(
        UpdateDispatchesRequest(
            instance_id=instance, task_id=task_id, dispatch_id=made.dispatch_id, body=plan
        )
    )
    shown = client.show_dispatches(ShowDispatchesRequest(instance_id=instance, task_id=task_id))
    assert (shown.dispatch_id, shown.period, shown.start_datetime) == (made.dispatch_id, "DAY", 1605339505609)
    started = operate(client, instance, "start", task_id, "missing")
    assert (started.success_count, started.failure[0].error_code) == (1, "FDI.3021")
    assert operate(client, instance, "stop", task_id).success[0].task_id == task_id


def test_composite_tasks(client, instance, databases):
    body = MultiTaskInitBody(
        source_datasource_id=databases.source_id, target_datasource_id=databases.target_id, auto_mapping=False
    )
    client.install_multi_tasks(InstallMultiTasksRequest(instance_id=instance, body=body))
    body = MultiTaskRequestBody(
        task_name="sdk-cdc", task_type="REALTIME", operation_types=["INSERT", "UPDATE"]
    )
    task_id = client.create_multi_tasks(CreateMultiTasksRequest(instance_id=instance, body=body)).task_id
    mapping = MultiTaskMappingCreateBody(
        source_datasource_id=databases.source_id,
        target_datasource_id=databases.target_id,
        source_table="main.orders",
        target_table="main.sales",
        mapping_columns=[MappingInfo(source_column="id", target_column="order_id")],
    )
    made = client.create_multi_task_mappings(
        CreateMultiTaskMappingsRequest(instance_id=instance, task_id=task_id, body=mapping)
    )
    deleted = client.delete_multi_task_mapping(
        DeleteMultiTaskMappingRequest(instance_id=instance, task_id=task_id, mapping_id=made.mapping_id)
    )
    assert deleted.mapping_id == made.mapping_id
    update = MultiTaskUpdateBody(operation_types=["INSERT"], repulling_snapshot=False)
    updated = client.update_multi_tasks(
        UpdateMultiTasksRequest(instance_id=instance, task_id=task_id, body=update)
    )
    assert updated.task_id == task_id
    reset = client.reset_multi_task_offset(
        ResetMultiTaskOffsetRequest(
            instance_id=instance, task_id=task_id, body=MultiTaskResetBody(date_from=1630052714000)
        )
    )
    assert reset.message == "Reset Success"


def test_data_sources(client, instance, databases):
    info = DatasourceInfo(
        datasource_name="sdk-source",
        datasource_type="MYSQL",
        app_id="app-1",
        content=Content(mode="professional", url=f"sqlite:///{databases.folder}/source.db", user_name="u"),
    )
    row = client.create_datasource_info(CreateDatasourceInfoRequest(instance_id=instance, body=info))
    place = {"instance_id": instance, "datasource_id": row.datasource_id}
    assert client.show_dataource_detail(ShowDataourceDetailRequest(**place)).datasource_name == "sdk-source"
    info.datasource_name = "sdk-source-2"
    client.update_datasource_info(UpdateDatasourceInfoRequest(**place, body=info))
    listed = client.list_datasources(ListDatasourcesRequest(instance_id=instance, name="sdk-source"))
    assert [item.datasource_name for item in listed.entities] == ["sdk-source-2"]
    assert client.start_test_datasource(StartTestDatasourceRequest(**place, body=info)).result is True
    tables = client.list_datasource_tables(ListDatasourceTablesRequest(**place, position="SOURCE"))
    assert tables.tables == ["main.orders"]
    columns = client.list_datasource_columns(
        ListDatasourceColumnsRequest(**place, position="SOURCE", table_name="orders")
    )
    assert [column.field_name for column in columns.columns] == ["id", "name", "price", "changed"]
    client.delete_datasource_info_by_id(DeleteDatasourceInfoByIdRequest(**place))


def test_errors_reach_it_with_code_and_request_id(client, fdi_emulator):
    with pytest.raises(ServerResponseException) as caught:
        client.count_tasks(CountTasksRequest(instance_id="other"))
    assert (caught.value.status_code, caught.value.error_code) == (500, "ROMA.00110002")
    assert caught.value.request_id == fdi_emulator.journal()[-1]["request_id"]


def the_operations_that_the_sdk_lacks(api, databases):
    """What only the vendor's pages have: five operations, asked in plain HTTP."""
    sides = {"source_ds_id": databases.source_id, "target_ds_id": databases.target_id}
    url = f"{api.emulator.url}/v2/{api.emulator.project_id}/fdi/multi-tasks/mappings/auto"
    databases.target.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    element = api.session.post(url, data=sides).json()
    (row,) = element["mappings"]
    path = f"multi-tasks/{element['task_id']}/mappings"
    tables = {"source_table": "main.orders", "target_table": "main.sales"}
    body = {"source_datasource_id": sides["source_ds_id"], "target_datasource_id": sides["target_ds_id"]}
    api.ok("PUT", f"{path}/{row['id']}", {**body, **tables})
    assert api.ok("GET", path)["total"] == 1
    api.ok("POST", f"datasources/{databases.source_id}/test-sql", {"sql": "SELECT id FROM orders"})
    task_id = api.emulator.add_task()
    api.ok("POST", f"tasks/{task_id}/run")
    api.ok("GET", f"tasks/{task_id}/monitor-logs/{api.logs(task_id)[0]['id']}")


@pytest.mark.filterwarnings("ignore:Unable to convert")
def test_every_operation_answers_as_the_document_says(
    client, instance, fdi_emulator, api, databases, checked_answers
):
    checked_answers.checked.clear()
    test_data_sources(client, instance, databases)
    test_composite_tasks(client, instance, databases)
    the_operations_that_the_sdk_lacks(api, databases)
    for steps in (test_common_tasks, test_runs_and_monitoring):
        steps(client, instance, fdi_emulator)
        fdi_emulator.reset()
    test_schedules_and_batches(client, instance)
    every = {
        row["operationId"] for path in checked_answers.content["paths"].values() for row in path.values()
    }
    assert len(every) == 33
    assert every - checked_answers.checked == set()


def test_these_tests_cover_every_fdi_operation_that_it_has():
    import inspect
    import re

    from huaweicloudsdkroma.v2 import roma_client

    source = inspect.getsource(roma_client)
    methods = re.findall(
        r'def _(\w+)_http_info\(cls, request\):(?:(?!def ).)*?"resource_path": "[^"]*/fdi/', source, re.DOTALL
    )
    here = inspect.getsource(inspect.getmodule(create))
    assert len(methods) == 28
    assert [name for name in methods if f"client.{name}(" not in here] == []
