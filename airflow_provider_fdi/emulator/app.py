"""The application: all operations as FastAPI routes, the control API, and the gateway in front of both."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from airflow_provider_fdi.emulator.api import Answer, Call, Operation, Router
from airflow_provider_fdi.emulator.control import build_router
from airflow_provider_fdi.emulator.errors import ServiceError, service_error
from airflow_provider_fdi.emulator.gateway import Gateway
from airflow_provider_fdi.emulator.openapi import document, operation_extra
from airflow_provider_fdi.emulator.routes import OPERATIONS
from airflow_provider_fdi.emulator.views import dump
from airflow_provider_fdi.emulator.world import World

log = logging.getLogger("fdi-emulator")


def _endpoint(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        call: Call = request.scope["fdi.call"]
        try:
            if operation.blocking:
                value = await run_in_threadpool(operation.handler, call)
            else:
                value = operation.handler(call)
        except ServiceError as error:
            return Response(
                dump(error.body(call.request_id)), error.status, error.headers, media_type="application/json"
            )
        except Exception:
            # A mistake of the emulator must look like one of the service, not break the connection.
            log.exception("%s failed", operation.id)
            failed = service_error("FDI.9999", message="The emulator failed; its log says why.")
            return Response(dump(failed.body(call.request_id)), 500, media_type="application/json")
        if isinstance(value, Answer):
            return Response(value.body, value.status, value.headers, value.media_type or None)
        if operation.success == 204:
            return Response(b"", 204)
        return Response(dump(value), operation.success, media_type="application/json")

    return endpoint


def build_app(world: World) -> Gateway:
    """The ASGI application of one emulator."""
    app = FastAPI(title="FDI emulator", openapi_url="/openapi.json", docs_url="/docs", redoc_url=None)
    for operation in OPERATIONS:
        app.add_api_route(
            operation.path,
            _endpoint(operation),
            methods=[operation.method],
            operation_id=operation.id,
            name=operation.id,
            include_in_schema=operation.access != "open",
            response_model=None,
            **operation_extra(operation),
        )
    app.include_router(build_router(world))

    async def home(request: Request) -> Response:
        return RedirectResponse("/docs")

    app.add_api_route("/", home, methods=["GET"], include_in_schema=False)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(OPERATIONS)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return Gateway(app, world, Router(OPERATIONS))
