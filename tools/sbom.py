"""Writes build/sbom/airflow-provider-fdi.cdx.json: what the wheel in dist/ needs, as CycloneDX.

The versions are those of this environment, in which the tests run. cyclonedx-py lists all that is installed;
what only development or an extra needs is taken out here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.release import metadata

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "build" / "sbom" / "airflow-provider-fdi.cdx.json"


def needed(requirements: Iterable[str]) -> set[str]:
    """The names of what is required, directly or not, with the extras that are asked for."""
    found: set[tuple[str, str]] = set()
    ahead = [(line, "") for line in requirements]
    while ahead:
        line, extra = ahead.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras} - {known for other, known in found if other == name}:
            found.add((name, wanted))
            ahead += [(line, wanted) for line in distribution(name).requires or []]
    return {name for name, _ in found}


def installed() -> dict[str, Any]:
    """Everything in this environment, by cyclonedx-py."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable, "--no-validate"]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library", "--output-reproducible"]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
    bom: dict[str, Any] = json.loads(done.stdout)
    return bom


def describe(wheel: Path) -> dict[str, Any]:
    """The SBOM of a wheel."""
    package = metadata(wheel)
    requirements = package.get_all("Requires-Dist", [])
    names = needed(requirements)
    direct = {canonicalize_name(Requirement(line).name) for line in requirements if "extra ==" not in line}

    bom = installed()
    bom["components"] = [part for part in bom["components"] if canonicalize_name(part["name"]) in names]
    for part in bom["components"]:
        part.pop("externalReferences", None)  # home pages and the like, which take seconds to validate
    kept = {part["bom-ref"]: canonicalize_name(part["name"]) for part in bom["components"]}
    root = bom["metadata"]["component"]
    root |= {"version": package["Version"], "purl": f"pkg:pypi/{package['Name']}@{package['Version']}"}
    root["hashes"] = [{"alg": "SHA-256", "content": sha256(wheel.read_bytes()).hexdigest()}]
    dependencies = []
    for entry in bom["dependencies"]:
        if entry["ref"] in kept or entry["ref"] == root["bom-ref"]:
            wanted = direct if entry["ref"] == root["bom-ref"] else names
            on = [ref for ref in entry.get("dependsOn", []) if kept.get(ref) in wanted]
            dependencies.append({"ref": entry["ref"], "dependsOn": on})
    bom["dependencies"] = dependencies
    return bom


def main() -> int:
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if len(wheels) != 1:
        print(f"dist/ has {len(wheels)} wheels instead of one. Run `make package`.", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(json.dumps(describe(wheels[0]), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
