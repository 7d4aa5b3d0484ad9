"""One poller for all waits of an event loop on one instance of FDI.

Waits register a future each; the poller asks in whichever way costs fewer requests: the log or state of each
awaited task, or all tasks of the instance, 999 to a page. A page only hints: what a run's end means is told
by its row in the log, which is read once per hint.

HTTP, JSON and the search through pages happen in threads; the event loop is left with what a page hinted at.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    FdiResponseError,
    FdiThrottledError,
)
from airflow_provider_fdi.client.models import ExecuteStatus, TaskMonitor
from airflow_provider_fdi.client.rules import PAGE_SIZE
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.wait import (
    COMPLETED,
    ENDED,
    IN_LOG,
    KINDS,
    LOCATED,
    NEWS,
    VISIBLE,
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

LIVE_WAITS = 5
"""So many waits are looked at one by one even if pages cost less: only a look at its log shows the steps of a
run while it goes on."""
PARALLEL_LOOKS = 10
"""Requests in flight at once."""
LOOK_TIME = 0.02
"""Seconds that each look takes at least: however fast the service, at most 500 are sent in one second, also
when a thousand triggers begin, or a thousand runs end, at the same moment."""
TURN = 100
"""Waits dealt with before the event loop gets its turn."""
DUE_SLACK = 0.1
"""Waits that are due within this part of their interval are looked at in the same round."""
RECOUNT_AFTER = 600.0
"""Seconds after which the number of tasks in the instance is learned anew."""
START_TIME_SLACK_MS = 1_000
"""``last_execute_time`` and the row of the same run may differ by this much."""
LOG_LAG_MS = 600_000
"""For how long after its start a run's row is looked for in the log at every round."""

ALWAYS_LOOKS = frozenset({LOCATED, VISIBLE})
"""Short waits for a row to appear: no state of the task tells whether it has."""

Signature = tuple[ExecuteStatus, int | None]
"""State and start of a task's latest execution, as a page tells them."""

clock = time.monotonic


class Listener(Protocol):
    """Whoever wants to hear of a wait while it lasts."""

    def looked(self, look: Look) -> None:
        """A look succeeded."""

    def failed(self, error: FdiError) -> None:
        """Looks have begun to fail."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A wait, the future it is told by, and what was last seen of its task."""

    wait: Wait
    interval: float
    patience: float
    """Seconds for which looks may fail on end."""
    future: asyncio.Future[Look]
    due: float
    listener: Listener | None = None
    seen: Signature | None = None
    """The state that the log has accounted for."""
    failures: PollFailures | None = None
    """None while looks succeed."""


def signature_of(monitor: TaskMonitor) -> Signature:
    return monitor.execute_status, monitor.last_execute_time


def hints(wait: Wait, monitor: TaskMonitor, seen: Signature | None) -> bool:
    """Whether the task's row in a page is reason to read its log: a terminal state, or another execution.

    ``seen`` is the state that the log has accounted for; the same state again is no reason, except for a run
    whose task is reported over while its own row still says otherwise: that row is late.
    """
    signature = signature_of(monitor)
    over, last = not monitor.execute_status.is_active, monitor.last_execute_time
    if wait.until == ENDED:
        if over or last is None:
            return True
        return last > (wait.since or 0) + START_TIME_SLACK_MS and last != (seen and seen[1])
    if wait.until == COMPLETED and seen is None:
        return over
    if wait.until in (COMPLETED, NEWS):
        # A new execution tells that the one before is over, also where that was never seen in a page.
        return seen is None or last != seen[1] or (over and signature != seen)
    return True


def log_is_late(wait: Wait, look: Look, signature: Signature | None) -> bool:
    """Whether the state told more than the log shows yet: then the same state must lead there again."""
    if signature is None or wait.until not in (COMPLETED, NEWS):
        return False
    status, started = signature
    if verdict.run_in_progress(look.runs) and not status.is_active:
        return True
    if started is None or look.now - started > LOG_LAG_MS:
        return False
    return all(verdict.newest_time(run) < started - START_TIME_SLACK_MS for run in look.runs)


def pages_are_cheaper(waits: Iterable[tuple[Wait, float]], tasks_total: int | None) -> bool:
    """Whether reading all tasks of the instance costs fewer requests than reading each awaited one.

    :param waits: what is waited for, and at which interval (s).
    :param tasks_total: tasks in the instance; None (not known) is settled by reading the first page.
    """
    each = _requests_by_task(waits)
    return each > LIVE_WAITS and (tasks_total is None or math.ceil(tasks_total / PAGE_SIZE) < each)


