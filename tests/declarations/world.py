"""An instance as a team has clicked it together over years: tasks of all kinds, made by the vendor's SDK."""

from __future__ import annotations

import json
from typing import Any

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkroma.v2 import (
    BatchStartOrStopTasksRequest,
    Content,
    CreateCommonTaskRequest,
    CreateCommonTaskRequestBody,
    CreateDatasourceInfoRequest,
    CreateDispatchesRequest,
    CreateMultiTaskMappingsRequest,
    CreateMultiTasksRequest,
    DatasourceInfo,
    InstallMultiTasksRequest,
    MappingInfo,
    MultiTaskColumnInfo,
    MultiTaskInitBody,
    MultiTaskMappingCreateBody,
    MultiTaskRequestBody,
    OperateTasksBean,
    RomaClient,
    TaskBasicRequestBody,
    TaskBean,
    TaskDispatch,
)

from airflow_provider_fdi.client import Backoff, FdiClient, StaticTokenAuth
from airflow_provider_fdi.client.task_detail import (
    api_source,
    api_to_table,
    column,
    table_source,
    table_target,
    table_to_table,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator

TAG = "team-orders"

SECRETS = ("Bearer-s3cret-of-the-api", "p4ssw0rd-in-the-body", "k3y-in-the-url", "p4ssw0rd-of-the-database")
"""Every secret of the world; the first three are in details of tasks, the last in a data source."""

VARIABLES = {"AUTH": SECRETS[0], "BODY": SECRETS[1], "URL": SECRETS[2]}


def client_of(emulator: FdiEmulator, **options: Any) -> FdiClient:
    options.setdefault("retry", Backoff(base=0.01))
    return FdiClient(
        emulator.url, emulator.project_id, emulator.instance_id, StaticTokenAuth(emulator.token), **options
    )


def relational(number: int) -> dict[str, Any]:
    """The detail of a table to a table."""
    left = [column("id", "INT", 10, nullable=False, primary=True), column("amount", "DECIMAL", 12)]
    right = [column("id", "INT", 10), column("total", "DECIMAL", 12)]
    source = table_source(
        f"shop.orders_{number}",
        left,
        sql="SELECT id, amount\nFROM shop.orders\nWHERE amount > ${minimum}" if number % 7 == 0 else None,
        incremental_column="changed" if number % 3 == 0 else None,
    )
    target = table_target(f"dwh.sales_{number}", right, truncate=number % 2 == 0)
    return table_to_table(source, target, [{"source_column": "id", "target_column": "id"}, "amount"][:1])


def from_api(number: int, obs: str, app: str) -> dict[str, Any]:
    """The detail of an API to a table: full of secrets and of ids."""
    source = api_source(
        ["id", "amount"],
        params={"since": "2020", "callback": f"https://example.test/?token={SECRETS[2]}&n={number}"},
        headers={"Authorization": SECRETS[0], "Accept": "application/json"},
        body=json.dumps({"user": "etl", "password": SECRETS[1], "page": 1}),
        page_param="page",
        root_path="data.rows",
    )
    handler = {"mode": "OBS", "app_id": app, "datasource_id": obs, "path": "bad/", "keep": True}
    return api_to_table(
        source, table_target(f"dwh.api_{number}", ["id", "total"]), {"id": "id"}, on_error=handler
    )


class World:
    """The vendor's SDK on an emulator."""

    def __init__(self, emulator: FdiEmulator) -> None:
        self.emulator = emulator
        self.instance = emulator.instance_id
        credentials = BasicCredentials(emulator.access_key, emulator.secret_key, emulator.project_id)
        builder = RomaClient.new_builder().with_credentials(credentials)
        self.sdk = builder.with_endpoint(emulator.url).build()
        self.sources: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def add_datasources(self) -> World:
        for name, kind in (("shop", "MYSQL"), ("dwh", "MYSQL"), ("partner", "API"), ("rejects", "OBS")):
            content = Content(mode="default", host="db", user_name="fdi", password=SECRETS[3])
            info = DatasourceInfo(
                datasource_name=name, datasource_type=kind, app_id=self.emulator.app_id, content=content
            )
            made = self.sdk.create_datasource_info(
                CreateDatasourceInfoRequest(instance_id=self.instance, body=info)
            )
            self.sources[name] = made.datasource_id
        return self

    def add_common(self, name: str, kind: str, source: str, detail: Any, **fields: Any) -> str:
        task = TaskBasicRequestBody(
            task_name=name,
            task_type=kind,
            source_datasource_id=self.sources[source],
            target_datasource_id=self.sources["dwh"],
            **fields,
        )
        body = CreateCommonTaskRequestBody(task=task, task_detail=json.dumps(detail))
        made = self.sdk.create_common_task(CreateCommonTaskRequest(instance_id=self.instance, body=body))
        self.ids[name] = made.task.task_id
        return str(made.task.task_id)

    def add_schedule(self, task_id: str, **fields: Any) -> None:
        self.sdk.create_dispatches(
            CreateDispatchesRequest(instance_id=self.instance, task_id=task_id, body=TaskDispatch(**fields))
        )

    def add_composite(self, name: str, tables: int) -> str:
        sides = {
            "source_datasource_id": self.sources["shop"],
            "target_datasource_id": self.sources["dwh"],
        }
        init = self.sdk.install_multi_tasks(
            InstallMultiTasksRequest(
                instance_id=self.instance,
                body=MultiTaskInitBody(auto_mapping=False, ext_info={"server_id": "4711"}, **sides),
            )
        )
        prepared = init.body[0].task_id
        for number in range(tables):
            body = MultiTaskMappingCreateBody(
                source_table=f"shop.t{number}",
                target_table=f"dwh.t{number}",
                source_columns=[MultiTaskColumnInfo(field_name="id", field_type="INT", field_length="10")],
                target_columns=[MultiTaskColumnInfo(field_name="key", field_type="INT", field_length="10")],
                mapping_columns=[MappingInfo(source_column="id", target_column="key")],
                **sides,
            )
            self.sdk.create_multi_task_mappings(
                CreateMultiTaskMappingsRequest(instance_id=self.instance, task_id=prepared, body=body)
            )
        body = MultiTaskRequestBody(
            task_name=name,
            task_id=prepared,
            task_type="REALTIME",
            operation_types=["INSERT", "UPDATE", "DELETE"],
            description="follows the shop",
            task_tag=TAG,
        )
        made = self.sdk.create_multi_tasks(CreateMultiTasksRequest(instance_id=self.instance, body=body))
        self.ids[name] = made.task_id
        return str(made.task_id)

    def start(self, task_ids: list[str]) -> None:
        for first in range(0, len(task_ids), 10):
            body = OperateTasksBean(
                action_id="start", list=[TaskBean(task_id=one) for one in task_ids[first : first + 10]]
            )
            answer = self.sdk.batch_start_or_stop_tasks(
                BatchStartOrStopTasksRequest(instance_id=self.instance, body=body)
            )
            assert answer.failure_count == 0

    def fill(self, count: int) -> World:
        """Make ``count`` tasks of all kinds, every other one started."""
        started = []
        for number in range(count):
            part, name = number % 10, f"task-{number:03d}"
            fields = {"description": f"number {number}, ${{plain}}", "task_tag": TAG} if number % 4 else {}
            if part == 0:
                task_id = self.add_composite(name, 1 + number % 3)
            elif part == 1:
                task_id = self.add_common(name, "REALTIME", "shop", relational(number), **fields)
            elif part in (2, 3, 4):
                detail = from_api(number, self.sources["rejects"], self.emulator.app_id)
                task_id = self.add_common(name, "TIMING", "partner", detail, **fields)
            else:
                task_id = self.add_common(name, "TIMING", "shop", relational(number), **fields)
            if part in (2, 5, 6):
                self.add_schedule(task_id, use_quartz_cron=True, cron=f"0 {number % 60} 3 * * ?", remark="r")
            elif part in (3, 7, 8):
                when = 1893456000000 + number
                self.add_schedule(
                    task_id, period="HOUR", dispatch_interval=1 + number % 59, start_datetime=when
                )
            if number % 2 == 0 and part not in (4, 9):
                # A stream goes on until it is stopped.
                self.emulator.script(task_id, hold=True)
                started.append(task_id)
        self.start(started)
        return self
