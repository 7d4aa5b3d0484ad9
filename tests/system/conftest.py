"""Real Airflow components around a real emulator, one set for the whole session.

A test writes its DAGs with `write_dag`, which waits until Airflow has parsed them; they need nothing but the
connection `fdi_default`. What a test kills it starts again, or leaves to `stack`, which does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.stack import Stack

HERE = Path(__file__).resolve().parent
COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")

# Short waits where Airflow's defaults are made for months of operation.
SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
}


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
def running_stack(system_emulator: FdiEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    base = tmp_path_factory.mktemp("system")
    dags = base / "dags"
    dags.mkdir()
    environment = {"AIRFLOW_CONN_FDI_DEFAULT": system_emulator.connection_json(), **SETTINGS}
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
