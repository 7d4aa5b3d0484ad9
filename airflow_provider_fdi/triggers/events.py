"""Events for runs that FDI finished, whoever started them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_fdi.client.errors import FdiError
from airflow_provider_fdi.client.models import ExecuteStatus, Run
from airflow_provider_fdi.hooks.fdi import connect, existing_task_named
from airflow_provider_fdi.runs import events, verdict
from airflow_provider_fdi.runs.poller import Poller, shared
from airflow_provider_fdi.runs.report import run_summary
from airflow_provider_fdi.runs.wait import COMPLETED_LOOKBACK_MS, Look, now_ms, server_now, task_state
from airflow_provider_fdi.version_compat import BaseEventTrigger, asset_state_accessors

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

STATUSES = tuple(status.value for status in ExecuteStatus if status.is_terminal)

AIRFLOW_RUN_KNOWN = 30.0
"""Seconds after its start by which a run that Airflow started is known as such."""

STORED_AFTER = 1.5
"""Seconds after which Airflow has stored an event: a triggerer hands its events on once a second."""
STORE_PAUSES = (0.0, 1.0, 5.0, 30.0)
LONGEST_PAUSE = 300.0
"""Seconds, between two attempts to follow a task at all."""


class FdiRunEventTrigger(BaseEventTrigger):
    """Fires for every run of an FDI task that ended, for ``AssetWatcher`` (Airflow >= 3.0).

    Whoever started the run: FDI's own schedule, a person in the console, an API call. The payload is the run
    record (see :class:`.FdiRunTaskOperator`): ``fdi_task_id``, ``fdi_run_id``, ``status``, ``rows``,
    ``dirty_rows``, ``bytes``, ``dispatch_time``, ``start_time``, ``end_time`` (ms since the epoch),
    ``duration_ms``, ``remarks``.

    On Airflow >= 3.3 the runs that were told are kept in the state store of the asset: what ends while no
    triggerer runs is told by the next one, and nothing twice. Before 3.3 every start begins at its own
    moment. Runs that ended before the trigger first started are never told. It does not end by an error: what
    fails is logged and tried again.

    Source: ListMonitorLog, ListMonitorInfos, ListTasks.

    :param fdi_task_id: id of the task, or ids of several; or
    :param fdi_task_name: its exact name, or several.
    :param statuses: how a run must have ended: of ``SUCCESS``, ``ERROR``, ``CANCELLED``.
    :param poll_interval: seconds between two looks.
    :param include_refused: with ``ERROR``: fire also for rows that only say that FDI refused a dispatch
        because the run before was not over.
    :param ignore_airflow_runs: do not fire for runs that a run operator started or joined which has this
        asset among its ``outlets`` (or ``inlets``): such a task is an event of the asset by itself.
        Needs Airflow >= 3.3.
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fdi_task_ids = _texts(fdi_task_id)
        self.fdi_task_names = _texts(fdi_task_name)
        self.statuses = sorted(_texts(statuses))
        self.poll_interval = poll_interval
        self.include_refused = include_refused
        self.ignore_airflow_runs = ignore_airflow_runs
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id
        if bool(self.fdi_task_ids) == bool(self.fdi_task_names):
            raise ValueError("FdiRunEventTrigger: give either fdi_task_id or fdi_task_name")
        if not self.statuses or set(self.statuses) - set(STATUSES):
            raise ValueError(f"FdiRunEventTrigger: statuses={self.statuses!r}: of {', '.join(STATUSES)}")
        if not isinstance(poll_interval, (int, float)) or not 0 < poll_interval < math.inf:
            raise ValueError(f"FdiRunEventTrigger: poll_interval={poll_interval!r}: must be more than 0")

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
        told: asyncio.Queue[_News] = asyncio.Queue()
        followers = [
            asyncio.create_task(self._follow(task_id, task_name, told))
            for task_id, task_name in (
                *((task_id, None) for task_id in self.fdi_task_ids),
                *((None, task_name) for task_name in self.fdi_task_names),
            )
        ]
        try:
            while True:
                news = await told.get()
                for record in news.records:
                    yield TriggerEvent(record)  # type: ignore[no-untyped-call]
                news.taken.set()
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def _follow(self, task_id: str | None, task_name: str | None, told: asyncio.Queue[_News]) -> None:
        """Tell the news of one task for ever."""
        cursors: dict[str, events.Cursor] = {}
        failures = 0
        reason: Exception
        while True:
            started = asyncio.get_running_loop().time()
            try:
                place = await self._place()
                # Left after a failure, so that a changed connection is read anew.
                async with shared(place, partial(connect, *place)) as poller:
                    found = task_id if task_id is not None else await poller.call(_id_of, str(task_name))
                    await self._tell(poller, found, task_name, cursors, told)
            except FdiError as error:
                reason = error
            except Exception as error:
                # Nobody would notice that the events have ended.
                log.exception("Following FDI task %s failed", task_id or task_name)
                reason = error
            lasted = asyncio.get_running_loop().time() - started
            failures = 1 if lasted > LONGEST_PAUSE else failures + 1
            pause = min(max(self.poll_interval, 1.0) * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)
            log.warning("FDI task %s: next attempt in %.0f s: %s", task_id or task_name, pause, reason)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _place(self) -> tuple[str, str | None, str | None]:
        """Connection, project and instance, as operators name them: equal places share one poller."""
        place = self.fdi_conn_id, self.project_id, self.instance_id
        if all(place):
            return place
        client = await connect(*place)
        client.close()
        return self.fdi_conn_id, client.project_id, client.instance_id

    async def _tell(
        self,
        poller: Poller,
        task_id: str,
        task_name: str | None,
        cursors: dict[str, events.Cursor],
        told: asyncio.Queue[_News],
    ) -> None:
        shelf = _Shelf(self._accessors(), f"fdi_events.{task_id}.{'+'.join(self.statuses)}")
        cursor = cursors.get(task_id) or await shelf.read()
        if cursor is None:
            cursor = events.first_cursor(await poller.call(_first_look, task_id))
            await shelf.write(cursor)
        while True:
            cursors[task_id] = cursor
            look = await poller.watch(
                cursor.wait(task_id), poll_interval=self.poll_interval, poll_failure_timeout=math.inf
            )
            # This triggerer may have stood still while another one went on.
            cursor = events.merge(cursor, await shelf.read())
            before = look.now - int(AIRFLOW_RUN_KNOWN * 1000) if self.ignore_airflow_runs else None
            runs = events.news(look, cursor, started_before=before)
            if not runs:
                continue
            elsewhere = await self._airflow_runs(task_id)
            news = _News(
                [
                    self._payload(run, task_id, task_name)
                    for run in runs
                    if self._fires(run) and run.run_id not in elsewhere
                ]
            )
            cursor = events.advance(cursor, look, runs)
            if news.records:
                await told.put(news)
                await news.taken.wait()
            # Not before the events are stored: a run told twice can be recognised, a lost one cannot.
            shelf.write_after(STORED_AFTER if news.records else 0.0, cursor)

    def _fires(self, run: Run) -> bool:
        if verdict.is_refused(run) and not self.include_refused:
            return False
        return run.execute_status.value in self.statuses

    def _payload(self, run: Run, task_id: str, task_name: str | None) -> dict[str, Any]:
        payload = run_summary(run, task_id)
        # Who else waits for the run is nothing that an event can know.
        del payload["joined"]
        return payload | ({"fdi_task_name": task_name} if task_name else {})

    def _accessors(self) -> list[Any]:
        return asset_state_accessors(getattr(self, "asset_state_store", None))

    async def _airflow_runs(self, task_id: str) -> set[str]:
        if not self.ignore_airflow_runs:
            return set()
        found: set[str] = set()
        for accessor in self._accessors():
            found.update(await accessor.aget(events.AIRFLOW_RUNS_KEY + task_id) or ())
        return found


