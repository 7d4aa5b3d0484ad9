"""One poller for all waits of an event loop on one instance of FDI.

Each wait registers a future. The poller asks in whichever way costs fewer requests: the log or state of each
awaited task, or all tasks of the instance, 999 to a page. A page only hints that a run may be over: the run's
row in the log, read once per hint, says how it ended.

HTTP, JSON and the search through pages happen in threads, which change nothing: they return what they found,
and only the event loop changes waiters.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    FdiResponseError,
    FdiThrottledError,
    clean_text,
)
from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.runs.polling import PollFailures, observed_poll, poll_once, server_now
from airflow_provider_fdi.runs.waits import Signature, Snapshot, Wait, signature_of

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import TaskMonitor

log = logging.getLogger(__name__)

T = TypeVar("T")

FEW_WAITS = 5
"""So many waits are polled one by one even if pages cost less: only the log of its task shows the steps of a
run while it goes on."""
PARALLEL_POLLS = 10
"""Requests in flight at once."""
MIN_POLL_TIME = 0.02
"""Seconds that each poll takes at least: however fast the service, at most 500 are sent in one second, even
when a thousand triggers begin, or a thousand runs end, at the same moment."""
WAITERS_PER_TURN = 100
"""Waiters handled before other tasks of the event loop get their turn."""
DUE_SLACK = 0.1
"""Waits that are due within this part of their interval are polled in the same round."""
RECOUNT_AFTER = 600.0
"""Seconds after which the number of tasks in the instance is read again."""

clock = time.monotonic


class Listener(Protocol):
    """Is called while a wait lasts."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """A poll succeeded."""

    def on_failure(self, error: FdiError) -> None:
        """Polls have begun to fail."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A wait, the future that reports its end, and what is known of its task."""

    wait: Wait
    interval: float
    failure_timeout: float
    """Seconds for which polls may fail in a row."""
    future: asyncio.Future[Snapshot]
    due: float
    listener: Listener | None = None
    accounted_for: Signature | None = None
    """The state of the task that its log has accounted for."""
    failures: PollFailures | None = None
    """None while polls succeed."""


def pages_are_cheaper(waits: Iterable[tuple[Wait, float]], tasks_total: int | None) -> bool:
    """Whether reading all tasks of the instance costs fewer requests than reading each awaited one.

    :param waits: what is waited for, and at which interval (s).
    :param tasks_total: tasks in the instance; None: not known, the first page will show it.
    """
    each = _requests_by_task(waits)
    return each > FEW_WAITS and (tasks_total is None or math.ceil(tasks_total / PAGE_SIZE) < each)


def _requests_by_task(waits: Iterable[tuple[Wait, float]]) -> float:
    """The requests that polling each task costs in the time in which the pages are read once."""
    intervals = [interval for wait, interval in waits if wait.hinted_by_pages]
    shortest = min(intervals, default=0.0)
    return sum(shortest / interval if interval else 1.0 for interval in intervals)


# --- what a page of tasks means for the waits ---------------------------------------------------------------


class Awaited(NamedTuple):
    """What the reader of pages needs to know of one waiter."""

    wait: Wait
    accounted_for: Signature | None


@dataclass(frozen=True, slots=True)
class PageDecisions:
    """What follows from pages of tasks. Waits are named by their index."""

    decided: list[tuple[int, Snapshot]] = field(default_factory=list)
    """Waits that the state of the task decides: whether they are over follows from the snapshot."""
    hinted: list[tuple[int, Signature | None]] = field(default_factory=list)
    """Waits whose log must be read, and the state that is the reason."""
    unchanged: list[tuple[int, Signature]] = field(default_factory=list)
    """Waits that go on, and the state of their task."""


def decide(
    page: Iterable[TaskMonitor],
    server_time: int,
    awaited: Sequence[Awaited],
    of_task: Mapping[str, Sequence[int]],
) -> PageDecisions:
    """What a page means for each wait whose task it lists. Pure: nothing is read or changed.

    :param of_task: the indexes of the waits for each task.
    """
    decisions = PageDecisions()
    for monitor in page:
        for index in of_task.get(monitor.task_id, ()):
            wait, accounted_for = awaited[index]
            if not wait.in_log:
                decisions.decided.append((index, Snapshot(server_time, task=monitor)))
            elif wait.hinted_by(monitor, accounted_for):
                decisions.hinted.append((index, signature_of(monitor)))
            else:
                decisions.unchanged.append((index, signature_of(monitor)))
    return decisions


