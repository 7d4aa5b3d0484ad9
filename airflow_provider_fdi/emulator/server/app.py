"""The application: the operations, IAM, the control API and the documentation, behind the gateway."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from airflow_provider_fdi.emulator.server.dependencies import RECEIVED
from airflow_provider_fdi.emulator.server.document import document
from airflow_provider_fdi.emulator.server.emulator import Emulator
from airflow_provider_fdi.emulator.server.gateway import Gateway, Rate, Struck
from airflow_provider_fdi.emulator.server.page import Page
from airflow_provider_fdi.emulator.server.routes.batch import BatchRoutes
from airflow_provider_fdi.emulator.server.routes.composite import CompositeRoutes
from airflow_provider_fdi.emulator.server.routes.control import REFUSALS, ControlRoutes
from airflow_provider_fdi.emulator.server.routes.datasources import DatasourceRoutes
from airflow_provider_fdi.emulator.server.routes.iam import IamRoutes
from airflow_provider_fdi.emulator.server.routes.monitor import MonitorRoutes
from airflow_provider_fdi.emulator.server.routes.route import answer_error, answer_invalid
from airflow_provider_fdi.emulator.server.routes.schedules import ScheduleRoutes
from airflow_provider_fdi.emulator.server.routes.tasks import TaskRoutes
from airflow_provider_fdi.emulator.service.errors import ServiceError, service_error

_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]
_ASSETS = "/docs/assets"


async def _unknown(request: Request) -> None:
    raise service_error("APIGW.0101")


async def _struck(request: Request, error: Exception) -> Response:
    # The gateway answers as the fault says.
    return Response()


async def _docs() -> Response:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="FDI emulator",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
    )


def build_app(emulator: Emulator) -> Gateway:
    """The ASGI application of one emulator."""
    routes = [route for router in _routers(emulator) for route in router.routes]
    app = FastAPI(
        title="ROMA Connect FDI (emulator)",
        version="v2",
        description="A local stand-in for the data-integration API of Huawei Cloud ROMA Connect.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            ServiceError: answer_error,
            RequestValidationError: answer_invalid,
            Struck: _struck,
        },
        # As they are: `include_router` would make each route a second time, which takes long.
        routes=routes,
    )
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    app.state.emulator = emulator
    app.state.rate = Rate()
    operations = {route.operation_id for route in routes if isinstance(route, APIRoute)}
    app.mount("/_emulator", _control(emulator, {name for name in operations if name}))
    app.add_api_route("/", Page(emulator).show, include_in_schema=False)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    # Swagger UI from a package, so that the page works without internet.
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))
    app.add_api_route(
        "/{path:path}", _unknown, methods=_METHODS, dependencies=RECEIVED, include_in_schema=False
    )
    # Outermost, where the server's own `send` arrives: faults break the connection through it.
    return Gateway(app, emulator.clock)


def _routers(emulator: Emulator) -> list[APIRouter]:
    """The routers of the operations, those asked most often first."""
    store, clock, switches = emulator.store, emulator.clock, emulator.switches
    engine, runner, schedules = emulator.engine, emulator.runner, emulator.schedules
    instance_id = emulator.config.instances[0]
    composite = CompositeRoutes(store, clock, switches, engine, instance_id)
    return [
        TaskRoutes(store, clock, switches, schedules, runner, instance_id).router(),
        MonitorRoutes(store, switches, instance_id).router(),
        BatchRoutes(store, switches, emulator.activation).router(),
        ScheduleRoutes(store, clock, switches, schedules).router(),
        composite.router(),
        composite.form_router(),
        DatasourceRoutes(store, clock, switches, engine, instance_id).router(),
        IamRoutes(emulator.config, clock, emulator.access).router(),
    ]


def _control(emulator: Emulator, operations: Collection[str]) -> FastAPI:
    """The control API: an application of its own, because it refuses in a shape of its own."""
    routes = ControlRoutes(emulator, operations).router().routes
    app = FastAPI(openapi_url=None, exception_handlers=REFUSALS, routes=routes)
    app.state.emulator = emulator
    return app
