"""What a task instance remembers across tries, so that a crash neither loses nor repeats what was begun.

:class:`TryState` reads and writes three kinds of record, each under a key of its own in Airflow's task state
store (Airflow >= 3.3): :class:`RunRecord`, :class:`CreateRecord` and :class:`BatchRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from airflow_provider_fdi.client.errors import task_label

RUN_KEY = "fdi_run"
BATCH_KEY = "fdi_batch"
"""Keys of the records in the task instance's state store; a ``CreateRecord`` names its own."""


class Store(Protocol):
    """The part of Airflow's ``task_state_store`` that is used here."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One start of a run, from intent to verdict. All times are the server's, in ms since the epoch."""

    fdi_task_id: str
    clear_generation: int
    """Airflow's ``max_tries``, which changes only when the task is cleared."""
    try_number: int
    """The try that wrote the intent or joined the run."""
    intent_time: int
    deadline: int
    """Until when a run that is not in the log yet may still appear there."""
    baseline: tuple[str, ...] = ()
    """Ids of the runs that were there before the start."""
    accepted: bool = False
    """The service answered the start with success."""
    run_id: str | None = None
    run_time: int | None = None
    joined: bool = False
    """Somebody else started the run: we wait for it and never terminate it."""
    rejoined_at: int | None = None
    """When a later try found the run still active and continued with it."""
    unsent: int = 0
    """How many starts of this try were certainly not carried out."""
    unconfirmed: int = 0
    """How many starts of this try got no answer and led to no run."""
    no_answer: str | None = None
    """The error that came instead of an answer to the last start, as text."""
    fdi_task_name: str | None = None
    """For messages; None where it is not known."""
    concluded: bool = False
    """The task has ended with this run: if it is cleared, it starts another although its state is kept."""
    is_open: bool = True
    """False once the start was refused or the run has failed: a later try does not continue with it."""

    @property
    def is_ours(self) -> bool:
        """Whether we started the run and have not given it up."""
        return self.is_open and not self.joined

    @property
    def task_label(self) -> str:
        """The task as messages name it."""
        return task_label(self.fdi_task_id, self.fdi_task_name)

    @classmethod
    def from_json(cls, value: Any) -> RunRecord | None:
        """Read a stored record; None for anything else, such as another version's."""
        if not isinstance(value, Mapping):
            return None
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        try:
            known["baseline"] = tuple(known.get("baseline") or ())
            record = cls(**known)
        except TypeError:
            return None
        numbers = (record.clear_generation, record.try_number, record.intent_time, record.deadline)
        texts = (record.fdi_task_id, *record.baseline)
        good = all(isinstance(n, int) for n in numbers) and all(isinstance(t, str) for t in texts)
        return record if good else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"baseline": list(self.baseline)}


@dataclass(frozen=True, slots=True)
class CreateRecord:
    """One change that was about to be sent (a create, update, delete or schedule), so that the next try can
    recognise it as its own if the answer was lost."""

    key: str
    """Key in the task instance's state store; one for each kind of change."""
    clear_generation: int
    subject: str
    """What is changed: the name or id of the task."""

    def to_json(self) -> dict[str, Any]:
        return {"clear_generation": self.clear_generation, "subject": self.subject}


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """Which tasks of a batch are done, so that the next try acts only on the others."""

    clear_generation: int
    action: str
    succeeded: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> BatchRecord | None:
        """Read a stored record; None for anything else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("succeeded"), list):
            return None
        generation, action = value.get("clear_generation"), value.get("action")
        if not isinstance(generation, int) or not isinstance(action, str):
            return None
        return cls(generation, action, tuple(str(task_id) for task_id in value["succeeded"]))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"succeeded": list(self.succeeded)}


@dataclass(slots=True)
class TryState:
    """What one try of a task instance remembers: in memory, and in Airflow's store where there is one.

    Only the record of a run is kept in memory too, because one try needs it also without a store.
    """

    store: Store | None = None
    record: RunRecord | None = None
    """The run; changed by :meth:`write` and :meth:`update`."""
    try_ended: bool = False
    """Airflow has ended this try: it may go on waiting, but starts and stores nothing any more."""

    @classmethod
    def open(cls, store: Store | None, carried: Any = None) -> TryState:
        """Read the record of the run from the store; without a store, from what a trigger's event carried."""
        return cls(store, RunRecord.from_json(store.get(RUN_KEY) if store is not None else carried))

    # --- the run ------------------------------------------------------------------------------------------

    @property
    def open_record(self) -> RunRecord | None:
        """The start or run to continue with, if there is one."""
        return self.record if self.record is not None and self.record.is_open else None

    @property
    def is_stored(self) -> bool:
        """Whether the store still holds the record; it does not once a newer try has replaced this one's task
        instance, or has written a record of its own."""
        return self.store is None or (
            self.record is not None and self.store.get(RUN_KEY) == self.record.to_json()
        )

    def write(self, record: RunRecord) -> RunRecord:
        """Store a record of the run in place of the one before."""
        if self.store is not None and not self.try_ended:
            self.store.set(RUN_KEY, record.to_json())
        self.record = record
        return record

    def update(self, **changes: Any) -> RunRecord:
        """Store the record with some fields changed."""
        if self.record is None:
            raise LookupError("there is no record of a run to update")
        return self.write(replace(self.record, **changes))

    # --- creates and batches: remembered only where there is a store ---------------------------------------

    def remember(self, record: CreateRecord | BatchRecord) -> None:
        """Store a record in place of the one before under the same key."""
        if self.store is not None:
            self.store.set(record.key if isinstance(record, CreateRecord) else BATCH_KEY, record.to_json())

    def forget(self, record: CreateRecord) -> None:
        """Delete what is stored under the record's key."""
        if self.store is not None:
            self.store.set(record.key, {})

    def remembers(self, record: CreateRecord) -> bool:
        """Whether exactly this record is stored."""
        return self.store is not None and self.store.get(record.key) == record.to_json()

    def batch(self, clear_generation: int, action: str) -> BatchRecord | None:
        """The record of this batch, unless it belongs to another action or to before the task was cleared."""
        record = None if self.store is None else BatchRecord.from_json(self.store.get(BATCH_KEY))
        if record is None or (record.clear_generation, record.action) != (clear_generation, action):
            return None
        return record
