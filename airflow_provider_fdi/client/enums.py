"""States and kinds, as FDI names them."""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["ExecuteStatus", "TaskStatus", "TaskType"]


def _word(value: Any) -> str:
    """An enum's value in upper case, from any spelling; empty for what is none."""
    if isinstance(value, str):
        return value.strip().upper()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    try:
        return str(int(value))
    except (ValueError, OverflowError):  # not a number, or an integer of thousands of digits
        return ""


class TaskStatus(str, Enum):
    """Whether a task is activated (schedule armed, stream on). Says nothing about a run in progress."""

    STOPPED = "STOPPED"
    RUNNING = "RUNNING"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def from_wire(cls, value: Any) -> TaskStatus:
        """From 0/1, "stop", "stopped", "running", "started", in any case."""
        return _TASK_STATUS.get(_word(value), cls.UNKNOWN)


class ExecuteStatus(str, Enum):
    """State of one run, or of a task's latest run."""

    UNSTARTED = "UNSTARTED"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"

    @property
    def is_active(self) -> bool:
        """In progress: waiting for resources, or running."""
        return self in (ExecuteStatus.WAITING, ExecuteStatus.RUNNING)

    @property
    def is_terminal(self) -> bool:
        """Over, well or not."""
        return self in (ExecuteStatus.SUCCESS, ExecuteStatus.CANCELLED, ExecuteStatus.ERROR)

    @classmethod
    def from_wire(cls, value: Any) -> ExecuteStatus:
        """From any case; absent and unknown values are ``UNKNOWN``."""
        return _EXECUTE_STATUS.get(_word(value), cls.UNKNOWN)


class TaskType(str, Enum):
    """Scheduled (``TIMING``) or continuous (``REALTIME``)."""

    TIMING = "TIMING"
    REALTIME = "REALTIME"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def from_wire(cls, value: Any) -> TaskType:
        """From any case; absent and unknown values are ``UNKNOWN``."""
        return _TASK_TYPE.get(_word(value), cls.UNKNOWN)


_TASK_STATUS = {
    "0": TaskStatus.STOPPED,
    "STOP": TaskStatus.STOPPED,
    "STOPPED": TaskStatus.STOPPED,
    "1": TaskStatus.RUNNING,
    "RUNNING": TaskStatus.RUNNING,
    "START": TaskStatus.RUNNING,
    "STARTED": TaskStatus.RUNNING,
}
_EXECUTE_STATUS = {e.value: e for e in ExecuteStatus}
_EXECUTE_STATUS["CANCELED"] = ExecuteStatus.CANCELLED
_TASK_TYPE = {e.value: e for e in TaskType}
