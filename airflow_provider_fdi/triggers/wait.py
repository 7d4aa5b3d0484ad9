"""The trigger that waits for FDI."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_fdi.client.errors import FdiError, FdiThrottledError, is_permanent
from airflow_provider_fdi.compat import AIRFLOW_2, task_instance_state_async
from airflow_provider_fdi.constants import ERROR, READY, TIMEOUT
from airflow_provider_fdi.hooks.fdi import connect
from airflow_provider_fdi.runs.poller import Poller, SharedPoller
from airflow_provider_fdi.runs.report import StepReporter
from airflow_provider_fdi.runs.state import RunRecord
from airflow_provider_fdi.runs.stop import terminate_own_run
from airflow_provider_fdi.runs.verdict import Outcome, outcome
from airflow_provider_fdi.runs.waits import RunEnds, Snapshot, Wait
from airflow_provider_fdi.termination import user_ended_deferred_task

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

SETTLE_TIME = 6.0
"""Seconds that a deferral lasts at least, or ``poll_interval`` if that is shorter: Airflow fails a task that
is resumed before its scheduler has seen the end of the worker that deferred it, and on a busy machine the
worker's supervisor notices that end up to 5 s late."""

PREPARE_AFTER = 15.0
"""Seconds that a wait lasts before a triggerer prepares for the kill of its task."""
BUSY = 1.5
"""Load for each processor above which a triggerer does not prepare yet."""
BUSY_PAUSE = 5.0

MAX_RETRY_AFTER = 120.0
"""Seconds for which a termination waits at most when the service asks for fewer requests."""

_terminations: set[asyncio.Task[None]] = set()


@dataclass
class _KillPreparation:
    """Asks Airflow for a task instance's state once in a process, ahead of the first kill.

    The first such question keeps a triggerer busy for seconds, and the run of a killed task must not go on
    that long. Waits shorter than ``PREPARE_AFTER`` do not ask. Nor does a busy machine, where the work takes
    long enough to miss heartbeats.
    """

    waits: int = 0
    asking: asyncio.Task[None] | None = None
    asked: bool = False

    def begin(self, task_instance: Any) -> None:
        self.waits += 1
        idle = self.asking is None or self.asking.done()
        if idle and not self.asked and task_instance is not None and hasattr(BaseTrigger, "on_kill"):
            self.asking = asyncio.create_task(self._ask(task_instance))
            # A failure is reported by `on_kill`, which meets it again.
            self.asking.add_done_callback(lambda done: done.cancelled() or done.exception())

    def end(self) -> None:
        self.waits -= 1

    async def _ask(self, task_instance: Any) -> None:
        await asyncio.sleep(PREPARE_AFTER)
        while self.waits and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
            await asyncio.sleep(BUSY_PAUSE)
        if self.waits:
            self.asked = True
            # Only for what Airflow loads and connects on the way; the answer is not used.
            await task_instance_state_async(task_instance)


_preparation = _KillPreparation()


