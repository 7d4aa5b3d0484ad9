"""What the commands write: results to stdout, all else to stderr; colours and progress only on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from airflow_provider_fdi.client.errors import clean_text
from airflow_provider_fdi.declarations.actual import OnProgress

NO_TERMINAL_WIDTH = 10_000
"""Columns of a file or pipe, where rich assumes 80 and would cut tables off."""
DANGEROUS, GOOD, MUTED = "red", "green", "dim"


def results() -> Console:
    """The console for what a command was called for."""
    return _console(stderr=False)


def notes() -> Console:
    """The console for everything else: progress, questions, errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else NO_TERMINAL_WIDTH
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def print_json(data: Any) -> None:
    """Write data as JSON to stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def print_error(message: str) -> None:
    """Write an error to stderr: its first line is the cause."""
    cause, *advice = message.splitlines() or [""]
    console = notes()
    console.print(Text.assemble(("error: ", "bold red"), clean_text(cause, 1000)), soft_wrap=True)
    for line in advice:
        console.print(Text(f"  {line}"), soft_wrap=True)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Sequence[str] = ()
) -> Table:
    """A table without lines around it; the columns in ``right`` hold numbers."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in right,
        )
    for row in rows:
        made.add_row(*row)
    return made


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
    """Show on a terminal how much is done; gives the function to call for each thing that is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    console = notes()
    if not console.is_terminal:
        # Not a Progress that is disabled: some versions of rich write an empty line when that ends.
        yield lambda done, total: None
        return
    with Progress(
        *columns,
        console=console,
        transient=True,
        # Lines written meanwhile appear above the bar, unless they go to a file.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Airflow logs to stdout, and much: keep warnings, and write them to stderr."""
    root = logging.getLogger()
    replaced: dict[logging.Handler, logging.Handler] = {}
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            # Not setStream: the stream of Airflow 2's handler cannot be set.
            replaced[handler] = logging.StreamHandler(sys.stderr)
            replaced[handler].setLevel(handler.level)
            replaced[handler].setFormatter(handler.formatter)
    for handler, instead in replaced.items():
        root.removeHandler(handler)
        root.addHandler(instead)
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
        for handler, instead in replaced.items():
            root.removeHandler(instead)
            root.addHandler(handler)
