"""The guard over all tests, and the search for secrets in text that is almost JSON."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_fdi.client.secrets import secret_values
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.leaks import LOGGERS, Guard

SECRETS = (FdiEmulator.token, FdiEmulator.password, FdiEmulator.secret_key, "MII" + "x" * 2000)


@pytest.mark.parametrize("name", [*LOGGERS, "airflow_provider_fdi.client.transport"])
@pytest.mark.parametrize("secret", SECRETS, ids=["token", "password", "secret key", "issued token"])
def test_guard_finds_a_secret_that_is_logged(secret: str, name: str, log_guard: Guard) -> None:
    logging.getLogger(name).debug("sending %s", secret)
    assert len(log_guard.take()) == 1


def test_guard_finds_a_secret_in_an_exception(log_guard: Guard) -> None:
    try:
        raise ValueError(FdiEmulator.token)
    except ValueError:
        logging.getLogger("airflow_provider_fdi").debug("failed", exc_info=True)
    assert len(log_guard.take()) == 1


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ('{"rows": {{ params.rows }}, "password": "p-1"}', ["p-1"]),
        ('{"password": "with \\" quote", "x": 1,}', ['with \\" quote']),
        ("{'password': 'p-1', 'user': 'somebody'}", ["p-1"]),
        ('{"inner": "{\\"client_secret\\": \\"p-1\\"}", "x": {{ y }}}', ["p-1"]),
        ('[{"keys": "Authorization", "value": "Bearer p-1"}, {{ y }}]', ["Bearer p-1"]),
        ('{"user": "somebody", "x": {{ y }}}', []),
    ],
)
def test_secrets_are_found_in_text_that_is_almost_json(text: str, secrets: list[str]) -> None:
    assert secret_values(text) == secrets


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text", ['{"' + '\\"' * 100_000, '{"' + 'a":"b,' * 50_000, "{" + "\\" * 100_000, '{"a' * 50_000]
)
def test_no_text_takes_long_to_search(text: str) -> None:
    secret_values(text)
