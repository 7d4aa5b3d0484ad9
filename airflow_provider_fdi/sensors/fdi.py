"""A sensor for runs that FDI starts by itself."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from airflow_provider_fdi.client.errors import (
    HIDDEN,
    FdiArgumentError,
    FdiError,
    FdiNotFoundError,
    compose,
    is_permanent,
    task_label,
)
from airflow_provider_fdi.client.times import time_ms
from airflow_provider_fdi.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    default_deferrable,
)
from airflow_provider_fdi.constants import TIMEOUT
from airflow_provider_fdi.deferral import check_event, deadline_of, defer_for
from airflow_provider_fdi.exceptions import (
    FdiRunFailed,
    FdiTimeout,
    FdiTriggerEventError,
    fail_without_retry,
)
from airflow_provider_fdi.links import FdiRunLink, FdiTaskLink
from airflow_provider_fdi.operators.base import ONE_TASK, TASK_CHECKS, FdiConnectionMixin
from airflow_provider_fdi.validation import flag, identifier, number, optional, run_statuses

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.models import Run, Task, TaskMonitor
    from airflow_provider_fdi.runs.polling import PollFailures
    from airflow_provider_fdi.runs.waits import Snapshot, Wait

NOT_GIVEN: Any = object()

F = TypeVar("F", bound=Callable[..., Any])


def _since_when(completed_after_given: object, fdi_run_id: object) -> None:
    """Whatever run counts, it must have been said."""
    if not completed_after_given and fdi_run_id is None:
        rule = (
            "must be given\nOtherwise an old success passes for a new one. Set it to"
            " '{{ data_interval_end }}' ('{{ dag_run.run_after }}' in DAG runs that have no data interval),"
            " or to None to take the latest run whatever its age."
        )
        raise FdiArgumentError("completed_after", HIDDEN, rule)


def skips_if_soft(method: F) -> F:
    """Apply ``soft_fail`` and ``never_fail`` to all failures of the sensor, in every mode.

    Airflow applies them to some failures of ``poke`` and to other failures of a deferred sensor.
    """

    @wraps(method)
    def wrapper(self: FdiTaskSensor, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (
            AirflowFailException,
            AirflowSensorTimeout,
            FdiError,
            FdiRunFailed,
            FdiTimeout,
            FdiTriggerEventError,
        ) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from None
            raise

    return cast("F", wrapper)


class FdiTaskSensor(FdiConnectionMixin, BaseSensorOperator):
    """Wait for a run that this DAG did not start: FDI's own schedule did, or somebody in the console.

    Succeeds when a run of the task has ended, at or after ``completed_after``, as one of ``target_statuses``;
    of several runs the latest counts. A real-time or composite task never ends: there the sensor waits until
    the task is started and executing. Returns the run record (see :class:`.FdiRunTaskOperator`); for a
    task that never ends, its id, status and execution status.

    Source: ListMonitorLog, ListTasks.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param completed_after: a datetime, ISO text or ms since the epoch, usually ``{{ data_interval_end }}``
        (``{{ dag_run.run_after }}`` in runs without one: started by hand or by an asset, on Airflow 3): keeps
        yesterday's success from passing today's check. Must be given unless ``fdi_run_id`` is;
        an explicit ``None`` takes the latest run whatever its age.
    :param fdi_run_id: wait for this run instead.
    :param target_statuses: what counts as a success.
    :param failure_statuses: what fails the sensor; empty: it goes on waiting for a success.
    :param deferrable: wait in the triggerer; ``[operators] default_deferrable`` when None.
    :param fdi_conn_id: connection of type ``fdi``.
    :param project_id: project of Huawei Cloud; from the connection when None.
    :param instance_id: instance of ROMA Connect; from the connection when None.
    :param poll_failure_timeout: seconds for which polls may fail in a row before the sensor fails; with
        ``mode="reschedule"``, where every poll is made by another process, only ``timeout`` ends it.

    :raises FdiRunFailed: the run ended as one of ``failure_statuses``, or in an unknown state.
    :raises FdiTimeout: ``execution_timeout`` was over while the sensor was deferred.
    """

    template_fields: Sequence[str] = (
        *FdiConnectionMixin.connection_fields,
        "fdi_task_id",
        "fdi_task_name",
        "completed_after",
        "fdi_run_id",
        "target_statuses",
        "failure_statuses",
        "poll_failure_timeout",
    )
    _checks = {
        **FdiConnectionMixin._checks,
        **TASK_CHECKS,
        # Only None itself means any time; a template that renders to nothing is a mistake.
        "completed_after": optional(time_ms),
        "fdi_run_id": optional(identifier),
        "target_statuses": run_statuses,
        "failure_statuses": partial(run_statuses, may_be_empty=True),
        "deferrable": flag,
        "poll_failure_timeout": number,
    }
    _joint_checks = {**ONE_TASK, ("_completed_after_given", "fdi_run_id"): _since_when}
    ui_color = "#fff3e0"
    operator_extra_links = (FdiTaskLink(), FdiRunLink())

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        completed_after: datetime | str | int | None = NOT_GIVEN,
        fdi_run_id: str | None = None,
        target_statuses: Iterable[str] = ("SUCCESS",),
        failure_statuses: Iterable[str] = ("ERROR", "CANCELLED"),
        deferrable: bool | None = None,
        poll_failure_timeout: float = 600,
        fdi_conn_id: str = "fdi_default",
        project_id: str | None = None,
        instance_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self._completed_after_given = completed_after is not NOT_GIVEN
        self.completed_after = completed_after if self._completed_after_given else None
        self.fdi_run_id = fdi_run_id
        self.target_statuses = target_statuses
        self.failure_statuses = failure_statuses
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_failure_timeout = poll_failure_timeout
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id
        self._linked = False
        self._polled_once = False
        self._reached_back = False
        self._reported = ""
        self._check_literals()

    @skips_if_soft
    @fail_without_retry
    def execute(self, context: Context) -> Any:
        if self.deferrable:
            return self._poll_or_defer(context)
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            raise self._timed_out() from None

    @skips_if_soft
    @fail_without_retry
    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Continue after a deferral. The event only wakes the sensor; the result is read from the service."""
        if check_event(event)["status"] == TIMEOUT:
            self._time_out()
        return self._poll_or_defer(context)

    @skips_if_soft
    @fail_without_retry
    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. A poll that fails is absorbed, within ``poll_failure_timeout``.

        :raises FdiRunFailed: the run failed.
        """
        try:
            result = self._poll(context)
        except FdiError as error:
            self._absorb(error)
            return PokeReturnValue(is_done=False)
        self._failures.succeeded()
        return result

    def _poll_or_defer(self, context: Context) -> Any:
        """Poll once, then wait in the triggerer. Before that, the worker must find out what to wait for."""
        deadline = deadline_of(context, self._limit) or math.inf
        while True:
            try:
                result = self._poll(context)
            except FdiError as error:
                pause = self._absorb(error)
                if "_wait" not in self.__dict__:
                    if time.time() + pause > deadline:
                        self._time_out()
                    time.sleep(pause)
                    continue
            else:
                if result.is_done:
                    return result.xcom_value
            self._defer(context)

    @property
    def _limit(self) -> timedelta:
        """How long a deferred sensor waits: Airflow 3 does not apply ``execution_timeout`` to it."""
        timeout = timedelta(seconds=self.timeout)
        return timeout if self.execution_timeout is None else min(timeout, self.execution_timeout)

    def _time_out(self) -> NoReturn:
        if self._limit.total_seconds() < self.timeout:
            over = f"execution_timeout={self.execution_timeout} is over."
            raise FdiTimeout.because(*self._missing(), over)
        raise self._timed_out()

    def _timed_out(self) -> AirflowSensorTimeout:
        over = f"The sensor has timed out after {self.timeout:g} s."
        return AirflowSensorTimeout(compose(*self._missing(), over, anchor=FdiTimeout.__name__))

    def _missing(self) -> tuple[str, str]:
        """What has not happened yet; the task, and what was reported instead."""
        # Not computed here: that takes requests, which may be what failed.
        wait: Wait | None = self.__dict__.get("_wait")
        if wait is not None and not wait.in_log:
            missing = "The task, which never ends by itself, is not executing."
        elif self.fdi_run_id is not None:
            missing = f"Run {self.fdi_run_id} is not over."
        elif self.completed_after is not None:
            missing = f"No run that counts has ended at or after {self.completed_after}."
        else:
            missing = "No run that counts has ended."
        task_id = wait.fdi_task_id if wait is not None else self.fdi_task_id or ""
        task = task_label(task_id, self._task_names.get(task_id) or self.fdi_task_name)
        return missing, f"{task}{f': {self._reported}' if self._reported else ''}."

    def _log_progress(self, reported: str) -> None:
        """Log what is waited for and what was reported instead, whenever that has changed."""
        if reported != self._reported:
            self._reported = reported
            self.log.info("%s %s", *self._missing())

    @cached_property
    def _failures(self) -> PollFailures:
        # Deferred, here and below: runs costs more than a DAG file should pay.
        from airflow_provider_fdi.runs.polling import PollFailures

        limit = self._arguments.poll_failure_timeout
        # A process that polls once does not know for how long polls have failed.
        return PollFailures(math.inf if self.reschedule and not self.deferrable else limit)

    def _absorb(self, error: FdiError) -> float:
        """Count a poll that failed; seconds until the next one.

        :raises FdiError: the error itself, if another poll cannot help, or polls have failed for too long.
        """
        # Before the first poll that succeeded, permission and settings may never have been right. A 404 may
        # come from a gateway that lost the route for a moment: PollFailures decides about it.
        if not self._polled_once and is_permanent(error) and not isinstance(error, FdiNotFoundError):
            raise error
        pause = self._failures.failed(error, time.monotonic(), self.poke_interval)
        self.log.warning("Polling FDI failed, the sensor goes on: %s", error.brief)
        return pause

    def _poll(self, context: Context) -> PokeReturnValue:
        from airflow_provider_fdi.runs.polling import take_snapshot

        wait = self._wait
        if not self._linked:
            self._push_links(context, wait.fdi_task_id, None)
            self._linked = True
        client = self.hook.get_conn()
        snapshot = take_snapshot(client, wait)
        self._polled_once = True
        if not wait.in_log:
            return self._judge_health(context, snapshot.task)
        result = self._judge_run(context, wait, snapshot)
        if not result.is_done and self._reaches_back(snapshot.runs):
            result = self._judge_run(context, self._wait, take_snapshot(client, self._wait))
        return result

    def _reaches_back(self, runs: Iterable[Run]) -> bool:
        """Change the wait so that more of the log is read, if the latest execution began before ``runs`` do.

        Checked once for each process; False: the log has no more runs to read.
        """
        from airflow_provider_fdi.runs.polling import server_now
        from airflow_provider_fdi.runs.verdict import is_refused

        wait = self._wait
        if self._reached_back or wait.begin_time is None:
            return False
        if not all(is_refused(run) for run in runs):
            # FDI executes one run of a task at a time: the latest one began within that part of the log.
            return False
        self._reached_back = True
        try:
            monitors = self.hook.get_conn().list_task_monitors(
                task_name=self._task_names.get(wait.fdi_task_id)
            )
        except FdiError as error:
            self.log.info("A run that began before %s would be missed: %s", wait.begin_time, error.brief)
            return False
        began = [m.last_execute_time for m in monitors if m.task_id == wait.fdi_task_id]
        # Now, at the latest: a run that begins from now on may still end long before ``completed_after``.
        since = min([server_now(monitors.server_time), *(time for time in began if time is not None)])
        if since >= wait.begin_time:
            return False
        self._wait = wait.reading_from(since)
        return True

    @cached_property
    def _wait(self) -> Wait:
        """What to wait for, by the arguments and the type of the task; computed once for each process."""
        from airflow_provider_fdi.runs.polling import task_state
        from airflow_provider_fdi.runs.verdict import never_ends
        from airflow_provider_fdi.runs.waits import RunCompleted, RunEnds, TaskHealthy

        given = self._arguments
        client = self.hook.get_conn()
        task_id = self._fdi_task_id()
        if given.fdi_run_id is not None:
            return RunEnds(task_id, given.fdi_run_id)
        task, _ = task_state(client, task_id)
        if task is None:
            task = client.get_task(task_id)
        if task.task_name:
            self._task_names[task_id] = task.task_name
        if never_ends(task):
            return TaskHealthy(task_id, given.failure_statuses)
        statuses = tuple(dict.fromkeys((*given.target_statuses, *given.failure_statuses)))
        return RunCompleted(task_id, statuses, given.completed_after)

    def _judge_run(self, context: Context, wait: Wait, snapshot: Snapshot) -> PokeReturnValue:
        """Whether the log shows that the wait is over; publishes the run if so.

        :raises FdiRunFailed: the run failed.
        """
        from airflow_provider_fdi.runs.report import (
            StepReporter,
            clock_time,
            describe,
            failure_lines,
            run_summary,
        )
        from airflow_provider_fdi.runs.verdict import Outcome, by_time, outcome

        run = wait.find(snapshot.runs)
        if run is None or not wait.is_over(snapshot):
            latest = run or max(snapshot.runs, key=by_time, default=None)
            self._log_progress(f"the latest is {describe(latest)}" if latest else "its log shows none")
            return PokeReturnValue(is_done=False)
        summary = run_summary(run, wait.fdi_task_id)
        url = self._push_links(context, wait.fdi_task_id, run.run_id)
        context["ti"].xcom_push(key="fdi_run_id", value=run.run_id)
        self._report_to_outlets(context, summary)
        name = self._task_names.get(wait.fdi_task_id)
        self.hook.get_conn().observer.run_ended(summary, name, "sensor")
        status = run.execute_status.value
        if outcome(run) is not Outcome.UNKNOWN and status in self._arguments.target_statuses:
            ended = clock_time(summary["end_time"])
            self.log.info("%s of %s, ended %s", describe(run), self._label(wait.fdi_task_id), ended)
            self.log.info("Console: %s", url)
            return PokeReturnValue(is_done=True, xcom_value=summary)
        context["ti"].xcom_push(key="fdi_run", value=summary)
        StepReporter(self.log.log, run.run_id).report_run(run)
        task = self._failed_label(wait.fdi_task_id)
        raise FdiRunFailed.because(*failure_lines(run, task, link=url))

    def _failed_label(self, task_id: str) -> str:
        """The task as messages name it; its name is asked for if it is not known yet."""
        if task_id not in self._task_names:
            with contextlib.suppress(FdiError):
                self._task_names[task_id] = self.hook.get_conn().get_task(task_id).task_name or ""
        return self._label(task_id)

    def _judge_health(self, context: Context, task: Task | TaskMonitor | None) -> PokeReturnValue:
        """Whether a task that never ends is started and executing.

        :raises FdiRunFailed: its execution has ended as one of ``failure_statuses``.
        """
        from airflow_provider_fdi.runs.verdict import Health, health

        if task is None:
            self._log_progress("the service does not list it")
            return PokeReturnValue(is_done=False)
        execution = task.execute_status.value if task.execute_status else None
        state = health(task, self._arguments.failure_statuses)
        if state is Health.FAILED:
            raise FdiRunFailed.because(
                f"The task, which should run without end, ended as {execution}.",
                f"{task_label(task.task_id, task.task_name)} is {task.status.value}.",
                "Look at its log in the console; start it again with FdiBatchOperator once that is mended.",
            )
        if state is Health.NOT_YET:
            self._log_progress(f"it is {task.status.value}, its execution {execution}")
        summary = {"fdi_task_id": task.task_id, "task_status": task.status.value, "status": execution}
        self._report_to_outlets(context, summary)
        return PokeReturnValue(is_done=state is Health.HEALTHY, xcom_value=summary)

    def _push_links(self, context: Context, fdi_task_id: str, fdi_run_id: str | None) -> str:
        self._push_task_link(context, fdi_task_id)
        return self._push_run_link(context, fdi_task_id, fdi_run_id) if fdi_run_id else ""

    def _defer(self, context: Context) -> NoReturn:
        defer_for(
            self,
            [self._wait],
            poll_interval=self.poke_interval,
            poll_failure_timeout=self._arguments.poll_failure_timeout,
            deadline=deadline_of(context, self._limit),
        )
