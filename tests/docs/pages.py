"""The project's pages, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SITE_PAGES = sorted(DOCS.rglob("*.md"))
"""What the site is built from."""
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "changelog.d" / "README.md", *SITE_PAGES]

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DAG_ID = re.compile(r"\bDAG\(\s*\"(\w+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def dag_id(self) -> str | None:
        """The DAG's id if the block is a whole DAG."""
        found = _DAG_ID.search(self.text)
        return found[1] if self.language == "python" and found and "import" in self.text else None

    @property
    def file(self) -> str | None:
        """The file that the block is to be saved as, if its first line names one: ``# dags/my_dag.py``."""
        found = re.match(r"# ([\w/]+\.py)\n", self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found[1].strip(), found[2])


def prose(page: Path) -> str:
    """The page without its fenced blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))
