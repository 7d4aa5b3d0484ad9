"""Writing the tasks of an instance to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.declarations.actual import MAX_PARALLEL_REQUESTS


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    :param tasks: names of the tasks
    :param variables: the variables that the files refer to, because secrets are left out
    :param notes: what somebody should look at, a sentence each
    """

    files: tuple[Path, ...] = ()
    tasks: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(
    client: FdiClient,
    directory: Path,
    *,
    name_pattern: str | None = None,
    overwrite: bool = False,
    max_parallel_requests: int = MAX_PARALLEL_REQUESTS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a file for each task, ``tasks/NAME.yaml`` in ``directory``.

    :param name_pattern: only tasks whose name matches it, as in a shell: ``orders-*``
    :param overwrite: replace files that are there

    :raises FdiDeclarationError: a file is there, and ``overwrite`` is not set; nothing is written.
    :raises FdiError: a request failed; nothing is written.
    """
    raise NotImplementedError
