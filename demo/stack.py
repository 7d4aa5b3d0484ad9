"""A real Airflow on this machine: scheduler, triggerer, DAG processor and API server, each a process.

    with Stack(home=tmp / "airflow", dags=Path("dags"), env={"AIRFLOW_CONN_FDI_DEFAULT": …}) as stack:
        run_id = stack.api.trigger("my_dag")
        stack.api.wait_for_run("my_dag", run_id)

SQLite and LocalExecutor, unless `env` says otherwise; writes nothing outside `home` and picks free ports
unless they are given. Used by ``make demo``, ``make ui`` and the tests on real processes, which also kill,
restart and add components.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from demo.airflow_api import AirflowApi, StackError, wait_until

WARM_AIRFLOW = Path(__file__).resolve().parent / "warm_airflow.py"
COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")


class PortInUse(StackError):
    """A port that was asked for by number is already in use."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int, what: str) -> int:
    """Returns `port` if it can be listened on, else raises PortInUse."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} for {what} cannot be used: {error.strerror}. "
                "Stop the program that uses it, or choose another port."
            ) from None
    return port


def scrubbed_environment() -> dict[str, str]:
    """Returns the caller's environment without AIRFLOW* variables, and without a proxy for this machine."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1", "localhost"]))
    env["PYTHONUNBUFFERED"] = "1"
    # If it is set, each of the many processes compiles Airflow again.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


class Component:
    """A started Airflow process, the leader of a process group that has its number."""

    def __init__(self, name: str, pid: int, log: Path) -> None:
        self.name, self.pid, self.log = name, pid, log
        # The exit code, or a negative signal number; None while the process runs.
        self.exit_code: int | None = None


