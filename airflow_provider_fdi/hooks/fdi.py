"""The connection to FDI: from an Airflow connection to a client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
)
from airflow_provider_fdi.version_compat import BaseHook, async_connection, async_extra

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Task

AUTH_TYPES = ("aksk", "password", "token", "sdk")

REGIONS = (
    "cn-north-1",
    "cn-north-4",
    "cn-east-2",
    "cn-east-3",
    "cn-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ae-ad-1",
    "ru-northwest-2",
)
"""Regions that are known to offer ROMA Connect; others go by an explicit host."""

CONNECT_TIMEOUT = 10.0
TIMEOUT = 60.0
CONSOLE_URL = "https://console-intl.huaweicloud.com/roma"


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


def read_settings(connection: Connection, extra: Mapping[str, Any] | None = None) -> FdiSettings:
    """Read and check an Airflow connection of type ``fdi``.

    :param extra: the connection's extra where the caller has read it already (inside a trigger).
    :raises FdiConnectionSettingError: names the field, its value (never a secret), and what it should be.
    """
    conn_id = connection.conn_id or "fdi"
    fields = {
        k: v for k, v in (extra if extra is not None else _extra(connection)).items() if v not in (None, "")
    }

    def refuse(field: str, value: object, rule: str) -> FdiConnectionSettingError:
        return FdiConnectionSettingError(f"Connection {conn_id!r}: {field}={value!r}: {rule}.")

    def flag(field: str) -> bool:
        value = fields.get(field, False)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise refuse(field, value, "must be true or false")

    def seconds(field: str, default: float) -> float:
        try:
            value = float(fields.get(field, default))
        except (TypeError, ValueError):
            raise refuse(field, fields[field], "must be a number of seconds") from None
        if not value > 0:
            raise refuse(field, value, "must be more than 0 seconds")
        return value

    auth_type = str(fields.get("auth_type") or "aksk").lower()
    if auth_type not in AUTH_TYPES:
        raise refuse("auth_type", fields["auth_type"], f"must be one of {', '.join(AUTH_TYPES)}")
    needed = {
        "aksk": {"login": "the access key (AK)", "password": "the secret key (SK)"},
        "password": {"login": "the IAM user's name", "password": "the IAM user's password"},
        "token": {"password": "the IAM token"},
        "sdk": {},
    }[auth_type]
    for field, meaning in needed.items():
        if not getattr(connection, field):
            raise refuse(field, None, f"auth_type={auth_type!r} needs {meaning} here")
    if auth_type == "password" and not fields.get("domain_name"):
        raise refuse("domain_name", None, "auth_type='password' needs the account (domain) name")

    region = fields.get("region")
    endpoint = _endpoint(connection, region)
    if endpoint is None:
        raise refuse("host", None, "set the endpoint of ROMA Connect, or region for the standard one")
    verify = fields.get("verify", True)
    if isinstance(verify, str) and verify.lower() in ("true", "false"):
        verify = verify.lower() == "true"
    proxies = fields.get("proxies")
    if isinstance(proxies, str):
        proxies = {"http": proxies, "https": proxies}
    if proxies is not None and not isinstance(proxies, Mapping):
        raise refuse(
            "proxies", type(proxies).__name__, 'must be an object like {"https": "http://proxy:3128"}'
        )
    return FdiSettings(
        conn_id=conn_id,
        endpoint=endpoint,
        auth_type=auth_type,
        login=connection.login or None,
        password=connection.password or None,
        project_id=fields.get("project_id"),
        project_name=fields.get("project_name"),
        instance_id=fields.get("instance_id"),
        region=region,
        domain_name=fields.get("domain_name"),
        iam_endpoint=str(fields.get("iam_endpoint") or _iam_endpoint(region)),
        security_token=fields.get("security_token"),
        verify=verify,
        timeout=(seconds("connect_timeout", CONNECT_TIMEOUT), seconds("timeout", TIMEOUT)),
        proxies=dict(proxies) if proxies else None,
        allow_http=flag("allow_http"),
        console_url=str(fields.get("console_url") or CONSOLE_URL).rstrip("/"),
    )


def _extra(connection: Connection) -> Mapping[str, Any]:
    try:
        value = json.loads(connection.extra or "{}")
    except json.JSONDecodeError as error:
        raise FdiConnectionSettingError(
            f"Connection {connection.conn_id!r}: extra is no JSON (line {error.lineno},"
            f" column {error.colno})."
        ) from None
    if not isinstance(value, Mapping):
        raise FdiConnectionSettingError(f"Connection {connection.conn_id!r}: extra must be a JSON object.")
    # Forms of older Airflow versions prefix custom fields.
    return {str(k).removeprefix("extra__fdi__"): v for k, v in value.items()}


def _endpoint(connection: Connection, region: str | None) -> str | None:
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        return f"https://roma.{region}.myhuaweicloud.com" if region else None
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    parts = urlsplit(host)
    if connection.port and parts.port is None:
        host = f"{parts.scheme}://{parts.netloc}:{connection.port}{parts.path}"
    return host


def _iam_endpoint(region: str | None) -> str:
    return f"https://iam.{region}.myhuaweicloud.com" if region else "https://iam.myhuaweicloud.com"


def make_client(
    settings: FdiSettings, project_id: str | None = None, instance_id: str | None = None
) -> FdiClient:
    """The client for a place: a project and an instance, from the connection where not given.

    :raises FdiConnectionSettingError: project or instance are known from nowhere.
    :raises FdiAuthError: only where the project is given by name and IAM refuses the login that tells its id.
    """
    from airflow_provider_fdi.client.client import FdiClient

    project_id = project_id or settings.project_id
    instance_id = instance_id or settings.instance_id
    auth = _make_auth(settings, project_id)
    if project_id is None:
        project_id = getattr(auth, "project_id", None)
    for field, value in (("project_id", project_id), ("instance_id", instance_id)):
        if not value:
            raise FdiConnectionSettingError(
                f"Connection {settings.conn_id!r}: {field} is not set. Give it in the connection's"
                " extra or to the operator."
            )
    return FdiClient(
        settings.endpoint,
        str(project_id),
        str(instance_id),
        auth,
        timeout=settings.timeout,
        verify=settings.verify,
        proxies=settings.proxies,
        allow_http=settings.allow_http,
    )


def _make_auth(settings: FdiSettings, project_id: str | None) -> Any:
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
    return auth.TokenAuth(
        settings.iam_endpoint,
        settings.login or "",
        settings.password or "",
        settings.domain_name or "",
        project_id=project_id,
        project_name=None if project_id else settings.project_name or settings.region,
        verify=settings.verify,
        proxies=settings.proxies,
        timeout=settings.timeout,
        allow_http=settings.allow_http,
    )


async def connect(fdi_conn_id: str, project_id: str | None, instance_id: str | None) -> FdiClient:
    """The client inside a trigger: the connection is read without blocking the event loop."""
    import asyncio

    connection = await async_connection(fdi_conn_id)
    settings = read_settings(connection, await async_extra(connection))
    return await asyncio.to_thread(make_client, settings, project_id, instance_id)


class FdiHook(BaseHook):
    """Access to FDI with the credentials of an Airflow connection.

    :param fdi_conn_id: connection of type ``fdi``.
    :param project_id: project of Huawei Cloud; from the connection when None.
    :param instance_id: instance of ROMA Connect; from the connection when None.
    """

    conn_name_attr = "fdi_conn_id"
    default_conn_name = "fdi_default"
    conn_type = "fdi"
    hook_name = "Huawei Cloud FDI"

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
        return read_settings(self.get_connection(self.fdi_conn_id))

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
        found = [task for task in self.client.list_tasks(name=name) if task.task_name == name]
        if len(found) > 1:
            ids = ", ".join(task.task_id for task in found)
            raise FdiInvalidRequestError.local(
                "find_task", "name", name, f"must name one task, but {len(found)} have it ({ids}); use the id"
            )
        return found[0] if found else None

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection works; if not, which layer failed: settings, network, TLS, credentials, …"""
        try:
            counts = self.client.count_tasks()
        except FdiError as error:
            return False, f"{_failed_layer(error)}: {error}"
        total = sum(
            (kind.running + kind.abnormal + kind.terminated + kind.completed)
            for kind in (counts.common, counts.composite)
        )
        return True, f"Connected to instance {self.client.instance_id}: {total} tasks"


def _failed_layer(error: FdiError) -> str:
    if isinstance(error, FdiInvalidRequestError) and error.status is None:
        return "Settings"
    if isinstance(error, FdiConnectionError):
        return "TLS" if "certificate" in str(error).lower() or "ssl" in str(error).lower() else "Network"
    if isinstance(error, FdiAuthError):
        return "Credentials"
    if isinstance(error, FdiPermissionError):
        return "Permission"
    if isinstance(error, FdiNotFoundError):
        return "Instance"
    if isinstance(error, FdiInvalidRequestError) and error.error_code == "FDI.3039":
        return "Project"
    return "Service"
