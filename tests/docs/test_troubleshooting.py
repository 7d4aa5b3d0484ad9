"""The troubleshooting page has a row for every error code and every exception that somebody can meet."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import airflow_provider_fdi
from airflow_provider_fdi import exceptions
from airflow_provider_fdi.client.errors import FdiError, is_permanent
from airflow_provider_fdi.client.responses import error_from_response
from airflow_provider_fdi.emulator.constants import STEP_WORDS
from airflow_provider_fdi.emulator.service.errors import CATALOGUE
from airflow_provider_fdi.runs.report import WENT_WRONG
from tests.docs.pages import ROOT
from tests.docs.test_links import anchors

PAGE = ROOT / "docs" / "troubleshooting.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = r"(?:FDI|APIGW?|ROMA|SCB|IAM)\.\d{4,8}"

KNOWN = """
    FDI.3002 FDI.3016 FDI.3018 FDI.3019 FDI.3020 FDI.3021 FDI.3022 FDI.3023 FDI.3026 FDI.3027 FDI.3028
    FDI.3033 FDI.3035 FDI.3037 FDI.3039 FDI.3043 FDI.3048 FDI.3081 FDI.3083 FDI.3101 FDI.3149 FDI.3150
    FDI.3180 FDI.9999
    ROMA.00110002 ROMA.00110006 SCB.00000000
    APIGW.0101 APIGW.0106 APIGW.0201 APIGW.0301 APIGW.0302 APIGW.0305 APIGW.0306 APIGW.0307 APIGW.0308
    APIGW.0310 APIGW.0601 APIGW.0602 APIGW.0613 APIGW.0802 APIGW.1002 APIGW.1005
    APIG.0101 APIG.0106 APIG.0201 APIG.0301 APIG.0302 APIG.0305 APIG.0306 APIG.0307 APIG.0308
    APIG.0310 APIG.0601 APIG.0602 APIG.0613 APIG.0802 APIG.1002 APIG.1005
    IAM.0002 IAM.0007 IAM.0009 IAM.0011 IAM.0072 IAM.0073 IAM.1100 1100
""".split()
"""Every code that was found in the vendor's documentation."""


@dataclass(frozen=True)
class Row:
    """A row of one of the page's tables that has an anchor."""

    anchors: tuple[str, ...]
    heads: tuple[str, ...]
    cells: tuple[str, ...]

    def __getitem__(self, head: str) -> str:
        return self.cells[self.heads.index(head)]

    @property
    def name(self) -> str:
        return self.anchors[0]


def rows() -> Iterator[Row]:
    heads: tuple[str, ...] = ()
    for line in TEXT.splitlines():
        if not line.startswith("|"):
            heads = ()
            continue
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        heads = heads or cells
        found = tuple(re.findall(r'<a id="([^"]+)"></a>', line))
        if found:
            yield Row(found, heads, cells)


ROWS = list(rows())
BY_ANCHOR = {anchor: row for row in ROWS for anchor in row.anchors}
CODE_ROWS = [row for row in ROWS if "HTTP" in row.heads]


def modules() -> list[str]:
    found = pkgutil.walk_packages(airflow_provider_fdi.__path__, "airflow_provider_fdi.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(sub) for sub in kind.__subclasses__()))


def missing(wanted: set[str]) -> list[str]:
    return sorted(wanted - set(BY_ANCHOR))


def test_every_code_of_the_vendors_documentation_has_a_row() -> None:
    assert missing(set(KNOWN)) == []


def test_every_code_in_the_source_has_a_row() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "airflow_provider_fdi").rglob("*.py")]
    codes = {code for text in texts for code in re.findall(rf"\b{CODE}\b", text)}

    assert len(codes) > 20
    assert missing(codes) == []


def test_every_code_that_the_emulator_answers_has_a_row() -> None:
    iam = (ROOT / "airflow_provider_fdi" / "emulator" / "server" / "routes" / "iam.py").read_text("utf-8")
    statuses = set(re.findall(r"iam_error\(\s*(\d{3})", iam))

    assert statuses
    assert missing(set(CATALOGUE) | statuses) == []


def test_every_step_that_went_wrong_has_a_row() -> None:
    refused_or_queued = {code for code, words in STEP_WORDS.items() if "reject" in words or "queued" in words}

    assert missing({f"step-{code}" for code in WENT_WRONG | refused_or_queued}) == []


def test_every_exception_has_a_row() -> None:
    for name in modules():
        importlib.import_module(name)
    ours = {
        kind.__name__
        for kind in subclasses(FdiError) | subclasses(exceptions.FdiTaskFailure)
        if kind.__module__.startswith("airflow_provider_fdi.") and not kind.__name__.startswith("_")
    }
    exported = {name for name in exceptions.__all__ if isinstance(getattr(exceptions, name), type)}

    assert "FdiStartError" in ours
    assert missing(ours | exported) == []


def test_each_anchor_is_there_once() -> None:
    headings = anchors(PAGE) - set(BY_ANCHOR)
    counts = Counter(re.findall(r'<a id="([^"]+)"></a>', TEXT))

    assert [anchor for anchor, count in counts.items() if count > 1] == []
    assert not headings & set(counts)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_row_lacks_a_column(row: Row) -> None:
    assert len(row.cells) == len(row.heads)
    assert all(row.cells)
    assert {"what it means", "what to do", "retry"} <= set(row.heads)


@pytest.mark.parametrize("row", CODE_ROWS, ids=lambda row: row.name)
def test_a_row_says_how_its_code_is_known(row: Row) -> None:
    assert row["known"] in ("table", "example")


@pytest.mark.parametrize("row", CODE_ROWS, ids=lambda row: row.name)
def test_no_retry_where_the_provider_does_not_retry(row: Row) -> None:
    permanent = []
    for code in row.anchors:
        for status in row["HTTP"].split(", "):
            error = error_from_response(
                operation="get_task",
                ids={},
                attempts=1,
                status=int(status),
                headers={},
                body=json.dumps({"error_code": code, "error_msg": "words"}).encode(),
            )
            permanent.append(is_permanent(error))

    assert all(permanent) == (row["retry"] == "no")


def test_every_address_on_the_page_itself_leads_somewhere() -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))

    assert links <= anchors(PAGE)
