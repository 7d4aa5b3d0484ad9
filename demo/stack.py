"""A real Airflow on this machine: scheduler, triggerer, DAG processor and API server, each a process.

    with Stack(home=tmp / "airflow", dags=Path("dags"), env={"AIRFLOW_CONN_FDI_DEFAULT": …}) as stack:
        run_id = stack.api.trigger("my_dag")
        stack.api.wait_for_run("my_dag", run_id)

SQLite and LocalExecutor, nothing outside `home`, free ports unless they are given. Used by ``make demo``,
``make ui`` and the system tests, which also kill, restart and add components.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

WARM_AIRFLOW = Path(__file__).resolve().parent / "warm_airflow.py"

FINISHED_RUN = frozenset({"success", "failed"})
FINISHED_TASK = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class StackError(Exception):
    """Airflow could not be started, or did not do what was waited for."""


class PortInUse(StackError):
    """A port that was asked for by number belongs to somebody else."""


class ApiError(StackError):
    """Airflow's REST API refused a request; `status` is the HTTP status."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: HTTP {status}: {body[:500]}")
        self.status = status


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
                "End the program that holds it, or choose another port."
            ) from None
    return port


def wait_until(
    condition: Callable[[], T],
    timeout: float,
    what: str,
    *,
    interval: float = 0.25,
    explain: Callable[[], str] | None = None,
) -> T:
    """Calls `condition` until it returns something true, and returns that. StackError after `timeout` s."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            details = f"\n{explain()}" if explain else ""
            raise StackError(f"Waited {timeout:.0f} s in vain for {what}.{details}")
        time.sleep(interval)


def scrubbed_environment() -> dict[str, str]:
    """The caller's environment without any Airflow of theirs, and without a proxy between here and here."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1", "localhost"]))
    env["PYTHONUNBUFFERED"] = "1"
    # Some machines forbid it; every one of the many processes here would compile Airflow anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


