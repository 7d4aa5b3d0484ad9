"""An Airflow connection of type ``fdi``, read and checked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from airflow_provider_fdi.client.endpoint import base_url
from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError, Shown
from airflow_provider_fdi.constants import (
    AUTH_TYPES,
    CONN_TYPE,
    CONNECT_TIMEOUT,
    CONSOLE_URL,
    READ_TIMEOUT,
)
from airflow_provider_fdi.get_provider_info import CONN_FIELDS
from airflow_provider_fdi.validation import boolean, did_you_mean, identifier, seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

T = TypeVar("T")

OLD_PREFIX = f"extra__{CONN_TYPE}__"
"""Prefix of custom fields in the connection forms of older Airflow versions."""

CREDENTIALS = {
    "aksk": {"login": "the access key (AK)", "password": "the secret key (SK)"},
    "password": {"login": "the IAM user's name", "password": "the IAM user's password"},
    "token": {"password": "the IAM token"},
    "sdk": {},
}
"""Which fields of a connection each kind of authentication needs."""


class FdiConnectionSettingError(FdiArgumentError):
    """A field of a connection is missing or wrong; the message names it and says how it should be."""

    def __init__(self, conn_id: str, field: str, value: object, rule: str) -> None:
        super().__init__(field, value, rule, hint="It is a setting of {connection}.", connection=conn_id)

    @classmethod
    def naming(cls, conn_id: str, error: FdiArgumentError) -> FdiConnectionSettingError:
        """The same refusal, with the name of the connection."""
        return cls(conn_id, error.field, Shown(error.value), error.rule)


@dataclass(frozen=True)
class FdiSettings:
    """An Airflow connection, read and checked. Empty fields and ``null`` are unset."""

    conn_id: str
    endpoint: str
    auth_type: str
    login: str | None
    password: str | None
    project_id: str | None
    project_name: str | None
    instance_id: str | None
    region: str | None
    domain_name: str | None
    iam_endpoint: str
    security_token: str | None
    verify: bool | str
    timeout: tuple[float, float]
    proxies: dict[str, str] | None
    allow_http: bool
    console_url: str

    def __repr__(self) -> str:
        return f"<FdiSettings {self.conn_id!r} {self.endpoint} auth_type={self.auth_type}>"

    def secrets(self) -> Iterator[str]:
        """The secrets that Airflow does not mask by itself."""
        for secret in (self.password, self.security_token):
            if secret:
                yield secret
        for proxy in (self.proxies or {}).values():
            secret = urlsplit(proxy).password
            if secret:
                yield secret


def read_settings(connection: Connection) -> FdiSettings:
    """Read and check an Airflow connection of type ``fdi``.

    :raises FdiConnectionSettingError: names the field, its value (never a secret), and what it should be.
    """
    return _Reader(connection).settings()


class _Reader:
    """Reads one connection; holds its id for messages, and its extra without unset fields."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.conn_id = connection.conn_id or CONN_TYPE
        self.fields = self._fields()

    def settings(self) -> FdiSettings:
        auth_type = self._auth_type()
        allow_http = self._checked(boolean, "allow_http", self.fields.get("allow_http", False))
        region = self._region()
        return FdiSettings(
            conn_id=self.conn_id,
            endpoint=self._endpoint(region, allow_http),
            auth_type=auth_type,
            login=self.connection.login or None,
            password=self.connection.password or None,
            project_id=self._id("project_id"),
            project_name=self._text("project_name"),
            instance_id=self._id("instance_id"),
            region=region,
            domain_name=self._domain_name(auth_type),
            iam_endpoint=self._iam_endpoint(region, allow_http),
            security_token=self._security_token(auth_type),
            verify=self._verify(),
            timeout=(
                self._checked(
                    seconds, "connect_timeout", self.fields.get("connect_timeout", CONNECT_TIMEOUT)
                ),
                self._checked(seconds, "timeout", self.fields.get("timeout", READ_TIMEOUT)),
            ),
            proxies=self._proxies(),
            allow_http=allow_http,
            console_url=self._console_url(),
        )

    def refuse(self, field: str, value: object, rule: str) -> NoReturn:
        raise FdiConnectionSettingError(self.conn_id, field, value, rule)

    def hide(self, field: str, rule: str) -> NoReturn:
        """Refuse a field whose value must not be shown."""
        raise FdiConnectionSettingError(self.conn_id, field, HIDDEN, rule)

    def _fields(self) -> dict[str, Any]:
        text = self.connection.extra
        try:
            extra = json.loads(text) if text else {}
        except json.JSONDecodeError as error:
            self.hide("extra", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
        if not isinstance(extra, Mapping):
            self.hide("extra", f"must be a JSON object, is of type {type(extra).__name__}")
        fields: dict[str, Any] = {}
        # Prefixed keys come first, so that the plain name wins.
        for key, value in sorted(extra.items(), key=lambda item: not str(item[0]).startswith(OLD_PREFIX)):
            value = value.strip() if isinstance(value, str) else value
            if value not in (None, ""):
                fields[str(key).removeprefix(OLD_PREFIX)] = value
        for key in fields.keys() - CONN_FIELDS.keys():
            self._unknown(key, fields)
        return fields

    def _unknown(self, key: str, fields: Mapping[str, Any]) -> None:
        """Refuse an unknown key if it looks like a misspelt one, whose value would be ignored; else warn."""
        meant = _meant(key)
        if meant is None:
            known = ", ".join(CONN_FIELDS)
            log.warning(
                "Connection %r: extra has the key %r, which is ignored. Known keys: %s.",
                self.conn_id,
                key,
                known,
            )
        elif meant in fields or getattr(self.connection, meant, None):
            log.warning(
                "Connection %r: extra has the key %r, which is ignored, as well as %r.",
                self.conn_id,
                key,
                meant,
            )
        else:
            where = "" if meant in CONN_FIELDS else ", outside of extra"
            self.hide(f"extra[{key!r}]", f"there is no such key\nDid you mean {meant!r}{where}?")

    def _text(self, field: str) -> str | None:
        value = self.fields.get(field)
        if value is not None and not isinstance(value, str):
            self.refuse(field, value, "must be text")
        return value

    def _id(self, field: str) -> str | None:
        value = self._text(field)
        return None if value is None else self._checked(identifier, field, value)

    def _checked(self, check: Callable[..., T], field: str, value: object, **options: Any) -> T:
        """Check a value; a refusal names the connection."""
        try:
            return check(field, value, **options)
        except FdiArgumentError as error:
            raise FdiConnectionSettingError.naming(self.conn_id, error) from None

    def _auth_type(self) -> str:
        given = self.fields.get("auth_type", AUTH_TYPES[0])
        auth_type = given.lower() if isinstance(given, str) else ""
        if auth_type not in AUTH_TYPES:
            rule = f"use {', '.join(AUTH_TYPES[:-1])} or {AUTH_TYPES[-1]}"
            self.refuse("auth_type", given, rule + did_you_mean(given, AUTH_TYPES))
        for field, meaning in CREDENTIALS[auth_type].items():
            value = getattr(self.connection, field)
            if not value or not value.strip():
                self.refuse(field, None, f"is not set\nauth_type={auth_type!r} needs {meaning} here.")
            # It is sent in a header.
            if auth_type != "password" and not (value.strip().isascii() and value.strip().isprintable()):
                self.hide(field, f"{meaning} must be printable ASCII, in one line")
        return auth_type

    def _domain_name(self, auth_type: str) -> str | None:
        name = self._text("domain_name")
        if auth_type == "password" and name is None:
            self.refuse(
                "domain_name", None, "is not set\nauth_type='password' needs the account (domain) name."
            )
        return name

    def _security_token(self, auth_type: str) -> str | None:
        token = self.fields.get("security_token")
        if token is None or auth_type != "aksk":
            return None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            self.hide("security_token", "must be printable ASCII, in one line")
        return token

    def _region(self) -> str | None:
        region = self._text("region")
        if region is not None and not (region.isascii() and region.replace("-", "").isalnum()):
            self.refuse("region", region, "is not the name of a region\nFor instance: cn-north-4.")
        return region

    def _endpoint(self, region: str | None, allow_http: bool) -> str:
        host = (self.connection.host or "").strip()
        if not host:
            if region is None:
                self.refuse(
                    "host",
                    None,
                    "is not set\nGive the endpoint of ROMA Connect, or region for the standard one.",
                )
            return f"https://roma.{region}.myhuaweicloud.com"
        if "://" not in host:
            scheme = (self.connection.schema or "https").strip().lower()
            if scheme not in ("http", "https"):
                self.refuse("schema", self.connection.schema, "must be https or http")
            host = f"{scheme}://{host}"
        base = self._checked(base_url, "host", host, allow_http=allow_http)
        port = self.connection.port
        if port and urlsplit(host).port is None:
            if not 0 < port < 65536:
                self.refuse("port", port, "must be a number from 1 to 65535")
            base = self._checked(base_url, "host", f"{base}:{port}", allow_http=allow_http)
        return base

    def _iam_endpoint(self, region: str | None, allow_http: bool) -> str:
        given = self._text("iam_endpoint")
        if given is not None:
            return self._checked(base_url, "iam_endpoint", given, allow_http=allow_http)
        return f"https://iam.{region}.myhuaweicloud.com" if region else "https://iam.myhuaweicloud.com"

    def _verify(self) -> bool | str:
        value = self.fields.get("verify", True)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            self.refuse("verify", value, "must be true or false\nOr the path of a CA bundle.")
        return value

    def _proxies(self) -> dict[str, str] | None:
        # Never shown: it may hold a password.
        value = self.fields.get("proxies")
        if isinstance(value, str):
            if not value.startswith("{"):
                value = {"http": value, "https": value}
            else:
                try:
                    value = json.loads(value)
                except json.JSONDecodeError as error:
                    self.hide("proxies", f"is not JSON: {error.msg} at column {error.colno}")
        if value is None:
            return None
        rule = 'must be an object like {"https": "http://proxy:3128"}, or one address for all'
        if not isinstance(value, Mapping):
            self.hide("proxies", rule)
        proxies = {}
        for scheme, address in value.items():
            if address in (None, ""):
                continue
            if not isinstance(address, str):
                self.hide("proxies", rule)
            try:
                good = bool(urlsplit(address if "://" in address else f"http://{address}").hostname)
            except ValueError:
                good = False
            if not good:
                self.hide("proxies", f"{rule}; the one for {scheme!r} is not an address")
            proxies[str(scheme)] = address
        return proxies or None

    def _console_url(self) -> str:
        url = self._text("console_url") or CONSOLE_URL
        if not url.startswith(("https://", "http://")):
            self.refuse("console_url", url, "must begin with https:// or http://")
        return url.rstrip("/")


SYNONYMS = {
    "proxy": "proxies",
    "domain": "domain_name",
    "account": "domain_name",
    "cabundle": "verify",
    "endpoint": "host",
    "ak": "login",
    "accesskey": "login",
    "user": "login",
    "username": "login",
    "sk": "password",
    "secretkey": "password",
    "token": "password",
}


def _meant(key: str) -> str | None:
    """The field of a connection, or the key of its extra, that ``key`` is probably meant to be."""

    def plain(name: str) -> str:
        return "".join(c for c in name.lower() if c.isalnum())

    if plain(key) in SYNONYMS:
        return SYNONYMS[plain(key)]
    # Deferred: only a misspelt key needs it.
    from difflib import get_close_matches

    known = {plain(name): name for name in CONN_FIELDS}
    close = get_close_matches(plain(key), known, n=1, cutoff=0.8)
    return known[close[0]] if close else None
