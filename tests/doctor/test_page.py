"""The page about the doctor shows what it really says."""

from __future__ import annotations

import pytest

from airflow_provider_fdi.doctor import operations
from airflow_provider_fdi.doctor.assumptions import NOT_VISIBLE
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.emulator.service import permissions
from tests.doctor.example import PAGE, make_example, on_the_page, without_figures
from tests.doctor.instance import arguments


def test_the_report_on_the_page_is_a_real_one(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = make_example(fdi_emulator, monkeypatch)

    assert without_figures(on_the_page()) == without_figures(report), "run `python -m tests.doctor.example`"


def test_the_page_names_what_cannot_be_seen_and_every_option() -> None:
    page = PAGE.read_text(encoding="utf-8")

    for switch, reason in NOT_VISIBLE.items():
        assert f"| `{switch}` | {reason} |" in page
    for option in vars(arguments()):
        assert f"`--{option.replace('_', '-')}" in page


def test_actions_are_those_of_the_emulator() -> None:
    known = {name: permissions.ACTIONS[name] for name in operations.ACTIONS}

    assert known == operations.ACTIONS
    assert operations.OPERATIONS.keys() - known.keys() == {"ListDatasources", "ShowDataourceDetail"}
