"""The programs of servers that the tests start, and the packages of Debian and Ubuntu that contain them.

As a script, which needs no environment, it prints the packages that are missing.
"""

from __future__ import annotations

import os
import shutil
from glob import glob

PACKAGES = {
    "createdb": "postgresql",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "mariadb": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "mariadbd": "mariadb-server",
}


def program(name: str) -> str | None:
    """The path of a server's program, None if it is not installed. Debian keeps PostgreSQL's off the PATH."""
    folders = [*sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]))


def missing_packages() -> list[str]:
    """The packages of the servers that are not installed."""
    return sorted({package for name, package in PACKAGES.items() if program(name) is None})


def what_is_missing() -> str:
    """One sentence on the servers that are not installed; empty if all are."""
    missing = " and ".join(missing_packages())
    return missing and (
        f"make test-distributed needs {missing}, which this machine lacks: `make servers` installs what is "
        "missing on Debian and Ubuntu."
    )


if __name__ == "__main__":
    print(*missing_packages())
