"""A process that has imported Airflow once and forks its components from itself.

Importing Airflow costs every process five to ten seconds of CPU; four components on two cores pay that as
half a minute. Forked from one warm parent they start at once, and are real processes all the same: each
leads a session of its own, runs the ordinary ``airflow`` command line, and can be killed and started again
by itself.

Commands come in on standard input and are answered on standard output, one JSON object a line. When
standard input ends, which it does however the caller died, everything started here is killed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

PRELOADED = [
    "airflow.__main__",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.db_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.providers_manager",
]


def preload() -> None:
    """Imports what the components import. Nothing here may open the database or start a thread."""
    for name in PRELOADED:
        # A module that another Airflow version does not have is imported by whoever needs its successor.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)


def fork(argv: list[str], log: str, env: dict[str, str], answers: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.close(answers)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        with open(log, "a") as target:
            os.dup2(target.fileno(), 1)
            os.dup2(target.fileno(), 2)
        os.environ.update(env)
        code = run_airflow(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_airflow(argv: list[str]) -> int:
    # The answers to the caller went to a copy of the original standard output; from here on it is the log.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.argv = ["airflow", *argv]
    try:
        if argv == ["initdb"]:
            # `airflow db migrate` replays history; on an empty database the tables are made at once.
            from airflow.utils.db import initdb

            initdb()
        else:
            from airflow.__main__ import main

            main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def reap(exited: dict[int, int]) -> None:
    """Collects the children that ended; negative codes are signals, as in subprocess."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        exited[pid] = os.waitstatus_to_exitcode(status)


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")

    preload()
    answer(ready=True)
    started: set[int] = set()
    exited: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            pid = fork(request["argv"], request["log"], request["env"], answers.fileno())
            started.add(pid)
            answer(pid=pid)
        elif request["do"] == "exited":
            reap(exited)
            answer(exited=exited)
    for pid in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process too; when to stop is for the caller to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
