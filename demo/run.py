"""``make demo``: runs the example DAG `fdi_batch_pipeline` on a real Airflow, over real data.

Starts a local FDI service over two SQLite databases, a whole Airflow, and the DAG, which copies 336,776
flights from an operational database into a warehouse. Prints the steps of Airflow and of FDI and a table of
the results, and ends all processes. Exits 0 only if the DAG succeeded and the warehouse holds exactly the
same flights.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

from airflow_provider_fdi.client import FdiClient, StaticTokenAuth
from airflow_provider_fdi.client.models import Run
from airflow_provider_fdi.emulator.handle import EmulatorError
from airflow_provider_fdi.runs.report import StepReporter
from demo import flights
from demo.airflow_api import FINISHED_RUN, StackError
from demo.narrator import Narrator, interrupt_once
from demo.scene import EXAMPLE_DAGS, ROOT, Scene

FOLDER = ROOT / ".demo" / "demo"


class Failed(Exception):
    """The demo ran, and its result is wrong."""


def follow(scene: Scene, dag_id: str, run_id: str, say: Narrator, timeout: float) -> str:
    """Prints every change of a task's state and every step of FDI; returns the DAG run's final state."""
    assert scene.stack is not None
    api = scene.stack.api
    printed: dict[tuple[str, int], str] = {}
    deadline = time.monotonic() + timeout
    with service(scene) as client:
        steps = ServiceLog(client, say)
        while True:
            scene.stack.check_alive()
            # Before the rest, so that the last changes and steps are printed before the run ends.
            state = str(api.run(dag_id, run_id)["state"])
            for task in sorted(api.tasks(dag_id, run_id), key=lambda t: t["start_date"] or "~"):
                key = (task["task_id"], task["map_index"])
                if task["state"] in (None, "scheduled", "queued") or printed.get(key) == task["state"]:
                    continue
                printed[key] = task["state"]
                name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"
                again = f" (try {task['try_number']})" if task["try_number"] > 1 else ""
                say(f"  {name}: {STATES.get(task['state'], task['state'])}{again}")
            steps.print_new()
            if state in FINISHED_RUN:
                return state
            if time.monotonic() > deadline:
                raise StackError(
                    f"{dag_id} did not end within {timeout:.0f} s:\n{api.report(dag_id, run_id)}"
                )
            time.sleep(0.3)


# What a state means, where Airflow's word for it does not say so.
STATES = {"deferred": "deferred (the triggerer waits for FDI, no worker is busy)"}


def service(scene: Scene) -> FdiClient:
    """Returns a client of the demo's FDI service."""
    fdi = scene.emulator
    assert fdi is not None
    return FdiClient(fdi.url, fdi.project_id, fdi.instance_id, StaticTokenAuth(fdi.token), allow_http=True)


class ServiceLog:
    """Prints what the FDI service's own log says of its runs: each step once, and the rows moved so far."""

    def __init__(self, client: FdiClient, say: Narrator) -> None:
        self._client, self._say = client, say
        self._reporters: dict[str, StepReporter] = {}
        self._rows: dict[str, int] = {}

    def print_new(self) -> None:
        for task in self._client.list_tasks():
            for run in self._client.list_runs(task.task_id):
                reporter = self._reporters.setdefault(
                    run.run_id, StepReporter(lambda _level, line: self._say(f"    FDI: {line}"), run.run_id)
                )
                reporter.report_run(run)
                self._print_progress(run)

    def _print_progress(self, run: Run) -> None:
        rows = run.rows or 0
        if not run.execute_status.is_terminal and rows - self._rows.get(run.run_id, 0) >= 100_000:
            self._rows[run.run_id] = rows
            self._say(f"    FDI: {rows:,} rows so far")


def service_runs(client: FdiClient) -> list[dict[str, Any]]:
    """Returns all runs in the FDI service's own log."""
    found = []
    for task in client.list_tasks():
        for run in client.list_runs(task.task_id):
            steps = client.get_run_steps(task.task_id, run.run_id).steps
            read = max((step.rows or 0 for step in steps if step.position == "READER"), default=0)
            found.append({"task": task.task_name, "run": run, "read": read})
    return found


