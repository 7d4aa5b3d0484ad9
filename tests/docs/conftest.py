"""What the tests of several pages share. It imports no Airflow: pytest may read it before the plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.docs.world import World


@pytest.fixture
def world(
    fdi_emulator: FdiEmulator, fdi_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    made = World(fdi_emulator, tmp_path)
    monkeypatch.setenv("AIRFLOW_VAR_FDI_SOURCE_DATASOURCE_ID", made.source_id)
    monkeypatch.setenv("AIRFLOW_VAR_FDI_TARGET_DATASOURCE_ID", made.target_id)
    yield made
    made.target.close()
