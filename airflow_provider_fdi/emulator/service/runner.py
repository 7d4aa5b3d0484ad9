"""Runs: dispatching, one at a time per task, scripted runs, cancelling, and the steps of their log.

A run of a task with a script follows the script on a timer. Any other run is carried out in a thread of its
own, at most `max_parallel_runs` of them at a time (streams not counted); the others wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.constants import (
    ADAPTER,
    NODE_END,
    NORMAL,
    READER,
    RUNTIME_CANCEL,
    RUNTIME_ERR,
    STEP_WORDS,
    SUCCESS_REMARKS,
    TASK_END,
    TERMINAL,
    WRITER,
)
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import service_error
from airflow_provider_fdi.emulator.service.state import Run, Script, Step, Store, Task

log = logging.getLogger("fdi-emulator")


class RunFailed(Exception):
    """The run ends as an error with this text as its remarks; `code` is its step code."""

    def __init__(self, text: str, code: int = 911) -> None:
        super().__init__(text)
        self.code = code


class RunCancelled(Exception):
    """The run was cancelled while it was being carried out."""


def position_of(code: int) -> str:
    """The part of the pipeline that a step code belongs to."""
    if 100 <= code < 500:
        return READER
    return WRITER if 500 <= code < 900 else ADAPTER


@dataclass(frozen=True)
class Job:
    """A run for the thread that carries it out: what is to be done, and how to tell how far it is."""

    runner: Runner
    task: Task
    run: Run

    def step(self, code: int, position_status: str = NORMAL, *, position: str | None = None) -> Step:
        """Add a step to the run's log."""
        return self.runner.step(self.task, self.run, code, position_status, position=position)

    def count(self, rows: int, dirty: int, size: int) -> None:
        """Count rows that were written."""
        with self.runner.store.lock:
            run = self.run
            run.rows += rows
            run.dirty += dirty
            run.size += size
            step = next(step for step in reversed(run.steps) if step.code == 502)
            step.rows, step.dirty, step.size = run.rows, run.dirty, run.size

    def check_cancelled(self) -> None:
        """Raise RunCancelled if the run was cancelled."""
        if self.run.cancel.is_set():
            raise RunCancelled


