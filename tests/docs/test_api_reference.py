"""The API reference says what the docstrings say."""

from __future__ import annotations

import re

from airflow_provider_fdi import client, exceptions
from airflow_provider_fdi.client import task_detail
from airflow_provider_fdi.get_provider_info import get_provider_info
from tests.docs.pages import ROOT
from tools import api_reference

LISTED = [name for _, _, names in api_reference.SECTIONS for name in names]


def test_api_reference_is_up_to_date() -> None:
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.render()


def test_nothing_is_listed_twice() -> None:
    assert len(set(LISTED)) == len(LISTED)


def test_everything_that_users_import_is_in_the_reference() -> None:
    failures = [
        name
        for name, thing in vars(exceptions).items()
        if isinstance(thing, type) and thing.__module__ == exceptions.__name__
    ]
    links = [path.rpartition(".")[2] for path in get_provider_info()["extra-links"]]
    missing = {*client.__all__, *failures, *links, *task_detail.__all__, "create_asset"} - set(LISTED)
    assert not missing


def test_every_operator_is_in_the_reference_and_in_the_guide() -> None:
    source = (ROOT / "airflow_provider_fdi" / "operators" / "fdi.py").read_text(encoding="utf-8")
    operators = re.findall(r"^class (Fdi\w+Operator)\(", source, flags=re.MULTILINE)
    for page in ("api.md", "operators.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert [name for name in operators if name not in text and name != "FdiBaseOperator"] == []
