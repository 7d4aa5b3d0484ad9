"""What the proofs of reliability share: tries in both modes, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.reliability.tries import MODES, Tries


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def emulator(fdi_emulator: FdiEmulator, fdi_connection: str) -> FdiEmulator:
    """The emulator, with the connection `fdi_default` leading to it."""
    return fdi_emulator


@pytest.fixture
def task(emulator: FdiEmulator) -> str:
    """An FDI task whose runs take a moment and move 5 rows."""
    return emulator.add_task("daily-load", script={"duration_ms": 100, "rows": 5})


@pytest.fixture
def tries(task: str, mode: str) -> Callable[..., Tries]:
    """Makes the tries of a task instance on `task`, in each mode."""

    def make(**options: Any) -> Tries:
        return Tries(options.pop("fdi_task_id", task), options.pop("mode", mode), **options)

    return make


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are seconds in production."""
    from airflow_provider_fdi.client import transport
    from airflow_provider_fdi.operators import execution
    from airflow_provider_fdi.runs import start, stop

    monkeypatch.setattr(start, "UNSENT_BACKOFF", replace(start.UNSENT_BACKOFF, base=0.05))
    monkeypatch.setattr(stop, "BACKOFF", replace(stop.BACKOFF, base=0.1))
    monkeypatch.setattr(execution, "LOCATE_IN_WORKER", 0.3)
    # Airflow 3.4 empties the state store of a task that is cleared; `Tries.clear` does as 3.3.
    monkeypatch.setattr(execution, "clear_drops_state", lambda: False)
    monkeypatch.setattr(transport, "_uniform", lambda low, high: min(high, 0.05))
