"""Executes FdiRunTaskOperator in a worker, until the task ends or is deferred.

Apart from the operator, so that DAG files do not load :mod:`airflow_provider_fdi.runs`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_fdi.client.errors import FdiError, is_permanent, task_label
from airflow_provider_fdi.client.models import Run
from airflow_provider_fdi.compat import AirflowSkipException, clear_drops_state, task_state_store
from airflow_provider_fdi.deferral import clear_generation_of, deadline_of, defer_for, try_of
from airflow_provider_fdi.exceptions import FdiDataGateFailed, FdiRunFailed, FdiTaskBusy, FdiTimeout
from airflow_provider_fdi.runs import report, verdict
from airflow_provider_fdi.runs.polling import poll_until, server_now, take_snapshot, watch
from airflow_provider_fdi.runs.start import Busy, Ended, RunRequest, advance
from airflow_provider_fdi.runs.state import RunRecord, TryState
from airflow_provider_fdi.runs.stop import terminate_own_run
from airflow_provider_fdi.runs.waits import RunEnds, Snapshot, Wait
from airflow_provider_fdi.termination import (
    Contact,
    ask_state,
    execution_timeout_is_over,
    user_ended_running_task,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.operators.base import FdiBaseOperator

LOCATE_IN_WORKER = 10.0
"""Seconds for which a deferrable operator waits in the worker for its run to appear in the log: most runs
appear at once, and a deferral costs more than that."""
LOCATE_INTERVAL = 2.0
LOCATE_INTERVAL_DEFERRED = 10.0
"""Seconds between two polls for our row, however long ``poll_interval`` is: until it is found, we do not know
that the run is ours."""


def open_try_state(operator: FdiBaseOperator, context: Context, carried: Any = None) -> TryState:
    """Read what earlier tries remembered; without a store, what the trigger's event carried."""
    return TryState.open(task_state_store(context) if operator._arguments.durable else None, carried)


def succeeded_run(event: Mapping[str, Any]) -> Snapshot | None:
    """The run that the trigger saw succeed, from the trigger's event."""
    if not isinstance(event.get("run"), Mapping):
        return None
    return Snapshot(int(event["seen_at"]), (Run.from_wire(event["run"]),))


