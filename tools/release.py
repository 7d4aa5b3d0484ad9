"""Says what is missing for a release: python tools/release.py TAG REPOSITORY

Looks at the wheel in dist/ and at the changelog. Exits 0 and writes build/release-notes.md if the version is
that of the tag, every address in the wheel's metadata belongs to the repository, and the changelog has the
version's section.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"Homepage", "Documentation", "Repository", "Changelog", "Issues"}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def urls(package: Message) -> dict[str, str]:
    """The wheel's addresses, by label."""
    pairs = (entry.split(",", 1) for entry in package.get_all("Project-URL", []))
    return {label.strip(): url.strip() for label, url in pairs}


def notes(changelog: str, version: str) -> str:
    """The section of a version in the changelog, without its heading; empty if there is none."""
    section = rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)"
    found = re.search(section, changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def missing(root: Path, tag: str, repository: str) -> Iterator[str]:
    """Yields a sentence for everything that keeps the checkout from being released."""
    wheels = sorted((root / "dist").glob("*.whl"))
    if len(wheels) != 1:
        yield f"dist/ has {len(wheels)} wheels instead of one. Run `make package`."
        return
    package = metadata(wheels[0])
    version = package["Version"]
    if tag != f"v{version}":
        yield f"The tag is {tag}, but __version__ in airflow_provider_fdi/__init__.py is {version}."
    found = urls(package)
    if absent := sorted(LABELS - set(found)):
        yield f"[project.urls] in pyproject.toml lacks {', '.join(absent)}."
    for label, url in sorted(found.items()):
        if url != repository and not url.startswith(f"{repository}/"):
            yield f"{label} in [project.urls] of pyproject.toml is {url}, not an address below {repository}."
    if not notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version):
        yield f"CHANGELOG.md has no section {version}. Run `make changelog`."
    for fragment in sorted((root / "changelog.d").iterdir()):
        if fragment.name != "README.md":
            yield f"changelog.d/{fragment.name} is not in CHANGELOG.md. Run `make changelog`."


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    tag, repository = sys.argv[1], sys.argv[2].rstrip("/")
    problems = list(missing(ROOT, tag, repository))
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    page = ROOT / "build" / "release-notes.md"
    page.parent.mkdir(exist_ok=True)
    text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag.removeprefix("v"))
    page.write_text(f"{text}\n", encoding="utf-8")
    print(f"{tag} can be released from {repository}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
