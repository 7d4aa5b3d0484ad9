"""The code blocks of the documentation that are not Python: every language is known, and checked."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from airflow_provider_fdi.cli.parser import parse
from airflow_provider_fdi.emulator.config import load_config
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of

ALL = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in ALL if block.language == "sh"]
CHECKED_ELSEWHERE = {
    "python": "test_examples.py executes it",
    "text": "output and listings",
}


def check_toml(block: Block, tmp_path: Path) -> None:
    """The only TOML here is the emulator's configuration."""
    path = tmp_path / "config.toml"
    path.write_text(block.text, encoding="utf-8")
    load_config(path)


def check_shell(block: Block, _: Path) -> None:
    subprocess.run(["sh", "-n"], input=block.text, text=True, check=True)


CHECKS: dict[str, Callable[[Block, Path], object]] = {
    "json": lambda block, _: json.loads(block.text),
    "sh": check_shell,
    "toml": check_toml,
    "yaml": lambda block, _: yaml.safe_load(block.text),
}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_its_language(page: Path) -> None:
    known = CHECKS.keys() | CHECKED_ELSEWHERE.keys()
    assert {block.language for block in blocks(page)} <= known
    fences = re.findall(r"^[ >]*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(list(blocks(page))), "a fence is indented, quoted or not closed"


@pytest.mark.parametrize("block", [block for block in ALL if block.language in CHECKS], ids=str)
def test_blocks_are_valid(block: Block, tmp_path: Path) -> None:
    CHECKS[block.language](block, tmp_path)


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block, each as a list of words."""
    # A comment would take the end of its line, and so the end of the command, with it.
    text = re.sub(r"(?m)(^|\s)#.*$", "", block.text).replace("\\\n", " ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if set(word) <= set(";&|\n"):
            if words:
                yield words
            words = []
        elif words or not re.match(r"\w+=", word):  # a variable is set before its command, or alone
            words.append(word)


COMMANDS = [(block, words) for block in SHELL for words in commands(block)]
STEPS_OF_A_SHELL = {".", "cd", "echo", "export", "git", "kill", "mkdir", "pip", "python", "python3", "unset"}
"""What the pages use besides the commands whose arguments are checked below."""


def test_every_command_is_known() -> None:
    assert {words[0] for _, words in COMMANDS} <= STEPS_OF_A_SHELL | {"airflow", "fdi-emulator", "make"}


@pytest.mark.parametrize(
    "words", [words for _, words in COMMANDS if words[0] == "airflow"], ids=lambda words: " ".join(words[:3])
)
def test_airflow_takes_the_command(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.cli.cli_parser import get_parser

    if words[1] == "fdi":
        # The folders of the page; that the commands do what it says is in test_tasks_as_code.py.
        for file in ("tasks/orders.yaml", "environments/test.yaml", "environments/production.yaml"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        monkeypatch.chdir(tmp_path)
        # Airflow leaves its arguments to us, and before 3.2 it does not know it.
        parse([word for word in words[2:] if word != ">"], "airflow fdi")
    else:
        get_parser().parse_args(words[1:])


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    wanted = {
        word
        for _, words in COMMANDS
        if words[0] == "make"
        for before, word in pairwise(words)
        if "=" not in word and not word.startswith("-") and before != "-C"
    }
    assert wanted <= targets


def test_the_emulator_has_the_options() -> None:
    command = [sys.executable, "-m", "airflow_provider_fdi.emulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for _, words in COMMANDS:
        if words[0] == "fdi-emulator":
            assert {word for word in words if word.startswith("--")} <= set(text.split())


def connections() -> Iterator[tuple[Block, str]]:
    for block, words in COMMANDS:
        if words[0] == "export":
            for word in words[1:]:
                name, _, value = word.partition("=")
                if name.startswith("AIRFLOW_CONN_"):
                    yield block, value


@pytest.mark.parametrize(("block", "value"), list(connections()), ids=lambda value: str(value)[:40])
def test_connections_are_complete(block: Block, value: str) -> None:
    """Each connection on the pages can be read, and would be used as it is."""
    from airflow.models import Connection

    from airflow_provider_fdi.hooks.settings import read_settings

    settings = read_settings(
        Connection.from_json(value, conn_id="fdi_default")
        if value.startswith("{")
        else Connection(conn_id="fdi_default", uri=value)
    )
    assert settings.endpoint.startswith("http")
    assert settings.instance_id
