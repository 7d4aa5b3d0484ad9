"""Links in the documentation lead somewhere: to pages, files, images, and headings."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, name_of, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    # Inline code is left out of the prose, but it may be the text of a link.
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """A page's own anchors, and those that GitHub makes of its headings."""
    found = set(re.findall(r'<a id="([^"]+)"></a>', page.read_text(encoding="utf-8")))
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        there = target.exists() and ROOT in [target, *target.parents]
        if not there or (parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_image_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in links(page) if not urlsplit(link).scheme
    }
    assert set((DOCS / "images").iterdir()) <= shown


@pytest.mark.parametrize("image", sorted((DOCS / "images").glob("*.png")), ids=lambda p: p.name)
def test_images_are_small(image: Path) -> None:
    assert image.stat().st_size < 200_000
