"""Routes of the service: how they read a body, and how they answer an error."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends
from fastapi.routing import APIRoute

from airflow_provider_fdi.emulator.server.dependencies import IN_INSTANCE, call_of
from airflow_provider_fdi.emulator.server.gateway import error_response
from airflow_provider_fdi.emulator.server.schemas import ErrorRsp, NestedErrorRsp
from airflow_provider_fdi.emulator.service.errors import ServiceError, iam_error, invalid, service_error

_NOT_JSON = object()


class _JsonRequest(Request):
    """A request whose body is JSON, whatever its Content-Type says."""

    async def json(self) -> Any:
        """The body; if it is not JSON a mark, so that the caller is checked before the body is refused."""
        try:
            return await super().json()
        except ValueError:
            return _NOT_JSON


class ServiceRoute(APIRoute):
    """A route of an FDI operation."""

    error_shape: Literal["flat", "nested", "iam"] = "flat"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request that reads its body as the service does."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            headers = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            return await handle(_JsonRequest(scope, request.receive))

        return handle_json


class NestedErrorRoute(ServiceRoute):
    """A route of a schedule operation: the vendor's examples nest the error, against their own schema."""

    error_shape = "nested"


class IamErrorRoute(ServiceRoute):
    """A route of IAM."""

    error_shape = "iam"


def service_router(
    tag: str,
    *,
    prefix: str = "/v2/{project_id}/fdi/instances/{instance_id}",
    dependencies: Sequence[Depends] = IN_INSTANCE,
    route_class: type[APIRoute] = ServiceRoute,
    include_in_schema: bool = True,
) -> APIRouter:
    """A router for operations of the service; its routes show the operations' errors in the document."""
    nested = issubclass(route_class, NestedErrorRoute)
    error = {"description": "Error", "model": ErrorRsp | NestedErrorRsp if nested else ErrorRsp}
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        dependencies=dependencies,
        route_class=route_class,
        responses={"default": error},
        include_in_schema=include_in_schema,
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer a ServiceError in the shape of its operation."""
    assert isinstance(error, ServiceError)
    nested = getattr(request.scope.get("route"), "error_shape", "flat") == "nested"
    nested = nested and request.app.state.emulator.switches.nested_errors_for_dispatch
    return error_response(error, call_of(request).request_id, nested=nested)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """Answer a request that does not fit its model: which parameter is wrong, in the service's words."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = next((part for part in reversed(first["loc"][1:]) if isinstance(part, str)), "")
    iam = getattr(request.scope.get("route"), "error_shape", "flat") == "iam"
    if name:
        reason = str(first.get("ctx", {}).get("error", "")) if first["type"] == "value_error" else ""
        refusal = iam_error(400, f"'{name}' is a required property") if iam else invalid(name, reason)
    else:
        is_json = error.body is not _NOT_JSON and bool(call_of(request).body)
        if iam:
            refusal = iam_error(
                400, "'body' is a required property" if is_json else "The request body is invalid"
            )
        else:
            words = "must be an object" if is_json else "is not JSON"
            refusal = service_error("FDI.3002", message=f"Invalid parameters. The request body {words}.")
    return await answer_error(request, refusal)
