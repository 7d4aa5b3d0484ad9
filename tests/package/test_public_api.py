"""A change of the public API is noticed: public_api.txt has every name, parameter, default and type."""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tools.public_api import PACKAGE, PAGE, render

ADVICE = """\
The public API is not that of tests/package/public_api.txt (- there, + in the code):

{changes}

If that is meant: run `make api`, and tell users in a fragment (see changelog.d/README.md)."""


def changes(root: Path = ROOT) -> list[str]:
    """The lines that differ, as - and +."""
    before = PAGE.read_text(encoding="utf-8").splitlines()
    after = render(root).splitlines()
    return [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if re.match(r"[+-](?![+-])", line)
    ]


def test_no_change_of_the_public_api_is_unannounced() -> None:
    found = changes()
    assert not found, ADVICE.format(changes="\n".join(found))


@pytest.mark.parametrize(
    ("file", "old", "new", "noticed"),
    [
        ("operators/batch.py", "        action: str,", "        verb: str,", "-      action: str (keyword)"),
        (
            "operators/batch.py",
            "wait_for_status: bool = False",
            "wait_for_status: bool = True",
            "+      wait_for_status: bool = True (keyword)",
        ),
        ("operators/fdi.py", '    "FdiBatchOperator",\n', "", "-  class FdiBatchOperator(FdiBaseOperator)"),
        ("client/enums.py", "class TaskType(", "class TaskType(int, ", "+  class TaskType(int, "),
        ("client/backoff.py", "@dataclass", "def extra() -> None: ...\n\n\n@dataclass", None),
    ],
    ids=[
        "a renamed parameter",
        "another default",
        "a name that is gone",
        "another base",
        "a private function",
    ],
)
def test_a_change_is_noticed_if_it_is_public(
    file: str, old: str, new: str, noticed: str | None, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE)
    changed = tmp_path / PACKAGE / file
    text = changed.read_text(encoding="utf-8")
    assert old in text
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")

    found = changes(tmp_path)

    if noticed is None:
        assert found == []
    else:
        assert any(line.startswith(noticed) for line in found), found