class RunExecution:
    """One execution of the operator: what it was asked for, its state, and how it waits."""

    def __init__(
        self,
        operator: FdiBaseOperator,
        context: Context,
        try_state: TryState,
        *,
        fdi_task_id: str | None = None,
        seen: Snapshot | None = None,
        steps_reported: Iterable[str] = (),
        announced: str | None = None,
    ) -> None:
        """Check the operator's arguments and find its task, before anything is sent that changes something.

        :param fdi_task_id: the task's id, if it is known from before a deferral.
        :param seen: the run that succeeded during a deferral.
        :param steps_reported: steps of the run that were logged before a deferral.
        :param announced: the run that was announced before a deferral.
        """
        self.operator = operator
        self.context = context
        self.try_state = try_state
        given = self.given = operator._arguments
        self._seen = seen
        self.interval = given.poll_interval
        self.failure_timeout = given.poll_failure_timeout
        self.gate = verdict.DataGate(given.min_rows, given.max_dirty_rows, given.skip_if_empty)
        # This makes the client: on_kill could not read a connection.
        request = poll_until(
            partial(self._request, fdi_task_id),
            poll_interval=self.interval,
            poll_failure_timeout=self.failure_timeout,
            poll_first=True,
            is_final=is_permanent,
        )
        assert request is not None
        self.request = request
        self.clear_generation = request.clear_generation
        self.contact = Contact(context["ti"])
        self._announced = announced
        self._steps = report.StepReporter(operator.log.log, announced, steps_reported)

    def _request(self, fdi_task_id: str | None) -> RunRequest:
        given = self.given
        policy = given.if_running
        try_number = try_of(self.context)
        if policy == "wait" and try_number > 1 and given.durable and self.try_state.store is None:
            # Without a state store a retry cannot know its own run from another's.
            policy = "join"
        if fdi_task_id is None:
            fdi_task_id, task, read_at = self.operator._find_task()
            if task is not None:
                self._seen = Snapshot(server_now(read_at), task=task)
        return RunRequest(
            start_grace=given.start_grace,
            start_if_stopped=given.start_if_stopped,
            fdi_task_id=fdi_task_id,
            clear_generation=clear_generation_of(self.context),
            try_number=try_number,
            if_running=policy,
            terminate_cleared=given.terminate_on_kill,
            keeps_cleared=clear_drops_state(),
            poll_interval=self.interval,
            poll_failure_timeout=self.failure_timeout,
        )

    @property
    def own_record(self) -> RunRecord | None:
        """The record of this execution's run, not of one that was cleared."""
        return own_record(self.try_state, self.clear_generation)

    def is_to_end(self, run: str) -> bool:
        """Whether the run ends with the killed try: a user ended the task, or its time is over.

        :param run: the run as messages name it, to log that it goes on otherwise.
        """
        if execution_timeout_is_over():
            return True
        state = ask_state(self.contact.task_instance)
        if user_ended_running_task(state, self.contact.silent_for, self.contact.timeout):
            return True
        self.operator.log.warning(
            "%s goes on: Airflow ended this try, but no user did (task instance: %s). The next"
            " try continues with it. To end it, use FdiTerminateRunOperator or the console",
            run,
            state or "no answer",
        )
        return False

    def terminate_quietly(self, record: RunRecord) -> None:
        """Terminate our run; an error is only logged."""
        try:
            terminate_own_run(self.operator.client, record)
        except FdiError as error:
            self.operator.log.error("The run could not be terminated, it may go on: %s", error.brief)

    @property
    def task_label(self) -> str:
        """The task as messages name it."""
        return task_label(self.request.fdi_task_id, self.task_name)

    @property
    def task_name(self) -> str | None:
        """The task's name, where it is known."""
        record = self.try_state.record
        known = record is not None and record.fdi_task_id == self.request.fdi_task_id
        name = record.fdi_task_name if record and known else None
        return name or self.operator._task_names.get(self.request.fdi_task_id)

    # --- the steps of a run -------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Start the run, or continue with it, until it is over; return its record."""
        while True:
            seen, self._seen = self._seen, None
            step = advance(self.operator.client, self.try_state, self.request, seen=seen)
            self._announce_run()
            if isinstance(step, Busy):
                self._raise_busy(step)
            if isinstance(step, Ended):
                self._steps.report_run(step.run)
                return self._ended_with(self._conclude(step))
            if isinstance(step, RunEnds) and not self.given.wait_for_completion:
                return self._ended_with(self._summary_of_started(step, seen))
            self._seen = self._wait(step)

    def _announce_run(self) -> None:
        """Publish the run as soon as it is known: in the log, as XCom and link, and to the task's assets."""
        operator, record = self.operator, self.try_state.open_record
        if record is None or record.run_id is None or record.run_id == self._announced:
            return
        run_id, fdi_task_id = record.run_id, self.request.fdi_task_id
        url = operator._push_run_link(self.context, fdi_task_id, run_id)
        operator.log.info("Run %s of %s", run_id, record.task_label)
        operator.log.info("Console: %s", url)
        self.context["ti"].xcom_push(key="fdi_run_id", value=run_id)
        if self.given.wait_for_completion and (operator.outlets or operator.inlets):
            # Deferred: loads Airflow's assets.
            from airflow_provider_fdi.lineage.assets import report_run

            report_run(self.context, operator, fdi_task_id, run_id)
        self._steps = report.StepReporter(operator.log.log, run_id)
        self._announced = run_id

    def _wait(self, wait: Wait) -> Snapshot | None:
        """Wait in the worker, and return what the last poll showed; or defer."""
        if wait.expected_soon:
            snapshot = self._wait_shortly(wait)
            if snapshot is not None:
                return snapshot
        if self.given.deferrable:
            self._defer(wait)
        return watch(
            self.operator.client,
            wait,
            poll_interval=self.interval,
            poll_failure_timeout=self.failure_timeout,
            sleep=self.contact.sleep,
            on_snapshot=self._steps.on_snapshot,
        )

    def _wait_shortly(self, wait: Wait) -> Snapshot | None:
        """Wait in the worker; only for a while if the triggerer can wait instead. None: it is not over."""
        return watch(
            self.operator.client,
            wait,
            poll_interval=min(self.interval, LOCATE_INTERVAL),
            poll_failure_timeout=self.failure_timeout,
            until=time.monotonic() + LOCATE_IN_WORKER if self.given.deferrable else None,
            poll_first=True,
        )

    def _defer(self, wait: Wait) -> NoReturn:
        record = self.try_state.record
        defer_for(
            self.operator,
            [wait],
            poll_interval=min(self.interval, LOCATE_INTERVAL_DEFERRED)
            if wait.expected_soon
            else self.interval,
            poll_failure_timeout=self.failure_timeout,
            deadline=deadline_of(self.context, self.operator.execution_timeout),
            record=None if record is None else record.to_json(),
            terminate_on_kill=self.given.terminate_on_kill,
        )

    # --- how it ends --------------------------------------------------------------------------------------

    def _raise_busy(self, busy: Busy) -> NoReturn:
        policy = self.request.if_running
        reason = f"Another run is in progress, and if_running={policy!r}."
        name = f"run {busy.run.run_id}" if busy.run else "a run that is not in its log yet"
        what = f"{task_label(self.request.fdi_task_id, busy.task_name)}: this task did not start {name}."
        if policy == "skip":
            raise AirflowSkipException(f"{reason} {what}")
        failure = FdiTaskBusy.because(reason, what, "Wait for it, or set if_running to 'wait' or 'join'.")
        failure.running_for = busy.running_for
        raise failure

    def _conclude(self, ended: Ended) -> dict[str, Any]:
        """Publish the record of a run that is over, and fail or skip the task where that follows from it."""
        operator, run, fdi_task_id = self.operator, ended.run, self.request.fdi_task_id
        summary = report.run_summary(run, fdi_task_id, joined=ended.joined)
        operator._report_to_outlets(self.context, summary)
        operator.client.observer.run_ended(summary, self.task_name, "operator")
        task = self.task_label
        if not self.given.wait_for_completion:
            succeeded = verdict.outcome(run) is verdict.Outcome.SUCCESS
            level = logging.INFO if succeeded else logging.ERROR
            operator.log.log(level, "%s of %s", report.describe(run), task)
            return summary
        url = operator.hook.console_link(fdi_task_id, run.run_id)
        if verdict.outcome(run) is not verdict.Outcome.SUCCESS:
            self.context["ti"].xcom_push(key="fdi_run", value=summary)
            raise FdiRunFailed.because(*report.failure_lines(run, task, link=url))
        judgement, reason = verdict.judge_data(run, self.gate)
        if judgement is verdict.GateVerdict.PASS:
            operator.log.info("%s of %s", report.describe(run), task)
            return summary
        self.context["ti"].xcom_push(key="fdi_run", value=summary)
        moved = f"{task}: the run itself succeeded, {report.amounts(run)}."
        if judgement is verdict.GateVerdict.SKIP:
            self._ended_with(summary)
            raise AirflowSkipException(f"{reason} {moved} Run {run.run_id}.")
        # Remembered, so that the next try starts a new run instead of taking this one's success.
        self.try_state.update(is_open=False)
        raise FdiDataGateFailed.because(
            reason,
            moved,
            "Mend the data at the source, or change min_rows or max_dirty_rows. A retry starts another run.",
            f"Run {run.run_id}: {url}",
        )

    def _ended_with(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Remember that the task ends with this run, where a clear can keep what is remembered."""
        if self.request.keeps_cleared and self.try_state.record is not None:
            self.try_state.update(concluded=True)
        return summary

    def _summary_of_started(self, wait: RunEnds, seen: Snapshot | None) -> dict[str, Any]:
        """The record of a run that goes on, for a task that does not wait for its end.

        :param seen: what the last poll showed; the run may be in it.
        """
        run = None if seen is None else wait.find(seen.runs)
        if run is None:
            snapshot = poll_until(
                partial(take_snapshot, self.operator.client, wait),
                poll_interval=self.interval,
                poll_failure_timeout=self.failure_timeout,
                poll_first=True,
            )
            run = None if snapshot is None else wait.find(snapshot.runs)
        if run is None:
            raise LookupError(f"run {wait.run_id} is missing from the log")
        record = self.try_state.record
        summary = report.run_summary(run, wait.fdi_task_id, joined=record is not None and record.joined)
        self.operator._report_to_outlets(self.context, summary)
        return summary


def own_record(try_state: TryState, clear_generation: int) -> RunRecord | None:
    """The record of this execution's run, not of one that was cleared."""
    record = try_state.record
    return record if record is not None and record.clear_generation == clear_generation else None


def time_out(operator: FdiBaseOperator, context: Context, try_state: TryState) -> NoReturn:
    """Terminate our run, if that is wanted, because ``execution_timeout`` is over, and fail the task."""
    given = operator._arguments
    record = own_record(try_state, clear_generation_of(context))
    task = record.task_label if record else task_label(given.fdi_task_id or "", given.fdi_task_name)
    over = f"execution_timeout={operator.execution_timeout} is over."
    hint = "Raise execution_timeout if the run may take longer."
    if not given.terminate_on_kill:
        raise FdiTimeout.because(over, f"{task}: its run goes on (terminate_on_kill=False).", hint)
    try:
        run_id = terminate_own_run(operator.client, record)
    except FdiError as error:
        ended = f"the run could not be terminated, it may go on: {error.brief}"
    else:
        ended = f"run {run_id} was terminated" if run_id else "no run of ours was in progress"
    raise FdiTimeout.because(over, f"{task}: {ended}.", hint)
