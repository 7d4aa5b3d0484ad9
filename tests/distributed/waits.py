"""Puts the task instances of a DAG run into the state in which `FdiRunTaskOperator` defers them.

Deferring a thousand of them costs two thousand starts of a worker. Runs in a process of its own, with the
settings of the Airflow whose database it writes to; reads from standard input which runs are waited for.
"""

from __future__ import annotations

import json
import sys
import time

from airflow._shared.timezones import timezone
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from airflow_provider_fdi.emulator import constants
from airflow_provider_fdi.runs.state import RunRecord
from airflow_provider_fdi.runs.waits import RunEnds
from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger


def trigger_for(fdi_task: str, run_id: str, now: int) -> FdiWaitTrigger:
    """What the operator defers with when its run was located."""
    record = RunRecord(
        fdi_task, 0, 1, intent_time=now, deadline=now, accepted=True, run_id=run_id, run_time=now
    )
    return FdiWaitTrigger(
        fdi_conn_id="fdi_default",
        project_id=constants.PROJECT_ID,
        instance_id=constants.INSTANCE_ID,
        waits=[RunEnds(fdi_task, run_id, now).to_json()],
        poll_interval=5,
        poll_failure_timeout=600,
        record=record.to_json(),
        terminate_on_kill=True,
    )


def main() -> None:
    given = json.load(sys.stdin)
    now = int(time.time() * 1000)
    with create_session() as session:
        found = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == given["dag_id"])).all()
        instances = {instance.map_index: instance for instance in found}
        triggers = [Trigger.from_object(trigger_for(*run, now)) for run in given["runs"]]
        session.add_all(triggers)
        session.flush()
        for place, trigger in enumerate(triggers):
            instance = instances[place]
            instance.state = TaskInstanceState.DEFERRED
            instance.trigger_id = trigger.id
            instance.next_method = "execute_complete"
            instance.next_kwargs = {}
            instance.start_date = timezone.utcnow()


if __name__ == "__main__":
    main()
