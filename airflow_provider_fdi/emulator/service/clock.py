"""The emulator's clock: the machine's time plus an offset that tests may move.

Every time in answers, the ``Date`` header, schedules, token expiry and the signature window follow it. How
long a run lasts does not: durations are real time, so that moving the clock never ends a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class Clock:
    """A clock that tests can move, and that tells its watchers when they do."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self._watchers: list[Callable[[], None]] = []
        self._date: tuple[int, bytes] = (0, b"")

    def now_ms(self) -> int:
        """Epoch milliseconds, UTC."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def set_offset(self, offset_ms: int) -> None:
        self.offset_ms = int(offset_ms)
        for watcher in self._watchers:
            watcher()

    def advance(self, by_ms: int) -> None:
        self.set_offset(self.offset_ms + int(by_ms))

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever the clock is moved."""
        self._watchers.append(watcher)

    def http_date(self) -> bytes:
        """The value of the Date header (one second resolution)."""
        second = self.now_ms() // 1000
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._date[1]
