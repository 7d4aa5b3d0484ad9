"""One emulator: its parts, put together."""

from __future__ import annotations

from airflow_provider_fdi.emulator.config import Config, Switches
from airflow_provider_fdi.emulator.engine.engine import Engine
from airflow_provider_fdi.emulator.server.faults import Faults
from airflow_provider_fdi.emulator.server.journal import Journal
from airflow_provider_fdi.emulator.service.access import Access
from airflow_provider_fdi.emulator.service.activation import Activation
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.runner import Runner
from airflow_provider_fdi.emulator.service.schedules import Schedules
from airflow_provider_fdi.emulator.service.state import Datasource, Store


class Emulator:
    """Makes the parts of an emulator, starts and stops them, and puts them back to the configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = Clock()
        self.switches = Switches()
        self.store = Store()
        self.journal = Journal()
        self.faults = Faults()
        self.access = Access(config, self.clock, self.switches)
        self.engine = Engine(self.store, self.clock, self.switches)
        self.schedules = Schedules(self.store, self.clock, self.switches)
        self.runner = Runner(
            self.store, self.clock, self.switches, self.schedules.after, self.engine.carry_out
        )
        self.activation = Activation(self.switches, self.runner, self.schedules)
        self._configure()

    def start(self) -> None:
        """Let schedules fire."""
        self.schedules.start(self.runner.dispatch)
        if self.store.datasources:
            self.engine.warm_up()

    def stop(self) -> None:
        """End everything that is running."""
        self.schedules.stop()
        self.runner.cancel_all(2.0)

    def reset(self) -> None:
        """Forget everything but the configuration."""
        self.schedules.clear()
        self.runner.cancel_all()
        with self.store.lock:
            self.store.clear()
            self.switches.change(Switches().model_dump())
            self.clock.set_offset(0)
            self.faults.clear()
            self.journal.clear()
            self.access.reset()
            self.engine.close()
            self._configure()

    def _configure(self) -> None:
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
