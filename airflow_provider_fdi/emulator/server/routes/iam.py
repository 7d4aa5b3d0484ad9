"""IAM: tokens, projects, temporary access keys; and the metadata service of a cloud server."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import AliasChoices, BaseModel, Field

from airflow_provider_fdi.emulator.config import Config, Project
from airflow_provider_fdi.emulator.server.dependencies import RECEIVED, call_of
from airflow_provider_fdi.emulator.server.routes.route import IamErrorRoute, service_router
from airflow_provider_fdi.emulator.service.access import Access, Key
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import iam_error

_DOMAIN_ID = "d78cbac186b744899480f25bd022f468"


class _Domain(BaseModel):
    name: str | None = None


class _User(BaseModel):
    domain: _Domain
    name: str | None = None
    password: str | None = None


class _Password(BaseModel):
    user: _User


class _Method(BaseModel):
    id: str | None = None
    domain_name: str | None = None
    duration_seconds: Any = Field(
        default=900, validation_alias=AliasChoices("duration_seconds", "duration-seconds")
    )


class _Identity(BaseModel):
    methods: list[str] = []
    password: _Password | None = None
    assume_role: _Method | None = None
    token: _Method | None = None


class _ProjectScope(BaseModel):
    id: str | None = None
    name: str | None = None


class _Scope(BaseModel):
    project: _ProjectScope | None = None


class _Auth(BaseModel):
    identity: _Identity
    scope: _Scope | None = None


class AuthBody(BaseModel):
    """A request for a token or a temporary key."""

    auth: _Auth


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _project(auth: _Auth, config: Config) -> Project | None:
    """The project that a token is asked for. Raises ServiceError 404."""
    wanted = auth.scope.project if auth.scope is not None else None
    if wanted is None:
        return None
    for project in config.projects:
        if wanted.id == project.id or (not wanted.id and wanted.name == project.name):
            return project
    raise iam_error(404, f"Could not find project: {wanted.id or wanted.name}.")


def _credential(key: Key) -> dict[str, Any]:
    return {
        "credential": {
            "access": key.access,
            "secret": key.secret,
            "securitytoken": key.security_token,
            "expires_at": _iso(key.expires_ms or 0),
        }
    }


class IamRoutes:
    """Handlers of IAM and of the metadata service."""

    def __init__(self, config: Config, clock: Clock, access: Access) -> None:
        self._config = config
        self._clock = clock
        self._access = access

    def router(self) -> APIRouter:
        """The routes."""
        router = service_router(
            "IAM", prefix="", dependencies=RECEIVED, route_class=IamErrorRoute, include_in_schema=False
        )
        router.post("/v3/auth/tokens", operation_id="KeystoneCreateToken", status_code=201)(self.create_token)
        router.get("/v3/projects", operation_id="KeystoneListProjects")(self.list_projects)
        router.post(
            "/v3.0/OS-CREDENTIAL/securitytokens", operation_id="CreateTemporaryAccessKey", status_code=201
        )(self.create_temporary_key)
        router.put("/meta-data/latest/api/token", operation_id="MetadataToken")(self.metadata_token)
        router.get("/openstack/latest/securitykey", operation_id="MetadataSecurityKey")(self.metadata_key)
        return router

    async def create_token(self, body: AuthBody, request: Request, response: Response) -> dict[str, Any]:
        """Get a token."""
        identity = body.auth.identity
        if not identity.methods:
            raise iam_error(400, "'methods' is a required property")
        if "assume_role" in identity.methods:
            actions = call_of(request).check_access(self._access).actions
            if identity.assume_role is None:
                raise iam_error(400, "'assume_role' is a required property")
            user, domain = "assumed-role", identity.assume_role.domain_name or "fdi-domain"
        elif "password" in identity.methods:
            if identity.password is None:
                raise iam_error(400, "'password' is a required property")
            given = identity.password.user
            login = (given.name, given.domain.name, given.password)
            known = [row for row in self._config.users if (row.name, row.domain, row.password) == login]
            if not known:
                raise iam_error(401, "The username or password is wrong.")
            user, domain, actions = known[0].name, known[0].domain, known[0].actions
        else:
            raise iam_error(400, f"The authentication method {identity.methods!r} is not supported.")
        project = _project(body.auth, self._config)
        token = self._access.issue_token(user, project.id if project else None, actions)
        issued = self._clock.now_ms()
        response.headers["X-Subject-Token"] = token.text
        answer: dict[str, Any] = {
            "expires_at": _iso(token.expires_ms or issued),
            "issued_at": _iso(issued),
            "methods": identity.methods,
            "roles": [{"id": "0", "name": "op_gated_roma"}],
            "user": {
                "id": "7116d09f88fa41908676fdd4b039e95b",
                "name": user,
                "domain": {"id": _DOMAIN_ID, "name": domain},
            },
            "catalog": [],
        }
        if project is not None:
            domain_row = {"id": _DOMAIN_ID, "name": domain}
            answer["project"] = {"id": project.id, "name": project.name, "domain": domain_row}
        return {"token": answer}

    async def list_projects(self, request: Request, name: str | None = None) -> dict[str, Any]:
        """List projects."""
        call_of(request).check_access(self._access)
        rows = [
            {
                "id": row.id,
                "name": row.name,
                "enabled": True,
                "is_domain": False,
                "domain_id": "domain",
                "parent_id": "",
            }
            for row in self._config.projects
            if name is None or row.name == name
        ]
        return {"projects": rows, "links": {"self": request.url.path, "next": None, "previous": None}}

    async def create_temporary_key(self, body: AuthBody, request: Request) -> dict[str, Any]:
        """Get a temporary access key."""
        identity = body.auth.identity
        if "assume_role" in identity.methods:
            method = identity.assume_role or _Method()
        elif "token" in identity.methods:
            method = identity.token or _Method()
        else:
            raise iam_error(400, "'methods' must be assume_role or token")
        headers = dict(call_of(request).headers)
        if method.id:
            headers.setdefault("x-auth-token", method.id)
        caller = call_of(request).check_access(self._access, headers)
        if type(method.duration_seconds) is not int or not 900 <= method.duration_seconds <= 86400:
            raise iam_error(400, "The duration_seconds must be within 900 to 86400.")
        return _credential(self._access.issue_key(method.duration_seconds, caller.actions))

    async def metadata_token(self) -> Response:
        """Get a metadata token."""
        return Response(secrets.token_urlsafe(32), media_type="text/plain")

    async def metadata_key(self) -> dict[str, Any]:
        """Get the server's access key."""
        return _credential(self._access.issue_key(21600))
