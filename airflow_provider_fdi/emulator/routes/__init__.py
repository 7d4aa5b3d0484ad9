"""The handlers of all operations, one module per area; each lists its operations in OPERATIONS."""

from __future__ import annotations

from airflow_provider_fdi.emulator.api import Operation
from airflow_provider_fdi.emulator.routes import batch, composite, datasources, iam, monitor, schedules, tasks

OPERATIONS: list[Operation] = [
    *tasks.OPERATIONS,
    *schedules.OPERATIONS,
    *batch.OPERATIONS,
    *composite.OPERATIONS,
    *monitor.OPERATIONS,
    *datasources.OPERATIONS,
    *iam.OPERATIONS,
]
