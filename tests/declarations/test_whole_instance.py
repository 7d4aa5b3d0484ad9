"""Three hundred tasks that were made by the vendor's SDK: exported, planned, applied elsewhere, changed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from airflow_provider_fdi.declarations.actual import read_actual
from airflow_provider_fdi.declarations.apply import apply_plan
from airflow_provider_fdi.declarations.export import export
from airflow_provider_fdi.declarations.files import load
from airflow_provider_fdi.declarations.plan import Plan, make_plan
from tests.declarations.world import SECRETS, World, client_of

COUNT = 300
WRITES = ("POST", "PUT", "DELETE")


def plan_of(client, folder: Path, variables=None, **options) -> Plan:
    declarations = load([folder], variables, environment={})
    return make_plan(declarations, read_actual(client, declarations), **options)


def secret_values(variables) -> dict[str, str]:
    """A value for each variable that an export refers to."""
    known = {"AUTHORIZATION": SECRETS[0], "PASSWORD": SECRETS[1]}
    return {
        name: next((value for word, value in known.items() if word in name), SECRETS[2]) for name in variables
    }


@pytest.fixture(scope="module")
def exported(big: World, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    with client_of(big.emulator) as client:
        return folder, export(client, folder)


@pytest.fixture(scope="module")
def big():
    from airflow_provider_fdi.emulator.handle import FdiEmulator

    with FdiEmulator.start() as emulator:
        yield World(emulator).add_datasources().fill(COUNT)


def test_an_export_is_what_the_instance_is(big, exported, caplog):
    folder, result = exported
    assert len(result.tasks) == len(result.files) == COUNT
    with caplog.at_level(logging.DEBUG), client_of(big.emulator) as client:
        plan = plan_of(client, folder)
    assert [(change.task_name, change.fields, change.problem) for change in plan.changes] == []
    assert (plan.is_empty, len(plan.unchanged)) == (True, COUNT)
    said = json.dumps(plan.as_dict()) + repr(plan) + caplog.text
    said += "".join(path.read_text() for path in result.files) + repr(result)
    assert [secret for secret in SECRETS if secret in said] == []
    # No id of the instance either.
    assert [one for one in (*big.ids.values(), *big.sources.values()) if one in said.split("Plan(")[0]] == []


def test_the_files_make_the_same_tasks_in_another_instance(exported, second):
    folder, result = exported
    variables = secret_values(result.variables)
    World(second).add_datasources()
    with client_of(second) as client:
        plan = plan_of(client, folder, variables)
        assert {change.action for change in plan.changes} == {"create"} and not plan.problems
        applied = apply_plan(client, plan)
        assert [one.failure for one in applied if one.failure] == []
        again = plan_of(client, folder, variables)
        assert (again.is_empty, len(again.unchanged)) == (True, COUNT)
    rows = second.request("GET", "tasks?limit=999")[1]["entities"]
    assert sorted(row["task_name"] for row in rows) == sorted(result.tasks)
    # The secrets are where they belong.
    task_id = next(row["task_id"] for row in rows if row["task_name"] == "task-002")
    detail = second.request("GET", f"tasks/{task_id}")[1]["task_detail"]
    assert all(secret in detail for secret in SECRETS[:3]) and "${" not in detail


def change_by_hand(world: World) -> dict[str, str]:
    """Change one field of each of ten tasks, as somebody does in the console: task -> path."""
    emulator = world.emulator

    def edit(name, change):
        task_id = world.ids[name]
        started = emulator.task(task_id)["started"]
        if started:
            emulator.stop_task(task_id)
        if emulator.task(task_id)["active_run"]:
            emulator.release(task_id, "CANCELLED")
        shown = emulator.request("GET", f"tasks/{task_id}")[1]
        body = {"task": shown["task"], "task_detail": json.loads(shown["task_detail"])}
        body["task"]["task_type"] = body["task"]["task_type"].upper()
        change(body)
        wanted = ("task_name", "task_type", "description", "task_tag")
        sides = ("source_datasource_id", "target_datasource_id")
        task = {key: body["task"][key] for key in (*wanted, *sides) if key in body["task"]}
        status, said = emulator.request(
            "PUT", f"tasks/{task_id}", {"task": task, "task_detail": json.dumps(body["task_detail"])}
        )
        assert status == 200, said
        if started:
            emulator.start_task(task_id)

    def detail(side, key, value):
        return lambda body: body["task_detail"][f"{side}SelectedDatasource"].__setitem__(key, value)

    edit("task-005", detail("source", "sourceTable", "shop.other"))
    edit("task-006", detail("target", "isSupportClearTab", False))
    edit("task-007", lambda body: body["task"].__setitem__("description", "changed"))
    edit("task-009", lambda body: body["task"].__setitem__("target_datasource_id", world.sources["shop"]))
    edit("task-013", detail("source", "rootPath", "data.other"))
    edit("task-015", lambda body: body["task_detail"].__setitem__("handMade", "yes"))
    edit("task-017", lambda body: body["task"].__setitem__("task_tag", "other-tag"))
    for name, fields in (
        ("task-025", {"use_quartz_cron": True, "cron": "0 1 1 * * ?", "remark": "r"}),
        ("task-027", {"period": "DAY", "dispatch_interval": 28, "start_datetime": 1893456000027}),
    ):
        path = f"tasks/{world.ids[name]}/dispatches"
        dispatch = emulator.request("GET", path)[1]["dispatch_id"]
        assert emulator.request("PUT", f"{path}/{dispatch}", fields)[0] == 200
    emulator.stop_task(world.ids["task-028"])
    return {
        "task-005": "detail.sourceSelectedDatasource.sourceTable",
        "task-006": "detail.targetSelectedDatasource.isSupportClearTab",
        "task-007": "description",
        "task-009": "target",
        "task-013": "detail.sourceSelectedDatasource.rootPath",
        "task-015": "detail.handMade",
        "task-017": "tag",
        "task-025": "schedule.cron",
        "task-027": "schedule.period",
        "task-028": "started",
    }


def test_what_is_changed_by_hand_is_found_named_and_set_back(big, exported):
    folder, result = exported
    changed = change_by_hand(big)
    variables = secret_values(result.variables)
    with client_of(big.emulator) as client:
        plan = plan_of(client, folder, variables)
        found = {change.task_name: [field.path for field in change.fields] for change in plan.changes}
        assert found == {name: [path] for name, path in changed.items()}
        big.emulator.clear_journal()
        assert [one.failure for one in apply_plan(client, plan) if one.failure] == []
        sent = [(row["operation"], row["path"]) for row in big.emulator.journal() if row["method"] in WRITES]
        ids = {big.ids[name] for name in changed}
        updates = [path for operation, path in sent if operation == "UpdateTask"]
        assert len(updates) == 7 and {path.rsplit("/", 1)[1] for path in updates} <= ids
        assert sorted({operation for operation, _ in sent}) == [
            "BatchStartOrStopTasks",
            "UpdateDispatches",
            "UpdateTask",
        ]
        # task-006 is stopped and started again, task-028 only started.
        assert [operation for operation, _ in sent].count("BatchStartOrStopTasks") == 3
        assert plan_of(client, folder, variables).is_empty
