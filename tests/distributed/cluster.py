"""Airflow on Celery: PostgreSQL, Redis, two workers, two triggerers and the rest, and FDI behind a network.

Whatever ends by itself is started again, as systemd or Kubernetes would.
"""

from __future__ import annotations

import contextlib
import signal
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import FINISHED_RUN, wait_until
from demo.stack import COMPONENTS, Stack
from tests.distributed.faults import Fault
from tests.distributed.network import Network
from tests.distributed.outcome import Load, Result
from tests.distributed.servers import Postgres, Redis, lasting_port
from tests.short_waits import SHORT_WAITS

WORKERS = ("worker", "worker-2")
TRIGGERERS = ("triggerer", "triggerer-2")
NAMES = (*COMPONENTS, "triggerer-2", *WORKERS)

SETTINGS = {
    **SHORT_WAITS,
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "64",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "200",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "6",
    # A task instance whose heartbeat is missing for longer is taken for dead, and retried.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    # A scheduler that is dead: what it had queued is taken over by the next one.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    # A message that a killed worker had taken from the queue is lost; its task instance stays "queued".
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "10",
}

# Requests give up sooner than by default, so that a silent network is noticed within a round.
CONNECTION = {"connect_timeout": 3, "timeout": 5}

Row = sa.engine.Row[Any]


