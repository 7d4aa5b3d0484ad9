"""Airflow's REST API (v2), as far as the demo and the system tests need it: run DAGs, see what happened."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

T = TypeVar("T")

FINISHED_RUN = frozenset({"success", "failed"})
FINISHED_TASK = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class StackError(Exception):
    """Airflow could not be started, or did not get to an expected state in time."""


class ApiError(StackError):
    """Airflow's REST API refused a request; `status` is the HTTP status."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: HTTP {status}: {body[:500]}")
        self.status = status


def wait_until(
    condition: Callable[[], T],
    timeout: float,
    what: str,
    *,
    interval: float = 0.25,
    explain: Callable[[], str] | None = None,
) -> T:
    """Calls `condition` until it returns a true value and returns that. StackError after `timeout` s."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            details = f"\n{explain()}" if explain else ""
            raise StackError(f"Gave up after waiting {timeout:.0f} s for {what}.{details}")
        time.sleep(interval)


class AirflowApi:
    """A client for the part of Airflow's REST API that runs DAGs and reports on them."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._token: str | None = None
        # No proxy: Airflow is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        accept: str = "",
        repeatable: bool = False,
    ) -> Any:
        """Sends one request below /api/v2 and returns the parsed JSON (None if empty). Raises ApiError.

        repeatable: send it again if Airflow's database was locked, as GET and PATCH are anyway.
        """
        if self._token is None:
            self._token = self._send("GET", "/auth/token", None, {})["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        if accept:
            headers["Accept"] = accept
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        repeatable = repeatable or method in ("GET", "PATCH")
        return self._send(method, "/api/v2" + path, body, headers, repeatable=repeatable)

    def _send(
        self, method: str, path: str, body: Any, headers: dict[str, str], *, repeatable: bool = True
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.base_url + path, data=data, headers=headers, method=method)
        # On SQLite, some requests fail with "database is locked" while other components write.
        for pause in (0.5, 1.0, 2.0, None):
            try:
                with self._opener.open(request, timeout=30) as response:
                    text = response.read().decode()
                break
            except urllib.error.HTTPError as error:
                with error:
                    if repeatable and error.code == 500 and pause is not None:
                        time.sleep(pause)
                        continue
                    words = error.read().decode(errors="replace")
                raise ApiError(method, path, error.code, words) from None
        return json.loads(text) if text else None

    def health(self) -> dict[str, Any] | None:
        """Returns the health of all components, None while the API server does not answer."""
        try:
            answer: dict[str, Any] = self._send("GET", "/api/v2/monitor/health", None, {})
        except (OSError, http.client.HTTPException, ApiError):
            return None
        return answer

    def touch_task_api(self) -> None:
        """Makes the API server build its task API, which takes seconds, before a task needs it."""
        with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
            self._send("GET", "/execution/health", None, {})

    def import_errors(self) -> list[dict[str, Any]]:
        errors: list[dict[str, Any]] = self.request("GET", "/importErrors", query={"limit": 100})[
            "import_errors"
        ]
        return errors

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Waits until the DAG processor has parsed the DAG. Raises StackError at once on an import error."""

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

    def unpause(self, dag_id: str) -> None:
        self.request("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str) -> str:
        """Starts a DAG run and returns its id. Waits for the DAG to be parsed first; unpauses it."""
        self.wait_for_dag(dag_id)
        self.unpause(dag_id)
        # With an id of our own, a request that failed halfway can be sent again.
        run_id = f"manual__{datetime.now(timezone.utc).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {}}
        try:
            self.request("POST", f"/dags/{dag_id}/dagRuns", body, repeatable=True)
        except ApiError as error:
            if error.status != 409:
                raise
        return run_id

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
        """Waits for the end of a DAG run and returns its state, `success` or `failed`."""

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
        """Waits until a task instance is in one of `states` (for instance "deferred") and returns it."""
        wanted = {states} if isinstance(states, str) else set(states)

        def there() -> dict[str, Any] | None:
            task = self.task(dag_id, run_id, task_id, map_index)
            return task if task["state"] in wanted else None

        what = f"{dag_id}.{task_id} to be {' or '.join(sorted(wanted))}"
        task = wait_until(there, timeout, what, explain=lambda: self.report(dag_id, run_id))
        assert task is not None
        return task

    def report(self, dag_id: str, run_id: str) -> str:
        """Returns the state of every task of a run, and the last log lines of those that did not succeed."""
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
        """Returns the value that a task pushed, None if there is none."""
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/xcomEntries/{_quote(key)}"
        query = {"map_index": map_index, "deserialize": "false", "stringify": "false"}
        try:
            return self.request("GET", path, query=query)["value"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Returns a task's log as text, one line per event; empty if there is none yet."""
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
        """Marks a task instance as `success`, `failed` or `skipped`, as a user does in the UI."""
        path = f"/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}"
        query = {} if map_index is None else {"map_index": map_index}
        self.request("PATCH", path, {"new_state": state}, query=query)

    def clear(self, dag_id: str, run_id: str, task_ids: Iterable[str]) -> None:
        """Clears task instances, so that they run again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self.request("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def add_connection(self, connection_id: str, **fields: Any) -> None:
        """Stores a connection in Airflow's database; `extra` may be a dict."""
        if isinstance(fields.get("extra"), dict):
            fields["extra"] = json.dumps(fields["extra"])
        self.request("POST", "/connections", {"connection_id": connection_id, **fields})

    def add_variable(self, key: str, value: str) -> None:
        self.request("POST", "/variables", {"key": key, "value": value})


def _quote(part: str) -> str:
    return urllib.parse.quote(part, safe="")


# Fields of a log entry that are left out of its line: they repeat what the caller asked for.
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
