"""The hook: from an Airflow connection to a client of FDI."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import (
    FdiArgumentError,
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiResponseError,
)
from airflow_provider_fdi.client.names import find_task, task_named
from airflow_provider_fdi.compat import async_connection, async_extra, mask_secrets
from airflow_provider_fdi.constants import CONN_TYPE, HOOK_NAME
from airflow_provider_fdi.get_provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_fdi.hooks.settings import FdiConnectionSettingError, FdiSettings, read_settings

if TYPE_CHECKING:
    from airflow_provider_fdi.client.auth import FdiAuth
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Task
    from airflow_provider_fdi.client.observer import Observer

NO_SUCH_PROJECT = "FDI.3039"


def make_client(
    settings: FdiSettings,
    project_id: str | None = None,
    instance_id: str | None = None,
    *,
    retry: Backoff | None = None,
    share_gate: bool = False,
    observed: bool = True,
) -> FdiClient:
    """Make the client for a project and an instance, which come from the connection where not given.

    :param retry: how often requests are sent again; the client's default when None.
    :param share_gate: a 429 holds back all clients of this process with the same endpoint and credentials.
    :param observed: what the client does counts in Airflow's metrics.
    :raises FdiConnectionSettingError: project or instance is not set anywhere, or a setting cannot work on
        this machine (no such CA file, the official SDK is not installed).
    :raises FdiError: the project is given by name, and the login that resolves its id fails.
    """
    # Deferred: the client loads requests. A DAG file imports this module, but makes no client.
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.transport import shared_gate
    from airflow_provider_fdi.metrics import observer_for

    project_id = project_id or settings.project_id
    instance_id = instance_id or settings.instance_id
    try:
        if not instance_id:
            raise _not_set("instance_id")
        observer = observer_for(settings.conn_id) if observed else None
        auth = _make_auth(settings, project_id, observer)
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
            gate=shared_gate(settings.endpoint, auth.identity) if share_gate else None,
            observer=observer,
        )
    except FdiArgumentError as error:
        raise FdiConnectionSettingError.naming(settings.conn_id, error) from None
    except FdiError as error:
        raise error.replace(connection=settings.conn_id) from None


def _not_set(field: str) -> FdiArgumentError:
    by_name = " (or project_name, with auth_type='password')" if field == "project_id" else ""
    rule = f"is not set\nGive it{by_name} in the connection's extra, or give {field} to the operator."
    return FdiArgumentError(field, None, rule)


def _make_auth(settings: FdiSettings, project_id: str | None, observer: Observer | None) -> FdiAuth:
    # Deferred: loads requests.
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
        observer=observer,
    )


async def connect(fdi_conn_id: str, project_id: str | None, instance_id: str | None) -> FdiClient:
    """Make the client inside a trigger: the connection is read without blocking the event loop."""
    connection = await async_connection(fdi_conn_id)
    # Reading the extra has Airflow mask the secrets in it.
    await async_extra(connection)
    settings = read_settings(connection)
    # The poller waits longer for a service in trouble, without blocking a thread.
    retry = Backoff(attempts=3, budget=5.0, retry_after_cap=600.0)
    return await asyncio.to_thread(
        make_client, settings, project_id, instance_id, retry=retry, share_gate=True
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
        """The client, made at the first call and kept, so that each hook has one pooled session."""
        return self.client

    def find_task(self, name: str) -> Task | None:
        """The task of exactly this name, or None; the service's own name filter is fuzzy (ListTasks).

        :raises FdiArgumentError: several tasks have this name.
        """
        return find_task(self.client, name)

    def task_named(self, name: str) -> Task:
        """The task of exactly this name (ListTasks).

        :raises FdiArgumentError: no task has this name, or several have it.
        """
        return task_named(self.client, name)[0]

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
        """Test the connection; if it does not work, the text begins with the layer that failed.

        Layers: settings, network, TLS, credentials, project, instance, permission, service.
        """
        try:
            # Not observed: the id that the form tests under would be a new tag of every metric each time.
            client = make_client(
                self.settings,
                self.project_id,
                self.instance_id,
                retry=Backoff(attempts=1),
                observed=False,
            )
            with client:
                client.count_tasks()
        except FdiError as error:
            # The connection form tests under a generated id, which means nothing to its user.
            words = str(error.replace(connection="")).replace("\n", " ")
            return False, f"{failed_layer(error)}: {words}"
        return True, f"Connected to instance {client.instance_id} of project {client.project_id}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Fields of the connection form for Airflow < 3.2; later ones read ``get_provider_info``."""
        # Deferred: only the webserver of older Airflow versions has these.
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
            # Also for numbers: Airflow 2 accepts no form field for fractions.
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


def failed_layer(error: FdiError) -> str:
    """Which layer of a connection an error of :meth:`FdiHook.test_connection` is about."""
    if isinstance(error, FdiArgumentError):
        return "Settings"
    if isinstance(error, FdiConnectionError):
        return "TLS" if error.tls else "Network"
    if isinstance(error, FdiAuthError):
        # The login request names the project as well.
        return "Project" if error.status == 404 else "Credentials"
    if isinstance(error, FdiResponseError) and error.error_code == NO_SUCH_PROJECT:
        return "Project"
    if isinstance(error, FdiPermissionError):
        return "Permission"
    if isinstance(error, FdiNotFoundError) and error.error_code.startswith(("ROMA.", "FDI.")):
        return "Instance"
    # Includes a gateway that does not know the address: it never got to the instance.
    return "Service"
