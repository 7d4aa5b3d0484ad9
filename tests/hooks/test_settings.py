"""From an Airflow connection to settings: where it may stand, what is unset, what is refused and how."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from airflow_provider_fdi.get_provider_info import CONN_FIELDS
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.hooks.settings import FdiConnectionSettingError, FdiSettings

SECRET = "a-secret-that-nobody-may-see"
EXTRA: dict[str, Any] = {
    "auth_type": "token",
    "project_id": "0123456789abcdef0123456789abcdef",
    "instance_id": "fae7ff6c-8e07-4cf8-9e67-589cab2f017c",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings of a connection: ``settings(host=…, extra={…})``, or of a text as Airflow takes it."""

    def read(text: str | None = None, *, extra: Any = (), **row: Any) -> FdiSettings:
        if text is None:
            given = {**EXTRA, **dict(extra)} if not isinstance(extra, str) else extra
            text = json.dumps(
                {"conn_type": "fdi", "host": "roma.example.com", "password": SECRET, **row, "extra": given}
            )
        monkeypatch.setenv("AIRFLOW_CONN_FDI_TEST", text)
        return FdiHook("fdi_test").settings

    return read


def refused(settings: Any, **row: Any) -> str:
    with pytest.raises(FdiConnectionSettingError) as caught:
        settings(**row)
    words = str(caught.value)
    assert "It is a setting of connection 'fdi_test'." in words.splitlines()
    assert SECRET not in words + repr(caught.value)
    return words


# Where a connection may stand


def test_connection_as_json_in_the_environment(settings: Any) -> None:
    found = settings(extra={"region": "cn-north-4", "timeout": 30, "verify": False, "allow_http": True})
    assert found.endpoint == "https://roma.example.com"
    assert (found.project_id, found.instance_id) == (EXTRA["project_id"], EXTRA["instance_id"])
    assert found.timeout == (10, 30)
    assert found.verify is False and found.allow_http is True
    assert found.iam_endpoint == "https://iam.cn-north-4.myhuaweicloud.com"


def test_connection_as_uri_in_the_environment(settings: Any) -> None:
    found = settings(
        "fdi://AK0123:s%2Fk%40x@roma.example.com:8443/https"
        "?auth_type=aksk&project_id=p1&instance_id=i1&timeout=12.5&verify=false&allow_http=true"
        "&proxies=http%3A%2F%2Fproxy%3A3128"
    )
    assert found.endpoint == "https://roma.example.com:8443"
    assert (found.login, found.password) == ("AK0123", "s/k@x")
    assert (found.auth_type, found.project_id, found.instance_id) == ("aksk", "p1", "i1")
    assert found.timeout == (10, 12.5)
    assert found.verify is False and found.allow_http is True
    assert found.proxies == {"http": "http://proxy:3128", "https": "http://proxy:3128"}


def test_uri_with_a_region_and_no_host(settings: Any) -> None:
    found = settings("fdi://AK:SK@?region=ap-southeast-3&project_id=p&instance_id=i")
    assert found.endpoint == "https://roma.ap-southeast-3.myhuaweicloud.com"


def test_connection_that_the_form_saved(settings: Any) -> None:
    """The form of Airflow 3.2 and later writes every field, and the empty ones as null."""
    saved = {name: described["schema"].get("default") for name, described in CONN_FIELDS.items()}
    found = settings(extra={**saved, **EXTRA}, login="", schema="", port=None)
    assert found.timeout == (10, 60)
    assert (found.verify, found.allow_http, found.proxies) == (True, False, None)
    assert found.region is None and found.project_name is None and found.security_token is None


@pytest.mark.parametrize("empty", [None, "", "  "])
@pytest.mark.parametrize("field", sorted(CONN_FIELDS))
def test_empty_field_is_unset(field: str, empty: str | None, settings: Any) -> None:
    row = {"login": "AK"} if field == "auth_type" else {}
    assert settings(extra={field: empty}, **row) == settings(
        extra={field: CONN_FIELDS[field]["schema"].get("default")}, **row
    )


def test_prefix_of_older_forms_is_taken_away(settings: Any) -> None:
    prefixed = {f"extra__fdi__{key}": value for key, value in EXTRA.items()}
    none = dict.fromkeys(EXTRA)
    assert settings(extra={**none, **prefixed}) == settings()


