"""The hook: one client for each, a task by its exact name, older versions' forms, the four logins."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.get_provider_info import CONN_FIELDS, get_provider_info
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.hooks.settings import FdiConnectionSettingError


def connect(monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], **settings: Any) -> FdiHook:
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(row))
    return FdiHook(**settings)


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {**row, "extra": {k: v for k, v in row["extra"].items() if k not in keys}}


# The client


def test_client_is_made_once(fdi_connection: str) -> None:
    hook = FdiHook()
    assert hook.get_conn() is hook.get_conn()


def test_project_and_instance_of_the_operator_win_over_the_connection_s(fdi_connection: str) -> None:
    client = FdiHook(project_id="p", instance_id="i").get_conn()
    assert (client.project_id, client.instance_id) == ("p", "i")


@pytest.mark.parametrize("auth_type", ["token", "password", "aksk"])
def test_every_login_reaches_the_service(
    auth_type: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, fdi_emulator.connection(auth_type))
    assert hook.get_conn().list_tasks().total == 0


def test_credentials_of_the_official_sdk_reach_the_service(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", fdi_emulator.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", fdi_emulator.secret_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", fdi_emulator.project_id)
    row = without(fdi_emulator.connection("sdk"), "project_id")
    hook = connect(monkeypatch, row)
    assert hook.get_conn().project_id == fdi_emulator.project_id
    assert hook.get_conn().list_tasks().total == 0


def test_without_the_official_sdk_its_extra_is_named(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huaweicloudsdkcore.auth.provider", None)
    hook = connect(monkeypatch, fdi_emulator.connection("sdk"))
    with pytest.raises(FdiConnectionSettingError) as caught:
        hook.get_conn()
    assert caught.value.reason == (
        "auth_type='sdk': the extra 'sdk' of airflow-provider-fdi is needed (huaweicloudsdkcore)"
    )


def test_project_by_name_is_learned_from_the_login(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = without(fdi_emulator.connection("password", project_name="cn-north-4"), "project_id")
    hook = connect(monkeypatch, row)
    assert hook.get_conn().project_id == fdi_emulator.project_id
    assert hook.get_conn().list_tasks().total == 0
    assert [row["path"] for row in fdi_emulator.journal()].count("/v3/auth/tokens") == 1


def test_project_of_a_region_has_the_region_s_name(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = without(fdi_emulator.connection("password", region="cn-north-4"), "project_id")
    assert connect(monkeypatch, row).get_conn().project_id == fdi_emulator.project_id


@pytest.mark.parametrize("auth_type", ["token", "aksk", "password"])
@pytest.mark.parametrize("field", ["project_id", "instance_id"])
def test_instance_that_is_set_nowhere(
    field: str, auth_type: str, fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, without(fdi_emulator.connection(auth_type), field))
    with pytest.raises(FdiConnectionSettingError) as caught:
        hook.get_conn()
    assert caught.value.reason == f"{field}=None: is not set"
    assert "Give it " in str(caught.value) and "connection 'fdi_default'" in str(caught.value)
    assert fdi_emulator.journal() == []


def test_ca_file_that_is_not_there_is_named(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, fdi_emulator.connection(verify="/no/such/ca.pem"))
    with pytest.raises(
        FdiConnectionSettingError, match=r"(?s)^verify='/no/such/ca\.pem': no such.*'fdi_default'"
    ):
        hook.get_conn()


# A task by name


def test_task_is_found_by_its_exact_name(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    ids = {name: fdi_emulator.add_task(name) for name in ("orders", "orders-2", "my-orders", "Orders")}
    hook = FdiHook()
    for name, task_id in ids.items():
        found = hook.find_task(name)
        assert found is not None and found.task_id == task_id


def test_part_of_a_name_finds_nothing(fdi_emulator: FdiEmulator, fdi_connection: str) -> None:
    fdi_emulator.add_task("orders-2")
    assert FdiHook().find_task("orders") is None


def test_name_that_two_tasks_have_is_refused_with_their_ids(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    fdi_emulator.switch(allow_duplicate_names=True)
    ids = [fdi_emulator.add_task("orders") for _ in range(2)]
    with pytest.raises(FdiArgumentError, match=r"^fdi_task_name='orders': 2 tasks have this name") as caught:
        FdiHook().find_task("orders")
    assert all(task_id in str(caught.value) for task_id in ids)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("Orders-2024", "orders-2024"), ("orders_2024", "orders-2024"), ("payments", None)]
)
def test_name_that_no_task_has_is_refused_with_the_one_that_is_meant(
    wrong: str, meant: str | None, fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    fdi_emulator.add_task("orders-2024")
    with pytest.raises(FdiArgumentError) as caught:
        FdiHook().task_named(wrong)
    rule = f"did you mean {meant!r}? No task has this name" if meant else "no task has this name"
    assert caught.value.reason == f"fdi_task_name={wrong!r}: {rule}"


# Forms before Airflow 3.2


@pytest.fixture
def form_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for what the hook takes from wtforms and Flask, which Airflow 3 does not install."""

    def module(name: str, **content: Any) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, made)

    class Field:
        def __init__(self, label: str, **options: Any) -> None:
            self.label, self.options = label, options

    fields = ("StringField", "PasswordField", "BooleanField")
    module("wtforms", **{name: type(name, (Field,), {}) for name in fields})
    module("wtforms.validators", Optional=lambda: "optional", any_of=lambda values: ("any of", *values))
    module("flask_babel", lazy_gettext=lambda text: text)
    module("flask_appbuilder")
    module("flask_appbuilder.fieldwidgets", BS3TextFieldWidget=object, BS3PasswordFieldWidget=object)


@pytest.mark.usefixtures("form_libraries")
def test_form_of_older_versions_has_the_same_fields() -> None:
    widgets = FdiHook.get_connection_form_widgets()
    assert list(widgets) == list(CONN_FIELDS)
    for name, described in CONN_FIELDS.items():
        assert widgets[name].label == described["label"]
        assert widgets[name].options["default"] == described["schema"].get("default")
    kinds = {name: type(field).__name__ for name, field in widgets.items()}
    assert kinds["security_token"] == "PasswordField"
    assert kinds["allow_http"] == "BooleanField"
    assert kinds["timeout"] == "StringField"
    assert ("any of", "aksk", "password", "token", "sdk") in widgets["auth_type"].options["validators"]


def test_labels_of_older_versions_are_the_same() -> None:
    new = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
    old = FdiHook.get_ui_field_behaviour()
    assert old == {
        "hidden_fields": new["hidden-fields"],
        "relabeling": new["relabeling"],
        "placeholders": new["placeholders"],
    }
