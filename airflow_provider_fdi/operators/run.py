"""Operators that run an FDI task once, and that end a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.errors import FdiArgumentError, FdiResponseError, task_label
from airflow_provider_fdi.compat import default_deferrable
from airflow_provider_fdi.constants import IF_RUNNING, SHORTEST_INTERVAL, TIMEOUT
from airflow_provider_fdi.deferral import check_event
from airflow_provider_fdi.exceptions import fail_without_retry
from airflow_provider_fdi.links import FdiRunLink, FdiTaskLink
from airflow_provider_fdi.operators.base import ONE_TASK, TASK_CHECKS, FdiBaseOperator
from airflow_provider_fdi.validation import boolean, choice, count, flag, number

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.errors import FdiError
    from airflow_provider_fdi.operators.execution import RunExecution

KILL_TIMEOUT = 4.5
"""Seconds for all of ``on_kill``: Airflow sends SIGKILL after 5."""


def gate_needs_the_end(
    wait_for_completion: object, min_rows: object, max_dirty_rows: object, skip_if_empty: object
) -> None:
    """A run's rows are judged only by a task that waits for its end."""
    gates = {"min_rows": min_rows, "max_dirty_rows": max_dirty_rows, "skip_if_empty": skip_if_empty or None}
    for field, value in gates.items():
        if value is not None and not wait_for_completion:
            rule = (
                "needs wait_for_completion=True\nOtherwise the task ends before the run has moved its rows."
            )
            raise FdiArgumentError(field, value, rule)


