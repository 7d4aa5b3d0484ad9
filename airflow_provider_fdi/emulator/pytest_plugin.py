"""Fixtures for tests of DAGs: a local FDI, an Airflow that knows it, and a check that says why a run failed.

Load it in ``conftest.py`` with ``pytest_plugins = ["airflow_provider_fdi.emulator.pytest_plugin"]``. One
server process and one Airflow database serve the whole session; every test finds the server empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_fdi.emulator import dags
from airflow_provider_fdi.emulator.handle import FdiEmulator

_HOME = pytest.StashKey[dags.AirflowHome]()


def pytest_configure(config: pytest.Config) -> None:
    """Give Airflow a home of the session's own, before a test module imports it."""
    home = config.stash[_HOME] = dags.AirflowHome(config.rootpath)
    config.add_cleanup(home.remove)


@pytest.fixture(scope="session")
def fdi_emulator_config() -> dict[str, Any] | None:
    """Override this to start the server with a configuration (data sources, credentials, switches)."""
    return None


@pytest.fixture(scope="session")
def fdi_emulator_process(fdi_emulator_config: dict[str, Any] | None) -> Iterator[FdiEmulator]:
    emulator = FdiEmulator.start(config=fdi_emulator_config)
    try:
        yield emulator
    finally:
        emulator.stop()


@pytest.fixture
def fdi_emulator(fdi_emulator_process: FdiEmulator) -> FdiEmulator:
    """A local FDI and IAM service in a process of its own, without any task."""
    fdi_emulator_process.reset()
    return fdi_emulator_process


@pytest.fixture
def fdi_connection(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection ``fdi_default`` leads to the emulator; the value is the connection's id."""
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator.connection_json())
    return "fdi_default"


@pytest.fixture(scope="session")
def airflow_db(pytestconfig: pytest.Config) -> None:
    """Airflow's tables, in an SQLite file of this session."""
    try:
        pytestconfig.stash[_HOME].migrate()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def run_dag(airflow_db: None, fdi_connection: str) -> Callable[..., Any]:
    """Runs a DAG, or the DAG of a file, to its end: ``run_dag("dags/my_dag.py")``; the value is the DAG run.

    Further arguments are those of ``dag.test()``, and ``dag_id`` for a file with several DAGs.
    """

    def run(dag: Any, *, dag_id: str | None = None, **kwargs: Any) -> Any:
        if isinstance(dag, str | os.PathLike):
            dag = dags.load_dag(dag, dag_id)
        return dags.run_dag(dag, **kwargs)

    return run


@pytest.fixture
def assert_succeeded(
    airflow_db: None, fdi_connection: str, fdi_emulator: FdiEmulator
) -> Iterator[Callable[[Any], None]]:
    """Fails the test unless a DAG run (or a run of FDI) succeeded, and says why it did not.

    The reason has the exceptions of the failed tasks, and what FDI says of the runs that failed.
    """

    with dags.Failures().listening() as failures:

        def check(run: Any) -> None:
            reason = dags.why_not_succeeded(run, fdi_emulator, failures)
            if reason:
                pytest.fail(reason, pytrace=False)

        yield check
