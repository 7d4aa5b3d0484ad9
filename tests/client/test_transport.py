from __future__ import annotations

import email.utils
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client import (
    Backoff,
    FdiArgumentError,
    FdiClient,
    FdiConnectionError,
    FdiError,
    FdiNotFoundError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
    StaticTokenAuth,
)
from tests.client.conftest import INSTANCE, PROJECT, TOKEN
from tests.client.operations import IDEMPOTENT, OPERATIONS, WRITES_ONCE
from tests.server import RESET, TRUNCATED, Answer, Request, Server, closed_port
from tests.waiting import eventually

MakeClient = Callable[..., FdiClient]
TASK = Answer(200, {"task": {"task_id": "t"}})


def fits_all(request: Request) -> Answer:
    if request.path.endswith("/init"):
        return Answer(200, [{"task_id": "t"}])
    body = {"task_id": "t", "dispatch_id": "d", "datasource_id": "d", "result": True, "success_count": 1}
    return Answer(200, {**body, "entities": [], "total": 0, "columns": []})


@pytest.mark.parametrize(
    "fault", [RESET, Answer(500), Answer(502), Answer(503), Answer(504), Answer(429)], ids=str
)
@pytest.mark.parametrize("operation", IDEMPOTENT)
def test_reads_and_idempotent_writes_are_sent_again(
    operation: str, fault: Answer, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.then(fault).always(fits_all)
    OPERATIONS[operation](client)
    assert len(service.requests) == 2


@pytest.mark.parametrize("fault", [RESET, Answer(500), Answer(502), Answer(503), Answer(504)], ids=str)
@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_what_may_have_been_carried_out_is_not_sent_again(
    operation: str, fault: Answer, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.then(fault).always(fits_all)
    with pytest.raises(FdiError) as caught:
        OPERATIONS[operation](client)
    assert caught.value.ambiguous
    assert caught.value.operation == operation
    assert len(service.requests) == 1


@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_what_was_throttled_is_sent_again(
    operation: str, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.then(Answer(429)).always(fits_all)
    OPERATIONS[operation](client)
    assert len(service.requests) == 2


@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_a_connection_never_made_is_tried_again_and_not_ambiguous(operation: str, slept: list[float]) -> None:
    client = FdiClient(
        f"http://127.0.0.1:{closed_port()}", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), proxies={}
    )
    with pytest.raises(FdiConnectionError, match="The request was not sent") as caught:
        OPERATIONS[operation](client)
    assert not caught.value.ambiguous
    assert not caught.value.may_have_arrived
    assert (caught.value.attempts, len(slept)) == (5, 4)


@pytest.mark.parametrize("fault", [RESET, Answer(429), Answer(503, headers={"Retry-After": "0"})], ids=str)
def test_run_that_must_not_be_resent_is_sent_once(
    fault: Answer, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.always(fault)
    with pytest.raises(FdiError):
        client.run_task("t", resend=False)
    assert len(service.requests) == 1


def test_run_that_must_not_be_resent_does_not_even_reconnect(slept: list[float]) -> None:
    client = FdiClient(
        f"http://127.0.0.1:{closed_port()}", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), proxies={}
    )
    with pytest.raises(FdiConnectionError) as caught:
        client.run_task("t", resend=False)
    assert (caught.value.attempts, slept) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200),
        Answer(200, b"null"),
        Answer(204),
        Answer(202, b"<html>busy</html>", {"Content-Type": "text/html"}),
        Answer(200, b'{"a"'),
        Answer(200, {"a": 1}, fault="truncate"),
    ],
    ids=str,
)
def test_any_2xx_means_that_the_run_was_started(answer: Answer, service: Server, client: FdiClient) -> None:
    service.always(answer)
    client.run_task("t")
    assert len(service.requests) == 1
    assert service.last.body == b""
    assert service.last.headers["Content-Length"] == "0"


def test_truncated_answer_is_read_again(service: Server, client: FdiClient, slept: list[float]) -> None:
    service.then(TRUNCATED).always(TASK)
    assert client.get_task("t").task_id == "t"


@pytest.mark.parametrize(
    "body", [b"<html>login</html>", b'{"task":', b"\xff\xfe", b"{} {}", b"[" * 100_000], ids=len
)
def test_success_that_is_not_json_is_a_protocol_error(
    body: bytes, service: Server, client: FdiClient
) -> None:
    service.always(Answer(200, body, {"Content-Type": "text/html"}))
    with pytest.raises(FdiProtocolError, match="is not JSON") as caught:
        client.get_task("t")
    assert caught.value.ambiguous
    assert len(service.requests) == 1


