"""Wheel and sdist: the same bytes wherever they are built, and nothing in them that does not belong there."""

from __future__ import annotations

import configparser
import os
import re
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.utils import docs

from airflow_provider_fdi import __version__
from tests.docs.pages import ROOT
from tests.package.building import Built, build, copy, kept_files
from tools.release import LABELS, metadata, urls

in_git = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="what belongs to the project is asked of git"
)


def names(built: Built) -> tuple[set[str], set[str]]:
    """The files in the wheel, and those in the sdist without its top folder."""
    with zipfile.ZipFile(built.wheel) as wheel, tarfile.open(built.sdist) as sdist:
        of_sdist = {name.partition("/")[2] for name in sdist.getnames()}
        return {name for name in wheel.namelist() if not name.endswith("/")}, of_sdist


def strays(of_wheel: Iterable[str]) -> set[str]:
    """What has no place in the wheel: tests, other folders, whatever is neither code nor a page."""
    allowed = re.compile(
        r"airflow_provider_fdi/(?!(.*/)?(tests?/|test_|conftest))[\w/]+\.(py|html|css|js|svg)"
        r"|airflow_provider_fdi/py\.typed"
        rf"|airflow_provider_fdi-{re.escape(__version__)}\.dist-info/"
        r"(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
    )
    return {name for name in of_wheel if not allowed.fullmatch(name)}


def test_a_build_from_the_sdist_elsewhere_and_later_has_the_same_bytes(built: Built, tmp_path: Path) -> None:
    old_mask = os.umask(0o077)
    try:
        with tarfile.open(built.sdist) as sdist:
            for member in sdist.getmembers():
                member.mtime += 86_400
                sdist.extract(member, tmp_path / "a b")
        (source,) = (tmp_path / "a b").iterdir()
        again = build(source, tmp_path / "again", TZ="Asia/Shanghai", LC_ALL="C", PYTHONHASHSEED="7")
    finally:
        os.umask(old_mask)

    assert again.wheel.read_bytes() == built.wheel.read_bytes()
    assert again.sdist.read_bytes() == built.sdist.read_bytes()


def test_the_archives_carry_the_date_that_is_set(built: Built, tmp_path: Path) -> None:
    dated = build(ROOT, tmp_path, SOURCE_DATE_EPOCH="1700000000")

    with zipfile.ZipFile(dated.wheel) as wheel, tarfile.open(dated.sdist) as sdist:
        assert {info.date_time for info in wheel.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        assert {member.mtime for member in sdist.getmembers()} == {1700000000}
    # So a difference of nothing but dates is seen by the test above.
    assert dated.wheel.read_bytes() != built.wheel.read_bytes()
    assert dated.sdist.read_bytes() != built.sdist.read_bytes()


def test_the_wheel_holds_nothing_but_the_package(built: Built) -> None:
    of_wheel, _ = names(built)
    assert strays(of_wheel) == set()
    assert {
        "airflow_provider_fdi/py.typed",
        f"airflow_provider_fdi-{__version__}.dist-info/licenses/LICENSE",
    } <= of_wheel


@in_git
def test_the_wheel_holds_the_whole_package(built: Built) -> None:
    of_wheel, _ = names(built)
    assert {name for name in of_wheel if ".dist-info/" not in name} == kept_files("airflow_provider_fdi")


@in_git
def test_the_sdist_holds_the_whole_project(built: Built) -> None:
    _, of_sdist = names(built)
    assert of_sdist - {"PKG-INFO"} == kept_files()


def test_files_that_do_not_belong_there_are_found(tmp_path: Path) -> None:
    source = copy(tmp_path / "source")
    package = source / "airflow_provider_fdi"
    (package / "tests").mkdir()
    added = ["tests/test_x.py", "client/test_y.py", "conftest.py", "notes.txt", "data.sqlite3"]
    for name in added:
        (package / name).write_text("")

    of_wheel, _ = names(build(source, tmp_path / "dist"))

    assert strays(of_wheel) == {f"airflow_provider_fdi/{name}" for name in added}


def test_metadata_says_what_pypi_and_airflow_read(built: Built) -> None:
    package = metadata(built.wheel)
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
        entry_points = configparser.ConfigParser()
        entry_points.read_string(wheel.read(name).decode())

    assert package["Version"] == __version__
    assert package["License-Expression"] == "Apache-2.0"
    assert package["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in package.get_all("Classifier", [])
    assert dict(entry_points["apache_airflow_provider"]) == {
        "provider_info": "airflow_provider_fdi.get_provider_info:get_provider_info"
    }


def test_all_addresses_are_of_one_repository(built: Built) -> None:
    found = urls(metadata(built.wheel))
    assert set(found) == LABELS
    assert all(
        url == found["Repository"] or url.startswith(found["Repository"] + "/") for url in found.values()
    )


def test_airflow_links_its_page_of_providers_to_our_documentation(built: Built) -> None:
    if hasattr(docs, "get_doc_url_for_provider"):
        link = docs.get_doc_url_for_provider("airflow-provider-fdi", __version__)
    else:
        providers = ProvidersManager().providers
        link = providers["airflow-provider-fdi"].data.get("documentation-url")
    # Airflow 3.1 leaves a space before the address, which browsers ignore.
    assert str(link).strip() == urls(metadata(built.wheel))["Documentation"]
