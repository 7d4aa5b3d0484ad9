"""Airflow's metrics in tests: kept in memory, or received from its own StatsD client."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Sent:
    """One value of one metric: its name, type, value (ms for a timer) and tags."""

    name: str
    type: str
    value: float
    tags: dict[str, str]


class RecordedStats:
    """In place of Airflow's ``Stats``."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any]) -> None:
        self.sent.append(Sent(stat, "counter", count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any]) -> None:
        self.sent.append(Sent(stat, "gauge", value, tags))

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any]) -> None:
        self.sent.append(Sent(stat, "timer", dt / timedelta(milliseconds=1), tags))

    def of(self, name: str, **tags: str) -> list[Sent]:
        """What was sent of one metric with these tags, among others."""
        return [sent for sent in self.sent if sent.name == name and tags.items() <= sent.tags.items()]

    def total(self, name: str, **tags: str) -> float:
        return sum(sent.value for sent in self.of(name, **tags))


_TYPES = {"c": "counter", "g": "gauge", "ms": "timer"}


@dataclass
class Listener:
    """A StatsD server: it keeps what it receives, with tags in InfluxDB's notation."""

    socket: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._receive, daemon=True).start()

    @property
    def settings(self) -> dict[str, str]:
        """The environment of an Airflow that reports here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.socket.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def of(self, name: str, **tags: str) -> list[Sent]:
        return [sent for sent in list(self.sent) if sent.name == name and tags.items() <= sent.tags.items()]

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> None:
        while True:
            try:
                lines = self.socket.recv(65_536).decode().splitlines()
            except OSError:
                return
            self.sent += [_parsed(line) for line in lines]


def _parsed(line: str) -> Sent:
    head, _, rest = line.partition(":")
    name, *tags = head.split(",")
    value, kind = rest.split("|")[:2]
    named = dict(tag.split("=", 1) for tag in tags)
    return Sent(name.removeprefix("airflow."), _TYPES.get(kind, kind), float(value), named)
