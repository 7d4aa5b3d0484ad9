from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from airflow_provider_fdi.client import errors
from airflow_provider_fdi.client.errors import (
    HIDDEN,
    FdiArgumentError,
    FdiAuthError,
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
    is_permanent,
)
from airflow_provider_fdi.client.models import BatchItem, BatchResult
from airflow_provider_fdi.client.responses import error_from_response, parse_error_body


def words(body: Any, **options: Any) -> tuple[str, str]:
    found = parse_error_body(body if isinstance(body, bytes) else json.dumps(body).encode(), **options)
    return found.code, found.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error_code": "FDI.3026", "error_msg": "Failed."}, ("FDI.3026", "Failed.")),
        (
            {"error_code": "FDI.3035", "error_msg": "Bad SQL.", "detail": "near x"},
            ("FDI.3035", "Bad SQL. (near x)"),
        ),
        (
            {"code": 404, "reason": {"error_code": "FDI.3180", "error_msg": "Not here."}},
            ("FDI.3180", "Not here."),
        ),
        ({"error": {"code": 401, "message": "Wrong.", "title": "Unauthorized"}}, ("401", "Wrong.")),
        ({"code": "X.1", "message": "m"}, ("X.1", "m")),
        ({"errorCode": "X.2", "errorMsg": "m"}, ("X.2", "m")),
        ({"message": "m"}, ("", "m")),
        ({"error": "invalid_grant"}, ("", "invalid_grant")),
        (
            {"error_code": "IAM.0011", "error_msg": "m", "encoded_authorization_message": "x"},
            ("IAM.0011", "m"),
        ),
        ({"outer": {"inner": {"error_code": "A", "error_msg": "b"}}}, ("A", "b")),
        ({"error_code": "A"}, ("A", "")),
        ({"strange": 1}, ("", '{"strange": 1}')),
        ("just text", ("", "just text")),
        ([1, 2], ("", "[1, 2]")),
        ({}, ("", "")),
        (None, ("", "")),
        (b"", ("", "")),
        (b"plain\r\n text\x00 here", ("", "plain text here")),
        (b"\xff\xfe\xfd", ("", "\ufffd\ufffd\ufffd")),
    ],
)
def test_every_shape_of_an_error_body(body: Any, expected: tuple[str, str]) -> None:
    assert words(body) == expected


def test_html_is_reduced_to_its_words() -> None:
    page = b"<html><head><title>502 Bad Gateway</title><script>x=1</script></head><h1>nginx</h1></html>"
    assert words(page, content_type="text/html") == ("", "502 Bad Gateway nginx")


def test_request_id_from_the_header_or_the_body() -> None:
    assert parse_error_body(b'{"error_code": "A", "error_msg": "b", "request_id": "r"}').request_id == "r"
    assert parse_error_body(b'{"request_id": "r"}', request_id="h").request_id == "h"


def test_long_words_are_cut() -> None:
    assert len(words({"error_code": "A", "error_msg": "x" * 100_000})[1]) == 500


def test_secret_is_masked_also_where_it_would_be_cut() -> None:
    secret = "MIItokentokentoken"
    for body in ({"error_msg": "x" * 490 + secret}, ("x" * 490 + secret).encode(), {"error_msg": [secret]}):
        _, message = words(body, secrets=[secret])
        assert "MIIt" not in message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "FDI.3002", FdiInvalidRequestError),
        (400, "FDI.3021", FdiNotFoundError),
        (404, "FDI.3081", FdiNotFoundError),
        (404, "", FdiNotFoundError),
        (500, "ROMA.00110002", FdiNotFoundError),
        (400, "FDI.3023", FdiConflictError),
        (409, "", FdiConflictError),
        (400, "FDI.3026", FdiConflictError),
        (401, "APIGW.0301", FdiAuthError),
        (403, "APIGW.0302", FdiPermissionError),
        (429, "APIGW.0308", FdiThrottledError),
        (500, "FDI.3018", FdiServerError),
        (400, "FDI.3018", FdiServerError),
        (503, "", FdiServerError),
        (413, "APIGW.0201", FdiInvalidRequestError),
        (400, "FDI.3016", FdiResponseError),
        (302, "", FdiResponseError),
    ],
)
def test_kind_by_status_and_code(status: int, code: str, kind: type[FdiError]) -> None:
    error = error_from_response(
        operation="op",
        ids={},
        attempts=1,
        status=status,
        headers={},
        body=json.dumps({"error_code": code, "error_msg": "m"}).encode(),
    )
    assert type(error) is kind


@pytest.mark.parametrize(
    ("status", "code", "ambiguous"),
    [
        (400, "FDI.3026", False),
        (404, "", False),
        (408, "", True),
        (429, "", False),
        (500, "FDI.3018", True),
        (500, "ROMA.00110002", False),
        (502, "", True),
        (504, "", True),
    ],
)
def test_whether_a_write_may_have_been_carried_out(status: int, code: str, ambiguous: bool) -> None:
    body = json.dumps({"error_code": code}).encode()
    error = error_from_response(operation="op", ids={}, attempts=1, status=status, headers={}, body=body)
    assert error.ambiguous is ambiguous


