"""Operators for FDI tasks: create, schedule, start and stop in batches, run and wait, update, delete."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_fdi.deferral import chain_of, check_event, deadline_of, defer_for, try_of
from airflow_provider_fdi.exceptions import (
    FdiAlreadyExists,
    FdiBatchFailed,
    FdiDataGateFailed,
    FdiDatasourceUnreachable,
    FdiRunFailed,
    FdiTaskBusy,
    FdiTimeout,
    FdiTriggerEventError,
    ends_at_once_if_hopeless,
)
from airflow_provider_fdi.inputs import (
    boolean,
    count,
    dict_list,
    given_id,
    id_list,
    make_hook,
    name_to_id,
    not_empty,
    number,
    one_of,
    whole,
)
from airflow_provider_fdi.links import FdiRunLink, FdiTaskLink, push_link
from airflow_provider_fdi.tasks import (
    FEW,
    TARGET_STATUS,
    already_exists,
    create_once,
    describe_item,
    note_for,
    require_stopped,
    still_to_do,
    watch_status,
)
from airflow_provider_fdi.termination import (
    Contact,
    ask_state,
    execution_timeout_is_over,
    user_ended_running_task,
)
from airflow_provider_fdi.version_compat import (
    AirflowSkipException,
    BaseOperator,
    default_deferrable,
    mask_secrets,
    task_state_store,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.client import FdiClient
    from airflow_provider_fdi.client.models import BatchItem, Run, Task
    from airflow_provider_fdi.hooks.fdi import FdiHook
    from airflow_provider_fdi.runs.record import Book, Note, RunRecord, Store
    from airflow_provider_fdi.runs.start import Ended, RunRequest
    from airflow_provider_fdi.runs.verdict import DataGate
    from airflow_provider_fdi.runs.wait import Look, Wait

LOCATE_IN_WORKER = 10.0
"""Seconds for which a deferrable run looks for its row in the worker: most appear at once, and a deferral
costs more than that."""
LOCATE_INTERVAL = 2.0
LOCATE_INTERVAL_DEFERRED = 10.0
"""Seconds between two looks for our row, however long ``poll_interval`` is: until it is found, nobody knows
that the run is ours."""
SHORTEST_INTERVAL = 0.01
KILL_TIMEOUT = 4.5
"""Seconds for all of ``on_kill``: Airflow sends SIGKILL after 5."""


class FdiBaseOperator(BaseOperator):
    """What all operators share: the connection, the place, and how a task is named.

    :param fdi_conn_id: connection of type ``fdi``.
    :param project_id: project of Huawei Cloud; from the connection when None.
    :param instance_id: instance of ROMA Connect; from the connection when None.
    """

    template_fields: Sequence[str] = ("fdi_conn_id", "project_id", "instance_id")
    ui_color = "#fbe9e7"
    fields_with_secrets: Sequence[str] = ()
    """Template fields in which values under secret-named keys are masked before Airflow stores or logs
    what they hold."""
    fields_from_files: Sequence[str] = ()
    """Template fields that may be the path of a ``.json`` file. With ``template_ext`` any text that ends so,
    in any field and at any depth, would be taken for a path."""

    def __init__(
        self,
        *,
        fdi_conn_id: str = "fdi_default",
        project_id: str | None = None,
        instance_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_conn_id = fdi_conn_id
        self.project_id = project_id
        self.instance_id = instance_id

    @cached_property
    def hook(self) -> FdiHook:
        return make_hook(self.fdi_conn_id, self.project_id, self.instance_id)

    @property
    def client(self) -> FdiClient:
        return self.hook.get_conn()

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: Any,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        # The one step of rendering that mapped tasks take as well.
        for field in self.fields_from_files:
            path = getattr(self, field)
            if isinstance(path, str) and path.endswith(".json"):
                setattr(self, field, jinja_env.loader.get_source(jinja_env, path)[0])
        # Before, because Airflow logs a template that fails; after, because it stores what was rendered.
        self._mask_secrets()
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, *args, **kwargs)
        self._mask_secrets()

    def _mask_secrets(self) -> None:
        if self.fields_with_secrets:
            from airflow_provider_fdi.client.task_detail import secret_values

            found = [s for field in self.fields_with_secrets for s in secret_values(getattr(self, field))]
            mask_secrets(s for s in found if not s.startswith("{{"))

    def _task_id_of(self, fdi_task_id: str | None, fdi_task_name: str | None) -> str:
        return name_to_id(self.hook, fdi_task_id, fdi_task_name)

    def _push_task_link(self, context: Context, fdi_task_id: str) -> None:
        push_link(context, FdiTaskLink, self.hook.console_link(fdi_task_id))


# --- run --------------------------------------------------------------------------------------------------


class FdiRunTaskOperator(FdiBaseOperator):
    """Run an FDI task once, exactly once, and wait for the result.

    Whatever process dies wherever, and whichever answer is lost, one chain of tries starts one run, unless
    that run itself failed: with the task state store of Airflow >= 3.3. Without it that holds within a try
    and its deferrals. The task's own schedule is left alone.

    Returns the run record: ``fdi_task_id``, ``fdi_run_id``, ``status``, ``rows``, ``dirty_rows``, ``bytes``,
    ``dispatch_time``, ``start_time``, ``end_time`` (ms since the epoch), ``duration_ms``, ``remarks``,
    ``joined``. XCom also holds ``fdi_run_id`` as soon as it is known, and the record as ``fdi_run`` when the
    run has failed.

    Source: RunTask, ListMonitorLog, ListTasks, StopTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param wait_for_completion: False: return as soon as the run is known.
    :param deferrable: wait in the triggerer; ``[operators] default_deferrable`` when None.
    :param poll_interval: seconds between two looks.
    :param if_running: what to do about a run in progress that is not ours: ``wait`` until it ends, then start
        ours; ``join``: take it for ours, but never terminate it; ``fail``; ``skip``. On Airflow < 3.3 a
        retry cannot tell whose a run is: there ``wait`` means ``join`` for it.
    :param start_if_stopped: start the task (arm its schedule) if it is stopped.
    :param start_grace: seconds within which the service shows a run in its log after starting it.
    :param poll_failure_timeout: seconds for which looks may fail on end before the task fails.
    :param min_rows: fail if the run moved fewer rows.
    :param max_dirty_rows: fail if the run refused more rows.
    :param skip_if_empty: skip if the run moved no rows at all.
    :param durable: remember the run in the task state store (Airflow >= 3.3), so that a retry goes on with
        the run of the try before it.
    :param terminate_on_kill: True: terminate our run when a user marks the task failed or succeeded, or
        clears it, and when ``execution_timeout`` is over. If the process ends for another reason, or Airflow
        does not tell the reason, the run goes on and the next try joins it. False: the run always goes on.

    :raises FdiRunFailed: the run failed or was cancelled.
    :raises FdiDataGateFailed: it moved too few rows, or too many dirty ones.
    :raises FdiTaskBusy: another run is in progress and ``if_running="fail"``.
    :raises FdiTimeout: ``execution_timeout`` came while deferred.
    :raises FdiStartError: FDI accepted a start, or left two unanswered, and no run appeared in the log.
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
        self._book: Book | None = None
        self._chain = 0
        self._contact: Contact | None = None
        self._summary: dict[str, Any] | None = None

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_fdi.runs.record import Book

        return self._carry_on(context, Book.open(self._store(context)))

    @ends_at_once_if_hopeless
    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after a deferral. The event only wakes; what it means is looked up at the service."""
        from airflow_provider_fdi.runs.record import Book
        from airflow_provider_fdi.triggers.fdi import TIMEOUT

        checked = check_event(event)
        book = Book.open(self._store(context), carried=checked.get("record"))
        if checked["status"] == TIMEOUT:
            self._book, self._chain = book, chain_of(context)
            self._time_out()
        # The task was named before the deferral; a lookup of the name now could fail for no good reason.
        known = book.in_hand.fdi_task_id if book.in_hand is not None else None
        return self._carry_on(context, book, known, steps_told=checked.get("steps_told") or ())

    def on_kill(self) -> None:
        """Terminate our run if a user has ended the task, or its time is over; else leave it going.

        Airflow calls this inside a signal handler, and sends SIGKILL after 5 s.
        """
        book = self._book
        if book is None or book.try_ended:
            return
        deadline = time.monotonic() + KILL_TIMEOUT
        # From now on this try starts nothing, whoever ended it.
        book.try_ended = True
        record = self._own_record
        if record is None or not record.ours:
            return
        run = f"Run {record.run_id}" if record.run_id else "The run that was just started"
        if not self.terminate_on_kill:
            self.log.info("%s of FDI task %s goes on (terminate_on_kill=False)", run, record.fdi_task_id)
            return
        if not execution_timeout_is_over() and not self._user_ended_task(run, record.fdi_task_id):
            return
        # In a thread of its own: the interrupted main thread may hold a lock of the session, and then this
        # must end rather than hang.
        thread = threading.Thread(target=self._terminate_quietly, args=(record,), daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            self.log.error(
                "Terminating the run of FDI task %s takes longer than %g s; it may go on",
                record.fdi_task_id,
                KILL_TIMEOUT,
            )

    def _user_ended_task(self, run: str, fdi_task_id: str) -> bool:
        """Whether a user has ended the task instance; if not, the log says that its run goes on."""
        contact = self._contact
        if contact is None:
            return False
        state = ask_state(contact.task_instance)
        if user_ended_running_task(state, contact.silent_for, contact.timeout):
            return True
        self.log.warning(
            "%s of FDI task %s goes on: Airflow ended this try, but no user did (task instance: %s). The next"
            " try goes on with it. To end it, use FdiTerminateRunOperator or the console",
            run,
            fdi_task_id,
            state or "no answer",
        )
        return False

    # --- the way of a run -------------------------------------------------------------------------------

    def _carry_on(
        self, context: Context, book: Book, known: str | None = None, steps_told: Iterable[str] = ()
    ) -> dict[str, Any]:
        from airflow_provider_fdi.runs.report import StepLog
        from airflow_provider_fdi.runs.start import Busy, Ended, advance
        from airflow_provider_fdi.runs.wait import (
            ENDED,
            LOCATED,
            is_refused_read,
            look_at,
            look_until,
            watch,
        )

        # Read before anything is sent: a gate that cannot be must not be noticed after the run.
        interval = number("poll_interval", self.poll_interval, minimum=SHORTEST_INTERVAL)
        failure_timeout = number("poll_failure_timeout", self.poll_failure_timeout)
        self._gate()
        # The client is made by now: on_kill could not read a connection.
        request = look_until(
            lambda: self._request(context, known, interval, failure_timeout),
            poll_interval=interval,
            poll_failure_timeout=failure_timeout,
            look_first=True,
            is_final=is_refused_read,
        )
        assert request is not None
        self._push_task_link(context, request.fdi_task_id)
        self._book, self._chain = book, request.chain
        self._contact = Contact(context["ti"])
        told: str | None = None
        steps = StepLog(self.log.info, None)
        while True:
            step = advance(self.client, book, request)
            run_id = book.in_hand.run_id if book.in_hand is not None else None
            if run_id is not None and run_id != told:
                self._announce(context, request.fdi_task_id, run_id)
                steps = StepLog(self.log.info, run_id, steps_told if told is None else ())
                told = run_id
            if isinstance(step, Busy):
                self._report_busy(request.fdi_task_id, step.run)
            if isinstance(step, Ended):
                steps.tell_run(step.run)
                return self._conclude(context, book, request.fdi_task_id, step)
            if step.until == ENDED and not self.wait_for_completion:
                look = look_until(
                    partial(look_at, self.client, step),
                    poll_interval=interval,
                    poll_failure_timeout=failure_timeout,
                    look_first=True,
                )
                assert look is not None
                return self._describe_started(context, book, step, look)
            if step.until == LOCATED and self._is_over_soon(step, interval, failure_timeout):
                continue
            if self.deferrable:
                self._defer(context, book, step, interval, failure_timeout)
            watch(
                self.client,
                step,
                poll_interval=interval,
                poll_failure_timeout=failure_timeout,
                sleep=self._contact.sleep,
                on_look=steps.tell,
            )

    def _is_over_soon(self, wait: Wait, interval: float, failure_timeout: float) -> bool:
        """Wait for our row here; for a while only if the triggerer can wait for it instead."""
        from airflow_provider_fdi.runs.wait import watch

        look = watch(
            self.client,
            wait,
            poll_interval=min(interval, LOCATE_INTERVAL),
            poll_failure_timeout=failure_timeout,
            until=time.monotonic() + LOCATE_IN_WORKER if self.deferrable else None,
            look_first=True,
        )
        return look is not None

    def _request(
        self, context: Context, known: str | None, interval: float, failure_timeout: float
    ) -> RunRequest:
        from airflow_provider_fdi.runs.start import IF_RUNNING, RunRequest

        policy = one_of("if_running", self.if_running, IF_RUNNING)
        try_number = try_of(context)
        if policy == "wait" and try_number > 1 and self.durable and self._store(context) is None:
            # Without a state store a retry cannot know its own run from another's.
            policy = "join"
        return RunRequest(
            start_grace=number("start_grace", self.start_grace),
            start_if_stopped=boolean("start_if_stopped", self.start_if_stopped),
            fdi_task_id=known or self._task_id_of(self.fdi_task_id, self.fdi_task_name),
            chain=chain_of(context),
            try_number=try_number,
            if_running=policy,
            terminate_cleared=self.terminate_on_kill,
            poll_interval=interval,
            poll_failure_timeout=failure_timeout,
        )

    def _gate(self) -> DataGate:
        from airflow_provider_fdi.runs.verdict import DataGate

        return DataGate(
            min_rows=count("min_rows", self.min_rows),
            max_dirty_rows=count("max_dirty_rows", self.max_dirty_rows),
            skip_if_empty=boolean("skip_if_empty", self.skip_if_empty),
        )

    def _store(self, context: Context) -> Store | None:
        return task_state_store(context) if self.durable else None

    @property
    def _own_record(self) -> RunRecord | None:
        """The record of this execution's run, not of one that was cleared."""
        record = None if self._book is None else self._book.record
        return record if record is not None and record.chain == self._chain else None

    def _announce(self, context: Context, fdi_task_id: str, run_id: str) -> None:
        url = self.hook.console_link(fdi_task_id, run_id)
        self.log.info("Run %s of FDI task %s", run_id, fdi_task_id)
        self.log.info("Console: %s", url)
        context["ti"].xcom_push(key="fdi_run_id", value=run_id)
        push_link(context, FdiRunLink, url)
        if self.wait_for_completion and (self.outlets or self.inlets):
            from airflow_provider_fdi.assets import report_run

            report_run(context, self, fdi_task_id, run_id)

    def _report_busy(self, fdi_task_id: str, run: Run | None) -> NoReturn:
        name = f"run {run.run_id}" if run else "a run that is not in its log yet"
        text = f"FDI task {fdi_task_id} is executing {name}, which this task did not start"
        if self.if_running == "skip":
            raise AirflowSkipException(f"{text} (if_running='skip').")
        raise FdiTaskBusy(f"{text} (if_running='fail'). Wait for it, or set if_running to 'wait' or 'join'.")

    def _conclude(self, context: Context, book: Book, fdi_task_id: str, ended: Ended) -> dict[str, Any]:
        from airflow_provider_fdi.runs import report, verdict

        run = ended.run
        summary = report.run_summary(run, fdi_task_id, joined=ended.joined)
        context["ti"].xcom_push(key="fdi_run", value=summary)
        self.log.info("%s", report.describe(run))
        self._tell_outlets(context, summary)
        if not self.wait_for_completion:
            return summary
        if verdict.outcome(run) is not verdict.Outcome.SUCCESS:
            url = self.hook.console_link(fdi_task_id, run.run_id)
            raise FdiRunFailed(report.failure_text(run, fdi_task_id, link=url))
        judgement, reason = verdict.judge_data(run, self._gate())
        if judgement is verdict.GateVerdict.SKIP:
            raise AirflowSkipException(f"Run {run.run_id} of FDI task {fdi_task_id}: {reason}.")
        if judgement is verdict.GateVerdict.FAIL:
            # Remembered, so that the next try starts a new run instead of taking this one's success.
            book.update(closed=True)
            raise FdiDataGateFailed(f"Run {run.run_id} of FDI task {fdi_task_id} succeeded, but {reason}.")
        return summary

    def _describe_started(self, context: Context, book: Book, wait: Wait, look: Look) -> dict[str, Any]:
        from airflow_provider_fdi.runs.report import run_summary
        from airflow_provider_fdi.runs.verdict import find_run

        run = find_run(look.runs, wait.run_id or "")
        if run is None:
            raise LookupError(f"run {wait.run_id} is missing from the look for it")
        joined = book.record is not None and book.record.joined
        summary = run_summary(run, wait.fdi_task_id, joined=joined)
        self._tell_outlets(context, summary)
        return summary

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What went where, for OpenLineage, which calls this after the task."""
        from airflow_provider_fdi.lineage import lineage_of

        return lineage_of(self.client, self._summary) if self._summary else None

    def _tell_outlets(self, context: Context, summary: dict[str, Any]) -> None:
        self._summary = summary
        if self.outlets:
            from airflow_provider_fdi.assets import tell_outlets

            tell_outlets(context, self.outlets, summary)

    def _defer(
        self, context: Context, book: Book, step: Wait, interval: float, failure_timeout: float
    ) -> NoReturn:
        from airflow_provider_fdi.runs.wait import LOCATED

        defer_for(
            self,
            [step],
            poll_interval=min(interval, LOCATE_INTERVAL_DEFERRED) if step.until == LOCATED else interval,
            poll_failure_timeout=failure_timeout,
            deadline=deadline_of(context, self.execution_timeout),
            record=None if book.record is None else book.record.to_json(),
            terminate_on_kill=self.terminate_on_kill,
        )

    def _time_out(self) -> NoReturn:
        from airflow_provider_fdi.client.errors import FdiError
        from airflow_provider_fdi.runs.stop import terminate_own_run

        record = self._own_record
        name = record.fdi_task_id if record is not None else self.fdi_task_id or self.fdi_task_name
        over = f"FDI task {name}: execution_timeout={self.execution_timeout} is over."
        if not self.terminate_on_kill:
            raise FdiTimeout(over)
        try:
            run_id = terminate_own_run(self.client, record)
        except FdiError as error:
            raise FdiTimeout(f"{over} The run could not be terminated, it may go on: {error}") from error
        ended = f"Run {run_id} was terminated." if run_id else "No run of ours was going on."
        raise FdiTimeout(f"{over} {ended}")

    def _terminate_quietly(self, record: RunRecord) -> None:
        from airflow_provider_fdi.client.errors import FdiError
        from airflow_provider_fdi.runs.stop import terminate_own_run

        try:
            terminate_own_run(self.client, record)
        except FdiError as error:
            self.log.error("The run could not be terminated, it may go on: %s", error)


# --- create -----------------------------------------------------------------------------------------------

CREATE_KEY = "fdi_create"
IF_EXISTS = ("fail", "reuse", "update")


class FdiCreateTaskOperator(FdiBaseOperator):
    """Create a common FDI task (one table, API, queue or file to one target); returns its id.

    Source: CreateCommonTask, UpdateTask, ListTasks.

    :param fdi_task_name: 3 to 100 letters, digits, ``.``, ``_``, ``-``; starts with a letter or digit.
    :param fdi_task_type: ``TIMING`` or ``REALTIME``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param task_detail: what is moved and how: a dict, JSON text, or the path of a ``.json`` template.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param if_exists: what to do about a task of this name: ``fail``, ``reuse`` it as it is, or ``update`` it.
    :param stop_first: stop a started task before it is updated; it is left stopped.

    :raises FdiAlreadyExists: the task exists and ``if_exists="fail"``.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_name",
        "fdi_task_type",
        "source_datasource_id",
        "target_datasource_id",
        "task_detail",
        "description",
        "task_tag",
        "if_exists",
        "stop_first",
    )
    fields_from_files = ("task_detail",)
    template_fields_renderers = {"task_detail": "json"}
    fields_with_secrets = ("task_detail",)
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_name: str,
        source_datasource_id: str,
        target_datasource_id: str,
        task_detail: dict[str, Any] | str,
        fdi_task_type: str = "TIMING",
        description: str | None = None,
        task_tag: str | None = None,
        if_exists: str = "fail",
        stop_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_name = fdi_task_name
        self.fdi_task_type = fdi_task_type
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.task_detail = task_detail
        self.description = description
        self.task_tag = task_tag
        self.if_exists = if_exists
        self.stop_first = stop_first

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> str:
        body = self._checked_body()
        one_of("if_exists", self.if_exists, IF_EXISTS)
        stop_first = boolean("stop_first", self.stop_first)
        client = self.client

        def create() -> str | None:
            task = client.create_task(**body)
            return task.task_id if task is not None else None

        note = note_for(context, CREATE_KEY, task_name=self.fdi_task_name)
        task_id, existing = create_once(self.hook, self.fdi_task_name, create, note)
        self._push_task_link(context, task_id)
        if existing is None:
            self.log.info("Created FDI task %s (%s)", task_id, self.fdi_task_name)
            return task_id
        if self.if_exists == "fail":
            raise already_exists(self.fdi_task_name, task_id)
        if self.if_exists == "update":
            require_stopped(client, existing, stop_first, "update")
            client.update_task(task_id, **body)
            self.log.info("Updated FDI task %s (%s)", task_id, self.fdi_task_name)
        else:
            self.log.info("FDI task %s (%s) exists and is left as it is", task_id, self.fdi_task_name)
        return task_id

    def _checked_body(self) -> dict[str, Any]:
        """What is sent, checked before anything is sent."""
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.task_detail import to_json_text

        for field in ("fdi_task_name", "description", "task_tag"):
            not_empty(field, getattr(self, field))
        return {
            "task_name": rules.task_name(self.fdi_task_name, field="fdi_task_name"),
            "task_type": rules.task_type(self.fdi_task_type, field="fdi_task_type"),
            "source_datasource_id": given_id("source_datasource_id", self.source_datasource_id),
            "target_datasource_id": given_id("target_datasource_id", self.target_datasource_id),
            "task_detail": to_json_text(self.task_detail),
            "description": rules.description(self.description),
            "task_tag": rules.task_tag(self.task_tag),
        }