@dataclass(frozen=True, slots=True)
class Pages:
    """What all pages that were read mean for the waits; nothing is kept of other tasks."""

    total: int
    """Tasks in the instance."""
    decisions: PageDecisions
    not_listed: list[int]
    """Waits for tasks that no page listed: the pages may be too many to read, or a task has moved from one
    page to another meanwhile."""


def read_pages(client: FdiClient, awaited: Sequence[Awaited], total: int | None, worth: float) -> Pages:
    """Read all pages of tasks; only the first where it shows that they cost more than reading each task.

    :param total: tasks in the instance, if known.
    :param worth: the requests that polling each task would cost.
    """
    # Nearly always one wait for a task: ten thousand lists of one would be a megabyte.
    of_task: dict[str, tuple[int, ...]] = {}
    for index, (wait, _) in enumerate(awaited):
        of_task[wait.fdi_task_id] = (*of_task.get(wait.fdi_task_id, ()), index)
    all_decisions = PageDecisions()
    rows = 0
    with observed_poll(client):
        for page in client.task_monitor_pages():
            decisions = decide(page, server_now(page.server_time), awaited, of_task)
            all_decisions.decided.extend(decisions.decided)
            all_decisions.hinted.extend(decisions.hinted)
            all_decisions.unchanged.extend(decisions.unchanged)
            for monitor in page:
                of_task.pop(monitor.task_id, None)
            rows += len(page)
            total = page.total if page.total is not None else max(total or 0, rows)
            del page  # before the next one comes
            if not of_task or math.ceil(total / PAGE_SIZE) >= worth:
                break
    # The run that started first has probably waited longest.
    all_decisions.hinted.sort(key=lambda pair: (pair[1] and pair[1][1]) or 0)
    return Pages(total or rows, all_decisions, [index for indexes in of_task.values() for index in indexes])


# --- the poller ---------------------------------------------------------------------------------------------