@dataclass(slots=True)
class _News:
    records: list[dict[str, Any]]
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Airflow's runner has taken all of them."""


_writing: set[asyncio.Task[None]] = set()


class _Shelf:
    """Where the cursor is kept: with every asset of the trigger, or nowhere (Airflow < 3.3)."""

    def __init__(self, accessors: list[Any], key: str) -> None:
        self._accessors = accessors
        self._key = key
        self._last: asyncio.Task[None] | None = None

    async def read(self) -> events.Cursor | None:
        """What was kept; of several assets the furthest."""
        cursor: events.Cursor | None = None
        for accessor in self._accessors:
            kept = events.Cursor.from_json(await accessor.aget(self._key))
            cursor = events.merge(kept, cursor) if kept is not None else cursor
        return cursor

    async def write(self, cursor: events.Cursor) -> None:
        for accessor in self._accessors:
            await accessor.aset(self._key, cursor.to_json())

    def write_after(self, seconds: float, cursor: events.Cursor) -> None:
        """Write in the background, after what is still to be written; also if the trigger is cancelled."""
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
                log.warning("Airflow did not store how far runs were told (%s)", self._key, exc_info=True)


def _texts(value: str | Iterable[str] | None) -> list[str]:
    if value is None:
        return []
    texts = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"FdiRunEventTrigger: {value!r}: must be a text or a list of texts")
        if "{{" in text:
            raise ValueError(f"FdiRunEventTrigger: {text!r}: triggers of assets have no templates")
    return list(dict.fromkeys(texts))


def _id_of(client: FdiClient, task_name: str) -> str:
    return existing_task_named(task_name, client.list_tasks(name=task_name)).task_id


def _first_look(client: FdiClient, task_id: str) -> Look:
    rows = client.list_runs(task_id, begin_time=now_ms() - COMPLETED_LOOKBACK_MS)
    if verdict.run_in_progress(rows) is None and verdict.is_executing(task_state(client, task_id)[0]):
        # It has been at it for longer.
        rows = client.list_runs(task_id)
    return Look(server_now(rows.server_time), runs=tuple(rows))
