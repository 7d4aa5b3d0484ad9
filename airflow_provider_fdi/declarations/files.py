"""Reading declarations from YAML and JSON files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_provider_fdi.declarations.model import Declarations


def load(
    paths: Sequence[Path],
    variables: Mapping[str, str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Declarations:
    """The declarations in files and folders (``.yaml``, ``.yml``, ``.json``, at any depth).

    ``${NAME}`` is taken from ``variables``, else from the environment file (the one file with an
    ``environment``), else from ``environment``, which is the process's own by default. A secret may be
    missing: it is needed only when the task is written.

    :raises FdiDeclarationError: anything is wrong; names every mistake in all files.
    """
    raise NotImplementedError
