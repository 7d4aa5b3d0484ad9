from __future__ import annotations

import email.utils
import logging
import socket
import ssl
import subprocess
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
from tests.client.loopback import Reply, Seen, Service, closed_port
from tests.client.operations import IDEMPOTENT, OPERATIONS, WRITES_ONCE

MakeClient = Callable[..., FdiClient]
TASK = Reply(200, {"task": {"task_id": "t"}})
RESET, TRUNCATED = Reply(fault="reset"), Reply(200, {"task": {"task_id": "t"}}, fault="truncate")


def fits_all(seen: Seen) -> Reply:
    if seen.path.endswith("/init"):
        return Reply(200, [{"task_id": "t"}])
    body = {"task_id": "t", "dispatch_id": "d", "datasource_id": "d", "result": True, "success_count": 1}
    return Reply(200, {**body, "entities": [], "total": 0, "columns": []})


@pytest.mark.parametrize(
    "fault", [RESET, Reply(500), Reply(502), Reply(503), Reply(504), Reply(429)], ids=str
)
@pytest.mark.parametrize("operation", IDEMPOTENT)
def test_reads_and_idempotent_writes_are_sent_again(
    operation: str, fault: Reply, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.then(fault).always(fits_all)
    OPERATIONS[operation](client)
    assert len(service.seen) == 2


@pytest.mark.parametrize("fault", [RESET, Reply(500), Reply(502), Reply(503), Reply(504)], ids=str)
@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_what_may_have_been_carried_out_is_not_sent_again(
    operation: str, fault: Reply, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.then(fault).always(fits_all)
    with pytest.raises(FdiError) as caught:
        OPERATIONS[operation](client)
    assert caught.value.ambiguous
    assert caught.value.operation == operation
    assert len(service.seen) == 1


@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_what_was_throttled_is_sent_again(
    operation: str, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.then(Reply(429)).always(fits_all)
    OPERATIONS[operation](client)
    assert len(service.seen) == 2


@pytest.mark.parametrize("operation", WRITES_ONCE)
def test_a_connection_never_made_is_tried_again_and_not_ambiguous(operation: str, slept: list[float]) -> None:
    client = FdiClient(
        f"http://127.0.0.1:{closed_port()}", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), proxies={}
    )
    with pytest.raises(FdiConnectionError, match="it was not sent") as caught:
        OPERATIONS[operation](client)
    assert not caught.value.ambiguous
    assert not caught.value.may_have_arrived
    assert (caught.value.attempts, len(slept)) == (5, 4)


@pytest.mark.parametrize("fault", [RESET, Reply(429), Reply(503, headers={"Retry-After": "0"})], ids=str)
def test_run_that_must_not_be_resent_is_sent_once(
    fault: Reply, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.always(fault)
    with pytest.raises(FdiError):
        client.run_task("t", resend=False)
    assert len(service.seen) == 1


def test_run_that_must_not_be_resent_does_not_even_reconnect(slept: list[float]) -> None:
    client = FdiClient(
        f"http://127.0.0.1:{closed_port()}", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), proxies={}
    )
    with pytest.raises(FdiConnectionError) as caught:
        client.run_task("t", resend=False)
    assert (caught.value.attempts, slept) == (1, [])


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200),
        Reply(200, b"null"),
        Reply(204),
        Reply(202, b"<html>busy</html>", {"Content-Type": "text/html"}),
        Reply(200, b'{"a"'),
        Reply(200, {"a": 1}, fault="truncate"),
    ],
    ids=str,
)
def test_any_2xx_means_that_the_run_was_started(reply: Reply, service: Service, client: FdiClient) -> None:
    service.always(reply)
    client.run_task("t")
    assert len(service.seen) == 1
    assert service.last.body == b""
    assert service.last.headers["Content-Length"] == "0"


def test_truncated_answer_is_read_again(service: Service, client: FdiClient, slept: list[float]) -> None:
    service.then(TRUNCATED).always(TASK)
    assert client.get_task("t").task_id == "t"


