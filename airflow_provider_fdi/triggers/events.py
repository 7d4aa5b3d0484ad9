"""The trigger that fires for every run that FDI finished, whoever started it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import FdiArgumentError, FdiError
from airflow_provider_fdi.client.names import task_named
from airflow_provider_fdi.clock import now_ms
from airflow_provider_fdi.compat import BaseEventTrigger, asset_state_accessors
from airflow_provider_fdi.constants import AIRFLOW_RUNS_KEY, SHORTEST_INTERVAL
from airflow_provider_fdi.exceptions import in_dag_file
from airflow_provider_fdi.hooks.fdi import connect
from airflow_provider_fdi.runs import events, verdict
from airflow_provider_fdi.runs.poller import Poller, SharedPoller
from airflow_provider_fdi.runs.polling import server_now, task_state
from airflow_provider_fdi.runs.report import run_summary
from airflow_provider_fdi.runs.waits import COMPLETED_LOOKBACK_MS, Snapshot

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Run

log = logging.getLogger(__name__)

AIRFLOW_RUN_KNOWN = 30.0
"""Seconds after its start by which a run that Airflow started is known as such."""

STORED_AFTER = 1.5
"""Seconds after which Airflow has stored an event: a triggerer hands its events on once a second."""
STORE_PAUSES = (0.0, 1.0, 5.0, 30.0)
MAX_PAUSE = 300.0
"""Seconds between two attempts to begin to follow a task."""


class FdiRunEventTrigger(BaseEventTrigger):
    """Fires for every run of an FDI task that ended, for ``AssetWatcher`` (Airflow >= 3.0).

    Whoever started the run: FDI's own schedule, a person in the console, an API call. The payload is the run
    record (see :class:`.FdiRunTaskOperator`): ``fdi_task_id``, ``fdi_run_id``, ``status``, ``rows``,
    ``dirty_rows``, ``bytes``, ``dispatch_time``, ``start_time``, ``end_time`` (ms since the epoch), the same
    as ISO 8601 text (``dispatch_time_iso``, ``start_time_iso``, ``end_time_iso``), ``duration_ms``,
    ``remarks``.

    On Airflow >= 3.3 the reported runs are kept in the state store of the asset: a run that ends while no
    triggerer is up is reported by the next one, and no run twice. Before 3.3 the trigger reports only runs
    that end while it is up. Runs that ended before the trigger first started are never reported. An error
    does not end the trigger: it is logged, and the trigger tries again.

    Source: ListMonitorLog, ListMonitorInfos, ListTasks.

    :param fdi_task_id: id of the task, or ids of several; or
    :param fdi_task_name: its exact name, or several.
    :param statuses: how a run must have ended: of ``SUCCESS``, ``ERROR``, ``CANCELLED``.
    :param poll_interval: seconds between two polls.
    :param include_refused: with ``ERROR``: also fire for rows that only say that FDI refused a dispatch
        because the previous run had not finished.
    :param ignore_airflow_runs: do not fire for runs that a run operator started or joined, if it has this
        asset among its ``outlets`` (or ``inlets``): such a task creates an asset event itself.
        Needs Airflow >= 3.3.
    :param queue: the queue of the triggerers that are to run it. Needs Airflow >= 3.4.
    """

    def __init__(
        self,
        fdi_task_id: str | Iterable[str] | None = None,
        fdi_task_name: str | Iterable[str] | None = None,
        statuses: str | Iterable[str] = ("SUCCESS",),
        poll_interval: float = 30,
        include_refused: bool = False,
        ignore_airflow_runs: bool = False,
        fdi_conn_id: str = "fdi_default",
        project_id: str | None = None,
        instance_id: str | None = None,
        queue: str | None = None,
    ) -> None:
        super().__init__(**({} if queue is None else {"queue": queue}))  # type: ignore[no-untyped-call]
        try:
            if queue is not None and not hasattr(BaseEventTrigger, "queue"):
                raise FdiArgumentError("queue", queue, "needs Airflow 3.4 or later")
            self.fdi_task_ids = _texts("fdi_task_id", fdi_task_id, validation.identifier)
            self.fdi_task_names = _texts("fdi_task_name", fdi_task_name, validation.existing_name)
            validation.one_task(self.fdi_task_ids or fdi_task_id, self.fdi_task_names or fdi_task_name)
            self.statuses = sorted(validation.run_statuses("statuses", statuses))
            self.poll_interval = validation.number("poll_interval", poll_interval, minimum=SHORTEST_INTERVAL)
            self.include_refused = validation.flag("include_refused", include_refused)
            self.ignore_airflow_runs = validation.flag("ignore_airflow_runs", ignore_airflow_runs)
        except FdiArgumentError as error:
            raise in_dag_file(error, type(self).__name__) from None
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_fdi.triggers.fdi.FdiRunEventTrigger",
            {
                "fdi_task_id": self.fdi_task_ids,
                "fdi_task_name": self.fdi_task_names,
                "statuses": self.statuses,
                "poll_interval": self.poll_interval,
                "include_refused": self.include_refused,
                "ignore_airflow_runs": self.ignore_airflow_runs,
                "fdi_conn_id": self.fdi_conn_id,
                "project_id": self.project_id,
                "instance_id": self.instance_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        if self.ignore_airflow_runs and not self._accessors():
            log.warning("ignore_airflow_runs needs Airflow >= 3.3: there are events for all runs")
        reported: asyncio.Queue[_Batch] = asyncio.Queue()
        followers = [
            asyncio.create_task(self._follow(task_id, task_name, reported))
            for task_id, task_name in (
                *((task_id, None) for task_id in self.fdi_task_ids),
                *((None, task_name) for task_name in self.fdi_task_names),
            )
        ]
        try:
            while True:
                batch = await reported.get()
                for record in batch.records:
                    yield TriggerEvent(record)  # type: ignore[no-untyped-call]
                batch.taken.set()
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def _follow(
        self, task_id: str | None, task_name: str | None, reported: asyncio.Queue[_Batch]
    ) -> None:
        """Report the runs of one task, without end."""
        cursors: dict[str, events.Cursor] = {}
        failures = 0
        reason: Exception
        while True:
            started = asyncio.get_running_loop().time()
            try:
                endpoint = await self._endpoint()
                # Released after a failure, so that a changed connection is read again.
                async with SharedPoller(endpoint, partial(connect, *endpoint)) as poller:
                    found = task_id if task_id is not None else await poller.call(_id_of, str(task_name))
                    await self._report(poller, found, task_name, cursors, reported)
            except FdiError as error:
                reason = error
            except Exception as error:
                # If this ended, there would be no more events, and nothing would show it.
                log.exception("Following FDI task %s failed", task_id or task_name)
                reason = error
            lasted = asyncio.get_running_loop().time() - started
            failures = 1 if lasted > MAX_PAUSE else failures + 1
            backoff = Backoff(base=max(self.poll_interval, 1.0), cap=MAX_PAUSE, jitter=0.5)
            pause = backoff.delay(failures)
            words = reason.brief if isinstance(reason, FdiError) else reason
            log.warning("FDI task %s: next attempt in %.0f s: %s", task_id or task_name, pause, words)
            await asyncio.sleep(pause)

    async def _endpoint(self) -> tuple[str, str | None, str | None]:
        """Connection, project and instance, as operators name them: the key of the shared poller."""
        endpoint = self.fdi_conn_id, self.project_id, self.instance_id
        if all(endpoint):
            return endpoint
        client = await connect(*endpoint)
        client.close()
        return self.fdi_conn_id, client.project_id, client.instance_id

    async def _report(
        self,
        poller: Poller,
        task_id: str,
        task_name: str | None,
        cursors: dict[str, events.Cursor],
        reported: asyncio.Queue[_Batch],
    ) -> None:
        store = _CursorStore(self._accessors(), f"fdi_events.{task_id}.{'+'.join(self.statuses)}")
        cursor = cursors.get(task_id) or await store.read()
        if cursor is None:
            cursor = events.first_cursor(await poller.call(_first_snapshot, task_id))
            await store.write(cursor)
        while True:
            cursors[task_id] = cursor
            snapshot = await poller.watch(
                cursor.wait(task_id), poll_interval=self.poll_interval, poll_failure_timeout=math.inf
            )
            # Another triggerer may have continued while this one was frozen.
            cursor = events.merge(cursor, await store.read())
            before = snapshot.now - int(AIRFLOW_RUN_KNOWN * 1000) if self.ignore_airflow_runs else None
            runs = events.unreported_runs(snapshot, cursor, started_before=before)
            if not runs:
                continue
            elsewhere = await self._airflow_runs(task_id)
            records = [
                self._payload(run, task_id, task_name)
                for run in runs
                if self._fires(run) and run.run_id not in elsewhere
            ]
            cursor = events.advance(cursor, snapshot, runs)
            for record in records:
                if poller.client is not None:
                    poller.client.observer.run_ended(record, task_name, "event")
            if records:
                batch = _Batch(records)
                await reported.put(batch)
                await batch.taken.wait()
            # Not before the events are stored: a run reported twice can be recognised, a lost one cannot.
            store.write_after(STORED_AFTER if records else 0.0, cursor)

    def _fires(self, run: Run) -> bool:
        if verdict.is_refused(run) and not self.include_refused:
            return False
        return run.execute_status.value in self.statuses

    def _payload(self, run: Run, task_id: str, task_name: str | None) -> dict[str, Any]:
        payload = run_summary(run, task_id)
        # An event does not know whether a task joined the run.
        del payload["joined"]
        return payload | ({"fdi_task_name": task_name} if task_name else {})

    def _accessors(self) -> list[Any]:
        return asset_state_accessors(getattr(self, "asset_state_store", None))

    async def _airflow_runs(self, task_id: str) -> set[str]:
        if not self.ignore_airflow_runs:
            return set()
        found: set[str] = set()
        for accessor in self._accessors():
            found.update(await accessor.aget(AIRFLOW_RUNS_KEY + task_id) or ())
        return found


@dataclass(slots=True)
class _Batch:
    """Run records that the trigger is about to emit."""

    records: list[dict[str, Any]]
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Airflow's runner has taken all of them."""


