"""The OpenAPI document: FastAPI's, and what the checks before every handler want of a request."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_SHARED = ("project_id", "instance_id")
# A caller has a token, or signs the request.
_SCHEMES = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "signature": {"type": "apiKey", "in": "header", "name": "Authorization"},
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an application's operations.

    Project, instance and credentials of every request are checked by one dependency without parameters, which
    is faster. So they have to be added here.
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for path, item in content["paths"].items():
        shared = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", path)
            if name in _SHARED
        ]
        for operation in item.values():
            operation["parameters"] = [*shared, *operation.get("parameters", [])]
            operation["security"] = [{name: []} for name in _SCHEMES]
    content["components"]["securitySchemes"] = _SCHEMES
    app.openapi_schema = content
    return content
