"""The triggers of the provider."""

from __future__ import annotations

from airflow_provider_fdi.triggers.events import FdiRunEventTrigger
from airflow_provider_fdi.triggers.wait import FdiWaitTrigger

__all__ = ["FdiRunEventTrigger", "FdiWaitTrigger"]
