"""What this provider assumes of FDI where its documentation says nothing, or two things: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_fdi.doctor import reading_verdicts as reading
from airflow_provider_fdi.doctor import trying_verdicts as trying
from airflow_provider_fdi.doctor.evidence import Evidence, NotSeen
from airflow_provider_fdi.doctor.verdict import NOT_CHECKED, Verdict


@dataclass(frozen=True)
class Assumption:
    """One assumption: what is assumed, what it means if that is wrong, and how it is judged."""

    key: str
    sentence: str
    means: str
    judge: Callable[[Evidence], Verdict]
    switch: str | None = None
    """The switch of the emulator that turns this behaviour, if it has one."""
    needs_write: bool = False


def _reads(
    key: str, sentence: str, means: str, judge: Callable[[Evidence], Verdict], switch: str | None = None
) -> Assumption:
    return Assumption(key, sentence, means, judge, switch)


def _writes(
    key: str, sentence: str, means: str, judge: Callable[[Evidence], Verdict], switch: str | None = None
) -> Assumption:
    return Assumption(key, sentence, means, judge, switch, needs_write=True)


_TOLERATED = "The provider reads both. Nothing to do."

ASSUMPTIONS: tuple[Assumption, ...] = (
    # Connection and access
    _reads(
        "connection",
        "The connection works on every layer.",
        "The layer says what to correct in the connection; see docs/connection.md.",
        reading.connection,
    ),
    _reads(
        "permissions",
        "The credentials may call the operations.",
        "What needs a refused operation fails with FdiPermissionError. Our table of actions may be wrong.",
        reading.permissions,
        "iam_actions",
    ),
    _reads(
        "clock",
        "This machine's clock is at most 5 minutes from the service's.",
        "From 15 minutes on, signatures of access keys are refused. Set this machine's clock.",
        reading.clock,
    ),
    _reads(
        "token_life",
        "A token lives 24 hours.",
        "It is renewed in time, whatever it lives. Shorter lives cost more logins.",
        reading.token_life,
        "token_ttl_s",
    ),
    _reads(
        "stale_signature",
        "A signature that is 15 minutes old is refused.",
        "The clock of a worker does not matter for access keys.",
        reading.stale_signature,
        "check_sdk_date",
    ),
    _reads(
        "latency",
        "An answer takes at most 100 ms.",
        "Waiting is not affected. Listing, and starting many tasks, take longer than docs/scaling.md says.",
        reading.latency,
        "latency_ms",
    ),
    _reads(
        "throttling",
        "No request is refused as one too many.",
        "The provider obeys, and takes longer: use fewer connections, larger poll_interval.",
        reading.throttling,
        "rate_limit",
    ),
    _reads(
        "retry_after",
        "HTTP 429 comes with Retry-After: 1.",
        "The provider waits as long as it says, and fails if that is more than a minute; without it, it waits"
        " longer each time.",
        reading.retry_after,
        "retry_after_s",
    ),
    # Listings
    _reads(
        "page_size",
        "A page has at most 999 rows.",
        "Listing takes more requests than docs/scaling.md says; nothing is lost.",
        reading.page_size,
        "clamp_limit",
    ),
    _reads(
        "offset_of_tasks",
        "ListTasks counts rows from 0.",
        "Listing more than 999 tasks costs a request or two more; rows that come twice are left out.",
        reading.offset_of_tasks,
    ),
    _reads(
        "offset_of_monitors",
        "The monitoring pages count rows, from 1.",
        "If they count pages, listing more than 999 costs a request more. If they count from 0, the first row"
        " is never seen, and runs may not be found: please report.",
        reading.offset_of_monitors,
        "offset_is_page_index",
    ),
    _reads(
        "name_filters",
        "ListTasks filters by name and by task_name.",
        "The provider sends both and compares names itself; finding a task by name costs more requests.",
        reading.name_filters,
    ),
    _reads(
        "log_order",
        "The log of a task begins with the newest run.",
        "The provider sorts for itself. Nothing to do.",
        reading.log_order,
        "log_order",
    ),
    _reads(
        "begin_time",
        "begin_time filters the log by the planned time of a run.",
        "The search for a started run relies on planned and actual start alike; by the end, runs in progress"
        " could be missed: please report.",
        reading.begin_time,
        "begin_time_filters",
    ),
    # Shapes of answers
    _reads(
        "listings",
        "Listings have total, size and entities.",
        "Listings are read to the first page without a new row; without entities they cannot be read.",
        reading.listings,
    ),
    _reads(
        "fields",
        "Rows have the fields that the provider reads.",
        "What is missing is None in XCom; a run without dispatch_time and start_time cannot be found.",
        reading.fields,
    ),
    _reads("numbers", "Counts, times and states are numbers.", _TOLERATED, reading.numbers),
    _reads(
        "known_values",
        "Every state, type and position is a documented one.",
        "A run in an unknown state is never taken for a success, and fails the sensor. Please report.",
        reading.known_values,
    ),
    _reads(
        "created_date",
        "ListTasks gives created_date as a number.",
        _TOLERATED,
        reading.created_date,
        "created_date_style",
    ),
    _reads(
        "stopped_word",
        'ShowTask calls a stopped task "stop".',
        "The provider reads stop and stopped. Any other word counts as unknown.",
        reading.stopped_word,
        "status_style",
    ),
    _reads(
        "task_detail",
        "ShowTask gives task_detail as text, with keys in camelCase.",
        "What ShowTask gives must not be sent back as it is; templates of task_detail are not affected.",
        reading.task_detail,
    ),
    _reads(
        "missing_task",
        "A task that does not exist is answered with 404 FDI.3081.",
        "The advice of the error may be wrong; whether it is permanent goes by the HTTP status.",
        reading.missing_task,
    ),
    _reads(
        "schedule_errors",
        "Errors about schedules are nested in `reason`.",
        _TOLERATED,
        reading.schedule_errors,
        "nested_errors_for_dispatch",
    ),
    _reads(
        "no_schedule",
        "ShowDispatches answers null if there is no schedule.",
        "The provider reads null, {}, an empty body and a 404 of FDI or ROMA alike. A 404 of anything else"
        " fails FdiCreateScheduleOperator: please report.",
        reading.no_schedule,
        "no_schedule_answer",
    ),
    # What only writing shows
    _writes(
        "create_answer",
        "Creating a task answers the task.",
        "The provider then finds the new task by its name: one request more.",
        trying.create_answer,
        "create_returns_null",
    ),
    _writes(
        "unknown_datasources",
        "A task can be created before its data sources exist.",
        "FdiCreateTaskOperator fails at once instead of the task's first run.",
        trying.unknown_datasources,
        "check_datasources",
    ),
    _writes(
        "duplicate_names",
        "Two tasks cannot have the same name.",
        "A create whose answer was lost is settled by name: two tasks of one name make that fail.",
        trying.duplicate_names,
        "allow_duplicate_names",
    ),
    _writes(
        "batch_counts",
        "The answer to a batch has counts.",
        "The provider counts for itself. Nothing to do.",
        trying.batch_counts,
        "batch_counts",
    ),
    _writes(
        "batch_errors",
        "A batch with a missing task is carried out for the others.",
        "FdiBatchOperator breaks a refused batch down to single tasks: up to ten requests more.",
        trying.batch_errors,
        "batch_errors",
    ),
    _writes(
        "stop_stopped",
        "Stopping a stopped task is a failure.",
        'The provider takes "already so" for success either way. Nothing to do.',
        trying.stop_stopped,
        "stop_stopped",
    ),
    _writes(
        "start_unscheduled",
        "Starting a scheduled task without a schedule is refused with 404 FDI.3083.",
        "The error of FdiBatchOperator and start_if_stopped may give the wrong advice.",
        trying.start_unscheduled,
    ),
    _writes(
        "run_on_stopped",
        "`run` works on a stopped task.",
        "Set start_if_stopped=True on FdiRunTaskOperator, or start the tasks first.",
        trying.run_on_stopped,
        "run_requires_started",
    ),
    _writes(
        "run_answer",
        "`run` answers no run id.",
        "The provider does not read the answer. By an id, it could find its run faster: please report.",
        trying.run_answer,
    ),
    _writes(
        "log_delay",
        "A run is in the log as soon as `run` has answered.",
        "Within start_grace (120 s), runs are found all the same, only later. Beyond it, raise start_grace:"
        " the start fails, and the next try may start a second run.",
        trying.log_delay,
        "run_log_delay_ms",
    ),
    _writes(
        "overlap",
        "`run` while a run is in progress is refused with 400 FDI.3026.",
        "With a refused row in the log, if_running works too. With two runs at once, use a pool: the service"
        " does not keep to one run at a time.",
        trying.overlap,
        "overlap_style",
    ),
    _writes(
        "refused_code",
        "A refused run has the step code 914.",
        "907, 909 and 914 are all read as refused. Nothing to do.",
        trying.refused_code,
        "refused_code",
    ),
    _writes(
        "stop_and_run",
        "Stopping a task leaves its run alone.",
        "FdiBatchOperator(action='stop') and stop_first cancel what is running: wait for the run first.",
        trying.stop_and_run,
        "stop_kills_run",
    ),
    _writes(
        "timezone_shown",
        "A schedule is shown with its cron_timezone.",
        "FdiCreateScheduleOperator cannot see that the time zone is right, and writes it again each time.",
        trying.timezone_shown,
        "show_cron_timezone",
    ),
    _writes(
        "second_schedule",
        "A second schedule for a task is refused.",
        "FdiCreateScheduleOperator(if_exists='fail') is safe; others who create schedules replace it.",
        trying.second_schedule,
        "second_schedule",
    ),
    _writes(
        "default_timezone",
        "A cron schedule without a time zone goes by GMT+08:00.",
        "Give cron_timezone in FdiCreateScheduleOperator: without it, tasks run at another hour.",
        trying.default_timezone,
        "default_timezone",
    ),
    _writes(
        "init_answer",
        "Initialising a composite task answers a list.",
        _TOLERATED,
        trying.init_answer,
        "init_as_dict",
    ),
    _writes(
        "nothing_left",
        "What the doctor made is removed.",
        "Delete the tasks whose names begin with airflow-fdi-doctor-, or start the doctor again.",
        trying.nothing_left,
    ),
)

NOT_VISIBLE: Mapping[str, str] = {
    "max_parallel_runs": "it shows only with several runs that move data at the same time",
    "stream_poll_ms": "it is the emulator's own: how often its streams look for new rows",
    "task_quota": "it shows only when the instance is full of tasks",
    "datasource_quota": "it shows only when the project is full of data sources",
}
"""Switches of the emulator that the doctor does not set, and why."""


def judge(assumption: Assumption, evidence: Evidence) -> Verdict:
    """The verdict on one assumption; "not checked" and the reason where nothing was seen of it."""
    try:
        return assumption.judge(evidence)
    except NotSeen as reason:
        return Verdict(NOT_CHECKED, str(reason))
