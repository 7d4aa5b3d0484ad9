"""Many deferred tasks of one DAG: they share one poller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from airflow_provider_fdi.emulator.handle import FdiEmulator
from demo.stack import Stack, wait_until

COUNT = 30
INTERVAL = 1
WATCHED = 10

DAG = """
    from airflow.sdk import DAG
    from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator

    with DAG("many", schedule=None, max_active_tasks={count}):
        FdiRunTaskOperator.partial(
            task_id="run", deferrable=True, poll_interval={interval},
        ).expand(fdi_task_id={tasks!r})
"""


def test_mapped_deferred_tasks_share_one_poller(
    stack: Stack, fdi: FdiEmulator, write_dag: Callable[[str, str], str]
) -> None:
    tasks = fdi.add_tasks(COUNT, script={"hold": True, "rows": 42})
    write_dag("many", DAG.format(count=COUNT, interval=INTERVAL, tasks=tasks))
    run_id = stack.api.trigger("many")

    def all_watched() -> bool:
        rows = stack.api.tasks("many", run_id)
        return [row["state"] for row in rows] == ["deferred"] * COUNT and all(
            r["triggerer_job"] for r in rows
        )

    wait_until(all_watched, 180, "all tasks to be deferred", explain=lambda: stack.api.report("many", run_id))
    seen = len(fdi.journal())
    wait_until(
        lambda: len([row for row in fdi.journal("ListMonitorInfos")]) > 0, 30, "a look at all tasks at once"
    )
    fdi.clear_journal()
    wait_until(lambda: len(fdi.journal("ListMonitorInfos")) >= WATCHED, 60, "looks at all tasks at once")
    waiting = Counter(row["operation"] for row in fdi.journal())
    for task in tasks:
        fdi.release(task)

    assert stack.api.wait_for_run("many", run_id, 180) == "success", stack.api.report("many", run_id)
    print(waiting, Counter(row["operation"] for row in fdi.journal()))
    assert waiting == {"ListMonitorInfos": WATCHED}
    assert all(len(fdi.runs_started(task)) == 1 for task in tasks)
    assert fdi.journal("StopTask") == []
