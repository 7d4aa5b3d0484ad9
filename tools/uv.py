"""Runs uv with pip's settings: python tools/uv.py ARGUMENTS

uv reads neither pip's configuration files nor PIP_* variables. Here they hold for uv too, unless one of uv's
own variables says otherwise. Interpreters installed by pyenv are found even where pyenv has not activated
them.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from glob import glob
from pathlib import Path

BIN = Path(sys.executable).parent

# pip's option -> uv's variable, and what separates several values in it
OPTIONS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
# uv's older names for the same
ALSO = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}


def pip_options(listing: str) -> dict[str, str]:
    """Reads what `pip config list` prints. PIP_* variables win over [install], which wins over [global]."""
    options: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                options[name.removeprefix(section)] = str(ast.literal_eval(value))
    return options


def uv_variables(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell uv the same, without those that `environ` has already."""
    variables = {}
    for option, (variable, separator) in OPTIONS.items():
        if options.get(option) and variable not in environ and ALSO.get(variable, variable) not in environ:
            variables[variable] = separator.join(options[option].split())
    if "UV_INDEX" in variables:
        # pip takes the best version from whichever index has it.
        variables["UV_INDEX_STRATEGY"] = environ.get("UV_INDEX_STRATEGY", "unsafe-best-match")
    return variables


def path_with_pyenv(environ: Mapping[str, str]) -> str:
    root = environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    return os.pathsep.join([environ.get("PATH", os.defpath), *sorted(glob(f"{root}/versions/*/bin"))])


def main() -> None:
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    environ = {
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        **os.environ,
        **uv_variables(pip_options(listing), os.environ),
        "PATH": path_with_pyenv(os.environ),
    }
    os.execve(BIN / "uv", ["uv", *sys.argv[1:]], environ)


if __name__ == "__main__":
    main()
