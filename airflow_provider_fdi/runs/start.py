"""The protocol that starts one run of an FDI task exactly once.

FDI's ``run`` returns no run id, its answer can be lost, and its log rows appear late. :func:`advance`
therefore stores its intent before it starts anything, recognises the run as a row that the log did not have
before, and never repeats a start whose outcome is not known. It takes one step after another until it must
wait for something. The caller decides how to wait, so the synchronous and the deferrable mode share all this.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.codes import OVERLAP_CODES
from airflow_provider_fdi.client.enums import TaskStatus
from airflow_provider_fdi.client.errors import (
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiResponseError,
    FdiThrottledError,
    is_permanent,
    said_with_code,
    task_label,
)
from airflow_provider_fdi.client.models import Task
from airflow_provider_fdi.clock import boot_time
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.polling import (
    find_in_log,
    poll_until,
    server_now,
    should_stop_polling,
    take_snapshot,
    task_state,
)
from airflow_provider_fdi.runs.state import RunRecord, TryState
from airflow_provider_fdi.runs.stop import terminate_own_run
from airflow_provider_fdi.runs.verdict import Match, Outcome
from airflow_provider_fdi.runs.waits import (
    LOOKBACK_MS,
    AnyRunAppears,
    LogIdle,
    RunAppears,
    RunEnds,
    Snapshot,
    TaskIdle,
    Wait,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import Listing, Run

log = logging.getLogger(__name__)

T = TypeVar("T")

ALREADY_STARTED = "FDI.3023"

UNSENT_BACKOFF = Backoff(base=1.0, cap=60.0, jitter=0.0, attempts=5, budget=math.inf)
"""For starts that cannot have been carried out (throttled, no connection). If the service asks for a longer
pause than the cap, the try fails."""

DATE_RESOLUTION_MS = 1_000
"""The ``Date`` header is cut to whole seconds: a time read from it may be this much too early."""

UNCONFIRMED_STARTS = 2
"""How many starts without an answer one try may send, each only after the one before was not carried out."""


class FdiStartError(FdiError):
    """A start that led to no run: accepted without a run in the log, or never answered."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the author of the DAG asked for, and which try asks."""

    fdi_task_id: str
    clear_generation: int
    try_number: int
    if_running: str = "wait"
    """One of ``constants.IF_RUNNING``."""
    start_grace: float = 120.0
    """Seconds within which the service shows a run in its log after starting it."""
    start_if_stopped: bool = False
    keeps_cleared: bool = False
    """What is remembered from before a clear was kept on purpose: continue with it."""
    terminate_cleared: bool = False
    """Terminate a run that this task started before it was cleared, if it is still going on."""
    poll_interval: float = 30.0
    poll_failure_timeout: float = 600.0
    """Seconds for which reading may fail; a start has its own rule."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over; :mod:`.verdict` decides what that means."""

    run: Run
    joined: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """Another run is in progress, and ``if_running`` is ``fail`` or ``skip``."""

    run: Run | None
    task_name: str | None = None
    running_for: float = 0.0
    """Seconds for which that run has lasted, as far as the log shows."""


Step = Wait | Ended | Busy


@dataclass(frozen=True, slots=True)
class TaskActivity:
    """What is going on around a start: the task's state and the rows of its log."""

    task: Task
    runs: Listing[Run]

    @property
    def executing(self) -> bool:
        return verdict.is_executing(self.task, self.runs)

    @property
    def label(self) -> str:
        """The task as messages name it."""
        return task_label(self.task.task_id, self.task.task_name)

    @property
    def now(self) -> int:
        return server_now(self.runs.server_time)


