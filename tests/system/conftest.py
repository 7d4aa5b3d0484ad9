"""Real Airflow components with a real emulator, one set for the whole session.

A test writes its DAGs with `write_dag`, which waits until Airflow has parsed them; they need nothing but the
connection `fdi_default`. What a test kills it starts again, or leaves to `stack`, which does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.airflow_api import FINISHED_TASK, wait_until
from demo.stack import COMPONENTS, Stack
from tests.short_waits import SHORT_WAITS
from tests.stats import Listener

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            # The first one waits for a whole Airflow to start.
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def system_emulator() -> Iterator[FdiEmulator]:
    """The FDI service that the session's Airflow calls; never reset while DAGs run against it."""
    emulator = FdiEmulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def statsd() -> Iterator[Listener]:
    """Where the session's Airflow sends its metrics."""
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def running_stack(
    system_emulator: FdiEmulator, statsd: Listener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    base = tmp_path_factory.mktemp("system")
    dags = base / "dags"
    dags.mkdir()
    connection = {"AIRFLOW_CONN_FDI_DEFAULT": system_emulator.connection_json()}
    environment = {**connection, **SHORT_WAITS, **statsd.settings}
    stack = Stack(base / "airflow", dags, env=environment)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The running Airflow, whole at the beginning of each test."""
    running_stack.restore(COMPONENTS)
    return running_stack


@pytest.fixture
def fdi(system_emulator: FdiEmulator) -> FdiEmulator:
    """The service, with no data, faults or journal of an earlier test."""
    system_emulator.reset()
    return system_emulator


@pytest.fixture
def write_dag(stack: Stack) -> Callable[[str, str], str]:
    """Writes a DAG file and waits until Airflow knows the DAG; returns its id."""

    def write(dag_id: str, source: str) -> str:
        (stack.dags / f"{dag_id}.py").write_text(textwrap.dedent(source))
        stack.api.wait_for_dag(dag_id)
        return dag_id

    return write


POLLS = frozenset({"ListMonitorInfos", "ListMonitorLog"})

RUN_DAG = """
    import datetime
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG({dag_id!r}, schedule=None):
        FdiRunTaskOperator(task_id="run", {arguments})
"""


@dataclass(frozen=True)
class Play:
    """A DAG run whose one task, `run`, is a `FdiRunTaskOperator`, and the FDI task that it runs."""

    stack: Stack
    fdi: FdiEmulator
    fdi_task: str
    dag_id: str
    run_id: str

    def task(self) -> dict[str, Any]:
        return self.stack.api.task(self.dag_id, self.run_id, "run")

    def wait_for(
        self, states: str | Iterable[str] = FINISHED_TASK, *, try_number: int = 0, timeout: float = 90
    ) -> dict[str, Any]:
        """The task instance as soon as it is in one of `states`, in this try or a later one."""
        wanted = {states} if isinstance(states, str) else set(states)

        def there() -> dict[str, Any] | None:
            task = self.task()
            return task if task["try_number"] >= try_number and task["state"] in wanted else None

        task = wait_until(
            there, timeout, f"{self.dag_id} to be {' or '.join(sorted(wanted))}", explain=self.report
        )
        assert task is not None
        return task

    def wait_for_run(self, state: str) -> None:
        """Until the DAG run has ended. A task that is cleared just before may stay cleared, and never run."""
        assert self.stack.api.wait_for_run(self.dag_id, self.run_id) == state, self.report()

    def wait_until_known(self, state: str) -> dict[str, Any]:
        """The task instance as soon as it is in `state` and has reported the id of its run."""
        task = self.wait_for(state)
        wait_until(lambda: self.xcom("fdi_run_id"), 30, f"{self.dag_id} to know its run", explain=self.report)
        return task

    def wait_until_watched(self) -> None:
        """Until the triggerer waits for the run. A task ended before that gets no `on_kill` from Airflow."""
        self.wait_until_known("deferred")
        self.wait_for_log(") starting")

    def wait_for_poll(self) -> None:
        """Until the run is polled once more."""
        journal = self.fdi.journal()
        since = journal[-1]["seq"] if journal else 0
        wait_until(
            lambda: [row for row in self.fdi.journal(since=since) if row["operation"] in POLLS],
            60,
            f"{self.dag_id} to poll the service again",
            explain=self.report,
        )

    def wait_for_log(self, words: str, try_number: int = 1) -> str:
        """The log of a try as soon as it holds `words`."""

        def text() -> str:
            log = self.stack.api.log(self.dag_id, self.run_id, "run", try_number)
            return log if words in log else ""

        return wait_until(text, 30, f"{words!r} in the log of {self.dag_id}", explain=self.report)

    def release(self) -> None:
        """Lets the FDI run end, when a deferred task can be resumed.

        Airflow fails a task that is resumed before its scheduler has seen the end of the worker that deferred
        it. The trigger leaves it time for that; not the one of a task that was cleared meanwhile, whose id
        SQLite gives to the trigger of the next try.
        """
        wait_until(self._settled, 30, f"the scheduler to settle {self.dag_id}", explain=self.report)
        assert self.fdi.release(self.fdi_task)

    def _settled(self) -> bool:
        if self.task()["state"] != "deferred":
            return True
        log = (self.stack.home / "components" / "scheduler.log").read_text()
        enqueued = log.count(f"Trying to enqueue tasks: [<TaskInstance: {self.dag_id}.run ")
        finished = log.count(f"TaskInstance Finished: dag_id={self.dag_id}, ")
        return enqueued > 0 and finished == enqueued

    def mark(self, state: str) -> None:
        self.stack.api.set_task_state(self.dag_id, self.run_id, "run", state)

    def clear(self) -> None:
        self.stack.api.clear(self.dag_id, self.run_id, ["run"])

    def xcom(self, key: str = "return_value") -> Any:
        return self.stack.api.xcom(self.dag_id, self.run_id, "run", key)

    def report(self) -> str:
        return self.stack.api.report(self.dag_id, self.run_id)

    @property
    def runs_started(self) -> int:
        """How many runs the service has accepted."""
        return len(self.fdi.runs_started(self.fdi_task))

    @property
    def terminations(self) -> list[dict[str, Any]]:
        """Requests to terminate a run, of whichever task."""
        return self.fdi.journal("StopTask")

    def state_of(self, run_id: str) -> str:
        """What the service's log says of a run."""
        _, answer = self.fdi.request("GET", f"tasks/{self.fdi_task}/monitor-logs")
        return next(str(row["execute_status"]) for row in answer["entities"] if row["id"] == run_id)

    @property
    def run_state(self) -> str:
        """What the service says of the last run."""
        return str(self.fdi.task(self.fdi_task)["execute_status"])


@pytest.fixture
def start(stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]) -> Callable[..., Play]:
    """Starts a DAG that runs an FDI task; without `fdi_task` one whose runs last until they are released."""

    def start(dag_id: str, *, fdi_task: str | None = None, **arguments: Any) -> Play:
        fdi_task = fdi_task or fdi.add_task(name=dag_id, script={"hold": True, "rows": 42})
        arguments = {"fdi_task_id": fdi_task, "poll_interval": 1, **arguments}
        text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        write_dag(dag_id, RUN_DAG.format(dag_id=dag_id, arguments=text))
        return Play(stack, fdi, fdi_task, dag_id, stack.api.trigger(dag_id))

    return start
