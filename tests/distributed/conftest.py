"""Airflow on Celery with all its servers, and the tables that the tests leave for the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.distributed import servers
from tests.distributed.cluster import Cluster
from tests.distributed.programs import what_is_missing

HERE = Path(__file__).resolve().parent
DEFAULT_SEED = "15"
TABLES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.distributed)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(1200))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize(
            "seed", [int(word) for word in (os.environ.get("SEEDS") or DEFAULT_SEED).split()]
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for text in config.stash.get(TABLES, []):
        terminalreporter.write_line("")
        terminalreporter.write_line(text)


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Keeps a text for the end of the session, and prints it at once for who watches with -s."""

    def keep(text: str) -> None:
        print(f"\n{text}", flush=True)
        pytestconfig.stash.setdefault(TABLES, []).append(text)

    return keep


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Everything that the servers and Airflow write. pytest's own folders are closed to other users."""
    missing = what_is_missing()
    if missing:
        pytest.exit(missing, returncode=1)
    with tempfile.TemporaryDirectory(prefix="fdi-distributed-") as name:
        yield Path(name)


S = TypeVar("S", bound=servers.Server)


def running(server: S) -> Iterator[S]:
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[servers.Postgres]:
    """A running PostgreSQL."""
    yield from running(servers.Postgres(folder / "postgres"))


@pytest.fixture(scope="session")
def redis(folder: Path) -> Iterator[servers.Redis]:
    """A running Redis."""
    yield from running(servers.Redis(folder / "redis"))


@pytest.fixture(scope="session")
def mariadb(folder: Path) -> Iterator[servers.MariaDb]:
    """A running MariaDB."""
    yield from running(servers.MariaDb(folder / "mariadb"))


@pytest.fixture(scope="session")
def running_cluster(folder: Path, postgres: servers.Postgres, redis: servers.Redis) -> Iterator[Cluster]:
    postgres.create("airflow")
    with FdiEmulator.start() as fdi:
        cluster = Cluster(folder, postgres, redis, fdi)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    """The running Airflow, whole at the beginning of each test, and a service without data or faults."""
    running_cluster.restore()
    running_cluster.fdi.reset()
    return running_cluster
