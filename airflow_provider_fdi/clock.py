"""The clocks of this machine. Imports nothing of the package."""

from __future__ import annotations

import time


def now_ms() -> int:
    """The time, in ms since the epoch."""
    return int(time.time() * 1000)


def boot_time() -> float:
    """Seconds on a clock that goes on while the process is stopped or the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
