"""One command from its arguments to its exit code."""

from __future__ import annotations

import argparse
import sys

from rich.text import Text

from airflow_provider_fdi.cli.connection import CommandError
from airflow_provider_fdi.cli.console import notes, print_error, quiet_logs
from airflow_provider_fdi.cli.parser import parse
from airflow_provider_fdi.client.errors import clean_text, counted
from airflow_provider_fdi.exceptions import FdiDeclarationError, FdiError, FdiTaskFailure

ERROR = 1
INTERRUPTED = 130


def from_airflow(args: argparse.Namespace) -> None:
    """``airflow fdi …``, with the words that follow it."""
    sys.exit(main(args.arguments, prog="airflow fdi"))


def main(arguments: list[str] | None = None, prog: str = "python -m airflow_provider_fdi") -> int:
    """Do one command and return its exit code: 0 done, 1 an error; ``plan`` returns 2 if there are changes.

    :param arguments: the words after the command's name; those of this process when None.
    """
    try:
        args = parse(arguments, prog)
    except SystemExit as end:
        return int(end.code or 0)
    with quiet_logs():
        try:
            code: int = args.run(args)
            return code
        except FdiDeclarationError as error:
            for problem in error.problems:
                notes().print(Text(clean_text(str(problem), 1000)), soft_wrap=True)
            mistakes, files = len(error.problems), len({problem.file for problem in error.problems})
            print_error(f"{counted(mistakes, 'mistake')} in {counted(files, 'file')}")
        except (CommandError, FdiTaskFailure) as error:
            print_error(str(error))
        except FdiError as error:
            print_error(str(error.replace(connection=error.connection or getattr(args, "conn_id", ""))))
        except KeyboardInterrupt:
            print_error("interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            # What read our output has ended, as `head` does: nothing is left to say, nor at exit.
            sys.stdout = None
    return ERROR
