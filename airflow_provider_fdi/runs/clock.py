"""The clock by which a process knows how long it was away."""

from __future__ import annotations

import time


def boot_time() -> float:
    """Seconds on a clock that goes on while the process is stopped or the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
