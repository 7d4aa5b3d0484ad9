"""The API reference says what the docstrings say."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tools import api_reference


def test_api_reference_is_up_to_date() -> None:
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.render()


def test_every_operator_is_in_the_reference_and_in_the_guide() -> None:
    source = (ROOT / "airflow_provider_fdi" / "operators" / "fdi.py").read_text(encoding="utf-8")
    operators = re.findall(r"^class (Fdi\w+Operator)\(", source, flags=re.MULTILINE)
    for page in ("api.md", "operators.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert [name for name in operators if name not in text and name != "FdiBaseOperator"] == []