def test_plain_name_wins_over_the_prefixed_one(settings: Any) -> None:
    assert settings(extra={"extra__fdi__instance_id": "old"}).instance_id == EXTRA["instance_id"]


def test_spaces_around_a_value_do_not_count(settings: Any) -> None:
    found = settings(host=" roma.example.com ", extra={"project_id": " p1\n"})
    assert (found.endpoint, found.project_id) == ("https://roma.example.com", "p1")


# Endpoints


@pytest.mark.parametrize(
    ("row", "endpoint"),
    [
        ({"host": "roma.example.com"}, "https://roma.example.com"),
        ({"host": "https://roma.example.com/"}, "https://roma.example.com"),
        ({"host": "roma.example.com", "port": 8443}, "https://roma.example.com:8443"),
        ({"host": "roma.example.com", "port": 443}, "https://roma.example.com"),
        ({"host": "roma.example.com:8443", "port": 443}, "https://roma.example.com:8443"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8765}, "http://127.0.0.1:8765"),
        ({"host": "http://127.0.0.1:8765"}, "http://127.0.0.1:8765"),
    ],
)
def test_endpoint_is_the_host(row: dict[str, Any], endpoint: str, settings: Any) -> None:
    assert settings(**row, extra={"region": "cn-north-4"}).endpoint == endpoint


def test_endpoint_without_a_host_is_the_region_s(settings: Any) -> None:
    found = settings(host=None, extra={"region": "cn-south-1"})
    assert found.endpoint == "https://roma.cn-south-1.myhuaweicloud.com"
    assert found.iam_endpoint == "https://iam.cn-south-1.myhuaweicloud.com"


def test_custom_iam_endpoint(settings: Any) -> None:
    found = settings(extra={"iam_endpoint": "iam.pod3.example.com", "region": "cn-north-4"})
    assert found.iam_endpoint == "https://iam.pod3.example.com"


# What is refused


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"host": None}, "host=None: is not set\nGive the endpoint of ROMA Connect, or region"),
        ({"host": "ftp://roma.example.com"}, "host='ftp://roma.example.com': must begin with https://"),
        (
            {"host": "https://roma.example.com/v2"},
            "must be a host with an optional port\nWithout path, query or fragment",
        ),
        ({"host": "http://roma.example.com"}, "use https, or set allow_http"),
        ({"host": f"https://u:{SECRET}@roma.example.com"}, "host: must not hold credentials"),
        ({"host": "h", "schema": "ftp"}, "schema='ftp': must be https or http"),
        ({"host": "h", "port": 70000}, "port=70000: must be a number from 1 to 65535"),
        ({"password": None}, "password=None: is not set\nauth_type='token' needs the IAM token here"),
        ({"password": f"{SECRET}\nsecond line"}, "password: the IAM token must be printable ASCII"),
        ({"password": f"{SECRET}é"}, "password: the IAM token must be printable ASCII"),
    ],
)
def test_bad_field_is_named(row: dict[str, Any], words: str, settings: Any) -> None:
    assert words in refused(settings, **row)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"auth_type": "aksk"}, "login=None: is not set\nauth_type='aksk' needs the access key (AK) here"),
        (
            {"auth_type": "password"},
            "login=None: is not set\nauth_type='password' needs the IAM user's name here",
        ),
        ({"auth_type": "basic"}, "auth_type='basic': use aksk, password, token or sdk"),
        ({"auth_type": 3}, "auth_type=3: use aksk, password, token or sdk"),
        ({"project_id": 7}, "project_id=7: must be text"),
        ({"project_id": "a/b"}, "project_id='a/b': must not contain / "),
        ({"instance_id": ".."}, "instance_id='..': must not consist of dots alone"),
        ({"region": "cn north/4"}, "region='cn north/4': is not the name of a region"),
        ({"iam_endpoint": "http://iam.example.com"}, "iam_endpoint='http://iam.example.com': plain http"),
        ({"verify": 3}, "verify=3: must be true or false\nOr the path of a CA bundle"),
        ({"timeout": "soon"}, "timeout='soon': must be more than 0 s"),
        ({"timeout": 0}, "timeout=0: must be more than 0 s"),
        ({"timeout": True}, "timeout=True: must be more than 0 s"),
        ({"connect_timeout": "inf"}, "connect_timeout='inf': must be more than 0 s"),
        ({"connect_timeout": "nan"}, "connect_timeout='nan': must be more than 0 s"),
        ({"allow_http": "yes"}, "allow_http='yes': must be True or False"),
        ({"allow_http": 1}, "allow_http=1: must be True or False"),
        (
            {"console_url": "javascript:alert(1)"},
            "console_url='javascript:alert(1)': must begin with https://",
        ),
        ({"proxies": 3128}, 'proxies: must be an object like {"https": "http://proxy:3128"}'),
        ({"proxies": {"https": {"url": SECRET}}}, "proxies: must be an object"),
        ({"proxies": f'{{"https": "{SECRET}"'}, "proxies: is not JSON"),
        ({"proxies": {"https": f"http://u:{SECRET}@"}}, "the one for 'https' is not an address"),
    ],
)
def test_bad_extra_is_named(extra: dict[str, Any], words: str, settings: Any) -> None:
    assert words in refused(settings, extra=extra)


