"""Runs: dispatching, the one-at-a-time rule, scripted runs, cancelling, and the timeline of step codes.

A run of a task with a script follows it on a timer. Any other run moves data in a thread of its own
(:mod:`~airflow_provider_fdi.emulator.mover`), at most `max_parallel_runs` of them at a time; the others wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.emulator.errors import service_error
from airflow_provider_fdi.emulator.state import TERMINAL, Run, Script, Step, Task

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.world import World

log = logging.getLogger("fdi-emulator")

ADAPTER, READER, WRITER = "ADAPTER", "READER", "WRITER"
NORMAL, NODE_END, TASK_END = "NORMAL", "NODE_END", "TASK_END"
RUNTIME_CANCEL, RUNTIME_ERR, INTERNAL_ERR = "RUNTIME_CANCEL", "RUNTIME_ERR", "INTERNAL_ERR"

STEP_WORDS = {
    16: "The task is forcibly cancelled.",
    99: "The task starts.",
    100: "The reader starts.",
    101: "The reader ends.",
    102: "Data is being read.",
    103: "An exception occurred at the source.",
    104: "Data reading is finished.",
    105: "The number of read rows is 0.",
    106: "The reader is forcibly cancelled.",
    500: "The writer starts.",
    501: "The writer ends.",
    502: "Data is being written.",
    503: "An exception occurred at the destination.",
    504: "Data writing is finished.",
    505: "The writer is forcibly cancelled.",
    900: "The scheduling request is received.",
    901: "The execution is finished.",
    906: "The read task is queued for platform resources.",
    907: "The read task is rejected because the previous scheduling is not finished.",
    909: "The write task is rejected because the previous scheduling is not finished.",
    911: "The read task failed to start.",
    912: "The write task failed to start.",
    913: "The scheduling request failed.",
    914: "The task is rejected because the previous scheduling is not finished.",
    915: "The task is not running normally.",
}
SUCCESS_REMARKS = "Task execute success"


def position_of(code: int) -> str:
    if 100 <= code < 500:
        return READER
    return WRITER if 500 <= code < 900 else ADAPTER


class Runner:
    def __init__(self, world: World) -> None:
        self._world = world
        self._slots = threading.Condition()
        self._busy = 0

    # Dispatching

    def dispatch(self, task: Task, trigger: str, planned_ms: int | None = None) -> Run:
        """Start one execution of `task` (`trigger`: manual, schedule or start).

        Raises ServiceError where an unfinished run refuses it and the refusal is an HTTP error.
        """
        world = self._world
        with world.store.lock:
            now = world.clock.now_ms()
            if task.active is not None:
                return self._refuse(task, trigger, planned_ms or now)
            run = Run(task_id=task.id, trigger=trigger, dispatch_time=planned_ms or now)
            run.script = task.next_script()
            delay_ms = max(world.switches.run_log_delay_ms, run.script.log_delay_ms if run.script else 0)
            run.visible_at = time.monotonic() + delay_ms / 1000 if delay_ms else 0.0
            self._note(task, trigger, run, accepted=True)
            task.runs.append(run)
            task.active = task.last = run
            self.step(task, run, 900)
            if run.script is not None:
                self._begin_script(task, run, run.script)
                return run
            target = world.follow if (task.type == "REALTIME" or task.composite) else world.move
            run.thread = threading.Thread(
                target=self._execute, args=(task, run, target), name=f"run-{run.id[:8]}", daemon=True
            )
            run.thread.start()
            return run

    def _refuse(self, task: Task, trigger: str, planned_ms: int) -> Run:
        world = self._world
        code = world.switches.refused_code
        if trigger == "manual" and world.switches.overlap_style == "http":
            self._note(task, trigger, None, accepted=False, code="FDI.3026")
            raise service_error("FDI.3026")
        now = world.clock.now_ms()
        run = Run(task_id=task.id, trigger=trigger, dispatch_time=planned_ms, accepted=False)
        run.visible_at = (
            time.monotonic() + world.switches.run_log_delay_ms / 1000
            if world.switches.run_log_delay_ms
            else 0.0
        )
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
        self._world.store.dispatches.append(
            {
                "task_id": task.id,
                "time": self._world.clock.now_ms(),
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
        with self._world.store.lock:
            now = self._world.clock.now_ms()
            place = position or position_of(code)
            if run.steps and run.steps[-1].end is None:
                run.steps[-1].end = max(now, run.steps[-1].begin)
                run.steps[-1].spend = run.steps[-1].end - run.steps[-1].begin
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
        """WAITING -> RUNNING."""
        with self._world.store.lock:
            if not run.active:
                return
            run.execute_status = "RUNNING"
            run.start_time = self._world.clock.now_ms()
            run.started_at = time.monotonic()
            self.step(task, run, 99)

    def finish(self, task: Task, run: Run, status: str, remarks: str) -> bool:
        """End a run; False if it had ended before."""
        with self._world.store.lock:
            if not run.active:
                return False
            now = self._world.clock.now_ms()
            if run.steps and run.steps[-1].end is None:
                run.steps[-1].end = max(now, run.steps[-1].begin)
                run.steps[-1].spend = run.steps[-1].end - run.steps[-1].begin
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
        with self._world.store.lock:
            if run.active:
                self.step(task, run, code, RUNTIME_ERR, remarks=remarks)
                self.finish(task, run, "ERROR", remarks)

    def finish_cancelled(self, task: Task, run: Run, remarks: str = STEP_WORDS[16]) -> None:
        with self._world.store.lock:
            if run.active:
                code = {ADAPTER: 16, READER: 106, WRITER: 505}[run.position]
                self.step(task, run, code, RUNTIME_CANCEL, remarks=remarks)
                self.finish(task, run, "CANCELLED", remarks)

    # Scripted runs

    def _begin_script(self, task: Task, run: Run, script: Script) -> None:
        if script.waiting_ms > 0:
            self._world.ticker.after(script.waiting_ms, lambda: self._start_script(task, run, script))
        else:
            self._start_script(task, run, script)

    def _start_script(self, task: Task, run: Run, script: Script) -> None:
        with self._world.store.lock:
            if not run.active:
                return
            self.started(task, run)
            self.step(task, run, 100)
            self.step(task, run, 102)
            # A stream goes on until it is stopped, unless its script gives it an end.
            endless = (task.type == "REALTIME" or task.composite) and script.outcome == "SUCCESS"
            if script.hold or (endless and script.duration_ms == 0):
                return
            if script.duration_ms > 0:
                self._world.ticker.after(script.duration_ms, lambda: self.end_script(task, run, None))
            else:
                self.end_script(task, run, None)

    def end_script(self, task: Task, run: Run, outcome: str | None) -> bool:
        """End a scripted (or inserted) run with its script's outcome, or the one given."""
        with self._world.store.lock:
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
                self.success_steps(task, run, run.rows)
                self._script_steps(task, run, script)
                self.finish(task, run, "SUCCESS", remarks or SUCCESS_REMARKS)
            return True

    def success_steps(self, task: Task, run: Run, rows: int) -> None:
        if rows + run.dirty == 0:
            self.step(task, run, 105)
        self.step(task, run, 104, NODE_END)
        self.step(task, run, 101, NODE_END)
        if rows + run.dirty:
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
                int(row.get("status", row.get("code", 102))),
                row.get("position_status", NORMAL),
                position=row.get("position"),
                stage=row.get("stage"),
                remarks=row.get("remarks"),
            )
            step.rows = int(row.get("data_count", step.rows))
            step.dirty = int(row.get("dirty_data_count", step.dirty))

    # Runs that move data

    def _execute(self, task: Task, run: Run, work: Callable[[Task, Run], None]) -> None:
        endless = task.type == "REALTIME" or task.composite
        if not endless and not self._take_slot(task, run):
            self.finish_cancelled(task, run)
            return
        try:
            if run.cancel.is_set():
                self.finish_cancelled(task, run)
                return
            self.started(task, run)
            work(task, run)
        except Exception as error:
            # Whatever broke is the run's outcome and must be readable in its remarks; the server goes on.
            log.exception("run %s of task %s broke", run.id, task.id)
            self.finish_error(task, run, 915, f"The emulator failed: {type(error).__name__}: {error}")
        finally:
            run.interrupts.clear()
            if not endless:
                self._give_slot()

    def _take_slot(self, task: Task, run: Run) -> bool:
        with self._slots:
            if self._busy >= self._world.switches.max_parallel_runs:
                self.step(task, run, 906)
            while self._busy >= self._world.switches.max_parallel_runs:
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
        with self._world.store.lock:
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
        with self._world.store.lock:
            tasks = [task for task in self._world.store.tasks.values() if task.active is not None]
            for task in tasks:
                run = task.active
                if run is not None and run.thread is not None:
                    threads.append(run.thread)
        for task in tasks:
            self.cancel(task)
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def script_from_dict(raw: dict[str, Any]) -> Script:
    """Read a script of the control API. Raises ValueError."""
    try:
        script = Script(**raw)
    except TypeError as error:
        raise ValueError(f"not a script: {error}") from error
    script.outcome = str(script.outcome).upper()
    if script.outcome not in TERMINAL:
        raise ValueError(f"outcome {script.outcome!r}: must be one of {', '.join(sorted(TERMINAL))}")
    return script
