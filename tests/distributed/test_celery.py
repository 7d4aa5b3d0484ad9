"""Airflow on Celery: how soon a task ends after its run, a lost triggerer, a round of all kinds of faults."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from demo.airflow_api import wait_until
from tests.distributed.cluster import TRIGGERERS, Cluster
from tests.distributed.faults import draw
from tests.distributed.outcome import Load, percentile, table

DAG = """
    import datetime
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    retries = dict(retries=10, retry_delay=datetime.timedelta(seconds=10))

    with DAG({dag_id!r}, schedule=None, default_args=retries):
        for group, (arguments, fdi_tasks) in {groups!r}.items():
            FdiRunTaskOperator.partial(task_id=group, **arguments).expand(fdi_task_id=fdi_tasks)
"""

LONGEST = 780
"""Seconds after which a test gives up waiting, on a machine that has other things to do."""

Groups = Mapping[str, Mapping[str, Any]]


def make_loads(cluster: Cluster, loads: Mapping[str, list[tuple[int, bool]]]) -> list[Load]:
    """FDI tasks by group: how long the runs of each last, and whether the first one fails."""
    made = []
    for group, scripts in loads.items():
        fdi_tasks = cluster.fdi.add_tasks(len(scripts), f"{group}-")
        for fdi_task, (duration_ms, fails_first) in zip(fdi_tasks, scripts, strict=True):
            load = Load(group, fdi_task, duration_ms, fails_first)
            cluster.fdi.script(fdi_task, *load.script)
            made.append(load)
    return made


def start(cluster: Cluster, dag_id: str, groups: Groups, loads: list[Load]) -> None:
    """Start the one run of a DAG that has a mapped task for each group."""
    tasks = {
        group: (arguments, [load.fdi_task for load in loads if load.group == group])
        for group, arguments in groups.items()
    }
    cluster.trigger(dag_id, DAG.format(dag_id=dag_id, groups=tasks))


def test_a_task_ends_soon_after_its_run(cluster: Cluster, report: Callable[[str], None]) -> None:
    interval = 6
    groups = {
        "synchronous": {"deferrable": False, "poll_interval": interval, "max_active_tis_per_dag": 6},
        "deferrable": {"deferrable": True, "poll_interval": interval},
    }
    loads = make_loads(
        cluster,
        {
            "synchronous": [(8_000 + 500 * n, False) for n in range(12)],
            "deferrable": [(25_000 + 1_500 * n, False) for n in range(24)],
        },
    )

    start(cluster, "undisturbed", groups, loads)
    cluster.suffer([], over=lambda: cluster.ended("undisturbed"), timeout=LONGEST)

    results = cluster.results("undisturbed", loads)
    text = table(f"Seconds from a run's end to its task's success, poll_interval={interval}", results)
    report(text)
    assert not [result for result in results if result.wrong], text
    assert percentile((r.seconds for r in results if r.seconds is not None), 50) <= interval / 2 + 5, text


WAITS = 1000
NOTHING_RUNS = """
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG("waits", schedule=None):
        # A pool without slots: what is resumed stays scheduled, and starts no worker.
        FdiRunTaskOperator.partial(task_id="wait", pool="closed").expand(fdi_task_id={fdi_tasks!r})
