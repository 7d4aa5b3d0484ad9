"""The operators for FDI tasks: apply declarations, create, schedule, start and stop, run and wait, delete."""

from __future__ import annotations

from airflow_provider_fdi.operators.apply import FdiApplyOperator
from airflow_provider_fdi.operators.base import FdiBaseOperator
from airflow_provider_fdi.operators.batch import FdiBatchOperator
from airflow_provider_fdi.operators.composite import (
    FdiCreateCompositeTaskOperator,
    FdiResetCompositeTaskOperator,
)
from airflow_provider_fdi.operators.datasource import FdiTestDatasourceOperator
from airflow_provider_fdi.operators.run import FdiRunTaskOperator, FdiTerminateRunOperator
from airflow_provider_fdi.operators.schedule import FdiCreateScheduleOperator
from airflow_provider_fdi.operators.task import (
    FdiCreateTaskOperator,
    FdiDeleteTaskOperator,
    FdiUpdateTaskOperator,
)

__all__ = [
    "FdiApplyOperator",
    "FdiBaseOperator",
    "FdiBatchOperator",
    "FdiCreateCompositeTaskOperator",
    "FdiCreateScheduleOperator",
    "FdiCreateTaskOperator",
    "FdiDeleteTaskOperator",
    "FdiResetCompositeTaskOperator",
    "FdiRunTaskOperator",
    "FdiTerminateRunOperator",
    "FdiTestDatasourceOperator",
    "FdiUpdateTaskOperator",
]
