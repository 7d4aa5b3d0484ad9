"""Makes the virtual environment that everything here runs in.

    python tools/bootstrap.py --venv .venv --airflow 3.3.2

Needs nothing but Python >= 3.10 with ``venv`` and ``ensurepip``. Makes the environment, installs uv into it
with pip, and with uv Airflow and this project with its development tools. A second call with nothing changed
returns at once; a changed pyproject.toml or constraints file, another Airflow, another Python or a moved
checkout leads to a new installation. pip's own settings (PIP_* variables and pip.conf) hold for uv too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

UV = "uv==0.13.9"

# The Airflow that the committed constraints were resolved for.
LOCKED_AIRFLOW = "3.3.2"
LOCKFILE = ROOT / "tools" / "constraints-3.3.txt"

# Other versions are resolved as of a day on which they worked: later releases of what they depend on install
# without complaint and then fail every task (3.0.6, 3.2.0 and 3.2.2 do so today). Longest prefix wins.
CUTOFFS = {
    "2.11": "2026-11-15",
    "3.0": "2025-09-05",
    "3.1": "2026-11-15",
    "3.2": "2026-06-15",
    "3.2.0": "2026-04-20",
    "3.3": "2026-11-15",
}


class BootstrapError(Exception):
    """The environment could not be made; the message says what to do."""


def say(text: str) -> None:
    print(f"[env] {text}", flush=True)


def cutoff_for(airflow: str) -> str | None:
    matches = [prefix for prefix in CUTOFFS if airflow == prefix or airflow.startswith(prefix + ".")]
    return CUTOFFS[max(matches, key=len)] if matches else None


def fingerprint(args: argparse.Namespace) -> str:
    """Changes whenever the environment has to be made anew."""
    digest = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", LOCKFILE, Path(__file__)):
        digest.update(path.read_bytes() if path.exists() else b"-")
        digest.update(b"\0")
    facts = [
        args.airflow,
        args.exclude_newer,
        args.extras,
        sys.version,
        os.path.realpath(sys.executable),
        str(ROOT),
    ]
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def run(command: list[str], *, env: dict[str, str] | None = None) -> None:
    result = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if result.returncode:
        raise BootstrapError(f"this command failed (exit {result.returncode}): {' '.join(command)}")


def make_venv(venv: Path) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - says so in a sentence when called with an older one
        raise BootstrapError(
            f"Python 3.10 or newer is needed, {sys.executable} is {sys.version.split()[0]}. "
            "Name another with: make PYTHON=/path/to/python3"
        )
    try:
        import ensurepip  # noqa: F401
        import venv as _venv  # noqa: F401
    except ImportError:
        raise BootstrapError(
            f"{sys.executable} cannot make virtual environments: it lacks the module ensurepip. Install it "
            "(Debian and Ubuntu: apt-get install python3-venv), or name another: make PYTHON=/path/to/python3"
        ) from None
    if venv.exists():
        if _version_of(python_of(venv)) == sys.version:
            return
        say(f"{venv.name} is for another Python: making it anew")
        shutil.rmtree(venv)
    say(f"virtual environment {venv.name} with Python {sys.version.split()[0]}")
    run([sys.executable, "-m", "venv", str(venv)])


def _version_of(python: Path) -> str | None:
    if not python.exists():
        return None
    command = [str(python), "-c", "import sys; print(sys.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def install_uv(venv: Path) -> Path:
    python = str(python_of(venv))
    has_pip = (
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    )
    if not has_pip:
        run([python, "-m", "ensurepip", "--default-pip"])
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])
    return venv / "bin" / "uv"


def pip_settings(venv: Path) -> dict[str, str]:
    """What pip was told by its files and PIP_* variables: option name -> value, variables last (they win)."""
    listing = subprocess.run(
        [str(python_of(venv)), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    ranked: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        if rank is None or rank < ranked.get(option, (0, ""))[0]:
            continue
        ranked[option] = (rank, value.strip().strip("'\""))
    return {option: value for option, (_, value) in ranked.items()}


def uv_environment(venv: Path) -> dict[str, str]:
    """The environment for uv: the caller's, and pip's settings where uv has not been told otherwise."""
    env = dict(os.environ)
    env.pop("VIRTUAL_ENV", None)
    env.setdefault("UV_NO_PROGRESS", "1")
    # A checkout and a cache on different file systems are no reason for a warning.
    env.setdefault("UV_LINK_MODE", "copy" if _another_device(venv, env) else "hardlink")
    settings = pip_settings(venv)

    def pass_on(option: str, variable: str, separator: str | None = None) -> None:
        if value := settings.get(option):
            words = value.replace("\\n", " ").split()
            env.setdefault(variable, separator.join(words) if separator else value)

    if not any(name in env for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        pass_on("index-url", "UV_DEFAULT_INDEX")
    if not any(name in env for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL")) and "extra-index-url" in settings:
        pass_on("extra-index-url", "UV_INDEX", " ")
        # pip takes the best version from whichever index has it; so shall uv where pip's indexes are used.
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    pass_on("find-links", "UV_FIND_LINKS", ",")
    pass_on("trusted-host", "UV_INSECURE_HOST", " ")
    pass_on("cert", "SSL_CERT_FILE")
    pass_on("default-timeout", "UV_HTTP_TIMEOUT")
    pass_on("timeout", "UV_HTTP_TIMEOUT")
    return env


def _another_device(venv: Path, env: dict[str, str]) -> bool:
    cache = Path(
        env.get("UV_CACHE_DIR") or env.get("XDG_CACHE_HOME") or Path(env.get("HOME", "/")) / ".cache"
    )
    while not cache.exists():
        cache = cache.parent
    return cache.stat().st_dev != venv.stat().st_dev


def install(args: argparse.Namespace, venv: Path, uv: Path) -> None:
    command = [str(uv), "pip", "install", "--python", str(python_of(venv)), "--quiet"]
    if args.airflow == LOCKED_AIRFLOW and LOCKFILE.exists():
        how = f"versions of {LOCKFILE.relative_to(ROOT)}"
        command += ["--constraints", str(LOCKFILE), "--build-constraints", str(LOCKFILE)]
    else:
        cutoff = cutoff_for(args.airflow) if args.exclude_newer is None else args.exclude_newer
        how = f"releases up to {cutoff}" if cutoff else "newest releases"
        if cutoff:
            command += ["--exclude-newer", cutoff]
    say(f"Airflow {args.airflow} and this project [{args.extras}], {how}")
    command += [f"apache-airflow=={args.airflow}", "--editable", f".[{args.extras}]"]
    run(command, env=uv_environment(venv))
    # As pip does on installing: DAG files import this package again and again.
    run([str(python_of(venv)), "-m", "compileall", "-q", "airflow_provider_fdi"])


def lock(venv: Path, uv: Path) -> None:
    """Resolves the default environment anew, for every supported Python at once."""
    wanted = venv / "lock-input.txt"
    wanted.write_text(f"apache-airflow=={LOCKED_AIRFLOW}\n")
    command = [str(uv), "pip", "compile", "--quiet", "--upgrade", "pyproject.toml", str(wanted)]
    command += ["--extra", "dev", "--universal", "--python-version", "3.10", "--no-annotate", "--no-header"]
    command += ["--no-emit-package", "airflow-provider-fdi", "--output-file", str(LOCKFILE)]
    run(command, env=uv_environment(venv))
    text = LOCKFILE.read_text()
    heading = f"# The development environment as resolved for Airflow {LOCKED_AIRFLOW}. Made by `make lock`."
    LOCKFILE.write_text(f"{heading}\n{text}")
    say(f"{LOCKFILE.relative_to(ROOT)}: {sum(not line.startswith('#') for line in text.splitlines())} lines")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where to make it")
    parser.add_argument("--airflow", default=LOCKED_AIRFLOW, help="version of apache-airflow")
    parser.add_argument("--extras", default="dev", help="extras of this project to install")
    parser.add_argument(
        "--exclude-newer",
        metavar="DATE",
        help="resolve as of this day (empty: as of today) instead of the known one",
    )
    parser.add_argument("--lock", action="store_true", help="resolve the constraints file anew, then install")
    args = parser.parse_args()

    venv = args.venv if args.venv.is_absolute() else ROOT / args.venv
    stamp = venv / "bootstrap.json"
    wanted = fingerprint(args)
    if not args.lock and stamp.exists() and json.loads(stamp.read_text()).get("fingerprint") == wanted:
        return 0

    started = time.monotonic()
    try:
        make_venv(venv)
        stamp.unlink(missing_ok=True)
        uv = install_uv(venv)
        if args.lock:
            lock(venv, uv)
            wanted = fingerprint(args)
        install(args, venv, uv)
    except BootstrapError as error:
        print(f"[env] {error}", file=sys.stderr)
        return 1
    stamp.write_text(json.dumps({"fingerprint": wanted, "airflow": args.airflow}) + "\n")
    say(f"ready after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
