"""The pytest fixture ``fdi_emulator``.

Use it with ``pytest_plugins = ["airflow_provider_fdi.emulator.pytest_plugin"]``. One server process serves
the whole session; every test finds it empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator


@pytest.fixture(scope="session")
def fdi_emulator_config() -> dict[str, Any] | None:
    """Override this to start the server with a configuration (data sources, credentials, switches)."""
    return None


@pytest.fixture(scope="session")
def fdi_emulator_process(fdi_emulator_config: dict[str, Any] | None) -> Iterator[FdiEmulator]:
    emulator = FdiEmulator.start(config=fdi_emulator_config)
    try:
        yield emulator
    finally:
        emulator.stop()


@pytest.fixture
def fdi_emulator(fdi_emulator_process: FdiEmulator) -> FdiEmulator:
    """A local FDI and IAM service in a process of its own, without any task."""
    fdi_emulator_process.reset()
    return fdi_emulator_process
