"""What can be waited for in FDI: a small class for each kind, and how the service is polled until it is over.

A :class:`Wait` is plain data, small enough for a trigger's arguments. Whether it is over is one pure
decision, :meth:`Wait.is_over`, whoever polled: a worker, or the poller of a triggerer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_fdi.client.enums import ExecuteStatus
from airflow_provider_fdi.runs import verdict

if TYPE_CHECKING:
    from airflow_provider_fdi.client.models import Run, Task, TaskMonitor

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOKBACK_MS = 3_600_000
"""How much earlier than the awaited time the log is read: which of a row's times ``begin_time`` filters is
not documented, and a run may have been queued for a while."""

COMPLETED_LOOKBACK_MS = 24 * LOOKBACK_MS
"""How much earlier the log is read for runs of which only the time of their end is known."""

START_TIME_SLACK_MS = 1_000
"""``last_execute_time`` and the row of the same run may differ by this much."""


LOG_LAG_MS = 600_000
"""For how long after its start a run whose row is missing keeps its task's log being read."""

Signature = tuple[ExecuteStatus, "int | None"]
"""State and start of a task's latest execution, as a page of tasks reports them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one poll of the service showed: the rows of the log, or the state of the task."""

    now: int
    """The server's time, in ms."""
    runs: tuple[Run, ...] = ()
    task: Task | TaskMonitor | None = None


# --- the kinds of wait ------------------------------------------------------------------------------------


class Wait:
    """One thing to wait for: the interface of all kinds, each of which is a frozen dataclass.

    All times are the server's, in ms since the epoch.
    """

    __slots__ = ()

    kind: ClassVar[str]
    """Name of the class in JSON."""
    in_log: ClassVar[bool] = True
    """Whether the run log decides it; otherwise the state of the task does."""
    hinted_by_pages: ClassVar[bool] = True
    """Whether a page of all tasks can show that the log need not be read."""
    expected_soon: ClassVar[bool] = False
    """Whether it is usually over within seconds, so that deferring costs more than waiting in the worker."""

    fdi_task_id: str

    def is_over(self, snapshot: Snapshot) -> bool:
        """Whether what is waited for has happened, or can be waited for no longer."""
        raise NotImplementedError

    @property
    def begin_time(self) -> int | None:
        """From when on the log must be read for this wait; None: all of it."""
        return None

    @property
    def required_run(self) -> str | None:
        """Id of the run without whose row in the log nothing can be decided."""
        return None

    def find(self, runs: Iterable[Run]) -> Run | None:
        """The run that ends this wait, or is known to be the one waited for."""
        return None

    def reading_from(self, begin: int) -> Wait:
        """The same wait for runs that may have started as early as ``begin``."""
        return self

    def hinted_by(self, monitor: TaskMonitor, accounted_for: Signature | None) -> bool:
        """Whether the task's row in a page is a reason to read its log.

        :param accounted_for: the state that the log has accounted for; None: the log was not read yet.
        """
        return True

    def log_is_late(self, snapshot: Snapshot, reported: Signature | None) -> bool:
        """Whether a page reported more than the log shows yet: the same state must then lead there again."""
        return False

    def to_json(self) -> dict[str, Any]:
        """As trigger arguments: JSON types only, defaults left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return {"kind": self.kind} | {k: v for k, v in arguments.items() if v not in (None, [])}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Wait:
        """Read what :meth:`to_json` returned.

        :raises TypeError: the kind or one of its fields is not known. Of all errors in the constructor of a
            trigger, a triggerer survives only this one.
        """
        arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        kind = arguments.pop("kind", None)
        if kind not in _KINDS:
            raise TypeError(f"unknown wait: kind={kind!r}")
        return _KINDS[kind](**arguments)


def _lookback(start: int | None, by: int = LOOKBACK_MS) -> int | None:
    # The service knows no time before 1970.
    return None if start is None else max(start - by, 1)


@dataclass(frozen=True, slots=True)
class RunAppears(Wait):
    """Our run appears in the log, or ``deadline`` passes."""

    kind = "run_appears"
    hinted_by_pages = False
    expected_soon = True

    fdi_task_id: str
    intent_time: int
    deadline: int
    baseline: tuple[str, ...] = ()
    """Ids of the runs that were there before the start."""

    @property
    def begin_time(self) -> int | None:
        return _lookback(self.intent_time)

    def is_over(self, snapshot: Snapshot) -> bool:
        result = verdict.locate(
            snapshot.runs,
            baseline=self.baseline,
            intent_time=self.intent_time,
            deadline=self.deadline,
            now=snapshot.now,
        )
        return result.match is not verdict.Match.NOT_YET


@dataclass(frozen=True, slots=True)
class RunEnds(Wait):
    """The run ``run_id`` is over."""

    kind = "run_ends"

    fdi_task_id: str
    run_id: str
    started: int | None = None
    """The time around which it started; None: unknown."""

    @property
    def begin_time(self) -> int | None:
        return _lookback(self.started)

    @property
    def required_run(self) -> str | None:
        return self.run_id

    def find(self, runs: Iterable[Run]) -> Run | None:
        return verdict.find_run(runs, self.run_id)

    def is_over(self, snapshot: Snapshot) -> bool:
        run = self.find(snapshot.runs)
        return run is not None and verdict.outcome(run) is not verdict.Outcome.GOING_ON

    def hinted_by(self, monitor: TaskMonitor, accounted_for: Signature | None) -> bool:
        last = monitor.last_execute_time
        # A task reported as over is reason enough each time: its row may be late.
        if last is None or not monitor.execute_status.is_active:
            return True
        is_later = last > (self.started or 0) + START_TIME_SLACK_MS
        return is_later and (accounted_for is None or last != accounted_for[1])


@dataclass(frozen=True, slots=True)
class AnyRunAppears(Wait):
    """A run in progress appears in the log, or ``deadline`` passes."""

    kind = "any_run_appears"
    hinted_by_pages = False

    fdi_task_id: str
    started: int
    """The time around which it started."""
    deadline: int

    @property
    def begin_time(self) -> int | None:
        return _lookback(self.started)

    def is_over(self, snapshot: Snapshot) -> bool:
        return verdict.run_in_progress(snapshot.runs) is not None or snapshot.now >= self.deadline


@dataclass(frozen=True, slots=True)
class LogIdle(Wait):
    """The task is executing no run, by its log."""

    kind = "log_idle"

    fdi_task_id: str
    started: int | None = None
    """The time around which the run in progress started; None: unknown."""

    @property
    def begin_time(self) -> int | None:
        return _lookback(self.started)

    def is_over(self, snapshot: Snapshot) -> bool:
        return verdict.run_in_progress(snapshot.runs) is None


@dataclass(frozen=True, slots=True)
class _NextEnd(Wait):
    """What waits for another run's end share: a page hints at it by another state or another execution."""

    fdi_task_id: str

    def hinted_by(self, monitor: TaskMonitor, accounted_for: Signature | None) -> bool:
        if accounted_for is None:
            return True
        # A new execution shows that the one before is over, also where no page ever reported that.
        is_another = monitor.last_execute_time != accounted_for[1]
        return is_another or (not monitor.execute_status.is_active and signature_of(monitor) != accounted_for)

    def log_is_late(self, snapshot: Snapshot, reported: Signature | None) -> bool:
        if reported is None:
            return False
        status, started = reported
        if verdict.run_in_progress(snapshot.runs) and not status.is_active:
            return True
        if started is None or snapshot.now - started > LOG_LAG_MS:
            return False
        return all(verdict.newest_time(run) < started - START_TIME_SLACK_MS for run in snapshot.runs)


