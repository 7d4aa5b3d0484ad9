"""The OpenAPI document and its page."""

from __future__ import annotations

import re

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


def test_it_lists_the_33_operations_under_the_vendors_ids(document):
    found = [row["operationId"] for path in document.content["paths"].values() for row in path.values()]
    assert len(found) == 33
    assert set(found) == OPERATIONS


def test_every_reference_leads_to_a_schema(document):
    names = set(document.content["components"]["schemas"])

    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = {text.rpartition("/")[2] for text in references(document.content)}
    assert found
    assert found <= names


def test_every_operation_names_its_path_parameters_and_credentials(document):
    for path, item in document.content["paths"].items():
        for operation in item.values():
            named = [row["name"] for row in operation["parameters"] if row["in"] == "path"]
            assert sorted(named) == sorted(re.findall(r"{(\w+)}", path))
            assert operation["security"] == [{"token": []}, {"signature": []}]


def test_the_page_works_without_internet(fdi_emulator):
    page = requests.get(f"{fdi_emulator.url}/docs")
    assert page.ok
    assert "/openapi.json" in page.text
    assert not re.search(r"(https?:)?//\w", page.text.replace("<!-- ", ""))
    assets = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert [asset.rpartition(".")[2] for asset in assets] == ["css", "png", "js"]
    for asset in assets:
        answer = requests.get(f"{fdi_emulator.url}{asset}")
        assert answer.ok
        assert len(answer.content) > 100


def test_the_page_of_the_emulator_leads_to_it(fdi_emulator):
    assert 'href="/docs"' in requests.get(fdi_emulator.url).text
