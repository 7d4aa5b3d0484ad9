"""From the arguments of a command to a client of FDI."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_fdi.compat import AirflowNotFoundException
from airflow_provider_fdi.hooks.fdi import FdiHook

CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
"""By this variable, Airflow 3 tells processes that may read its database from those that may not."""


class CommandError(Exception):
    """What a user did cannot work; the first line of the text is the cause."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which instance of FDI is meant."""
    parser.add_argument(
        "--conn-id", metavar="ID", default=FdiHook.default_conn_name, help="Airflow connection (%(default)s)"
    )
    parser.add_argument("--project-id", metavar="ID", help="project, if not the connection's")
    parser.add_argument("--instance-id", metavar="ID", help="instance, if not the connection's")


def hook_of(args: argparse.Namespace) -> FdiHook:
    """The hook for the connection that the arguments name, wherever Airflow keeps it.

    :raises CommandError: there is no such connection.
    """
    hook = FdiHook(args.conn_id, project_id=args.project_id, instance_id=args.instance_id)
    with _database_allowed():
        try:
            _ = hook.settings
        except AirflowNotFoundException:
            variable = f"AIRFLOW_CONN_{args.conn_id.upper()}"
            raise CommandError(
                f"there is no connection {args.conn_id!r}\n"
                f"Airflow looked for the variable {variable}, in its secrets backends and in its database."
            ) from None
    return hook


@contextmanager
def _database_allowed() -> Iterator[None]:
    """Let Airflow 3 look for connections in its database too, as ``airflow connections get`` does.

    Without it, only environment and secrets backends are searched in a process that is neither a server nor
    a task.
    """
    before = os.environ.get(CONTEXT)
    os.environ[CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONTEXT]
        else:
            os.environ[CONTEXT] = before
