"""The faults of a round: drawn from a seed, and struck one after the other while Airflow works."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

What = Literal["kill", "freeze", "stop", "network", "expire", "request"]

REQUESTS = ("RunTask", "ListMonitorLog", "ListMonitorInfos", "ListTasks", "KeystoneCreateToken")
"""What tasks and triggers ask of FDI and of IAM in a round."""

KINDS: tuple[Mapping[str, Any], ...] = (
    {"kind": "reset_before"},
    {"kind": "reset_after"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}},
    {"kind": "status_after", "status": 500},
    {"kind": "truncate_body"},
    {"kind": "malformed_json"},
    {"kind": "html"},
    {"kind": "delay", "delay_ms": 7000},
)
"""What becomes of a request; the delay is longer than the read timeout of the round's connections."""

PACE = (8.0, 12.0)
"""Seconds from one fault to the next; those of requests come in between."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong `at` seconds after the beginning, and is put right `seconds` later."""

    at: float
    what: What
    target: str
    seconds: float = 0.0
    rule: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        rule = f" {dict(self.rule)}" if self.rule else ""
        return f"{self.at:5.0f} s  {self.what} {self.target}{lasts}{rule}"


def draw(seed: int) -> list[Fault]:
    """The faults of a round in the order of time. The same for the same seed; each seed has every kind."""
    rng = random.Random(seed)
    # What is killed, where, and for how long; the order and the moments are the seed's.
    lots: list[tuple[What, str, float, float]] = [
        *(("kill", name, 1, 5) for name in ("worker", "worker-2", "triggerer", "triggerer-2")),
        ("kill", "scheduler", 1, 5),
        ("kill", "api-server", 1, 5),
        # Longer than the heartbeat timeout of tasks, and than the health threshold of triggerers.
        ("freeze", rng.choice(["worker", "worker-2"]), 25, 30),
        ("freeze", rng.choice(["triggerer", "triggerer-2"]), 15, 20),
        ("stop", "postgres", 4, 8),
        ("stop", "redis", 4, 8),
        ("network", "refused", 5, 12),
        ("network", "silent", 8, 15),
        ("network", "slow", 8, 15),
        ("expire", "tokens", 0, 0),
    ]
    rng.shuffle(lots)
    faults = []
    at = 0.0
    for what, target, shortest, longest in lots:
        at += rng.uniform(*PACE)
        faults.append(Fault(at, what, target, rng.uniform(shortest, longest)))
    for operation in REQUESTS:
        for kind in KINDS:
            rule = {"operation": operation, "times": rng.randint(1, 3), "after": rng.randint(0, 5), **kind}
            faults.append(Fault(rng.uniform(0, at), "request", operation, rule=rule))
    return sorted(faults, key=lambda fault: fault.at)