def table(rows: list[tuple[str, str]]) -> str:
    wide = max(len(name) for name, _ in rows)
    long = max(len(value) for _, value in rows)
    line = f"+-{'-' * wide}-+-{'-' * long}-+"
    return "\n".join([line, *(f"| {name:<{wide}} | {value:>{long}} |" for name, value in rows), line])


def number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def demo(scene: Scene, dag_id: str, say: Narrator, timeout: float) -> None:
    scene.start(say)
    assert scene.stack is not None
    api = scene.stack.api
    run_id = api.trigger(dag_id)
    say(f"DAG {dag_id}: started ({run_id})")
    state = follow(scene, dag_id, run_id, say, timeout)
    say(f"DAG {dag_id}: {state}")
    if state != "success":
        raise Failed(f"The DAG run ended as {state}:\n{api.report(dag_id, run_id)}")

    say("comparing the two databases")
    with service(scene) as client:
        runs = service_runs(client)
    if len(runs) != 1:
        raise Failed(
            f"Expected one run in the service's log, found: {[(r['task'], r['run'].run_id) for r in runs]}"
        )
    run, read = runs[0]["run"], runs[0]["read"]
    source_rows = flights.count(scene.operational, flights.SOURCE_TABLE)
    target_rows = flights.count(scene.warehouse, flights.TARGET_TABLE)
    different = flights.differences(scene.operational, scene.warehouse)
    print()
    print(
        table(
            [
                ("FDI task", runs[0]["task"]),
                ("run", run.run_id),
                ("status", run.execute_status.value),
                ("rows read", number(read)),
                ("rows written", number(run.rows)),
                ("rows dirty", number(run.dirty_rows)),
                ("bytes", number(run.bytes)),
                ("duration", "-" if run.spend_time is None else f"{run.spend_time / 1000:.1f} s"),
                (f"SQL: rows in {flights.SOURCE_TABLE} (operational)", number(source_rows)),
                (f"SQL: rows in {flights.TARGET_TABLE} (warehouse)", number(target_rows)),
                ("SQL: flights in only one of them", number(different)),
            ]
        ),
        flush=True,
    )
    print()
    if not target_rows == source_rows == run.rows == flights.FLIGHTS or different or run.dirty_rows:
        raise Failed("The warehouse does not hold exactly the flights of the operational database.")


def what_next(dag: Path) -> str:
    rows = [
        ("make ui", "Airflow's UI with this DAG and five more, until Ctrl-C"),
        (_short(dag), "the DAG that has just run"),
        (f"{_short(FOLDER)}/", "its two databases, and Airflow's logs"),
        ("docs/getting-started.md", "a first DAG of your own, in an Airflow of your own"),
        ("docs/connection.md", "connecting to the real service"),
    ]
    return "\nWhat next?\n" + "\n".join(f"  {name:<36} {words}" for name, words in rows)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--airflow-port", type=int, help="port of Airflow's UI and API (default: a free one)")
    parser.add_argument(
        "--emulator-port", type=int, default=0, help="port of the FDI emulator (default: a free one)"
    )
    parser.add_argument("--dag", default="fdi_batch_pipeline", help="the DAG to run")
    parser.add_argument("--dags", type=Path, default=EXAMPLE_DAGS, help="the DAG folder")
    parser.add_argument("--timeout", type=float, default=150, help="seconds until the DAG must have ended")
    args = parser.parse_args()

    # A terminated demo ends its processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, interrupt_once)
    scene = Scene(FOLDER, dags=args.dags, airflow_port=args.airflow_port, emulator_port=args.emulator_port)
    outcome, words = 1, "THE DEMO FAILED"
    with Narrator() as say:
        try:
            demo(scene, args.dag, say, args.timeout)
            outcome, words = 0, "the demo succeeded"
        except (Failed, StackError, EmulatorError, flights.DataError) as error:
            print(f"\n{error}\n", file=sys.stderr, flush=True)
            if scene.stack is not None:
                print(f"Logs and databases are in {FOLDER.relative_to(ROOT)}/", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print()
            outcome, words = 130, "interrupted"
        finally:
            say("ending all processes")
            scene.stop()
        say(f"all processes ended; {words}")
    if outcome == 0:
        print(what_next(args.dags / f"{args.dag}.py"), flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