class Poller:
    """Polls for all its waiters until the last has left. :class:`SharedPoller` returns that of this loop."""

    def __init__(self, connect: Callable[[], Awaitable[FdiClient]]) -> None:
        self._connect = connect
        self._client: FdiClient | None = None
        self._connecting = asyncio.Lock()
        self._proven = False
        self._waiters: list[Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()
        self._wakes_at = math.inf
        self._threads = ThreadPoolExecutor(PARALLEL_POLLS, thread_name_prefix="fdi-poll")
        # One and always the same: each thread that has read pages keeps megabytes for the next time.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="fdi-pages")
        self._tasks_total: int | None = None
        self._counted_at = -math.inf
        self._no_pages_before = -math.inf
        self._throttled: FdiThrottledError | None = None

    def watch(
        self,
        wait: Wait,
        *,
        poll_interval: float,
        poll_failure_timeout: float,
        listener: Listener | None = None,
        timeout: float | None = None,
    ) -> asyncio.Future[Snapshot]:
        """Begin to wait: the future of the last snapshot. The first poll comes within ``poll_interval`` s.

        To give up, cancel the future, or be cancelled while awaiting it; nothing else needs to be undone.

        :raises FdiError: polls have failed for ``poll_failure_timeout`` seconds, or polling cannot help.
        :raises asyncio.TimeoutError: ``timeout`` seconds are over.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Snapshot] = loop.create_future()
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
        """The client in use; None before the first poll."""
        return self._client

    def close(self) -> None:
        """End the poller. Nothing is awaited: a trigger that is cancelled must not be held up here, or
        cancelled again, or it could no longer be reported whether a user or a shutdown has cancelled it."""
        if self._task is not None:
            self._task.cancel()
        for threads in (self._threads, self._reader):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.observer.waiting(self._client.instance_id, 0)
            self._client.close()

    # --- when to poll -------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        error: Exception = RuntimeError("The FDI poller was ended while this was still waited for")
        try:
            # Before the first poll is due: a triggerer takes seconds to read its first connection, and when a
            # task is killed before that poll, there is no time for it. An error here recurs at the poll.
            with contextlib.suppress(FdiError):
                await self._connected()
            while await self._sleep_until_due():
                await self._round()
                await asyncio.sleep(0)
        except Exception as failure:
            log.exception("The FDI poller ended on an error of its own")
            error = failure
        finally:
            # No future may be left pending once the poller is gone.
            for waiter in self._waiters:
                _fail(waiter.future, error)

    async def _sleep_until_due(self) -> bool:
        """Sleep until a waiter is due; False when there is none any more."""
        while True:
            self._waiters = [w for w in self._waiters if not w.future.done()]
            if self._client is not None:
                self._client.observer.waiting(self._client.instance_id, len(self._waiters))
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
        """Until when this client sends nothing, because the service asked for fewer requests."""
        return 0.0 if self._client is None else self._client.gate.not_before

    # --- how to poll --------------------------------------------------------------------------------------

    async def _round(self) -> None:
        """Poll once for all waiters that are due, in the cheaper way."""
        now = clock()
        waiters = list(self._waiters)
        try:
            client = await self._connected()
        except FdiError as error:
            await self._failed([w for w in waiters if _is_due(w, now)], error, None)
            return
        if self._held_until() > now:
            await self._hold([w for w in waiters if _is_due(w, now)], client, now)
        elif not self._wants_pages(waiters, now) or not await self._poll_pages(client, waiters, now):
            await self._poll_each(client, [(w, None) for w in waiters if _is_due(w, now)])

    async def _poll_pages(self, client: FdiClient, waiters: list[Waiter], now: float) -> bool:
        """Poll for all waiters by pages; False if the service does not let us read them."""
        awaited = [Awaited(w.wait, w.accounted_for) for w in waiters]
        worth = _requests_by_task((w.wait, w.interval) for w in waiters)
        try:
            pages = await _in_thread(self._reader, read_pages, client, awaited, self._tasks_total, worth)
        except FdiError as error:
            if not _is_refusal(error):
                await self._failed(waiters, error, client)
                return True
            log.warning("All tasks cannot be listed, so each is polled by itself: %s", error.brief)
            self._no_pages_before = now + RECOUNT_AFTER
            return False
        self._proven = True
        self._tasks_total, self._counted_at = pages.total, now
        hinted = await self._apply(pages, waiters, now)
        del awaited, pages
        await self._poll_each(client, hinted)
        return True

    async def _apply(
        self, pages: Pages, waiters: list[Waiter], now: float
    ) -> list[tuple[Waiter, Signature | None]]:
        """Change the waiters as the pages decided; those whose log must be read are returned."""
        decisions = pages.decisions
        for turn, (index, signature) in enumerate(decisions.unchanged, 1):
            waiter = waiters[index]
            waiter.due, waiter.failures = now + waiter.interval, None
            waiter.accounted_for = waiter.accounted_for or signature
            if turn % WAITERS_PER_TURN == 0:
                await asyncio.sleep(0)
        for turn, (index, snapshot) in enumerate(decisions.decided, 1):
            waiter = waiters[index]
            waiter.due = now + waiter.interval
            self._report(waiter, snapshot, waiter.wait.is_over(snapshot))
            if turn % WAITERS_PER_TURN == 0:
                await asyncio.sleep(0)
        hinted = [(waiters[index], signature) for index, signature in decisions.hinted]
        for waiter, _ in hinted:
            waiter.due = now + waiter.interval
        # Not listed does not mean over: these are polled by themselves.
        not_listed = (waiters[index] for index in pages.not_listed)
        return hinted + [(waiter, None) for waiter in not_listed if _is_due(waiter, now)]

    def _wants_pages(self, waiters: list[Waiter], now: float) -> bool:
        if now < self._no_pages_before:
            return False
        total = self._tasks_total if now - self._counted_at < RECOUNT_AFTER else None
        return pages_are_cheaper([(w.wait, w.interval) for w in waiters], total)

    async def _poll_each(self, client: FdiClient, polls: list[tuple[Waiter, Signature | None]]) -> None:
        """Poll for each of these waiters by itself, several at once."""
        queue = iter(polls)

        async def work() -> None:
            for waiter, signature in queue:
                started = clock()
                if waiter.future.done():
                    continue
                if self._held_until() > started:
                    waiter.due = started
                    continue
                await self._poll_one(client, waiter, signature)
                await asyncio.sleep(max(0.0, MIN_POLL_TIME - (clock() - started)))

        await asyncio.gather(*(work() for _ in range(min(PARALLEL_POLLS, len(polls)))))

    async def _poll_one(self, client: FdiClient, waiter: Waiter, signature: Signature | None) -> None:
        """Poll for one waiter; ``signature`` is the state in a page that was the reason, if there is one."""
        waiter.due = clock() + waiter.interval
        try:
            snapshot, over = await _in_thread(self._threads, poll_once, client, waiter.wait)
            self._proven = True
            if not waiter.wait.log_is_late(snapshot, signature):
                waiter.accounted_for = signature
            self._report(waiter, snapshot, over)
        except FdiError as error:
            await self._failed([waiter], error, client)
        except Exception as error:
            _fail(waiter.future, error)

    # --- what follows from a poll -------------------------------------------------------------------------

    def _report(self, waiter: Waiter, snapshot: Snapshot, over: bool) -> None:
        """Pass a snapshot on to the listener and, if the wait is over, to the future."""
        waiter.failures = None
        if waiter.future.done():
            return
        try:
            if waiter.listener is not None:
                waiter.listener.on_snapshot(snapshot)
        except Exception as error:
            # An error of one listener must not end all the other waits.
            _fail(waiter.future, error)
            return
        if over:
            waiter.future.set_result(snapshot)

    async def _failed(self, waiters: list[Waiter], error: FdiError, client: FdiClient | None) -> None:
        """Poll again later, for all of them at once; waits that have failed for too long end here."""
        now = clock()
        log.warning("Polling FDI failed: %s", error.brief)
        if isinstance(error, FdiThrottledError):
            self._throttled = error
        pauses = [0.0]
        if isinstance(error, FdiAuthError) and client is not None and self._proven:
            # Credentials that worked before no longer do: the connection may have been changed, so it is read
            # again, once. Failures of polls that still used the old one are ignored.
            if client is self._client:
                self._client = None
        else:
            pauses = [p for w in waiters if (p := _pause(w, error, now)) is not None]
        for turn, waiter in enumerate(waiters, 1):
            waiter.due = now + min(pauses, default=0.0)
            if waiter.listener is not None and waiter.failures is not None and waiter.failures.count == 1:
                waiter.listener.on_failure(error)
            if turn % WAITERS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _hold(self, waiters: list[Waiter], client: FdiClient, now: float) -> None:
        """Count as failed the polls that are left out because the service asked for fewer requests."""
        words = "The service asked for fewer requests (HTTP 429)."
        error = self._throttled or FdiThrottledError(words, status=429)
        error = error.replace(operation="poll", retry_after=self._held_until() - now)
        await self._failed(waiters, error, client)

    async def _connected(self) -> FdiClient:
        async with self._connecting:
            if self._client is None:
                try:
                    client = await self._connect()
                except FdiError:
                    raise
                except Exception as error:
                    # Errors of Airflow's own (its database, a secrets backend) may pass, as FDI's do.
                    raise FdiConnectionError(
                        f"The connection could not be read: {clean_text(repr(error), 200)}.",
                        hint="Check {connection}, and Airflow's database or secrets backend.",
                        operation="connect",
                        may_have_arrived=False,
                    ) from error
                self._client, self._proven = client, False
            return self._client


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function, *args)


def _is_due(waiter: Waiter, now: float) -> bool:
    return waiter.due <= now + DUE_SLACK * waiter.interval


def _pause(waiter: Waiter, error: FdiError, now: float) -> float | None:
    """Seconds until the next poll; None if the wait has failed."""
    waiter.failures = waiter.failures or PollFailures(waiter.failure_timeout)
    try:
        return waiter.failures.failed(error, now, waiter.interval)
    except FdiError as final:
        _fail(waiter.future, final)
        return None


def _fail(future: asyncio.Future[Snapshot], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _is_refusal(error: FdiError) -> bool:
    """Whether the service will not let us read its pages (no permission, no such route), now or later."""
    if isinstance(error, FdiResponseError):
        return error.status is not None and 400 <= error.status < 500 and error.status not in (401, 408, 429)
    return isinstance(error, FdiProtocolError)


# --- one poller for each event loop and endpoint ------------------------------------------------------------


@dataclass(slots=True)
class _Shared:
    poller: Poller
    users: int = 0


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()


class SharedPoller:
    """The poller of this event loop for ``key``; it ends when its last user releases it.

    Also an async context manager, which acquires it and releases it.

    :param key: whatever ``connect`` depends on: connection, project, instance.
    """

    __slots__ = ("_connect", "_key", "_shared")

    def __init__(self, key: Hashable, connect: Callable[[], Awaitable[FdiClient]]) -> None:
        self._key = key
        self._connect: Callable[[], Awaitable[FdiClient]] | None = connect
        self._shared: _Shared | None = None

    def acquire(self) -> Poller:
        """Join the poller for the key, or create it."""
        if self._connect is None:
            raise RuntimeError("this poller was acquired before")
        pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
        shared = pollers.get(self._key) or pollers.setdefault(self._key, _Shared(Poller(self._connect)))
        self._connect = None  # not kept by each of thousands
        shared.users += 1
        self._shared = shared
        return shared.poller

    def release(self) -> None:
        """Leave the poller; the last user closes it. Nothing happens if it was not acquired."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.users -= 1
        if shared.users == 0:
            pollers = _pollers.get(asyncio.get_running_loop(), {})
            if pollers.get(self._key) is shared:
                del pollers[self._key]
            shared.poller.close()

    async def __aenter__(self) -> Poller:
        return self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