class FdiRunTaskOperator(FdiBaseOperator):
    """Run an FDI task once and wait until the run is over.

    All tries of a task instance together start one run, even if processes die or answers are lost on the way;
    a retry starts another run only if that run failed. This needs the task state store of Airflow >= 3.3. On
    older versions it holds within one try and its deferrals: there a retry does not know the run of the try
    before it (see ``if_running``). The task's own schedule is not changed.

    A synchronous task occupies a worker until the run is over. With ``deferrable=True`` it waits in the
    triggerer, which polls for many tasks at once; if more than five tasks wait there, their logs show the
    steps of a run only when it is over.

    Returns the run record: ``fdi_task_id``, ``fdi_run_id``, ``status``, ``rows``, ``dirty_rows``, ``bytes``,
    ``dispatch_time``, ``start_time``, ``end_time`` (ms since the epoch), the same as ISO 8601 text in UTC
    (``dispatch_time_iso``, ``start_time_iso``, ``end_time_iso``), ``duration_ms``, ``remarks``, ``joined``.
    XCom also holds ``fdi_run_id`` as soon as it is known, and the record as ``fdi_run`` where nothing is
    returned, because the run or its data failed or the task is skipped.

    Source: RunTask, ListMonitorLog, ListTasks, StopTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param wait_for_completion: False: return as soon as the run is known.
    :param deferrable: wait in the triggerer; ``[operators] default_deferrable`` when None.
    :param poll_interval: seconds between two polls.
    :param if_running: what to do about a run in progress that is not ours: ``wait`` until it ends, then start
        ours; ``join``: wait for it instead of starting one, but never terminate it; ``fail``; ``skip``. On
        Airflow < 3.3 ``wait`` means ``join`` for a retry, which cannot know whether the run is its own.
    :param start_if_stopped: start the task (arm its schedule) if it is stopped.
    :param start_grace: seconds within which the service shows a run in its log after starting it.
    :param poll_failure_timeout: seconds for which polls may fail in a row before the task fails.
    :param min_rows: fail if the run moved fewer rows.
    :param max_dirty_rows: fail if the run refused more rows.
    :param skip_if_empty: skip if the run moved no rows at all.
    :param durable: remember the run in the task state store (Airflow >= 3.3), so that a retry continues with
        the run of the try before it.
    :param terminate_on_kill: True: terminate our run when a user marks the task failed or succeeded, or
        clears it, and when ``execution_timeout`` is over. If the process ends for another or an unknown
        reason, the run goes on and the next try joins it. False: the run always goes on.

    :raises FdiRunFailed: the run failed or was cancelled.
    :raises FdiDataGateFailed: it moved too few rows, or too many dirty ones.
    :raises FdiTaskBusy: another run is in progress and ``if_running="fail"``.
    :raises FdiTimeout: ``execution_timeout`` was over while the task was deferred.
    :raises FdiStartError: FDI accepted a start, or did not answer two, and no run appeared in the log.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "poll_interval",
        "if_running",
        "start_if_stopped",
        "start_grace",
        "poll_failure_timeout",
        "min_rows",
        "max_dirty_rows",
        "skip_if_empty",
    )
    _checks = {
        **FdiBaseOperator._checks,
        **TASK_CHECKS,
        "wait_for_completion": flag,
        "deferrable": flag,
        "poll_interval": partial(number, minimum=SHORTEST_INTERVAL),
        "if_running": partial(choice, allowed=IF_RUNNING),
        "start_if_stopped": boolean,
        "start_grace": number,
        "poll_failure_timeout": number,
        "min_rows": count,
        "max_dirty_rows": count,
        "skip_if_empty": boolean,
        "durable": flag,
        "terminate_on_kill": flag,
    }
    _joint_checks = {
        **ONE_TASK,
        ("wait_for_completion", "min_rows", "max_dirty_rows", "skip_if_empty"): gate_needs_the_end,
    }
    operator_extra_links = (FdiTaskLink(), FdiRunLink())

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float = 30,
        if_running: str = "wait",
        start_if_stopped: bool = False,
        start_grace: float = 120,
        poll_failure_timeout: float = 600,
        min_rows: int | None = None,
        max_dirty_rows: int | None = None,
        skip_if_empty: bool = False,
        durable: bool = True,
        terminate_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.if_running = if_running
        self.start_if_stopped = start_if_stopped
        self.start_grace = start_grace
        self.poll_failure_timeout = poll_failure_timeout
        self.min_rows = min_rows
        self.max_dirty_rows = max_dirty_rows
        self.skip_if_empty = skip_if_empty
        self.durable = durable
        self.terminate_on_kill = terminate_on_kill
        self._execution: RunExecution | None = None
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> dict[str, Any]:
        # Deferred, here and below: runs and all that starts one costs more than a DAG file should pay.
        from airflow_provider_fdi.operators.execution import RunExecution, open_try_state

        return self._run(context, RunExecution(self, context, open_try_state(self, context)))

    @fail_without_retry
    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Continue after a deferral, with the row of the run if the trigger saw it succeed."""
        from airflow_provider_fdi.operators.execution import (
            RunExecution,
            open_try_state,
            succeeded_run,
            time_out,
        )

        checked = check_event(event)
        try_state = open_try_state(self, context, checked.get("record"))
        if checked["status"] == TIMEOUT:
            time_out(self, context, try_state)
        # The name was resolved before the deferral; resolving it again could fail for no good reason.
        known = None if try_state.open_record is None else try_state.open_record.fdi_task_id
        execution = RunExecution(
            self,
            context,
            try_state,
            fdi_task_id=known,
            seen=succeeded_run(checked),
            steps_reported=checked.get("steps_reported") or (),
            # Whoever deferred with a known run has announced it.
            announced=(checked.get("record") or {}).get("run_id"),
        )
        return self._run(context, execution)

    def _run(self, context: Context, execution: RunExecution) -> dict[str, Any]:
        self._push_task_link(context, execution.request.fdi_task_id)
        self._execution = execution
        return execution.run()

    def _completed(self, error: FdiError) -> FdiError:
        record = self._execution.try_state.record if self._execution else None
        if record is not None and record.fdi_task_name:
            self._task_names.setdefault(record.fdi_task_id, record.fdi_task_name)
        return super()._completed(error)

    def on_kill(self) -> None:
        """Terminate our run if a user has ended the task, or its time is over; otherwise let it go on.

        Airflow calls this inside a signal handler, and sends SIGKILL after 5 s.
        """
        execution = self._execution
        if execution is None or execution.try_state.try_ended:
            return
        deadline = time.monotonic() + KILL_TIMEOUT
        # From now on this try starts nothing, whoever ended it.
        execution.try_state.try_ended = True
        record = execution.own_record
        if record is None or not record.is_ours:
            return
        run = f"Run {record.run_id}" if record.run_id else "The run that was just started"
        run += f" of {record.task_label}"
        if not self.terminate_on_kill:
            self.log.info("%s goes on (terminate_on_kill=False)", run)
            return
        if not execution.is_to_end(run):
            return
        # In a thread of its own: the interrupted main thread may hold a lock of the session, and then this
        # must end rather than hang.
        thread = threading.Thread(target=execution.terminate_quietly, args=(record,), daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            self.log.error(
                "Terminating the run of %s takes longer than %g s; it may go on",
                record.task_label,
                KILL_TIMEOUT,
            )


class FdiTerminateRunOperator(FdiBaseOperator):
    """Terminate the run that an FDI task is executing; nothing to terminate counts as success.

    Returns whether a run was terminated. The task stays started, its schedule armed.

    Source: StopTask, ListTasks.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    """

    template_fields: Sequence[str] = (*FdiBaseOperator.template_fields, "fdi_task_id", "fdi_task_name")
    _checks = {**FdiBaseOperator._checks, **TASK_CHECKS}
    _joint_checks = ONE_TASK
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self, *, fdi_task_id: str | None = None, fdi_task_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> bool:
        # Deferred, as runs above.
        from airflow_provider_fdi.runs.polling import task_state
        from airflow_provider_fdi.runs.verdict import is_executing

        task_id = self._fdi_task_id()
        self._push_task_link(context, task_id)
        try:
            self.client.terminate_task(task_id)
        except FdiResponseError as error:
            task, _ = task_state(self.client, task_id)
            if error.error_code != "FDI.3027" or task is None or is_executing(task):
                raise
            # Nothing is executing: if the request was repeated, the first one terminated the run.
            self.log.info("%s is executing nothing", task_label(task_id, task.task_name))
            return error.unsettled
        self.log.info("Terminated the run of %s", self._label(task_id))
        return True