def test_backoff_grows_with_full_jitter(service: Server, make_client: MakeClient, slept: list[float]) -> None:
    service.always(Answer(500))
    client = make_client(retry=Backoff(attempts=6, base=2, cap=10, budget=1000))
    for _ in range(30):
        with pytest.raises(FdiServerError):
            client.get_task("t")
    rounds = [slept[i : i + 5] for i in range(0, len(slept), 5)]
    for step, cap in enumerate((2, 4, 8, 10, 10)):
        waits = [r[step] for r in rounds]
        assert 0 <= min(waits) < cap * 0.5 < max(waits) <= cap


def test_retries_end_with_the_attempts(service: Server, make_client: MakeClient, slept: list[float]) -> None:
    service.always(Answer(502))
    with pytest.raises(FdiServerError) as caught:
        make_client(retry=Backoff(attempts=3)).get_task("t")
    assert (caught.value.attempts, len(service.requests)) == (3, 3)


def test_retries_end_with_the_budget(service: Server, make_client: MakeClient, slept: list[float]) -> None:
    service.always(Answer(503, headers={"Retry-After": "4"}))
    with pytest.raises(FdiServerError):
        make_client(retry=Backoff(attempts=100, base=0, budget=10)).get_task("t")
    assert slept == [4, 4]


def test_retry_after_in_seconds_is_obeyed(service: Server, client: FdiClient, slept: list[float]) -> None:
    service.then(Answer(429, headers={"Retry-After": "7"})).always(TASK)
    client.get_task("t")
    assert sum(slept) == pytest.approx(7, abs=1)


def test_retry_after_as_a_date_counts_on_the_servers_clock(
    service: Server, client: FdiClient, slept: list[float]
) -> None:
    there = time.time() + 100_000
    date, later = (email.utils.formatdate(moment, usegmt=True) for moment in (there, there + 8))
    service.then(Answer(503, headers={"Date": date, "Retry-After": later})).always(TASK)
    client.get_task("t")
    assert slept == [8]


