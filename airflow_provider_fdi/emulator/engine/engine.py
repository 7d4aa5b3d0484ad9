"""The engine, loaded when it is first needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.engine.plan import read_plan
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.runner import Job
from airflow_provider_fdi.emulator.service.state import Store

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.engine.databases import Databases


class Engine:
    """Carries out runs that move rows, and gives access to the databases behind data sources.

    SQLAlchemy takes as long to import as the rest of the server, so what needs it is imported inside
    functions.
    """

    def __init__(self, store: Store, clock: Clock, switches: Switches) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        self._databases: Databases | None = None
        self._warm = False

    @property
    def databases(self) -> Databases:
        """The databases. Raises ImportError without SQLAlchemy."""
        if self._databases is None:
            from airflow_provider_fdi.emulator.engine.databases import Databases

            self._databases = Databases()
        return self._databases

    def warm_up(self) -> None:
        """Import what runs need in the background, so that the first run does not wait for it."""

        def load() -> None:
            try:
                from airflow_provider_fdi.emulator.engine import copy, follow  # noqa: F401
            except ImportError:
                # The run will fail and say what is missing.
                pass

        if not self._warm:
            self._warm = True
            threading.Thread(target=load, name="warm-up", daemon=True).start()

    def carry_out(self, job: Job) -> str:
        """Do what a run has to do; the remarks of its success. Raises RunFailed, RunCancelled."""
        from airflow_provider_fdi.emulator.engine import copy, follow

        if job.task.is_stream:
            return follow.follow(job, self._store, self.databases, self._clock, self._switches)
        return copy.copy(job, read_plan(self._store, job.task), self.databases)

    def close(self) -> None:
        """Close all connections."""
        if self._databases is not None:
            self._databases.close()
