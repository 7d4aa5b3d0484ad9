"""The protocol that starts one run of an FDI task exactly once.

FDI's ``run`` returns no run id, its answer can be lost, and its log rows appear late. :func:`advance`
therefore writes the intent down before it starts anything, recognises the run by what the log did not hold
before, and never sends a start again whose outcome is not known. It does one step after the other until
something must be waited for; how to wait is the caller's business, so the synchronous and the deferrable mode
share all of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from airflow_provider_fdi.client.errors import (
    FdiConflictError,
    FdiConnectionError,
    FdiError,
    FdiResponseError,
    FdiThrottledError,
    describe,
)
from airflow_provider_fdi.client.models import Listing, Run, Task, TaskStatus
from airflow_provider_fdi.runs import verdict
from airflow_provider_fdi.runs.clock import boot_time
from airflow_provider_fdi.runs.record import Book, RunRecord
from airflow_provider_fdi.runs.stop import terminate_own_run
from airflow_provider_fdi.runs.verdict import Outcome, Sighting
from airflow_provider_fdi.runs.wait import (
    IDLE,
    LOOKBACK_MS,
    QUIET,
    VISIBLE,
    Wait,
    find_in_log,
    for_end_of,
    for_our_run,
    is_hopeless,
    is_refused_read,
    look_until,
    server_now,
    task_state,
)

if TYPE_CHECKING:
    from airflow_provider_fdi.client.client import FdiClient

log = logging.getLogger(__name__)

T = TypeVar("T")

IfRunning = Literal["wait", "join", "fail", "skip"]
IF_RUNNING: tuple[IfRunning, ...] = get_args(IfRunning)

ALREADY_STARTED = "FDI.3023"

OVERLAP_CODES = frozenset({"FDI.3023", "FDI.3026"})
"""What a refused start may say while a run is active."""

UNSENT_ATTEMPTS = 5
"""How often a start is tried that cannot have been carried out (throttled, no connection)."""
UNSENT_PAUSE = 1.0
UNSENT_PAUSE_CAP = 60.0
"""Seconds; a service that asks for a longer pause gets the whole try ended instead."""

DATE_RESOLUTION_MS = 1_000
"""The ``Date`` header is cut to whole seconds: a time read from it may be this much too early."""

UNCONFIRMED_STARTS = 2
"""How many starts without an answer one try may send, each only after the one before was not carried out."""


class FdiStartError(FdiError):
    """A start that led to no run: accepted without a run in the log, or never answered."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the author of the DAG asked for, and which try of which chain of tries asks."""

    fdi_task_id: str
    chain: int
    try_number: int
    if_running: IfRunning = "wait"
    start_grace: float = 120.0
    """Seconds within which the service shows a run in its log after starting it."""
    start_if_stopped: bool = False
    terminate_cleared: bool = False
    """Terminate a run that this task started before it was cleared, if it is still going on."""
    poll_interval: float = 30.0
    poll_failure_timeout: float = 600.0
    """Seconds for which reading may fail; a start has its own rule."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over; what that means is for :mod:`.verdict` to say."""

    run: Run
    joined: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """Another run is in progress, and ``if_running`` is ``fail`` or ``skip``."""

    run: Run | None


Step = Wait | Ended | Busy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is going on around a start: the task's state and the rows of its log."""

    task: Task
    runs: Listing[Run]

    @property
    def executing(self) -> bool:
        return verdict.is_executing(self.task, self.runs)

    @property
    def now(self) -> int:
        return server_now(self.runs.server_time)


def advance(
    client: FdiClient, book: Book, request: RunRequest, *, sleep: Callable[[float], None] = time.sleep
) -> Step:
    """Do all that can be done now towards one run and its end; return what to wait for, or how it ended.

    After a wait, call it again: it looks at the service anew and takes nothing on trust.

    :raises FdiError: the service refused, or cannot be reached; never for a start of unknown outcome.
    """
    while True:
        record = book.record
        if record is None or record.closed or record.fdi_task_id != request.fdi_task_id:
            step = _begin(client, book, request, sleep)
        elif record.run_id is None:
            step = _find_ours(client, book, request)
        else:
            step = _follow(client, book, request, record)
        if step is not None:
            return step