@pytest.mark.parametrize(
    "body", [b"<html>login</html>", b'{"task":', b"\xff\xfe", b"{} {}", b"[" * 100_000], ids=len
)
def test_success_that_is_no_json_is_a_protocol_error(
    body: bytes, service: Service, client: FdiClient
) -> None:
    service.always(Reply(200, body, {"Content-Type": "text/html"}))
    with pytest.raises(FdiProtocolError, match="is not JSON") as caught:
        client.get_task("t")
    assert caught.value.ambiguous
    assert len(service.seen) == 1


def test_backoff_grows_with_full_jitter(
    service: Service, make_client: MakeClient, slept: list[float]
) -> None:
    service.always(Reply(500))
    client = make_client(retry=Backoff(attempts=6, base=2, cap=10, budget=1000))
    for _ in range(30):
        with pytest.raises(FdiServerError):
            client.get_task("t")
    rounds = [slept[i : i + 5] for i in range(0, len(slept), 5)]
    for step, cap in enumerate((2, 4, 8, 10, 10)):
        waits = [r[step] for r in rounds]
        assert 0 <= min(waits) < cap * 0.5 < max(waits) <= cap


def test_retries_end_with_the_attempts(service: Service, make_client: MakeClient, slept: list[float]) -> None:
    service.always(Reply(502))
    with pytest.raises(FdiServerError) as caught:
        make_client(retry=Backoff(attempts=3)).get_task("t")
    assert (caught.value.attempts, len(service.seen)) == (3, 3)


def test_retries_end_with_the_budget(service: Service, make_client: MakeClient, slept: list[float]) -> None:
    service.always(Reply(503, headers={"Retry-After": "4"}))
    with pytest.raises(FdiServerError):
        make_client(retry=Backoff(attempts=100, base=0, budget=10)).get_task("t")
    assert slept == [4, 4]


def test_retry_after_in_seconds_is_obeyed(service: Service, client: FdiClient, slept: list[float]) -> None:
    service.then(Reply(429, headers={"Retry-After": "7"})).always(TASK)
    client.get_task("t")
    assert sum(slept) == pytest.approx(7, abs=1)


def test_retry_after_as_a_date_counts_on_the_servers_clock(
    service: Service, client: FdiClient, slept: list[float]
) -> None:
    there = time.time() + 100_000
    dates = {"Retry-After": email.utils.formatdate(there + 8, usegmt=True)}
    service.then(lambda seen: Reply(503, headers=dates)).always(TASK)
    date = email.utils.formatdate(there, usegmt=True)
    handler = service.server.RequestHandlerClass
    original = handler.date_time_string
    handler.date_time_string = lambda self, timestamp=None: date  # type: ignore[method-assign,assignment]
    try:
        client.get_task("t")
    finally:
        handler.date_time_string = original  # type: ignore[method-assign]
    assert slept == [8]