class FdiWaitTrigger(BaseTrigger):
    """Waits until all of ``waits`` are over; shares one poller with all triggers of the same endpoint.

    Emits ``{"status": "ready" | "timeout" | "error", "record": …}``. The event wakes the operator, which
    reads the state of the service itself; only the row of a run that succeeded, which changes no more, comes
    with the event as ``run``. Neither the arguments nor the event hold a secret.

    :param waits: what to wait for, as :meth:`Wait.to_json` returns it.
    :param poll_interval: seconds between two polls.
    :param poll_failure_timeout: seconds for which polls may fail in a row before the wait fails.
    :param deadline: epoch seconds at which to give up.
    :param record: the record of the run that is waited for, returned with the event.
    :param terminate_on_kill: terminate the run of ``record``, if it is ours, when a user ends the task.
    :param unknown: what a later version of this package has stored, before it was replaced by this one. It is
        ignored: without what a version adds here, a wait of its still ends rightly.
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
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Ten thousand of these may wait in one process: values that they share are kept once.
        self.fdi_conn_id = sys.intern(fdi_conn_id)
        if unknown:
            log.warning(
                "Ignoring what a later version of this package stored: %s", ", ".join(sorted(unknown))
            )
        self.project_id = project_id and sys.intern(project_id)
        self.instance_id = instance_id and sys.intern(instance_id)
        self.poll_interval = poll_interval
        self.poll_failure_timeout = poll_failure_timeout
        self.deadline = deadline
        self.terminate_on_kill = terminate_on_kill
        self._waits = tuple(Wait.from_json(wait) for wait in waits)
        self._record = None if record is None else json.dumps(record)
        self._steps: StepReporter | None = None
        self._client: FdiClient | None = None

    @property
    def waits(self) -> list[dict[str, Any]]:
        return [wait.to_json() for wait in self._waits]

    @property
    def record(self) -> dict[str, Any] | None:
        return None if self._record is None else json.loads(self._record)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_fdi.triggers.fdi.FdiWaitTrigger",
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
        if self.terminate_on_kill:
            _preparation.begin(self.task_instance)
        self._context = contextvars.copy_context()
        settled = time.monotonic() + min(self.poll_interval, SETTLE_TIME)
        try:
            async with SharedPoller(self._endpoint, partial(connect, *self._endpoint)) as poller:
                watches = self._begin(poller)
                try:
                    snapshots = [await watches[0]] if len(watches) == 1 else await asyncio.gather(*watches)
                finally:
                    for watch in watches:
                        watch.cancel()
                    # Kept for on_kill, which has no time to read the connection.
                    self._client = poller.client
            result: dict[str, Any] = {"status": READY} | self._succeeded_run(snapshots)
        except asyncio.TimeoutError:
            if AIRFLOW_2 and self.terminate_on_kill:
                # There the task fails before it is resumed, so that only the trigger can end the run.
                await self._terminate()
            result = {"status": TIMEOUT}
        except FdiError as error:
            name = (self.record or {}).get("fdi_task_name")
            message = str(error.completed(task_name=name, connection=self.fdi_conn_id))
            result = {"status": ERROR, "message": message, "final": is_permanent(error)}
        finally:
            if self.terminate_on_kill:
                _preparation.end()
        reported = self._steps.reported if self._steps else []
        event = {"record": self.record, "steps_reported": reported} | result
        await asyncio.sleep(max(0.0, settled - time.monotonic()))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    def _succeeded_run(self, snapshots: list[Snapshot]) -> dict[str, Any]:
        """For the event: the row of the run, without its steps, which are in the log of the task by now.

        Not that of a run that failed, whose steps say why: Airflow writes events into the log of the task.
        """
        run = self._waits[0].find(snapshots[0].runs)
        if not isinstance(self._waits[0], RunEnds) or run is None or outcome(run) is not Outcome.SUCCESS:
            return {}
        row = {key: value for key, value in run.raw.items() if key != "detail_logs"}
        return {"run": row, "seen_at": snapshots[0].now}

    @property
    def _endpoint(self) -> tuple[str, str | None, str | None]:
        return self.fdi_conn_id, self.project_id, self.instance_id

    def _begin(self, poller: Poller) -> tuple[asyncio.Future[Snapshot], ...]:
        now = time.time()
        return tuple(
            poller.watch(
                wait,
                poll_interval=self.poll_interval,
                poll_failure_timeout=self.poll_failure_timeout,
                listener=self,
                timeout=None if self.deadline is None else self.deadline - now,
            )
            for wait in self._waits
        )

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if self._steps is None:
            self._steps = StepReporter(self.log.log, (self.record or {}).get("run_id"))
        # The poller calls from a context of its own; these lines belong in the log of this task.
        self._context.run(self._steps.on_snapshot, snapshot)

    def on_failure(self, error: FdiError) -> None:
        words = "Polling FDI failed, trying again for up to %g s: %s"
        self._context.run(self.log.warning, words, self.poll_failure_timeout, error.brief)

    async def on_kill(self) -> None:
        """Terminate our run because a user ended the task (Airflow >= 3.3).

        Airflow cancels this method about a second later, so the work is done in a task of its own.
        """
        if not self.terminate_on_kill or self._record is None:
            return
        task = asyncio.create_task(self._terminate_if_ended())
        _terminations.add(task)
        task.add_done_callback(_terminations.discard)
        await asyncio.shield(task)

    async def _terminate_if_ended(self) -> None:
        # Airflow calls on_kill as well when another triggerer has taken over from a stalled one.
        state = await task_instance_state_async(self.task_instance)
        waited_for_end = all(isinstance(wait, RunEnds) for wait in self._waits)
        if not user_ended_deferred_task(state, waited_for_end=waited_for_end):
            self.log.info("Not terminating the run: the task instance is %s", state or "in an unknown state")
            return
        await self._terminate()

    async def _terminate(self) -> None:
        record = RunRecord.from_json(self.record)
        try:
            client = self._client or await connect(self.fdi_conn_id, self.project_id, self.instance_id)
            try:
                run_id = await asyncio.to_thread(terminate_own_run, client, record)
            except FdiThrottledError as error:
                # The clients of a triggerer do not sleep through long waits themselves.
                await asyncio.sleep(min(error.retry_after or 1.0, MAX_RETRY_AFTER))
                run_id = await asyncio.to_thread(terminate_own_run, client, record)
        except FdiError as error:
            self.log.error("The run could not be terminated, it may go on: %s", error.brief)
            return
        self.log.info("Terminated run %s" if run_id else "No run of ours to terminate%s", run_id or "")