class Runner:
    """Starts runs, and ends them.

    `after` calls a function later (milliseconds, function); `work` carries out a run that has no script and
    returns the remarks of its success.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        switches: Switches,
        after: Callable[[int, Callable[[], object]], None],
        work: Callable[[Job], str],
    ) -> None:
        self.store = store
        self._clock = clock
        self._switches = switches
        self._after = after
        self._work = work
        self._slots = threading.Condition()
        self._busy = 0

    # Dispatching

    def dispatch(self, task: Task, trigger: str, planned_ms: int | None = None) -> Run:
        """Start one execution of `task` (`trigger`: manual, schedule or start).

        Raises ServiceError if an unfinished run refuses it and the refusal is an HTTP error.
        """
        with self.store.lock:
            now = self._clock.now_ms()
            if task.active is not None:
                return self._refuse(task, trigger, planned_ms or now)
            run = Run(task_id=task.id, trigger=trigger, dispatch_time=planned_ms or now)
            run.script = task.next_script()
            run.visible_at = self._visible_at(run.script.log_delay_ms if run.script else 0)
            self._note(task, trigger, run, accepted=True)
            task.runs.append(run)
            task.active = task.last = run
            self.step(task, run, 900)
            if run.script is not None:
                self._begin_script(task, run, run.script)
                return run
            run.thread = threading.Thread(
                target=self._execute, args=(task, run), name=f"run-{run.id[:8]}", daemon=True
            )
            run.thread.start()
            return run

    def _visible_at(self, delay_ms: int) -> float:
        """When a run dispatched now appears in the log, by time.monotonic(); 0: at once."""
        delay_ms = max(delay_ms, self._switches.run_log_delay_ms)
        return time.monotonic() + delay_ms / 1000 if delay_ms else 0.0

    def _refuse(self, task: Task, trigger: str, planned_ms: int) -> Run:
        code = self._switches.refused_code
        if trigger == "manual" and self._switches.overlap_style == "http":
            self._note(task, trigger, None, accepted=False, code="FDI.3026")
            raise service_error("FDI.3026")
        now = self._clock.now_ms()
        run = Run(task_id=task.id, trigger=trigger, dispatch_time=planned_ms, accepted=False)
        run.visible_at = self._visible_at(0)
        run.execute_status = "ERROR"
        run.start_time = run.end_time = now
        run.spend_ms = 0
        run.code = code
        run.position, run.position_status = position_of(code), RUNTIME_ERR
        run.remarks = STEP_WORDS.get(code, STEP_WORDS[914])
        run.steps = [
            Step(900, ADAPTER, NORMAL, "adapter", now, now, remarks=STEP_WORDS[900]),
            Step(code, run.position, RUNTIME_ERR, "adapter", now, now, remarks=run.remarks),
        ]
        self._note(task, trigger, run, accepted=False, code=str(code))
        # The row stands in the log, but the task's state stays that of the run in progress.
        task.runs.append(run)
        return run

    def _note(
        self, task: Task, trigger: str, run: Run | None, *, accepted: bool, code: str | None = None
    ) -> None:
        self.store.dispatches.append(
            {
                "task_id": task.id,
                "time": self._clock.now_ms(),
                "trigger": trigger,
                "accepted": accepted,
                "run_id": run.id if run else None,
                "code": code,
            }
        )

    # The timeline

    def step(
        self,
        task: Task,
        run: Run,
        code: int,
        position_status: str = NORMAL,
        *,
        position: str | None = None,
        stage: str | None = None,
        remarks: str | None = None,
    ) -> Step:
        """Add a step; the one before it ends. The run's own code and position follow the newest step."""
        with self.store.lock:
            now = self._clock.now_ms()
            place = position or position_of(code)
            _end_last_step(run, now)
            step = Step(
                code,
                place,
                position_status,
                stage or {ADAPTER: "adapter", READER: "rdbreader", WRITER: "rdbwriter"}[place],
                now,
                rows=run.rows,
                dirty=run.dirty,
                size=run.size,
                remarks=remarks if remarks is not None else STEP_WORDS.get(code, ""),
            )
            run.steps.append(step)
            run.code, run.position, run.position_status = code, place, position_status
            task.touch()
            return step

    def started(self, task: Task, run: Run) -> None:
        """Move a run from WAITING to RUNNING."""
        with self.store.lock:
            if not run.active:
                return
            run.execute_status = "RUNNING"
            run.start_time = self._clock.now_ms()
            run.started_at = time.monotonic()
            self.step(task, run, 99)

    def finish(self, task: Task, run: Run, status: str, remarks: str) -> bool:
        """End a run; False if it has ended already."""
        with self.store.lock:
            if not run.active:
                return False
            now = self._clock.now_ms()
            _end_last_step(run, now)
            run.execute_status = status
            run.remarks = remarks
            if run.start_time is None:
                run.start_time = now
            run.end_time = max(now, run.start_time)
            run.spend_ms = int((time.monotonic() - run.started_at) * 1000) if run.started_at else 0
            if task.active is run:
                task.active = None
            task.touch()
        return True

    def finish_error(self, task: Task, run: Run, code: int, remarks: str) -> None:
        """End a run as an error, with a step that says so."""
        with self.store.lock:
            if run.active:
                self.step(task, run, code, RUNTIME_ERR, remarks=remarks)
                self.finish(task, run, "ERROR", remarks)

    def finish_cancelled(self, task: Task, run: Run, remarks: str = STEP_WORDS[16]) -> None:
        """End a run as cancelled, with a step that says so."""
        with self.store.lock:
            if run.active:
                code = {ADAPTER: 16, READER: 106, WRITER: 505}[run.position]
                self.step(task, run, code, RUNTIME_CANCEL, remarks=remarks)
                self.finish(task, run, "CANCELLED", remarks)

    # Scripted runs

    def _begin_script(self, task: Task, run: Run, script: Script) -> None:
        if script.waiting_ms > 0:
            self._after(script.waiting_ms, lambda: self._start_script(task, run, script))
        else:
            self._start_script(task, run, script)

    def _start_script(self, task: Task, run: Run, script: Script) -> None:
        with self.store.lock:
            if not run.active:
                return
            self.started(task, run)
            self.step(task, run, 100)
            self.step(task, run, 102)
            # A stream goes on until it is stopped, unless its script gives it an end.
            endless = task.is_stream and script.outcome == "SUCCESS"
            if script.hold or (endless and script.duration_ms == 0):
                return
            if script.duration_ms > 0:
                self._after(script.duration_ms, lambda: self.end_script(task, run, None))
            else:
                self.end_script(task, run, None)

    def end_script(self, task: Task, run: Run, outcome: str | None) -> bool:
        """End a scripted (or inserted) run with its script's outcome, or the one given."""
        with self.store.lock:
            if not run.active:
                return False
            script = run.script or Script()
            status = (outcome or script.outcome).upper()
            if status not in TERMINAL:
                raise ValueError(f"outcome {status!r}: must be one of {', '.join(sorted(TERMINAL))}")
            if run.start_time is None:
                self.started(task, run)
            run.rows, run.dirty = script.rows, script.dirty_rows
            if script.data_size is not None:
                run.size_value, run.size_unit = script.data_size, script.data_size_unit
            else:
                run.size = script.rows * 100
            remarks = script.remarks
            if status == "CANCELLED":
                self.finish_cancelled(task, run, remarks or STEP_WORDS[16])
            elif status == "ERROR":
                self._script_steps(task, run, script)
                self.finish_error(
                    task, run, script.error_code, remarks or STEP_WORDS.get(script.error_code, "Error.")
                )
            else:
                self._success_steps(task, run)
                self._script_steps(task, run, script)
                self.finish(task, run, "SUCCESS", remarks or SUCCESS_REMARKS)
            return True

    def _success_steps(self, task: Task, run: Run) -> None:
        if run.rows + run.dirty == 0:
            self.step(task, run, 105)
        self.step(task, run, 104, NODE_END)
        self.step(task, run, 101, NODE_END)
        if run.rows + run.dirty:
            self.step(task, run, 500)
            self.step(task, run, 502)
            self.step(task, run, 504)
            self.step(task, run, 501, NODE_END)
        self.step(task, run, 901, TASK_END, position=WRITER)

    def _script_steps(self, task: Task, run: Run, script: Script) -> None:
        for row in script.steps:
            step = self.step(
                task,
                run,
                row["status"],
                row["position_status"],
                position=row.get("position"),
                stage=row.get("stage"),
                remarks=row.get("remarks"),
            )
            step.rows = row.get("data_count", step.rows)
            step.dirty = row.get("dirty_data_count", step.dirty)

    # Runs that move data

    def _execute(self, task: Task, run: Run) -> None:
        limited = not task.is_stream
        if limited and not self._take_slot(task, run):
            self.finish_cancelled(task, run)
            return
        try:
            if run.cancel.is_set():
                self.finish_cancelled(task, run)
                return
            self.started(task, run)
            remarks = self._work(Job(self, task, run))
        except RunFailed as error:
            self.finish_error(task, run, error.code, str(error))
        except RunCancelled:
            self.finish_cancelled(task, run, "The task is stopped." if task.is_stream else STEP_WORDS[16])
        except Exception as error:
            # A defect of the emulator ends this run with its text in the remarks, and not the server.
            log.exception("run %s of task %s broke", run.id, task.id)
            self.finish_error(task, run, 915, f"The emulator failed: {type(error).__name__}: {error}")
        else:
            self.finish(task, run, "SUCCESS", remarks)
        finally:
            run.interrupts.clear()
            if limited:
                self._give_slot()

    def _take_slot(self, task: Task, run: Run) -> bool:
        with self._slots:
            if self._busy >= self._switches.max_parallel_runs:
                self.step(task, run, 906)
            while self._busy >= self._switches.max_parallel_runs:
                if run.cancel.is_set():
                    return False
                self._slots.wait(0.1)
            self._busy += 1
            return True

    def _give_slot(self) -> None:
        with self._slots:
            self._busy -= 1
            self._slots.notify()

    # Cancelling

    def cancel(self, task: Task) -> bool:
        """Stop what the task is executing; False if there is nothing."""
        with self.store.lock:
            run = task.active
            if run is None:
                return False
            run.cancel.set()
            if run.thread is None:
                self.finish_cancelled(task, run)
                return True
            interrupts = list(run.interrupts)
        for interrupt in interrupts:
            interrupt()
        return True

    def cancel_all(self, timeout_s: float = 5.0) -> None:
        """Stop everything and wait for the threads, so that no file of theirs is still in use."""
        threads = []
        with self.store.lock:
            tasks = [task for task in self.store.tasks.values() if task.active is not None]
            for task in tasks:
                run = task.active
                if run is not None and run.thread is not None:
                    threads.append(run.thread)
        for task in tasks:
            self.cancel(task)
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _end_last_step(run: Run, now: int) -> None:
    if run.steps and run.steps[-1].end is None:
        step = run.steps[-1]
        step.end = max(now, step.begin)
        step.spend = step.end - step.begin
