"""FDI over HTTP, without Airflow.

What needs ``requests`` is loaded when it is first used: errors, models and rules do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.cron import to_quartz
from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    FdiThrottledError,
)
from airflow_provider_fdi.client.models import (
    BatchItem,
    BatchResult,
    Column,
    CompositeInit,
    Datasource,
    ExecuteStatus,
    Listing,
    MappingColumn,
    Run,
    RunStep,
    RunSteps,
    Schedule,
    TableMapping,
    Task,
    TaskCounts,
    TaskMonitor,
    TaskStatus,
    TaskType,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.auth import AkSkAuth, SdkAuth, StaticTokenAuth, TokenAuth
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.transport import RetryPolicy

__all__ = [
    "AkSkAuth",
    "BatchItem",
    "BatchResult",
    "Column",
    "CompositeInit",
    "Datasource",
    "ExecuteStatus",
    "FdiAuthError",
    "FdiClient",
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
    "Listing",
    "MappingColumn",
    "RetryPolicy",
    "Run",
    "RunStep",
    "RunSteps",
    "Schedule",
    "SdkAuth",
    "StaticTokenAuth",
    "TableMapping",
    "Task",
    "TaskCounts",
    "TaskMonitor",
    "TaskStatus",
    "TaskType",
    "TokenAuth",
    "to_quartz",
]

_HOME_OF = {
    "AkSkAuth": "auth",
    "FdiClient": "client",
    "RetryPolicy": "transport",
    "SdkAuth": "auth",
    "StaticTokenAuth": "auth",
    "TokenAuth": "auth",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
