"""A DAG file imports the operators and the sensor, which must load no HTTP library and no database."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_fdi"


def modules_under(folder: str) -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PACKAGE / folder).rglob("*.py")
    )


def loaded_by(*modules: str, besides: str = "sys") -> set[str]:
    """The modules that a plain Python loads when it imports these, but not when it imports ``besides``."""
    code = (
        "import importlib, sys\n"
        f"importlib.import_module({besides!r})\n"
        "before = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_client_and_runs_work_without_airflow() -> None:
    assert "airflow" not in tops(loaded_by(*modules_under("client"), *modules_under("runs")))


def test_what_airflow_reads_first_imports_nothing_else() -> None:
    loaded = tops(loaded_by("airflow_provider_fdi.get_provider_info"))

    assert loaded & {"airflow", "requests", "pendulum", "sqlalchemy"} == set()


@pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="Airflow 2 has it all loaded")
def test_a_dag_file_pays_for_no_http_library_and_no_database() -> None:
    # Airflow 3.1 has no airflow.sdk.configuration: what is missing comes from common.compat.
    complete = find_spec("airflow.sdk.configuration") is not None
    loaded = loaded_by(
        "airflow_provider_fdi.operators.fdi",
        "airflow_provider_fdi.sensors.fdi",
        besides="airflow" if complete else "airflow.providers.common.compat.sdk",
    )

    assert tops(loaded) & {"requests", "urllib3", "sqlalchemy", "fastapi", "uvicorn"} == set()
    assert {name for name in loaded if name.startswith(("airflow.models", "airflow.providers"))} == set()
    # Its dataclasses take some 20 ms.
    assert "airflow_provider_fdi.client.models" not in loaded
