"""IAM: tokens, projects, temporary access keys; and the metadata service of a cloud server."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import Any

from airflow_provider_fdi.emulator.access import Key
from airflow_provider_fdi.emulator.api import Answer, Call, Operation
from airflow_provider_fdi.emulator.config import Project
from airflow_provider_fdi.emulator.errors import ServiceError, iam_error
from airflow_provider_fdi.emulator.views import dump


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise iam_error(400, f"'{path}' is a required property")
    return value


def _identity(call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        body = call.json()
    except ServiceError:
        raise iam_error(400, "The request body is invalid") from None
    auth = _object(_object(body, "body").get("auth"), "auth")
    return _object(auth.get("identity"), "identity"), _object(auth.get("scope") or {}, "scope")


def _check(call: Call, headers: dict[str, str] | None = None) -> None:
    call.world.access.check(call.method, call.raw_path, call.raw_query, headers or call.headers, call.body)


def _scope(call: Call, scope: dict[str, Any]) -> Project | None:
    wanted = scope.get("project")
    if wanted is None:
        return None
    wanted = _object(wanted, "project")
    for project in call.world.config.projects:
        if wanted.get("id") == project.id or (not wanted.get("id") and wanted.get("name") == project.name):
            return project
    raise iam_error(404, f"Could not find project: {wanted.get('id') or wanted.get('name')}.")


def create_token(call: Call) -> Any:
    identity, scope = _identity(call)
    methods = identity.get("methods")
    world = call.world
    if not isinstance(methods, list) or not methods:
        raise iam_error(400, "'methods' is a required property")
    if "assume_role" in methods:
        _check(call)
        user = "assumed-role"
        domain = _object(identity.get("assume_role"), "assume_role").get("domain_name") or "fdi-domain"
    elif "password" in methods:
        given = _object(_object(identity.get("password"), "password").get("user"), "user")
        domain = _object(given.get("domain"), "domain").get("name")
        match = [
            row
            for row in world.config.users
            if row.name == given.get("name")
            and row.domain == domain
            and row.password == given.get("password")
        ]
        if not match:
            raise iam_error(401, "The username or password is wrong.")
        user = match[0].name
    else:
        raise iam_error(400, f"The authentication method {methods!r} is not supported.")
    project = _scope(call, scope)
    token = world.access.issue_token(user, project.id if project else None)
    issued = world.clock.now_ms()
    domain_id = "d78cbac186b744899480f25bd022f468"
    body: dict[str, Any] = {
        "expires_at": _iso(token.expires_ms or issued),
        "issued_at": _iso(issued),
        "methods": methods,
        "roles": [{"id": "0", "name": "op_gated_roma"}],
        "user": {
            "id": "7116d09f88fa41908676fdd4b039e95b",
            "name": user,
            "domain": {"id": domain_id, "name": domain},
        },
        "catalog": [],
    }
    if project is not None:
        body["project"] = {
            "id": project.id,
            "name": project.name,
            "domain": {"id": domain_id, "name": domain},
        }
    return Answer(dump({"token": body}), 201, {"X-Subject-Token": token.text})


def list_projects(call: Call) -> Any:
    _check(call)
    name = call.query.get("name")
    rows = [
        {
            "id": row.id,
            "name": row.name,
            "enabled": True,
            "is_domain": False,
            "domain_id": "domain",
            "parent_id": "",
        }
        for row in call.world.config.projects
        if name is None or row.name == name
    ]
    return {"projects": rows, "links": {"self": call.path, "next": None, "previous": None}}


def _credential(key: Key) -> dict[str, Any]:
    return {
        "access": key.access,
        "secret": key.secret,
        "securitytoken": key.security_token,
        "expires_at": _iso(key.expires_ms or 0),
    }


def create_temporary_key(call: Call) -> Any:
    identity, _ = _identity(call)
    methods = identity.get("methods") or []
    if "assume_role" in methods:
        part = identity.get("assume_role") or {}
    elif "token" in methods:
        part = identity.get("token") or {}
    else:
        raise iam_error(400, "'methods' must be assume_role or token")
    headers = dict(call.headers)
    if part.get("id") and "x-auth-token" not in headers:
        headers["x-auth-token"] = part["id"]
    _check(call, headers)
    duration = part.get("duration_seconds", part.get("duration-seconds", 900))
    if isinstance(duration, bool) or not isinstance(duration, int) or not 900 <= duration <= 86400:
        raise iam_error(400, "The duration_seconds must be within 900 to 86400.")
    return Answer(dump({"credential": _credential(call.world.access.issue_key(duration))}), 201)


def metadata_token(call: Call) -> Any:
    return Answer(secrets.token_urlsafe(32).encode("ascii"), media_type="text/plain")


def metadata_key(call: Call) -> Any:
    return {"credential": _credential(call.world.access.issue_key(21600))}


_TAG = "IAM"

OPERATIONS = [
    Operation(
        "KeystoneCreateToken",
        "POST",
        "/v3/auth/tokens",
        create_token,
        "Get a token",
        _TAG,
        success=201,
        access="open",
    ),
    Operation(
        "KeystoneListProjects",
        "GET",
        "/v3/projects",
        list_projects,
        "List projects",
        _TAG,
        query=("name",),
        access="open",
    ),
    Operation(
        "CreateTemporaryAccessKey",
        "POST",
        "/v3.0/OS-CREDENTIAL/securitytokens",
        create_temporary_key,
        "Get a temporary access key",
        _TAG,
        success=201,
        access="open",
    ),
    Operation(
        "MetadataToken",
        "PUT",
        "/meta-data/latest/api/token",
        metadata_token,
        "Get a metadata token",
        _TAG,
        access="open",
    ),
    Operation(
        "MetadataSecurityKey",
        "GET",
        "/openstack/latest/securitykey",
        metadata_key,
        "Get the server's access key",
        _TAG,
        access="open",
    ),
]
