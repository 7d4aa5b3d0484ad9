"""What was seen becomes a verdict: cases that the emulator cannot be made to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi.doctor import reading_verdicts as reading
from airflow_provider_fdi.doctor import trying_verdicts as trying
from airflow_provider_fdi.doctor.evidence import Evidence, NotSeen, Reply
from airflow_provider_fdi.doctor.verdict import Verdict


def listing(*rows: dict[str, Any], total: int | None = None) -> Reply:
    data = {"total": len(rows) if total is None else total, "size": len(rows), "entities": list(rows)}
    return Reply("ListSomething", 200, data)


def tasks(*ids: str, total: int | None = None) -> Reply:
    return listing(*({"task_id": task_id} for task_id in ids), total=total)


def refused(code: str, status: int = 400) -> Reply:
    return Reply("Operation", status, {}, code=code)


SHOWN = Reply("ShowTask", 200, {"task": {}, "task_detail": '{"source_selected_datasource": {}}'})
OBJECT = Reply("ShowTask", 200, {"task": {}, "task_detail": {}})
OK = Reply("RunTask", 200, form="empty")

CASES: list[tuple[Callable[[Evidence], Verdict], Evidence, str, Any]] = [
    (
        reading.offset_of_monitors,
        Evidence({"monitors": tasks("b", "c", total=3), "monitors_shifted": tasks("c")}),
        "offset=1 leaves out the first row: rows are counted from 0",
        None,
    ),
    (
        reading.offset_of_tasks,
        Evidence({"tasks": tasks("a", "b", "c"), "tasks_shifted": tasks("a", "b")}),
        "offset=1 with limit=2 begins at row 0 (counted from 0)",
        None,
    ),
    (
        reading.offset_of_tasks,
        Evidence({"tasks": tasks("a", "b"), "tasks_shifted": tasks()}),
        "offset=1 with limit=2 brought no row of the first page",
        None,
    ),
    (reading.page_size, Evidence({"tasks": tasks("a", "b", total=9)}), "limit=1000 brought 2 of 9 rows", 2),
    (
        reading.clock,
        Evidence(figures={"clock": -400.0}),
        "-400.0 s from this one's",
        None,
    ),
    (
        reading.log_order,
        Evidence(figures={"log_order": "none"}),
        "the runs are in no order of their planned times",
        None,
    ),
    (reading.task_detail, Evidence({"stopped_task": SHOWN}), "its keys are in snake_case", None),
    (reading.task_detail, Evidence({"stopped_task": OBJECT}), "it is not always a text", None),
    (reading.numbers, Evidence({"tasks": listing({"status": "0"})}), "as text: status", None),
    (
        reading.fields,
        Evidence({"tasks": listing({"task_id": "a", "task_name": "b", "task_type": "TIMING", "status": 0})}),
        "missing: execute_status of tasks, last_modified_time of tasks",
        None,
    ),
    (
        reading.listings,
        Evidence({"tasks": Reply("ListTasks", 200, {"entities": []})}),
        "ListTasks without size; ListTasks without total",
        None,
    ),
    (
        reading.name_filters,
        Evidence({"tasks": tasks("a", "b"), "by_name": tasks("a"), "by_task_name": tasks("a", "b")}),
        "of 2 tasks, name= left 1 and task_name= left 2",
        None,
    ),
    (reading.missing_task, Evidence({"missing_task": refused("FDI.3021")}), "HTTP 400 FDI.3021", None),
    (
        reading.retry_after,
        Evidence(figures={"throttled": 1, "throttle_pause": None}),
        "without Retry",
        None,
    ),
    (trying.overlap, Evidence({"run_again": OK}, {"overlap": "parallel"}), "at the same time", None),
    (trying.overlap, Evidence({"run_again": OK}, {"overlap": "missing"}), "shows one run only", None),
    (trying.overlap, Evidence({"run_again": refused("FDI.3023")}), "HTTP 400 FDI.3023", None),
    (trying.log_delay, Evidence(figures={"log_missing_s": 120}), "within 120 s", 120_000),
    (
        trying.default_timezone,
        Evidence(figures={"default_zone": ""}),
        "nor by UTC",
        None,
    ),
    (
        trying.run_answer,
        Evidence({"run_stopped": Reply("RunTask", 200, {"id": "x"})}),
        "an object",
        None,
    ),
    (trying.init_answer, Evidence({"init": Reply("Init", 200, {"x": 1})}), "HTTP 200, neither", None),
    (trying.nothing_left, Evidence(figures={"left": 2}), "2 of the doctor's tasks are left", None),
    (
        trying.start_unscheduled,
        Evidence({"start_unscheduled": refused("FDI.3150")}),
        "HTTP 400 FDI.3150",
        None,
    ),
]


def name_of(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("judge", "evidence", "seen", "value"), CASES, ids=name_of)
def test_what_is_different(
    judge: Callable[[Evidence], Verdict], evidence: Evidence, seen: str, value: Any
) -> None:
    verdict = judge(evidence)

    assert verdict.outcome == "different"
    assert seen in verdict.seen
    assert verdict.value == value


@pytest.mark.parametrize(
    ("judge", "evidence", "reason"),
    [
        (reading.page_size, Evidence({"tasks": tasks("a")}), "the instance shows 1 tasks"),
        (trying.overlap, Evidence({"run_again": OK}, {"overlap": "apart"}), "give --detail"),
        (trying.refused_code, Evidence({"run_again": refused("FDI.3026")}), "not by a row in the log"),
        (trying.stop_and_run, Evidence(figures={"after_stop": "SUCCESS"}), "the run ended by itself"),
        (
            trying.run_on_stopped,
            Evidence({"run_stopped": refused("FDI.3026"), "run_started": refused("FDI.3026")}),
            "the task itself may be what cannot run",
        ),
        (trying.batch_errors, Evidence({"batch_missing": refused("APIGW.0101", 404)}), "by the gateway"),
        (reading.clock, Evidence(reasons={"clock": "the answers have no Date"}), "the answers have no Date"),
        (reading.clock, Evidence(), "an earlier step did not get that far"),
    ],
    ids=name_of,
)
def test_what_cannot_be_told(judge: Callable[[Evidence], Verdict], evidence: Evidence, reason: str) -> None:
    with pytest.raises(NotSeen, match=reason):
        judge(evidence)
