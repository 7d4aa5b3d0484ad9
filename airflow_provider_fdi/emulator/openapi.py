"""The OpenAPI document of the 33 operations: parameters, bodies and answers as the vendor names them.

Schemas are written in one line each: `name!` is required, `[X]` is a list of X, and a capital letter begins
the name of another schema.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_fdi.emulator.api import Operation

_ID_NOTE = "1 to 64 characters"

_SCHEMAS: dict[str, str] = {
    "TaskBasicRequestBody": "task_name! string, task_type! string, source_datasource_id! string,"
    " target_datasource_id! string, description string, task_tag string",
    "CreateCommonTaskRequestBody": "task! TaskBasicRequestBody, task_detail! string",
    "TaskBasicRsp": "task_id string, task_name string, task_type string, status string, project_id string,"
    " source_datasource_id string, target_datasource_id string, source_datasource_name string,"
    " target_datasource_name string, source_app_id string, target_app_id string, source_app_name string,"
    " target_app_name string, created_date integer, last_modified_date integer, description string,"
    " task_tag string",
    "TaskResponseV2": "task TaskBasicRsp, task_detail string",
    "BriefTaskRespBean": "task_id string, task_name string, task_type string, status integer,"
    " created_date integer, version string, last_modified_time integer, execute_status string,"
    " source_app_id string, target_app_id string, source_instance_id string, target_instance_id string,"
    " ext_type string, enterprise_project_id string, task_tag string",
    "FdiTaskPageQuery": "total integer, size integer, entities [BriefTaskRespBean]",
    "TaskStatisticDetails": "running_tasks_count integer, abnormal_tasks_count integer,"
    " terminated_tasks_count integer, completed_tasks_count integer",
    "TaskStatistics": "common_task_details TaskStatisticDetails, cdc_task_details TaskStatisticDetails",
    "Message": "message string",
    "TaskDispatch": "start_datetime integer, period string, dispatch_interval integer, remark string,"
    " use_quartz_cron boolean, cron string, cron_timezone string",
    "TaskDispatchRsp": "dispatch_id string, task_id string, start_datetime integer, period string,"
    " dispatch_interval integer, created_date integer, last_modified_date integer, remark string,"
    " use_quartz_cron boolean, cron string, cron_timezone string",
    "TaskBean": "task_id string",
    "OperateTasksBean": "action_id! string, list [TaskBean]",
    "TaskBeanFacade": "task_id string, task_name string, error_code string, error_msg string",
    "BatchOperatorTaskResp": "success_count integer, failure_count integer, failure [TaskBeanFacade],"
    " success [TaskBeanFacade]",
    "ExtInfo": "server_id string",
    "MultiTaskInitBody": "ext_info ExtInfo, source_datasource_id string, target_datasource_id string,"
    " task_id string, auto_mapping boolean",
    "MultiTaskColumnInfo": "field_name string, field_type string, field_length string",
    "MappingInfo": "source_column string, source_column_type string, source_column_length string,"
    " target_column string, target_column_type string, target_column_length string",
    "MultiTaskMappingElement": "id string, source_table string, target_table string, updated_time integer,"
    " mapping_percent integer, status string, source_columns [MultiTaskColumnInfo],"
    " target_columns [MultiTaskColumnInfo], mapping [MappingInfo]",
    "MultiTaskSchemaMappingElement": "id string, source_schema string, target_schema string,"
    " updated_time integer, status string",
    "MultiTaskInitElement": "ext_info ExtInfo, task_id string, source_datasource_id string,"
    " target_datasource_id string, source_group string, target_group string, source_ds_id string,"
    " target_ds_id string, source_instance_id string, target_instance_id string, source_app_id string,"
    " target_app_id string, source_datasource_name string, target_datasource_name string,"
    " source_datasource_type string, target_datasource_type string, mappings [MultiTaskMappingElement],"
    " schema_mappings [MultiTaskSchemaMappingElement], mappings_total_count integer",
    "MultiTaskRequestBody": "task_name! string, task_id string, task_type string, description string,"
    " task_tag string, operation_types! [string], source_app_id string, target_app_id string",
    "MultiTaskUpdateBody": "description string, task_tag string, operation_types! [string],"
    " repulling_snapshot! boolean",
    "TaskSimpleRsp": "task_id string",
    "MultiTaskResetBody": "date_from integer",
    "MultiTaskResetRsp": "message string",
    "MultiTaskMappingCreateBody": "ext_info ExtInfo, source_datasource_id! string,"
    " target_datasource_id! string, source_columns [MultiTaskColumnInfo],"
    " target_columns [MultiTaskColumnInfo], source_table string, target_table string,"
    " mapping_columns [MappingInfo]",
    "MultiTaskMappingCreateRsp": "mapping_id string",
    "AutoMappingForm": "source_ds_id! string, target_ds_id! string, source_group string, target_group string,"
    " task_id string, ext_info string, task_type integer, mapping_prefix string, mapping_suffix string,"
    " source_select_mapping_tables string, target_select_mapping_tables string",
    "TaskMonitorInfo": "task_id string, task_name string, task_type string, status integer,"
    " last_execute_time integer, use_quartz_cron boolean, cron string, period string,"
    " dispatch_interval integer, position string, execute_status string, source_app_id string,"
    " source_app_name string, source_instance_id string, target_app_id string, target_app_name string,"
    " target_instance_id string, ext_type string, enterprise_project_id string, task_tag string",
    "TaskMonitorList": "total integer, size integer, entities [TaskMonitorInfo]",
    "TaskMonitorDetailLog": "id string, status integer, position string, position_status string,"
    " stage string, dirty_data_count integer, data_count integer, data_size number, data_size_unit string,"
    " spend_time integer, remarks string, step_begin_time integer, step_end_time integer",
    "TaskMonitorLog": "id string, start_time integer, dispatch_time integer, end_time integer,"
    " execute_status string, position string, position_status string, status integer,"
    " dirty_data_count integer, data_count integer, data_size number, data_size_unit string,"
    " spend_time integer, read_spend_time integer, write_spend_time integer, remarks string,"
    " detail_logs [TaskMonitorDetailLog]",
    "TaskMonitorLogList": "total integer, size integer, entities [TaskMonitorLog]",
    "TaskMonitorLogDetail": "id string, dirty_data_count integer, detail_logs [TaskMonitorDetailLog]",
    "DatasourceInfo": "datasource_name! string, datasource_type! string, app_id! string, content! object,"
    " description string",
    "DataSourceRsp": "datasource_id string, datasource_name string, datasource_type string, vpc_id string,"
    " app_id string, app_name string, instance_id string, create_time integer, update_time integer,"
    " custom_plugin_id string, content object, description string, app_permission [string]",
    "FdiPageQuery": "total integer, size integer, entities [DataSourceRsp]",
    "TestConnectionRsp": "result boolean",
    "TableResponse": "tables [string]",
    "ColumnInfo": "field_name string, field_type string, field_length string, null_able string,"
    " is_partition boolean, primary string, unique string, decimal_digits string",
    "ColumnQueryResponse": "columns [ColumnInfo]",
    "SqlCheckBody": "sql! string",
    "ErrorRsp": "error_code! string, error_msg! string",
}
_FIELD = re.compile(r"(\w+)(!?) (\S+)")
_INTEGER_QUERY = frozenset({"limit", "offset", "status", "begin_time", "end_time"})
_REQUIRED_QUERY = frozenset({"position"})


def _type(name: str) -> dict[str, Any]:
    if name.startswith("["):
        return {"type": "array", "items": _type(name[1:-1])}
    if name[0].isupper():
        return {"$ref": f"#/components/schemas/{name}"}
    if name == "integer":
        return {"type": "integer", "format": "int64"}
    return {"type": name}


def _schema(text: str) -> dict[str, Any]:
    fields = [_FIELD.fullmatch(part.strip()) for part in text.split(",")]
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    required = []
    for match in fields:
        assert match is not None, text
        schema["properties"][match[1]] = _type(match[3])
        if match[2]:
            required.append(match[1])
    if required:
        schema["required"] = required
    return schema


def _answers(operation: Operation) -> dict[str, Any]:
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorRsp"}}}}
    good: dict[str, Any] = {"description": "No content" if operation.success == 204 else "OK"}
    if operation.answer == "MultiTaskInitList":
        content = {"type": "array", "items": {"$ref": "#/components/schemas/MultiTaskInitElement"}}
        good["content"] = {"application/json": {"schema": content}}
    elif operation.answer:
        good["content"] = {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{operation.answer}"}}
        }
    return {
        str(operation.success): good,
        "400": {"description": "Bad Request", **error},
        "404": {"description": "Not Found", **error},
        "500": {"description": "Internal Server Error", **error},
    }


def operation_extra(operation: Operation) -> dict[str, Any]:
    """What FastAPI's route takes along."""
    return {"summary": operation.summary, "tags": [operation.tag], "status_code": operation.success}


