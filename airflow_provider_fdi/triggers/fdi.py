"""Waiting for FDI in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.hooks.fdi import connect
from airflow_provider_fdi.runs.poller import Poller, shared
from airflow_provider_fdi.runs.record import RunRecord
from airflow_provider_fdi.runs.report import StepLog
from airflow_provider_fdi.runs.stop import terminate_own_run
from airflow_provider_fdi.runs.wait import Look, Wait
from airflow_provider_fdi.version_compat import task_instance_state

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

READY = "ready"
"""What was waited for has come about; the operator looks for itself."""
TIMEOUT = "timeout"
ERROR = "error"

TAKEN_ELSEWHERE = frozenset({"deferred", "scheduled", "queued", "running"})
"""States of a task instance that somebody else carries on: another triggerer has it, or it was resumed."""

_terminations: set[asyncio.Task[None]] = set()


class FdiWaitTrigger(BaseTrigger):
    """Waits until all of ``waits`` are over; shares one poller with all triggers of the same place.

    Emits ``{"status": "ready" | "timeout" | "error", "record": …}``. The event only wakes the operator, which
    looks at the service itself; no secret travels in the arguments or the event.

    :param waits: what to wait for, as :meth:`Wait.to_args` gives it.
    :param poll_interval: seconds between two looks.
    :param poll_failure_timeout: seconds for which looks may fail on end before the wait fails.
    :param deadline: epoch seconds at which to give up.
    :param record: the record of the run that is waited for, returned with the event.
    :param terminate_on_kill: terminate the run of ``record``, if it is ours, when a user ends the task.
    """

    def __init__(
        self,
        fdi_conn_id: str,
        project_id: str | None,
        instance_id: str | None,
        waits: list[dict[str, Any]],
        poll_interval: float,
        poll_failure_timeout: float,
        deadline: float | None = None,
        record: dict[str, Any] | None = None,
        terminate_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id
        self.waits = waits
        self.poll_interval = poll_interval
        self.poll_failure_timeout = poll_failure_timeout
        self.deadline = deadline
        self.record = record
        self.terminate_on_kill = terminate_on_kill
        self._client: FdiClient | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "fdi_conn_id": self.fdi_conn_id,
                "project_id": self.project_id,
                "instance_id": self.instance_id,
                "waits": self.waits,
                "poll_interval": self.poll_interval,
                "poll_failure_timeout": self.poll_failure_timeout,
                "deadline": self.deadline,
                "record": self.record,
                "terminate_on_kill": self.terminate_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        event: dict[str, Any] = {"status": READY, "record": self.record}
        steps = StepLog(self.log.info, (self.record or {}).get("run_id"))
        try:
            async with shared(self._place, partial(connect, *self._place)) as poller:
                await self._wait(poller, steps.tell)
        except asyncio.TimeoutError:
            event["status"] = TIMEOUT
        except FdiError as error:
            event |= {"status": ERROR, "message": str(error)}
        event["steps_told"] = steps.told
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    @property
    def _place(self) -> tuple[str, str | None, str | None]:
        return self.fdi_conn_id, self.project_id, self.instance_id

    async def _wait(self, poller: Poller, on_look: Callable[[Look], None]) -> None:
        watches = [
            poller.watch(
                Wait.from_args(args),
                poll_interval=self.poll_interval,
                poll_failure_timeout=self.poll_failure_timeout,
                on_look=on_look,
                timeout=None if self.deadline is None else self.deadline - time.time(),
            )
            for args in self.waits
        ]
        try:
            # One watch is awaited as it is: a task of its own for each of thousands of waits would be dear.
            await (watches[0] if len(watches) == 1 else asyncio.gather(*watches))
        finally:
            # Kept for on_kill, which has no time to read the connection.
            self._client = poller.client

    async def on_kill(self) -> None:
        """Terminate our run because a user ended the task (Airflow >= 3.3).

        Airflow cancels this method again about a second later, so the work is a task of its own.
        """
        if not self.terminate_on_kill or self.record is None:
            return
        task = asyncio.create_task(self._terminate())
        _terminations.add(task)
        task.add_done_callback(_terminations.discard)
        await asyncio.shield(task)

    async def _terminate(self) -> None:
        # Airflow calls on_kill as well when another triggerer has taken over from a stalled one.
        state = await task_instance_state(self.task_instance)
        if state is None or state in TAKEN_ELSEWHERE:
            self.log.info("Not terminating the run: the task instance is %s", state or "in an unknown state")
            return
        try:
            client = self._client or await connect(*self._place)
            run_id = await asyncio.to_thread(terminate_own_run, client, RunRecord.from_json(self.record))
        except FdiError as error:
            self.log.error("The run could not be terminated, it may go on: %s", error)
            return
        self.log.info("Terminated run %s" if run_id else "No run of ours to terminate%s", run_id or "")
