"""What tests have: an Airflow home of their own, the emulator, an Airflow database if they ask for one.

Airflow reads its environment when it is first imported, so that is set here, before anything imports it.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_fdi.emulator import dags
from tests.server import Server
from tests.standin import StandIn

if TYPE_CHECKING:
    from tests.leaks import Guard


def _airflow_environment() -> None:
    # Whatever Airflow the developer has is not to be touched, and not to be read.
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="fdi-tests-")
    owner = os.getpid()

    def remove() -> None:
        # Forked children end here too; the home is still the parent's.
        if os.getpid() == owner:
            shutil.rmtree(home, ignore_errors=True)

    atexit.register(remove)
    dags = os.path.join(home, "dags")
    os.mkdir(dags)
    os.environ.update(
        {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__DAGS_FOLDER": dags,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__FERNET_KEY": "c2l4dGVlbi1ieXRlcy1hbmQtc2l4dGVlbi1tb3JlLSE=",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__API_AUTH__JWT_SECRET": "not a secret, but long enough for the signature of a token" * 2,
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )


_airflow_environment()

pytest_plugins = ["airflow_provider_fdi.emulator.pytest_plugin"]


@pytest.fixture(scope="session")
def log_guard() -> Iterator[Guard]:
    from tests.leaks import Guard

    guard = Guard()
    guard.install()
    yield guard
    guard.remove()


@pytest.fixture(autouse=True)
def no_secret_is_logged(log_guard: Guard) -> Iterator[None]:
    """Fails every test during which a secret was logged, be it at DEBUG."""
    yield
    found = log_guard.take()
    assert not found, f"a secret was logged: {found}"


@pytest.fixture(scope="session")
def airflow_db(airflow_db: None) -> None:
    """An initialised Airflow database, made once; `dag.test()` needs it."""
    _keep_the_api_of_tasks()


def _keep_the_api_of_tasks() -> None:
    """Airflow 3.1 makes the API anew with which `dag.test()` serves a task: seconds each. 3.3 keeps it."""
    try:
        from airflow.sdk.execution_time import supervisor
    except ImportError:
        return
    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[..., Any]:
    """Runs a DAG to its end and returns the DAG run: `run_dag(dag, run_conf={…})`. Sets no connection."""
    return dags.run_dag


@pytest.fixture(scope="session")
def _stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def stand_in(_stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A service written from the documentation alone; the connection `fdi_default` leads to it."""
    _stand_in.reset()
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", _stand_in.connection_json())
    return _stand_in


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a certificate that signed itself, and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = str(folder / "cert.pem"), str(folder / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *key, "-days", "2", *subject]
    subprocess.run([*command, "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    return names


@pytest.fixture
def https(certificate: tuple[str, str]) -> Iterator[Server]:
    """A scripted server that speaks TLS."""
    server = Server(certificate)
    yield server
    server.close()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is repeated or searched for after a pause is so at once."""
    from airflow_provider_fdi.client import transport
    from airflow_provider_fdi.runs import creation

    monkeypatch.setattr(transport, "sleep", lambda seconds: None)
    monkeypatch.setattr(creation, "SEARCH_DELAYS", (0.0, 0.01, 0.01))


@pytest.fixture(autouse=True)
def _failed_polls_are_repeated_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_fdi.runs import polling

    monkeypatch.setattr(polling, "FAILURE_PAUSE", 0.05)


@pytest.fixture
def events_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trigger does not leave a scheduler, which there is none of here, the time to see the worker's end."""
    from airflow_provider_fdi.triggers import wait

    monkeypatch.setattr(wait, "SETTLE_TIME", 0.0)
