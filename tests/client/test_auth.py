from __future__ import annotations

import datetime as dt
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from requests.auth import HTTPBasicAuth

from airflow_provider_fdi.client import (
    AkSkAuth,
    Backoff,
    FdiArgumentError,
    FdiAuthError,
    FdiClient,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    FdiServerError,
    SdkAuth,
    StaticTokenAuth,
    TokenAuth,
)
from airflow_provider_fdi.client import auth as auth_module
from tests.client.conftest import PROJECT
from tests.server import Answer, Request, Server, closed_port
from tests.waiting import eventually

PASSWORD = "pa$$wörd-that-nobody-may-see"
TASK = Answer(200, {"task": {"task_id": "t"}})
EXPIRED = Answer(401, {"error_code": "APIGW.0307", "error_msg": "The token must be updated."})
MakeClient = Callable[..., FdiClient]


class Iam:
    """IAM and FDI in one: tokens are numbered; ``good`` says which ones FDI accepts."""

    def __init__(self, service: Server, lifetime: float = 86_400.0) -> None:
        self.lifetime = lifetime
        self.good: Callable[[str], bool] = lambda token: True
        self.login: Callable[[Request], Answer] | None = None
        self.issued = 0
        self.logins: list[Request] = []
        self.calls: list[Request] = []
        service.always(self)

    def __call__(self, request: Request) -> Answer:
        if request.path != "/v3/auth/tokens":
            self.calls.append(request)
            return TASK if self.good(request.headers["X-Auth-Token"]) else EXPIRED
        self.logins.append(request)
        if self.login is not None:
            return self.login(request)
        self.issued += 1
        ends = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=self.lifetime)
        text = ends.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
        body = {"token": {"expires_at": text, "project": {"id": PROJECT, "name": "cn-north-4"}}}
        return Answer(201, body, {"X-Subject-Token": f"MIItoken-{self.issued}"})


@pytest.fixture
def iam(service: Server) -> Iam:
    return Iam(service)


def token_auth(service: Server, **options: Any) -> TokenAuth:
    options.setdefault("project_name", "cn-north-4")
    options.setdefault("proxies", {})
    return TokenAuth(service.url, "fdi-user", PASSWORD, "fdi-domain", **options)


def test_login_sends_the_documented_body(service: Server, iam: Iam, make_client: MakeClient) -> None:
    make_client(token_auth(service)).get_task("t")
    login, call = service.requests
    assert (login.method, login.target) == ("POST", "/v3/auth/tokens?nocatalog=true")
    assert login.json == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {"name": "fdi-user", "password": PASSWORD, "domain": {"name": "fdi-domain"}}
                },
            },
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }
    assert call.headers["X-Auth-Token"] == "MIItoken-1"


def test_one_login_serves_many_calls(service: Server, iam: Iam, make_client: MakeClient) -> None:
    client = make_client(token_auth(service, project_id=PROJECT))
    for _ in range(3):
        client.get_task("t")
    assert len(iam.logins) == 1
    assert iam.logins[0].json["auth"]["scope"] == {"project": {"id": PROJECT}}


def test_project_id_is_learned_from_the_token(service: Server, iam: Iam) -> None:
    assert token_auth(service).project_id == PROJECT
    assert token_auth(service, project_id="given").project_id == "given"
    assert len(iam.logins) == 1


