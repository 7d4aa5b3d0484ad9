"""The README says that nothing is pulled in but what Airflow has already."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires


def needed(package: str) -> set[str]:
    """What a package requires without extras, by normalised name."""
    try:
        told = requires(package) or []
    except PackageNotFoundError:
        return set()
    plain = [text for text in told if "extra ==" not in text]
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower() for text in plain}  # type: ignore[index]


def test_airflow_brings_every_dependency_of_the_provider() -> None:
    brought: set[str] = set()
    ahead = {"apache-airflow"}
    while ahead:
        package = ahead.pop()
        brought.add(package)
        ahead |= needed(package) - brought

    assert needed("airflow-provider-fdi") <= brought
