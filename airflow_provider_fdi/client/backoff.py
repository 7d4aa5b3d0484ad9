"""How long to wait before something is tried again, as a value."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_fdi.client.errors import FdiArgumentError

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long something is tried again. All times are seconds.

    :param base: the wait after the first failure
    :param factor: how many times longer each further wait is
    :param cap: the longest wait
    :param jitter: the share of a wait that is random: 0 for none, 1 for the whole
    :param attempts: the first one included
    :param budget: from the first attempt to the end of the last wait
    :param retry_after_cap: the longest wait that the service may ask for; if it asks for more, the call fails
    """

    base: float = 0.5
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 1.0
    attempts: int = 5
    budget: float = 120.0
    retry_after_cap: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise FdiArgumentError("attempts", self.attempts, "must be 1 or more", owner="Backoff")
        for name in ("base", "factor", "cap", "jitter", "budget", "retry_after_cap"):
            if getattr(self, name) < 0:
                raise FdiArgumentError(name, getattr(self, name), "must not be negative", owner="Backoff")

    def delay(
        self,
        attempt: int,
        retry_after: float | None = None,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float:
        """The wait after attempt number ``attempt`` (from 1) failed; at least what the service asks for."""
        longest = min(self.cap, self.base * self.factor ** min(attempt - 1, 30))
        wait = uniform(longest * (1 - self.jitter), longest)
        return wait if retry_after is None else max(retry_after, wait)

    def allows(self, attempt: int, elapsed: float, delay: float, retry_after: float | None = None) -> bool:
        """Whether another attempt may follow number ``attempt`` after waiting for ``delay``."""
        if retry_after is not None and retry_after > self.retry_after_cap:
            return False
        return attempt < self.attempts and elapsed + delay <= self.budget
