"""What can be waited for in FDI, whether it is over, and the synchronous wait.

A :class:`Wait` is plain data, small enough for a trigger's arguments. Whether it is over is one pure
decision, :func:`is_over`; where the look came from (a worker, the poller of a triggerer) does not matter.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiError,
    FdiInvalidRequestError,
    FdiNotFoundError,
    FdiPermissionError,
    FdiProtocolError,
    FdiThrottledError,
    describe,
)
from airflow_provider_fdi.client.models import ExecuteStatus, Listing, Run, Task, TaskMonitor
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.record import RunRecord

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOKBACK_MS = 3_600_000
"""How much earlier than the awaited time the log is read: which of a row's times ``begin_time`` filters is
not documented, and a run may have been queued for a while."""

COMPLETED_LOOKBACK_MS = 24 * LOOKBACK_MS
"""How much earlier runs are looked for that are known only by when they ended."""

LOCATED = "located"
ENDED = "ended"
VISIBLE = "visible"
IDLE = "idle"
COMPLETED = "completed"
NEWS = "news"
HEALTHY = "healthy"
ACTIVATED = "activated"
QUIET = "quiet"

IN_LOG = frozenset({LOCATED, ENDED, VISIBLE, COMPLETED, NEWS, QUIET})
"""What the run log decides; the other waits are decided by the state of the task."""

KINDS = IN_LOG | {IDLE, HEALTHY, ACTIVATED}


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing to wait for. Times are the server's, in ms since the epoch.

    ``located``    our run appears in the log, or ``deadline`` passes
    ``ended``      the run ``run_id`` is over
    ``visible``    a run in progress appears in the log, or ``deadline`` passes
    ``idle``       the task is executing no run, by its state
    ``quiet``      the same by its log
    ``completed``  a run ended at or after ``completed_after`` in one of ``statuses``
    ``news``       a run that is not in ``baseline`` ended at or after ``completed_after``, in whatever state
    ``healthy``    a task that never ends is started and executing, or failed
    ``activated``  the task is started (``statuses`` holds ``RUNNING``) or stopped (``STOPPED``)
    """

    fdi_task_id: str
    until: str
    run_id: str | None = None
    since: int | None = None
    """The time around which the awaited run started; None: unknown. For ``completed``: when the execution
    started that was the latest when the wait began, if that is long ago."""
    baseline: tuple[str, ...] = ()
    deadline: int | None = None
    completed_after: int | None = None
    statuses: tuple[str, ...] = ()

    def to_args(self) -> dict[str, Any]:
        """As trigger arguments: JSON types only, defaults left out."""
        args = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in args.items() if v not in (None, [])}

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> Wait:
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in args.items()}
        return cls(**{k: v for k, v in values.items() if k in known})

    @property
    def begin_time(self) -> int | None:
        """From when on the log must be read for this wait."""
        begin = None if self.since is None else self.since - LOOKBACK_MS
        if self.until == COMPLETED:
            if self.completed_after is None:
                return None
            usual = self.completed_after - COMPLETED_LOOKBACK_MS
            begin = usual if begin is None else min(usual, begin)
        # The service knows no time before 1970.
        return None if begin is None else max(begin, 1)


def for_our_run(record: RunRecord) -> Wait:
    return Wait(
        record.fdi_task_id,
        LOCATED,
        since=record.intent_time,
        baseline=record.baseline,
        deadline=record.deadline,
    )


def for_end_of(record: RunRecord) -> Wait:
    return Wait(record.fdi_task_id, ENDED, run_id=record.run_id, since=record.run_time)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the service showed: the rows of the log, or the state of the task."""

    now: int
    """The server's time, in ms."""
    runs: tuple[Run, ...] = ()
    task: Task | TaskMonitor | None = None


def is_over(wait: Wait, look: Look) -> bool:
    """Whether what is waited for has come about, or can be waited for no longer."""
    if wait.until == LOCATED:
        seen = verdict.locate(
            look.runs,
            baseline=wait.baseline,
            intent_time=wait.since or 0,
            deadline=wait.deadline or 0,
            now=look.now,
        )
        return seen.sighting is not verdict.Sighting.NOT_YET
    if wait.until == ENDED:
        run = verdict.find_run(look.runs, wait.run_id or "")
        return run is not None and verdict.outcome(run) is not verdict.Outcome.GOING_ON
    if wait.until == QUIET:
        return verdict.run_in_progress(look.runs) is None
    if wait.until == VISIBLE:
        return verdict.run_in_progress(look.runs) is not None or look.now >= (wait.deadline or 0)
    if wait.until == COMPLETED:
        return completed_run(wait, look) is not None
    if wait.until == NEWS:
        return bool(verdict.news(look.runs, wait.baseline, wait.completed_after or 0))
    if look.task is None:
        return False
    if wait.until == IDLE:
        return not verdict.is_executing(look.task)
    if wait.until == HEALTHY:
        return verdict.health(look.task, wait.statuses) is not verdict.Health.NOT_YET
    if wait.until == ACTIVATED:
        return look.task.status.value in wait.statuses
    raise ValueError(f"unknown wait: until={wait.until!r}")


def completed_run(wait: Wait, look: Look) -> Run | None:
    """The run that satisfies a ``completed`` wait, or None."""
    return verdict.latest_completed(
        look.runs,
        wait.completed_after,
        lambda run: run.execute_status.value in wait.statuses or run.execute_status is ExecuteStatus.UNKNOWN,
    )