def answered(status: int, code: str, message: str = "words", **options: Any) -> FdiResponseError:
    body = json.dumps({"error_code": code, "error_msg": message}).encode()
    given: dict[str, Any] = {"operation": "get_task", "ids": {}, "attempts": 1, "headers": {}} | options
    return error_from_response(status=status, body=body, **given)


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        *[(400, f"FDI.{n}", True) for n in (3002, 3021, 3022, 3033, 3035, 3037, 3039, 3043, 3048)],
        *[(400, f"FDI.{n}", True) for n in (3149, 3150)],
        *[(400, f"FDI.{n}", False) for n in (3016, 3019, 3020, 3023, 3026, 3027, 3028)],
        *[(404, f"FDI.{n}", True) for n in (3081, 3083, 3101, 3180)],
        *[(500, f"FDI.{n}", False) for n in (3018, 9999)],
        (500, "ROMA.00110002", True),
        (404, "ROMA.00110006", True),
        (400, "SCB.00000000", True),
        (404, "APIG.0101", True),
        (401, "APIGW.0301", True),
        (403, "APIGW.0302", True),
        (429, "APIGW.0308", False),
        (413, "APIGW.0201", True),
        (504, "APIGW.0201", False),
        (503, "APIGW.0613", False),
        (302, "", True),
        (408, "", False),
        (409, "", False),
        (500, "", False),
    ],
)
def test_whether_a_retry_can_help(status: int, code: str, permanent: bool) -> None:
    assert is_permanent(answered(status, code)) is permanent


@pytest.mark.parametrize(
    ("code", "anchor"),
    [
        ("FDI.3081", "FDI.3081"),
        ("APIGW.0101", "APIGW.0101"),
        ("APIG.0101", "APIGW.0101"),
        ("APIG.1002", "APIGW.1002"),
        ("FDI.4711", "FdiNotFoundError"),
        ("", "FdiNotFoundError"),
    ],
)
def test_a_message_ends_with_where_it_is_explained(code: str, anchor: str) -> None:
    assert str(answered(404, code)).endswith(f"\nSee docs/troubleshooting.md#{anchor}")


@pytest.mark.parametrize("length", [10, 80, 500])
def test_the_first_line_is_the_reason_in_at_most_80_characters(length: int) -> None:
    words = " ".join(["word"] * (length // 5))
    first, *rest = str(answered(400, "FDI.3002", words)).splitlines()
    assert len(first) <= 80
    assert first.startswith("word word")
    assert f"{words} (FDI.3002, HTTP 400)." in f"{first} {rest[0]}"


def test_name_connection_and_ids_follow_the_reason() -> None:
    error = answered(400, "FDI.3039", ids={"task_id": "t1", "run_id": "r1"}, headers={"X-Request-Id": "q1"})
    assert str(error.replace(task_name="orders", connection="fdi_prod")).splitlines() == [
        "words (FDI.3039, HTTP 400).",
        "FDI task orders (t1).",
        "Check project_id of connection 'fdi_prod': it must be that of the credentials and of the region.",
        "get_task, run_id=r1, request id q1",
        "See docs/troubleshooting.md#FDI.3039",
    ]


def test_server_time_is_the_date_in_milliseconds() -> None:
    error = error_from_response(
        operation="op",
        ids={},
        attempts=1,
        status=400,
        headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"},
        body=b"",
    )
    assert error.server_time == 784111777000


def test_every_error_pickles_with_all_it_knows() -> None:
    partial = BatchResult((BatchItem("a"),), (BatchItem("b", None, "X", "y"),), {"raw": 1})
    common = {"operation": "o", "ids": {"a": "b"}, "attempts": 2, "unsettled": True, "partial": partial}
    made: list[FdiError] = [
        FdiConnectionError("m", may_have_arrived=False, **common),
        FdiProtocolError("m", delivered=False, **common),
        FdiArgumentError("field", "value", "rule", owner="op"),
    ]
    made += [
        kind(
            "m",
            status=400,
            error_code="c",
            error_msg="w",
            request_id="r",
            retry_after=1.5,
            delivered=False,
            **common,
        )
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, FdiResponseError)
    ]
    for error in made:
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__
        assert twin.ambiguous == error.ambiguous


def test_a_changed_copy_leaves_the_error_as_it_is() -> None:
    error = FdiServerError("m", operation="o", status=503)
    error.__cause__ = OSError("x")
    shown = str(error)

    twin = error.replace(attempts=2)

    assert (twin.attempts, error.attempts) == (2, 0)
    assert (type(twin), str(twin), twin.status) == (FdiServerError, shown, 503)
    assert twin.__cause__ is error.__cause__


def test_a_refused_argument_names_field_value_and_rule() -> None:
    error = FdiArgumentError("task_name", "x", "must be longer", owner="Backoff")
    assert error.reason == "Backoff: task_name='x': must be longer"
    assert str(error).splitlines() == [error.reason, "See docs/troubleshooting.md#FdiArgumentError"]
    assert isinstance(error, ValueError)
    assert not isinstance(error, FdiResponseError)
    assert (error.field, error.value, error.rule) == ("task_name", "'x'", "must be longer")
    assert not error.ambiguous


def test_a_refused_argument_can_hide_its_value() -> None:
    error = FdiArgumentError("password", HIDDEN, "must be longer")
    assert (error.reason, error.value) == ("password: must be longer", "")


def test_the_refusal_of_a_long_value_stays_short() -> None:
    for value in ("x" * 10_000, list(range(10_000)), {"a": "x" * 10_000}):
        assert len(str(FdiArgumentError("field", value, "rule"))) < 200