"""


def test_the_waits_of_a_killed_triggerer_end_exactly_once(
    cluster: Cluster, report: Callable[[str], None]
) -> None:
    fdi, api = cluster.fdi, cluster.stack.api
    fdi_tasks = fdi.add_tasks(WAITS, "wait-", script={"hold": True})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda task: fdi.request("POST", f"tasks/{task}/run"), fdi_tasks))
    runs = {task: row["accepted"][0]["run_id"] for task, row in fdi.control("GET", "runs-started").items()}
    api.request("POST", "/pools", {"name": "closed", "slots": 0})
    cluster.trigger("waits", NOTHING_RUNS.format(fdi_tasks=fdi_tasks))

    def count(state: str) -> int:
        statement = "SELECT count(*) FROM task_instance WHERE dag_id = 'waits' AND state = :state"
        return int(cluster.sql(statement, state=state)[0][0])

    def held() -> dict[int, int]:
        rows = cluster.sql(
            "SELECT triggerer_id, count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}

    wait_until(lambda: count("scheduled") == WAITS, LONGEST, "all task instances to be scheduled")
    defer(cluster, "waits", [(task, runs[task]) for task in fdi_tasks])
    wait_until(
        lambda: sum(held().values()) == WAITS and len(held()) == 2,
        LONGEST,
        "two triggerers to share all waits",
    )
    before = held()

    began = time.monotonic()
    cluster.stack.kill(TRIGGERERS[1])
    wait_until(
        lambda: max(held().values()) == WAITS,
        LONGEST,
        "one triggerer to hold all waits",
        explain=lambda: str(held()),
    )
    taken_over = time.monotonic() - began
    cluster.fdi.clear_journal()
    quiet = 20
    time.sleep(quiet)
    requests = fdi.journal_counts()
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fdi.release, fdi_tasks))
    released = time.monotonic() - began
    wait_until(lambda: count("scheduled") == WAITS, LONGEST, "all waits to be over")
    over = time.monotonic() - began
    # What was resumed stays as it is, and costs the scheduler nothing.
    api.request("PATCH", "/dags/waits", {"is_paused": True})

    # The logs may be some seconds behind.
    wait_until(lambda: len(events(cluster, "waits")) == WAITS, LONGEST, "all events to be logged", interval=2)
    fired = events(cluster, "waits")
    report(
        f"{WAITS} waits on two triggerers ({' and '.join(map(str, before.values()))}), one killed:"
        f" all with the other after {taken_over:.0f} s;"
        f" {sum(requests.values())} requests in the next {quiet} s {requests};"
        f" all runs ended within {released:.0f} s, all waits were over {over:.0f} s after the first"
    )
    assert fired == dict.fromkeys(range(WAITS), 1)
    assert len(fdi.journal("StopTask")) == 0
    # Shared: each wait alone would have asked once in each interval.
    assert sum(requests.values()) < WAITS / 10


def events(cluster: Cluster, dag_id: str) -> Counter[int]:
    """How many events were fired for each map index, by the logs of the triggers and of the triggerers.

    A triggerer writes a line to its own log where it has closed the log of the trigger already.
    """
    home, words = cluster.stack.home, "Trigger fired event"
    logs = [home / "components" / f"{name}.log" for name in TRIGGERERS]
    logs += (home / "logs" / f"dag_id={dag_id}").rglob("*.trigger.*.log")
    lines = [line for log in logs for line in log.read_text().splitlines() if words in line]
    # The name of a trigger: DAG, run, task, map index, try.
    return Counter(int(m[1]) for line in lines if (m := re.search(rf"{dag_id}/[^/]+/\w+/(\d+)/\d+ ", line)))


def defer(cluster: Cluster, dag_id: str, runs: list[tuple[str, str]]) -> None:
    """Put the task instances of a DAG run into the state in which their operator defers them."""
    stack = cluster.stack
    subprocess.run(
        [sys.executable, "-m", "tests.distributed.waits"],
        env={**stack.base_env, **stack.extra_env},
        input=json.dumps({"dag_id": dag_id, "runs": runs}),
        text=True,
        check=True,
        timeout=120,
    )


ROUND = {"poll_interval": 2, "start_grace": 40}
GROUPS: Groups = {
    "synchronous": {**ROUND, "deferrable": False, "max_active_tis_per_dag": 4},
    "synchronous_login": {
        **ROUND,
        "deferrable": False,
        "max_active_tis_per_dag": 3,
        "fdi_conn_id": "fdi_password",
    },
    "deferrable": {**ROUND, "deferrable": True, "max_active_tis_per_dag": 12},
    "deferrable_login": {
        **ROUND,
        "deferrable": True,
        "max_active_tis_per_dag": 6,
        "fdi_conn_id": "fdi_password",
    },
}


def test_a_round_of_faults_leads_to_one_run_each(
    cluster: Cluster, report: Callable[[str], None], seed: int
) -> None:
    rng = random.Random(seed)

    def some(number: int, shortest: int, longest: int) -> list[tuple[int, bool]]:
        return [(rng.randint(shortest, longest) * 1000, n % 10 == 3) for n in range(number)]

    loads = make_loads(
        cluster,
        {
            "synchronous": some(32, 3, 15),
            "synchronous_login": some(24, 3, 15),
            "deferrable": some(32, 8, 30),
            "deferrable_login": some(16, 8, 30),
        },
    )
    faults = draw(seed)
    dag_id = f"round_{seed}"
    began = time.monotonic()

    start(cluster, dag_id, GROUPS, loads)
    cluster.suffer(faults, over=lambda: cluster.ended(dag_id), timeout=LONGEST)

    took = time.monotonic() - began
    cluster.restore()
    results = cluster.results(dag_id, loads)
    plan = "\n".join(str(fault) for fault in faults if fault.what != "request")
    struck = sum(fault["struck"] for fault in cluster.fdi.faults())
    text = table(f"Seed {seed}: {len(faults)} faults ({struck} requests struck), {took:.0f} s", results)
    report(text)
    assert not [result for result in results if result.wrong], f"{text}\n\n{plan}"