MAPPING_KEYS = ("source_table", "target_table", "source_columns", "target_columns", "mapping_columns")


class FdiCreateCompositeTaskOperator(FdiBaseOperator):
    """Create a composite task (change data capture, many tables to many); returns its id.

    Initialises the task, adds the table mappings, and creates it under the id that the initialisation gave.

    Source: InstallMultiTasks, CreateMultiTaskMappings, CreateMultiTasks, UpdateMultiTasks.

    :param fdi_task_name: as for :class:`FdiCreateTaskOperator`.
    :param operation_types: what is followed: one or more of ``INSERT``, ``UPDATE``, ``DELETE``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param auto_mapping: let FDI map tables of equal names.
    :param table_mappings: mappings to add: dicts with ``source_table`` and ``target_table``
        (``schema.table``) and, where columns differ, ``source_columns``, ``target_columns``,
        ``mapping_columns``.
    :param server_id: MySQL server id of the source.
    :param source_app_id: integration application of the source.
    :param target_app_id: integration application of the target.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param if_exists: ``fail``, ``reuse``, or ``update`` (operation types, description and tag).
    :param stop_first: stop a started task before it is updated; it is left stopped.
    :param repulling_snapshot: with ``if_exists="update"``: synchronise existing data again.

    :raises FdiAlreadyExists: the task exists and ``if_exists="fail"``.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_name",
        "operation_types",
        "source_datasource_id",
        "target_datasource_id",
        "table_mappings",
        "server_id",
        "source_app_id",
        "target_app_id",
        "description",
        "task_tag",
        "if_exists",
        "auto_mapping",
        "stop_first",
        "repulling_snapshot",
    )
    template_fields_renderers = {"table_mappings": "json"}
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_name: str,
        operation_types: Sequence[str] = ("INSERT", "UPDATE", "DELETE"),
        source_datasource_id: str,
        target_datasource_id: str,
        auto_mapping: bool = False,
        table_mappings: Sequence[Mapping[str, Any]] = (),
        server_id: str | None = None,
        source_app_id: str | None = None,
        target_app_id: str | None = None,
        description: str | None = None,
        task_tag: str | None = None,
        if_exists: str = "fail",
        stop_first: bool = False,
        repulling_snapshot: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_name = fdi_task_name
        self.operation_types = operation_types
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.auto_mapping = auto_mapping
        self.table_mappings = table_mappings
        self.server_id = server_id
        self.source_app_id = source_app_id
        self.target_app_id = target_app_id
        self.description = description
        self.task_tag = task_tag
        self.if_exists = if_exists
        self.stop_first = stop_first
        self.repulling_snapshot = repulling_snapshot

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> str:
        self._check()
        note = note_for(context, CREATE_KEY, task_name=self.fdi_task_name)
        task_id, existing = create_once(self.hook, self.fdi_task_name, self._create, note, composite=True)
        self._push_task_link(context, task_id)
        if existing is None:
            self.log.info("Created composite FDI task %s (%s)", task_id, self.fdi_task_name)
            return task_id
        if self.if_exists == "fail":
            raise already_exists(self.fdi_task_name, task_id)
        if self.if_exists == "update":
            require_stopped(self.client, existing, boolean("stop_first", self.stop_first), "update")
            self.client.update_composite_task(
                task_id,
                operation_types=self._operation_types(),
                repulling_snapshot=boolean("repulling_snapshot", self.repulling_snapshot),
                description=self.description,
                task_tag=self.task_tag,
            )
            self.log.info("Updated composite FDI task %s (%s)", task_id, self.fdi_task_name)
        return task_id

    def _check(self) -> None:
        """Refuse bad input before anything is sent."""
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.errors import FdiInvalidRequestError

        one_of("if_exists", self.if_exists, IF_EXISTS)
        for field in ("stop_first", "repulling_snapshot", "auto_mapping"):
            boolean(field, getattr(self, field))
        for field in ("fdi_task_name", "server_id", "description", "task_tag"):
            not_empty(field, getattr(self, field))
        rules.task_name(self.fdi_task_name, field="fdi_task_name")
        rules.operation_types(self._operation_types())
        given_id("source_datasource_id", self.source_datasource_id)
        given_id("target_datasource_id", self.target_datasource_id)
        for field in ("source_app_id", "target_app_id"):
            if getattr(self, field) is not None:
                given_id(field, getattr(self, field))
        if self.server_id is not None:
            rules.text(str(self.server_id), "server_id", maximum=20)
        rules.description(self.description)
        rules.task_tag(self.task_tag)
        for index, mapping in enumerate(dict_list("table_mappings", self.table_mappings)):
            place = f"table_mappings[{index}]"
            for side in ("source_table", "target_table"):
                if not mapping.get(side):
                    raise FdiInvalidRequestError.local("", place, dict(mapping), f"must have {side}")
                rules.table(mapping[side], f"{place}.{side}")
            for key in mapping:
                if key not in MAPPING_KEYS:
                    rule = f"is unknown; a mapping has {', '.join(MAPPING_KEYS)}"
                    raise FdiInvalidRequestError.local("", f"{place}.{key}", mapping[key], rule)
            for key in MAPPING_KEYS[2:]:
                if mapping.get(key) is not None:
                    dict_list(f"{place}.{key}", mapping[key])

    def _operation_types(self) -> list[str]:
        # What id_list says of an empty list would not say what may be in it.
        return id_list("operation_types", self.operation_types) if self.operation_types else []

    def _create(self) -> str | None:
        from airflow_provider_fdi.client.errors import FdiProtocolError

        client = self.client
        initialised = client.init_composite_task(
            source_datasource_id=self.source_datasource_id,
            target_datasource_id=self.target_datasource_id,
            auto_mapping=boolean("auto_mapping", self.auto_mapping),
            server_id=self.server_id,
        )
        if not initialised:
            raise FdiProtocolError(
                "init_composite_task: the service answered without a task id", operation="init_composite_task"
            )
        task_id = initialised[0].task_id
        for mapping in dict_list("table_mappings", self.table_mappings):
            client.create_mapping(
                task_id,
                source_datasource_id=self.source_datasource_id,
                target_datasource_id=self.target_datasource_id,
                server_id=self.server_id,
                **mapping,
            )
        created = client.create_composite_task(
            task_name=self.fdi_task_name,
            operation_types=self._operation_types(),
            task_id=task_id,
            description=self.description,
            task_tag=self.task_tag,
            source_app_id=self.source_app_id,
            target_app_id=self.target_app_id,
        )
        return created or task_id


# --- start and stop in batches ----------------------------------------------------------------------------

BATCH_KEY = "fdi_batch"


class FdiBatchOperator(FdiBaseOperator):
    """Start or stop any number of FDI tasks, ten to a request, several requests at once.

    A task that is so already counts as success. A retry acts only on what is left. Returns
    ``{"succeeded": [id, …], "failed": [{"fdi_task_id", "fdi_task_name", "error_code", "error_msg"}, …]}``,
    also in XCom as ``fdi_batch`` when the task failed.

    Source: BatchStartOrStopTasks, ListTasks.

    :param action: ``start`` (arm the schedule, or begin to stream) or ``stop``.
    :param fdi_task_ids: ids of the tasks; or
    :param fdi_task_names: their exact names.
    :param wait_for_status: wait until every task reports the new status, without end unless
        ``execution_timeout`` is given.
    :param on_partial_failure: ``fail`` the task, or ``warn`` in its log.
    :param max_parallel_requests: how many requests may be in flight at once.
    :param deferrable: wait in the triggerer; ``[operators] default_deferrable`` when None.
    :param poll_interval: seconds between two looks.
    :param poll_failure_timeout: seconds for which looks may fail on end before the task fails.

    :raises FdiBatchFailed: names each task that failed, with its code and message.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "action",
        "fdi_task_ids",
        "fdi_task_names",
        "on_partial_failure",
        "max_parallel_requests",
        "poll_interval",
        "poll_failure_timeout",
        "wait_for_status",
    )

    def __init__(
        self,
        *,
        action: str,
        fdi_task_ids: Sequence[str] | str | None = None,
        fdi_task_names: Sequence[str] | str | None = None,
        wait_for_status: bool = False,
        on_partial_failure: str = "fail",
        max_parallel_requests: int = 4,
        deferrable: bool | None = None,
        poll_interval: float = 10,
        poll_failure_timeout: float = 600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.fdi_task_ids = fdi_task_ids
        self.fdi_task_names = fdi_task_names
        self.wait_for_status = wait_for_status
        self.on_partial_failure = on_partial_failure
        self.max_parallel_requests = max_parallel_requests
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.poll_failure_timeout = poll_failure_timeout

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.runs.wait import ACTIVATED, Wait

        rules.action(self.action)
        one_of("on_partial_failure", self.on_partial_failure, ("fail", "warn"))
        interval = number("poll_interval", self.poll_interval, minimum=SHORTEST_INTERVAL)
        failure_timeout = number("poll_failure_timeout", self.poll_failure_timeout)
        wait_for_status = boolean("wait_for_status", self.wait_for_status)
        parallel = whole("max_parallel_requests", self.max_parallel_requests, minimum=1)
        result = self._operate(context, self._names_by_id(), parallel)
        if wait_for_status and result["succeeded"]:
            if self.deferrable:
                status = TARGET_STATUS[self.action]
                defer_for(
                    self,
                    [Wait(task_id, ACTIVATED, statuses=(status,)) for task_id in result["succeeded"]],
                    poll_interval=interval,
                    poll_failure_timeout=failure_timeout,
                    deadline=deadline_of(context, self.execution_timeout),
                    record=result,
                )
            watch_status(
                self.client,
                result["succeeded"],
                self.action,
                poll_interval=interval,
                poll_failure_timeout=failure_timeout,
            )
        return self._conclude(result)

    @ends_at_once_if_hopeless
    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        from airflow_provider_fdi.triggers.fdi import TIMEOUT

        checked = check_event(event)
        if checked["status"] == TIMEOUT:
            raise FdiTimeout(
                f"{self.action}: not all tasks report {TARGET_STATUS[self.action]!r} within"
                f" execution_timeout={self.execution_timeout}."
            )
        result = checked.get("record")
        if not isinstance(result, Mapping) or {"succeeded", "failed"} - result.keys():
            raise FdiTriggerEventError(f"The trigger's event lacks the result of the batch: {event!r}")
        return self._conclude(dict(result))

    def _names_by_id(self) -> dict[str, str | None]:
        """The ids in question, each with its name if it was given by name."""
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.errors import FdiInvalidRequestError
        from airflow_provider_fdi.hooks.fdi import existing_task_named

        if (self.fdi_task_ids is None) == (self.fdi_task_names is None):
            raise FdiInvalidRequestError.local(
                "", "fdi_task_ids", self.fdi_task_ids, "give either fdi_task_ids or fdi_task_names"
            )
        if self.fdi_task_ids is not None:
            ids = id_list("fdi_task_ids", self.fdi_task_ids)
            return {rules.identifier(task_id, "fdi_task_ids"): None for task_id in ids}
        names = id_list("fdi_task_names", self.fdi_task_names)
        if len(names) <= FEW:
            return {name_to_id(self.hook, None, name): name for name in names}
        known: dict[str | None, list[Task]] = {}
        for task in self.client.list_tasks():
            known.setdefault(task.task_name, []).append(task)
        return {existing_task_named(name, known.get(name, ())).task_id: name for name in names}

    def _operate(self, context: Context, names: dict[str, str | None], parallel: int) -> dict[str, Any]:
        from airflow_provider_fdi.client.errors import FdiError

        ids = list(names)
        store = task_state_store(context)
        done = self._done_before(context, store, ids)
        left = [task_id for task_id in ids if task_id not in done]
        if done:
            self.log.info("%d of %d tasks were done by an earlier try", len(ids) - len(left), len(ids))
        failed: list[BatchItem] = []
        if left:
            operate = self.client.start_tasks if self.action == "start" else self.client.stop_tasks
            try:
                answer = operate(left, max_parallel_requests=parallel)
            except FdiError as error:
                if error.partial is not None:
                    self._remember(context, store, done + [i.task_id for i in error.partial.succeeded])
                raise
            # Before the next request: should it fail, what is done is known nevertheless.
            self._remember(context, store, done + [i.task_id for i in answer.succeeded])
            failed = still_to_do(self.client, answer.failed, self.action)
        bad = {item.task_id for item in failed}
        succeeded = [task_id for task_id in ids if task_id not in bad]
        self._remember(context, store, succeeded)
        result = {
            "succeeded": succeeded,
            "failed": [
                {
                    "fdi_task_id": item.task_id,
                    "fdi_task_name": item.task_name or names.get(item.task_id),
                    "error_code": item.error_code,
                    "error_msg": item.error_msg,
                }
                for item in failed
            ],
        }
        context["ti"].xcom_push(key="fdi_batch", value=result)
        return result

    def _done_before(self, context: Context, store: Store | None, ids: list[str]) -> list[str]:
        """What an earlier try has done already: remembered or, where it left no word, looked up."""
        if store is not None:
            memory = store.get(BATCH_KEY)
            same = isinstance(memory, Mapping) and (
                memory.get("chain") == chain_of(context) and memory.get("action") == self.action
            )
            if same and isinstance(memory.get("succeeded"), list):
                return [i for i in memory["succeeded"] if i in ids]
        if try_of(context) <= 1:
            return []
        target = TARGET_STATUS[self.action]
        so = {task.task_id for task in self.client.list_tasks() if task.status.value == target}
        return [task_id for task_id in ids if task_id in so]

    def _remember(self, context: Context, store: Store | None, succeeded: list[str]) -> None:
        if store is not None:
            store.set(BATCH_KEY, {"chain": chain_of(context), "action": self.action, "succeeded": succeeded})

    def _conclude(self, result: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_fdi.client.models import BatchItem

        failed = result["failed"]
        total = len(failed) + len(result["succeeded"])
        if not failed:
            self.log.info("%s: all %d tasks", self.action, total)
            return result
        fields = ("fdi_task_id", "fdi_task_name", "error_code", "error_msg")
        lines = "\n".join("  " + describe_item(BatchItem(*(item[f] for f in fields))) for item in failed)
        text = f"{self.action}: {len(failed)} of {total} FDI tasks failed:\n{lines}"
        if self.on_partial_failure == "fail":
            raise FdiBatchFailed(text)
        self.log.warning("%s", text)
        return result


# --- schedule ---------------------------------------------------------------------------------------------


SCHEDULE_KEY = "fdi_schedule"


class FdiCreateScheduleOperator(FdiBaseOperator):
    """Give an FDI task its schedule; returns the schedule's id (``dispatch_id``).

    A task has one schedule. It fires only while the task is started (:class:`FdiBatchOperator`).

    Source: CreateDispatches, ShowDispatches, UpdateDispatches.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param cron: Quartz cron (six fields, seconds 0, 1 = Sunday), five-field Unix cron, or a preset like
        ``@daily``; or, instead,
    :param period: ``MIN``, ``HOUR``, ``DAY``, ``WEEK`` or ``MON``, and
    :param dispatch_interval: how many of them lie between two runs, 1 to 59.
    :param start_time: when the schedule takes effect: a datetime, ISO text, or ms since the epoch.
    :param cron_timezone: time zone of ``cron``, for instance ``GMT+08:00``.
    :param remark: free text.
    :param if_exists: what to do about a schedule that is there: ``update`` it if it differs, ``reuse`` it as
        it is, or ``fail``.

    :raises FdiAlreadyExists: the task has a schedule and ``if_exists="fail"``.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "cron",
        "period",
        "dispatch_interval",
        "start_time",
        "cron_timezone",
        "remark",
        "if_exists",
    )
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        cron: str | None = None,
        period: str | None = None,
        dispatch_interval: int | None = None,
        start_time: datetime | str | int | None = None,
        cron_timezone: str | None = None,
        remark: str | None = None,
        if_exists: str = "update",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.cron = cron
        self.period = period
        self.dispatch_interval = dispatch_interval
        self.start_time = start_time
        self.cron_timezone = cron_timezone
        self.remark = remark
        self.if_exists = if_exists

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> str:
        from airflow_provider_fdi.client.errors import FdiError

        plan = self._checked_plan()
        one_of("if_exists", self.if_exists, IF_EXISTS)
        fdi_task_id = self._task_id_of(self.fdi_task_id, self.fdi_task_name)
        client = self.client
        self._push_task_link(context, fdi_task_id)
        existing = client.get_schedule(fdi_task_id)
        note = note_for(context, SCHEDULE_KEY, fdi_task_id=fdi_task_id)
        if existing is None:
            note.leave()
            try:
                made = client.create_schedule(fdi_task_id, **plan)
                self.log.info("Created schedule %s of FDI task %s", made.dispatch_id, fdi_task_id)
                return made.dispatch_id
            except FdiError as error:
                if not error.ambiguous:
                    note.take_back()
                    raise
                # A task has one schedule, so what is there now is what we sent.
                found = client.get_schedule(fdi_task_id)
                if found is None:
                    raise
                self.log.warning("The creation of the schedule was not answered, but it exists: %s", error)
                return found.dispatch_id
        wanted = plan if existing.use_quartz_cron is None else plan | {"use_quartz_cron": "cron" in plan}
        differences = {
            field: (told, value)
            for field, value in wanted.items()
            if value is not None and (told := getattr(existing, field)) != value
        }
        if self.if_exists == "fail" and not note.is_left:
            raise FdiAlreadyExists(
                f"FDI task {fdi_task_id} has schedule {existing.dispatch_id} already (if_exists='fail')."
                " Set if_exists to 'update' or 'reuse'."
            )
        if self.if_exists == "update" and differences:
            for field, (told, value) in differences.items():
                self.log.info("Schedule %s: %s %r -> %r", existing.dispatch_id, field, told, value)
            client.update_schedule(fdi_task_id, existing.dispatch_id, **plan)
        else:
            self.log.info("Schedule %s is left as it is", existing.dispatch_id)
        return existing.dispatch_id

    def _checked_plan(self) -> dict[str, Any]:
        """What is sent, checked before anything is sent."""
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.cron import to_quartz
        from airflow_provider_fdi.client.errors import FdiInvalidRequestError

        if bool(self.cron) == bool(self.period):
            both = f", not both (period={self.period!r})" if self.cron else ""
            raise FdiInvalidRequestError.local(
                "create_schedule",
                "cron",
                self.cron,
                f"give either cron, or period with dispatch_interval{both}",
            )
        start = rules.start_time(self.start_time) if self.start_time not in (None, "") else None
        for field in ("remark", "cron_timezone"):
            not_empty(field, getattr(self, field))
            if getattr(self, field) is not None:
                rules.text(getattr(self, field), field, operation="create_schedule", minimum=0)
        plan: dict[str, Any] = {"start_time": start, "remark": self.remark}
        if self.cron:
            if self.dispatch_interval is not None:
                raise FdiInvalidRequestError.local(
                    "create_schedule",
                    "dispatch_interval",
                    self.dispatch_interval,
                    "goes with period, not cron",
                )
            return plan | {"cron": to_quartz(self.cron), "cron_timezone": self.cron_timezone or None}
        if self.cron_timezone:
            raise FdiInvalidRequestError.local(
                "create_schedule", "cron_timezone", self.cron_timezone, "goes with cron, not period"
            )
        return plan | {
            "period": rules.period(self.period),
            "dispatch_interval": rules.dispatch_interval(self.dispatch_interval),
        }


# --- change and delete --------------------------------------------------------------------------------------


UPDATE_KEY = "fdi_was_started"
DELETE_KEY = "fdi_delete"


class FdiUpdateTaskOperator(FdiBaseOperator):
    """Change a common FDI task; returns its id.

    ``run`` takes no parameters: with a templated ``task_detail`` this is how a backfill moves a task's
    window. What is not given stays as it is, except ``task_detail``, which the service wants whole and in the
    spelling of requests.

    Source: ShowTask, UpdateTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param task_detail: a dict, JSON text, or the path of a ``.json`` template.
    :param new_fdi_task_name: rename the task.
    :param fdi_task_type: ``TIMING`` or ``REALTIME``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param stop_first: stop a started task first: FDI changes stopped tasks only.
    :param restart: start the task again if ``stop_first`` stopped it: also when the service refuses the
        change, and (Airflow >= 3.3) when the process died in between and a retry follows.

    :raises FdiBatchFailed: the task was changed, but could not be started again; on Airflow >= 3.3 a retry
        starts it.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "task_detail",
        "new_fdi_task_name",
        "fdi_task_type",
        "source_datasource_id",
        "target_datasource_id",
        "description",
        "task_tag",
        "stop_first",
        "restart",
    )
    fields_from_files = ("task_detail",)
    template_fields_renderers = {"task_detail": "json"}
    fields_with_secrets = ("task_detail",)
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        task_detail: dict[str, Any] | str,
        new_fdi_task_name: str | None = None,
        fdi_task_type: str | None = None,
        source_datasource_id: str | None = None,
        target_datasource_id: str | None = None,
        description: str | None = None,
        task_tag: str | None = None,
        stop_first: bool = False,
        restart: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.task_detail = task_detail
        self.new_fdi_task_name = new_fdi_task_name
        self.fdi_task_type = fdi_task_type
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.description = description
        self.task_tag = task_tag
        self.stop_first = stop_first
        self.restart = restart

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> str:
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.errors import FdiError

        changes = self._checked_changes()
        stop_first = boolean("stop_first", self.stop_first)
        restart = boolean("restart", self.restart) and stop_first
        task_id = self._task_id_of(self.fdi_task_id, self.fdi_task_name)
        client = self.client
        self._push_task_link(context, task_id)
        task = client.get_task(task_id)
        body = {
            "task_name": task.task_name or "",
            "task_type": task.task_type.value,
            "source_datasource_id": task.source_datasource_id or "",
            "target_datasource_id": task.target_datasource_id or "",
            "description": task.description,
            "task_tag": task.task_tag,
            **changes,
        }
        # What stays as it is, too: a task must not be stopped for a request that is then refused here.
        rules.task_name(body["task_name"])
        rules.task_type(body["task_type"])
        rules.description(body["description"])
        rules.task_tag(body["task_tag"])
        for field in ("source_datasource_id", "target_datasource_id"):
            rules.identifier(body[field], field)
        was_started = restart and self._was_started(context, task)
        try:
            require_stopped(client, task, stop_first, "update")
            client.update_task(task_id, **body)
        except (FdiError, FdiTaskBusy):
            # A task that ran before goes on as it was.
            if was_started:
                self._start_again(task_id)
            raise
        self.log.info("Updated FDI task %s (%s)", task_id, body["task_name"])
        failed = self._start_again(task_id) if was_started else None
        if failed:
            raise FdiBatchFailed(f"The task was updated, but not started again: {failed}")
        return task_id

    def _checked_changes(self) -> dict[str, Any]:
        """What is given, checked before the task is stopped for it."""
        from airflow_provider_fdi.client import rules
        from airflow_provider_fdi.client.task_detail import to_json_text

        for field in ("new_fdi_task_name", "description", "task_tag"):
            not_empty(field, getattr(self, field))
        changes = {
            "task_detail": to_json_text(self.task_detail),
            "description": rules.description(self.description),
            "task_tag": rules.task_tag(self.task_tag),
        }
        if self.new_fdi_task_name:
            changes["task_name"] = rules.task_name(self.new_fdi_task_name, field="new_fdi_task_name")
        if self.fdi_task_type:
            changes["task_type"] = rules.task_type(self.fdi_task_type, field="fdi_task_type")
        for field in ("source_datasource_id", "target_datasource_id"):
            if getattr(self, field):
                changes[field] = given_id(field, getattr(self, field))
        return {field: value for field, value in changes.items() if value is not None}

    def _was_started(self, context: Context, task: Task) -> bool:
        """Whether the task was started before this chain of tries stopped it: written down before it is
        stopped, so that a try which dies does not leave it stopped."""
        from airflow_provider_fdi.client.models import TaskStatus

        started = task.status is TaskStatus.RUNNING
        note = note_for(context, UPDATE_KEY, fdi_task_id=task.task_id)
        if started:
            note.leave()
        return started or note.is_left

    def _start_again(self, task_id: str) -> str | None:
        """Start the task; if that fails, why."""
        from airflow_provider_fdi.client.errors import FdiError

        client = self.client
        try:
            failed = still_to_do(client, client.start_tasks([task_id]).failed, "start")
        except FdiError as error:
            reason = str(error)
        else:
            if not failed:
                self.log.info("Started FDI task %s again", task_id)
                return None
            reason = describe_item(failed[0])
        self.log.error("FDI task %s is left stopped: %s", task_id, reason)
        return reason


class FdiResetCompositeTaskOperator(FdiBaseOperator):
    """Move the point from which a composite task follows changes. The task must be stopped.

    Source: ResetMultiTaskOffset.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param date_from: a datetime, ISO text or ms since the epoch; None, and not the text that an empty
        template renders to: from the beginning.

    Returns the task's id.

    :raises FdiResponseError: the service refuses, for instance because the task is started.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "date_from",
    )
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        date_from: datetime | str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.date_from = date_from

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> str:
        from airflow_provider_fdi.client import rules

        # All changes again from the beginning is nothing that a template over nothing may lead to.
        if self.date_from is not None:
            rules.parse_time_ms(self.date_from, "date_from")
        task_id = self._task_id_of(self.fdi_task_id, self.fdi_task_name)
        self._push_task_link(context, task_id)
        self.client.reset_composite_task(task_id, date_from=self.date_from)
        self.log.info("Reset FDI task %s", task_id)
        return task_id


class FdiTerminateRunOperator(FdiBaseOperator):
    """Terminate the run that an FDI task is executing; nothing to terminate counts as success.

    Returns whether a run was terminated. The task stays started, its schedule armed.

    Source: StopTask, ListTasks.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    """

    template_fields: Sequence[str] = (*FdiBaseOperator.template_fields, "fdi_task_id", "fdi_task_name")
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self, *, fdi_task_id: str | None = None, fdi_task_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> bool:
        from airflow_provider_fdi.client.errors import FdiResponseError
        from airflow_provider_fdi.runs.verdict import is_executing
        from airflow_provider_fdi.runs.wait import task_state

        task_id = self._task_id_of(self.fdi_task_id, self.fdi_task_name)
        self._push_task_link(context, task_id)
        try:
            self.client.terminate_task(task_id)
        except FdiResponseError as error:
            task, _ = task_state(self.client, task_id)
            if error.error_code != "FDI.3027" or task is None or is_executing(task):
                raise
            # Nothing is executing after a request that was repeated: the one before it terminated it.
            self.log.info("FDI task %s is executing nothing", task_id)
            return error.unsettled
        self.log.info("Terminated the run of FDI task %s", task_id)
        return True


class FdiTestDatasourceOperator(FdiBaseOperator):
    """Test whether FDI can reach a data source, with the settings it is stored with.

    Source: ShowDataourceDetail, StartTestDatasource.

    :param datasource_id: id of the data source.

    :raises FdiResponseError: FDI cannot reach it and says why (FDI.3016); retries apply.
    :raises FdiDatasourceUnreachable: FDI cannot reach it; retries apply.
    """

    template_fields: Sequence[str] = (*FdiBaseOperator.template_fields, "datasource_id")

    def __init__(self, *, datasource_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.datasource_id = datasource_id

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> bool:
        from airflow_provider_fdi.client.task_detail import secret_values

        client = self.client
        datasource_id = given_id("datasource_id", self.datasource_id)
        source = client.get_datasource(datasource_id)
        mask_secrets(secret_values(source.content))
        works = client.test_datasource(
            datasource_id,
            datasource_name=source.datasource_name or "",
            datasource_type=source.datasource_type or "",
            app_id=source.app_id or "",
            content=source.content or {},
            description=source.description,
        )
        if not works:
            raise FdiDatasourceUnreachable(
                f"FDI cannot reach data source {datasource_id} ({source.datasource_name})."
            )
        self.log.info("FDI reaches data source %s (%s)", datasource_id, source.datasource_name)
        return works


class FdiDeleteTaskOperator(FdiBaseOperator):
    """Delete an FDI task, common or composite.

    Source: DeleteTask.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param stop_first: stop a started task first: FDI deletes stopped tasks only.
    :param missing_ok: a task that is not there counts as deleted.

    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "stop_first",
        "missing_ok",
    )

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        stop_first: bool = False,
        missing_ok: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.stop_first = stop_first
        self.missing_ok = missing_ok

    @ends_at_once_if_hopeless
    def execute(self, context: Context) -> None:
        from airflow_provider_fdi.client.errors import FdiNotFoundError

        stop_first = boolean("stop_first", self.stop_first)
        note = note_for(context, DELETE_KEY, fdi_task=self.fdi_task_id or self.fdi_task_name)
        # What an earlier try was about to delete may be gone.
        may_miss = boolean("missing_ok", self.missing_ok) or note.is_left
        task: Task | None
        try:
            task = self._task(may_miss)
            if task is not None:
                require_stopped(self.client, task, stop_first, "delete")
                self._delete(task, note)
        except FdiNotFoundError as error:
            if not (may_miss and error.said_by_fdi):
                raise
            task = None
        if task is None:
            self.log.info("FDI task %s is not there", self.fdi_task_id or self.fdi_task_name)
        else:
            self.log.info("Deleted FDI task %s (%s)", task.task_id, task.task_name)

    def _delete(self, task: Task, note: Note) -> None:
        from airflow_provider_fdi.client.errors import FdiError

        note.leave()
        try:
            self.client.delete_task(task.task_id)
        except FdiError as error:
            if not error.ambiguous:
                # The task was there and still is: if it is gone when the next try comes, it was not us.
                note.take_back()
            raise

    def _task(self, may_miss: bool) -> Task | None:
        if may_miss and self.fdi_task_name and not self.fdi_task_id:
            not_empty("fdi_task_name", self.fdi_task_name)
            return self.hook.find_task(self.fdi_task_name)
        return self.client.get_task(self._task_id_of(self.fdi_task_id, self.fdi_task_name))
