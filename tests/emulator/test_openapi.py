"""The OpenAPI document."""

from __future__ import annotations

import requests

OPERATIONS = set(
    """CreateCommonTask ListTasks CountTasks UpdateTask ShowTask DeleteTask RunTask StopTask CreateDispatches
    ShowDispatches UpdateDispatches BatchStartOrStopTasks CreateMultiTasks InstallMultiTasks UpdateMultiTasks
    ResetMultiTaskOffset CreateMultiTaskMappings ListMultiTaskMappings UpdateMultiTaskMappings
    DeleteMultiTaskMapping CreateMultiTaskMappingsAutomatically ListMonitorInfos ListMonitorLog
    ShowMonitorLogDetail ListDatasources CreateDatasourceInfo ShowDataourceDetail UpdateDatasourceInfo
    DeleteDatasourceInfoById StartTestDatasource ListDatasourceTables ListDatasourceColumns
    StartCheckDatasourceSql""".split()
)


def document(emulator):
    return requests.get(f"{emulator.url}/openapi.json").json()


def test_it_lists_the_33_operations_under_the_vendors_ids(fdi_emulator):
    found = [row["operationId"] for path in document(fdi_emulator)["paths"].values() for row in path.values()]
    assert len(found) == 33
    assert set(found) == OPERATIONS


def test_every_reference_leads_to_a_schema(fdi_emulator):
    content = document(fdi_emulator)
    names = set(content["components"]["schemas"])

    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    assert {text.rpartition("/")[2] for text in references(content)} <= names


def test_the_page_is_served(fdi_emulator):
    answer = requests.get(f"{fdi_emulator.url}/docs")
    assert answer.ok
    assert "/openapi.json" in answer.text
