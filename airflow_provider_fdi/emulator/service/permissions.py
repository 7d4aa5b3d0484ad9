"""Which IAM action an operation asks for, and whether a credential's list of actions permits it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from airflow_provider_fdi.emulator.service.errors import service_error

# Of these six the vendor's documentation says which operation they are for.
DOCUMENTED = {
    "CreateCommonTask": "roma:tasks:create",
    "UpdateTask": "roma:tasks:update",
    "DeleteTask": "roma:tasks:delete",
    "BatchStartOrStopTasks": "roma:tasks:operate",
    "ListTasks": "roma:tasks:list",
    "ShowTask": "roma:tasks:get",
}
# A guess: the vendor names no action for these operations.
GUESSED = {
    "RunTask": "roma:tasks:operate",
    "StopTask": "roma:tasks:operate",
    "CountTasks": "roma:tasks:list",
    "ListMonitorInfos": "roma:tasks:list",
    "ListMonitorLog": "roma:tasks:get",
    "ShowMonitorLogDetail": "roma:tasks:get",
    "CreateDispatches": "roma:tasks:update",
    "UpdateDispatches": "roma:tasks:update",
    "ShowDispatches": "roma:tasks:get",
    "InstallMultiTasks": "roma:tasks:create",
    "CreateMultiTasks": "roma:tasks:create",
    "UpdateMultiTasks": "roma:tasks:update",
    "ResetMultiTaskOffset": "roma:tasks:update",
    "CreateMultiTaskMappings": "roma:tasks:update",
    "CreateMultiTaskMappingsAutomatically": "roma:tasks:update",
    "UpdateMultiTaskMappings": "roma:tasks:update",
    "DeleteMultiTaskMapping": "roma:tasks:update",
    "ListMultiTaskMappings": "roma:tasks:get",
}
ACTIONS = {**DOCUMENTED, **GUESSED}
"""The action by operation. Those of data sources are missing: not even a name for them is documented."""


def check_permission(operation: str, permitted: Sequence[str] | None) -> None:
    """Raise 403 APIGW.0302 unless one of the actions covers the operation; None permits everything.

    An action may contain ``*``, as in a policy of IAM.
    """
    action = ACTIONS.get(operation)
    if action is None or permitted is None:
        return
    if not any(fnmatchcase(action, pattern) for pattern in permitted):
        raise service_error(
            "APIGW.0302",
            message=f"The IAM user is not allowed to access the API: no policy allows {action}.",
        )
