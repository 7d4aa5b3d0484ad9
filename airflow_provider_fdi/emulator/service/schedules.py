"""When a schedule fires, and the one thread that fires schedules and ends scripted runs.

Ends of runs are in real time. Schedules follow the emulator's clock: when it is moved past several firings of
a schedule, the schedule fires once, with the latest of them as its planned time, and goes on from there.
"""

from __future__ import annotations

import calendar
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone, tzinfo

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.quartz import Quartz
from airflow_provider_fdi.emulator.service.state import Schedule, Store, Task
from airflow_provider_fdi.emulator.service.timezones import parse_timezone

log = logging.getLogger("fdi-emulator")

_UNIT_MS = {"MIN": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "WEEK": 604_800_000}


def next_firing(schedule: Schedule, after_ms: int, default_timezone: str) -> int | None:
    """The first planned time later than `after_ms` (epoch ms); None if there is none."""
    zone = parse_timezone(schedule.cron_timezone or default_timezone)
    if schedule.use_quartz_cron:
        if schedule.start_datetime is not None:
            after_ms = max(after_ms, schedule.start_datetime - 1)
        after = datetime.fromtimestamp(after_ms / 1000, tz=timezone.utc)
        moment = Quartz.parse(schedule.cron or "").next_after(after, zone)
        return None if moment is None else round(moment.timestamp() * 1000)
    # Without a start time the plan counts from the schedule's creation.
    start = schedule.start_datetime if schedule.start_datetime is not None else schedule.created
    interval = schedule.dispatch_interval or 1
    if start > after_ms:
        return start
    if schedule.period == "MON":
        return _next_month(start, after_ms, interval, zone)
    length = _UNIT_MS[schedule.period or "DAY"] * interval
    return start + ((after_ms - start) // length + 1) * length


def _next_month(start_ms: int, after_ms: int, interval: int, zone: tzinfo) -> int:
    start = datetime.fromtimestamp(start_ms / 1000, tz=zone)
    after = datetime.fromtimestamp(after_ms / 1000, tz=zone)
    months = (after.year - start.year) * 12 + after.month - start.month
    count = max(0, months // interval - 1)
    while True:
        total = start.month - 1 + count * interval
        year, month = start.year + total // 12, total % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        moment = start.replace(year=year, month=month, day=day, tzinfo=None)
        moment_ms = round(moment.replace(tzinfo=zone).timestamp() * 1000)
        if moment_ms > after_ms:
            return moment_ms
        count += 1


class Schedules:
    """Arms the schedules of started tasks, and runs what is due in a thread of its own."""

    def __init__(self, store: Store, clock: Clock, switches: Switches) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        self._wake = threading.Condition()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        # task id -> (planned time in ms of the emulator's clock, task)
        self._armed: dict[str, tuple[int, Task]] = {}
        self._count = itertools.count()
        self._stopped = False

    def start(self, dispatch: Callable[[Task, str, int], object]) -> None:
        """Start the thread; for each firing it calls `dispatch` with task, "schedule" and planned time."""
        self._clock.watch(self._notify)
        threading.Thread(target=self._run, args=(dispatch,), name="schedules", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def after(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Call `action` in `delay_ms` milliseconds of real time."""
        with self._wake:
            heapq.heappush(self._timers, (time.monotonic() + delay_ms / 1000, next(self._count), action))
            self._wake.notify()

    def arm(self, task: Task) -> None:
        """Plan the next firing of a task's schedule; a task without a schedule, or stopped, is disarmed."""
        schedule = task.schedule
        if not task.started or schedule is None:
            self.disarm(task)
            return
        due = next_firing(schedule, self._clock.now_ms(), self._switches.default_timezone)
        with self._wake:
            if due is None:
                self._armed.pop(task.id, None)
            else:
                self._armed[task.id] = (due, task)
                self._wake.notify()

    def disarm(self, task: Task) -> None:
        """Let the task's schedule not fire any more."""
        with self._wake:
            self._armed.pop(task.id, None)

    def clear(self) -> None:
        """Forget all timers and armed schedules."""
        with self._wake:
            self._timers.clear()
            self._armed.clear()

    def planned(self, task: Task) -> int | None:
        """When the task's schedule fires next (ms of the emulator's clock)."""
        entry = self._armed.get(task.id)
        return entry[0] if entry else None

    def _run(self, dispatch: Callable[[Task, str, int], object]) -> None:
        while True:
            actions: list[Callable[[], object]] = []
            with self._wake:
                if self._stopped:
                    return
                now, clock = time.monotonic(), self._clock.now_ms()
                while self._timers and self._timers[0][0] <= now:
                    actions.append(heapq.heappop(self._timers)[2])
                firings = sorted(
                    (entry for entry in self._armed.values() if entry[0] <= clock), key=lambda entry: entry[0]
                )
                for _, task in firings:
                    del self._armed[task.id]
                if not actions and not firings:
                    self._wake.wait(self._pause(now, clock))
                    continue
            for planned, task in firings:
                actions.append(lambda planned=planned, task=task: self._fire(task, planned, dispatch))  # type: ignore[misc]
            for action in actions:
                _guarded(action)

    def _pause(self, now: float, clock: int) -> float | None:
        pauses = []
        if self._timers:
            pauses.append(self._timers[0][0] - now)
        if self._armed:
            pauses.append((min(due for due, _ in self._armed.values()) - clock) / 1000)
        return min(60.0, max(0.0005, min(pauses))) if pauses else None

    def _fire(self, task: Task, planned: int, dispatch: Callable[[Task, str, int], object]) -> None:
        with self._store.lock:
            schedule = task.schedule
            if schedule is None or not task.started or self._store.tasks.get(task.id) is not task:
                return
            now = self._clock.now_ms()
            # Of the firings that a moved clock left behind, only the latest happens.
            for _ in range(100_000):
                following = next_firing(schedule, planned, self._switches.default_timezone)
                if following is None or following > now:
                    break
                planned = following
            dispatch(task, "schedule", planned)
            self.arm(task)


def _guarded(action: Callable[[], object]) -> None:
    """Run an action; the one thread that ends runs and fires schedules must survive its failure."""
    try:
        action()
    except Exception:
        log.exception("a timed action failed")
