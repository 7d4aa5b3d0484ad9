"""Every switch of the emulator that a client can see is found, named, and written so that it can be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.doctor.assumptions import ASSUMPTIONS, NOT_VISIBLE
from airflow_provider_fdi.doctor.operations import ACTIONS
from airflow_provider_fdi.doctor.report import Report, as_json
from airflow_provider_fdi.emulator.config import Switches, load_config
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.doctor.instance import NO_FIRING, NOTHING_PLANNED, QUICK, add_history, visit


@dataclass(frozen=True)
class Case:
    """A switch and what it is turned to, and what has to be so that it shows."""

    value: Any
    write: bool = False
    auth_type: str = "token"
    others: dict[str, Any] = field(default_factory=dict)
    fires: bool = False
    found: Any = None
    """What is found, if not the same: what was not tried counts as permitted."""
    measured: float = 0.0
    """By how much the value that is found may be larger: it is a time."""


LASTING = {"max_parallel_runs": 0}
"""Runs that move data wait until they are terminated."""

VISIBLE = {
    "init_as_dict": Case(True, write=True),
    "create_returns_null": Case(True, write=True),
    "status_style": Case("stopped"),
    "created_date_style": Case("iso"),
    "nested_errors_for_dispatch": Case(False),
    "no_schedule_answer": Case("404"),
    "show_cron_timezone": Case(False, write=True),
    "batch_counts": Case(False, write=True),
    "clamp_limit": Case(2),
    "offset_is_page_index": Case(True),
    "log_order": Case("asc"),
    "begin_time_filters": Case("end_time"),
    "run_log_delay_ms": Case(600, write=True, measured=500),
    "run_requires_started": Case(True, write=True),
    "overlap_style": Case("row", write=True, others=LASTING),
    "refused_code": Case(907, write=True, others=LASTING | {"overlap_style": "row"}),
    "stop_kills_run": Case(True, write=True, others=LASTING),
    "batch_errors": Case("request", write=True),
    "stop_stopped": Case("ok", write=True),
    "allow_duplicate_names": Case(True, write=True),
    "second_schedule": Case("replace", write=True),
    "check_datasources": Case(True, write=True),
    "default_timezone": Case("UTC", write=True, fires=True),
    "token_ttl_s": Case(3600, auth_type="password", measured=1),
    "check_sdk_date": Case(False, auth_type="aksk"),
    "iam_actions": Case(["roma:tasks:get", "roma:tasks:list"], write=True),
    "latency_ms": Case(150, measured=50),
    "rate_limit": Case(6),
    "retry_after_s": Case(2, others={"rate_limit": 8}),
}
OTHER_VALUES = [
    ("no_schedule_answer", Case("empty")),
    ("no_schedule_answer", Case("object")),
    ("begin_time_filters", Case("start_time")),
    ("refused_code", Case(909, write=True, others=LASTING | {"overlap_style": "row"})),
    ("iam_actions", Case(["roma:tasks:list"], found=sorted({*ACTIONS.values()} - {"roma:tasks:get"}))),
]
CASES = [
    pytest.param(name, case, id=f"{name}={case.value}") for name, case in [*VISIBLE.items(), *OTHER_VALUES]
]


@pytest.fixture
def examine(fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """The doctor's report on an emulator with a history, as a case wants it."""

    def report(case: Case, emulator: FdiEmulator = fdi_emulator) -> Report:
        add_history(emulator)
        emulator.switch(**case.others)
        limits = QUICK if case.fires else NO_FIRING
        return visit(emulator, monkeypatch, case.auth_type, limits, NOTHING_PLANNED if case.write else None)

    return report


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], FdiEmulator]]:
    """Starts an emulator with a configuration file."""
    started: list[FdiEmulator] = []

    def run(file: Path) -> FdiEmulator:
        started.append(FdiEmulator.start(config=file))
        return started[-1]

    yield run
    for emulator in started:
        emulator.stop()


def test_every_switch_is_either_visible_or_has_a_reason_why_not() -> None:
    judged = {assumption.switch for assumption in ASSUMPTIONS if assumption.switch}

    assert sorted(judged) == sorted(VISIBLE)
    assert sorted(judged | NOT_VISIBLE.keys()) == sorted(Switches.model_fields)
    assert not judged & NOT_VISIBLE.keys()


def test_the_emulator_as_it_is_differs_in_nothing(examine: Callable[..., Report]) -> None:
    report = examine(Case(None, write=True, fires=True))

    assert report.switches == {}
    assert [finding.assumption.key for finding in report.of("different")] == []
    assert {finding.assumption.key: finding.verdict.seen for finding in report.of("not checked")}.keys() <= {
        "token_life",
        "stale_signature",
        "retry_after",
        "page_size",
        "overlap",
        "refused_code",
        "stop_and_run",
    }


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_turned_switch_is_found_and_named(
    fdi_emulator: FdiEmulator, examine: Callable[..., Report], name: str, case: Case
) -> None:
    fdi_emulator.switch(**{name: case.value})

    report = examine(case)

    (assumption,) = (assumption for assumption in ASSUMPTIONS if assumption.switch == name)
    finding = report.finding(assumption.key)
    assert finding.verdict.outcome == "different", finding.verdict
    found = finding.switch[name]
    if case.measured:
        assert case.value - 1 <= found <= case.value + case.measured
    else:
        assert found == (case.found or case.value)
    expected = {key: value for key, value in case.others.items() if key not in NOT_VISIBLE}
    assert {key for key in report.switches if key not in expected} <= {name, "iam_actions"}


@pytest.mark.parametrize(
    "names",
    [
        [
            "init_as_dict",
            "create_returns_null",
            "status_style",
            "created_date_style",
            "no_schedule_answer",
            "nested_errors_for_dispatch",
            "show_cron_timezone",
            "batch_counts",
            "log_order",
            "clamp_limit",
        ],
        [
            "begin_time_filters",
            "run_requires_started",
            "batch_errors",
            "stop_stopped",
            "second_schedule",
            "offset_is_page_index",
            "allow_duplicate_names",
            "stop_kills_run",
            "overlap_style",
        ],
    ],
    ids=["shapes", "behaviour"],
)
def test_an_emulator_started_with_the_file_behaves_like_the_instance(
    fdi_emulator: FdiEmulator,
    examine: Callable[..., Report],
    start: Callable[[Path], FdiEmulator],
    tmp_path: Path,
    names: list[str],
) -> None:
    turned = {name: VISIBLE[name].value for name in names}
    case = Case(None, write=True, others=LASTING)
    fdi_emulator.switch(**turned)
    first = examine(case)
    assert first.switches == turned
    file = tmp_path / "instance.json"
    file.write_text(as_json(first), encoding="utf-8")

    second = examine(case, start(file))

    assert load_config(file).switches == turned
    assert second.switches == turned
    outcomes = [[finding.verdict.outcome for finding in report.findings] for report in (first, second)]
    assert outcomes[0] == outcomes[1]


def test_the_file_says_what_was_found(examine: Callable[..., Report]) -> None:
    data = json.loads(as_json(examine(Case(None))))

    assert data["report"]["write"] is False
    assert [row["key"] for row in data["report"]["findings"]] == [row.key for row in ASSUMPTIONS]
