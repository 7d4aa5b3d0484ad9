"""One request and whatever is answered to it, for who has to see what the other methods read over."""

from __future__ import annotations

import pytest

from airflow_provider_fdi.client import (
    AkSkAuth,
    FdiAuthError,
    FdiClient,
    FdiConnectionError,
    StaticTokenAuth,
    TokenAuth,
)
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.server import RESET, Answer, Server


@pytest.fixture
def client(fdi_emulator: FdiEmulator) -> FdiClient:
    return FdiClient(
        fdi_emulator.url,
        fdi_emulator.project_id,
        fdi_emulator.instance_id,
        StaticTokenAuth(fdi_emulator.token),
    )


def test_an_error_is_an_answer_too(client: FdiClient) -> None:
    status, headers, body = client.exchange("GET", "/tasks/none")

    assert status == 404
    assert headers["Date"]
    assert b"FDI.3081" in body


def test_query_and_body_are_sent_as_they_are(client: FdiClient, fdi_emulator: FdiEmulator) -> None:
    client.exchange("GET", "/tasks", "limit=7&offset=0")
    client.exchange("POST", "/batch-operation/tasks", body=b'{"action_id":"stop"}')

    asked, sent = fdi_emulator.journal()[-2:]
    assert asked["query"] == {"limit": "7", "offset": "0"}
    assert sent["body"] == {"action_id": "stop"}


def test_an_expired_token_is_renewed_once(fdi_emulator: FdiEmulator) -> None:
    auth = TokenAuth(
        fdi_emulator.url,
        fdi_emulator.user_name,
        fdi_emulator.password,
        fdi_emulator.domain_name,
        project_id=fdi_emulator.project_id,
    )
    client = FdiClient(fdi_emulator.url, fdi_emulator.project_id, fdi_emulator.instance_id, auth)
    assert client.exchange("GET", "/tasks")[0] == 200
    fdi_emulator.expire_tokens()

    assert client.exchange("GET", "/tasks")[0] == 200
    assert auth.lifetime == pytest.approx(86400, abs=2)


def test_a_refused_signature_is_not_sent_again(fdi_emulator: FdiEmulator) -> None:
    auth = AkSkAuth(fdi_emulator.access_key, "not-the-secret-key")
    client = FdiClient(fdi_emulator.url, fdi_emulator.project_id, fdi_emulator.instance_id, auth)

    assert client.exchange("GET", "/tasks")[0] == 401
    with pytest.raises(FdiAuthError):
        client.exchange("GET", "/tasks")


def test_no_answer_raises() -> None:
    server = Server().always(RESET)
    try:
        client = FdiClient(server.url, "p" * 32, "i", StaticTokenAuth("a-token-of-a-test"))
        with pytest.raises(FdiConnectionError):
            client.exchange("POST", "/tasks")
        assert len(server.requests) == 1
    finally:
        server.close()


def test_another_authentication_takes_the_place_of_the_client_s(client: FdiClient) -> None:
    assert client.exchange("GET", "/tasks", authenticate=lambda request: request)[0] == 401


def test_a_body_that_is_not_json_is_an_answer() -> None:
    server = Server().always(Answer(200, b"<html>"))
    try:
        client = FdiClient(server.url, "p" * 32, "i", StaticTokenAuth("a-token-of-a-test"))
        assert client.exchange("GET", "/tasks")[2] == b"<html>"
    finally:
        server.close()