# --- looking ----------------------------------------------------------------------------------------------


def now_ms() -> int:
    return int(time.time() * 1000)


def server_now(server_time: int | None) -> int:
    """The server's time as it told it; this machine's where an answer had no ``Date`` header."""
    return server_time if server_time is not None else now_ms()


def task_state(client: FdiClient, fdi_task_id: str) -> tuple[Task | None, int]:
    """The task's row of ListTasks (None: not listed) and the server's time in ms.

    The cheapest call that tells both whether a task is started and what its last execution is doing.
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


def look_at(client: FdiClient, wait: Wait) -> Look:
    """One look at the service, with one request wherever the log is not unusually long.

    :raises FdiError: the look failed, or the awaited run is missing from the log.
    """
    if wait.until not in IN_LOG:
        task, now = task_state(client, wait.fdi_task_id)
        if task is None:
            # Not listed is not the same as deleted: ShowTask tells for certain, by a 404.
            client.get_task(wait.fdi_task_id)
        return Look(now, task=task)
    if wait.until != ENDED:
        rows = client.list_runs(wait.fdi_task_id, begin_time=wait.begin_time)
    else:
        run_id = wait.run_id or ""
        run, rows = find_in_log(
            client, wait.fdi_task_id, wait.begin_time, lambda rows: verdict.find_run(rows, run_id)
        )
        if run is None:
            ids = {"task_id": wait.fdi_task_id, "run_id": run_id}
            words = f"{describe('list_runs', ids)}: the run is missing from the task's log"
            raise FdiProtocolError(words, operation="list_runs", ids=ids)
    return Look(server_now(rows.server_time), runs=tuple(rows))


def is_hopeless(error: FdiError) -> bool:
    """Whether looking again cannot help: wrong settings or credentials, or FDI says there is no such task."""
    if isinstance(error, FdiNotFoundError):
        # A gateway answers 404 for a route that is missing for a moment; FDI's own codes are final.
        return error.said_by_fdi
    if isinstance(error, FdiInvalidRequestError):
        return error.status is None
    return isinstance(error, FdiAuthError)


def is_refused_read(error: FdiError) -> bool:
    """Whether reading before anything was started cannot help: also what was refused or not permitted."""
    return isinstance(error, (FdiAuthError, FdiInvalidRequestError, FdiNotFoundError, FdiPermissionError))


@dataclass(slots=True)
class PollFailures:
    """Absorbs failed looks until they have failed for ``timeout`` seconds on end."""

    timeout: float
    is_final: Callable[[FdiError], bool] = is_hopeless
    """Which failures end the wait at once."""
    since: float | None = None
    count: int = 0

    def succeeded(self) -> None:
        self.since, self.count = None, 0

    def failed(self, error: FdiError, now: float, interval: float) -> float:
        """Note a failure at ``now`` (s); how long to wait before the next look (s).

        :raises FdiError: the error itself, when it is final or the looks have failed for too long.
        """
        self.since = now if self.since is None else self.since
        self.count += 1
        if self.is_final(error) or now - self.since >= self.timeout:
            raise error
        wait = min(max(interval, 1.0) * 2.0 ** min(self.count - 1, 5), max(interval, 60.0))
        asked = error.retry_after if isinstance(error, FdiThrottledError) and error.retry_after else 0.0
        left = self.timeout - (now - self.since)
        # However long the service asks to wait: the last look comes when the time is over.
        return min(max(asked, wait * random.uniform(0.5, 1.0)), max(left, 0.1))


def look_until(
    look: Callable[[], T | None],
    *,
    poll_interval: float,
    poll_failure_timeout: float,
    until: float | None = None,
    look_first: bool = False,
    is_final: Callable[[FdiError], bool] = is_hopeless,
    sleep: Callable[[float], None] | None = None,
) -> T | None:
    """``look`` every ``poll_interval`` seconds until it returns something; looks that fail are absorbed.

    :param until: when to give up and return None (of ``time.monotonic``).
    :param look_first: look at once; otherwise the first look comes after one interval.
    :param is_final: which failures are raised at once.
    :param sleep: sleeps so many seconds; ``time.sleep`` when None.
    :raises FdiError: looks have failed for ``poll_failure_timeout`` seconds, or a failure is final.
    """
    sleep = time.sleep if sleep is None else sleep
    failures = PollFailures(poll_failure_timeout, is_final)
    delay = 0.0 if look_first else poll_interval
    while True:
        now = time.monotonic()
        if until is not None and now + delay > until:
            sleep(max(0.0, until - now))
            return None
        sleep(delay)
        try:
            found = look()
        except FdiError as error:
            delay = failures.failed(error, time.monotonic(), poll_interval)
            log.warning("Looking at FDI failed, next look in %.0f s: %s", delay, error)
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
    look_first: bool = False,
    sleep: Callable[[float], None] | None = None,
    on_look: Callable[[Look], None] | None = None,
) -> Look | None:
    """The look that ends the wait; the arguments and errors of :func:`look_until`.

    :param on_look: told of every look, for instance to log the steps of a run.
    """

    def look() -> Look | None:
        seen = look_at(client, wait)
        if on_look is not None:
            on_look(seen)
        return seen if is_over(wait, seen) else None

    return look_until(
        look,
        poll_interval=poll_interval,
        poll_failure_timeout=poll_failure_timeout,
        until=until,
        look_first=look_first,
        sleep=sleep,
    )
