"""The site: no dead link, every page and every public name, and nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_fdi import client, exceptions
from airflow_provider_fdi.client import task_detail
from airflow_provider_fdi.get_provider_info import get_provider_info
from airflow_provider_fdi.operators import fdi as operators
from tests.docs.pages import DOCS, SITE_PAGES
from tools import documentation

API = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
SHOWN = re.findall(r"^::: airflow_provider_fdi\.[\w.]+\.(\w+)$", API, re.MULTILINE)

needs_zensical = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="zensical needs Python 3.11"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation")
    assert documentation.build(folder / "build", folder / "site") == []
    return folder / "site"


@needs_zensical
@pytest.mark.timeout(300)
def test_the_site_is_built_without_a_fault(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert {page.relative_to(DOCS) for page in SITE_PAGES} <= built


@needs_zensical
@pytest.mark.timeout(300)
def test_api_pages_have_the_docstrings(site: Path) -> None:
    html = (site / "api" / "operators.html").read_text(encoding="utf-8")
    assert "seconds within which the service shows a run in its log" in html
    assert ":class:" not in html


@needs_zensical
@pytest.mark.timeout(300)
def test_examples_are_pages_of_the_site(site: Path) -> None:
    assert "fdi_many_tasks.py.html" in (site / "operators.html").read_text(encoding="utf-8")
    assert (site / "repository" / "example_dags" / "fdi_many_tasks.py.html").is_file()


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="other.html">', None),
        ('<a href="other.html#there">', None),
        ('<a href="https://example.com/">', None),
        ('<img src="data:image/png;base64,AA==">', None),
        ('<a href="missing.html">', "dead link: missing.html"),
        ('<a href="../outside.html">', "dead link: ../outside.html"),
        ('<img src="missing.png">', "dead link: missing.png"),
        ('<a href="#missing">', "dead anchor: #missing"),
        ('<a href="other.html#missing">', "dead anchor: other.html#missing"),
        ('<script src="https://example.com/x.js">', "is loaded from elsewhere: https://example.com/x.js"),
        ('<link rel="stylesheet" href="//example.com/x">', "is loaded from elsewhere: //example.com/x"),
    ],
)
def test_faults_are_found(html: str, fault: str | None, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside.html").touch()
    (site / "index.html").write_text(html, encoding="utf-8")
    (site / "other.html").write_text('<h2 id="there">', encoding="utf-8")

    assert documentation.faults(site) == ([f"index.html: {fault}"] if fault else [])


def test_every_page_is_in_the_navigation_once() -> None:
    listed = [page.as_posix() for _, _, page in documentation.navigation()]
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in SITE_PAGES)


def test_llms_txt_is_up_to_date() -> None:
    assert documentation.LLMS.read_text(encoding="utf-8") == documentation.llms(), "run `make docs`"


def classes_of(module: ModuleType) -> set[str]:
    return {
        name
        for name, thing in vars(module).items()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    }


def test_everything_that_users_import_is_in_the_api() -> None:
    links = {path.rpartition(".")[2] for path in get_provider_info()["extra-links"]}
    public = {*client.__all__, *task_detail.__all__, *operators.__all__, *classes_of(exceptions), *links}
    public |= {"FdiTaskSensor", "FdiRunEventTrigger", "FdiHook", "create_asset"}
    public |= {"FdiEmulator", "fdi_emulator"}
    assert public <= set(SHOWN)


def test_nothing_is_in_the_api_twice() -> None:
    assert len(set(SHOWN)) == len(SHOWN)


@pytest.mark.parametrize("name", sorted({*operators.__all__, "FdiTaskSensor"} - {"FdiBaseOperator"}))
def test_every_operator_has_a_complete_section(name: str) -> None:
    page = (DOCS / "operators.md").read_text(encoding="utf-8")
    parameters = re.compile(rf"^\*\*Parameters:\*\*[^*]*`{name}`", re.MULTILINE)
    (section,) = (text for text in page.split("\n## ") if parameters.search(text))
    for part in ("**Use ", "```python", "**Returns**", "**Fails with**"):
        assert part in section
