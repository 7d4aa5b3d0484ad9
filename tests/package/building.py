"""Builds wheel and sdist without network, and copies of this checkout to build from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import ROOT

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", ".demo", ".*_cache", "build", "dist", "__pycache__"
)


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


def build(source: Path, target: Path, **environ: str) -> Built:
    """Builds with the hatchling of this environment, with what `make package` builds with."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(command, cwd=source, env=clean(environ), check=True, capture_output=True)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return Built(wheel, sdist)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """This process's variables, without a date that was set for other builds."""
    return {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | dict(environ)


def copy(target: Path) -> Path:
    return shutil.copytree(ROOT, target, ignore=NOT_COPIED)


def kept_files(folder: str = ".") -> set[str]:
    """The files of this checkout that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", folder]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).exists()}
