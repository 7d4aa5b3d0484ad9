"""The page about tasks as code: its commands are run from top to bottom, and print what it shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_fdi.cli.main import main
from airflow_provider_fdi.declarations.files import load
from airflow_provider_fdi.declarations.schema import json_schema
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.docs.pages import DOCS, Block, blocks
from tests.docs.test_blocks import commands
from tests.docs.world import World

Capture = pytest.CaptureFixture[str]
PAGE = list(blocks(DOCS / "tasks-as-code.md"))
CHANGED = 2


def file_of(block: Block) -> str | None:
    found = re.match(r"# ([\w/.]+\.ya?ml)\n", block.text)
    return found[1] if found and block.language == "yaml" else None


@pytest.fixture
def test_instance() -> Iterator[FdiEmulator]:
    with FdiEmulator.start() as emulator:
        yield emulator


@pytest.fixture
def both(world: World, test_instance: FdiEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two tasks in production, and an instance for tests that has the same data sources and no task."""
    world.add_task(description="Orders of the day", started=True, schedule=True)
    world.add_task("customers_to_warehouse", description="All customers")
    (tmp_path / "test").mkdir()
    World(test_instance, tmp_path / "test").target.close()
    monkeypatch.setenv("AIRFLOW_CONN_FDI_PRODUCTION", world.fdi.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_FDI_TEST", test_instance.connection_json())
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = Somebody\nemail = somebody@example.com\n")
    return world


def test_the_page_leads_from_the_console_to_git_and_to_production(
    both: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = ""
    codes = []
    for block in PAGE[: next(i for i, block in enumerate(PAGE) if block.text.startswith("# .github"))]:
        path = file_of(block)
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(block.text, encoding="utf-8")
        elif block.language == "text" and "Layout" not in block.text and "environments/" not in block.text:
            assert shown.splitlines() == block.text.splitlines(), str(block)
        elif block.language == "sh":
            for words in commands(block):
                if words[:2] == ["airflow", "fdi"]:
                    codes.append(main(words[2:], "airflow fdi"))
                    shown = capsys.readouterr().out
                elif words[0] == "cd":
                    monkeypatch.chdir(words[1])
                else:
                    program = sys.executable if words[0] == "python" else words[0]
                    subprocess.run([program, *words[1:]], check=True, capture_output=True)

    assert set(codes) == {0, CHANGED}
    assert main(["plan", "tasks", "environments/test.yaml", "--conn-id", "fdi_test"]) in (0, CHANGED)


def test_the_example_of_the_format_is_valid(tmp_path: Path) -> None:
    block = next(block for block in PAGE if file_of(block) == "tasks/examples.yaml")
    (tmp_path / "examples.yaml").write_text(block.text, encoding="utf-8")

    assert [task.kind for task in load([tmp_path]).tasks] == ["timing", "composite"]


def test_the_schema_on_the_site_is_current() -> None:
    text = (DOCS / "tasks.schema.json").read_text(encoding="utf-8")

    assert json.loads(text) == json_schema(), "airflow fdi schema > docs/tasks.schema.json"


def test_every_field_of_the_files_is_on_the_page() -> None:
    text = (DOCS / "tasks-as-code.md").read_text(encoding="utf-8")
    models = json_schema()["$defs"]
    fields = {
        f for name in ("Task", "TableToTable", "Schedule", "Environment") for f in models[name]["properties"]
    }

    assert {field for field in fields if f"`{field}`" not in text} == set()
