"""What is remembered of one run between processes, so that a crash neither forgets nor repeats a start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

KEY = "fdi_run"
"""Key of the record in the task instance's state store."""


class Store(Protocol):
    """The part of Airflow's ``task_state_store`` that is used here."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One start, from intent to verdict. All times are the server's, in ms since the epoch."""

    fdi_task_id: str
    chain: int
    """The chain of tries it belongs to: ``max_tries``, which changes only when a task is cleared."""
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
    """Somebody else started the run: it is watched, never terminated."""
    rejoined_at: int | None = None
    """When a later try found the run still active and went on with it."""
    unsent: int = 0
    """Starts of this try that certainly were not carried out."""
    unconfirmed: int = 0
    """Starts of this try without an answer that led to no run."""
    no_answer: str | None = None
    """What came instead of an answer to the last start, in words."""
    closed: bool = False
    """The verdict was a failure, or the start was refused outright: nothing to come back to."""

    @property
    def ours(self) -> bool:
        return not self.joined and not self.closed

    @classmethod
    def from_json(cls, value: Any) -> RunRecord | None:
        """Read a stored record; None for anything that is not one (another version's, or hand-made)."""
        if not isinstance(value, Mapping):
            return None
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        try:
            known["baseline"] = tuple(known.get("baseline") or ())
            record = cls(**known)
        except TypeError:
            return None
        numbers = (record.chain, record.try_number, record.intent_time, record.deadline)
        texts = (record.fdi_task_id, *record.baseline)
        good = all(isinstance(n, int) for n in numbers) and all(isinstance(t, str) for t in texts)
        return record if good else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"baseline": list(self.baseline)}


@dataclass(frozen=True, slots=True)
class Note:
    """A word to later tries of the same chain; kept nowhere where there is no store (Airflow < 3.3)."""

    store: Store | None
    key: str
    content: Mapping[str, Any]

    def leave(self) -> None:
        if self.store is not None:
            self.store.set(self.key, dict(self.content))

    def take_back(self) -> None:
        if self.store is not None:
            self.store.set(self.key, {})

    @property
    def is_left(self) -> bool:
        return self.store is not None and self.store.get(self.key) == self.content


@dataclass(slots=True)
class Book:
    """The record of one task instance: in memory, and in the store where there is one (Airflow >= 3.3)."""

    store: Store | None = None
    record: RunRecord | None = field(default=None)
    try_ended: bool = False
    """Airflow has ended this try: it may go on waiting, but starts and stores nothing any more."""

    @classmethod
    def open(cls, store: Store | None, carried: Any = None) -> Book:
        """Read the store; without one, what a trigger carried through its event."""
        return cls(store, RunRecord.from_json(store.get(KEY) if store is not None else carried))

    @property
    def in_hand(self) -> RunRecord | None:
        """The start or run to go on with, if there is one."""
        return None if self.record is None or self.record.closed else self.record

    def write(self, record: RunRecord) -> RunRecord:
        if self.store is not None and not self.try_ended:
            self.store.set(KEY, record.to_json())
        self.record = record
        return record

    @property
    def is_stored(self) -> bool:
        """Whether the store still holds the record; not once a newer try has replaced this one's task
        instance, or has written a record of its own."""
        return self.store is None or (
            self.record is not None and self.store.get(KEY) == self.record.to_json()
        )

    def update(self, **changes: Any) -> RunRecord:
        if self.record is None:
            raise LookupError("there is no record of a run to update")
        return self.write(replace(self.record, **changes))
