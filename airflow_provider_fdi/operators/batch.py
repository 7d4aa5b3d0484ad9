"""Starting and stopping FDI tasks in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.codes import advice, anchor_of, code_of
from airflow_provider_fdi.client.errors import FdiArgumentError, FdiError, clean_text, said_with_code
from airflow_provider_fdi.compat import default_deferrable, task_state_store
from airflow_provider_fdi.constants import SHORTEST_INTERVAL, TIMEOUT
from airflow_provider_fdi.deferral import check_event, clear_generation_of, deadline_of, defer_for, try_of
from airflow_provider_fdi.exceptions import (
    FdiBatchFailed,
    FdiBatchRefused,
    FdiTimeout,
    FdiTriggerEventError,
    fail_without_retry,
)
from airflow_provider_fdi.operators.base import FdiBaseOperator
from airflow_provider_fdi.status import (
    FEW,
    STATUS_WORDS,
    TARGET_STATUS,
    still_to_do,
    task_in_batch,
    watch_status,
)
from airflow_provider_fdi.validation import (
    boolean,
    choice,
    flag,
    id_list,
    identifier,
    number,
    optional,
    whole,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fdi.client.models import BatchItem
    from airflow_provider_fdi.runs.state import TryState


def _ids(field: str, value: object) -> list[str]:
    return [identifier(field, task_id) for task_id in id_list(field, value)]


def ids_or_names(fdi_task_ids: object, fdi_task_names: object) -> None:
    """Exactly one of the two says which tasks are meant."""
    if fdi_task_ids is None and fdi_task_names is None:
        rule = "give either fdi_task_ids or fdi_task_names\nIf one is given, the XCom it comes from is empty."
        raise FdiArgumentError("fdi_task_ids", None, rule)
    if fdi_task_ids is not None and fdi_task_names is not None:
        rule = "give this or fdi_task_names, not both"
        raise FdiArgumentError("fdi_task_ids", fdi_task_ids, rule)


class FdiBatchOperator(FdiBaseOperator):
    """Start or stop any number of FDI tasks, ten to a request, several requests at once.

    Starting a task that is started already, or stopping a stopped one, counts as success. A retry acts only
    on the tasks that are left. Returns
    ``{"succeeded": [id, …], "failed": [{"fdi_task_id", "fdi_task_name", "error_code", "error_msg"}, …]}``;
    XCom holds it as ``fdi_batch``, also when the task fails.

    Source: BatchStartOrStopTasks, ListTasks.

    :param action: ``start`` (activate the schedule, or begin to stream) or ``stop``.
    :param fdi_task_ids: ids of the tasks; or
    :param fdi_task_names: their exact names.
    :param wait_for_status: wait until every task reports the new status; without limit unless
        ``execution_timeout`` is set.
    :param on_partial_failure: ``fail`` the task, or ``warn`` in its log.
    :param max_parallel_requests: how many requests are sent at the same time.
    :param deferrable: wait in the triggerer; ``[operators] default_deferrable`` when None.
    :param poll_interval: seconds between two polls.
    :param poll_failure_timeout: seconds for which polls may fail in a row before the task fails.

    :raises FdiBatchFailed: names each task that failed, with its code and message.
    :raises FdiBatchRefused: the same, where no retry can help: no such task, no schedule.
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
    _checks = {
        **FdiBaseOperator._checks,
        "action": partial(choice, allowed=tuple(TARGET_STATUS)),
        "fdi_task_ids": optional(_ids),
        "fdi_task_names": optional(id_list),
        "wait_for_status": boolean,
        "on_partial_failure": partial(choice, allowed=("fail", "warn")),
        "max_parallel_requests": partial(whole, minimum=1),
        "deferrable": flag,
        "poll_interval": partial(number, minimum=SHORTEST_INTERVAL),
        "poll_failure_timeout": number,
    }
    _joint_checks = {("fdi_task_ids", "fdi_task_names"): ids_or_names}

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
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> dict[str, Any]:
        given = self._arguments
        result = self._operate(context, self._names_by_id(), given.max_parallel_requests)
        if given.wait_for_status and result["succeeded"]:
            if self.deferrable:
                # Deferred: loads client.models.
                from airflow_provider_fdi.runs.waits import TaskStatusIs

                status = TARGET_STATUS[self.action]
                defer_for(
                    self,
                    [TaskStatusIs(task_id, status) for task_id in result["succeeded"]],
                    poll_interval=given.poll_interval,
                    poll_failure_timeout=given.poll_failure_timeout,
                    deadline=deadline_of(context, self.execution_timeout),
                    record=result,
                )
            watch_status(
                self.client,
                result["succeeded"],
                self.action,
                poll_interval=given.poll_interval,
                poll_failure_timeout=given.poll_failure_timeout,
            )
        return self._conclude(result)

    @fail_without_retry
    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Continue after a deferral; the event carries the result of the batch."""
        checked = check_event(event)
        if checked["status"] == TIMEOUT:
            raise FdiTimeout.because(
                f"Not all tasks are {STATUS_WORDS[self.action]}, and execution_timeout is over"
                f" ({self.execution_timeout}).",
                "The requests were accepted; the tasks may still follow. Look at them in the console.",
            )
        result = checked.get("record")
        if not isinstance(result, Mapping) or {"succeeded", "failed"} - result.keys():
            raise FdiTriggerEventError.because(
                "The trigger's event lacks the result of the batch.",
                f"The event: {clean_text(repr(event))}",
                "Were triggerer and workers upgraded together? A retry acts on the tasks that are left.",
            )
        return self._conclude(dict(result))

    def _names_by_id(self) -> dict[str, str | None]:
        """The ids of the tasks, each with its name if it was given by name."""
        if self._arguments.fdi_task_ids is not None:
            return dict.fromkeys(self._arguments.fdi_task_ids)
        names = self._arguments.fdi_task_names
        if len(names) <= FEW:
            found = {name: self.hook.find_task(name) for name in names}
            tasks = [task for task in found.values() if task is not None]
            if len(tasks) == len(names):
                return {task.task_id: task.task_name for task in tasks}
        # Deferred: a DAG file looks up no names.
        from airflow_provider_fdi.client.names import tasks_named

        return {task.task_id: task.task_name for task in tasks_named(names, self.client.list_tasks())}

    def _operate(self, context: Context, names: dict[str, str | None], parallel: int) -> dict[str, Any]:
        ids = list(names)
        # Deferred: the dataclasses of this module would cost every DAG file 3 ms.
        from airflow_provider_fdi.runs.state import BatchRecord, TryState

        try_state = TryState(task_state_store(context))
        record = BatchRecord(clear_generation_of(context), self.action)
        done = self._done_before(context, try_state, ids)
        left = [task_id for task_id in ids if task_id not in done]
        if done:
            self.log.info("%d of %d tasks were done by an earlier try", len(done), len(ids))
        failed: list[BatchItem] = []
        if left:
            operate = self.client.start_tasks if self.action == "start" else self.client.stop_tasks
            try:
                answer = operate(left, max_parallel_requests=parallel)
            except FdiError as error:
                if error.partial is not None:
                    succeeded = (i.task_id for i in error.partial.succeeded)
                    try_state.remember(replace(record, succeeded=(*done, *succeeded)))
                raise
            # Stored now, because the next request may fail.
            succeeded = (i.task_id for i in answer.succeeded)
            try_state.remember(replace(record, succeeded=(*done, *succeeded)))
            failed = still_to_do(self.client, answer.failed, self.action)
        bad = {item.task_id for item in failed}
        result = {
            "succeeded": [task_id for task_id in ids if task_id not in bad],
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

    def _done_before(self, context: Context, try_state: TryState, ids: list[str]) -> list[str]:
        """The tasks that an earlier try has started or stopped: as stored, or else by their status now."""
        stored = try_state.batch(clear_generation_of(context), self.action)
        if stored is not None:
            return [task_id for task_id in stored.succeeded if task_id in ids]
        if try_of(context) <= 1:
            return []
        target = TARGET_STATUS[self.action]
        found = {task.task_id for task in self.client.list_tasks() if task.status == target}
        return [task_id for task_id in ids if task_id in found]

    def _conclude(self, result: dict[str, Any]) -> dict[str, Any]:
        failed = result["failed"]
        total = len(failed) + len(result["succeeded"])
        done = STATUS_WORDS[self.action]
        if not failed:
            self.log.info("%s all %d tasks", done.capitalize(), total)
            return result
        causes = [said_with_code(item["error_code"], item["error_msg"]) for item in failed]
        lines = [task_in_batch(item["fdi_task_id"], item["fdi_task_name"]) for item in failed]
        reason = f"{len(failed)} of {total} tasks could not be {done}"
        if len(set(causes)) == 1:
            reason += f": {causes[0]}."
        else:
            reason += "."
            lines = [f"{name}: {words}." for name, words in zip(lines, causes, strict=True)]
        if self.on_partial_failure != "fail":
            self.log.warning("%s %s", reason, ", ".join(lines))
            return result
        codes = list(dict.fromkeys(item["error_code"] or "" for item in failed))
        # Where no retry can start or stop any of them, there is none.
        permanent = all(known is not None and known.retry is False for known in map(code_of, codes))
        raise (FdiBatchRefused if permanent else FdiBatchFailed).because(
            reason,
            *lines,
            *map(advice, codes),
            anchor=(anchor_of(codes[0]) if len(codes) == 1 else "") or FdiBatchFailed.__name__,
        )
