"""The arguments of all commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from airflow_provider_fdi.cli import connection, files, tasks
from airflow_provider_fdi.doctor import command as doctor
from airflow_provider_fdi.validation import nearest

USAGE_ERROR = 1
"""Not argparse's 2, which would say that ``plan`` found changes."""


class Parser(argparse.ArgumentParser):
    """A parser that names the argument that is probably meant, and never exits with 2."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {message}\n  {self.prog} --help explains the arguments.\n")

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """The arguments of one command; ``run`` among them is the function that does it."""
        args, unknown = self.parse_known_args(arguments)
        if unknown:
            parser: Parser = getattr(args, "parser", self)
            options = [option for action in parser._actions for option in action.option_strings]
            word = unknown[0].partition("=")[0]
            meant = nearest(word, options) if word.startswith("-") else None
            parser.error(f"unknown argument {word}" + (f"; did you mean {meant}?" if meant else ""))
        return args


def make_parser(prog: str) -> Parser:
    """The parser of all commands, which are called as ``prog COMMAND``."""
    parser = Parser(prog=prog, description="Tasks of FDI (Huawei Cloud ROMA Connect).")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands", dest="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], words: str, more: str = "") -> Parser:
        description = f"{words[0].upper()}{words[1:]}. {more}"
        made: Parser = commands.add_parser(name, help=words, description=description)
        made.set_defaults(run=run, parser=made)
        return made

    exporting = command("export", files.export, "write the tasks of an instance into files")
    exporting.add_argument("directory", metavar="DIR", type=Path, help="folder for the files")
    _name(exporting, "only tasks whose names are like this, such as 'sales_*'")
    exporting.add_argument("--overwrite", action="store_true", help="replace files that are there")
    connection.add_arguments(exporting)

    validating = command("validate", files.validate, "check files, without a connection")
    _files(validating)

    planning = command(
        "plan",
        files.plan,
        "show what would change, and change nothing",
        "Exit codes: 0 no changes, 2 changes, 1 an error, or a change that cannot be made.",
    )
    _files(planning)
    _changes(planning)
    _output(planning)
    connection.add_arguments(planning)

    applying = command(
        "apply",
        files.apply,
        "change an instance to what the files say",
        "Exit codes: 0 the instance is as the files say, 1 an error, or something is left to be done.",
    )
    _files(applying)
    _changes(applying)
    applying.add_argument("--yes", action="store_true", help="do not ask")
    applying.add_argument(
        "--interrupt",
        action="store_true",
        help="also stop tasks whose run is in progress, where FDI demands it",
    )
    connection.add_arguments(applying)

    listing = command("list", tasks.list_tasks, "list tasks, whether they are started, and their latest runs")
    _name(listing, "only tasks whose names are like this, such as 'sales_*'")
    _output(listing)
    connection.add_arguments(listing)

    runs = command("runs", tasks.list_runs, "list the runs of a task, newest first")
    runs.add_argument("task", metavar="TASK", help="name or id of the task")
    runs.add_argument("--limit", type=_positive, default=20, metavar="N", help="how many (%(default)s)")
    _output(runs)
    connection.add_arguments(runs)

    examining = command(
        "doctor",
        _doctor,
        "compare an instance with what this provider assumes of FDI",
        "Reads only, unless --write is given. Exit codes: 0 all that was checked is as assumed, 2 something"
        " is different, 1 an error.",
    )
    doctor.add_arguments(examining)
    connection.add_arguments(examining)

    command("schema", files.schema, "print the JSON Schema of the files, for editors")
    return parser


def parse(arguments: list[str] | None, prog: str) -> argparse.Namespace:
    """Read the arguments of a command; ``run`` in them is the function that does it.

    :raises SystemExit: with 0 after a help text, with 1 if an argument is wrong.
    """
    parser = make_parser(prog)
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        parser.print_help(sys.stderr)
        parser.exit(USAGE_ERROR)
    return parser.parse(given)


def _doctor(args: argparse.Namespace) -> int:
    return doctor.run(connection.hook_of(args), args)


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="file, or folder of files")
    parser.add_argument(
        "--var",
        dest="variables",
        action="append",
        default=[],
        type=files.variable,
        metavar="NAME=VALUE",
        help="what ${NAME} stands for; goes before environment file and environment",
    )


def _changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prune", action="store_true", help="delete tasks that carry the managed tag and are in no file"
    )
    parser.add_argument(
        "--write-secrets", action="store_true", help="also write tasks with secrets, which may have changed"
    )


def _name(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--name", metavar="PATTERN", help=words)


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="text (the default) or json"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, is {text!r}")
    return int(text)
