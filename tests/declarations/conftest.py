from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_fdi.client import FdiClient
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.declarations.world import World, client_of


@pytest.fixture(scope="session")
def _second() -> Iterator[FdiEmulator]:
    with FdiEmulator.start() as emulator:
        yield emulator


@pytest.fixture
def second(_second: FdiEmulator) -> FdiEmulator:
    """Another instance, without tasks."""
    _second.reset()
    return _second


@pytest.fixture
def world(fdi_emulator: FdiEmulator) -> World:
    """An instance with data sources."""
    return World(fdi_emulator).add_datasources()


@pytest.fixture
def client(fdi_emulator: FdiEmulator) -> Iterator[FdiClient]:
    with client_of(fdi_emulator) as made:
        yield made