class Cluster:
    """All processes, in `folder`. `start` returns when everything is healthy; `stop` ends everything."""

    def __init__(self, folder: Path, postgres: Postgres, redis: Redis, fdi: FdiEmulator) -> None:
        self.postgres, self.redis, self.fdi = postgres, redis, fdi
        self.network = Network(int(fdi.url.rpartition(":")[2]))
        dags = folder / "dags"
        temporary = folder / "tmp"
        for new in (dags, temporary):
            new.mkdir()
        database = postgres.url("airflow")
        behind = FdiEmulator(self.network.url)
        environment = {
            **SETTINGS,
            "TMPDIR": str(temporary),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.replace("+psycopg", "+psycopg_async"),
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__CELERY__BROKER_URL": redis.url,
            "AIRFLOW_CONN_FDI_DEFAULT": behind.connection_json("aksk", **CONNECTION),
            "AIRFLOW_CONN_FDI_PASSWORD": behind.connection_json("password", **CONNECTION),
        }
        self.stack = Stack(folder / "airflow", dags, env=environment, api_port=lasting_port(), names=NAMES)
        self._engine = sa.create_engine(database, poolclass=sa.pool.NullPool)
        # What is down, or frozen, because a fault says so: not to be started again yet.
        self._down: set[str] = set()

    def start(self) -> None:
        """Start Airflow on the servers, which run already."""
        self.stack.start()
        for name in WORKERS:
            log = self.stack.components[name].log
            wait_until(lambda log=log: " ready." in log.read_text(), 60, f"{name} to be ready")

    def stop(self) -> None:
        """End Airflow and the network."""
        self.stack.stop()
        self.network.close()
        self._engine.dispose()

    def restore(self) -> None:
        """Make everything whole and healthy."""
        self._down.clear()
        self.network.set("open")
        self.stack.restore(NAMES, timeout=90)

    def sql(self, statement: str, **parameters: Any) -> Sequence[Row]:
        """Rows of Airflow's database."""
        with self._engine.connect() as connection:
            return connection.execute(sa.text(statement), parameters).fetchall()

    # DAG runs

    def trigger(self, dag_id: str, source: str) -> str:
        """Write a DAG file, and start a run as soon as Airflow knows the DAG; its id."""
        (self.stack.dags / f"{dag_id}.py").write_text(textwrap.dedent(source))
        return self.stack.api.trigger(dag_id)

    def ended(self, dag_id: str) -> bool:
        """Whether the one run of a DAG has ended; False while the database does not answer."""
        with contextlib.suppress(sa.exc.OperationalError):
            rows = self.sql("SELECT state FROM dag_run WHERE dag_id = :dag_id", dag_id=dag_id)
            return bool(rows) and rows[0].state in FINISHED_RUN
        return False

    def results(self, dag_id: str, loads: Iterable[Load]) -> list[Result]:
        """What became of each load in the one run of a DAG; its place in its group is its map index."""
        instances = {
            (row.task_id, row.map_index): row
            for row in self.sql(
                "SELECT task_id, map_index, state, try_number, extract(epoch FROM end_date) AS ended"
                " FROM task_instance WHERE dag_id = :dag_id",
                dag_id=dag_id,
            )
        }
        started = self.fdi.control("GET", "runs-started")
        ends: dict[str, float] = {}
        cancelled: dict[str, int] = {}
        for run in self.fdi.runs():
            if run["execute_status"] == "SUCCESS":
                ends[run["task_id"]] = run["end_time"] / 1000
            cancelled[run["task_id"]] = cancelled.get(run["task_id"], 0) + (
                run["execute_status"] == "CANCELLED"
            )
        asked = [row["path"] for row in self.fdi.journal("StopTask")]
        places: dict[str, int] = {}
        results = []
        for load in loads:
            place = places[load.group] = places.get(load.group, -1) + 1
            instance = instances[load.group, place]
            end = ends.get(load.fdi_task)
            succeeded = instance.state == "success" and end is not None
            results.append(
                Result(
                    load,
                    state=instance.state or "none",
                    tries=instance.try_number,
                    started=len(started.get(load.fdi_task, {}).get("accepted", ())),
                    terminated=max(
                        cancelled.get(load.fdi_task, 0), sum(load.fdi_task in path for path in asked)
                    ),
                    seconds=float(instance.ended) - end if succeeded and end is not None else None,
                )
            )
        return results

    # Faults

    def suffer(self, faults: Iterable[Fault], over: Callable[[], bool], timeout: float) -> bool:
        """Strike the faults at their moments until `over`, and start again what ends by itself meanwhile.

        False if it was not over within `timeout` seconds.
        """
        began = time.monotonic()
        events: list[tuple[float, Callable[[], object]]] = []
        for fault in faults:
            undo = self._undo(fault)
            events.append((fault.at, lambda fault=fault: self._strike(fault)))
            events.append((fault.at + fault.seconds, undo))
        events.sort(key=lambda event: event[0])
        while events or not over():
            now = time.monotonic() - began
            if now > timeout:
                return False
            while events and events[0][0] <= now:
                events.pop(0)[1]()
            self.mend()
            time.sleep(0.2)
        return True

    def mend(self) -> None:
        """Start the components again that have ended by themselves."""
        for component in self.stack.ended():
            if component.name not in self._down:
                self.stack.start_component(component.name)

    def _strike(self, fault: Fault) -> None:
        if fault.what == "request":
            self.fdi.fault(**fault.rule)
        elif fault.what == "expire":
            self.fdi.expire_tokens()
        elif fault.what == "network":
            self.network.set(fault.target)  # type: ignore[arg-type]
        elif fault.what == "stop":
            getattr(self, fault.target).stop()
        elif fault.what == "freeze":
            if self._is_up(fault.target):
                self.stack.kill(fault.target, signal.SIGSTOP)
        elif self._is_up(fault.target):
            self._down.add(fault.target)
            self.stack.kill(fault.target)

    def _undo(self, fault: Fault) -> Callable[[], object]:
        def undo() -> None:
            if fault.what == "network":
                self.network.set("open")
            elif fault.what == "stop":
                getattr(self, fault.target).start()
            elif fault.what == "freeze":
                if self._is_up(fault.target):
                    self.stack.kill(fault.target, signal.SIGCONT)
            elif fault.what == "kill" and fault.target in self._down:
                self._down.discard(fault.target)
                self.stack.start_component(fault.target)

        return undo

    def _is_up(self, name: str) -> bool:
        component = self.stack.components.get(name)
        return component is not None and component.exit_code is None
