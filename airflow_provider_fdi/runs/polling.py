"""How the service is polled until a wait is over: one snapshot, one wait in a worker, absorbed failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import (
    FdiArgumentError,
    FdiAuthError,
    FdiError,
    FdiNotFoundError,
    FdiProtocolError,
    FdiThrottledError,
)
from airflow_provider_fdi.clock import now_ms
from airflow_provider_fdi.runs.verdict import completed_time
from airflow_provider_fdi.runs.waits import Snapshot

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Listing, Run, Task
    from airflow_provider_fdi.runs.waits import Wait

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILURE_PAUSE = 1.0
"""Seconds after the first failed poll, unless the interval is longer; each further failure doubles them."""


def server_now(server_time: int | None) -> int:
    """The server's time as it reported it; this machine's where an answer had no ``Date`` header."""
    return server_time if server_time is not None else now_ms()


def task_state(client: FdiClient, fdi_task_id: str) -> tuple[Task | None, int]:
    """The task's row of ListTasks (None: not listed) and the server's time in ms.

    The cheapest call that returns both whether a task is started and what its last execution is doing.
    """
    listing = client.list_tasks(task_id=fdi_task_id)
    # The filter is documented as exact only by inference: a fuzzy or ignored one must not yield another task.
    task = next((task for task in listing if task.task_id == fdi_task_id), None)
    return task, server_now(listing.server_time)


def find_in_log(
    client: FdiClient, fdi_task_id: str, begin_time: int | None, find: Callable[[Listing[Run]], Run | None]
) -> tuple[Run | None, Listing[Run]]:
    """What ``find`` finds in the log from ``begin_time`` on or else in the whole log, and the rows read.

    By which of a row's times the service filters is not documented, and a run that was cancelled in the queue
    lacks some of them.
    """
    rows = client.list_runs(fdi_task_id, begin_time=begin_time)
    run = find(rows)
    if run is None:
        rows = client.list_runs(fdi_task_id)
        run = find(rows)
    return run, rows


@contextmanager
def observed_poll(client: FdiClient) -> Iterator[None]:
    """Tell the client's observer of one poll, and whether it failed."""
    try:
        yield
    except FdiError:
        client.observer.polled(failed=True)
        raise
    client.observer.polled(failed=False)


def take_snapshot(client: FdiClient, wait: Wait) -> Snapshot:
    """Poll the service once for a wait, with one request wherever the log is not unusually long.

    :raises FdiError: a request failed, or the awaited run is missing from the log.
    """
    with observed_poll(client):
        return _read_snapshot(client, wait)


def poll_once(client: FdiClient, wait: Wait) -> tuple[Snapshot, bool]:
    """A snapshot, and whether the wait is over. Errors as of :func:`take_snapshot`."""
    snapshot = take_snapshot(client, wait)
    over = wait.is_over(snapshot)
    run = wait.find(snapshot.runs) if over and wait.required_run is not None else None
    if run is not None:
        # The server's time is cut to whole seconds.
        client.observer.run_noticed(max(0, snapshot.now - completed_time(run)) / 1000)
    return snapshot, over


def _read_snapshot(client: FdiClient, wait: Wait) -> Snapshot:
    task_id, run_id = wait.fdi_task_id, wait.required_run
    if not wait.in_log:
        task, now = task_state(client, task_id)
        if task is None:
            # Not listed is not the same as deleted: ShowTask answers for certain, by a 404.
            client.get_task(task_id)
        return Snapshot(now, task=task)
    if run_id is None:
        rows = client.list_runs(task_id, begin_time=wait.begin_time)
        return Snapshot(server_now(rows.server_time), runs=tuple(rows))
    run, rows = find_in_log(client, task_id, wait.begin_time, wait.find)
    if run is None:
        ids = {"task_id": task_id, "run_id": run_id}
        raise FdiProtocolError(
            "The run is missing from the task's log.",
            hint="The service may have deleted the row; look at the task's log in the console.",
            operation="list_runs",
            ids=ids,
        )
    return Snapshot(server_now(rows.server_time), runs=tuple(rows))


