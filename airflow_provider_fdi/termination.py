"""Decides whether a run is terminated when Airflow ends the task's process or the trigger that waits for it.

Airflow calls ``on_kill`` for many reasons and does not say which: a user marked or cleared the task, but also
a lost heartbeat, a newer try, a drained worker. A run is terminated only if a user wanted that; if the reason
cannot be found out, the run goes on.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

from airflow_provider_fdi.clock import boot_time
from airflow_provider_fdi.compat import AirflowTaskTimeout, heartbeat_timeout, task_instance_state

log = logging.getLogger(__name__)

STATE_TIMEOUT = 1.5
"""Seconds to wait for Airflow's answer; all of ``on_kill`` has 5 s before Airflow sends SIGKILL."""

ENDED_BY_USER = frozenset({"restarting", "success", "skipped"})
"""States of a task instance whose running try was ended by a user or by the DAG run's timeout: ``restarting``
means cleared. Every other end of a process leads to ``up_for_retry`` or ``failed``, or leaves ``running``."""

ENDED_BY_USER_WHILE_DEFERRED = frozenset({"none", "failed", "success", "skipped"})
"""The same for a deferred one: ``none`` means cleared, and there is no heartbeat whose loss could lead to
``failed``. In any other state another triggerer has taken over, or the task was resumed."""

CLEARED_OR_RESUMED = frozenset({"scheduled", "queued"})


def user_ended_running_task(state: str | None, silent_for: float, timeout: float) -> bool:
    """Whether a user ended a task instance whose process is killed while it runs.

    :param state: the task instance's state; None: Airflow did not answer.
    :param silent_for: seconds since Airflow last confirmed that the task instance is running.
    :param timeout: Airflow's heartbeat timeout, in seconds.
    """
    if state == "failed":
        # A heartbeat timeout leads here too, if no retry is left, or if a newer try has lost its heartbeat.
        # It cannot be the reason if Airflow confirmed this try more recently.
        return silent_for < timeout / 2
    return state in ENDED_BY_USER


def user_ended_deferred_task(state: str | None, *, waited_for_end: bool) -> bool:
    """Whether a user ended a task instance whose trigger is cancelled.

    :param waited_for_end: the trigger waited for the end of a run. A scheduler is often quicker than the
        triggerer: a cleared task is then scheduled again. So is one that another triggerer has resumed, but
        then the run is over, and there is nothing to terminate.
    """
    return state in ENDED_BY_USER_WHILE_DEFERRED or (waited_for_end and state in CLEARED_OR_RESUMED)


def execution_timeout_is_over() -> bool:
    """Whether ``on_kill`` is called because of the task's ``execution_timeout``: Airflow calls it while it
    handles that exception."""
    return isinstance(sys.exc_info()[1], AirflowTaskTimeout)


def ask_state(task_instance: Any, timeout: float = STATE_TIMEOUT) -> str | None:
    """The state of the task instance, or None if Airflow does not answer in ``timeout`` seconds.

    Asks in a thread: the interrupted main thread may hold the lock of the connection to the supervisor, and
    the supervisor may be busy trying to reach the API server.
    """
    answer: list[str | None] = []

    def ask() -> None:
        try:
            answer.append(task_instance_state(task_instance))
        except Exception:
            # Any error means that there is no answer.
            log.warning("Airflow did not return the state of the task instance", exc_info=True)

    thread = threading.Thread(target=ask, name="fdi-task-state", daemon=True)
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else None


class Contact:
    """Keeps track of when Airflow last confirmed that the task instance of this process is running."""

    def __init__(self, task_instance: Any) -> None:
        self.task_instance = task_instance
        self.timeout = heartbeat_timeout()
        self._confirmed_at = boot_time()

    @property
    def silent_for(self) -> float:
        """Seconds since the last confirmation; the start of the try is one."""
        return boot_time() - self._confirmed_at

    def sleep(self, seconds: float) -> None:
        """Sleep, and ask Airflow whenever a quarter of its heartbeat timeout has passed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, self.timeout / 4))
            self.refresh()

    def refresh(self) -> None:
        """Ask Airflow, unless it has confirmed lately."""
        if self.silent_for >= self.timeout / 4 and ask_state(self.task_instance) == "running":
            self._confirmed_at = boot_time()
