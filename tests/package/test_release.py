"""What is missing for a release is said before anything is published."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_fdi import __version__
from tests.package.building import build, copy
from tools.release import metadata, missing, notes, urls

REPOSITORY = "https://code.example/team/airflow-provider-fdi"
TAG = f"v{__version__}"
TOWNCRIER = str(Path(sys.executable).parent / "towncrier")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, prepared and built as CONTRIBUTING.md says under Releasing."""
    root = copy(tmp_path_factory.mktemp("ready") / "project")
    pyproject = root / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    address = re.search(r'^Repository = "(.*)"$', text, re.MULTILINE)
    assert address
    pyproject.write_text(text.replace(address[1], REPOSITORY), encoding="utf-8")
    (root / "changelog.d" / "+sample.fixed.md").write_text("What was wrong.\n")
    towncrier(root, "--yes", "--date", "2030-01-02")
    build(root, root / "dist")
    return root


def towncrier(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOWNCRIER, "build", *options], cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_a_checkout_that_was_prepared_lacks_nothing(ready: Path) -> None:
    assert list(missing(ready, TAG, REPOSITORY)) == []
    assert set(urls(metadata(next((ready / "dist").glob("*.whl")))).values()) >= {
        REPOSITORY,
        f"{REPOSITORY}/issues",
    }


def test_the_changelog_is_the_text_of_the_release(ready: Path) -> None:
    changelog = (ready / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"## {__version__} - 2030-01-02\n" in changelog
    assert notes(changelog, __version__).startswith("### ")
    assert "- What was wrong." in notes(changelog, __version__)
    assert notes(changelog, "0.0.1") == ""
    assert [path.name for path in (ready / "changelog.d").iterdir()] == ["README.md"]


def test_another_repository_is_refused(ready: Path) -> None:
    found = list(missing(ready, TAG, "https://code.example/team/fork"))

    assert len(found) == 5
    assert (
        f"Repository in [project.urls] of pyproject.toml is {REPOSITORY}, not an address below" in found[-1]
    )


def test_a_repository_whose_name_only_begins_alike_is_refused(ready: Path) -> None:
    assert len(list(missing(ready, TAG, REPOSITORY[:-1]))) == 5


def test_another_tag_is_refused(ready: Path) -> None:
    assert list(missing(ready, "v99.0.0", REPOSITORY)) == [
        f"The tag is v99.0.0, but __version__ in airflow_provider_fdi/__init__.py is {__version__}."
    ]


def test_fragments_that_were_left_out_are_named(ready: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(ready, root)
    (root / "changelog.d" / "+late.added.md").write_text("Too late.\n")

    assert list(missing(root, TAG, REPOSITORY)) == [
        "changelog.d/+late.added.md is not in CHANGELOG.md. Run `make changelog`."
    ]


def test_a_version_without_a_section_is_refused(ready: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(ready, root)
    (root / "CHANGELOG.md").write_text("# Changelog\n")

    assert list(missing(root, TAG, REPOSITORY)) == [
        f"CHANGELOG.md has no section {__version__}. Run `make changelog`."
    ]


def test_without_a_wheel_nothing_is_released(tmp_path: Path) -> None:
    assert list(missing(tmp_path, TAG, REPOSITORY)) == [
        "dist/ has 0 wheels instead of one. Run `make package`."
    ]


@pytest.mark.parametrize("name", ["+sensor.improved.md", "sensor.md", "sensor-fixed.md"])
def test_a_fragment_with_a_wrong_name_is_refused(name: str, tmp_path: Path) -> None:
    root = copy(tmp_path / "project")
    assert towncrier(root, "--draft").returncode == 0
    (root / "changelog.d" / name).write_text("Something.\n")

    done = towncrier(root, "--draft")

    assert done.returncode != 0
    assert name in done.stderr
