"""What a client, and whoever waits with it, report while they work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Observer"]


class Observer:
    """Is told what happens, in whichever thread it happens. This one does nothing; others override it.

    Nothing that it is told costs a request.
    """

    def request_sent(self, operation: str, status: int | None) -> None:
        """A request was sent once: the client's method, and the HTTP status; None: nothing answered."""

    def held_back(self, seconds: float) -> None:
        """The service asked for fewer requests (429): for so much longer, nothing is sent."""

    def polled(self, *, failed: bool) -> None:
        """The service was polled once, for one wait or, by pages, for many."""

    def waiting(self, instance_id: str, waits: int) -> None:
        """How many waits a poller has."""

    def run_noticed(self, seconds: float) -> None:
        """A poll saw that an awaited run is over, so long after its end, by the service's clock."""

    def run_ended(self, record: Mapping[str, Any], task_name: str | None, seen_by: str) -> None:
        """A run is over.

        :param record: the run record, as operators return it.
        :param task_name: of its FDI task, where it is known.
        :param seen_by: ``operator``, ``sensor`` or ``event``.
        """
