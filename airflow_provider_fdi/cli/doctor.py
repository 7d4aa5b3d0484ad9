"""``doctor``: whether an instance behaves as this provider assumes."""

from __future__ import annotations

import argparse

from airflow_provider_fdi.cli.connection import hook_of
from airflow_provider_fdi.doctor import command


def examine(args: argparse.Namespace) -> int:
    """``doctor``: its report; 2 if something is different."""
    return command.run(hook_of(args, connect=False), args)
