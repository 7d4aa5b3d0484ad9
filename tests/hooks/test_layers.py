"""What the button "Test" of the connection form says: the layer that failed comes first."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from tests.server import Answer, Server

SECRET = "a-secret-that-nobody-may-see"
OTHER_ID = "ffffffffffffffffffffffffffffffff"


@pytest.fixture
def says(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What the test of a connection says: ``says(auth_type, host=…, extra={…})``."""

    def test(auth_type: str = "token", extra: Any = (), ok: bool = False, **row: Any) -> str:
        connection = fdi_emulator.connection(auth_type, **dict(extra)) | row
        monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", json.dumps(connection))
        started = time.monotonic()
        result, words = FdiHook().test_connection()
        assert time.monotonic() - started < 10
        assert result is ok, words
        for secret in (SECRET, fdi_emulator.token, fdi_emulator.secret_key, fdi_emulator.password):
            assert secret not in words
        return words

    return test


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_connection_that_works(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    instance = f"instance {fdi_emulator.instance_id} of project {fdi_emulator.project_id}"
    assert says(ok=True) == f"Connected to {instance}"


# Settings


def test_settings_that_cannot_be_read(says: Callable[..., str]) -> None:
    assert says(extra={"timeout": "soon"}).startswith("Settings: timeout='soon'")


def test_settings_that_name_no_instance(says: Callable[..., str]) -> None:
    words = says(extra={"instance_id": None})
    assert words.startswith("Settings: instance_id=None: is not set")


def test_settings_with_a_ca_file_that_is_not_there(says: Callable[..., str]) -> None:
    assert says(extra={"verify": "/no/such/file"}).startswith("Settings: ")


# Network


def test_network_that_refuses(says: Callable[..., str]) -> None:
    words = says(host=f"http://127.0.0.1:{free_port()}")
    assert words.startswith("Network: No answer from http://127.0.0.1:")
    assert "refused" in words


def test_network_without_such_a_host(says: Callable[..., str]) -> None:
    assert says(host="https://no-such-host.invalid").startswith("Network: ")


def test_network_without_the_login_s_host(says: Callable[..., str]) -> None:
    words = says("password", extra={"iam_endpoint": f"http://127.0.0.1:{free_port()}"})
    assert words.startswith("Network: No answer from IAM at http://127.0.0.1:")


def test_network_behind_a_proxy_that_is_not_there(says: Callable[..., str]) -> None:
    proxy = f"http://user:{SECRET}@127.0.0.1:{free_port()}"
    assert says(extra={"proxies": {"http": proxy}}).startswith("Network: ")


def test_network_that_drops_the_answer(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("reset_before", times=1)
    assert says().startswith("Network: ")


# TLS


def test_tls_certificate_that_signed_itself(says: Callable[..., str], https: Server) -> None:
    words = says(host=https.url)
    assert words.startswith("TLS: No answer from https://127.0.0.1:")
    assert "certificate verify failed" in words
    assert https.requests == []


def test_tls_certificate_of_the_login(says: Callable[..., str], https: Server) -> None:
    assert says("password", extra={"iam_endpoint": https.url}).startswith("TLS: No answer from IAM at ")


def test_tls_to_a_service_without_it(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    assert says(host=fdi_emulator.url.replace("http:", "https:")).startswith("TLS: ")


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("how", ["CA file", "not verified"])
def test_tls_with_a_private_ca(
    how: str, says: Callable[..., str], https: Server, certificate: tuple[str, str]
) -> None:
    kinds = dict.fromkeys(("running", "abnormal", "terminated", "completed"), 0)
    https.always(Answer(200, {"common_task": kinds, "composite_task": kinds}))
    says(host=https.url, extra={"verify": certificate[0] if how == "CA file" else False}, ok=True)


# Credentials


def test_credentials_token(says: Callable[..., str]) -> None:
    words = says(password=SECRET)
    assert words.startswith("Credentials: Incorrect IAM authentication information: ")


def test_credentials_token_that_expired(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.expire_tokens(include_static=True)
    assert says().startswith("Credentials: ")


def test_credentials_password(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    words = says("password", password=SECRET)
    assert words.startswith("Credentials: The username or password is wrong (HTTP 401 from IAM).")
    assert len(fdi_emulator.journal()) == 1


def test_credentials_domain(says: Callable[..., str]) -> None:
    assert says("password", extra={"domain_name": "elsewhere"}).startswith("Credentials: ")


def test_credentials_secret_key(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    words = says("aksk", password=SECRET)
    assert words.startswith("Credentials: Incorrect IAM authentication information: ")
    assert fdi_emulator.lock_state()["failures"] == {fdi_emulator.access_key: 1}


def test_credentials_access_key(says: Callable[..., str]) -> None:
    assert says("aksk", login="AKUNKNOWN00000000001").startswith("Credentials: ")


def test_credentials_that_the_official_sdk_does_not_find(
    says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = pytest.importorskip("huaweicloudsdkcore.auth.provider")

    class Nothing:
        def get_credentials(self) -> None:
            raise ValueError("nothing in the chain")

    attempts = provider.CredentialProviderChain
    monkeypatch.setattr(attempts, "get_basic_credential_provider_chain", staticmethod(Nothing))
    words = says("sdk")
    assert words.startswith("Credentials: The official SDK found no credentials: nothing in the chain.")


# Project, instance, permission, service


@pytest.mark.parametrize("auth_type", ["token", "aksk"])
def test_project_that_is_not_there(auth_type: str, says: Callable[..., str]) -> None:
    assert says(auth_type, extra={"project_id": OTHER_ID}).startswith(
        "Project: The project ID is empty or does not match"
    )


def test_project_that_the_login_does_not_know(says: Callable[..., str]) -> None:
    words = says("password", extra={"project_id": None, "project_name": "cn-elsewhere-1"})
    assert words.startswith("Project: Could not find project: cn-elsewhere-1 (HTTP 404 from IAM).")


@pytest.mark.parametrize("auth_type", ["token", "aksk", "password"])
def test_instance_that_is_not_there(auth_type: str, says: Callable[..., str]) -> None:
    words = says(auth_type, extra={"instance_id": "fae7ff6c-8e07-4cf8-9e67-000000000000"})
    assert words.startswith("Instance: The instance does not exist. ")


def test_an_address_that_the_gateway_does_not_know_is_not_said_to_be_the_instance(
    says: Callable[..., str], fdi_emulator: FdiEmulator
) -> None:
    body = {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}
    fdi_emulator.fault("status", status=404, body=body)
    assert says().startswith("Service: The API does not exist (APIGW.0101, HTTP 404).")


def test_permission(says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    body = {"error_code": "APIGW.0302", "error_msg": "The IAM user is not allowed to access the API."}
    fdi_emulator.fault("status", status=403, body=body)
    assert says().startswith(
        "Permission: The IAM user is not allowed to access the API (APIGW.0302, HTTP 403)."
    )


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_service_that_fails(status: int, says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault("status", status=status)
    words = says()
    assert words.startswith("Service: ")
    assert f"HTTP {status}" in words
    assert len(fdi_emulator.journal()) == 1


@pytest.mark.parametrize("kind", ["html", "malformed_json", "redirect"])
def test_service_that_is_none(kind: str, says: Callable[..., str], fdi_emulator: FdiEmulator) -> None:
    fdi_emulator.fault(kind)
    assert says().startswith("Service: ")