def test_bad_security_token_is_not_shown(settings: Any) -> None:
    extra = {"auth_type": "aksk", "security_token": f"{SECRET}\n{SECRET}"}
    assert "security_token: must be printable ASCII" in refused(settings, login="AK", extra=extra)


def test_domain_name_goes_with_a_password(settings: Any) -> None:
    words = refused(settings, login="user", extra={"auth_type": "password"})
    assert "domain_name=None: is not set\nauth_type='password' needs the account (domain) name" in words


@pytest.mark.parametrize(("text", "words"), [("[1, 2]", "extra: must be a JSON object"), ('"x"', "extra: ")])
def test_extra_that_is_no_object(text: str, words: str, settings: Any) -> None:
    from airflow_provider_fdi.hooks.settings import read_settings

    class Row:
        conn_id, host, schema, port, login, password, extra = "fdi_test", "h", None, None, None, SECRET, text

    with pytest.raises(FdiConnectionSettingError, match="connection 'fdi_test'") as caught:
        read_settings(Row())  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_extra_that_is_no_json_is_refused_with_its_position() -> None:
    from airflow_provider_fdi.hooks.settings import read_settings

    class Row:
        conn_id, host, schema, port, login, password = "fdi_test", "h", None, None, None, SECRET
        extra = f'{{"auth_type": "token", "security_token": "{SECRET}"'

    with pytest.raises(
        FdiConnectionSettingError, match=r"extra: is not JSON: .* at line 1, column"
    ) as caught:
        read_settings(Row())  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


# Slips in the names of extra keys


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("auth_typ", "auth_type"),
        ("authType", "auth_type"),
        ("projectid", "project_id"),
        ("project-id", "project_id"),
        ("PROJECT_ID", "project_id"),
        ("instanceId", "instance_id"),
        ("verfiy", "verify"),
        ("iam_endpont", "iam_endpoint"),
        ("proxy", "proxies"),
        ("time_out", "timeout"),
    ],
)
def test_slip_in_a_key_is_refused_with_the_right_one(slip: str, meant: str, settings: Any) -> None:
    words = refused(settings, extra={meant: None, slip: SECRET})
    assert f"extra['{slip}']: there is no such key\nDid you mean '{meant}'?" in words


@pytest.mark.parametrize(
    ("slip", "field"), [("endpoint", "host"), ("secret_key", "password"), ("ak", "login")]
)
def test_field_put_into_extra_says_where_it_belongs(slip: str, field: str, settings: Any) -> None:
    words = refused(settings, **{field: None}, extra={slip: SECRET})
    assert f"extra['{slip}']: there is no such key\nDid you mean '{field}', outside of extra?" in words


def test_slip_besides_the_right_key_is_only_warned_of(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert settings(extra={"projectid": SECRET}).project_id == EXTRA["project_id"]
    assert "extra has the key 'projectid', which is ignored, as well as 'project_id'" in caplog.text
    assert SECRET not in caplog.text


def test_key_that_nothing_reads_is_warned_of(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    settings(extra={"owner": SECRET})
    assert "extra has the key 'owner', which is ignored. Known keys: auth_type, region" in caplog.text
    assert SECRET not in caplog.text


# Secrets


def test_settings_show_no_secret(settings: Any) -> None:
    found = settings(
        login="AK",
        extra={"auth_type": "aksk", "security_token": SECRET, "proxies": f"http://u:{SECRET}@proxy:3128"},
    )
    assert SECRET not in repr(found) + str(found)
    assert set(found.secrets()) == {SECRET}