class AirflowApi:
    """The little of Airflow's REST API (v2) that is needed to run DAGs and look at what happened."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._token: str | None = None
        # Never through a proxy: this is the same machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        accept: str = "",
    ) -> Any:
        """One call below /api/v2; returns the parsed JSON (None for an empty answer). Raises ApiError."""
        if self._token is None:
            self._token = self._send("GET", "/auth/token", None, {})["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        if accept:
            headers["Accept"] = accept
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        return self._send(method, "/api/v2" + path, body, headers)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.base_url + path, data=data, headers=headers, method=method)
        # SQLite answers some requests with "database is locked" while the scheduler and others write.
        for pause in (0.5, 1.0, 2.0, None):
            try:
                with self._opener.open(request, timeout=30) as response:
                    text = response.read().decode()
                break
            except urllib.error.HTTPError as error:
                with error:
                    if method == "GET" and error.code == 500 and pause is not None:
                        time.sleep(pause)
                        continue
                    words = error.read().decode(errors="replace")
                raise ApiError(method, path, error.code, words) from None
        return json.loads(text) if text else None

    def health(self) -> dict[str, Any] | None:
        """The components' health; None while nothing answers."""
        try:
            answer: dict[str, Any] = self._send("GET", "/api/v2/monitor/health", None, {})
        except (OSError, http.client.HTTPException, ApiError):
            return None
        return answer

    def touch_task_api(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
            self._send("GET", "/execution/health", None, {})

    def import_errors(self) -> list[dict[str, Any]]:
        errors: list[dict[str, Any]] = self.request("GET", "/importErrors", query={"limit": 100})[
            "import_errors"
        ]
        return errors

    def dags(self) -> list[dict[str, Any]]:
        dags: list[dict[str, Any]] = self.request("GET", "/dags", query={"limit": 100})["dags"]
        return dags

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Until the DAG processor has parsed it. An import error ends the wait at once."""

        def known() -> bool:
            try:
                self.request("GET", f"/dags/{dag_id}")
                return True
            except ApiError as error:
                if error.status != 404:
                    raise
            if errors := self.import_errors():
                raise StackError("\n".join(f"{e['filename']}:\n{e['stack_trace']}" for e in errors))
            return False

        wait_until(known, timeout, f"DAG {dag_id} to be parsed")

    def pause(self, dag_id: str, paused: bool = True) -> None:
        self.request("PATCH", f"/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, **body: Any) -> str:
        """Starts a DAG run and returns its id. Waits for the DAG to be parsed first; unpauses it."""
        self.wait_for_dag(dag_id)
        self.pause(dag_id, False)
        run = self.request(
            "POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}, **body}
        )
        return str(run["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.request("GET", f"/dags/{dag_id}/dagRuns", query={"limit": 100})[
            "dag_runs"
        ]
        return runs

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self.request("GET", f"/dags/{dag_id}/dagRuns/{_quote(run_id)}")
        return run

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances"
        tasks: list[dict[str, Any]] = self.request("GET", path, query={"limit": 100})["task_instances"]
        return tasks

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        for task in self.tasks(dag_id, run_id):
            if (task["task_id"], task["map_index"]) == (task_id, map_index):
                return task
        raise StackError(f"{dag_id} {run_id} has no task instance {task_id}[{map_index}]")

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """The run's final state, `success` or `failed`."""

        def state() -> str:
            now = str(self.run(dag_id, run_id)["state"])
            return now if now in FINISHED_RUN else ""

        return wait_until(
            state, timeout, f"{dag_id} {run_id} to end", explain=lambda: self.report(dag_id, run_id)
        )

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: str | Iterable[str] = FINISHED_TASK,
        timeout: float = 60,
        map_index: int = -1,
    ) -> dict[str, Any]:
        """The task instance as soon as it is in one of `states` (for instance "deferred")."""
        wanted = {states} if isinstance(states, str) else set(states)

        def there() -> dict[str, Any] | None:
            task = self.task(dag_id, run_id, task_id, map_index)
            return task if task["state"] in wanted else None

        what = f"{dag_id}.{task_id} to be {' or '.join(sorted(wanted))}"
        task = wait_until(there, timeout, what, explain=lambda: self.report(dag_id, run_id))
        assert task is not None
        return task

    def report(self, dag_id: str, run_id: str) -> str:
        """State of every task of a run and the last words of those that did not end well."""
        lines = []
        for task in self.tasks(dag_id, run_id):
            name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"
            lines.append(f"  {name}: {task['state']}, try {task['try_number']}")
            if task["state"] in ("failed", "up_for_retry", "running", "deferred"):
                text = self.log(dag_id, run_id, task["task_id"], task["try_number"], task["map_index"])
                words = [line for line in text.splitlines() if "group::" not in line]
                lines += [f"    | {line}" for line in words[-25:]]
        return "\n".join(lines)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """The value a task pushed; None if there is none."""
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/xcomEntries/{_quote(key)}"
        query = {"map_index": map_index, "deserialize": "false", "stringify": "false"}
        try:
            return self.request("GET", path, query=query)["value"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The task's log as text, one line an event; empty if there is none yet."""
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        query = {"map_index": map_index, "full_content": "true"}
        try:
            content = self.request("GET", path, query=query, accept="application/json")["content"]
        except ApiError as error:
            if error.status == 404:
                return ""
            raise
        return "\n".join(_log_line(entry) for entry in content)

    def set_task_state(
        self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int | None = None
    ) -> None:
        """Marks a task instance, as a user does in the UI: `success`, `failed` or `skipped`."""
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}"
        query = {} if map_index is None else {"map_index": map_index}
        self.request("PATCH", path, {"new_state": state}, query=query)

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        self.request("PATCH", f"/dags/{dag_id}/dagRuns/{_quote(run_id)}", {"state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Iterable[str], *, only_failed: bool = False) -> None:
        """Clears task instances, which makes them run again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": only_failed,
        }
        self.request("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def add_connection(self, connection_id: str, **fields: Any) -> None:
        """Puts a connection into the database; `extra` may be a dict."""
        if isinstance(fields.get("extra"), dict):
            fields["extra"] = json.dumps(fields["extra"])
        self.request("POST", "/connections", {"connection_id": connection_id, **fields})

    def add_variable(self, key: str, value: str) -> None:
        self.request("POST", "/variables", {"key": key, "value": value})


def _quote(part: str) -> str:
    return urllib.parse.quote(part, safe="")


# What a log line says of itself or of its task instance, which whoever asked for the log knows.
_LOG_CONTEXT = frozenset(
    "timestamp event level logger filename lineno chan loc sources error_detail "
    "ti ti_id dag_id task_id run_id map_index try_number".split()
)


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    line = f"{entry.get('level') or ''} {entry.get('event', '')}".strip()
    line += "".join(f" {key}={value}" for key, value in entry.items() if key not in _LOG_CONTEXT)
    for error in entry.get("error_detail") or ():
        line += f"\n{error.get('exc_type')}: {error.get('exc_value')}"
    return line


class Component:
    """One started Airflow process with its children; it leads a process group of the same number."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str], log: Path) -> None:
        self.name, self.argv, self.env, self.log = name, argv, env, log
        self.pid = 0
        # How it ended: exit code, a negative signal number, None while it runs or when it was never started.
        self.exit_code: int | None = None


class Stack:
    """A whole Airflow. `start` returns when every component is healthy; `stop` ends every process.

    home: AIRFLOW_HOME, made if missing; database, logs and configuration live in it.
    dags: the DAG folder.
    env: added to the environment of every component: connections, variables, AIRFLOW__… settings. Kept in
        `extra_env`, which may be added to between `prepare` and `start`.
    api_port: fixed port for the API server and UI (PortInUse if taken); a free one if None.
    paused: whether new DAGs start paused. `api.trigger` unpauses anyway.
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
    ) -> None:
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
            # Without these two, workers on any port but 8080 call somebody else.
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
        """Starts the warm process (seconds of imports) without waiting for it. `start` does it if needed."""
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

    def start(self, timeout: float = 120) -> None:
        """Starts all components and waits for their health. On failure everything is stopped again."""
        try:
            self.prepare()
            self._answer()
            self._run(["initdb"], timeout=60)
            for name in ("api-server", "dag-processor", "scheduler", "triggerer"):
                self.start_component(name)
            self.wait_healthy(timeout)
        except BaseException:
            self.stop(grace=0)
            raise

    def wait_healthy(self, timeout: float = 60) -> None:
        """Until API server, scheduler, triggerer and DAG processor all say so."""

        def answering() -> bool:
            self.check_alive()
            return self.api.health() is not None

        wait_until(answering, timeout, "Airflow's API server to answer", interval=0.1)
        # The first request of a task makes the API server build its task API, which takes seconds. Now it
        # does that while the others start.
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
        """Afterwards exactly these components run, and are healthy: starts the missing, ends the others."""
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
        """Raises StackError with the end of its log if a component that should run has ended."""
        self._collect()
        for component in self.components.values():
            if component.exit_code is not None:
                raise StackError(
                    f"Airflow's {component.name} ended by itself (exit {component.exit_code}). "
                    f"Its last lines (all of them in {component.log}):\n{_tail(component.log)}"
                )

    def start_component(self, name: str, *, env: Mapping[str, str] | None = None) -> Component:
        """Starts `api-server`, `dag-processor`, `scheduler` or `triggerer`, or a further one (`triggerer-2`).

        One of that name that was killed is started again; one that still runs is an error.
        """
        self._collect()
        old = self.components.get(name)
        if old is not None and old.exit_code is None:
            raise StackError(f"{name} runs already (pid {old.pid})")
        kind = name.rstrip("0123456789").rstrip("-")
        own = dict(env or {})
        if kind == "triggerer" and name != "triggerer":
            own.setdefault("AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", str(free_port()))
        argv = [kind]
        if kind == "api-server":
            argv += ["--host", "127.0.0.1", "--port", str(self.api_port)]
        component = Component(name, argv, own, self.home / "components" / f"{name}.log")
        component.pid = self._start(argv, component.log, own)
        self.components[name] = component
        return component

    def start_triggerer(
        self, name: str = "triggerer-2", *, env: Mapping[str, str] | None = None
    ) -> Component:
        """A further triggerer beside the first."""
        return self.start_component(name, env=env)

    def kill(self, name: str, sig: int = signal.SIGKILL, *, children: bool = True, wait: float = 10) -> None:
        """Sends a signal to a component, by default with all its children, as when a machine dies.

        After SIGKILL it is waited for; SIGSTOP and SIGCONT are not.
        """
        component = self.components[name]
        if children:
            _signal_group(component.pid, sig)
        else:
            os.kill(component.pid, sig)
        if sig == signal.SIGKILL:
            self._wait_ended([component], wait)
            self.components.pop(name)

    def terminate(self, name: str, grace: float = 10) -> None:
        """Ends one component as a deployment does: SIGTERM, and SIGKILL after `grace` seconds."""
        component = self.components[name]
        self._end([component], grace)
        self.components.pop(name)

    def task_process(self, task: Mapping[str, Any]) -> psutil.Process:
        """The process that executes a running task instance (as the API returned it)."""
        return psutil.Process(int(task["pid"]))

    def kill_task(self, task: Mapping[str, Any]) -> None:
        """SIGKILL for a running task's process and for the executor's worker that supervises it."""
        process = self.task_process(task)
        scheduler = self.components["scheduler"].pid
        victims = [process]
        supervisor = process.parent()
        if supervisor is not None and supervisor.pid != scheduler:
            victims.insert(0, supervisor)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    def airflow(self, *argv: str, timeout: float = 60) -> str:
        """Runs an `airflow` command in this installation and returns what it printed."""
        return self._run(list(argv), timeout)

    def stop(self, grace: float = 3) -> None:
        """Ends everything: SIGTERM, after `grace` s SIGKILL, whole process groups. May be called twice."""
        running = [c for c in self.components.values() if c.exit_code is None]
        # The API server goes last: the others talk to it while they end.
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
                _signal_group(group, signal.SIGKILL)
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
            _signal_group(component.pid, signal.SIGKILL)
        # Those that made themselves leaders of other groups.
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
        """Takes note of components that ended."""
        if self._warm is None or self._warm.poll() is not None:
            return
        exited = self._ask(do="exited")["exited"]
        for component in self.components.values():
            if component.exit_code is None and str(component.pid) in exited:
                component.exit_code = exited[str(component.pid)]

    def _run(self, argv: list[str], timeout: float) -> str:
        log = self.home / "components" / f"{'-'.join(argv[:2])}-{secrets.token_hex(3)}.log"
        pid = self._start(argv, log, {})
        codes: dict[str, int] = wait_until(
            lambda: {k: v for k, v in self._ask(do="exited")["exited"].items() if k == str(pid)},
            timeout,
            f"airflow {' '.join(argv)}",
            interval=0.05,
        )
        if codes[str(pid)] != 0:
            raise StackError(f"airflow {' '.join(argv)} failed (exit {codes[str(pid)]}):\n{_tail(log)}")
        return log.read_text()

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
            raise StackError(f"Airflow could not be loaded; the last lines of {log}:\n{_tail(log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal_group(group: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sig)


def _tail(path: Path, lines: int = 30) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
