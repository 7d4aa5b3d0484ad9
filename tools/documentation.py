"""Builds the documentation as a site, and docs/llms.txt: python tools/documentation.py

The pages are those of docs/, built by zensical as zensical.toml says. What they link to outside of docs/
(examples, tests, the changelog) becomes a page of the site as well, so that no link leads to a code host. The
build fails if a link, an image or an anchor is dead, or if a page would load something from elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CONFIG = ROOT / "zensical.toml"
STAGE = ROOT / "build" / "site"
SITE = ROOT / "site"
LLMS = DOCS / "llms.txt"

SHIM = ROOT / "tools" / "iframe-worker.js"
SHIM_ADDRESS = "https://unpkg.com/iframe-worker/shim"
"""What zensical's search needs in pages that are opened as files, and where it would be loaded from."""

OUTSIDE = Path("repository")
"""Where the site has what stands outside of docs/."""
IMAGES = {".png", ".svg"}
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml"}

_LINK = re.compile(r"(\]\()([^)\s#]+)")


# --- pages --------------------------------------------------------------------------------------------------


def stage(folder: Path) -> None:
    """Lay out what zensical needs: its configuration, the package with the docstrings, and the pages."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(CONFIG, folder)
    for needed in ("airflow_provider_fdi", "tools"):
        (folder / needed).symlink_to(ROOT / needed)
    ahead = [DOCS / path.relative_to(folder / "docs") for path in (folder / "docs").rglob("*.md")]
    done = set(ahead)
    while ahead:
        source = ahead.pop()
        target = folder / "docs" / place_of(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in IMAGES:
            shutil.copy(source, target)
        elif source.suffix == ".md":
            text, linked = with_links_into_the_site(source)
            target.write_text(text, encoding="utf-8")
            ahead += linked - done
            done |= linked
        else:
            target.write_text(listing(source), encoding="utf-8")


def place_of(source: Path) -> Path:
    """Where the site has a file of the repository, relative to its root."""
    if DOCS in source.parents:
        return source.relative_to(DOCS)
    place = OUTSIDE / source.relative_to(ROOT)
    return place if source.suffix in IMAGES | {".md"} else place.with_name(place.name + ".md")


def with_links_into_the_site(source: Path) -> tuple[str, set[Path]]:
    """The text of a Markdown file as the site has it, and the files outside of docs/ that it links to."""
    linked: set[Path] = set()
    home = place_of(source).parent

    def moved(found: re.Match[str]) -> str:
        target = (source.parent / found[2]).resolve()
        if urlsplit(found[2]).scheme or ROOT not in target.parents or not target.is_file():
            return found[0]
        if DOCS not in target.parents:
            linked.add(target)
        return found[1] + os.path.relpath(place_of(target), home)

    return _LINK.sub(moved, source.read_text(encoding="utf-8")), linked


def listing(source: Path) -> str:
    """A page that shows a file."""
    name = source.relative_to(ROOT)
    language = LANGUAGES.get(source.suffix, "text")
    text = source.read_text(encoding="utf-8").rstrip()
    return f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n~~~~{language}\n{text}\n~~~~\n"


# --- llms.txt -----------------------------------------------------------------------------------------------


def pages_of(nav: list[dict[str, object]], section: str = "") -> Iterator[tuple[str, str, Path]]:
    """The section, title and path of every page in the navigation."""
    for entry in nav:
        for title, target in entry.items():
            if isinstance(target, list):
                yield from pages_of(target, title)
            else:
                yield section, title, Path(str(target))


def navigation() -> list[tuple[str, str, Path]]:
    return list(pages_of(tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]))


def summary(page: Path) -> str:
    """The first sentence of a page, as plain text."""
    paragraphs = (DOCS / page).read_text(encoding="utf-8").split("\n\n")
    first = next(p for p in paragraphs if p.strip() and not p.startswith(("#", "!", "<", "|", "```")))
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(first.split()))
    return re.split(r"(?<=[.?!:]) (?=[A-Z])", plain)[0].rstrip(":.")


def llms() -> str:
    """The index of the documentation for language models (https://llmstxt.org)."""
    project = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}", ""]
    last = ""
    for section, title, page in navigation():
        if section != last:
            lines += ["", f"## {section}", ""]
        last = section
        lines.append(f"- [{title}]({page.as_posix()}): {summary(page)}")
    return "\n".join(lines) + "\n"


# --- checking what was built --------------------------------------------------------------------------------


class Html(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next") and "href" in given:
            self.loads.add(given["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in given:
            self.loads.add(given["src"])


def faults(site: Path) -> list[str]:
    """Dead links, images and anchors of the built site, and what would be loaded from elsewhere."""
    pages = {path: Html(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for address in sorted(page.links | page.loads):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loads and parts.scheme != "data":
                    found.append(f"{path.relative_to(site)}: is loaded from elsewhere: {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or site not in target.parents:
                found.append(f"{path.relative_to(site)}: dead link: {address}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{path.relative_to(site)}: dead anchor: {address}")
    for path in sorted(site.rglob("*.css")):
        elsewhere = re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: is loaded from elsewhere: {address}" for address in elsewhere]
    return found


def build(folder: Path, site: Path) -> list[str]:
    """Build the site in ``folder``, and move it to ``site`` if nothing is wrong; returns what is wrong."""
    stage(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        report = built.stdout.partition("Traceback")[0]
        return [re.sub(r"\x1b\[[0-9;]*m", "", report)]
    finish(folder / "docs", folder / "site")
    wrong = faults(folder / "site")
    if not wrong:
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(folder / "site", site)
    return wrong


def finish(pages: Path, site: Path) -> None:
    """Add what is missing: the text of the pages, to which llms.txt leads, and what the search needs."""
    for page in pages.rglob("*.md"):
        shutil.copy(page, site / page.relative_to(pages))
    # These need to know the address at which the site is published.
    for name in ("404.html", "sitemap.xml"):
        (site / name).unlink()
    shutil.copy(SHIM, site / "assets")
    for path in site.rglob("*.html"):
        own = os.path.relpath(site / "assets" / SHIM.name, path.parent)
        path.write_text(path.read_text(encoding="utf-8").replace(SHIM_ADDRESS, own), encoding="utf-8")


def main() -> int:
    LLMS.write_text(llms(), encoding="utf-8")
    wrong = build(STAGE, SITE)
    print("\n".join(wrong) or f"{SITE / 'index.html'}", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