def test_token_is_renewed_before_it_ends(
    service: Server, iam: Iam, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(token_auth(service))
    client.get_task("t")
    now = time.monotonic()
    for later, logins in ((86_400 - 601, 1), (86_400 - 595, 2)):
        monkeypatch.setattr(auth_module.time, "monotonic", lambda later=later: now + later)
        client.get_task("t")
        assert len(iam.logins) == logins


def test_short_lived_token_is_kept_for_most_of_its_life(
    service: Server, iam: Iam, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam.lifetime = 100
    client = make_client(token_auth(service))
    client.get_task("t")
    now = time.monotonic()
    for later, logins in ((92, 1), (97, 2)):
        monkeypatch.setattr(auth_module.time, "monotonic", lambda later=later: now + later)
        client.get_task("t")
        assert len(iam.logins) == logins


def test_401_renews_once_and_repeats_once(service: Server, iam: Iam, make_client: MakeClient) -> None:
    iam.good = lambda token: token != "MIItoken-1"
    task = make_client(token_auth(service)).get_task("t")
    assert task.task_id == "t"
    assert [c.headers["X-Auth-Token"] for c in iam.calls] == ["MIItoken-1", "MIItoken-2"]


def test_second_401_is_final(service: Server, iam: Iam, make_client: MakeClient) -> None:
    iam.good = lambda token: False
    with pytest.raises(FdiAuthError) as caught:
        make_client(token_auth(service)).get_task("t")
    assert (len(iam.calls), len(iam.logins), caught.value.attempts) == (2, 2, 2)


def test_service_that_refuses_every_token_does_not_make_us_log_in_for_ever(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    iam.good = lambda token: False
    client = make_client(token_auth(service))
    for _ in range(10):
        with pytest.raises(FdiAuthError):
            client.get_task("t")
    assert len(iam.logins) <= 1 + auth_module.MAX_RENEWALS_ON_401


def test_401_renewal_also_holds_for_a_run_that_must_not_be_sent_twice(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    iam.good = lambda token: token != "MIItoken-1"
    make_client(token_auth(service)).run_task("t", resend=False)
    assert len(iam.calls) == 2


def test_32_threads_and_an_expiring_token_make_one_renewal(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    client = make_client(token_auth(service))
    client.get_task("t")
    iam.good = lambda token: token != "MIItoken-1"
    barrier = threading.Barrier(32)
    failures: list[BaseException] = []

    def work() -> None:
        barrier.wait()
        try:
            client.get_task("t")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(iam.logins) == 2


def test_32_threads_without_a_token_log_in_once(service: Server, iam: Iam, make_client: MakeClient) -> None:
    client = make_client(token_auth(service))
    threads = [threading.Thread(target=client.get_task, args=("t",)) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(iam.logins) == 1
    assert len(iam.calls) == 32


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refused_login_is_never_tried_again(
    status: int, service: Server, iam: Iam, make_client: MakeClient
) -> None:
    words = f"The username or password {PASSWORD} is wrong."
    iam.login = lambda request: Answer(
        status, {"error": {"code": status, "message": words, "title": "Unauthorized"}}
    )
    client = make_client(token_auth(service))
    for _ in range(5):
        with pytest.raises(FdiAuthError, match="The username or password") as caught:
            client.get_task("t")
        assert PASSWORD not in str(caught.value)
        assert not caught.value.ambiguous
        assert caught.value.operation == "get_task"
    assert len(iam.logins) == 1
    assert iam.calls == []


def test_wrong_password_of_32_threads_is_sent_once(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    iam.login = lambda request: Answer(401, {"error": {"code": 401, "message": "no"}}, delay=0.05)
    client = make_client(token_auth(service))
    kinds: list[type] = []

    def work() -> None:
        try:
            client.get_task("t")
        except FdiError as error:
            kinds.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == [FdiAuthError] * 32
    assert len(iam.logins) == 1


def test_iam_failing_for_a_while_is_no_auth_error(service: Server, iam: Iam, make_client: MakeClient) -> None:
    answers = [Answer(503), Answer(500)]
    iam.login = lambda request: answers.pop(0)
    with pytest.raises(FdiServerError) as caught:
        make_client(token_auth(service), retry=Backoff(attempts=2, base=0)).run_task("t")
    assert not caught.value.ambiguous
    assert (len(iam.logins), caught.value.attempts) == (2, 0)
    iam.login = None
    make_client(token_auth(service)).run_task("t")


def test_iam_out_of_reach_is_a_connection_error_that_started_nothing(make_client: MakeClient) -> None:
    auth = TokenAuth(f"http://127.0.0.1:{closed_port()}", "u", PASSWORD, "d", project_name="p", proxies={})
    with pytest.raises(FdiConnectionError, match=r"^No answer from IAM at http://127") as caught:
        make_client(auth, retry=Backoff(attempts=2, base=0)).run_task("t")
    assert not caught.value.ambiguous


def test_failing_renewal_does_not_matter_while_the_token_lasts(
    service: Server, iam: Iam, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(token_auth(service))
    client.get_task("t")
    iam.login = lambda request: Answer(503)
    now = time.monotonic()
    monkeypatch.setattr(auth_module.time, "monotonic", lambda: now + 86_400 - 300)
    client.get_task("t")
    client.get_task("t")
    assert len(iam.logins) == 2


def test_nobody_waits_for_a_renewal_while_the_token_lasts(
    service: Server, iam: Iam, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(token_auth(service))
    client.get_task("t")
    asked, answer = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        asked.set()
        answer.wait(20)
        return Answer(503)

    iam.login = slow
    now = time.monotonic()
    monkeypatch.setattr(auth_module.time, "monotonic", lambda: now + 86_400 - 300)
    renewing = threading.Thread(target=client.get_task, args=("t",))
    renewing.start()
    assert asked.wait(20)
    client.terminate_task("t")
    answer.set()
    renewing.join()
    assert [request.headers["X-Auth-Token"] for request in iam.calls] == ["MIItoken-1"] * 3
    assert len(iam.logins) == 2


def test_login_answered_by_a_page_is_no_login_and_starts_nothing(
    service: Server, make_client: MakeClient
) -> None:
    service.always(Answer(200, b"<html>portal</html>", {"Content-Type": "text/html"}))
    with pytest.raises(FdiProtocolError, match="has no token") as caught:
        make_client(token_auth(service)).run_task("t")
    assert not caught.value.ambiguous
    assert [request.path for request in service.requests] == ["/v3/auth/tokens"]


def test_closing_a_client_closes_the_connection_of_its_login(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    login = Server().always(iam)
    try:
        client = make_client(token_auth(login))
        client.get_task("t")
        assert login.connections == 1
        client.close()
        eventually(lambda: login.connections == 0)
    finally:
        login.close()


def test_a_login_shared_by_two_clients_outlives_the_closing_of_one(
    service: Server, iam: Iam, make_client: MakeClient
) -> None:
    auth = token_auth(service)
    first, second = make_client(auth), make_client(auth)
    first.get_task("t")
    first.close()
    iam.good = lambda token: token != "MIItoken-1"
    assert second.get_task("t").task_id == "t"
    assert first.get_task("t").task_id == "t"
    assert len(iam.logins) == 2


@pytest.mark.parametrize(
    "auth", [HTTPBasicAuth("user", "hidden-one"), object()], ids=lambda a: type(a).__name__
)
def test_credentials_that_are_no_fdi_auth_are_refused_without_being_shown(
    auth: Any, make_client: MakeClient
) -> None:
    with pytest.raises(FdiArgumentError, match="must be an FdiAuth") as caught:
        make_client(auth)
    assert "hidden-one" not in str(caught.value)


def test_login_needs_a_project() -> None:
    with pytest.raises(FdiArgumentError, match="project_id or project_name"):
        TokenAuth("https://iam.example.com", "u", "p", "d")


def test_login_over_plain_http_needs_allow_http() -> None:
    with pytest.raises(FdiArgumentError, match=r"iam_endpoint='http://iam\.example\.com': "):
        TokenAuth("http://iam.example.com", "u", "p", "d", project_name="x")
    TokenAuth("http://iam.example.com", "u", "p", "d", project_name="x", allow_http=True)


# Signatures

REFUSED = Answer(401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM: verify aksk signature fail"})


def test_bad_signature_is_never_sent_twice(service: Server, make_client: MakeClient) -> None:
    service.always(REFUSED)
    auth = AkSkAuth("AK", "SKsecret")
    for client in (make_client(auth), make_client(auth)):
        for call in (client.count_tasks, lambda: client.run_task("t"), lambda: client.delete_task("t")):  # noqa: B023
            with pytest.raises(FdiAuthError, match="verify aksk signature fail") as caught:
                call()
            assert not caught.value.ambiguous
    assert len(service.requests) == 1


def test_bad_signature_of_many_threads_is_sent_once(service: Server, make_client: MakeClient) -> None:
    service.always(Answer(401, {"error_code": "APIGW.0301", "error_msg": "fail"}, delay=0.05))
    client = make_client(AkSkAuth("AK", "SKsecret"))
    with pytest.raises(FdiAuthError):
        client.start_tasks([f"t{i}" for i in range(100)], max_parallel_requests=10)
    assert len(service.requests) == 1


def test_good_signatures_go_out_side_by_side(service: Server, make_client: MakeClient) -> None:
    client = make_client(AkSkAuth("AK", "SKsecret"))
    client.run_task("t")
    ids = [f"t{i}" for i in range(100)]
    service.always(Answer(200, {"success_count": 10, "failure_count": 0}, delay=0.05))
    assert len(client.start_tasks(ids, max_parallel_requests=10).succeeded) == 100
    assert service.most_in_flight > 4


def test_static_token_that_is_refused_is_not_repeated(service: Server, make_client: MakeClient) -> None:
    service.always(EXPIRED)
    with pytest.raises(FdiAuthError, match="The token must be updated") as caught:
        make_client(StaticTokenAuth("MIItoken")).get_task("t")
    assert caught.value.error_code == "APIGW.0307"
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "auth",
    [
        StaticTokenAuth("hidden-one"),
        AkSkAuth("AKIDhidden-one", "hidden-one", security_token="hidden-one"),
        TokenAuth("https://iam.example.com", "u", "hidden-one", "d", project_name="p", proxies={}),
    ],
    ids=lambda a: type(a).__name__,
)
def test_credentials_are_neither_shown_nor_pickled(auth: Any) -> None:
    assert "hidden-one" not in f"{auth!r} {auth!s}"
    with pytest.raises(TypeError):
        pickle.dumps(auth)


@pytest.mark.parametrize("token", ["", "   ", "a\nb", "日", "a\x00b", None, 7])
def test_token_that_no_header_can_hold_is_refused_without_being_shown(token: Any) -> None:
    with pytest.raises(FdiArgumentError) as caught:
        StaticTokenAuth(token)
    assert "a\nb" not in str(caught.value)


# The official SDK's provider chain


def test_sdk_chain_takes_credentials_of_the_environment(
    service: Server, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AKofTheEnvironment")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SKofTheEnvironment")
    monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", PROJECT)
    auth = SdkAuth()
    assert auth.project_id == PROJECT
    client = make_client(auth)
    service.always(TASK)
    client.get_task("t")
    client.get_task("t")
    assert service.last.headers["Authorization"].startswith("SDK-HMAC-SHA256 Access=AKofTheEnvironment,")
    assert service.last.headers["X-Project-Id"] == PROJECT
    assert "SKofTheEnvironment" not in repr(auth)


class Provider:
    """A provider whose credentials a test changes."""

    def __init__(self, *keys: tuple[str, str]) -> None:
        self.keys = list(keys)

    def get_credentials(self) -> Any:
        from huaweicloudsdkcore.auth.credentials import BasicCredentials

        return BasicCredentials(*(self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]))


class Always:
    """A provider of one credentials object, which changes by itself as the SDK's temporary ones do."""

    def __init__(self, credentials: Any) -> None:
        self.credentials = credentials

    def get_credentials(self) -> Any:
        return self.credentials


def test_sdk_chain_is_asked_again_after_a_401(service: Server, make_client: MakeClient) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    service.then(REFUSED).always(TASK)
    make_client(SdkAuth(provider=Provider(("AK1", "SK1"), ("AK2", "SK2")))).get_task("t")
    used = [request.headers["Authorization"].split(",")[0] for request in service.requests]
    assert used == ["SDK-HMAC-SHA256 Access=AK1", "SDK-HMAC-SHA256 Access=AK2"]


def test_sdk_chain_with_the_same_bad_key_sends_once(service: Server, make_client: MakeClient) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    service.always(REFUSED)
    client = make_client(SdkAuth(provider=Provider(("AK1", "SK1"))))
    for _ in range(3):
        with pytest.raises(FdiAuthError):
            client.get_task("t")
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [204, 500])
def test_sdk_chain_that_fails_after_the_answer_does_not_change_it(
    status: int, service: Server, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    credentials = Provider(("AK1", "SK1")).get_credentials()

    def fail(http_client: Any) -> None:
        raise OSError("metadata service out of reach")

    def answer(request: Request) -> Answer:
        monkeypatch.setattr(credentials, "process_sts", fail)
        return Answer(status)

    service.always(answer)
    client = make_client(SdkAuth(provider=Always(credentials)))
    if status == 204:
        client.run_task("t", resend=False)
    else:
        with pytest.raises(FdiServerError) as caught:
            client.run_task("t", resend=False)
        assert caught.value.ambiguous
    assert len(service.requests) == 1


def test_late_refusal_of_a_renewed_key_does_not_fall_on_the_new_one(
    service: Server, make_client: MakeClient
) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    client = make_client(SdkAuth(provider=Provider(("AK1", "SK1"), ("AK2", "SK2"))))
    service.then(TASK)
    client.get_task("t")
    both_sent = threading.Barrier(2)

    def answer(request: Request) -> Answer:
        if "Access=AK2," in request.headers["Authorization"]:
            return TASK
        both_sent.wait(5)
        return REFUSED

    service.always(answer)
    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in [pool.submit(client.get_task, "t") for _ in range(2)]]
    assert [task.task_id for task in found] == ["t", "t"]
    assert client.get_task("t").task_id == "t"


def test_renewed_key_goes_out_alone_even_if_the_old_one_was_accepted_meanwhile(
    service: Server, make_client: MakeClient
) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    credentials = Provider(("AK1", "SK1")).get_credentials()
    auth = SdkAuth(provider=Always(credentials))

    def renew_and_accept(request: Request) -> Answer:
        credentials.ak, credentials.sk = "AK2", "SK2"
        auth.project_id  # noqa: B018 - as any other thread would, it takes the new key
        return TASK

    service.then(renew_and_accept).always(Answer(401, {"error_code": "APIGW.0301"}, delay=0.05))
    client = make_client(auth)
    client.get_task("t")
    with pytest.raises(FdiAuthError):
        client.start_tasks([f"t{i}" for i in range(100)], max_parallel_requests=10)
    assert len(service.requests) == 2


def test_closing_a_client_of_the_sdk_chain_leaves_it_usable(service: Server, make_client: MakeClient) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    service.always(TASK)
    with make_client(SdkAuth(provider=Provider(("AK1", "SK1")))) as client:
        client.get_task("t")
    assert client.get_task("t").task_id == "t"


def test_sdk_chain_that_finds_nothing_says_so(make_client: MakeClient) -> None:
    pytest.importorskip("huaweicloudsdkcore")
    from huaweicloudsdkcore.exceptions.exceptions import ApiValueError

    class Nothing:
        def get_credentials(self) -> Any:
            raise ApiValueError("no credentials here")

    with pytest.raises(FdiAuthError, match="no credentials here"):
        make_client(SdkAuth(provider=Nothing())).get_task("t")


def test_without_the_sdk_the_extra_is_named_and_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huaweicloudsdkcore.auth.provider", None)
    words = "the extra 'sdk' of airflow-provider-fdi is needed (huaweicloudsdkcore)"
    with pytest.raises(FdiArgumentError, match=re.escape(words)) as caught:
        SdkAuth()
    assert "pip" not in str(caught.value)
