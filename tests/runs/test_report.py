"""What people read of a run: figures, the reason of a failure, the levels of its steps."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from airflow_provider_fdi.client.models import Run
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.exceptions import FdiAlreadyExists, FdiRunFailed
from airflow_provider_fdi.runs.report import (
    StepReporter,
    amounts,
    failure_lines,
    failure_reason,
    run_summary,
)

START = 1_700_000_000_000


def run(status: str = "SUCCESS", steps: Any = (), took: int = 4_200, **fields: Any) -> Run:
    row = {"id": "r1", "execute_status": status, "start_time": START, "end_time": START + took, **fields}
    return Run.from_wire({**row, "detail_logs": list(steps)})


def step(code: int, remarks: str | None = None, position: str = "WRITER") -> dict[str, Any]:
    return {"id": str(code), "status": code, "position": position, "remarks": remarks}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"data_count": 336_776, "data_size": 50_855_936, "data_size_unit": "B"},
            "336,776 rows (48.5 MB) in 4.2 s, 80,000 rows/s",
        ),
        ({"data_count": 0, "data_size": 0}, "0 rows in 4.2 s"),
        ({"data_count": 7, "dirty_data_count": 1_200}, "7 rows in 4.2 s, 1.7 rows/s, 1,200 dirty rows"),
        ({"data_count": 9, "data_size": 3, "data_size_unit": "GB"}, "9 rows (3.0 GB) in 4.2 s, 2.1 rows/s"),
        ({"data_count": 5, "data_size": 12, "took": 80}, "5 rows (12 B) in 0.08 s, 62 rows/s"),
        ({"data_count": 6_000, "took": 192_000}, "6,000 rows in 3 min 12 s, 31 rows/s"),
        ({"data_count": 10, "took": 7_500_000}, "10 rows in 2 h 5 min"),
        ({}, "number of rows not reported in 4.2 s"),
    ],
)
def test_amounts_for_people(given: dict[str, Any], text: str) -> None:
    assert amounts(run(**given)) == text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            run("ERROR", [step(100, position="READER"), step(503, "duplicate key."), step(915, "later")]),
            "WRITER 503: duplicate key.",
        ),
        (run("ERROR", [step(503)], remarks="The target is full."), "The target is full."),
        (run("ERROR", [step(503)]), "WRITER 503: exception at the destination."),
        (run("ERROR", remarks="first\nsecond"), "first second."),
        (run("ERROR"), "The run ended as ERROR, and the service does not say why."),
        (run("ERROR", start_time=None), "The run never started."),
        (run("CANCELLED", [step(505)]), "The run was cancelled."),
        (run("CANCELLED", remarks="By a user."), "The run was cancelled: By a user."),
        (run("ODD"), "The run ended as unknown status 'ODD', and the service does not say why."),
    ],
)
def test_the_reason_of_a_failure(given: Run, reason: str) -> None:
    assert failure_reason(given) == reason


def test_the_reason_comes_first_ids_last_and_nothing_twice() -> None:
    failed = run("ERROR", [step(503, "duplicate key")], remarks="duplicate key", data_count=1_000)
    assert failure_lines(failed, "FDI task orders (t1)", link="https://console/x") == [
        "WRITER 503: duplicate key.",
        "FDI task orders (t1): the run ended as ERROR, 1,000 rows in 4.2 s, 240 rows/s.",
        "Check the target: its table, keys, columns and types, and data source.",
        "Run r1: https://console/x",
    ]


def test_a_number_that_is_no_time_does_no_harm() -> None:
    summary = run_summary(run(start_time=10**20), "t1")
    assert summary["start_time_iso"] is None
    assert summary["end_time_iso"] == "2023-11-14T22:13:24.200+00:00"


def test_only_steps_that_went_wrong_are_errors_in_the_log() -> None:
    seen: list[tuple[int, str]] = []
    reporter = StepReporter(lambda level, line: seen.append((level, line)), "r1")
    reporter.report_run(run("ERROR", [step(100), step(503, "full"), step(901)]))
    assert seen == [
        (logging.INFO, "WRITER 100: reader starts"),
        (logging.ERROR, "WRITER 503: full"),
        (logging.INFO, "WRITER 901: execution finished"),
    ]


def test_a_failure_pickles_and_is_what_it_was() -> None:
    for kind in (FdiRunFailed, FdiAlreadyExists):
        failure = kind.because("why", "numbers. And more.", anchor="")
        twin = pickle.loads(pickle.dumps(failure))
        assert type(twin) is kind
        assert str(twin).splitlines() == [
            "why",
            "numbers.",
            "And more.",
            f"See docs/troubleshooting.md#{kind.__name__}",
        ]


def test_what_exists_already_ends_without_retries() -> None:
    assert isinstance(FdiAlreadyExists.because("why"), AirflowFailException)
    assert not isinstance(FdiRunFailed.because("why"), AirflowFailException)
