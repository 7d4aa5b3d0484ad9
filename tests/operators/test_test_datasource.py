"""Testing whether FDI reaches a data source."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiResponseError
from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiDatasourceUnreachable
from airflow_provider_fdi.operators.fdi import FdiTestDatasourceOperator
from tests.taskinstance import context

pytestmark = pytest.mark.usefixtures("fdi_connection", "no_pauses")


def check(datasource_id: str) -> FdiTestDatasourceOperator:
    return FdiTestDatasourceOperator(task_id="check", datasource_id=datasource_id)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that can be reached."""
    sqlite3.connect(tmp_path / "rows.db").execute("CREATE TABLE flights (id INTEGER)").connection.close()
    return f"sqlite:///{tmp_path / 'rows.db'}"


def test_data_source_that_is_reached(fdi_emulator: FdiEmulator, url: str) -> None:
    source = fdi_emulator.add_datasource("source", url)
    assert check(source).execute(context()) is True


def test_data_source_that_is_not_reached_is_worth_a_retry(fdi_emulator: FdiEmulator) -> None:
    source = fdi_emulator.add_datasource("source", None)
    with pytest.raises(FdiResponseError, match=r"^Failed to test the connectivity.*FDI\.3016"):
        check(source).execute(context())


@pytest.mark.parametrize("answer", [False, {"result": False}, {"result": "false"}])
def test_plain_no_is_a_failure(answer: Any, fdi_emulator: FdiEmulator, url: str) -> None:
    source = fdi_emulator.add_datasource("source", url)
    fdi_emulator.fault("status", path_regex="test-connect", status=200, body=answer)
    with pytest.raises(
        FdiDatasourceUnreachable,
        match=rf"^FDI cannot reach the data source.*\nData source source \({source}\)",
    ):
        check(source).execute(context())


def test_settings_that_it_is_stored_with_are_tested(fdi_emulator: FdiEmulator, url: str) -> None:
    source = fdi_emulator.add_datasource("source", url, type="POSTGRESQL")
    check(source).execute(context())
    body = next(row["body"] for row in fdi_emulator.journal() if row["path"].endswith("/test-connect"))
    assert "POSTGRESQL" in str(body) and "source" in str(body)


def test_unknown_data_source_ends_at_once() -> None:
    with pytest.raises(AirflowFailException):
        check("0" * 32).execute(context())
