"""Starting and stopping tasks: arming a schedule, or beginning and ending a stream."""

from __future__ import annotations

from airflow_provider_fdi.emulator.config import Switches
from airflow_provider_fdi.emulator.service.runner import Runner
from airflow_provider_fdi.emulator.service.schedules import Schedules
from airflow_provider_fdi.emulator.service.state import Task


class Activation:
    """Starts and stops tasks."""

    def __init__(self, switches: Switches, runner: Runner, schedules: Schedules) -> None:
        self._switches = switches
        self._runner = runner
        self._schedules = schedules

    def start(self, task: Task) -> str | None:
        """Start a task. The error code if it cannot be started."""
        if task.started:
            return "FDI.3023"
        if not task.is_stream and task.schedule is None:
            return "FDI.3083"
        task.started = True
        task.touch()
        if not task.is_stream:
            self._schedules.arm(task)
        elif task.active is None:
            self._runner.dispatch(task, "start")
        return None

    def stop(self, task: Task) -> str | None:
        """Stop a task. The error code if it cannot be stopped."""
        if not task.started:
            if self._switches.stop_stopped == "ok":
                return None
            return "FDI.3019" if task.is_stream else "FDI.3020"
        task.started = False
        task.touch()
        self._schedules.disarm(task)
        if task.is_stream or self._switches.stop_kills_run:
            self._runner.cancel(task)
        return None
