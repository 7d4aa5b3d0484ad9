"""Which failed polls end a wait, and which are absorbed."""

from __future__ import annotations

import pytest

from airflow_provider_fdi.client.errors import (
    FdiArgumentError,
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiServerError,
    is_permanent,
)
from airflow_provider_fdi.hooks.settings import FdiConnectionSettingError
from airflow_provider_fdi.runs.polling import PollFailures, should_stop_polling

REFUSED_HERE = [
    FdiArgumentError("task_id", "a/b", "must not contain /"),
    FdiConnectionSettingError("fdi_default", "host", None, "is not set"),
]


@pytest.mark.parametrize("error", REFUSED_HERE, ids=lambda e: type(e).__name__)
def test_a_refused_argument_is_permanent_and_never_absorbed(error: FdiError) -> None:
    failures = PollFailures(timeout=600)

    assert is_permanent(error)
    assert should_stop_polling(error)
    with pytest.raises(type(error)) as caught:
        failures.failed(error, now=0.0, interval=1.0)
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (FdiAuthError("m", status=401), True),
        (FdiInvalidRequestError("m", status=400), False),
        (FdiServerError("m", status=503), False),
        (FdiConnectionError("m"), False),
    ],
    ids=lambda e: type(e).__name__,
)
def test_of_what_the_service_says_only_wrong_credentials_end_a_wait(error: FdiError, permanent: bool) -> None:
    assert should_stop_polling(error) is permanent