class Stack:
    """A whole Airflow. `start` returns when every component is healthy; `stop` ends every process.

    home: AIRFLOW_HOME, created if missing; holds the database, logs and configuration.
    dags: the DAG folder.
    env: added to the environment of every component: connections, variables, AIRFLOW__… settings. Kept in
        `extra_env`, which may be extended between `prepare` and `start`.
    api_port: fixed port for the API server and UI (PortInUse if taken); a free one if None.
    paused: whether new DAGs start paused. `api.trigger` unpauses anyway.
    names: the components that `start` starts: also `worker`, for Celery, and numbered ones (`worker-2`).
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        env: Mapping[str, str] | None = None,
        api_port: int | None = None,
        parallelism: int = 4,
        paused: bool = True,
        names: Iterable[str] = COMPONENTS,
    ) -> None:
        self.names = tuple(names)
        self.home = Path(home).resolve()
        self.dags = Path(dags).resolve()
        self.api_port = free_port() if api_port is None else api_port
        self._fixed_port = api_port is not None
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.api = AirflowApi(self.url)
        self.base_env = {**scrubbed_environment(), **self._settings(parallelism, paused)}
        self.extra_env = dict(env or {})
        self.components: dict[str, Component] = {}
        self._groups: list[int] = []
        self._warm: subprocess.Popen[str] | None = None

    def _settings(self, parallelism: int, paused: bool) -> dict[str, str]:
        random_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # LocalExecutor forks this many workers when it starts; 32 by default.
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": str(paused),
            "AIRFLOW__CORE__FERNET_KEY": random_key,
            # The button that tests a connection is off by default.
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # A token without a password from GET /auth/token.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # The default asks the name service, which may take seconds where there is none.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            # Without these two, workers call port 8080, whichever port is ours.
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.api_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def prepare(self) -> None:
        """Begins to load Airflow, which takes seconds, and returns at once. `start` does it if needed."""
        if self._warm is not None:
            return
        if self._fixed_port:
            check_port(self.api_port, "Airflow")
        (self.home / "components").mkdir(parents=True, exist_ok=True)
        with (self.home / "components" / "warm.log").open("w") as log:
            self._warm = subprocess.Popen(
                [sys.executable, str(WARM_AIRFLOW)],
                env={**self.base_env, **self.extra_env},
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._groups.append(self._warm.pid)

    def start(self, timeout: float = 120, say: Callable[[str], object] = lambda _: None) -> None:
        """Starts all components and waits until they are healthy. If that fails, stops everything again."""
        try:
            self.prepare()
            say("Airflow: waiting for it to be loaded")
            self._answer()
            say("Airflow: creating its database")
            self._init_database()
            say(f"Airflow: starting {', '.join(self.names)}")
            for name in self.names:
                self.start_component(name)
            self.wait_healthy(timeout, say)
        except BaseException:
            self.stop(grace=0)
            raise

    def wait_healthy(self, timeout: float = 60, say: Callable[[str], object] = lambda _: None) -> None:
        """Waits until API server, scheduler, triggerer and DAG processor all report that they are healthy."""

        def answering() -> bool:
            self.check_alive()
            return self.api.health() is not None

        wait_until(answering, timeout, "Airflow's API server to answer", interval=0.1)
        say("Airflow: the API server answers, waiting for the others")
        warm_up = threading.Thread(target=self.api.touch_task_api, daemon=True)
        warm_up.start()

        def healthy() -> bool:
            self.check_alive()
            if warm_up.is_alive():
                return False
            health = self.api.health() or {}
            return all(
                (health.get(part) or {}).get("status") == "healthy"
                for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
            )

        wait_until(
            healthy,
            timeout,
            "Airflow to be healthy",
            interval=0.2,
            explain=lambda: f"Health: {self.api.health()}",
        )

    def restore(self, names: Iterable[str], timeout: float = 60) -> None:
        """Starts and ends components until exactly these run, and waits until they are healthy."""
        wanted = list(names)
        self._collect()
        for name, component in list(self.components.items()):
            if name not in wanted or component.exit_code is not None:
                self._end([component], grace=5)
                self.components.pop(name)
        missing = [name for name in wanted if name not in self.components]
        for name in missing:
            self.start_component(name)
        self.wait_healthy(timeout)

    def check_alive(self) -> None:
        """Raises StackError with the end of the log if a component has ended by itself."""
        for component in self.ended():
            raise StackError(
                f"Airflow's {component.name} ended by itself (exit {component.exit_code}). "
                f"The end of {component.log}:\n{_tail(component.log)}"
            )

    def ended(self) -> list[Component]:
        """The components that have ended by themselves."""
        self._collect()
        return [component for component in self.components.values() if component.exit_code is not None]

    def start_component(self, name: str) -> None:
        """Starts `api-server`, `dag-processor`, `scheduler`, `triggerer`, `worker`; more: `triggerer-2`.

        A component that was killed can be started again; StackError if it still runs.
        """
        self._collect()
        old = self.components.get(name)
        if old is not None and old.exit_code is None:
            raise StackError(f"{name} is already running (pid {old.pid})")
        kind, env = name.rstrip("0123456789").rstrip("-"), {}
        if kind == "triggerer" and name != "triggerer":
            env["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] = str(free_port())
        argv = [kind]
        if kind == "worker":
            argv = ["celery", "worker", "--celery-hostname", name]
            env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(free_port())
        elif kind == "api-server":
            argv += ["--host", "127.0.0.1", "--port", str(self.api_port)]
        log = self.home / "components" / f"{name}.log"
        self.components[name] = Component(name, self._start(argv, log, env), log)

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        """Sends a signal to all processes of a component's session; waits for their end if it is SIGKILL."""
        component = self.components[name]
        _signal_session(component.pid, sig)
        if sig == signal.SIGKILL:
            self._wait_ended([component], 10)
            self.components.pop(name)

    def terminate(self, name: str, grace: float = 10) -> None:
        """Ends a component as a deployment does: SIGTERM, and SIGKILL after `grace` seconds."""
        component = self.components[name]
        self._end([component], grace)
        self.components.pop(name)

    def kill_task(self, task: Mapping[str, Any]) -> None:
        """Kills the process of a running task instance (as the API returned it) and its supervisor."""
        process = psutil.Process(int(task["pid"]))
        scheduler = self.components["scheduler"].pid
        victims = [process]
        supervisor = process.parent()
        if supervisor is not None and supervisor.pid != scheduler:
            victims.insert(0, supervisor)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    def stop(self, grace: float = 3) -> None:
        """Ends all processes: SIGTERM, and SIGKILL after `grace` s. May be called twice."""
        running = [c for c in self.components.values() if c.exit_code is None]
        # The API server comes last: the others still call it while they end.
        self._end([c for c in running if c.name != "api-server"], grace)
        self._end([c for c in running if c.name == "api-server"], grace)
        self.components.clear()
        if self._warm is not None:
            assert self._warm.stdin is not None and self._warm.stdout is not None
            with contextlib.suppress(OSError):
                self._warm.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warm.wait(2)
            for group in self._groups:
                _signal_session(group, signal.SIGKILL)
            self._warm.wait()
            self._warm.stdout.close()
            self._warm = None
        self._groups.clear()

    def _end(self, components: list[Component], grace: float) -> None:
        if not components:
            return
        descendants = [child for c in components for child in _descendants(c.pid)]
        if grace > 0:
            for component in components:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(component.pid, signal.SIGTERM)
            with contextlib.suppress(StackError):
                self._wait_ended(components, grace)
        for component in components:
            _signal_session(component.pid, signal.SIGKILL)
        # Children that have left the group of their component.
        for child in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        with contextlib.suppress(StackError):
            self._wait_ended(components, 5)

    def _wait_ended(self, components: list[Component], timeout: float) -> None:
        def ended() -> bool:
            self._collect()
            return all(component.exit_code is not None for component in components)

        wait_until(ended, timeout, f"{', '.join(c.name for c in components)} to end", interval=0.05)

    def _collect(self) -> None:
        """Records the exit codes of components that have ended."""
        if self._warm is None or self._warm.poll() is not None:
            return
        exited = self._ask(do="exited")["exited"]
        for component in self.components.values():
            if component.exit_code is None and str(component.pid) in exited:
                component.exit_code = exited[str(component.pid)]

    def _init_database(self) -> None:
        log = self.home / "components" / "initdb.log"
        process = Component("initdb", self._start(["initdb"], log, {}), log)
        self.components["initdb"] = process
        self._wait_ended([process], 60)
        self.components.pop("initdb")
        if process.exit_code:
            raise StackError(f"Airflow's database was not created (exit {process.exit_code}):\n{_tail(log)}")

    def _start(self, argv: list[str], log: Path, env: dict[str, str]) -> int:
        pid = int(self._ask(do="start", argv=argv, log=str(log), env={**self.extra_env, **env})["pid"])
        self._groups.append(pid)
        return pid

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._warm is not None and self._warm.stdin is not None
        try:
            self._warm.stdin.write(json.dumps(request) + "\n")
            self._warm.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._warm is not None and self._warm.stdout is not None
        line = self._warm.stdout.readline()
        if not line:
            log = self.home / "components" / "warm.log"
            raise StackError(f"Airflow could not be loaded. The end of {log}:\n{_tail(log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal_session(leader: int, sig: int) -> None:
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, sig)


def _tail(path: Path, lines: int = 30) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
