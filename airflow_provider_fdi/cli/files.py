"""``export``, ``validate``, ``plan`` and ``apply``: tasks as files, and what makes an instance agree."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from rich.text import Text

from airflow_provider_fdi.cli.connection import CommandError, hook_of
from airflow_provider_fdi.cli.console import notes, print_json, progress, results
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.errors import counted
from airflow_provider_fdi.declarations import export as exporting
from airflow_provider_fdi.declarations.actual import read_actual
from airflow_provider_fdi.declarations.apply import Applied, apply_plan
from airflow_provider_fdi.declarations.files import load
from airflow_provider_fdi.declarations.model import Declarations
from airflow_provider_fdi.declarations.plan import Plan, make_plan
from airflow_provider_fdi.declarations.report import (
    Line,
    applied_lines,
    outcome_lines,
    plan_lines,
)
from airflow_provider_fdi.declarations.schema import json_schema

UNCHANGED, FAILED, CHANGES = 0, 1, 2
"""The exit codes of ``plan``; ``apply`` ends with one of the first two."""
COLOURS = {"create": "green", "update": "yellow", "delete": "red", "problem": "bold red", "muted": "dim"}


def export(args: argparse.Namespace) -> int:
    """``export``: write the tasks of an instance to files."""
    client = hook_of(args).get_conn()
    with progress("Reading tasks") as advance:
        done = exporting.export(
            client,
            args.directory,
            name_pattern=args.name,
            overwrite=args.overwrite,
            on_progress=advance,
        )
    console = results()
    for note in done.notes:
        console.print(Text(f"Note: {note}"), soft_wrap=True)
    if done.variables:
        console.print(Text(f"To be set: {', '.join(done.variables)}"), soft_wrap=True)
    count = counted(len(done.tasks), "task")
    console.print(f"Wrote {count} to {len(done.files):,} files in {args.directory}", soft_wrap=True)
    return UNCHANGED


def validate(args: argparse.Namespace) -> int:
    """``validate``: read files, and name all mistakes in them."""
    declared = _declared(args)
    results().print(f"{counted(len(declared.tasks), 'task')}, no mistake")
    return UNCHANGED


def schema(args: argparse.Namespace) -> int:
    """``schema``: the JSON Schema of the files."""
    print_json(json_schema())
    return UNCHANGED


def plan(args: argparse.Namespace) -> int:
    """``plan``: show what would change, and change nothing."""
    made = _plan(args, _declared(args), hook_of(args).get_conn())
    if args.output == "json":
        print_json(made.as_dict())
    else:
        _show(plan_lines(made))
    if made.problems:
        return FAILED
    return UNCHANGED if made.is_empty else CHANGES


def apply(args: argparse.Namespace) -> int:
    """``apply``: show the plan, ask, and carry it out."""
    declared = _declared(args)
    if not args.yes and not sys.stdin.isatty():
        raise CommandError("nobody is there to be asked: stdin is no terminal\n--yes applies without asking.")
    client = hook_of(args).get_conn()
    made = _plan(args, declared, client)
    _show(plan_lines(made))
    if made.is_empty:
        return UNCHANGED
    if not args.yes and not _agreed():
        notes().print("Nothing was changed.")
        return FAILED
    return _carry_out(client, made, interrupt=args.interrupt)


def _declared(args: argparse.Namespace) -> Declarations:
    return load(args.paths, dict(args.variables))


def _plan(args: argparse.Namespace, declared: Declarations, client: FdiClient) -> Plan:
    with progress("Reading tasks") as advance:
        actual = read_actual(client, declared, on_progress=advance)
    return make_plan(declared, actual, prune=args.prune, write_secrets=args.write_secrets)


def _agreed() -> bool:
    console = notes()
    console.print("Apply this? Only yes does it: ", end="")
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        console.print()
        return False


def _carry_out(client: FdiClient, made: Plan, *, interrupt: bool) -> int:
    """Apply a plan, and say what became of each change; also when interrupted, what is left."""
    applied: list[Applied] = []
    try:
        with progress("Applying") as advance:

            def report(one: Applied) -> None:
                applied.append(one)
                advance(len(applied), len(made.changes))
                _show(applied_lines(one))

            apply_plan(client, made, interrupt=interrupt, on_change=report)
    finally:
        _show(outcome_lines(made.changes, applied))
    return FAILED if any(one.failure for one in applied) else UNCHANGED


def _show(lines: Iterable[Line]) -> None:
    console = results()
    for line in lines:
        console.print(_text(line), soft_wrap=True)


def _text(line: Line) -> Text:
    return Text.assemble(*((text, COLOURS.get(tone, "")) for text, tone in line))


def variable(text: str) -> tuple[str, str]:
    """A name and a value from ``NAME=VALUE``, for the parser."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, is {text!r}")
    return name, value
