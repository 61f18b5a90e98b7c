"""The docs site: it builds, it is whole, and a reader's visit stays his own affair."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from api import openapi
from scripts import pages as hooks
from tests.docs.blocks import ROOT
from tools import errors
from tools.catalog import TOOLS
from tools.contract import Tool


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


class Loaded(HTMLParser):
    """Collects what a browser loads for a page, which a link that a reader may follow is not."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "srcset", "data"}]


def read(site: Path, page: str) -> str:
    return (site / page).read_text()


def first_cells(html: str) -> set[str]:
    return set(re.findall(r"<tr>\s*<td><code>(\w+)</code></td>", html))


def loads(site: Path) -> Iterator[str]:
    for page in site.rglob("*.html"):
        yield from Loaded(page.read_text()).addresses
    for style in site.rglob("*.css"):
        yield from re.findall(r"url\([\"']?([^)\"']+)", style.read_text())


def test_no_page_loads_anything_from_a_stranger(site: Path) -> None:
    found = list(loads(site))
    assert len(found) > 100
    assert [address for address in found if re.match(r"(https?:)?//", address)] == []


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_each_tool_has_a_page_with_all_its_params_and_fields(site: Path, tool: Tool) -> None:
    _, _, page = read(site, f"tools/{tool.name}.html").partition('id="params"')
    params, _, rest = page.partition('id="answer"')
    fields, _, _ = rest.partition("</table>")
    assert first_cells(params) == set(tool.params.model_fields)
    assert first_cells(fields) == set(tool.result.model_fields)


def test_the_api_page_has_every_route_and_every_code(site: Path) -> None:
    page = read(site, "api.html")
    for path, verbs in openapi.describe(list(TOOLS.values()), "")["paths"].items():
        for verb in verbs:
            assert f"<code>{verb.upper()} {path}</code>" in page
    for error in errors.every():
        assert f"<code>{error.code}</code>" in page


def test_a_tools_page_names_what_its_handler_can_raise(site: Path) -> None:
    told = {name: {code for code in ("object_not_found", "mask_unusable", "model_not_ready", "bad_archive")
                   if f"<code>{code}</code>" in read(site, f"tools/{name}.html")} for name in TOOLS}  # fmt: skip
    assert told["mask"] == {"object_not_found"}
    assert told["inpaint"] == {"object_not_found", "mask_unusable"}
    assert told["train"] == {"object_not_found", "bad_archive"}
    assert told["generate"] == {"model_not_ready"}
    assert told["resolve_template"] == set()


def test_a_mark_that_nobody_writes_fails_the_build() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    with pytest.raises(PluginError, match="nobody writes parms"):
        hooks.on_page_markdown("<!-- parms: mask -->", page=page)
    assert hooks.on_page_markdown("An <!-- aside: here --> stays.", page=page) == "An <!-- aside: here --> stays."
