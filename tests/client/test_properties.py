"""Whatever the service answers, only an FdiError comes out; no id makes a request leave its path."""

from __future__ import annotations

import http.client
import json
import pickle
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
import requests
import urllib3.exceptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from airflow_provider_fdi.client import (
    AkSkAuth,
    Backoff,
    FdiArgumentError,
    FdiClient,
    FdiError,
    StaticTokenAuth,
    TokenAuth,
)
from tests.client.conftest import BASE, INSTANCE, PROJECT, TOKEN
from tests.client.operations import OPERATIONS, WITH_ID
from tests.leaks import SECRETS

SECRET_KEY, PASSWORD = "SK-that-nobody-may-see", "password-that-nobody-may-see"
RETRY = Backoff(attempts=2, base=0, retry_after_cap=0)
QUIET = settings(
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


class Below(BaseAdapter):
    """Stands where the socket would be."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []
        self.answer: Callable[[], requests.Response] = lambda: response(200, b"{}", {})

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent.append(request)
        return self.answer()

    def close(self) -> None:
        pass


def response(status: int, body: bytes, headers: dict[str, str]) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers = CaseInsensitiveDict(headers)
    made._content = body
    made._content_consumed = True  # type: ignore[attr-defined]
    return made


def client_over(below: Below, auth: Any = None) -> FdiClient:
    client = FdiClient(
        "https://fdi.example", PROJECT, INSTANCE, auth or StaticTokenAuth(TOKEN), retry=RETRY, proxies={}
    )
    client._transport.wire.session.mount("https://", below)
    return client


FIELDS = """
    task task_id task_name task_type status execute_status created_date last_modified_time task_detail
    ext_type total size entities id detail_logs data_size data_size_unit data_count start_time end_time
    remarks dispatch_id start_datetime period dispatch_interval use_quartz_cron cron success failure
    success_count failure_count error_code error_msg code message reason error title request_id detail
    errorCode errorMsg init_result body mappings mapping source_columns target_columns field_name null_able
    updated_time mappings_total_count common_task_details running_tasks_count datasource_id app_permission
    content columns tables result mapping_id run_id""".split()

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(
        ["", "t", "r", "0", "1", "stop", "running", "TIMING", "SUCCESS", "2020-01-01", TOKEN, "KB"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=12,
)
wire_json = values.map(lambda value: json.dumps(value).encode())
HOSTILE = [
    b"",
    b"null",
    b"[" * 60_000,
    b'{"a":' * 60_000,
    b"1" * 10_000,
    b'{"total": 1e999, "entities": [{"task_id": 1e999}]}',
    b'{"total": ' + b"9" * 5000 + b"}",
    b'{"error_code": ' + b"9" * 4000 + b"}",
    b"\xef\xbb\xbf{}",
    b"<html><script>" * 1000,
    b'"\\ud800"',
    b"\x00\x1b[31m\r\nforged log line",
    b"NaN",
]


def is_no_secret(text: str | bytes) -> bool:
    # Strings of the code are among what is tried, the secrets of tests with them. Clients that do not know
    # those as theirs rightly log them, for instance as a request id, and the guard of the logs would object.
    held = text if isinstance(text, bytes) else text.encode()
    return not any(secret.encode() in held for secret in (*SECRETS, TOKEN))


bodies = (wire_json | wire_json | st.binary(max_size=40) | st.sampled_from(HOSTILE)).filter(is_no_secret)
statuses = st.sampled_from(
    [200, 200, 200, 201, 204, 302, 304, 400, 401, 403, 404, 408, 409, 413, 429]
) | st.integers(0, 999)
header_text = st.text(st.characters(max_codepoint=255), max_size=30).filter(is_no_secret)
headers = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "Content-Type", "X-Request-Id", "Location", "X-Subject-Token"]),
    header_text
    | st.sampled_from(
        ["0", "1e9", "Fri, 01 Jan 2100 00:00:00 GMT", "Thu, 99 Foo 10000 99:99:99 GMT", "text/html"]
    ),
    max_size=3,
)
FAULTS: list[BaseException] = [
    requests.exceptions.ConnectTimeout(),
    requests.exceptions.ReadTimeout(),
    requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("aborted", ConnectionResetError())),
    requests.exceptions.ChunkedEncodingError(urllib3.exceptions.IncompleteRead(1, 2)),
    requests.exceptions.ContentDecodingError(),
    requests.exceptions.InvalidURL(),
    urllib3.exceptions.DecodeError(),
    http.client.BadStatusLine("x"),
    OSError(),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    zlib.error(),
]


def failure_of(call: Callable[[], Any]) -> FdiError | None:
    try:
        call()
    except FdiError as error:
        return error
    return None


def check(
    call: Callable[[FdiClient], Any], client: FdiClient, secrets: tuple[str, ...] = (TOKEN, SECRET_KEY)
) -> None:
    client.gate.not_before = 0.0
    error = failure_of(lambda: call(client))
    if error is not None:
        text = f"{error} {error!r} {error.__dict__}"
        for secret in secrets:
            assert secret not in text
        assert len(str(error)) < 1200
        assert all(line.isprintable() for line in str(error).split("\n")), str(error)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.ambiguous) == (type(error), str(error), error.ambiguous)


ORDER = sorted(OPERATIONS)


# Making up an answer costs more than reading it: nine operations (8,100 cases) and a login get each.
@settings(QUIET, max_examples=900)
@given(first=st.integers(0, len(ORDER) - 1), status=statuses | st.just(201), body=bodies, headers=headers)
def test_no_answer_whatever_raises_anything_but_an_fdi_error(
    first: int, status: int, body: bytes, headers: dict[str, str]
) -> None:
    BELOW.answer = lambda: response(status, body, headers)
    for step in range(9):
        check(OPERATIONS[ORDER[(first + 4 * step) % len(ORDER)]], CLIENT)
    auth = TokenAuth("https://iam.example", "u", PASSWORD, "d", project_name="p", proxies={})
    auth._wire.session.mount("https://", BELOW)
    check(OPERATIONS["get_task"], client_over(Below(), auth), (PASSWORD,))
    assert PASSWORD not in str(failure_of(lambda: auth.project_id))


@settings(QUIET, max_examples=300)
@given(operation=st.sampled_from(sorted(OPERATIONS)), fault=st.sampled_from(FAULTS))
def test_no_fault_below_raises_anything_but_an_fdi_error(operation: str, fault: BaseException) -> None:
    def fail() -> requests.Response:
        raise fault

    BELOW.answer = fail
    check(OPERATIONS[operation], CLIENT)


BELOW = Below()
CLIENT = client_over(BELOW)
SIGNED = Below()
SIGNING_CLIENT = client_over(SIGNED, AkSkAuth("AK", SECRET_KEY))

ADDRESSES = {
    "get_task": ("tasks/", ""),
    "delete_task": ("tasks/", ""),
    "run_task": ("tasks/", "/run"),
    "terminate_task": ("tasks/", "/terminate"),
    "get_schedule": ("tasks/", "/dispatches"),
    "update_schedule": ("tasks/t/dispatches/", ""),
    "get_run_steps": ("tasks/t/monitor-logs/", ""),
    "list_runs": ("tasks/", "/monitor-logs"),
    "delete_mapping": ("multi-tasks/t/mappings/", ""),
    "reset_composite_task": ("multi-tasks/", "/reset"),
    "list_tables": ("datasources/", "/tables"),
    "delete_datasource": ("datasources/", ""),
}
"""What stands before and after the id."""
nasty = st.sampled_from(
    [".", "..", "/", "\\", "?", "#", "%", "%2e%2e", "%2F", ";", ":", "@", "\r\n", " ", "..;", "://"]
)
ids = st.lists(nasty | st.text(st.characters(exclude_categories=()), max_size=6), max_size=5).map("".join)


@settings(QUIET, max_examples=650)
@given(first=st.integers(0, len(ADDRESSES) - 1), task_id=ids, signed=st.booleans())
def test_no_id_makes_a_request_leave_its_path(first: int, task_id: str, signed: bool) -> None:
    for step in range(4):
        stays_in_its_path(sorted(ADDRESSES)[(first + 3 * step) % len(ADDRESSES)], task_id, signed)


def stays_in_its_path(operation: str, task_id: str, signed: bool) -> None:
    below, client = (SIGNED, SIGNING_CLIENT) if signed else (BELOW, CLIENT)
    below.sent.clear()
    below.answer = lambda: response(200, b"{}", {})
    before, after = f"{BASE}/{ADDRESSES[operation][0]}", ADDRESSES[operation][1]
    try:
        WITH_ID[operation](client, task_id)
    except FdiArgumentError:
        assert below.sent == []
        return
    except FdiError:
        pass
    (request,) = below.sent
    # What urllib3 writes into the request line.
    target = urllib3.util.url._encode_target(request.path_url)
    path, _, query = target.partition("?")
    assert query in ("", "limit=999&offset=1", "position=SOURCE")
    assert path.startswith(before)
    assert path.endswith(after)
    segment = path[len(before) : len(path) - len(after)]
    assert "/" not in segment
    assert segment.strip(".") != ""
    assert unquote(segment) == task_id
    assert request.url is not None
    assert request.url.startswith("https://fdi.example/")


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_an_echoed_secret_is_masked(operation: str) -> None:
    for echo in (
        {"error_code": "APIGW.0301", "error_msg": f"decrypt token fail {TOKEN} x"},
        {"error_code": TOKEN, "error_msg": "x"},
        {"error": {"code": TOKEN, "message": TOKEN}},
        {"unexpected": TOKEN},
    ):
        BELOW.answer = lambda echo=echo: response(400, json.dumps(echo).encode(), {"X-Request-Id": TOKEN})  # type: ignore[misc]
        check(OPERATIONS[operation], CLIENT)