def advance(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    *,
    seen: Snapshot | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Step:
    """Take all steps towards one run and its end that are possible now; what to wait for, or how it ended.

    After a wait, call it again. It reads the state of the service, but for what ``seen`` shows.

    :param seen: the snapshot that ended the last wait, or that showed the task: taken a moment ago, or a run
        that is over, which does not change any more.
    :raises FdiError: the service refused, or cannot be reached; never for a start of unknown outcome.
    """
    if request.keeps_cleared:
        _adopt_cleared(try_state, request)
    while True:
        record = try_state.open_record
        if record is None or record.fdi_task_id != request.fdi_task_id:
            step = _begin(client, try_state, request, seen, sleep)
        elif record.run_id is None:
            step = _find_ours(client, try_state, request, record, seen)
        else:
            step = _follow(client, try_state, request, record, seen)
        if step is not None:
            return step
        seen = None


def _adopt_cleared(try_state: TryState, request: RunRequest) -> None:
    """Continue with a start or run from before the task was cleared, unless the task had ended with it."""
    record = try_state.open_record
    if record is None or record.concluded or record.clear_generation == request.clear_generation:
        return
    log.info("Continuing with what was begun before the task was cleared: its state was kept")
    try_state.update(clear_generation=request.clear_generation)


def _appearance_of(record: RunRecord) -> RunAppears:
    """The wait for the run of an intent to appear in the log."""
    return RunAppears(record.fdi_task_id, record.intent_time, record.deadline, record.baseline)


def _end_of(record: RunRecord) -> RunEnds:
    """The wait for the end of the run that is known."""
    return RunEnds(record.fdi_task_id, record.run_id or "", record.run_time)


def _begin(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    seen: Snapshot | None,
    sleep: Callable[[float], None],
) -> Step | None:
    """Start a run, unless another one is in progress. None: go on with the next step."""
    activity = _read_activity(client, request, seen)
    if activity.executing:
        return _handle_running(try_state, request, activity)
    if request.start_if_stopped and activity.task.status is TaskStatus.STOPPED:
        _activate(client, request.fdi_task_id, activity.task.task_name)
        # A schedule that is due fires at once: the baseline must be read after the activation.
        activity = _read_activity(client, request)
        if activity.executing:
            return _handle_running(try_state, request, activity)
    return _start(client, try_state, request, activity, sleep)


def _read(request: RunRequest, read: Callable[[], T], *, is_final: Callable[[FdiError], bool]) -> T:
    """Call ``read`` until the service can be reached, and return what it returns."""
    result = poll_until(
        read,
        poll_interval=request.poll_interval,
        poll_failure_timeout=request.poll_failure_timeout,
        poll_first=True,
        is_final=is_final,
    )
    assert result is not None
    return result


def _read_activity(client: FdiClient, request: RunRequest, seen: Snapshot | None = None) -> TaskActivity:
    def fetch() -> TaskActivity:
        nonlocal seen
        # Once only: after a failure it is a moment ago no longer.
        state, seen = seen, None
        return _fetch_activity(client, request, state)

    return _read(request, fetch, is_final=is_permanent)


def _fetch_activity(client: FdiClient, request: RunRequest, seen: Snapshot | None) -> TaskActivity:
    """Read the task's state, unless it was seen just now, and its log, once."""
    task: Task | None
    if seen is not None and isinstance(seen.task, Task):
        task, now = seen.task, seen.now
    else:
        task, now = task_state(client, request.fdi_task_id)
    if task is None:
        # ListTasks may lag or filter; ShowTask raises FdiNotFoundError for a task that does not exist.
        task = client.get_task(request.fdi_task_id)
    # The log last, so that the baseline is as recent as possible.
    runs = client.list_runs(request.fdi_task_id, begin_time=now - LOOKBACK_MS)
    if verdict.is_executing(task) and verdict.run_in_progress(runs) is None:
        # The run in progress began earlier.
        runs = client.list_runs(request.fdi_task_id)
    return TaskActivity(task, runs)


def _activate(client: FdiClient, fdi_task_id: str, task_name: str | None) -> None:
    """Start a task that is stopped."""
    log.info("%s is stopped, starting it (start_if_stopped)", task_label(fdi_task_id, task_name))
    for item in client.start_tasks([fdi_task_id]).failed:
        if item.error_code != ALREADY_STARTED:
            raise FdiStartError(
                f"{said_with_code(item.error_code, item.error_msg, 'The task cannot be started')}.",
                hint="The task is stopped and cannot be started. Give it a schedule if it has none, or set"
                " start_if_stopped=False.",
                error_code=item.error_code or "",
                operation="start_tasks",
                ids={"task_id": fdi_task_id},
                task_name=task_name,
            )


def _handle_running(try_state: TryState, request: RunRequest, activity: TaskActivity) -> Step:
    """Do what ``if_running`` says about a run in progress that is not ours."""
    run = verdict.run_in_progress(activity.runs)
    name = run.run_id if run else "that is not in the log yet"
    log.info(
        "%s is executing run %s, which this task did not start: if_running=%r",
        activity.label,
        name,
        request.if_running,
    )
    if request.if_running in ("fail", "skip"):
        began = (verdict.newest_time(run) if run is not None else 0) or activity.now
        return Busy(run, activity.task.task_name, max(0, activity.now - began) / 1000)
    if request.if_running == "wait":
        if run is not None and not verdict.is_executing(activity.task):
            # Only the log shows it: the state of the task would end the wait at once.
            return LogIdle(request.fdi_task_id, verdict.newest_time(run) or None)
        return TaskIdle(request.fdi_task_id)
    if run is None:
        deadline = activity.now + int(request.start_grace * 1000)
        return AnyRunAppears(request.fdi_task_id, activity.now, deadline)
    record = RunRecord(
        fdi_task_id=request.fdi_task_id,
        clear_generation=request.clear_generation,
        try_number=request.try_number,
        intent_time=activity.now,
        deadline=activity.now,
        run_id=run.run_id,
        run_time=verdict.newest_time(run) or activity.now,
        joined=True,
        fdi_task_name=activity.task.task_name,
    )
    return _end_of(try_state.write(record))


def _start(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    activity: TaskActivity,
    sleep: Callable[[float], None],
) -> Step | None:
    """Store the intent, then send the start. None: nothing was started, begin again."""
    if verdict.never_ends(activity.task):
        log.warning(
            "%s never ends by itself (real-time or composite): this task waits until its run fails or is"
            " stopped. Use FdiBatchOperator to start such a task, FdiTaskSensor to wait until it runs",
            activity.label,
        )
    _refuse_if_ended(try_state, request)
    written = boot_time()
    record = _write_intent(try_state, request, activity)
    if not try_state.is_stored:
        raise _not_started(request, "a newer try of the Airflow task has taken over")
    _refuse_if_ended(try_state, request)
    age = boot_time() - written
    if age > request.start_grace / 2:
        _discard_intent(try_state, request, record, age)
        return None
    no_answer: str | None = None
    sent = time.monotonic()
    try:
        client.run_task(request.fdi_task_id, resend=False)
    except FdiError as error:
        if not error.ambiguous:
            return _handle_refusal(client, try_state, request, error, sleep)
        log.warning(
            "The start of %s got no clear answer; searching the log for its run instead of starting anew: %s",
            record.task_label,
            error.brief,
        )
        no_answer = error.brief
    # The grace period counts from the latest moment at which the start can have been carried out.
    took = int((time.monotonic() - sent) * 1000)
    deadline = record.deadline + took
    return _appearance_of(
        try_state.update(accepted=no_answer is None, no_answer=no_answer, deadline=deadline)
    )


def _not_started(request: RunRequest, why: str) -> FdiStartError:
    """The failure of a try that sent no start."""
    ids = {"task_id": request.fdi_task_id}
    return FdiStartError(f"Nothing was started: {why}.", operation="run_task", ids=ids)


def _refuse_if_ended(try_state: TryState, request: RunRequest) -> None:
    if try_state.try_ended:
        raise _not_started(request, "Airflow has ended this try")


def _discard_intent(try_state: TryState, request: RunRequest, record: RunRecord, age: float) -> None:
    """Close an intent that became too old before its start was sent, a few times at most.

    A later try may be about to consider the intent as lost: a process that was frozen between storing its
    intent and sending the start must not send it when it wakes up.
    """
    if record.unsent + 1 >= UNSENT_BACKOFF.attempts:
        why = (
            f"storing the intent took {age:.1f} s, more than half of start_grace={request.start_grace:g} s,"
            f" {UNSENT_BACKOFF.attempts} times"
        )
        raise _not_started(request, why)
    log.warning(
        "Storing the intent to start FDI task %s took %.1f s, more than half of start_grace=%g s;"
        " nothing was started, beginning again",
        request.fdi_task_id,
        age,
        request.start_grace,
    )
    try_state.update(is_open=False, unsent=record.unsent + 1)


def _write_intent(try_state: TryState, request: RunRequest, activity: TaskActivity) -> RunRecord:
    """Store that a start is about to be sent, and which runs there were before."""
    before = try_state.record
    same_try = (
        before is not None
        and before.fdi_task_id == request.fdi_task_id
        and (before.clear_generation, before.try_number) == (request.clear_generation, request.try_number)
    )
    return try_state.write(
        RunRecord(
            fdi_task_id=request.fdi_task_id,
            clear_generation=request.clear_generation,
            try_number=request.try_number,
            intent_time=activity.now,
            deadline=activity.now + DATE_RESOLUTION_MS + int(request.start_grace * 1000),
            baseline=tuple(run.run_id for run in activity.runs),
            fdi_task_name=activity.task.task_name,
            unsent=before.unsent if before is not None and same_try else 0,
            unconfirmed=before.unconfirmed if before is not None and same_try else 0,
        )
    )


def _handle_refusal(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    error: FdiError,
    sleep: Callable[[float], None],
) -> Step | None:
    """Close the intent of a start that was certainly not carried out. None: begin again."""
    record = try_state.update(is_open=False)
    if isinstance(error, (FdiThrottledError, FdiConnectionError)):
        attempt = record.unsent + 1
        asked = error.retry_after if isinstance(error, FdiThrottledError) else None
        pause = UNSENT_BACKOFF.delay(attempt, asked)
        if not UNSENT_BACKOFF.allows(attempt, 0.0, pause, asked):
            raise error
        try_state.update(unsent=attempt)
        log.warning("The start was not carried out, trying again in %.0f s: %s", pause, error.brief)
        sleep(pause)
        return None
    if not _says_overlap(error):
        raise error
    activity = _read_activity(client, request)
    if activity.executing:
        return _handle_running(try_state, request, activity)
    if all(run.run_id in record.baseline or verdict.is_refused(run) for run in activity.runs):
        raise error
    # The run that was in the way has started and ended since the activity was read.
    return None


def _says_overlap(error: FdiError) -> bool:
    """Whether the start was refused because a run is in progress."""
    return isinstance(error, FdiConflictError) or (
        isinstance(error, FdiResponseError) and error.error_code in OVERLAP_CODES
    )


def _find_ours(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    record: RunRecord,
    seen: Snapshot | None,
) -> Step | None:
    """Find out what happened to an intent that was stored. None: that is settled, take the next step."""
    result, shown, executing = _read(
        request, lambda: _search_for_ours(client, record, seen), is_final=should_stop_polling
    )
    if result.match is Match.NOT_YET:
        return _appearance_of(record)
    if result.match is Match.FOUND and result.run is not None:
        if result.doubtful:
            log.warning(
                "Only run %s appeared since the start of %s, and its time is earlier: treating it as ours."
                " The clocks of the service seem to differ",
                result.run.run_id,
                record.task_label,
            )
        elif result.candidates > 1:
            log.warning(
                "%d runs of %s appeared since the start; treating the earliest, %s, as ours",
                result.candidates,
                record.task_label,
                result.run.run_id,
            )
        started = verdict.newest_time(result.run) or record.intent_time
        record = try_state.update(run_id=result.run.run_id, run_time=started)
        return _judge(client, try_state, request, record, result.run, shown.now)
    if executing and verdict.run_in_progress(shown.runs) is None:
        # It is executing something that its log does not show: starting again could be a second start.
        deadline = shown.now + int(request.start_grace * 1000)
        return AnyRunAppears(record.fdi_task_id, record.intent_time, deadline)
    if result.match is Match.REFUSED:
        log.info("FDI refused the start: a run of %s was still in progress", record.task_label)
        try_state.update(is_open=False)
        return None
    _give_up_searching(try_state, request, record)
    return None


def _search_for_ours(
    client: FdiClient, record: RunRecord, seen: Snapshot | None
) -> tuple[verdict.MatchResult, Snapshot, bool]:
    """Search the log for our run: the match, the rows, and whether the task is executing anything."""
    shown = seen if seen is not None and seen.runs else take_snapshot(client, _appearance_of(record))
    result = _locate(record, shown)
    executing = False
    if result.match in (Match.NEVER, Match.REFUSED):
        # Another start may follow, so check once more. The state first: a run that ends in between is then in
        # the log. And the whole log: a run in progress may lack the time by which begin_time filters.
        executing = verdict.is_executing(task_state(client, record.fdi_task_id)[0])
        rows = client.list_runs(record.fdi_task_id)
        shown = Snapshot(server_now(rows.server_time), tuple(rows))
        result = _locate(record, shown)
    return result, shown, executing


def _locate(record: RunRecord, shown: Snapshot) -> verdict.MatchResult:
    """Which of the rows is the run of this record."""
    return verdict.locate(
        shown.runs,
        baseline=record.baseline,
        intent_time=record.intent_time,
        deadline=record.deadline,
        now=shown.now,
        accepted=record.accepted,
    )


def _give_up_searching(try_state: TryState, request: RunRequest, record: RunRecord) -> None:
    """Close an intent whose run did not appear within the grace period.

    :raises FdiStartError: the start was accepted, or too many starts of this try got no answer.
    """
    unconfirmed = record.unconfirmed + 1
    try_state.update(is_open=False, unconfirmed=unconfirmed)
    same_try = (record.clear_generation, record.try_number) == (request.clear_generation, request.try_number)
    if same_try and (record.accepted or unconfirmed >= UNCONFIRMED_STARTS):
        how = (
            "The service accepted the start"
            if record.accepted
            else f"{unconfirmed} starts were left unanswered ({record.no_answer or 'the worker died'})"
        )
        raise FdiStartError(
            f"No run appeared in the task's log within {request.start_grace:g} s.",
            hint=f"{how}. If the log is known to lag longer, raise start_grace.",
            operation="run_task",
            ids={"task_id": record.fdi_task_id},
            task_name=record.fdi_task_name,
        )
    log.info("No run of %s appeared: the start was not carried out", record.task_label)


def _follow(
    client: FdiClient,
    try_state: TryState,
    request: RunRequest,
    record: RunRecord,
    seen: Snapshot | None,
) -> Step | None:
    """Decide by the log what to do about the run that is known. None: forget it and begin again."""
    run = verdict.find_run(seen.runs, record.run_id or "") if seen is not None else None
    if seen is not None and run is not None:
        return _judge(client, try_state, request, record, run, seen.now)
    begin_time = (record.run_time or 0) - LOOKBACK_MS

    def find() -> tuple[Run | None, Listing[Run]]:
        return find_in_log(
            client, record.fdi_task_id, begin_time, lambda rows: verdict.find_run(rows, record.run_id or "")
        )

    run, rows = _read(request, find, is_final=should_stop_polling)
    if run is None:
        if record.clear_generation != request.clear_generation:
            _forget(try_state, f"run {record.run_id} belongs to an execution that was cleared")
            return None
        return _end_of(record)
    return _judge(client, try_state, request, record, run, server_now(rows.server_time))


def _judge(
    client: FdiClient, try_state: TryState, request: RunRequest, record: RunRecord, run: Run, now: int
) -> Step | None:
    """Decide by its row what to do about the run that is known. None: forget it and begin again."""
    result = verdict.outcome(run)
    if record.clear_generation != request.clear_generation:
        if result is Outcome.GOING_ON and record.is_ours and request.terminate_cleared:
            log.info("Run %s belongs to an execution that was cleared: terminating it", run.run_id)
            terminate_own_run(client, record)
            try_state.record = None
            return LogIdle(request.fdi_task_id, verdict.newest_time(run) or None)
        _forget(try_state, f"run {run.run_id} belongs to an execution that was cleared")
        return None
    if record.try_number == request.try_number:
        if result is Outcome.CANCELLED and _cancelled_by_kill(record, run):
            _forget(try_state, f"run {run.run_id} was cancelled when the try before this one was killed")
            return None
        return _end_of(record) if result is Outcome.GOING_ON else Ended(run, record.joined)
    if result is Outcome.GOING_ON:
        log.info("Joining run %s of %s, which an earlier try started", run.run_id, record.task_label)
        return _end_of(try_state.update(try_number=request.try_number, rejoined_at=now))
    if result in (Outcome.FAILED, Outcome.CANCELLED):
        _forget(try_state, f"run {run.run_id} of an earlier try ended as {run.execute_status.value}")
        return None
    log.info("Run %s ended while no try was waiting for it; nothing was started", run.run_id)
    return Ended(run, record.joined)


def _forget(try_state: TryState, why: str) -> None:
    """Forget the record in memory only: the store keeps it until the next intent overwrites it, so that a
    crash in between does not lose it."""
    log.info("Starting again: %s", why)
    try_state.record = None


def _cancelled_by_kill(record: RunRecord, run: Run) -> bool:
    """Whether the kill of the try before this one cancelled a run that this try found active."""
    grace = record.deadline - record.intent_time
    return (
        record.rejoined_at is not None
        and not record.joined
        and verdict.completed_time(run) <= record.rejoined_at + grace
    )
