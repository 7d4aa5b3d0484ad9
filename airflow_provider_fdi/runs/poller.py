"""One poller for all waits of an event loop on one instance of FDI.

Waits register a future each; the poller asks in whichever way costs fewer requests: the log or state of each
awaited task, or all tasks of the instance, 999 to a page. A page only hints: what a run's end means is told
by its row in the log, which is read once per hint.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_fdi.client.errors import FdiAuthError, FdiError, FdiThrottledError
from airflow_provider_fdi.client.models import ExecuteStatus, TaskMonitor
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.wait import (
    COMPLETED,
    ENDED,
    IN_LOG,
    Look,
    PollFailures,
    Wait,
    is_over,
    look_at,
    server_now,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_SIZE = 999
PARALLEL_LOOKS = 8
"""Requests in flight at once. With 20 ms latency, 1,000 runs that end in one interval are told within 3 s."""
TURN = 200
"""Waits considered before the event loop gets its turn."""
DUE_SLACK = 0.1
"""Waits that are due within this part of their interval are looked at in the same round."""
RECOUNT_AFTER = 600.0
"""Seconds after which the number of tasks in the instance is learned anew."""
START_TIME_SLACK_MS = 1_000
"""``last_execute_time`` and the row of the same run may differ by this much."""

Signature = tuple[ExecuteStatus | None, int | None]


@dataclass(slots=True, eq=False)
class Waiter:
    """A wait, the future it is told by, and what was last seen of its task."""

    wait: Wait
    interval: float
    failures: PollFailures
    future: asyncio.Future[Look]
    due: float
    on_look: Callable[[Look], None] | None = None
    seen: Signature | None = None


def hints(wait: Wait, monitor: TaskMonitor, seen: Signature | None) -> bool:
    """Whether the task's row in a page is reason to read its log: a terminal state, or another execution.

    ``seen`` is the state at which the log was last read without result; the same state again is no reason,
        except
    for a run whose task is reported over while its own row still says otherwise: that row is late.
    """
    signature = (monitor.execute_status, monitor.last_execute_time)
    over = monitor.execute_status is None or not monitor.execute_status.is_active
    if wait.until == COMPLETED:
        return signature != seen and over
    if wait.until == ENDED:
        if over:
            return True
        last = monitor.last_execute_time
        return last is not None and last != (seen[1] if seen else None) and last > _started_by(wait)
    return signature != seen or over


def _started_by(wait: Wait) -> int:
    return (wait.since or 0) + START_TIME_SLACK_MS


class Poller:
    """Looks for all its waiters until the last has left. Use :func:`shared` to get the one of this loop."""

    def __init__(self, connect: Callable[[], Awaitable[FdiClient]]) -> None:
        self._connect = connect
        self._client: FdiClient | None = None
        self._waiters: set[Waiter] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(PARALLEL_LOOKS, thread_name_prefix="fdi-poll")
        self._in_flight = asyncio.Semaphore(PARALLEL_LOOKS)
        self._tasks_total: int | None = None
        self._counted_at = -math.inf
        self._not_before = 0.0
        self._proven = False

    async def watch(
        self,
        wait: Wait,
        *,
        poll_interval: float,
        poll_failure_timeout: float,
        on_look: Callable[[Look], None] | None = None,
        timeout: float | None = None,
    ) -> Look:
        """Return the look that ended the wait; the first one comes after ``poll_interval`` seconds at the
        latest.

        :raises FdiError: looks have failed for ``poll_failure_timeout`` seconds, or looking is hopeless.
        :raises asyncio.TimeoutError: ``timeout`` seconds are over.
        """
        loop = asyncio.get_running_loop()
        waiter = Waiter(
            wait,
            poll_interval,
            PollFailures(poll_failure_timeout),
            loop.create_future(),
            loop.time() + poll_interval,
            on_look,
        )
        self._waiters.add(waiter)
        self._changed.set()
        if self._task is None or self._task.done():
            # An empty context: the poller's log lines belong to no task instance.
            self._task = contextvars.Context().run(loop.create_task, self._poll())
        alarm = None if timeout is None else loop.call_later(max(timeout, 0.0), _expire, waiter.future)
        try:
            return await waiter.future
        finally:
            if alarm is not None:
                alarm.cancel()
            self._waiters.discard(waiter)
            self._changed.set()

    @property
    def client(self) -> FdiClient | None:
        """The client in use; None before the first look."""
        return self._client

    async def close(self) -> None:
        """End the poller; waiters that are left are cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._threads.shutdown(wait=False)

    async def _poll(self) -> None:
        error: BaseException = asyncio.CancelledError()
        try:
            while self._waiters:
                await self._sleep_until_due()
                await self._round()
        except Exception as exc:
            log.exception("The FDI poller ended on an error of its own")
            error = exc
            raise
        finally:
            # Nobody may wait for a poller that is gone.
            for waiter in list(self._waiters):
                if not waiter.future.done():
                    waiter.future.set_exception(error)

    async def _sleep_until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiters:
            self._changed.clear()
            pause = max(min(w.due for w in self._waiters), self._not_before) - loop.time()
            if pause <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except asyncio.TimeoutError:
                return

    async def _round(self) -> None:
        """Look once for whoever is due, in the cheaper way."""
        waiters = [w for w in self._waiters if not w.future.done()]
        if not waiters:
            return
        try:
            if self._pages_are_cheaper(waiters):
                await self._look_at_all(waiters)
                return
        except FdiError as error:
            self._failed(waiters, error)
            return
        now = asyncio.get_running_loop().time()
        due = [w for w in waiters if w.due <= now + DUE_SLACK * w.interval]
        await asyncio.gather(*(self._look_at(w) for w in due))

    # --- which way ----------------------------------------------------------------------------------------

    def _pages_are_cheaper(self, waiters: list[Waiter]) -> bool:
        shortest = min(w.interval for w in waiters)
        # What looking at each task would cost in the time in which the pages are read once.
        each = sum(shortest / w.interval if w.interval else 1.0 for w in waiters)
        if each <= 1:
            return False
        if self._tasks_total is None or time.monotonic() - self._counted_at > RECOUNT_AFTER:
            return True  # the first page tells how many tasks there are
        return math.ceil(self._tasks_total / PAGE_SIZE) < each

    # --- all tasks, page by page --------------------------------------------------------------------------

    async def _look_at_all(self, waiters: list[Waiter]) -> None:
        wanted = frozenset(w.wait.fdi_task_id for w in waiters)
        pages = await self._in_thread(_read_pages, wanted, self._tasks_total, len(waiters))
        self._proven = True
        self._tasks_total, self._counted_at = pages.total, time.monotonic()
        loop = asyncio.get_running_loop()
        hinted: list[tuple[Waiter, Signature | None]] = []
        for turn, waiter in enumerate(waiters, 1):
            if turn % TURN == 0:
                await asyncio.sleep(0)
            monitor = pages.monitors.get(waiter.wait.fdi_task_id)
            if monitor is None:
                # Unknown, not over: pages may be too many to read, and a task may slip from one to another.
                if waiter.due <= loop.time() + DUE_SLACK * waiter.interval:
                    hinted.append((waiter, None))
                continue
            waiter.due = loop.time() + waiter.interval
            if waiter.wait.until not in IN_LOG:
                self._tell(waiter, Look(pages.now, task=monitor))
            elif hints(waiter.wait, monitor, waiter.seen) or pages.now >= (waiter.wait.deadline or math.inf):
                hinted.append((waiter, (monitor.execute_status, monitor.last_execute_time)))
            else:
                waiter.failures.succeeded()
        # Whoever started first has probably waited longest.
        hinted.sort(key=lambda pair: (pair[1][1] or 0) if pair[1] else 0)
        await asyncio.gather(*(self._look_at(waiter, signature) for waiter, signature in hinted))

    # --- each awaited task --------------------------------------------------------------------------------

    async def _look_at(self, waiter: Waiter, signature: Signature | None = None) -> None:
        async with self._in_flight:
            if waiter.future.done():
                return
            try:
                look = await self._in_thread(look_at, waiter.wait)
            except FdiError as error:
                self._failed([waiter], error)
                return
        self._proven = True
        waiter.due = asyncio.get_running_loop().time() + waiter.interval
        # A row that is still active under a terminal state is late: the same state must lead here again.
        waiter.seen = (
            None if verdict.run_in_progress(look.runs) and waiter.wait.until == COMPLETED else signature
        )
        self._tell(waiter, look)

    def _tell(self, waiter: Waiter, look: Look) -> None:
        waiter.failures.succeeded()
        if waiter.future.done():
            return
        if waiter.on_look is not None:
            waiter.on_look(look)
        if is_over(waiter.wait, look):
            waiter.future.set_result(look)

    def _failed(self, waiters: Iterable[Waiter], error: FdiError) -> None:
        now = asyncio.get_running_loop().time()
        log.warning("Looking at FDI failed: %s", error)
        if isinstance(error, FdiThrottledError):
            self._not_before = max(self._not_before, now + (error.retry_after or 1.0))
        renew = isinstance(error, FdiAuthError) and self._proven
        if renew:
            # What has worked before no longer does: the connection may have been changed, so read it anew,
            # once.
            self._client, self._proven = None, False
        for waiter in waiters:
            if waiter.future.done():
                continue
            if renew:
                waiter.due = now
                continue
            try:
                waiter.due = now + waiter.failures.failed(error, now, waiter.interval)
            except FdiError:
                waiter.future.set_exception(error)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        if self._client is None:
            self._client = await self._connect()
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, self._client, *args)


