"""Runs uv with pip's settings: python tools/uv.py ARGUMENTS

uv reads neither pip's configuration files nor PIP_* variables. Here they hold for uv too, unless one of uv's
own variables says otherwise. Interpreters installed by pyenv are found even where pyenv has not activated
them. ``pip install`` prints what uv is doing, without the list of all packages, and is never silent for long.
"""

from __future__ import annotations

import ast
import contextlib
import os
import subprocess
import sys
import threading
import time
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


def install(command: list[str], environ: Mapping[str, str], *, silence: float = 6.0) -> int:
    """Runs ``uv pip install`` and returns its exit code. Prints a line of its own after `silence` seconds."""
    started = printed = time.monotonic()
    over = threading.Event()

    def say(line: str) -> None:
        nonlocal printed
        printed = time.monotonic()
        print(f"[env] {line}", file=sys.stderr, flush=True)

    def break_silence() -> None:
        while not over.wait(0.5):
            if time.monotonic() - printed >= silence:
                say(f"  still downloading and installing, {time.monotonic() - started:.0f} s")

    threading.Thread(target=break_silence, daemon=True).start()
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as uv:
        assert uv.stderr is not None
        for line in uv.stderr:
            # Not what was installed or replaced, one line for each of some 200 packages.
            if not line.startswith((" + ", " - ", " ~ ", " Downloaded ", "Using Python ")):
                say(f"  {line.strip()}")
    over.set()
    return uv.returncode


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
    command = [str(BIN / "uv"), *sys.argv[1:]]
    if sys.argv[1:3] == ["pip", "install"]:
        sys.exit(install(command, environ))
    os.execve(command[0], command, environ)


if __name__ == "__main__":
    # Ctrl-C is no error of this file, whose stack trace would say so.
    with contextlib.suppress(KeyboardInterrupt):
        main()
    sys.exit(130)
