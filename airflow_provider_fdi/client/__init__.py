"""FDI over HTTP, without Airflow.

The public names can be imported from here; each is loaded when it is first used, so that errors, enums and
checks cost no HTTP library.
"""

# ruff: noqa: F403 - the names are those of __all__

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_fdi.client.auth import *
    from airflow_provider_fdi.client.backoff import *
    from airflow_provider_fdi.client.client import *
    from airflow_provider_fdi.client.cron import *
    from airflow_provider_fdi.client.enums import *
    from airflow_provider_fdi.client.errors import *
    from airflow_provider_fdi.client.models import *

_NAMES_OF: dict[str, tuple[str, ...]] = {
    "auth": (
        "AkSkAuth",
        "SdkAuth",
        "StaticTokenAuth",
        "TokenAuth",
    ),
    "backoff": ("Backoff",),
    "client": ("FdiClient",),
    "cron": ("to_quartz",),
    "enums": (
        "ExecuteStatus",
        "TaskStatus",
        "TaskType",
    ),
    "errors": (
        "FdiArgumentError",
        "FdiAuthError",
        "FdiConflictError",
        "FdiConnectionError",
        "FdiError",
        "FdiInvalidRequestError",
        "FdiNotFoundError",
        "FdiPermissionError",
        "FdiProtocolError",
        "FdiResponseError",
        "FdiServerError",
        "FdiThrottledError",
    ),
    "models": (
        "BatchItem",
        "BatchResult",
        "Column",
        "CompositeInit",
        "Datasource",
        "Listing",
        "MappingColumn",
        "Run",
        "RunStep",
        "RunSteps",
        "Schedule",
        "TableMapping",
        "Task",
        "TaskCounts",
        "TaskMonitor",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [*_MODULE_OF]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
