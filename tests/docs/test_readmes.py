"""The README and its Chinese translation say the same: the same headings, links, tables and code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.test_links import links

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"


def lines(page: Path, pattern: str) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(pattern, text, flags=re.MULTILINE)


def targets(page: Path) -> list[str]:
    """Where the links lead, without the languages' own: the vendor's site, and the other README."""
    return sorted(
        link.replace("huaweicloud.com/intl/en-us/", "huaweicloud.com/")
        for link in links(page)
        if link not in (ENGLISH.name, CHINESE.name)
    )


def test_each_leads_to_the_other_at_once() -> None:
    assert links(ENGLISH)[0] == CHINESE.name
    assert links(CHINESE)[0] == ENGLISH.name


def test_both_have_the_same_code() -> None:
    code = [(block.language, block.text) for block in blocks(ENGLISH)]

    assert code
    assert code == [(block.language, block.text) for block in blocks(CHINESE)]


def test_both_have_the_same_links() -> None:
    assert len(targets(ENGLISH)) > 30
    assert targets(ENGLISH) == targets(CHINESE)


@pytest.mark.parametrize(
    "pattern",
    [r"^(#+) ", r"^(- \*\*)", r"^\|.*?(`\w+`|\d\.\d+)", r'<a id="([^"]+)"'],
    ids=["headings", "bullets", "table rows", "anchors"],
)
def test_both_have_the_same_structure(pattern: str) -> None:
    assert lines(ENGLISH, pattern)
    assert lines(ENGLISH, pattern) == lines(CHINESE, pattern)


def test_the_numbers_are_the_same() -> None:
    figures = [
        re.findall(r"\b\d[\d,.]*\d\b", page.read_text(encoding="utf-8")) for page in (ENGLISH, CHINESE)
    ]

    assert sorted(set(figures[0])) == sorted(set(figures[1]))


@pytest.mark.parametrize(
    ("page", "words"), [(ENGLISH, "never run against"), (CHINESE, "从未在真实服务上运行过")]
)
def test_the_status_stands_before_the_first_example(page: Path, words: str) -> None:
    text = page.read_text(encoding="utf-8")

    assert text.index(words) < text.index("```python") < text.index("docs/images/")


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
def test_the_first_example_is_five_lines(page: Path) -> None:
    example = next(block for block in blocks(page) if block.language == "python")

    assert len([line for line in example.text.splitlines() if line.strip()]) == 5
