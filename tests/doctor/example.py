"""The report that the documentation shows, of an emulator that differs from what is assumed.

``python -m tests.doctor.example`` writes it into the page anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_fdi.doctor.report import as_markdown
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.doctor.instance import NOTHING_PLANNED, QUICK, add_history, visit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
SWITCHES = {
    "log_order": "asc",
    "run_requires_started": True,
    "status_style": "stopped",
    "overlap_style": "row",
    "default_timezone": "UTC",
    # Runs last until they are terminated, so that the report does not depend on how long one takes.
    "max_parallel_runs": 0,
}
_BLOCK = re.compile(r"(?<=```text\n)# FDI doctor: .*?(?=```)", re.DOTALL)
_MEASURED = re.compile(
    r"(?<![\w.=+:])[+-]?\d+(?:\.\d+)?(?= (?:ms|s|of|answers|requests|operations|rows|values|tasks)\b)"
)


def make_example(emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The report on an emulator."""
    add_history(emulator)
    emulator.switch(**SWITCHES)
    return as_markdown(visit(emulator, monkeypatch, "aksk", QUICK, NOTHING_PLANNED))


def on_the_page() -> str:
    """The report on the page."""
    found = _BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found, "the page shows no report"
    return found[0]


def without_figures(report: str) -> str:
    """The report without what is measured anew each time, and without the version."""
    text = re.sub(r"airflow-provider-fdi [\d.]+", "airflow-provider-fdi", report)
    text = re.sub(r"after \d+ ms, at look \d+", "after N ms", text)
    return _MEASURED.sub("N", text)


if __name__ == "__main__":
    with FdiEmulator.start() as started, pytest.MonkeyPatch.context() as patch:
        example = make_example(started, patch)
    PAGE.write_text(_BLOCK.sub(lambda _: example, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