def _requests_by_task(waits: Iterable[tuple[Wait, float]]) -> float:
    """The requests that looking at each task costs in the time in which the pages are read once."""
    intervals = [interval for wait, interval in waits if wait.until not in ALWAYS_LOOKS]
    shortest = min(intervals, default=0.0)
    return sum(shortest / interval if interval else 1.0 for interval in intervals)


class Poller:
    """Looks for all its waiters until the last has left. Use :func:`shared` to get the one of this loop."""

    def __init__(self, connect: Callable[[], Awaitable[FdiClient]]) -> None:
        self._connect = connect
        self._client: FdiClient | None = None
        self._connecting = asyncio.Lock()
        self._proven = False
        self._waiters: list[Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()
        self._wakes_at = math.inf
        self._threads = ThreadPoolExecutor(PARALLEL_LOOKS, thread_name_prefix="fdi-poll")
        # One and always the same: each thread that has read pages keeps megabytes for the next time.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="fdi-pages")
        self._tasks_total: int | None = None
        self._counted_at = -math.inf
        self._no_pages_before = -math.inf
        self._throttled: FdiError | None = None

    def watch(
        self,
        wait: Wait,
        *,
        poll_interval: float,
        poll_failure_timeout: float,
        listener: Listener | None = None,
        timeout: float | None = None,
    ) -> asyncio.Future[Look]:
        """The look that ends the wait, to be awaited; the first one comes within ``poll_interval`` seconds.

        Whoever no longer wants it cancels it or is cancelled while awaiting it; nothing else is to be undone.

        :raises FdiError: looks have failed for ``poll_failure_timeout`` seconds, or looking is hopeless.
        :raises asyncio.TimeoutError: ``timeout`` seconds are over.
        """
        if wait.until not in KINDS:
            raise ValueError(f"unknown wait: until={wait.until!r}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Look] = loop.create_future()
        if timeout is not None:
            alarm = loop.call_later(max(timeout, 0.0), _fail, future, asyncio.TimeoutError())
            future.add_done_callback(lambda _: alarm.cancel())
        due = clock() + poll_interval
        waiter = Waiter(wait, poll_interval, poll_failure_timeout, future, due, listener)
        self._waiters.append(waiter)
        if waiter.due < self._wakes_at:
            self._sooner.set()
        if self._task is None or self._task.done():
            # An empty context: the poller's log lines belong to no task instance.
            self._task = contextvars.Context().run(loop.create_task, self._poll())
        return future

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """``function(client, *args)``, in one of the poller's threads."""
        return await _in_thread(self._threads, function, await self._connected(), *args)

    @property
    def client(self) -> FdiClient | None:
        """The client in use; None before the first look."""
        return self._client

    def close(self) -> None:
        """End the poller. Nothing is awaited: a trigger that is cancelled must not be held up here, or
        cancelled again, or it could no longer be told whether a user or a shutdown has cancelled it."""
        if self._task is not None:
            self._task.cancel()
        for threads in (self._threads, self._reader):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    # --- when ---------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        error: Exception = RuntimeError("The FDI poller was ended while this was still waited for")
        try:
            # Not only at the first look: a triggerer takes seconds to read its first connection, and a task
            # that is killed before that look does not have them. What fails here fails again at the look.
            with contextlib.suppress(FdiError):
                await self._connected()
            while await self._somebody_is_due():
                await self._round()
                await asyncio.sleep(0)
        except Exception as failure:
            log.exception("The FDI poller ended on an error of its own")
            error = failure
        finally:
            # Nobody may wait for a poller that is gone.
            for waiter in self._waiters:
                _fail(waiter.future, error)

    async def _somebody_is_due(self) -> bool:
        """Sleep until somebody is; False when nobody waits any more."""
        while True:
            self._waiters = [w for w in self._waiters if not w.future.done()]
            if not self._waiters:
                return False
            self._sooner.clear()
            self._wakes_at = min(w.due for w in self._waiters)
            pause = self._wakes_at - clock()
            if pause <= 0:
                return True
            try:
                await asyncio.wait_for(self._sooner.wait(), pause)
            except asyncio.TimeoutError:
                pass

    def _held_until(self) -> float:
        """Until when the service wants fewer requests. All clients of a triggerer share one gate."""
        return 0.0 if self._client is None else self._client.gate.not_before

    # --- which way ----------------------------------------------------------------------------------------

    async def _round(self) -> None:
        """Look once for whoever is due, in the cheaper way."""
        now = clock()
        waiters = list(self._waiters)
        try:
            client = await self._connected()
        except FdiError as error:
            await self._failed([w for w in waiters if _is_due(w, now)], error, None)
            return
        if self._held_until() > now:
            await self._hold([w for w in waiters if _is_due(w, now)], client, now)
            return
        if self._wants_pages(waiters, now):
            try:
                pages = await _in_thread(self._reader, read_pages, client, waiters, self._tasks_total, now)
            except FdiError as error:
                if not _is_refusal(error):
                    await self._failed(waiters, error, client)
                    return
                log.warning("All tasks cannot be listed, so each is looked at by itself: %s", error)
                self._no_pages_before = now + RECOUNT_AFTER
            else:
                self._proven = True
                self._tasks_total, self._counted_at = pages.total, now
                for turn, (waiter, look) in enumerate(pages.told, 1):
                    self._tell(waiter, look, is_over(waiter.wait, look))
                    if turn % TURN == 0:
                        await asyncio.sleep(0)
                await self._look_at_each(client, pages.hinted)
                return
        await self._look_at_each(client, [(w, None) for w in waiters if _is_due(w, now)])

    def _wants_pages(self, waiters: list[Waiter], now: float) -> bool:
        if now < self._no_pages_before:
            return False
        total = self._tasks_total if now - self._counted_at < RECOUNT_AFTER else None
        return pages_are_cheaper([(w.wait, w.interval) for w in waiters], total)

    async def _look_at_each(self, client: FdiClient, looks: list[tuple[Waiter, Signature | None]]) -> None:
        queue = iter(looks)

        async def work() -> None:
            for waiter, signature in queue:
                started = clock()
                if waiter.future.done():
                    continue
                if self._held_until() > started:
                    waiter.due = started
                    continue
                await self._look_at(client, waiter, signature)
                await asyncio.sleep(max(0.0, LOOK_TIME - (clock() - started)))

        await asyncio.gather(*(work() for _ in range(min(PARALLEL_LOOKS, len(looks)))))

    async def _look_at(self, client: FdiClient, waiter: Waiter, signature: Signature | None) -> None:
        waiter.due = clock() + waiter.interval
        try:
            look, over = await _in_thread(self._threads, look_and_judge, client, waiter.wait)
            self._proven = True
            if not log_is_late(waiter.wait, look, signature):
                waiter.seen = signature
            self._tell(waiter, look, over)
        except FdiError as error:
            await self._failed([waiter], error, client)
        except Exception as error:
            _fail(waiter.future, error)

    # --- what becomes of it -------------------------------------------------------------------------------

    def _tell(self, waiter: Waiter, look: Look, over: bool) -> None:
        waiter.failures = None
        if waiter.future.done():
            return
        try:
            if waiter.listener is not None:
                waiter.listener.looked(look)
        except Exception as error:
            # What one wait runs into must not end all the others.
            _fail(waiter.future, error)
            return
        if over:
            waiter.future.set_result(look)

    async def _failed(self, waiters: list[Waiter], error: FdiError, client: FdiClient | None) -> None:
        """Look again later, at the same time for all of them, or give up for those it has lasted too long."""
        now = clock()
        log.warning("Looking at FDI failed: %s", error)
        if isinstance(error, FdiThrottledError):
            self._throttled = error
        pauses = [0.0]
        if isinstance(error, FdiAuthError) and client is not None and self._proven:
            # What has worked before no longer does: the connection may have been changed, so it is read anew,
            # once. Looks that are still under way with the old one tell nothing.
            if client is self._client:
                self._client = None
        else:
            pauses = [p for w in waiters if (p := _pause(w, error, now)) is not None]
        for turn, waiter in enumerate(waiters, 1):
            waiter.due = now + min(pauses, default=0.0)
            if waiter.listener is not None and waiter.failures is not None and waiter.failures.count == 1:
                waiter.listener.failed(error)
            if turn % TURN == 0:
                await asyncio.sleep(0)

    async def _hold(self, waiters: list[Waiter], client: FdiClient, now: float) -> None:
        """The service wants fewer requests: a look that is not made for that counts as one that failed."""
        words = str(self._throttled or "the service asked for fewer requests (429)")
        error = FdiThrottledError(words, operation="poll", status=429)
        error.retry_after = self._held_until() - now
        await self._failed(waiters, error, client)

    async def _connected(self) -> FdiClient:
        async with self._connecting:
            if self._client is None:
                try:
                    client = await self._connect()
                except FdiError:
                    raise
                except Exception as error:
                    # Airflow's own troubles (its database, a secrets backend) pass as FDI's do.
                    words = f"the connection could not be read: {error!r}"
                    raise FdiConnectionError(words, operation="connect", may_have_arrived=False) from error
                self._client, self._proven = client, False
            return self._client


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function, *args)


def _is_due(waiter: Waiter, now: float) -> bool:
    return waiter.due <= now + DUE_SLACK * waiter.interval


def _pause(waiter: Waiter, error: FdiError, now: float) -> float | None:
    """Seconds until the next look; None if the wait has failed."""
    waiter.failures = waiter.failures or PollFailures(waiter.patience)
    try:
        return waiter.failures.failed(error, now, waiter.interval)
    except FdiError:
        _fail(waiter.future, error)
        return None


def _fail(future: asyncio.Future[Look], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _is_refusal(error: FdiError) -> bool:
    """Whether the service does not give out its pages (no permission, no such route), rather than not now."""
    if isinstance(error, FdiResponseError):
        return error.status is not None and 400 <= error.status < 500 and error.status not in (401, 408, 429)
    return isinstance(error, FdiProtocolError)


# --- in a thread ------------------------------------------------------------------------------------------


def look_and_judge(client: FdiClient, wait: Wait) -> tuple[Look, bool]:
    look = look_at(client, wait)
    return look, is_over(wait, look)


@dataclass(frozen=True, slots=True)
class Pages:
    """What the pages told of the awaited tasks; nothing is kept of the others."""

    total: int
    told: list[tuple[Waiter, Look]] = field(default_factory=list)
    """Waits that the state of the task decides."""
    hinted: list[tuple[Waiter, Signature | None]] = field(default_factory=list)
    """Waits whose log must be read."""


def read_pages(client: FdiClient, waiters: list[Waiter], total: int | None, now: float) -> Pages:
    """Read all pages; only the first where it turns out that they cost more than reading each task.

    :param now: when the round began (of ``clock``); whoever is found in a page is due one interval later.
    """
    # Nearly always one wait for a task: ten thousand lists of one would be a megabyte.
    awaited: dict[str, tuple[Waiter, ...]] = {}
    for waiter in waiters:
        awaited[waiter.wait.fdi_task_id] = (*awaited.get(waiter.wait.fdi_task_id, ()), waiter)
    worth = _requests_by_task((w.wait, w.interval) for w in waiters)
    told: list[tuple[Waiter, Look]] = []
    hinted: list[tuple[Waiter, Signature | None]] = []
    rows = 0
    for page in client.task_monitor_pages():
        server_time = server_now(page.server_time)
        for monitor in page:
            for waiter in awaited.pop(monitor.task_id, ()):
                waiter.due = now + waiter.interval
                if waiter.wait.until not in IN_LOG:
                    told.append((waiter, Look(server_time, task=monitor)))
                elif hints(waiter.wait, monitor, waiter.seen):
                    hinted.append((waiter, signature_of(monitor)))
                else:
                    waiter.failures = None
                    if waiter.wait.until == COMPLETED:
                        waiter.seen = waiter.seen or signature_of(monitor)
        rows += len(page)
        total = page.total if page.total is not None else max(total or 0, rows)
        del page  # before the next one comes
        if not awaited or math.ceil(total / PAGE_SIZE) >= worth:
            break
    # Whoever started first has probably waited longest.
    hinted.sort(key=lambda pair: (pair[1] and pair[1][1]) or 0)
    # Unknown, not over: the pages may be too many, or a task slips from one to another while they are read.
    hinted += [(w, None) for ws in awaited.values() for w in ws if _is_due(w, now)]
    return Pages(total or rows, told, hinted)


# --- one poller for each event loop and instance ----------------------------------------------------------


@dataclass(slots=True)
class _Share:
    key: Hashable
    poller: Poller
    members: int = 0


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Share]] = WeakKeyDictionary()


class shared:
    """The poller of this event loop for ``key``; it ends when its last user leaves.

    :param key: whatever ``connect`` depends on: connection, project, instance.
    """

    __slots__ = ("_arguments", "_share")

    def __init__(self, key: Hashable, connect: Callable[[], Awaitable[FdiClient]]) -> None:
        self._arguments: Any = key, connect

    async def __aenter__(self) -> Poller:
        shares = _shares.setdefault(asyncio.get_running_loop(), {})
        (key, connect), self._arguments = self._arguments, None  # not kept by each of thousands
        self._share = shares.get(key) or shares.setdefault(key, _Share(key, Poller(connect)))
        self._share.members += 1
        return self._share.poller

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        share = self._share
        share.members -= 1
        if share.members == 0:
            shares = _shares.get(asyncio.get_running_loop(), {})
            if shares.get(share.key) is share:
                del shares[share.key]
            share.poller.close()
