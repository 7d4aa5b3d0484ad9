"""FDI over HTTP, without Airflow.

The names below are loaded when they are first used, so that the errors, models and rules cost no
``requests``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_fdi.client.auth import AkSkAuth as AkSkAuth
    from airflow_provider_fdi.client.auth import SdkAuth as SdkAuth
    from airflow_provider_fdi.client.auth import StaticTokenAuth as StaticTokenAuth
    from airflow_provider_fdi.client.auth import TokenAuth as TokenAuth
    from airflow_provider_fdi.client.client import FdiClient as FdiClient
    from airflow_provider_fdi.client.cron import to_quartz as to_quartz
    from airflow_provider_fdi.client.errors import FdiAuthError as FdiAuthError
    from airflow_provider_fdi.client.errors import FdiConflictError as FdiConflictError
    from airflow_provider_fdi.client.errors import FdiConnectionError as FdiConnectionError
    from airflow_provider_fdi.client.errors import FdiError as FdiError
    from airflow_provider_fdi.client.errors import FdiInvalidRequestError as FdiInvalidRequestError
    from airflow_provider_fdi.client.errors import FdiNotFoundError as FdiNotFoundError
    from airflow_provider_fdi.client.errors import FdiPermissionError as FdiPermissionError
    from airflow_provider_fdi.client.errors import FdiProtocolError as FdiProtocolError
    from airflow_provider_fdi.client.errors import FdiResponseError as FdiResponseError
    from airflow_provider_fdi.client.errors import FdiServerError as FdiServerError
    from airflow_provider_fdi.client.errors import FdiThrottledError as FdiThrottledError
    from airflow_provider_fdi.client.models import BatchItem as BatchItem
    from airflow_provider_fdi.client.models import BatchResult as BatchResult
    from airflow_provider_fdi.client.models import Column as Column
    from airflow_provider_fdi.client.models import CompositeInit as CompositeInit
    from airflow_provider_fdi.client.models import Datasource as Datasource
    from airflow_provider_fdi.client.models import ExecuteStatus as ExecuteStatus
    from airflow_provider_fdi.client.models import Listing as Listing
    from airflow_provider_fdi.client.models import MappingColumn as MappingColumn
    from airflow_provider_fdi.client.models import Run as Run
    from airflow_provider_fdi.client.models import RunStep as RunStep
    from airflow_provider_fdi.client.models import RunSteps as RunSteps
    from airflow_provider_fdi.client.models import Schedule as Schedule
    from airflow_provider_fdi.client.models import TableMapping as TableMapping
    from airflow_provider_fdi.client.models import Task as Task
    from airflow_provider_fdi.client.models import TaskCounts as TaskCounts
    from airflow_provider_fdi.client.models import TaskMonitor as TaskMonitor
    from airflow_provider_fdi.client.models import TaskStatus as TaskStatus
    from airflow_provider_fdi.client.models import TaskType as TaskType
    from airflow_provider_fdi.client.transport import RetryPolicy as RetryPolicy

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

_HOME = {
    "auth": ("AkSkAuth", "SdkAuth", "StaticTokenAuth", "TokenAuth"),
    "client": ("FdiClient",),
    "cron": ("to_quartz",),
    "errors": (
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
        "ExecuteStatus",
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
        "TaskStatus",
        "TaskType",
    ),
    "transport": ("RetryPolicy",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