def _begin(client: FdiClient, book: Book, request: RunRequest, sleep: Callable[[float], None]) -> Step | None:
    around = _look_around(client, request)
    if around.executing:
        return _meet(book, request, around)
    if request.start_if_stopped and around.task.status is TaskStatus.STOPPED:
        _activate(client, request.fdi_task_id)
        # A schedule that is due fires at once: the baseline must be younger than the activation.
        around = _look_around(client, request)
        if around.executing:
            return _meet(book, request, around)
    return _start(client, book, request, around, sleep)


def _read(request: RunRequest, read: Callable[[], T], *, is_final: Callable[[FdiError], bool]) -> T:
    """What ``read`` returns; it is called again while the service cannot be reached."""
    result = look_until(
        read,
        poll_interval=request.poll_interval,
        poll_failure_timeout=request.poll_failure_timeout,
        look_first=True,
        is_final=is_final,
    )
    assert result is not None
    return result


def _look_around(client: FdiClient, request: RunRequest) -> Surroundings:
    return _read(request, lambda: _surroundings(client, request), is_final=is_refused_read)


def _surroundings(client: FdiClient, request: RunRequest) -> Surroundings:
    task, now = task_state(client, request.fdi_task_id)
    if task is None:
        # ListTasks may lag or filter; ShowTask raises FdiNotFoundError for a task that is not there.
        task = client.get_task(request.fdi_task_id)
    # The log last, so that the baseline is as young as can be.
    runs = client.list_runs(request.fdi_task_id, begin_time=now - LOOKBACK_MS)
    if verdict.is_executing(task) and verdict.run_in_progress(runs) is None:
        # What it executes began longer ago.
        runs = client.list_runs(request.fdi_task_id)
    return Surroundings(task, runs)


def _activate(client: FdiClient, fdi_task_id: str) -> None:
    log.info("FDI task %s is stopped, starting it (start_if_stopped)", fdi_task_id)
    for item in client.start_tasks([fdi_task_id]).failed:
        if item.error_code != ALREADY_STARTED:
            ids = {"task_id": fdi_task_id}
            raise FdiStartError(
                f"{describe('start_tasks', ids)}: the task cannot be started: {item.error_code}"
                f" {item.error_msg}. Give it a schedule if it has none, or set start_if_stopped=False",
                operation="start_tasks",
                ids=ids,
            )


def _meet(book: Book, request: RunRequest, around: Surroundings) -> Step:
    """A run that is not ours is in progress: go by ``if_running``."""
    run = verdict.run_in_progress(around.runs)
    name = run.run_id if run else "that is not in the log yet"
    log.info(
        "FDI task %s is executing run %s, which this task did not start: if_running=%r",
        request.fdi_task_id,
        name,
        request.if_running,
    )
    if request.if_running in ("fail", "skip"):
        return Busy(run)
    if request.if_running == "wait":
        if run is not None and not verdict.is_executing(around.task):
            # Only the log says so: the state of the task would end the wait at once.
            return Wait(request.fdi_task_id, QUIET, since=verdict.newest_time(run) or None)
        return Wait(request.fdi_task_id, IDLE)
    if run is None:
        deadline = around.now + int(request.start_grace * 1000)
        return Wait(request.fdi_task_id, VISIBLE, since=around.now, deadline=deadline)
    record = RunRecord(
        fdi_task_id=request.fdi_task_id,
        chain=request.chain,
        try_number=request.try_number,
        intent_time=around.now,
        deadline=around.now,
        run_id=run.run_id,
        run_time=verdict.newest_time(run) or around.now,
        joined=True,
    )
    return for_end_of(book.write(record))


