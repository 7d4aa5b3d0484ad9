"""The operations that the doctor asks for: their addresses, and the IAM actions that they seem to need."""

from __future__ import annotations

TASK = "/tasks/{task_id}"

OPERATIONS = {
    "CountTasks": ("GET", "/statistics/tasks"),
    "ListTasks": ("GET", "/tasks"),
    "ShowTask": ("GET", TASK),
    "ListMonitorInfos": ("GET", "/task-monitors"),
    "ListMonitorLog": ("GET", f"{TASK}/monitor-logs"),
    "ShowMonitorLogDetail": ("GET", f"{TASK}/monitor-logs/{{run_id}}"),
    "ShowDispatches": ("GET", f"{TASK}/dispatches"),
    "ListMultiTaskMappings": ("GET", "/multi-tasks/{task_id}/mappings"),
    "ListDatasources": ("GET", "/datasources"),
    "ShowDataourceDetail": ("GET", "/datasources/{datasource_id}"),
    "CreateCommonTask": ("POST", "/tasks"),
    "UpdateTask": ("PUT", TASK),
    "DeleteTask": ("DELETE", TASK),
    "RunTask": ("POST", f"{TASK}/run"),
    "StopTask": ("POST", f"{TASK}/terminate"),
    "BatchStartOrStopTasks": ("POST", "/batch-operation/tasks"),
    "CreateDispatches": ("POST", f"{TASK}/dispatches"),
    "UpdateDispatches": ("PUT", f"{TASK}/dispatches/{{dispatch_id}}"),
    "InstallMultiTasks": ("POST", "/multi-tasks/init"),
    "CreateMultiTasks": ("POST", "/multi-tasks"),
}
"""Method and address below the instance, by the vendor's name."""

READING = tuple(name for name, (method, _) in OPERATIONS.items() if method == "GET")

ACTIONS = {
    "CountTasks": "roma:tasks:list",
    "ListTasks": "roma:tasks:list",
    "ListMonitorInfos": "roma:tasks:list",
    "ShowTask": "roma:tasks:get",
    "ListMonitorLog": "roma:tasks:get",
    "ShowMonitorLogDetail": "roma:tasks:get",
    "ShowDispatches": "roma:tasks:get",
    "ListMultiTaskMappings": "roma:tasks:get",
    "CreateCommonTask": "roma:tasks:create",
    "InstallMultiTasks": "roma:tasks:create",
    "CreateMultiTasks": "roma:tasks:create",
    "UpdateTask": "roma:tasks:update",
    "CreateDispatches": "roma:tasks:update",
    "UpdateDispatches": "roma:tasks:update",
    "DeleteTask": "roma:tasks:delete",
    "RunTask": "roma:tasks:operate",
    "StopTask": "roma:tasks:operate",
    "BatchStartOrStopTasks": "roma:tasks:operate",
}
"""The IAM action of an operation, where one is documented or guessed (docs/connection.md says which)."""