def should_stop_polling(error: FdiError) -> bool:
    """Whether another poll cannot help: wrong settings or credentials, or FDI says there is no such task."""
    if isinstance(error, FdiNotFoundError):
        # A gateway answers 404 for a route that is missing for a moment; FDI's own codes are final.
        return error.said_by_fdi
    return isinstance(error, (FdiArgumentError, FdiAuthError))


@dataclass(slots=True)
class PollFailures:
    """Absorbs failed polls until they have failed for ``timeout`` seconds in a row."""

    timeout: float
    is_final: Callable[[FdiError], bool] = should_stop_polling
    """Which failures end the wait at once."""
    since: float | None = None
    count: int = 0

    def succeeded(self) -> None:
        self.since, self.count = None, 0

    def failed(self, error: FdiError, now: float, interval: float) -> float:
        """Count a failure at ``now`` (s) and return how long to wait before the next poll (s).

        :raises FdiError: the error itself, when it is final or polls have failed for too long.
        """
        self.since = now if self.since is None else self.since
        self.count += 1
        left = self.timeout - (now - self.since)
        if self.is_final(error):
            raise error
        if left <= 0:
            raise error.replace(hint=f"Polls have failed for {self.timeout:g} s in a row. {error.hint}")
        backoff = Backoff(base=max(interval, FAILURE_PAUSE), cap=max(interval, 60.0), jitter=0.5)
        asked = error.retry_after if isinstance(error, FdiThrottledError) else None
        # However long the service asks to wait: the last poll comes when the time is over.
        return min(backoff.delay(self.count, asked), max(left, 0.1))


def poll_until(
    poll: Callable[[], T | None],
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    until: float | None = None,
    poll_first: bool = False,
    is_final: Callable[[FdiError], bool] = should_stop_polling,
    sleep: Callable[[float], None] | None = None,
) -> T | None:
    """Call ``poll`` every ``poll_interval`` seconds until it returns something; failures are absorbed.

    :param until: when to give up and return None (of ``time.monotonic``).
    :param poll_first: poll at once; otherwise the first poll comes after one interval.
    :param is_final: which failures are raised at once.
    :param sleep: sleeps so many seconds; ``time.sleep`` when None.
    :raises FdiError: polls have failed for ``poll_failure_timeout`` seconds, or a failure is final.
    """
    sleep = time.sleep if sleep is None else sleep
    failures = PollFailures(poll_failure_timeout, is_final)
    delay = 0.0 if poll_first else poll_interval
    while True:
        now = time.monotonic()
        if until is not None and now + delay > until:
            sleep(max(0.0, until - now))
            return None
        sleep(delay)
        try:
            found = poll()
        except FdiError as error:
            delay = failures.failed(error, time.monotonic(), poll_interval)
            log.warning("Polling FDI failed, next attempt in %.0f s: %s", delay, error.brief)
            continue
        failures.succeeded()
        if found is not None:
            return found
        delay = poll_interval


def watch(
    client: FdiClient,
    wait: Wait,
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    until: float | None = None,
    poll_first: bool = False,
    sleep: Callable[[float], None] | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
) -> Snapshot | None:
    """Poll until ``wait`` is over; returns the last snapshot. Arguments and errors as of :func:`poll_until`.

    :param on_snapshot: is called with every snapshot, for instance to log the steps of a run.
    """

    def poll() -> Snapshot | None:
        snapshot, over = poll_once(client, wait)
        if on_snapshot is not None:
            on_snapshot(snapshot)
        return snapshot if over else None

    return poll_until(
        poll,
        poll_interval=poll_interval,
        poll_failure_timeout=poll_failure_timeout,
        until=until,
        poll_first=poll_first,
        sleep=sleep,
    )