def _start(
    client: FdiClient,
    book: Book,
    request: RunRequest,
    around: Surroundings,
    sleep: Callable[[float], None],
) -> Step | None:
    """Write the intent, then start. None: nothing was started, begin anew."""
    if verdict.never_ends(around.task):
        log.warning(
            "FDI task %s never ends by itself (real-time or composite): its run will be waited for until it"
            " fails or is stopped. FdiBatchOperator starts such a task, FdiTaskSensor tells when it runs",
            request.fdi_task_id,
        )
    _refuse_if_ended(book, request)
    written = boot_time()
    record = _write_intent(book, request, around)
    if not book.is_stored:
        raise FdiStartError(
            f"{_about_start(request)}: nothing was started: a newer try of the Airflow task has taken over",
            operation="run_task",
            ids={"task_id": request.fdi_task_id},
        )
    _refuse_if_ended(book, request)
    age = boot_time() - written
    if age > request.start_grace / 2:
        _give_up_intent(book, request, record, age)
        return None
    no_answer: str | None = None
    sent = time.monotonic()
    try:
        client.run_task(request.fdi_task_id, resend=False)
    except FdiError as error:
        if not error.ambiguous:
            return _take_refusal(client, book, request, error, sleep)
        log.warning(
            "The start of FDI task %s got no clear answer; looking for its run instead of starting again: %s",
            request.fdi_task_id,
            error,
        )
        no_answer = str(error)
    # The grace counts from when the start can last have been carried out.
    took = int((time.monotonic() - sent) * 1000)
    deadline = record.deadline + took
    return for_our_run(book.update(accepted=no_answer is None, no_answer=no_answer, deadline=deadline))


def _about_start(request: RunRequest) -> str:
    return describe("run_task", {"task_id": request.fdi_task_id})


def _refuse_if_ended(book: Book, request: RunRequest) -> None:
    if book.try_ended:
        raise FdiStartError(
            f"{_about_start(request)}: nothing was started: Airflow has ended this try",
            operation="run_task",
            ids={"task_id": request.fdi_task_id},
        )


def _give_up_intent(book: Book, request: RunRequest, record: RunRecord, age: float) -> None:
    """Nothing was sent: a later try may be about to take the intent for lost. Begin anew, a few times.

    A process that was stopped between its intent and its request must not send it when it wakes.
    """
    if record.unsent + 1 >= UNSENT_ATTEMPTS:
        raise FdiStartError(
            f"{_about_start(request)}: nothing was started: storing the intent took {age:.1f} s,"
            f" more than half of start_grace={request.start_grace:g} s, {UNSENT_ATTEMPTS} times",
            operation="run_task",
            ids={"task_id": request.fdi_task_id},
        )
    log.warning(
        "Storing the intent to start FDI task %s took %.1f s, more than half of start_grace=%g s;"
        " nothing was started, beginning anew",
        request.fdi_task_id,
        age,
        request.start_grace,
    )
    book.update(closed=True, unsent=record.unsent + 1)


def _write_intent(book: Book, request: RunRequest, around: Surroundings) -> RunRecord:
    before = book.record
    same_try = (
        before is not None
        and before.fdi_task_id == request.fdi_task_id
        and (before.chain, before.try_number) == (request.chain, request.try_number)
    )
    return book.write(
        RunRecord(
            fdi_task_id=request.fdi_task_id,
            chain=request.chain,
            try_number=request.try_number,
            intent_time=around.now,
            deadline=around.now + DATE_RESOLUTION_MS + int(request.start_grace * 1000),
            baseline=tuple(run.run_id for run in around.runs),
            unsent=before.unsent if before is not None and same_try else 0,
            unconfirmed=before.unconfirmed if before is not None and same_try else 0,
        )
    )