@dataclass(frozen=True, slots=True)
class RunCompleted(_NextEnd):
    """A run ended at or after ``completed_after`` (None: whenever) in one of ``statuses``."""

    kind = "run_completed"

    statuses: tuple[str, ...]
    completed_after: int | None = None
    earliest_start: int | None = None
    """Where the execution that was the latest when the wait began had started long before: its start."""

    @property
    def begin_time(self) -> int | None:
        usual = _lookback(self.completed_after, COMPLETED_LOOKBACK_MS)
        early = _lookback(self.earliest_start)
        return usual if usual is None or early is None else min(usual, early)

    def find(self, runs: Iterable[Run]) -> Run | None:
        return verdict.latest_completed(
            runs,
            self.completed_after,
            lambda run: (
                run.execute_status.value in self.statuses or run.execute_status is ExecuteStatus.UNKNOWN
            ),
        )

    def reading_from(self, begin: int) -> Wait:
        return replace(self, earliest_start=begin)

    def is_over(self, snapshot: Snapshot) -> bool:
        return self.find(snapshot.runs) is not None

    def hinted_by(self, monitor: TaskMonitor, accounted_for: Signature | None) -> bool:
        if accounted_for is None:
            return not monitor.execute_status.is_active
        # Not super(): a dataclass with slots is another class than the one that super() remembers.
        return _NextEnd.hinted_by(self, monitor, accounted_for)


@dataclass(frozen=True, slots=True)
class UnreportedRunEnds(_NextEnd):
    """A run that is not in ``reported`` ended at or after ``ended_after``, in whatever state."""

    kind = "unreported_run_ends"

    started_after: int
    """No run that is still to be reported started earlier."""
    ended_after: int
    reported: tuple[str, ...] = ()

    @property
    def begin_time(self) -> int | None:
        return _lookback(self.started_after)

    def is_over(self, snapshot: Snapshot) -> bool:
        return bool(verdict.unreported_runs(snapshot.runs, self.reported, self.ended_after))


@dataclass(frozen=True, slots=True)
class TaskIdle(Wait):
    """The task is executing no run, by its state."""

    kind = "task_idle"
    in_log = False

    fdi_task_id: str

    def is_over(self, snapshot: Snapshot) -> bool:
        return snapshot.task is not None and not verdict.is_executing(snapshot.task)


@dataclass(frozen=True, slots=True)
class TaskHealthy(Wait):
    """A task that never ends is started and executing, or its execution ended as one of ``failures``."""

    kind = "task_healthy"
    in_log = False

    fdi_task_id: str
    failures: tuple[str, ...] = ()

    def is_over(self, snapshot: Snapshot) -> bool:
        task = snapshot.task
        return task is not None and verdict.health(task, self.failures) is not verdict.Health.NOT_YET


@dataclass(frozen=True, slots=True)
class TaskStatusIs(Wait):
    """The task is started (``RUNNING``) or stopped (``STOPPED``)."""

    kind = "task_status_is"
    in_log = False

    fdi_task_id: str
    status: str

    def is_over(self, snapshot: Snapshot) -> bool:
        return snapshot.task is not None and snapshot.task.status.value == self.status


_KINDS: dict[Any, Callable[..., Wait]] = {
    kind.kind: kind
    for kind in (
        RunAppears,
        RunEnds,
        AnyRunAppears,
        LogIdle,
        RunCompleted,
        UnreportedRunEnds,
        TaskIdle,
        TaskHealthy,
        TaskStatusIs,
    )
}


def signature_of(monitor: TaskMonitor) -> Signature:
    """The state of the task's latest execution and its start."""
    return monitor.execute_status, monitor.last_execute_time
