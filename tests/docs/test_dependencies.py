"""pyproject.toml declares what the package imports, and the README is right that Airflow brings all of it."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "airflow_provider_fdi"
EMULATOR = PACKAGE / "emulator"

# Not declared: what needs them runs only where they are installed (Airflow 2's connection form, OpenLineage's
# extractor, the fixture for pytest). Starlette comes with FastAPI.
PRESENT = {
    "apache-airflow-providers-openlineage",
    "flask-appbuilder",
    "flask-babel",
    "pytest",
    "starlette",
    "wtforms",
}


LOADED_BY_FASTAPI = {"fastapi-swagger", "python-multipart"}
"""What the emulator needs although it does not import it: files for a page, and FastAPI's parser of forms."""


def needed(package: str, extra: str = "") -> set[str]:
    """What a package requires, or adds for one of its extras, by normalised name."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return set()
    found = set()
    for line in lines:
        name, marker_extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([^'\"]+)", line)
        if name and (marker_extra[1] if marker_extra else "") == extra:
            found.add(re.sub(r"[-_.]+", "-", name[0]).lower())
    return found


def distribution(module: str) -> str:
    """The distribution that a module comes from."""
    parts = module.split(".")
    if parts[:2] == ["airflow", "providers"]:
        # airflow.providers.openlineage is one package, airflow.providers.common a folder of several.
        parts = parts[: 4 if parts[2] == "common" else 3]
        return "-".join(["apache", *parts])
    return {"airflow": "apache-airflow", "yaml": "pyyaml"}.get(parts[0], parts[0].replace("_", "-"))


def imported(paths: set[Path]) -> set[str]:
    """The distributions that files import from, at their top or further in, besides this one."""
    modules: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    ours = {*sys.stdlib_module_names, "tomllib", PACKAGE.name}
    return {distribution(module) for module in modules if module.split(".")[0] not in ours}


def test_what_is_imported_is_declared_and_nothing_else_is() -> None:
    emulator = set(EMULATOR.rglob("*.py"))
    provider = set(PACKAGE.rglob("*.py")) - emulator
    project = "airflow-provider-fdi"

    assert imported(provider) - PRESENT == needed(project) | needed(project, "sdk")
    # Airflow is a dependency of the provider anyway.
    assert imported(emulator) - PRESENT - {"apache-airflow"} | LOADED_BY_FASTAPI == needed(
        project, "emulator"
    )


def test_airflow_brings_every_dependency_of_the_provider() -> None:
    brought: set[str] = set()
    ahead = {"apache-airflow"}
    while ahead:
        package = ahead.pop()
        brought.add(package)
        ahead |= needed(package) - brought

    assert needed("airflow-provider-fdi") <= brought
