"""The SBOM of the wheel is CycloneDX, and lists what the wheel needs and nothing else."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from airflow_provider_fdi import __version__
from tests.package.building import Built
from tools.sbom import describe, needed


@pytest.fixture(scope="module")
def sbom(built: Built) -> dict[str, Any]:
    return describe(built.wheel)


def test_it_follows_the_schema(sbom: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.from_version(sbom["specVersion"]))

    assert validator.validate_str(json.dumps(sbom)) is None
    # So that the line above can fail.
    assert validator.validate_str(json.dumps(sbom | {"components": [{"name": "requests"}]})) is not None


def test_it_describes_this_wheel(sbom: dict[str, Any], built: Built) -> None:
    wheel = sbom["metadata"]["component"]

    assert (wheel["name"], wheel["version"], wheel["type"]) == (
        "airflow-provider-fdi",
        __version__,
        "library",
    )
    assert wheel["hashes"] == [{"alg": "SHA-256", "content": sha256(built.wheel.read_bytes()).hexdigest()}]


def test_it_lists_what_the_wheel_needs_in_the_versions_that_are_tested(sbom: dict[str, Any]) -> None:
    versions = {part["name"].lower().replace("_", "-"): part["version"] for part in sbom["components"]}

    assert versions["apache-airflow"] == version("apache-airflow")
    # Not required by this wheel, but by what it requires.
    assert versions["certifi"] == version("certifi")
    assert not {"pytest", "mypy", "zizmor", "cyclonedx-bom", "airflow-provider-fdi"} & set(versions)


def test_every_component_is_reached_from_the_wheel(sbom: dict[str, Any]) -> None:
    on = {entry["ref"]: entry["dependsOn"] for entry in sbom["dependencies"]}
    reached, ahead = set(), [sbom["metadata"]["component"]["bom-ref"]]
    while ahead:
        ref = ahead.pop()
        if ref not in reached:
            reached.add(ref)
            ahead += on[ref]

    assert {part["bom-ref"] for part in sbom["components"]} == reached - {
        sbom["metadata"]["component"]["bom-ref"]
    }


def test_only_extras_that_are_asked_for_count() -> None:
    alone, with_emulator = needed(["airflow-provider-fdi"]), needed(["airflow-provider-fdi[emulator]"])

    assert "requests" in alone
    assert "fastapi-swagger" in with_emulator - alone