def _take_refusal(
    client: FdiClient, book: Book, request: RunRequest, error: FdiError, sleep: Callable[[float], None]
) -> Step | None:
    """The start was certainly not carried out: close the intent, so that nobody looks for its run."""
    record = book.update(closed=True)
    if isinstance(error, (FdiThrottledError, FdiConnectionError)):
        pause = min(UNSENT_PAUSE * 2**record.unsent, UNSENT_PAUSE_CAP)
        if isinstance(error, FdiThrottledError) and error.retry_after is not None:
            pause = error.retry_after
        if record.unsent + 1 >= UNSENT_ATTEMPTS or pause > UNSENT_PAUSE_CAP:
            raise error
        book.update(unsent=record.unsent + 1)
        log.warning("The start was not carried out, trying again in %.0f s: %s", pause, error)
        sleep(pause)
        return None
    if not _says_overlap(error):
        raise error
    around = _look_around(client, request)
    if around.executing:
        return _meet(book, request, around)
    if all(run.run_id in record.baseline or verdict.is_refused(run) for run in around.runs):
        raise error
    # The run that was in the way has come and gone since the look around.
    return None


def _says_overlap(error: FdiError) -> bool:
    return isinstance(error, FdiConflictError) or (
        isinstance(error, FdiResponseError) and error.error_code in OVERLAP_CODES
    )


def _find_ours(client: FdiClient, book: Book, request: RunRequest) -> Step | None:
    """An intent was written: find out what has become of it. None: it is settled, go on from there."""
    record = _of(book)
    seen, rows, executing = _read(request, lambda: _look_for_ours(client, record), is_final=is_hopeless)
    if seen.sighting is Sighting.NOT_YET:
        return for_our_run(record)
    if seen.sighting is Sighting.FOUND and seen.run is not None:
        if seen.doubtful:
            log.warning(
                "Nothing but run %s appeared since the start of FDI task %s, with a time before it: taking it"
                " for ours. The clocks of the service seem to differ",
                seen.run.run_id,
                record.fdi_task_id,
            )
        elif seen.candidates > 1:
            log.warning(
                "%d runs of FDI task %s appeared since the start; taking the earliest, %s, for ours",
                seen.candidates,
                record.fdi_task_id,
                seen.run.run_id,
            )
        started = verdict.newest_time(seen.run) or record.intent_time
        record = book.update(run_id=seen.run.run_id, run_time=started)
        return _judge(client, book, request, record, seen.run, server_now(rows.server_time))
    if executing and verdict.run_in_progress(rows) is None:
        # It is executing something that its log does not show: starting again would be a guess.
        deadline = server_now(rows.server_time) + int(request.start_grace * 1000)
        return Wait(record.fdi_task_id, VISIBLE, since=record.intent_time, deadline=deadline)
    if seen.sighting is Sighting.REFUSED:
        log.info("FDI refused the start: a run of task %s was still in progress", record.fdi_task_id)
        book.update(closed=True)
        return None
    _give_up_looking(book, request, record)
    return None


def _look_for_ours(client: FdiClient, record: RunRecord) -> tuple[verdict.Located, Listing[Run], bool]:
    """What the log shows of our start, its rows, and whether the task is executing anything."""
    rows = client.list_runs(record.fdi_task_id, begin_time=record.intent_time - LOOKBACK_MS)
    seen = _locate(record, rows)
    executing = False
    if seen.sighting in (Sighting.NEVER, Sighting.REFUSED):
        # The last word before another start. The state first: what ends in between is then in the log. And
        # the whole log: a run in progress may lack the time by which begin_time filters.
        executing = verdict.is_executing(task_state(client, record.fdi_task_id)[0])
        rows = client.list_runs(record.fdi_task_id)
        seen = _locate(record, rows)
    return seen, rows, executing


def _locate(record: RunRecord, rows: Listing[Run]) -> verdict.Located:
    return verdict.locate(
        rows,
        baseline=record.baseline,
        intent_time=record.intent_time,
        deadline=record.deadline,
        now=server_now(rows.server_time),
        accepted=record.accepted,
    )


