"""A running emulator as a test sees it: starting it, and its control API as methods.

It needs only the standard library, and works in any kind of test and across ``fork``, because a handle holds
an address and no connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from airflow_provider_fdi.emulator import constants
from airflow_provider_fdi.emulator.suggest import suggestion

# In a failed test, pytest shows the test's own line instead of this module's.
__tracebackhide__ = True


class EmulatorError(RuntimeError):
    """The emulator did not start, or its control API refused a call; the text says why."""


class FdiEmulator:
    """An emulator at `url`. :meth:`start` makes one in a process of its own."""

    # What a server without a configuration accepts.
    project_id = constants.PROJECT_ID
    project_name = constants.PROJECT_NAME
    instance_id = constants.INSTANCE_ID
    token = constants.TOKEN
    user_name = constants.USER_NAME
    password = constants.PASSWORD
    domain_name = constants.DOMAIN_NAME
    access_key = constants.ACCESS_KEY
    secret_key = constants.SECRET_KEY
    app_id = constants.APP_ID

    def __init__(self, url: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.url = url.rstrip("/")
        self._process = process
        self._owner = os.getpid()
        self._pipe: int | None = None
        self._files: list[str] = []
        # No proxy of the environment: the emulator is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __repr__(self) -> str:
        return f"FdiEmulator({self.url!r})"

    @classmethod
    def start(
        cls,
        port: int = 0,
        config: dict[str, Any] | str | os.PathLike[str] | None = None,
        *,
        timeout: float = 60.0,
    ) -> FdiEmulator:
        """Start a server process (port 0: a free port) and wait until it listens.

        `config`: a configuration as a dict, or the path of a file. The process ends with :meth:`stop`, and
        when the process that called this ends in any way. Raises EmulatorError.
        """
        command = [sys.executable, "-m", "airflow_provider_fdi.emulator", "--port", str(port)]
        environment = dict(os.environ)
        # The package may be imported from a checkout that the new interpreter would not find.
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        files: list[str] = []
        with contextlib.ExitStack() as undo:
            if isinstance(config, dict):
                with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as file:
                    undo.callback(Path(file.name).unlink, missing_ok=True)
                    json.dump(config, file)
                files.append(file.name)
                command += ["--config", file.name]
            elif config is not None:
                command += ["--config", os.fspath(config)]
            read_end, write_end = os.pipe()
            undo.callback(os.close, write_end)
            command += ["--parent-pipe", str(read_end)]
            with contextlib.closing(os.fdopen(read_end, "rb")), tempfile.TemporaryFile() as errors:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    pass_fds=(read_end,),
                    env=environment,
                )
                assert process.stdout is not None
                undo.callback(process.stdout.close)
                undo.callback(process.wait)
                undo.callback(process.kill)
                line = _first_line(process, timeout)
                if "http://" not in line:
                    process.kill()
                    process.wait()
                    errors.seek(0)
                    words = errors.read().decode("utf-8", "replace").strip()
                    for name in files:
                        words = words.replace(name, "config")
                    raise EmulatorError(f"the emulator did not start: {words or line or 'no answer in time'}")
            undo.pop_all()
        emulator = cls("http://" + line.split("http://", 1)[1].strip(), process)
        emulator._pipe = write_end
        emulator._files = files
        return emulator

    def stop(self) -> None:
        """End the server process that this handle started (in the process that started it)."""
        if self._process is None or os.getpid() != self._owner:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        for name in self._files:
            Path(name).unlink(missing_ok=True)
        self._process = None

    def __enter__(self) -> FdiEmulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Addresses

    @property
    def api(self) -> str:
        """The base of all operations: endpoint, project and instance."""
        return f"{self.url}/v2/{self.project_id}/fdi/instances/{self.instance_id}"

    def connection(self, auth_type: str = "token", **extra: Any) -> dict[str, Any]:
        """An Airflow connection to this emulator, as the dict that becomes its JSON.

        `auth_type`: token, password, aksk or sdk. Links of tasks lead to the emulator's own pages.
        """
        credentials: dict[str, dict[str, Any]] = {
            "token": {"password": self.token},
            "password": {"login": self.user_name, "password": self.password},
            "aksk": {"login": self.access_key, "password": self.secret_key},
            "sdk": {},
        }
        if auth_type not in credentials:
            raise EmulatorError(f"unknown auth_type {auth_type!r}{suggestion(auth_type, credentials)}")
        settings = {
            "auth_type": auth_type,
            "project_id": self.project_id,
            "instance_id": self.instance_id,
            "console_url": f"{self.url}/?task={{task_id}}&run={{run_id}}",
        }
        if auth_type == "password":
            settings |= {"domain_name": self.domain_name, "iam_endpoint": self.url}
        return {
            "conn_type": "fdi",
            "host": self.url,
            **credentials[auth_type],
            "extra": {**settings, **extra},
        }

    def connection_json(self, auth_type: str = "token", **extra: Any) -> str:
        """The value of the environment variable AIRFLOW_CONN_FDI_DEFAULT."""
        return json.dumps(self.connection(auth_type, **extra))

    # The control API

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call of the control API. Raises EmulatorError with its words."""
        url = f"{self.url}/_emulator/{path.lstrip('/')}"
        query = {key: value for key, value in query.items() if value is not None}
        if query:
            url += "?" + urlencode(query)
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(
            url, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise EmulatorError(_words(error)) from None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request to the FDI API below :attr:`api` with the static token: status and JSON (or None)."""
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(
            f"{self.api}/{path.lstrip('/')}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json", "X-Auth-Token": self.token, **headers},
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text else None

    def reset(self) -> None:
        """Forget everything but the configuration."""
        self.control("POST", "reset")

    def journal(self, operation: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """Requests, oldest first: seq, time, method, path, query, headers, body, status, operation, fault."""
        rows: list[dict[str, Any]] = self.control("GET", "journal", operation=operation, since=since)
        return rows

    def journal_counts(self) -> dict[str, int]:
        """Number of requests by operation."""
        counts: dict[str, int] = self.control("GET", "journal", counts=1)
        return counts

    def clear_journal(self) -> None:
        self.control("DELETE", "journal")

    def fault(self, kind: str, **rule: Any) -> int:
        """Add a fault; `rule`: operation, method, path_regex, times, after, status, headers, body, ..."""
        answer: dict[str, int] = self.control("POST", "faults", {"kind": kind, **rule})
        return answer["id"]

    def faults(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.control("GET", "faults")
        return rows

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def switch(self, **flags: Any) -> dict[str, Any]:
        """Change behaviour switches; all of them come back."""
        switches: dict[str, Any] = self.control("PATCH", "switches", flags)
        return switches

    def move_clock(self, ms: int) -> int:
        """Move the emulator's clock by `ms` milliseconds; its new time."""
        answer: dict[str, int] = self.control("POST", "clock", {"advance_ms": ms})
        return answer["now_ms"]

    def now_ms(self) -> int:
        """The emulator's time."""
        answer: dict[str, int] = self.control("GET", "clock")
        return answer["now_ms"]

    def script(self, task_id: str, *sequence: dict[str, Any], **script: Any) -> None:
        """Make the runs of a task follow a script: outcome, duration_ms, rows, dirty_rows, remarks, hold, ...

        Several scripts are used one after the other; the last one stays.
        """
        self.control("PUT", f"tasks/{task_id}/script", list(sequence) if sequence else script)

    def unscript(self, task_id: str) -> None:
        """Let the runs of a task move data again."""
        self.control("DELETE", f"tasks/{task_id}/script")

    def release(self, task_id: str, outcome: str | None = None, **changes: Any) -> bool:
        """End a held run; `changes` to its script: rows, dirty_rows, remarks. False if there is none."""
        if outcome is not None:
            changes["outcome"] = outcome
        answer: dict[str, int] = self.control("POST", f"tasks/{task_id}/release", changes)
        return bool(answer["released"])

    def add_task(
        self,
        name: str | None = None,
        task_type: str = "TIMING",
        schedule: dict[str, Any] | bool | None = None,
        started: bool = False,
        script: dict[str, Any] | list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> str:
        """Add a task past the API, its id. Without `script` and `task_detail` its runs succeed at once.

        `schedule=True` is once a day. `fields`: task_id, description, task_tag, source_datasource_id,
        target_datasource_id, task_detail, composite.
        """
        body = {
            "task_type": task_type,
            "schedule": schedule,
            "started": started,
            "script": script,
            "name": name or f"task-{time.time_ns()}",
            **fields,
        }
        answer: dict[str, list[str]] = self.control("POST", "tasks", body)
        return answer["ids"][0]

    def add_tasks(self, count: int, prefix: str = "task-", **fields: Any) -> list[str]:
        """Add many tasks named prefix00000, prefix00001, ...; their ids."""
        answer: dict[str, list[str]] = self.control(
            "POST", "tasks", {"count": count, "prefix": prefix, **fields}
        )
        return answer["ids"]

    def task(self, task_id: str) -> dict[str, Any]:
        """What the emulator knows of a task: started, execute_status, active_run, next_firing, runs."""
        row: dict[str, Any] = self.control("GET", f"tasks/{task_id}")
        return row

    def start_task(self, task_id: str) -> None:
        self.control("PATCH", f"tasks/{task_id}", {"started": True})

    def stop_task(self, task_id: str) -> None:
        self.control("PATCH", f"tasks/{task_id}", {"started": False})

    def add_run(self, task_id: str, **row: Any) -> str:
        """Insert a row into a task's run log (fields as in the log; default: a success just now); its id."""
        answer: dict[str, str] = self.control("POST", f"tasks/{task_id}/runs", row)
        return answer["id"]

    def add_datasource(self, name: str, url: str | None, type: str = "MYSQL", **fields: Any) -> str:
        """Add a data source backed by a database (SQLAlchemy URL); its id."""
        answer: dict[str, str] = self.control(
            "POST", "datasources", {"name": name, "url": url, "type": type, **fields}
        )
        return answer["id"]

    def runs(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """The runs of a task or of all tasks, oldest first: rows of the log, and task_id and task_name."""
        rows: list[dict[str, Any]] = self.control("GET", "runs", task_id=task_id)
        return rows

    def runs_started(self, task_id: str, trigger: str | None = None) -> list[dict[str, Any]]:
        """Accepted runs of a task, oldest first: run_id, time, trigger (manual, schedule, start)."""
        return self._dispatches(task_id, "accepted", trigger)

    def runs_refused(self, task_id: str) -> list[dict[str, Any]]:
        """Dispatches of a task that were refused because a run was unfinished."""
        return self._dispatches(task_id, "refused")

    def _dispatches(self, task_id: str, kind: str, trigger: str | None = None) -> list[dict[str, Any]]:
        rows = self.control("GET", "runs-started", task_id=task_id, trigger=trigger)
        found: list[dict[str, Any]] = rows.get(task_id, {}).get(kind, [])
        return found

    def expire_tokens(self, *, include_static: bool = False) -> int:
        """Make the tokens that IAM issued invalid (and the configured ones, on request); how many."""
        answer: dict[str, int] = self.control("POST", "expire-tokens", {"include_static": include_static})
        return answer["expired"]

    def lock_state(self) -> dict[str, Any]:
        """Locked access keys (milliseconds left) and counted signature failures."""
        state: dict[str, Any] = self.control("GET", "lock")
        return state


def _words(error: urllib.error.HTTPError) -> str:
    """Why the control API refuses a call."""
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, LookupError, TypeError):
        return f"{error.code} {text}"


def _first_line(process: subprocess.Popen[bytes], timeout: float) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout)
    return process.stdout.readline().decode("utf-8", "replace") if ready else ""
