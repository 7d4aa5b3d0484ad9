"""The connection to FDI: from an Airflow connection to a client."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiResponseError,
)
from airflow_provider_fdi.get_provider_info import (
    AUTH_TYPES,
    CONN_FIELDS,
    CONN_TYPE,
    CONNECT_TIMEOUT,
    CONSOLE_URL,
    HOOK_NAME,
    TIMEOUT,
    UI_FIELD_BEHAVIOUR,
)
from airflow_provider_fdi.version_compat import BaseHook, async_connection, async_extra, mask_secrets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_fdi.client.auth import FdiAuth
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.client.transport import Gate, RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T")

OLD_PREFIX = f"extra__{CONN_TYPE}__"
"""What forms of older Airflow versions put before the name of a custom field."""

NO_SUCH_PROJECT = "FDI.3039"

CREDENTIALS = {
    "aksk": {"login": "the access key (AK)", "password": "the secret key (SK)"},
    "password": {"login": "the IAM user's name", "password": "the IAM user's password"},
    "token": {"password": "the IAM token"},
    "sdk": {},
}
"""Which fields of a connection each kind of authentication needs."""


class FdiConnectionSettingError(FdiInvalidRequestError):
    """A field of the connection is missing or cannot be understood; says which, and how it should be."""


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
        """What Airflow does not know to be secret by itself, or not under each name."""
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
    """One connection while it is read: its id for messages, and its extra without what is unset."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.conn_id = connection.conn_id or CONN_TYPE
        self.fields = self._fields()

    def settings(self) -> FdiSettings:
        auth_type = self._auth_type()
        allow_http = self._flag("allow_http")
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
            timeout=(self._seconds("connect_timeout", CONNECT_TIMEOUT), self._seconds("timeout", TIMEOUT)),
            proxies=self._proxies(),
            allow_http=allow_http,
            console_url=self._console_url(),
        )

    def refuse(self, field: str, value: object, rule: str) -> NoReturn:
        raise refusal(self.conn_id, FdiInvalidRequestError.local("", field, value, rule))

    def hide(self, field: str, rule: str) -> NoReturn:
        """Refuse a field whose value must not be shown."""
        error = FdiConnectionSettingError(f"Connection {self.conn_id!r}: {field}: {rule}", error_msg=rule)
        error.field = field
        raise error

    def _fields(self) -> dict[str, Any]:
        text = self.connection.extra
        try:
            extra = json.loads(text) if text else {}
        except json.JSONDecodeError as error:
            self.hide("extra", f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}")
        if not isinstance(extra, Mapping):
            self.hide("extra", f"must be a JSON object, is of type {type(extra).__name__}")
        fields: dict[str, Any] = {}
        # What has the old prefix comes first, so that the plain name wins.
        for key, value in sorted(extra.items(), key=lambda item: not str(item[0]).startswith(OLD_PREFIX)):
            value = value.strip() if isinstance(value, str) else value
            if value not in (None, ""):
                fields[str(key).removeprefix(OLD_PREFIX)] = value
        for key in fields.keys() - CONN_FIELDS.keys():
            self._unknown(key, fields)
        return fields

    def _unknown(self, key: str, fields: Mapping[str, Any]) -> None:
        """A key that nothing reads: refused if it looks like a slip, because what it says would be lost."""
        meant = _meant(key)
        if meant is None:
            known = ", ".join(CONN_FIELDS)
            log.warning(
                "Connection %r: extra has the key %r, which nothing reads. Known keys: %s.",
                self.conn_id,
                key,
                known,
            )
        elif meant in fields or getattr(self.connection, meant, None):
            log.warning(
                "Connection %r: extra has the key %r, which nothing reads, besides %r.",
                self.conn_id,
                key,
                meant,
            )
        else:
            where = "" if meant in CONN_FIELDS else ", outside of extra"
            self.hide(f"extra[{key!r}]", f"there is no such key; did you mean {meant!r}{where}?")

    def _text(self, field: str) -> str | None:
        value = self.fields.get(field)
        if value is not None and not isinstance(value, str):
            self.refuse(field, value, "must be text")
        return value

    def _id(self, field: str) -> str | None:
        from airflow_provider_fdi.client import rules

        value = self._text(field)
        return None if value is None else self._checked(lambda: rules.identifier(value, field))

    def _checked(self, check: Callable[[], T]) -> T:
        try:
            return check()
        except FdiInvalidRequestError as error:
            raise refusal(self.conn_id, error) from None

    def _flag(self, field: str) -> bool:
        value = self.fields.get(field, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            self.refuse(field, value, "must be true or false")
        return value

    def _seconds(self, field: str, default: float) -> float:
        given = self.fields.get(field, default)
        try:
            value = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not 0 < value < 86_400:
            self.refuse(field, given, "must be a number of seconds, more than 0 and less than 86400")
        return value

    def _auth_type(self) -> str:
        given = self.fields.get("auth_type", AUTH_TYPES[0])
        auth_type = given.lower() if isinstance(given, str) else ""
        if auth_type not in AUTH_TYPES:
            self.refuse("auth_type", given, f"must be one of {', '.join(AUTH_TYPES)}")
        for field, meaning in CREDENTIALS[auth_type].items():
            value = getattr(self.connection, field)
            if not value or not value.strip():
                self.refuse(field, None, f"auth_type={auth_type!r} needs {meaning} here")
            # Goes into a header.
            if auth_type != "password" and not (value.strip().isascii() and value.strip().isprintable()):
                self.hide(field, f"{meaning} must be printable ASCII, in one line")
        return auth_type

    def _domain_name(self, auth_type: str) -> str | None:
        name = self._text("domain_name")
        if auth_type == "password" and name is None:
            self.refuse("domain_name", None, "auth_type='password' needs the account (domain) name")
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
            self.refuse("region", region, "must be the name of a region, such as cn-north-4")
        return region

    def _endpoint(self, region: str | None, allow_http: bool) -> str:
        from airflow_provider_fdi.client.transport import base_url

        host = (self.connection.host or "").strip()
        if not host:
            if region is None:
                self.refuse("host", None, "set the endpoint of ROMA Connect, or region for the standard one")
            return f"https://roma.{region}.myhuaweicloud.com"
        if "://" not in host:
            scheme = (self.connection.schema or "https").strip().lower()
            if scheme not in ("http", "https"):
                self.refuse("schema", self.connection.schema, "must be https or http")
            host = f"{scheme}://{host}"
        base = self._checked(lambda: base_url("", host, allow_http=allow_http, field="host"))
        port = self.connection.port
        if port and urlsplit(host).port is None:
            if not 0 < port < 65536:
                self.refuse("port", port, "must be a number from 1 to 65535")
            base = self._checked(lambda: base_url("", f"{base}:{port}", allow_http=allow_http, field="host"))
        return base

    def _iam_endpoint(self, region: str | None, allow_http: bool) -> str:
        from airflow_provider_fdi.client.transport import base_url

        given = self._text("iam_endpoint")
        if given is not None:
            return self._checked(lambda: base_url("", given, allow_http=allow_http, field="iam_endpoint"))
        return f"https://iam.{region}.myhuaweicloud.com" if region else "https://iam.myhuaweicloud.com"

    def _verify(self) -> bool | str:
        value = self.fields.get("verify", True)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            self.refuse("verify", value, "must be true, false, or the path of a CA bundle")
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
                    self.hide("proxies", f"is no JSON: {error.msg} at column {error.colno}")
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
                self.hide("proxies", f"{rule}; the one for {scheme!r} is no address")
            proxies[str(scheme)] = address
        return proxies or None

    def _console_url(self) -> str:
        url = self._text("console_url") or CONSOLE_URL
        if not url.startswith(("https://", "http://")):
            self.refuse("console_url", url, "must begin with https:// or http://")
        return url.rstrip("/")


def refusal(conn_id: str, error: FdiInvalidRequestError) -> FdiConnectionSettingError:
    """A refusal with the connection named."""
    words = str(error).removeprefix(f"{error.operation}: ")
    refused = FdiConnectionSettingError(f"Connection {conn_id!r}: {words}", error_msg=error.error_msg)
    refused.field = error.field
    return refused


OTHER_WORDS = {
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
    from difflib import get_close_matches

    def plain(name: str) -> str:
        return "".join(c for c in name.lower() if c.isalnum())

    if plain(key) in OTHER_WORDS:
        return OTHER_WORDS[plain(key)]
    known = {plain(name): name for name in CONN_FIELDS}
    close = get_close_matches(plain(key), known, n=1, cutoff=0.8)
    return known[close[0]] if close else None


def make_client(
    settings: FdiSettings,
    project_id: str | None = None,
    instance_id: str | None = None,
    *,
    retry: RetryPolicy | None = None,
    gate: Gate | None = None,
) -> FdiClient:
    """The client for a place: a project and an instance, from the connection where not given.

    :param retry: how often requests are sent again; as the client does by itself when None.
    :param gate: shared with other clients, so that a 429 to one holds all of them back.
    :raises FdiConnectionSettingError: project or instance are known from nowhere, or a setting is of no use
        on this machine (no such CA file, the official SDK is not installed).
    :raises FdiError: only where the project is given by name and the login fails that tells its id.
    """
    from airflow_provider_fdi.client.client import FdiClient

    project_id = project_id or settings.project_id
    instance_id = instance_id or settings.instance_id
    try:
        if not instance_id:
            raise _not_set("instance_id")
        auth = _make_auth(settings, project_id)
        project_id = project_id or getattr(auth, "project_id", None)
        if not project_id:
            raise _not_set("project_id")
        return FdiClient(
            settings.endpoint,
            project_id,
            instance_id,
            auth,
            timeout=settings.timeout,
            retry=retry,
            verify=settings.verify,
            proxies=settings.proxies,
            allow_http=settings.allow_http,
            gate=gate,
        )
    except FdiInvalidRequestError as error:
        if error.status is not None:
            raise
        raise refusal(settings.conn_id, error) from error.__cause__


def _not_set(field: str) -> FdiInvalidRequestError:
    by_name = " (or project_name, with auth_type='password')" if field == "project_id" else ""
    rule = f"is not set: give it{by_name} in the connection's extra, or give {field} to the operator"
    return FdiInvalidRequestError.local("", field, None, rule)


def _make_auth(settings: FdiSettings, project_id: str | None) -> FdiAuth:
    from airflow_provider_fdi.client import auth

    if settings.auth_type == "token":
        return auth.StaticTokenAuth(settings.password or "")
    if settings.auth_type == "aksk":
        return auth.AkSkAuth(
            settings.login or "",
            settings.password or "",
            project_id=project_id,
            security_token=settings.security_token,
        )
    if settings.auth_type == "sdk":
        return auth.SdkAuth(project_id=project_id)
    project_name = None if project_id else settings.project_name or settings.region
    if not project_id and not project_name:
        raise _not_set("project_id")
    return auth.TokenAuth(
        settings.iam_endpoint,
        settings.login or "",
        settings.password or "",
        settings.domain_name or "",
        project_id=project_id,
        project_name=project_name,
        verify=settings.verify,
        proxies=settings.proxies,
        timeout=settings.timeout,
        allow_http=settings.allow_http,
    )


def only_task_named(name: str, tasks: Iterable[Task]) -> Task | None:
    """The task of exactly this name, or None.

    :raises FdiInvalidRequestError: several tasks have this name.
    """
    found = [task for task in tasks if task.task_name == name]
    if len(found) > 1:
        ids = ", ".join(task.task_id for task in found)
        rule = f"must name one task, but {len(found)} have it ({ids}); use the id"
        raise FdiInvalidRequestError.local("list_tasks", "fdi_task_name", name, rule)
    return found[0] if found else None


def existing_task_named(name: str, tasks: Iterable[Task]) -> Task:
    """The task of exactly this name.

    :raises FdiInvalidRequestError: no task has this name, or several have it.
    """
    task = only_task_named(name, tasks)
    if task is None:
        rule = (
            "no task has exactly this name in this instance; missing permission on its integration"
            " application can look like this, too"
        )
        raise FdiInvalidRequestError.local("list_tasks", "fdi_task_name", name, rule)
    return task


async def connect(fdi_conn_id: str, project_id: str | None, instance_id: str | None) -> FdiClient:
    """The client inside a trigger: the connection is read without blocking the event loop."""
    import asyncio

    from airflow_provider_fdi.client.transport import PROCESS_GATE, RetryPolicy

    connection = await async_connection(fdi_conn_id)
    # For the sake of its secrets, which Airflow then masks in the log.
    await async_extra(connection)
    settings = read_settings(connection)
    # Long waits for a service in trouble are the poller's, which holds up no thread with them.
    retry = RetryPolicy(max_attempts=3, budget=5.0, retry_after_cap=600.0)
    return await asyncio.to_thread(
        make_client, settings, project_id, instance_id, retry=retry, gate=PROCESS_GATE
    )


class FdiHook(BaseHook):
    """Access to FDI with the credentials of an Airflow connection.

    :param fdi_conn_id: connection of type ``fdi``.
    :param project_id: project of Huawei Cloud; from the connection when None.
    :param instance_id: instance of ROMA Connect; from the connection when None.
    """

    conn_name_attr = "fdi_conn_id"
    default_conn_name = "fdi_default"
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(
        self,
        fdi_conn_id: str = default_conn_name,
        *,
        project_id: str | None = None,
        instance_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id

    @cached_property
    def settings(self) -> FdiSettings:
        settings = read_settings(self.get_connection(self.fdi_conn_id))
        mask_secrets(settings.secrets())
        return settings

    @cached_property
    def client(self) -> FdiClient:
        return make_client(self.settings, self.project_id, self.instance_id)

    def get_conn(self) -> FdiClient:
        """The client, made at the first call and kept: one pooled session for each hook."""
        return self.client

    def find_task(self, name: str) -> Task | None:
        """The task of exactly this name, or None; the service's own name filter is fuzzy (ListTasks).

        :raises FdiInvalidRequestError: several tasks have this name.
        """
        return only_task_named(name, self.client.list_tasks(name=name))

    def task_named(self, name: str) -> Task:
        """The task of exactly this name (ListTasks).

        :raises FdiInvalidRequestError: no task has this name, or several have it.
        """
        return existing_task_named(name, self.client.list_tasks(name=name))

    def console_link(self, fdi_task_id: str, fdi_run_id: str | None = None) -> str:
        """The console's address for a task or one of its runs.

        ``console_url`` of the connection may hold ``{region}``, ``{project_id}``, ``{instance_id}``,
        ``{task_id}`` and ``{run_id}``; without placeholders the usual query is appended.
        """
        values = {
            "region": self.settings.region,
            "project_id": self.client.project_id,
            "instance_id": self.client.instance_id,
            "task_id": fdi_task_id,
            "run_id": fdi_run_id,
        }
        quoted = {name: quote(value or "", safe="") for name, value in values.items()}
        url = self.settings.console_url
        if "{" in url:
            for name, value in quoted.items():
                url = url.replace("{" + name + "}", value)
            return url
        region = f"region={quoted['region']}&" if quoted["region"] else ""
        run = f"&runId={quoted['run_id']}" if quoted["run_id"] else ""
        return f"{url}/?{region}instanceId={quoted['instance_id']}#/fdi/tasks?taskId={quoted['task_id']}{run}"

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection works, and if not, which layer failed, first in the text.

        Layers: settings, network, TLS, credentials, project, instance, permission, service.
        """
        from airflow_provider_fdi.client.transport import RetryPolicy

        try:
            client = make_client(
                self.settings, self.project_id, self.instance_id, retry=RetryPolicy(max_attempts=1)
            )
            with client:
                client.count_tasks()
        except FdiError as error:
            # The form tests under an id of its own, which would tell its user nothing.
            words = str(error).removeprefix(f"Connection {self.fdi_conn_id!r}: ")
            return False, f"{_failed_layer(error)}: {words}"
        return True, f"Connected to instance {client.instance_id} of project {client.project_id}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Fields of the connection form for Airflow < 3.2; later ones read ``get_provider_info``."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, PasswordField, StringField
        from wtforms.validators import Optional, any_of

        widgets: dict[str, Any] = {}
        for name, described in CONN_FIELDS.items():
            schema = described["schema"]
            options: dict[str, Any] = {
                "description": described["description"],
                "default": schema.get("default"),
                "validators": [Optional()],
            }
            # Numbers, too: Airflow 2 takes no field for those with a fraction.
            kind: Any = StringField
            if "boolean" in schema["type"]:
                kind = BooleanField
            elif schema.get("format") == "password":
                kind = PasswordField
            if "enum" in schema:
                options["validators"].append(any_of(schema["enum"]))
            if kind is not BooleanField:
                options["widget"] = (
                    BS3PasswordFieldWidget() if kind is PasswordField else BS3TextFieldWidget()
                )
            widgets[name] = kind(lazy_gettext(described["label"]), **options)
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the connection form for Airflow < 3.2."""
        return {key.replace("-", "_"): value for key, value in UI_FIELD_BEHAVIOUR.items()}


def _failed_layer(error: FdiError) -> str:
    import ssl

    from airflow_provider_fdi.client.transport import causes

    if isinstance(error, FdiInvalidRequestError) and error.status is None:
        return "Settings"
    if isinstance(error, FdiConnectionError):
        return "TLS" if any(isinstance(cause, ssl.SSLError) for cause in causes(error)) else "Network"
    if isinstance(error, FdiAuthError):
        # The login names the project, too.
        return "Project" if error.status == 404 else "Credentials"
    if isinstance(error, FdiResponseError) and error.error_code == NO_SUCH_PROJECT:
        return "Project"
    if isinstance(error, FdiPermissionError):
        return "Permission"
    if isinstance(error, FdiNotFoundError) and error.error_code.startswith(("ROMA.", "FDI.")):
        return "Instance"
    # Also a gateway that knows no such address: it has not come as far as looking for the instance.
    return "Service"
