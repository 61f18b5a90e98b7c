"""Links and anchors between the project's pages lead somewhere, also for who reads them without the site."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import FENCE, ROOT

LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<words>.+?)(?: +\{ *#(?P<name>[\w-]+) *\})?$", re.MULTILINE)


def pages() -> list[Path]:
    folders = (ROOT, *(path.parent for path in ROOT.glob("*/README.md")), ROOT / "docs", ROOT / "docs" / "tools")
    return sorted({page for folder in folders for page in folder.glob("*.md")})


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    return {heading["name"] or slug(heading["words"]) for heading in HEADING.finditer(prose(page))}


def slug(words: str) -> str:
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_and_anchor_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_the_pages_that_a_stranger_reads_are_among_them() -> None:
    names = {page.name for page in pages()}
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "quickstart.md", "mask.md"} <= names
    assert sum(len(LINK.findall(prose(page))) for page in pages()) > 40


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading, here\n## Named { #other }\n[1](#a-heading-here) [2](#other) [3](#named) [4](no.md)\n")
    assert list(broken(page)) == ["#named", "no.md"]