def _give_up_looking(book: Book, request: RunRequest, record: RunRecord) -> None:
    """No run appeared within the grace."""
    unconfirmed = record.unconfirmed + 1
    book.update(closed=True, unconfirmed=unconfirmed)
    same_try = (record.chain, record.try_number) == (request.chain, request.try_number)
    if same_try and (record.accepted or unconfirmed >= UNCONFIRMED_STARTS):
        how = (
            "the service accepted the start"
            if record.accepted
            else f"{unconfirmed} starts were left unanswered ({record.no_answer or 'the worker died'})"
        )
        ids = {"task_id": record.fdi_task_id}
        raise FdiStartError(
            f"{describe('run_task', ids)}: {how}, but no run appeared in the task's log within"
            f" {request.start_grace:g} s. If the log is known to lag longer, raise start_grace",
            operation="run_task",
            ids=ids,
        )
    log.info("No run of FDI task %s appeared: the start was not carried out", record.fdi_task_id)


def _follow(client: FdiClient, book: Book, request: RunRequest, record: RunRecord) -> Step | None:
    """A run is known: is it going on, over, or an old story. None: forget it and begin anew."""
    begin_time = (record.run_time or 0) - LOOKBACK_MS

    def find() -> tuple[Run | None, Listing[Run]]:
        return find_in_log(
            client, record.fdi_task_id, begin_time, lambda rows: verdict.find_run(rows, record.run_id or "")
        )

    run, rows = _read(request, find, is_final=is_hopeless)
    if run is None:
        if record.chain != request.chain:
            return _forget(book, f"run {record.run_id} belongs to an execution that was cleared")
        return for_end_of(record)
    return _judge(client, book, request, record, run, server_now(rows.server_time))


def _judge(
    client: FdiClient, book: Book, request: RunRequest, record: RunRecord, run: Run, now: int
) -> Step | None:
    result = verdict.outcome(run)
    if record.chain != request.chain:
        if result is Outcome.GOING_ON and record.ours and request.terminate_cleared:
            log.info("Run %s belongs to an execution that was cleared: terminating it", run.run_id)
            terminate_own_run(client, record)
            book.record = None
            return Wait(request.fdi_task_id, QUIET, since=verdict.newest_time(run) or None)
        return _forget(book, f"run {run.run_id} belongs to an execution that was cleared")
    if record.try_number == request.try_number:
        if result is Outcome.CANCELLED and _echo_of_a_kill(record, run):
            return _forget(book, f"run {run.run_id} was cancelled when the try before this one was killed")
        return for_end_of(record) if result is Outcome.GOING_ON else Ended(run, record.joined)
    if result is Outcome.GOING_ON:
        log.info(
            "Joining run %s of FDI task %s, which an earlier try started", run.run_id, record.fdi_task_id
        )
        return for_end_of(book.update(try_number=request.try_number, rejoined_at=now))
    if result in (Outcome.FAILED, Outcome.CANCELLED):
        return _forget(book, f"run {run.run_id} of an earlier try ended as {run.execute_status.value}")
    log.info("Run %s ended while nobody watched; taking its success, nothing was started", run.run_id)
    return Ended(run, record.joined)


def _forget(book: Book, why: str) -> Step | None:
    log.info("Starting anew: %s", why)
    # In memory only: the store keeps the record until the next intent overwrites it, so that no crash in
    # between can lose what it says.
    book.record = None
    return None


def _echo_of_a_kill(record: RunRecord, run: Run) -> bool:
    """Whether a run that this try found active was ended by the killed try before it."""
    grace = record.deadline - record.intent_time
    return (
        record.rejoined_at is not None
        and not record.joined
        and verdict.completed_time(run) <= record.rejoined_at + grace
    )


def _of(book: Book) -> RunRecord:
    if book.record is None:
        raise LookupError("there is no record of a start")
    return book.record