def _expire(future: asyncio.Future[Look]) -> None:
    if not future.done():
        future.set_exception(asyncio.TimeoutError())


@dataclass(frozen=True, slots=True)
class Pages:
    """The rows of the awaited tasks, of as many pages as were worth reading."""

    monitors: dict[str, TaskMonitor]
    total: int
    now: int


def _read_pages(client: FdiClient, wanted: frozenset[str], total: int | None, waiting: int) -> Pages:
    """Read all pages; only the first where the number of tasks is unknown and turns out to cost more."""
    monitors: dict[str, TaskMonitor] = {}
    now: int | None = None
    seen = 0
    for page in client.task_monitor_pages():
        now = now if now is not None else server_now(page.server_time)
        monitors.update((m.task_id, m) for m in page if m.task_id in wanted)
        seen += len(page)
        total = page.total if page.total is not None else max(total or 0, seen)
        if len(monitors) == len(wanted) or math.ceil(total / PAGE_SIZE) >= waiting:
            break
    return Pages(monitors, total or seen, server_now(now))


# --- one poller for each event loop and instance ----------------------------------------------------------


@dataclass(slots=True)
class _Share:
    poller: Poller
    members: int = 0


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Share]] = WeakKeyDictionary()


@asynccontextmanager
async def shared(key: Hashable, connect: Callable[[], Awaitable[FdiClient]]) -> AsyncIterator[Poller]:
    """The poller of this event loop for ``key``; it ends when its last user leaves.

    :param key: whatever ``connect`` depends on: connection, project, instance.
    """
    shares = _shares.setdefault(asyncio.get_running_loop(), {})
    share = shares.setdefault(key, _Share(Poller(connect)))
    share.members += 1
    try:
        yield share.poller
    finally:
        share.members -= 1
        if share.members == 0:
            if shares.get(key) is share:
                del shares[key]
            await share.poller.close()
