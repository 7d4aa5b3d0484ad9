"""Quotas of the service, and what a credential's IAM actions permit."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_fdi.emulator.handle import EmulatorError, FdiEmulator
from airflow_provider_fdi.emulator.service.permissions import ACTIONS
from tests.emulator.test_access import sign

pytestmark = pytest.mark.usefixtures("checked_answers")


def code(answer):
    return answer.status_code, answer.json().get("error_code")


def test_an_instance_has_a_thousand_tasks_and_a_project_five_hundred_data_sources(fdi_emulator):
    switches = fdi_emulator.switch()

    assert (switches["task_quota"], switches["datasource_quota"]) == (1000, 500)


def test_beyond_the_quota_no_task_is_created_until_one_is_deleted(api, fdi_emulator):
    fdi_emulator.switch(task_quota=2)
    first = api.create("first")
    api.create("second")

    refused = api("POST", "tasks", api.task_body("third"))

    assert code(refused) == (400, "FDI.3002")
    assert "2 tasks" in refused.json()["error_msg"]
    assert api("DELETE", f"tasks/{first}").status_code == 204
    assert api.create("third")


def test_composite_tasks_count_for_the_quota(api, fdi_emulator):
    fdi_emulator.switch(task_quota=1)
    api.ok("POST", "multi-tasks", {"task_name": "follow", "operation_types": ["INSERT"]})

    again = {"task_name": "follow-2", "operation_types": ["INSERT"]}

    assert code(api("POST", "multi-tasks", again)) == (400, "FDI.3002")
    assert code(api("POST", "tasks", api.task_body("common"))) == (400, "FDI.3002")


def test_beyond_the_quota_no_data_source_is_created(api, fdi_emulator):
    fdi_emulator.switch(datasource_quota=1)
    fdi_emulator.add_datasource("first", None)
    body = {"datasource_name": "second", "datasource_type": "KAFKA", "app_id": "app-1", "content": {}}

    assert code(api("POST", "datasources", body)) == (400, "FDI.3002")


def test_a_quota_of_zero_is_none(api, fdi_emulator):
    fdi_emulator.switch(task_quota=0)

    assert api.create("first")


def test_every_operation_of_tasks_asks_for_an_action(document):
    operations = {
        operation["operationId"] for path in document.content["paths"].values() for operation in path.values()
    }
    of_data_sources = {name for name in operations if "ata" in name and "ource" in name}

    assert len(operations) == 33
    assert set(ACTIONS) == operations - of_data_sources


def test_without_a_list_of_actions_everything_is_permitted(api):
    task_id = api.create("task")

    assert api("POST", f"tasks/{task_id}/run").ok


def test_what_the_list_of_actions_lacks_is_forbidden_and_named(api, fdi_emulator):
    task_id = api.create("task")
    fdi_emulator.switch(iam_actions=["roma:tasks:get", "roma:tasks:list"])

    assert api("GET", f"tasks/{task_id}").ok
    assert api("GET", "tasks").ok
    refused = api("POST", f"tasks/{task_id}/run")
    assert code(refused) == (403, "APIGW.0302")
    assert "roma:tasks:operate" in refused.json()["error_msg"]
    assert fdi_emulator.runs_started(task_id) == []


@pytest.mark.parametrize("pattern", ["*", "roma:*:*", "roma:tasks:*", "roma:*:delete"])
def test_an_action_may_be_a_pattern(api, fdi_emulator, pattern):
    task_id = api.create("task")
    fdi_emulator.switch(iam_actions=[pattern])

    assert api("DELETE", f"tasks/{task_id}").status_code == 204


def test_data_sources_ask_for_no_action_that_is_known(api, fdi_emulator):
    fdi_emulator.switch(iam_actions=[])

    assert api("GET", "datasources").ok


def test_what_is_not_an_action_is_refused(fdi_emulator):
    with pytest.raises(EmulatorError, match="iam_actions"):
        fdi_emulator.switch(iam_actions=["run tasks"])


@pytest.fixture(scope="module")
def limited():
    """An emulator whose credentials may do different things."""
    reader = ["roma:tasks:get", "roma:tasks:list"]
    config = {
        "credentials": {
            "tokens": ["everything", {"token": "reader", "actions": reader}],
            "users": [{"name": "reader", "password": "p", "domain": "d", "actions": reader}, {}],
            "access_keys": [{"access": "AK", "secret": "SK", "actions": reader}],
        }
    }
    with FdiEmulator.start(config=config) as emulator:
        yield emulator


def create(emulator, token, name):
    body = {
        "task": {
            "task_name": name,
            "task_type": "TIMING",
            "source_datasource_id": "1",
            "target_datasource_id": "2",
        },
        "task_detail": "{}",
    }
    return requests.post(f"{emulator.api}/tasks", json=body, headers={"X-Auth-Token": token})


def login(emulator, user, password, domain):
    identity = {"name": user, "password": password, "domain": {"name": domain}}
    auth = {"identity": {"methods": ["password"], "password": {"user": identity}}}
    auth["scope"] = {"project": {"id": emulator.project_id}}
    return requests.post(f"{emulator.url}/v3/auth/tokens", json={"auth": auth}).headers["X-Subject-Token"]


def test_each_token_of_the_configuration_has_its_own_actions(limited):
    assert code(create(limited, "reader", "first")) == (403, "APIGW.0302")
    assert create(limited, "everything", "first").ok


def test_a_token_permits_what_its_user_may_do(limited):
    reader = login(limited, "reader", "p", "d")
    anybody = login(limited, limited.user_name, limited.password, limited.domain_name)

    assert requests.get(f"{limited.api}/tasks", headers={"X-Auth-Token": reader}).ok
    assert code(create(limited, reader, "second")) == (403, "APIGW.0302")
    assert create(limited, anybody, "second").ok


def test_a_temporary_key_permits_what_its_issuer_may_do(limited):
    token = login(limited, "reader", "p", "d")
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
    answer = requests.post(f"{limited.url}/v3.0/OS-CREDENTIAL/securitytokens", json=body)
    made = answer.json()["credential"]
    url = f"{limited.api}/tasks"
    headers = sign(
        limited,
        "POST",
        url,
        b"{}",
        key=made["access"],
        secret=made["secret"],
        **{"x-security-token": made["securitytoken"]},
    )

    assert code(requests.post(url, data=b"{}", headers=headers)) == (403, "APIGW.0302")


def test_an_access_key_has_its_own_actions(limited):
    url = f"{limited.api}/tasks"
    keys = {"key": "AK", "secret": "SK"}

    assert requests.get(url, headers=sign(limited, "GET", url, **keys)).ok
    refused = requests.post(url, data=b"{}", headers=sign(limited, "POST", url, b"{}", **keys))
    assert code(refused) == (403, "APIGW.0302")