def document(operations: list[Operation]) -> dict[str, Any]:
    """The document, written from the same table that the server is built from."""
    paths: dict[str, Any] = {}
    for operation in operations:
        if operation.access == "open":
            continue
        names = re.findall(r"{(\w+)}", operation.path)
        parameters: list[dict[str, Any]] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": _ID_NOTE,
                "schema": {"type": "string"},
            }
            for name in names
        ]
        for name in operation.query:
            kind = "integer" if name in _INTEGER_QUERY else "string"
            parameters.append(
                {"name": name, "in": "query", "required": name in _REQUIRED_QUERY, "schema": {"type": kind}}
            )
        entry: dict[str, Any] = {
            "operationId": operation.id,
            "summary": operation.summary,
            "tags": [operation.tag],
            "parameters": parameters,
            "responses": _answers(operation),
            "security": [{"token": []}, {"signature": []}],
        }
        if operation.body:
            media = (
                "application/x-www-form-urlencoded"
                if operation.body == "AutoMappingForm"
                else "application/json"
            )
            schema = {"$ref": f"#/components/schemas/{operation.body}"}
            entry["requestBody"] = {"required": True, "content": {media: {"schema": schema}}}
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "ROMA Connect FDI (emulator)",
            "version": "v2",
            "description": "A local stand-in for the data-integration API of Huawei Cloud ROMA Connect.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: _schema(text) for name, text in _SCHEMAS.items()},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "signature": {"type": "apiKey", "in": "header", "name": "Authorization"},
            },
        },
    }
