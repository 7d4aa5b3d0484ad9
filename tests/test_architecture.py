"""Imports point one way, and importing what a DAG file imports costs next to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "airflow_provider_fdi"


def modules_under(folder: str) -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PACKAGE / folder).rglob("*.py")
    )


def loaded_by(*modules: str, besides: str = "sys") -> set[str]:
    """The top-level packages that a plain Python loads when it imports these."""
    code = (
        "import importlib, sys\n"
        "tops = lambda: {name.partition('.')[0] for name in sys.modules}\n"
        f"importlib.import_module({besides!r})\n"
        "before = tops()\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted(tops() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def imports_of(path: Path) -> set[str]:
    """Absolute names that a file imports, at its top or anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def offenders(folder: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        for name in sorted(imports_of(path))
        if any(name == part or name.startswith(f"{part}.") for part in forbidden)
    ]


def test_client_and_runs_work_without_airflow() -> None:
    assert "airflow" not in loaded_by(*modules_under("client"), *modules_under("runs"))


def test_no_line_of_client_and_runs_imports_airflow() -> None:
    names = ("deferral", "exceptions", "hooks", "links", "operators", "sensors", "triggers", "version_compat")
    above = ("airflow", *(f"airflow_provider_fdi.{name}" for name in names))

    assert offenders("client", (*above, "airflow_provider_fdi.runs")) == []
    assert offenders("runs", above) == []


def test_the_emulator_shares_nothing_with_what_it_tests() -> None:
    shared = tuple(
        f"airflow_provider_fdi.{name}"
        for name in ("client", "runs", "hooks", "operators", "sensors", "triggers", "version_compat")
    )

    assert offenders("emulator", ("airflow", *shared)) == []


def test_nothing_of_the_provider_needs_the_emulator() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if PACKAGE / "emulator" not in path.parents
        for name in sorted(imports_of(path))
        if name.startswith("airflow_provider_fdi.emulator")
    ]

    assert found == []


@pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="Airflow 2 has it all loaded")
def test_a_dag_file_pays_for_no_http_library_and_no_database() -> None:
    loaded = loaded_by(
        "airflow_provider_fdi.operators.fdi", "airflow_provider_fdi.sensors.fdi", besides="airflow"
    )

    assert loaded & {"requests", "urllib3", "sqlalchemy", "fastapi", "uvicorn"} == set()


def test_what_airflow_reads_first_imports_nothing_else() -> None:
    loaded = loaded_by("airflow_provider_fdi.get_provider_info")

    assert loaded & {"airflow", "requests", "pendulum", "sqlalchemy"} == set()
