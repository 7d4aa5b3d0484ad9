"""The command ``airflow fdi``, as Airflow (3.2 and later) reads it from ``get_provider_info``.

Every ``airflow`` command imports this module, so that it imports only what Airflow has loaded already.
"""

from __future__ import annotations

import argparse

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

HELP = "Tasks of FDI (Huawei Cloud ROMA Connect): as files in git, and their runs"
COMMANDS = """\
Commands:
  export      write the tasks of an instance into files
  validate    check files, without a connection
  plan        show what would change in an instance
  apply       change an instance to what the files say
  list        tasks, whether they are started, and their latest runs
  runs        the runs of a task
  doctor      compare an instance with what this provider assumes of FDI
  schema      print the JSON Schema of the files

airflow fdi COMMAND --help explains a command."""


def get_fdi_cli_commands() -> list[ActionCommand]:
    """The commands of this provider.

    One command takes all words that follow. Our own parser reads them: where Airflow's refuses an argument,
    the exit code is 2, which means "there are changes" for ``airflow fdi plan``.
    """
    return [
        ActionCommand(
            name="fdi",
            help=HELP,
            description=COMMANDS,
            func=lazy_load_command("airflow_provider_fdi.cli.main.from_airflow"),
            args=(
                Arg(  # type: ignore[no-untyped-call]
                    ("arguments",),
                    nargs=argparse.REMAINDER,
                    metavar="COMMAND ...",
                    help="one of the commands above, and its arguments",
                ),
            ),
        )
    ]
