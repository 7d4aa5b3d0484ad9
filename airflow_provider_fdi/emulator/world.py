"""Everything one emulator consists of, and how it is reset."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_provider_fdi.emulator.access import Access
from airflow_provider_fdi.emulator.clock import Clock
from airflow_provider_fdi.emulator.config import Config, Switches
from airflow_provider_fdi.emulator.faults import Faults
from airflow_provider_fdi.emulator.journal import Journal
from airflow_provider_fdi.emulator.runner import Runner
from airflow_provider_fdi.emulator.state import Datasource, Run, Store, Task
from airflow_provider_fdi.emulator.ticker import Ticker

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.databases import Databases


class World:
    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.clock = Clock()
        self.switches = Switches()
        self.store = Store()
        self.journal = Journal()
        self.faults = Faults()
        self.access = Access(self)
        self.runner = Runner(self)
        self.ticker = Ticker(self)
        self._databases: Databases | None = None
        self._warm = False
        self._fill()

    @property
    def project_id(self) -> str:
        return self.config.projects[0].id

    @property
    def instance_id(self) -> str:
        return self.config.instances[0]

    @property
    def databases(self) -> Databases:
        # SQLAlchemy takes as long to import as the rest of the server: only when a database is wanted.
        if self._databases is None:
            from airflow_provider_fdi.emulator.databases import Databases

            self._databases = Databases()
        return self._databases

    def warm_up(self) -> None:
        """Import what runs need, in the background, so that the first one does not wait for it."""

        def load() -> None:
            try:
                from airflow_provider_fdi.emulator import follower  # noqa: F401
            except ImportError:
                # The run will fail and say what is missing.
                pass

        if not self._warm:
            self._warm = True
            threading.Thread(target=load, name="warm-up", daemon=True).start()

    def move(self, task: Task, run: Run) -> None:
        """Carry out a run of a common task."""
        from airflow_provider_fdi.emulator.mover import move

        move(self, task, run)

    def follow(self, task: Task, run: Run) -> None:
        """Carry out the stream of a composite or real-time task, until it is stopped."""
        from airflow_provider_fdi.emulator.follower import follow

        follow(self, task, run)

    def start(self) -> None:
        self.ticker.start()
        if self.store.datasources:
            self.warm_up()

    def stop(self) -> None:
        self.ticker.stop()
        self.runner.cancel_all(2.0)

    def reset(self) -> None:
        """Back to the state after start-up: nothing but what the configuration says."""
        self.ticker.clear()
        self.runner.cancel_all()
        with self.store.lock:
            store = self.store
            store.tasks.clear()
            store.drafts.clear()
            store.names.clear()
            store.datasources.clear()
            store.dispatches.clear()
            store._ordered = None
            self.switches.change(Switches().as_dict())
            self.clock.set_offset(0)
            self.faults.clear()
            self.journal.clear()
            self.access.reset()
            if self._databases is not None:
                self._databases.close()
            self._fill()

    def _fill(self) -> None:
        self.switches.change(self.config.switches)
        now = self.clock.now_ms()
        for row in self.config.datasources:
            self.store.datasources[row.id] = Datasource(
                name=row.name,
                type=row.type.upper(),
                content={"mode": "professional", "url": row.url},
                created=now,
                updated=now,
                id=row.id,
                app_id=row.app_id,
                url=row.url,
            )