@pytest.mark.parametrize("asked", ["61", "86400", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_longer_retry_after_than_we_wait_raises_at_once(
    asked: str, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.always(Answer(429, {"error_code": "APIGW.0308"}, {"Retry-After": asked}))
    with pytest.raises(FdiThrottledError) as caught:
        client.get_task("t")
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 60
    assert (len(service.requests), slept) == (1, [])


@pytest.mark.parametrize(
    "asked", ["9999999999999999", "9" * 400, "Fri, 01 Jan 2100 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
@pytest.mark.parametrize("status", [429, 503])
def test_no_service_asks_for_more_than_a_day(
    status: int, asked: str, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.always(Answer(status, headers={"Retry-After": asked}))
    with pytest.raises(FdiResponseError) as caught:
        client.get_task("t")
    assert caught.value.retry_after == 86_400  # type: ignore[attr-defined]


@pytest.mark.parametrize("asked", ["soon", "-5", "", "1e400", "nan", "²"])
def test_unreadable_retry_after_means_our_own_backoff(
    asked: str, service: Server, client: FdiClient, slept: list[float]
) -> None:
    header = asked.encode().decode("latin-1")
    service.then(Answer(429, headers={"Retry-After": header})).always(TASK)
    client.get_task("t")
    assert sum(slept) < 1


def test_one_429_holds_all_threads_of_the_client_back(service: Server, make_client: MakeClient) -> None:
    client = make_client()
    service.then(Answer(429, headers={"Retry-After": "0.4"})).always(TASK)
    first = threading.Thread(target=client.get_task, args=("first",))
    first.start()
    eventually(lambda: client.gate.not_before)
    others = [threading.Thread(target=client.get_task, args=(f"t{i}",)) for i in range(4)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join()
    assert len(service.requests) == 6
    assert min(request.time for request in service.requests[1:]) - service.requests[0].time >= 0.39


def test_missing_instance_is_named_and_not_asked_for_again(
    service: Server, client: FdiClient, slept: list[float]
) -> None:
    words = f"The instance does not exist. project_id: {PROJECT}, instance_id: {INSTANCE}"
    service.always(Answer(500, {"error_code": "ROMA.00110002", "error_msg": words, "request_id": "r1"}))
    with pytest.raises(FdiNotFoundError, match=INSTANCE) as caught:
        client.run_task("t")
    assert (len(service.requests), caught.value.ambiguous, caught.value.request_id) == (1, False, "r1")


def test_deletion_whose_first_answer_was_lost_succeeds(
    service: Server, client: FdiClient, slept: list[float]
) -> None:
    gone = Answer(404, {"error_code": "FDI.3081", "error_msg": "The task does not exist."})
    service.then(RESET, gone)
    client.delete_task("t")
    service.always(gone)
    with pytest.raises(FdiNotFoundError):
        client.delete_task("t")


@pytest.mark.parametrize(
    "elsewhere",
    [
        Answer(404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}),
        Answer(404, b"<html>not here</html>", {"Content-Type": "text/html"}),
        Answer(500, {"error_code": "ROMA.00110002", "error_msg": "The instance does not exist."}),
    ],
    ids=["gateway", "proxy", "instance"],
)
def test_deletion_whose_repetition_did_not_reach_fdi_is_not_taken_for_done(
    elsewhere: Answer, service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.then(Answer(502), elsewhere)
    with pytest.raises(FdiNotFoundError) as caught:
        client.delete_task("t")
    assert caught.value.ambiguous


def test_write_stays_ambiguous_if_only_its_repetition_was_refused(
    service: Server, client: FdiClient, slept: list[float]
) -> None:
    service.then(RESET).always(Answer(409, {"error_code": "FDI.3023", "error_msg": "running"}))
    with pytest.raises(FdiResponseError) as caught:
        OPERATIONS["update_task"](client)
    assert caught.value.ambiguous


def test_write_stays_ambiguous_if_its_repetition_was_held_back(
    service: Server, client: FdiClient, slept: list[float]
) -> None:
    def throttle_another_call(request: Request) -> Answer:
        client.gate.close_for(1000)
        return RESET

    service.then(throttle_another_call)
    with pytest.raises(FdiThrottledError, match=r"^Held back") as caught:
        OPERATIONS["update_task"](client)
    assert caught.value.ambiguous
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(status: int, service: Server, client: FdiClient) -> None:
    service.then(Answer(status, headers={"Location": f"{service.url}/elsewhere"}))
    with pytest.raises(FdiResponseError, match="Redirects are not followed"):
        client.get_task("t")
    assert len(service.requests) == 1


def test_broken_tls_handshake_is_not_ambiguous(slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.recv(10)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        client = FdiClient(
            f"https://127.0.0.1:{server.getsockname()[1]}",
            PROJECT,
            INSTANCE,
            StaticTokenAuth(TOKEN),
            proxies={},
        )
        with pytest.raises(FdiConnectionError) as caught:
            client.run_task("t", resend=False)
    assert not caught.value.ambiguous


def https_client(service: Server, **options: Any) -> FdiClient:
    service.always(TASK)
    auth, retry = StaticTokenAuth(TOKEN), Backoff(attempts=1)
    return FdiClient(service.url, PROJECT, INSTANCE, auth, proxies={}, retry=retry, **options)


def test_certificate_is_checked_before_anything_is_sent(https: Server) -> None:
    with pytest.raises(FdiConnectionError, match=r"(?s)certificate verify failed.*setting verify") as caught:
        https_client(https).run_task("t")
    assert not caught.value.ambiguous
    assert https.requests == []


def test_private_ca_by_argument_or_environment(
    https: Server, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert https_client(https, verify=certificate[0]).get_task("t").task_id == "t"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    client = https_client(https)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert client.get_task("t").task_id == "t"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_no_verification_is_warned_of_once(https: Server, caplog: pytest.LogCaptureFixture) -> None:
    client = https_client(https, verify=False)
    client.get_task("t")
    client.get_task("t")
    warnings = [
        r for r in caplog.records if r.levelno == logging.WARNING and "not verified" in r.getMessage()
    ]
    assert len(warnings) == 1


def test_ca_file_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FdiArgumentError, match="verify='/no/such/file': "):
        FdiClient("https://x.example", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), verify="/no/such/file")


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("roma.cn-north-4.myhuaweicloud.com", "https://roma.cn-north-4.myhuaweicloud.com"),
        ("https://ROMA.example.com:443/", "https://roma.example.com"),
        ("https://roma.example.com:8443", "https://roma.example.com:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        (" https://röma.example ", "https://xn--rma-sna.example"),
    ],
)
def test_endpoint_is_brought_to_one_form(endpoint: str, base: str) -> None:
    assert FdiClient(endpoint, PROJECT, INSTANCE, StaticTokenAuth(TOKEN)).endpoint == base


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "   ",
        None,
        7,
        "https://",
        "ftp://roma.example.com",
        "https://roma.example.com/v2",
        "https://roma.example.com/?a=b",
        "https://roma.example.com?",
        "https://roma.example.com/#x",
        "https://user:secret-word@roma.example.com",
        "https://roma.example.com:port",
        "https://roma.example.com:99999",
        "https://ro ma.example.com",
        "https://roma\r\n.example.com",
        "https://[::1",
        "http://roma.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
    ],
)
def test_endpoint_that_is_more_or_less_than_a_host_is_refused(endpoint: Any) -> None:
    with pytest.raises(FdiArgumentError, match=r"^endpoint") as caught:
        FdiClient(endpoint, PROJECT, INSTANCE, StaticTokenAuth(TOKEN))
    assert "secret-word" not in str(caught.value)


def test_plain_http_anywhere_needs_allow_http() -> None:
    client = FdiClient("http://10.0.0.1", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), allow_http=True)
    assert client.endpoint == "http://10.0.0.1"


@pytest.mark.parametrize("timeout", [0, -1, "5", None, (1, 2, 3), (0, 1), True, float("nan")])
def test_time_limit_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(FdiArgumentError, match=re.escape(f"timeout={timeout!r}: ")):
        FdiClient("x.example", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), timeout=timeout)


def test_read_time_limit_is_ambiguous(service: Server, make_client: MakeClient) -> None:
    service.always(Answer(200, delay=0.5))
    with pytest.raises(FdiConnectionError) as caught:
        make_client(timeout=(1, 0.1)).run_task("t")
    assert caught.value.ambiguous
    assert len(service.requests) == 1


def test_netrc_is_not_read(
    service: Server, client: FdiClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    service.always(TASK)
    client.get_task("t")
    assert service.last.headers["Authorization"] is None
    assert service.last.headers["X-Auth-Token"] == TOKEN


def test_proxy_of_the_environment_is_taken_once(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    monkeypatch.setenv("no_proxy", "")
    client = FdiClient("http://fdi.example", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), allow_http=True)
    monkeypatch.delenv("http_proxy")
    service.always(TASK)
    client.get_task("t")
    assert service.last.target.startswith(f"http://fdi.example/v2/{PROJECT}/")


def test_proxy_given_wins_over_the_environment(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = FdiClient(
        "http://fdi.example",
        PROJECT,
        INSTANCE,
        StaticTokenAuth(TOKEN),
        allow_http=True,
        proxies={"http": service.url},
    )
    service.always(TASK)
    assert client.get_task("t").task_id == "t"


def test_proxy_that_does_not_answer_is_not_ambiguous_and_keeps_its_password() -> None:
    client = FdiClient(
        "https://fdi.example",
        PROJECT,
        INSTANCE,
        StaticTokenAuth(TOKEN),
        proxies={"https": f"http://user:proxy-password@127.0.0.1:{closed_port()}"},
    )
    with pytest.raises(FdiConnectionError) as caught:
        client.run_task("t", resend=False)
    assert not caught.value.ambiguous
    assert "proxy-password" not in str(caught.value)


def test_one_connection_serves_many_calls(service: Server, client: FdiClient) -> None:
    service.always(TASK)
    for _ in range(5):
        client.get_task("t")
    assert len({request.client_port for request in service.requests}) == 1


def test_debug_log_names_the_call_and_nothing_of_its_content(
    service: Server, client: FdiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.then(Answer(201, {"datasource_id": "d"}, {"X-Request-Id": "req-1"}))
    content = {"password": "content-password", "api_auth_detail": {"secret": "inner-secret"}}
    client.create_datasource(datasource_name="d", datasource_type="MYSQL", app_id="a", content=content)
    service.then(
        Answer(400, {"error_code": "FDI.3016", "error_msg": f"login with content-password, {TOKEN}"})
    )
    with pytest.raises(FdiResponseError, match=r"FDI\.3016") as caught:
        client.test_datasource("d", datasource_name="d", datasource_type="MYSQL", app_id="a", content=content)
    said = caplog.text + str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)
    assert "/datasources -> 201 in " in caplog.text
    assert "request id req-1" in caplog.text
    for secret in (TOKEN, "content-password", "inner-secret"):
        assert secret not in said