_writing: set[asyncio.Task[None]] = set()


class _CursorStore:
    """Keeps the cursor in the state store of each asset of the trigger; nowhere on Airflow < 3.3."""

    def __init__(self, accessors: list[Any], key: str) -> None:
        self._accessors = accessors
        self._key = key
        self._last: asyncio.Task[None] | None = None

    async def read(self) -> events.Cursor | None:
        """The cursor that was kept; of several assets the most advanced."""
        cursor: events.Cursor | None = None
        for accessor in self._accessors:
            kept = events.Cursor.from_json(await accessor.aget(self._key))
            cursor = events.merge(kept, cursor) if kept is not None else cursor
        return cursor

    async def write(self, cursor: events.Cursor) -> None:
        for accessor in self._accessors:
            await accessor.aset(self._key, cursor.to_json())

    def write_after(self, seconds: float, cursor: events.Cursor) -> None:
        """Write in the background, after all earlier writes; also if the trigger is cancelled."""
        if not self._accessors:
            return
        self._last = asyncio.create_task(self._write_later(self._last, seconds, cursor))
        _writing.add(self._last)
        self._last.add_done_callback(_writing.discard)

    async def _write_later(
        self, previous: asyncio.Task[None] | None, seconds: float, cursor: events.Cursor
    ) -> None:
        await asyncio.sleep(seconds)
        if previous is not None:
            await asyncio.wait([previous])
        for pause in STORE_PAUSES:
            await asyncio.sleep(pause)
            try:
                await self.write(cursor)
                return
            except Exception:
                log.warning("Airflow did not store which runs were reported (%s)", self._key, exc_info=True)


def _texts(field: str, value: str | Iterable[str] | None, check: validation.Check) -> list[str]:
    if value is None:
        return []
    texts = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    for text in texts:
        if validation.is_reference(text):
            rule = "cannot be a template or a reference\nThe triggers of assets belong to no DAG run."
            raise FdiArgumentError(field, text, rule)
    return list(dict.fromkeys(check(field, text) for text in texts))


def _id_of(client: FdiClient, task_name: str) -> str:
    return task_named(client, task_name)[0].task_id


def _first_snapshot(client: FdiClient, task_id: str) -> Snapshot:
    rows = client.list_runs(task_id, begin_time=now_ms() - COMPLETED_LOOKBACK_MS)
    if verdict.run_in_progress(rows) is None and verdict.is_executing(task_state(client, task_id)[0]):
        # The run in progress began earlier.
        rows = client.list_runs(task_id)
    return Snapshot(server_now(rows.server_time), runs=tuple(rows))
