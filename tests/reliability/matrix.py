"""The machinery of the crash matrix, a program of its own: ``python -m tests.reliability.matrix URL``.

A cell is one point of one try: before or after one HTTP request or one write to the state store, or after the
last of them. Its first try dies there (`os._exit`: no handler, no `finally`), in a process forked from this
one, which has everything imported and no thread but its own: a process with threads must not fork. Another
process then makes the next try, on the same store.

In the frozen modes the first try is stopped there (SIGSTOP) and wakes up when the next try has finished. By
then Airflow has given the task instance a new id, so the state store refuses the first try.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.reliability.tries import Slice, Tries

DEAD = 77
AT_A_TIME = 4


@dataclass(frozen=True)
class Scenario:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    log_delay_ms: int = 0
    earlier_success: bool = False
    answer_lost: bool = False
    busy: bool = False


PLAIN = Scenario("plain", {"start_grace": 0.1})
LATE = Scenario(
    "log late, an earlier success in it",
    {"start_grace": 0.3, "poll_interval": 0.1},
    log_delay_ms=250,
    earlier_success=True,
)
LOST = Scenario("answer of the start lost", {"start_grace": 0.1}, answer_lost=True)
BUSY = Scenario("another's run in progress", {"start_grace": 0.1}, busy=True)

SYNC, NEXT_TRY, RESTARTED = "synchronous", "deferrable", "deferrable, triggerer restarted"
FROZEN_SYNC, FROZEN_DEFERRABLE = "synchronous, frozen and replaced", "deferrable, frozen and replaced"
FROZEN = (FROZEN_SYNC, FROZEN_DEFERRABLE)

MATRIX = [
    *((mode, scenario) for mode in (SYNC, NEXT_TRY) for scenario in (PLAIN, LATE, LOST, BUSY)),
    *((RESTARTED, scenario) for scenario in (PLAIN, LATE)),
    *((mode, scenario) for mode in FROZEN for scenario in (PLAIN, LATE)),
]

STORED_ID = "the run's id"
UNPROTECTED = "before POST run"
"""Frozen here, between the last check of the intent and the request, a try starts a second run when it wakes:
the window that docs/reliability.md names."""


class FileStore:
    """A state store that outlives the process that uses it; as Airflow's, it serves the newest try alone.

    Every access passes two points.
    """

    def __init__(self, path: Path, try_number: int, point: Callable[[str], None]) -> None:
        self._path = path
        self._try = try_number
        self._point = point

    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return kept

    @property
    def _replaced(self) -> bool:
        newest = self._path.with_suffix(".try")
        return newest.exists() and int(newest.read_text()) != self._try

    def begin(self) -> None:
        """From now on the store serves this try."""
        self._path.with_suffix(".try").write_text(str(self._try))

    def get(self, key: str) -> Any:
        self._point("before reading")
        value = None if self._replaced else self.kept().get(key)
        self._point("after reading")
        return value

    def set(self, key: str, value: Any) -> None:
        what = STORED_ID if value.get("run_id") else "the intent"
        self._point(f"before writing {what}")
        if self._replaced:
            raise LookupError("the task instance is not found")
        kept = self.kept()
        kept[key] = value
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._path)
        self._point(f"after writing {what}")


@dataclass
class Fuse:
    """Counts the points that a try passes, and ends or stops the process at one of them."""

    at: int | None
    freezes: bool = False
    slice: str = ""
    passed: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        self.passed.append(f"{self.slice}: {name}")
        if len(self.passed) == self.at:
            if not self.freezes:
                os._exit(DEAD)
            os.kill(os.getpid(), signal.SIGSTOP)


@dataclass(frozen=True)
class Cell:
    mode: str
    scenario: Scenario
    at: int | None = None
    point: str = ""


class Stage:
    """One cell's FDI task, and the files that its processes share."""

    def __init__(self, emulator: FdiEmulator, cell: Cell) -> None:
        self.emulator, self.cell = emulator, cell
        self.folder = Path(tempfile.mkdtemp(prefix="fdi-cell-"))
        scenario = cell.scenario
        self.task = emulator.add_task(
            f"cell-{os.getpid()}-{time.time_ns()}",
            script={"hold": True, "rows": 5, "log_delay_ms": scenario.log_delay_ms},
        )
        if scenario.earlier_success:
            emulator.add_run(self.task)
        if scenario.busy:
            emulator.add_run(self.task, execute_status="RUNNING")
        if scenario.answer_lost:
            emulator.fault("reset_after", operation="RunTask", path_regex=f"{self.task}/run$")

    def path(self, name: str) -> Path:
        return self.folder / name

    def one_try(self, number: int, at: int | None, resume: bool = False) -> None:
        """One try, or what is left of it, in this process."""
        fuse = Fuse(at, freezes=self.cell.mode in FROZEN)
        store = FileStore(self.path("store"), number, fuse.point)
        store.begin()
        polls = self._watch_http(fuse, store)
        tries = Tries(
            self.task,
            "sync" if self.cell.mode in (SYNC, FROZEN_SYNC) else "deferrable",
            store=store,  # type: ignore[arg-type]
            **{"poll_interval": 0.03, **self.cell.scenario.options},
        )
        tries.number = number - 1
        now: Slice | dict[str, Any] = tries.begin()
        if resume:
            now = Slice(**json.loads(self.path("slice").read_text()))
        while isinstance(now, Slice):
            self.path("slice").write_text(json.dumps(asdict(now)))
            fuse.slice = now.kind
            now = tries.step(now)
        fuse.point("before returning")
        self.path("result").write_text(json.dumps({"value": now, "passed": fuse.passed, "polls": polls}))

    def _watch_http(self, fuse: Fuse, store: FileStore) -> list[str]:
        """A point before and after every request.

        Held runs end at the second poll, so that all tries are the same.
        """
        from requests.adapters import HTTPAdapter

        send = HTTPAdapter.send
        polls: list[str] = []

        def sent(self_: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
            path = urlsplit(request.url).path
            what = f"{request.method} {path.rpartition('/')[2]}"
            self._end_what_was_polled_twice(what, store, polls)
            fuse.point(f"before {what}")
            response = send(self_, request, *args, **kwargs)
            fuse.point(f"after {what}")
            return response

        HTTPAdapter.send = sent  # type: ignore[method-assign]
        return polls

    def _end_what_was_polled_twice(self, what: str, store: FileStore, polls: list[str]) -> None:
        record = store.kept().get("fdi_run") or {}
        ours = record.get("run_id")
        if what == "GET monitor-logs" and ours:
            polls.append(ours)
            if polls.count(ours) == 2:
                self.emulator.release(self.task, "SUCCESS")
        if what == "GET tasks" and not record:
            polls.append("another's")
            if polls.count("another's") == 2 and self.cell.scenario.busy:
                self.emulator.release(self.task, "SUCCESS")

    def outcome(self) -> dict[str, Any]:
        """Try after try until one has finished, and what came of them."""
        pid, stopped, code = self._first_try()
        died = stopped or code == DEAD
        error = ""
        if died:
            # A triggerer that comes back goes on with the same try; otherwise the next try begins.
            resume = self.cell.mode == RESTARTED and self._slice() == "trigger"
            try:
                self.one_try(1 if resume else 2, None, resume)
            except BaseException:
                error = traceback.format_exc()
        result = json.loads(self.path("result").read_text()) if self.path("result").exists() else {}
        if stopped:
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)
        started = self.emulator.runs_started(self.task, "manual")
        value = result.get("value") or {}
        run_ids = [run["run_id"] for run in started]
        kept = value.get("status") == "SUCCESS" and value.get("fdi_run_id") in run_ids
        return {
            "died": died,
            "runs": len(started),
            "kept": kept,
            "error": error[-1500:],
            "passed": result.get("passed") or [],
        }

    def _slice(self) -> str:
        return str(json.loads(self.path("slice").read_text())["kind"])

    def _first_try(self) -> tuple[int, bool, int | None]:
        """Its process, whether it has stopped, and its exit code if it has ended."""
        pid = os.fork()
        if pid == 0:
            try:
                self.one_try(1, self.cell.at)
            finally:
                os._exit(0)
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            return pid, True, None
        return pid, False, os.waitstatus_to_exitcode(status)

    def clean(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


def play(emulator: FdiEmulator, cells: list[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """The outcome of every cell, each in a process of its own, a few at a time."""
    waiting = list(reversed(cells))
    running: dict[int, tuple[int, Cell]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < AT_A_TIME:
                cell = waiting.pop()
                reader, pid = _fork_cell(emulator, cell)
                running[reader] = pid, cell
            ready = select.select(list(running), [], [], 30)[0]
            assert ready, f"hanging: {[cell for _, cell in running.values()]}"
            for reader in ready:
                pid, cell = running.pop(reader)
                with os.fdopen(reader) as pipe:
                    text = pipe.read()
                os.waitpid(pid, 0)
                yield cell, json.loads(text)
    finally:
        for pid, _ in running.values():
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork_cell(emulator: FdiEmulator, cell: Cell) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    answer: dict[str, Any] = {"died": False, "runs": -1, "kept": False, "error": "the cell itself broke"}
    try:
        os.setsid()
        gc.disable()
        logging.disable()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        stage = Stage(emulator, cell)
        answer = stage.outcome()
        stage.clean()
    except BaseException:
        answer["error"] = traceback.format_exc()
    finally:
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)


def _can_start_another(passed: list[str], n: int) -> bool:
    """Whether a try that is frozen at its n-th point has its start, or what it knows of it, before it."""
    before = passed[: n - 1]
    return not passed[n - 1].endswith(UNPROTECTED) and not any(p.endswith(STORED_ID) for p in before)


def table(outcomes: list[tuple[Cell, dict[str, Any]]]) -> list[str]:
    lines = ["| mode | scenario | cells | duplicates | losses |", "|---|---|---|---|---|"]
    for mode, scenario in MATRIX:
        those = [o for cell, o in outcomes if (cell.mode, cell.scenario) == (mode, scenario)]
        lines.append(
            f"| {mode} | {scenario.name} | {len(those)} | {sum(o['runs'] > 1 for o in those)}"
            f" | {sum(not o['kept'] for o in those)} |"
        )
    everything = [o for _, o in outcomes]
    lines.append(
        f"| all | | {len(everything)} | {sum(o['runs'] > 1 for o in everything)}"
        f" | {sum(not o['kept'] for o in everything)} |"
    )
    return lines


def main(url: str) -> None:
    """Play every cell against the emulator at ``url``; the last line of the output is the result, as JSON."""
    from airflow_provider_fdi.client import transport
    from airflow_provider_fdi.operators import execution
    from airflow_provider_fdi.runs import start, stop

    start.UNSENT_BACKOFF = replace(start.UNSENT_BACKOFF, base=0.05)
    stop.BACKOFF = replace(stop.BACKOFF, base=0.1)
    # So that a late log is waited for in the triggerer too.
    execution.LOCATE_IN_WORKER = 0.1
    vars(transport)["_uniform"] = lambda low, high: min(high, 0.05)
    emulator = FdiEmulator(url)
    # What a try imports is imported here, once. No trigger is run: it would start threads.
    importlib.import_module("airflow_provider_fdi.triggers.fdi")
    Tries(emulator.add_task(script={"duration_ms": 50}), "sync").run()
    # A collection in a child would copy every page it touches.
    gc.collect()
    gc.freeze()
    cells: list[Cell] = []
    for dry, outcome in play(emulator, [Cell(mode, scenario) for mode, scenario in MATRIX]):
        assert outcome["kept"] and outcome["runs"] == 1, (dry, outcome)
        cells += [
            replace(dry, at=n, point=point)
            for n, point in enumerate(outcome["passed"], 1)
            if (dry.mode != RESTARTED or point.startswith("trigger"))
            and (dry.mode not in FROZEN or _can_start_another(outcome["passed"], n))
        ]
    played = list(play(emulator, cells))
    # How often a late log is polled varies a little; a point that was not reached is not a cell.
    died = [(cell, outcome) for cell, outcome in played if outcome["died"]]

    def name(cell: Cell) -> str:
        return f"{cell.mode}, {cell.scenario.name}, {cell.at} {cell.point}"

    result = {
        "cells": len(died),
        "table": table(died),
        "wrong": [f"{name(c)}: {o}" for c, o in played if o["runs"] != 1 or not o["kept"]],
        "unreached": [name(c) for c, o in played if not o["died"] and c.scenario != LATE],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
