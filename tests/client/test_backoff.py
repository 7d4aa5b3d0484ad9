from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import FdiArgumentError


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


def test_waits_grow_up_to_the_cap() -> None:
    backoff = Backoff(base=1, factor=3, cap=20)
    assert [backoff.delay(n, uniform=longest) for n in range(1, 6)] == [1, 3, 9, 20, 20]
    assert backoff.delay(10_000, uniform=longest) == 20


@pytest.mark.parametrize(("jitter", "expected"), [(1, 0), (0.5, 4), (0, 8)])
def test_jitter_is_the_random_share(jitter: float, expected: float) -> None:
    assert Backoff(base=8, jitter=jitter).delay(1, uniform=shortest) == expected


def test_what_the_service_asks_for_is_the_least() -> None:
    assert Backoff(base=2).delay(1, 7.5, uniform=longest) == 7.5
    assert Backoff(base=20).delay(1, 7.5, uniform=longest) == 20


def test_attempts_budget_and_the_longest_retry_after_are_bounds() -> None:
    backoff = Backoff(attempts=3, budget=10, retry_after_cap=5)
    assert backoff.allows(2, elapsed=9, delay=1)
    assert not backoff.allows(3, elapsed=0, delay=0)
    assert not backoff.allows(1, elapsed=9, delay=1.5)
    assert backoff.allows(1, elapsed=0, delay=5, retry_after=5)
    assert not backoff.allows(1, elapsed=0, delay=5, retry_after=5.1)


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"base": -1}, {"budget": -0.1}, {"jitter": -1}])
def test_a_bad_value_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(FdiArgumentError, match=f"Backoff: {next(iter(bad))}="):
        Backoff(**bad)
