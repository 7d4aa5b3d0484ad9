"""Imports Airflow once and forks Airflow's components from that process.

Importing Airflow takes each process five to ten seconds of CPU, which is half a minute for four components on
two cores. Forked components start at once and are still real processes: each leads its own session, runs the
ordinary ``airflow`` command line, and can be killed and started again separately.

Reads commands from standard input and answers them on standard output, one JSON object per line. When
standard input ends, which happens even if the caller was killed, everything started here is killed.
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

import psutil

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
    "airflow.providers.celery.cli.celery_command",
    "airflow.providers.celery.executors.celery_executor",
]


def preload() -> None:
    """Imports what the components need. None of it may open the database or start a thread."""
    for name in PRELOADED:
        # Not every Airflow version has all of them.
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
    # Standard output is the log now: the caller's answers go to a copy of the original one.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.argv = ["airflow", *argv]
    try:
        if argv == ["initdb"]:
            # Faster on an empty database than `airflow db migrate`, which runs all migrations.
            from airflow.utils.db import initdb

            initdb()
        else:
            from airflow.__main__ import main

            main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def reap(exited: dict[int, int]) -> None:
    """Records the exit codes of children that have ended; negative codes are signals, as in subprocess."""
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
    # The tasks of a Celery worker lead process groups of their own, in the session of the worker.
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in started:
                os.kill(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process too, but the caller decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
