"""Our signature is that of the official SDK, byte for byte."""

from __future__ import annotations

import copy
import datetime as dt
import random
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_fdi.client import AkSkAuth, FdiClient
from airflow_provider_fdi.client.signing import canonical_query, sign, signature
from tests.client.conftest import BASE, PROJECT
from tests.server import Answer, Server

AK, SK = "AKEXAMPLE0000000001", "SKexample/abcdefghijklmnopqrstuvwxyz0123"
HOST = "roma.cn-north-4.myhuaweicloud.com"
NOW = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
DATE = {"X-Sdk-Date": "20240102T030405Z", "Host": HOST}
JSON = {"Content-Type": "application/json"}
OURS = {"X-Project-Id": PROJECT}
BATCH = b'{"action_id": "start", "list": [{"task_id": "15366328208d4d77b76532fe9f4006a6"}]}'

VECTORS = [
    (
        "GET",
        "/tasks",
        [("status", 1), ("limit", 100), ("name", "daily load"), ("offset", 0)],
        {**JSON, **OURS},
        b"",
        "content-type;host;x-project-id;x-sdk-date",
        "3a54ca2b99e37cb3b404aa8b7bc1fcd0e282a39c812a6a9e33b7bd57ca2bf92e",
    ),
    (
        "POST",
        "/tasks/15366328208d4d77b76532fe9f4006a6/run",
        [],
        {**JSON, **OURS},
        b"",
        "content-type;host;x-project-id;x-sdk-date",
        "885231fb8af0fa56ba39565524e050ad5ab01436704e7ea737edb8d0f697fd9c",
    ),
    (
        "POST",
        "/batch-operation/tasks",
        [],
        {
            "Content-Type": "application/json;charset=utf-8",
            **OURS,
            "X-Security-Token": "STSTOKENEXAMPLE",
        },
        BATCH,
        "content-type;host;x-project-id;x-sdk-date;x-security-token",
        "fc26995383d549ae9814a7c143763344cfead46c1ac16e0415624e5fd805bcda",
    ),
    (
        "GET",
        "/tasks",
        [],
        {},
        b"",
        "host;x-sdk-date",
        "86aa967f8ee3ab4679a11aaa7879cd8faa6eb81be3281b3d4cb375149569e7da",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "body", "names", "expected"), VECTORS)
def test_worked_vectors(
    method: str,
    path: str,
    query: list[tuple[str, Any]],
    headers: dict[str, str],
    body: bytes,
    names: str,
    expected: str,
) -> None:
    signed = signature(method, BASE + path, canonical_query(query), {**headers, **DATE}, body, SK)
    assert signed == (names, expected)


ALPHABET = "abcXYZ019-_.~ +/%&=?#:;,@!$'()*[]{}|\\\"<>^`äöß日報任务😀\u00a0\u0301"


def some_text(rng: random.Random, least: int = 0, forbidden: str = "") -> str:
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(least, 8))).translate(
        {ord(c): None for c in forbidden}
    )


def generated(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    path = "/v2/" + "/".join("x" + some_text(rng, 1, "/") for _ in range(rng.randint(0, 5)))
    if rng.random() < 0.2:
        path += "/"
    query: list[tuple[str, str]] = [(some_text(rng, 1), some_text(rng)) for _ in range(rng.randint(0, 5))]
    if query and rng.random() < 0.5:
        query += [(query[0][0], some_text(rng)) for _ in range(rng.randint(1, 3))]
    headers = {}
    kind = rng.choice(
        [None, "application/json", "application/json;charset=utf-8", "application/bson", "text/plain"]
    )
    if kind:
        headers["Content-Type"] = kind
    if rng.random() < 0.7:
        headers["X-Project-Id"] = PROJECT
    if rng.random() < 0.3:
        headers["X-Security-Token"] = f"STS {rng.random()}"
    body = b"" if rng.random() < 0.4 else some_text(rng, 1).encode()
    return {
        "method": rng.choice(["GET", "POST", "PUT", "DELETE"]),
        "path": path,
        "encoded": quote(path, safe="/~"),
        "query": query,
        "headers": headers,
        "body": body,
    }


def by_the_sdk(case: dict[str, Any]) -> tuple[str, str]:
    """Query as sent, with its question mark, and Authorization."""
    credentials = pytest.importorskip("huaweicloudsdkcore.auth.credentials")
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import Signer

    request = SdkRequest(
        method=case["method"],
        schema="https",
        host=HOST,
        resource_path=case["encoded"] if "%" in case["path"] else case["path"],
        query_params=copy.deepcopy(case["query"]),
        header_params={**case["headers"], "X-Sdk-Date": DATE["X-Sdk-Date"]},
        body=case["body"] or None,
    )
    Signer(credentials.BasicCredentials(AK, SK, PROJECT)).sign(request)
    return request.uri.removeprefix(request.resource_path), request.header_params["Authorization"]


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_generated_requests_are_signed_as_by_the_sdk(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        case = generated(seed)
        query, authorization = by_the_sdk(case)
        request = requests.Request(
            case["method"],
            f"https://{HOST}{case['encoded']}",
            params=case["query"],  # in the form and order of the requests library
            headers=case["headers"],
            data=case["body"],
        ).prepare()
        for name in [n for n in request.headers if n not in case["headers"]]:
            del request.headers[name]
        sign(request, AK, SK, now=NOW)
        assert request.headers["Authorization"] == authorization, (seed, case)
        assert request.url is not None
        sent = request.url.removeprefix(f"https://{HOST}")
        assert sent == case["encoded"] + query
        assert (request.body or b"") == case["body"]


def test_lists_and_booleans_of_a_query_are_written_as_by_the_sdk() -> None:
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import Signer

    pairs = [("z", ["b", "a", ""]), ("flag", True), ("n", 7), ("empty", ""), ("日", "x y")]
    theirs = Signer.process_canonical_query_string(SdkRequest(query_params=copy.deepcopy(pairs)))
    assert canonical_query(pairs) == theirs == "empty=&flag=true&n=7&z=&z=a&z=b&%E6%97%A5=x%20y"


def test_what_is_signed_is_what_arrives(service: Server, make_client: Any) -> None:
    client: FdiClient = make_client(AkSkAuth(AK, SK, security_token="STS"))
    service.always(Answer(200, {"total": 0, "entities": []}))
    client.list_tasks(name="日报 a+b/c")
    client.auto_create_mappings(source_datasource_id="a", target_datasource_id="b", mapping_prefix="ü ")
    service.then(Answer(200, {"success_count": 1, "failure_count": 0}))
    client.start_tasks(["t ü"])
    for request in service.requests:
        _, _, rest = request.headers["Authorization"].partition("SignedHeaders=")
        names, _, value = rest.partition(", Signature=")
        path, _, query = request.target.partition("?")
        headers = {name: request.headers[name] for name in names.split(";")}
        assert signature(request.method, path, query, headers, request.body, SK) == (names, value)
        assert {"content-type", "host", "x-project-id", "x-sdk-date", "x-security-token"} <= set(
            names.split(";")
        )


def test_a_text_body_is_sent_as_the_bytes_that_were_signed() -> None:
    request = requests.Request("POST", f"https://{HOST}/x", data="日", headers=JSON).prepare()
    sign(request, AK, SK, now=NOW)
    assert request.body == "日".encode()
    assert request.headers["Content-Length"] == "3"
