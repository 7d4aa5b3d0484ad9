"""Tokens, signatures, temporary keys, and the place a request is for."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_fdi.emulator.service import signature

pytestmark = pytest.mark.usefixtures("checked_answers")


@pytest.fixture
def http():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def login(emulator, http, password=None, scope=None):
    user = {
        "name": emulator.user_name,
        "password": password or emulator.password,
        "domain": {"name": emulator.domain_name},
    }
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if scope is not False:
        auth["scope"] = {"project": scope or {"name": emulator.project_name}}
    return http.post(f"{emulator.url}/v3/auth/tokens", json={"auth": auth})


def code(answer):
    return answer.status_code, answer.json()["error_code"]


def sign(emulator, method, url, body=b"", *, key=None, secret=None, shift_s=0, **extra):
    parts = urlsplit(url)
    moment = datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() + shift_s, tz=timezone.utc)
    headers = {"host": parts.netloc, "x-sdk-date": moment.strftime("%Y%m%dT%H%M%SZ"), **extra}
    signed = sorted(headers)
    canonical = signature.canonical_request(method, parts.path, parts.query, headers, signed, body)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"SDK-HMAC-SHA256\n{headers['x-sdk-date']}\n{digest}"
    value = hmac.new((secret or emulator.secret_key).encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"SDK-HMAC-SHA256 Access={key or emulator.access_key},"
        f" SignedHeaders={';'.join(signed)}, Signature={value}"
    )
    return headers


def test_a_token_of_iam_opens_the_api(fdi_emulator, http):
    answer = login(fdi_emulator, http)
    assert answer.status_code == 201
    assert answer.json()["token"]["project"]["id"] == fdi_emulator.project_id
    token = answer.headers["X-Subject-Token"]
    assert token.startswith("MII")
    assert http.get(f"{fdi_emulator.api}/tasks", headers={"X-Auth-Token": token}).ok


def test_the_project_may_be_given_by_id(fdi_emulator, http):
    assert login(fdi_emulator, http, scope={"id": fdi_emulator.project_id}).status_code == 201
    assert login(fdi_emulator, http, scope={"name": "elsewhere"}).status_code == 404


def test_a_token_without_project_does_not_fit_the_url(fdi_emulator, http):
    token = login(fdi_emulator, http, scope=False).headers["X-Subject-Token"]
    answer = http.get(f"{fdi_emulator.api}/tasks", headers={"X-Auth-Token": token})
    assert code(answer) == (400, "FDI.3039")


def test_a_wrong_password_is_answered_in_the_shape_of_iam(fdi_emulator, http):
    answer = login(fdi_emulator, http, password="wrong")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401
    assert answer.json()["error"]["title"] == "Unauthorized"


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b'{"auth": {}}', b'{"auth": {"identity": {"methods": ["totp"]}}}']
)
def test_a_malformed_login_is_a_bad_request(fdi_emulator, http, body):
    assert http.post(f"{fdi_emulator.url}/v3/auth/tokens", data=body).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "wrong"}])
def test_without_a_good_token_nothing_is_answered(fdi_emulator, http, headers):
    answer = http.get(f"{fdi_emulator.api}/tasks", headers=headers)
    assert code(answer) == (401, "APIGW.0301")
    assert answer.json()["request_id"]


def test_a_token_ends_with_its_time_or_by_command(fdi_emulator, http):
    for end in (lambda: fdi_emulator.move_clock(86_400_000), fdi_emulator.expire_tokens):
        token = login(fdi_emulator, http).headers["X-Subject-Token"]
        end()
        answer = http.get(f"{fdi_emulator.api}/tasks", headers={"X-Auth-Token": token})
        assert code(answer) == (401, "APIGW.0307")
        assert answer.json()["error_msg"] == "The token must be updated."


def test_the_vendors_vectors_are_reproduced():
    host = "roma.cn-north-4.myhuaweicloud.com"
    base = "/v2/0123456789abcdef0123456789abcdef/fdi/instances/fae7ff6c-8e07-4cf8-9e67-589cab2f017c/tasks"
    secret, date = "SKexample/abcdefghijklmnopqrstuvwxyz0123", "20240102T030405Z"
    task = "/15366328208d4d77b76532fe9f4006a6/run"
    batch = b'{"action_id": "start", "list": [{"task_id": "15366328208d4d77b76532fe9f4006a6"}]}'
    headers = {
        "host": host,
        "x-sdk-date": date,
        "content-type": "application/json",
        "x-project-id": "0123456789abcdef0123456789abcdef",
    }
    query = "limit=100&name=daily%20load&offset=0&status=1"
    vectors = [
        (
            "GET",
            base,
            query,
            headers,
            b"",
            "3a54ca2b99e37cb3b404aa8b7bc1fcd0e282a39c812a6a9e33b7bd57ca2bf92e",
        ),
        (
            "POST",
            base + task,
            "",
            headers,
            b"",
            "885231fb8af0fa56ba39565524e050ad5ab01436704e7ea737edb8d0f697fd9c",
        ),
        (
            "POST",
            base.replace("/tasks", "/batch-operation/tasks"),
            "",
            {
                **headers,
                "content-type": "application/json;charset=utf-8",
                "x-security-token": "STSTOKENEXAMPLE",
            },
            batch,
            "fc26995383d549ae9814a7c143763344cfead46c1ac16e0415624e5fd805bcda",
        ),
        (
            "GET",
            base,
            "",
            {"host": host, "x-sdk-date": date},
            b"",
            "86aa967f8ee3ab4679a11aaa7879cd8faa6eb81be3281b3d4cb375149569e7da",
        ),
    ]
    for method, path, text, signed, body, expected in vectors:
        canonical = signature.canonical_request(method, path, text, signed, list(signed), body)
        assert signature.expected_signature(secret, date, canonical) == expected


def test_a_signed_request_is_accepted(fdi_emulator, http):
    for path in ("tasks", "tasks?name=%E6%97%A5%20a%2Fb%2B&limit=5&task_tag="):
        url = f"{fdi_emulator.api}/{path}"
        answer = http.get(url, headers=sign(fdi_emulator, "GET", url))
        assert answer.ok, answer.text


def test_an_altered_request_is_refused(fdi_emulator, http):
    url = f"{fdi_emulator.api}/tasks"
    answer = http.get(url + "?limit=5", headers=sign(fdi_emulator, "GET", url))
    assert code(answer) == (401, "APIGW.0301")
    answer = http.post(url, data=b"{}", headers=sign(fdi_emulator, "POST", url, b"{ }"))
    assert "verify aksk signature fail" in answer.json()["error_msg"]


def test_an_unknown_key_is_named_as_such(fdi_emulator, http):
    url = f"{fdi_emulator.api}/tasks"
    answer = http.get(url, headers=sign(fdi_emulator, "GET", url, key="NOBODY"))
    assert "ak not exist" in answer.json()["error_msg"]


def test_a_signature_is_good_for_fifteen_minutes_around_the_servers_time(fdi_emulator, http):
    url = f"{fdi_emulator.api}/tasks"
    assert http.get(url, headers=sign(fdi_emulator, "GET", url, shift_s=-840)).ok
    assert not http.get(url, headers=sign(fdi_emulator, "GET", url, shift_s=-960)).ok
    fdi_emulator.move_clock(-960_000)
    assert http.get(url, headers=sign(fdi_emulator, "GET", url, shift_s=-960)).ok


def test_five_bad_signatures_lock_the_key_for_five_minutes(fdi_emulator, http):
    url = f"{fdi_emulator.api}/tasks"

    def good():
        return http.get(url, headers=sign(fdi_emulator, "GET", url))

    for _ in range(4):
        http.get(url, headers=sign(fdi_emulator, "GET", url, secret="wrong"))
    assert good().ok
    for _ in range(5):
        http.get(url, headers=sign(fdi_emulator, "GET", url, secret="wrong"))
    assert "AK access failed to reach the limit" in good().json()["error_msg"]
    assert list(fdi_emulator.lock_state()["locked"]) == [fdi_emulator.access_key]
    fdi_emulator.move_clock(301_000)
    assert http.get(url, headers=sign(fdi_emulator, "GET", url, shift_s=301)).ok


def test_a_temporary_key_needs_its_security_token(fdi_emulator, http):
    token = login(fdi_emulator, http).headers["X-Subject-Token"]
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": token, "duration_seconds": 900}}}}
    answer = http.post(f"{fdi_emulator.url}/v3.0/OS-CREDENTIAL/securitytokens", json=body)
    assert answer.status_code == 201
    made = answer.json()["credential"]
    url = f"{fdi_emulator.api}/tasks"
    keys = {"key": made["access"], "secret": made["secret"]}
    assert not http.get(url, headers=sign(fdi_emulator, "GET", url, **keys)).ok
    token_header = {"x-security-token": made["securitytoken"]}
    assert http.get(url, headers=sign(fdi_emulator, "GET", url, **keys, **token_header)).ok


def test_the_metadata_service_hands_out_a_key(fdi_emulator, http):
    answer = http.put(f"{fdi_emulator.url}/meta-data/latest/api/token")
    assert answer.ok
    made = http.get(f"{fdi_emulator.url}/openstack/latest/securitykey").json()["credential"]
    url = f"{fdi_emulator.api}/tasks"
    headers = sign(
        fdi_emulator,
        "GET",
        url,
        key=made["access"],
        secret=made["secret"],
        **{"x-security-token": made["securitytoken"]},
    )
    assert http.get(url, headers=headers).ok


def test_projects_are_found_by_name(fdi_emulator, http):
    url = f"{fdi_emulator.url}/v3/projects?name={fdi_emulator.project_name}"
    rows = http.get(url, headers=sign(fdi_emulator, "GET", url)).json()["projects"]
    assert [row["id"] for row in rows] == [fdi_emulator.project_id]


def test_an_unknown_instance_is_a_server_error(api, fdi_emulator, http):
    url = fdi_emulator.api.replace(fdi_emulator.instance_id, "other") + "/tasks"
    answer = http.get(url, headers={"X-Auth-Token": fdi_emulator.token})
    assert code(answer) == (500, "ROMA.00110002")
    assert "instance_id: other" in answer.json()["error_msg"]


def test_an_unknown_project_is_a_bad_request(fdi_emulator, http):
    url = fdi_emulator.api.replace(fdi_emulator.project_id, "f" * 32) + "/tasks"
    answer = http.get(url, headers={"X-Auth-Token": fdi_emulator.token})
    assert code(answer) == (400, "FDI.3039")


def test_every_answer_has_a_request_id_and_one_date_by_the_moved_clock(fdi_emulator, http):
    fdi_emulator.move_clock(3_600_000)
    for url in (f"{fdi_emulator.api}/tasks", f"{fdi_emulator.url}/v3/auth/tokens", f"{fdi_emulator.url}/x"):
        answer = http.get(url)
        assert answer.headers["X-Request-Id"]
        assert "," not in answer.headers["Date"][5:]
        moment = parsedate_to_datetime(answer.headers["Date"]).timestamp() * 1000
        assert abs(moment - fdi_emulator.now_ms()) < 5000
        assert "Server" not in answer.headers