@pytest.mark.parametrize("asked", ["61", "86400", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_longer_retry_after_than_we_wait_raises_at_once(
    asked: str, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.always(Reply(429, {"error_code": "APIGW.0308"}, {"Retry-After": asked}))
    with pytest.raises(FdiThrottledError) as caught:
        client.get_task("t")
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 60
    assert (len(service.seen), slept) == (1, [])


@pytest.mark.parametrize(
    "asked", ["9999999999999999", "9" * 400, "Fri, 01 Jan 2100 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
@pytest.mark.parametrize("status", [429, 503])
def test_no_service_asks_for_more_than_a_day(
    status: int, asked: str, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.always(Reply(status, headers={"Retry-After": asked}))
    with pytest.raises(FdiResponseError) as caught:
        client.get_task("t")
    assert caught.value.retry_after == 86_400  # type: ignore[attr-defined]


@pytest.mark.parametrize("asked", ["soon", "-5", "", "1e400", "nan", "²"])
def test_unreadable_retry_after_means_our_own_backoff(
    asked: str, service: Service, client: FdiClient, slept: list[float]
) -> None:
    header = asked.encode().decode("latin-1")
    service.then(Reply(429, headers={"Retry-After": header})).always(TASK)
    client.get_task("t")
    assert sum(slept) < 1


def test_one_429_holds_all_threads_of_the_client_back(service: Service, make_client: MakeClient) -> None:
    client = make_client()
    service.then(Reply(429, headers={"Retry-After": "0.4"})).always(TASK)
    first = threading.Thread(target=client.get_task, args=("first",))
    first.start()
    while not client.gate.not_before:
        time.sleep(0.005)
    others = [threading.Thread(target=client.get_task, args=(f"t{i}",)) for i in range(4)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join()
    assert len(service.seen) == 6
    assert min(seen.time for seen in service.seen[1:]) - service.seen[0].time >= 0.39


def test_missing_instance_is_named_and_not_asked_for_again(
    service: Service, client: FdiClient, slept: list[float]
) -> None:
    words = f"The instance does not exist. project_id: {PROJECT}, instance_id: {INSTANCE}"
    service.always(Reply(500, {"error_code": "ROMA.00110002", "error_msg": words, "request_id": "r1"}))
    with pytest.raises(FdiNotFoundError, match=INSTANCE) as caught:
        client.run_task("t")
    assert (len(service.seen), caught.value.ambiguous, caught.value.request_id) == (1, False, "r1")


def test_deletion_whose_first_answer_was_lost_succeeds(
    service: Service, client: FdiClient, slept: list[float]
) -> None:
    gone = Reply(404, {"error_code": "FDI.3081", "error_msg": "The task does not exist."})
    service.then(RESET, gone)
    client.delete_task("t")
    service.always(gone)
    with pytest.raises(FdiNotFoundError):
        client.delete_task("t")


@pytest.mark.parametrize(
    "elsewhere",
    [
        Reply(404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}),
        Reply(404, b"<html>not here</html>", {"Content-Type": "text/html"}),
        Reply(500, {"error_code": "ROMA.00110002", "error_msg": "The instance does not exist."}),
    ],
    ids=["gateway", "proxy", "instance"],
)
def test_deletion_whose_repetition_did_not_reach_fdi_is_not_taken_for_done(
    elsewhere: Reply, service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.then(Reply(502), elsewhere)
    with pytest.raises(FdiNotFoundError) as caught:
        client.delete_task("t")
    assert caught.value.ambiguous


def test_write_stays_ambiguous_if_only_its_repetition_was_refused(
    service: Service, client: FdiClient, slept: list[float]
) -> None:
    service.then(RESET).always(Reply(409, {"error_code": "FDI.3023", "error_msg": "running"}))
    with pytest.raises(FdiResponseError) as caught:
        OPERATIONS["update_task"](client)
    assert caught.value.ambiguous


def test_write_stays_ambiguous_if_its_repetition_was_held_back(
    service: Service, client: FdiClient, slept: list[float]
) -> None:
    def throttle_another_call(seen: Seen) -> Reply:
        client.gate.close_for(1000)
        return RESET

    service.then(throttle_another_call)
    with pytest.raises(FdiThrottledError, match="held back") as caught:
        OPERATIONS["update_task"](client)
    assert caught.value.ambiguous
    assert len(service.seen) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(status: int, service: Service, client: FdiClient) -> None:
    service.then(Reply(status, headers={"Location": f"{service.url}/elsewhere"}))
    with pytest.raises(FdiResponseError, match="Redirects are not followed"):
        client.get_task("t")
    assert len(service.seen) == 1


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def tls_service(certificate: tuple[Path, Path]) -> Any:
    service = Service()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    service.always(TASK)
    yield service
    service.close()


def https_client(service: Service, **options: Any) -> FdiClient:
    url = service.url.replace("http:", "https:")
    retry = Backoff(attempts=1)
    return FdiClient(url, PROJECT, INSTANCE, StaticTokenAuth(TOKEN), proxies={}, retry=retry, **options)


def test_certificate_is_checked_before_anything_is_sent(tls_service: Service) -> None:
    with pytest.raises(FdiConnectionError, match=r"certificate verify failed.*setting verify") as caught:
        https_client(tls_service).run_task("t")
    assert not caught.value.ambiguous
    assert tls_service.seen == []


def test_private_ca_by_argument_or_environment(
    tls_service: Service, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert https_client(tls_service, verify=str(certificate[0])).get_task("t").task_id == "t"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    client = https_client(tls_service)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert client.get_task("t").task_id == "t"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_no_verification_is_warned_of_once(tls_service: Service, caplog: pytest.LogCaptureFixture) -> None:
    client = https_client(tls_service, verify=False)
    client.get_task("t")
    client.get_task("t")
    warnings = [
        r for r in caplog.records if r.levelno == logging.WARNING and "not verified" in r.getMessage()
    ]
    assert len(warnings) == 1


def test_ca_file_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FdiArgumentError, match="verify"):
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
    with pytest.raises(FdiArgumentError, match="endpoint") as caught:
        FdiClient(endpoint, PROJECT, INSTANCE, StaticTokenAuth(TOKEN))
    assert "secret-word" not in str(caught.value)


def test_plain_http_anywhere_needs_allow_http() -> None:
    client = FdiClient("http://10.0.0.1", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), allow_http=True)
    assert client.endpoint == "http://10.0.0.1"


@pytest.mark.parametrize("timeout", [0, -1, "5", None, (1, 2, 3), (0, 1), True, float("nan")])
def test_time_limit_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(FdiArgumentError, match="timeout"):
        FdiClient("x.example", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), timeout=timeout)


def test_read_time_limit_is_ambiguous(service: Service, make_client: MakeClient) -> None:
    service.always(Reply(200, delay=0.5))
    with pytest.raises(FdiConnectionError) as caught:
        make_client(timeout=(1, 0.1)).run_task("t")
    assert caught.value.ambiguous
    assert len(service.seen) == 1


def test_netrc_is_not_read(
    service: Service, client: FdiClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    service.always(TASK)
    client.get_task("t")
    assert service.last.headers["Authorization"] is None
    assert service.last.headers["X-Auth-Token"] == TOKEN


def test_proxy_of_the_environment_is_taken_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    monkeypatch.setenv("no_proxy", "")
    client = FdiClient("http://fdi.example", PROJECT, INSTANCE, StaticTokenAuth(TOKEN), allow_http=True)
    monkeypatch.delenv("http_proxy")
    service.always(TASK)
    client.get_task("t")
    assert service.last.target.startswith(f"http://fdi.example/v2/{PROJECT}/")


def test_proxy_given_wins_over_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_one_connection_serves_many_calls(service: Service, client: FdiClient) -> None:
    ports = set()
    service.always(TASK)
    handler = service.server.RequestHandlerClass
    original = handler.do_GET  # type: ignore[attr-defined]

    def do_get(self: Any) -> None:
        ports.add(self.client_address[1])
        original(self)

    handler.do_GET = do_get  # type: ignore[attr-defined]
    try:
        for _ in range(5):
            client.get_task("t")
    finally:
        handler.do_GET = original  # type: ignore[attr-defined]
    assert len(ports) == 1


def test_debug_log_names_the_call_and_nothing_of_its_content(
    service: Service, client: FdiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.then(Reply(201, {"datasource_id": "d"}, {"X-Request-Id": "req-1"}))
    content = {"password": "content-password", "api_auth_detail": {"secret": "inner-secret"}}
    client.create_datasource(datasource_name="d", datasource_type="MYSQL", app_id="a", content=content)
    service.then(Reply(400, {"error_code": "FDI.3016", "error_msg": f"login with content-password, {TOKEN}"}))
    with pytest.raises(FdiResponseError, match=r"FDI\.3016") as caught:
        client.test_datasource("d", datasource_name="d", datasource_type="MYSQL", app_id="a", content=content)
    said = caplog.text + str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)
    assert "/datasources -> 201 in " in caplog.text
    assert "request id req-1" in caplog.text
    for secret in (TOKEN, "content-password", "inner-secret"):
        assert secret not in said
