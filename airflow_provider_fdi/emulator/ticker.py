"""One thread for everything that happens at a time: ends of scripted runs, and schedules that fire.

Ends of runs are in real time. Schedules go by the emulator's clock; when it is moved past several firings of
a schedule, the schedule fires once, with the latest of them as its planned time, and goes on from there.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_fdi.emulator.plan import next_firing

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.state import Task
    from airflow_provider_fdi.emulator.world import World

log = logging.getLogger("fdi-emulator")


class Ticker:
    def __init__(self, world: World) -> None:
        self._world = world
        self._wake = threading.Condition()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        # task id -> (planned time in ms of the emulator's clock, task)
        self._armed: dict[str, tuple[int, Task]] = {}
        self._count = itertools.count()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        self._world.clock.watch(self._notify)
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
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
        """Let the schedule of a started task fire (again); a task without one, or stopped, is disarmed."""
        schedule = task.schedule
        if not task.started or schedule is None:
            self.disarm(task)
            return
        due = next_firing(schedule, self._world.clock.now_ms(), self._world.switches.default_timezone)
        with self._wake:
            if due is None:
                self._armed.pop(task.id, None)
            else:
                self._armed[task.id] = (due, task)
                self._wake.notify()

    def disarm(self, task: Task) -> None:
        with self._wake:
            self._armed.pop(task.id, None)

    def clear(self) -> None:
        with self._wake:
            self._timers.clear()
            self._armed.clear()

    def planned(self, task: Task) -> int | None:
        """When the task's schedule fires next (ms of the emulator's clock)."""
        entry = self._armed.get(task.id)
        return entry[0] if entry else None

    def _run(self) -> None:
        while True:
            timers: list[Callable[[], object]] = []
            firings: list[tuple[int, Task]] = []
            with self._wake:
                if self._stopped:
                    return
                now, clock = time.monotonic(), self._world.clock.now_ms()
                while self._timers and self._timers[0][0] <= now:
                    timers.append(heapq.heappop(self._timers)[2])
                firings = [entry for entry in self._armed.values() if entry[0] <= clock]
                for _, task in firings:
                    del self._armed[task.id]
                if not timers and not firings:
                    self._wake.wait(self._pause(now, clock))
                    continue
            for action in timers:
                self._guarded(action)
            for planned, task in sorted(firings, key=lambda entry: entry[0]):
                self._guarded(lambda planned=planned, task=task: self._fire(task, planned))  # type: ignore[misc]

    def _pause(self, now: float, clock: int) -> float | None:
        pauses = []
        if self._timers:
            pauses.append(self._timers[0][0] - now)
        if self._armed:
            pauses.append((min(due for due, _ in self._armed.values()) - clock) / 1000)
        return min(60.0, max(0.0005, min(pauses))) if pauses else None

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:
            # The one thread that ends runs and fires schedules must outlive any single failure.
            log.exception("a timed action failed")

    def _fire(self, task: Task, planned: int) -> None:
        world = self._world
        with world.store.lock:
            schedule = task.schedule
            if schedule is None or not task.started or world.store.tasks.get(task.id) is not task:
                return
            now = world.clock.now_ms()
            # Of firings that a moved clock left behind, only the latest happens.
            for _ in range(100_000):
                following = next_firing(schedule, planned, world.switches.default_timezone)
                if following is None or following > now:
                    break
                planned = following
            world.runner.dispatch(task, "schedule", planned)
            self.arm(task)
