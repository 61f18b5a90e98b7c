"""Hooks of the docs site: what can be made from the code is made when the site is built, so that none of it is stale.

A page marks the place with a comment, such as `<!-- params: mask -->`.
"""

import re
from collections.abc import Callable
from typing import Any

from mkdocs.exceptions import PluginError

from scripts import pages_api, pages_tools
from tools import catalog

MARK = re.compile(r"<!-- (\w+): (\w+) -->")

#: What a mark can ask for → who writes it; it is told what stands behind the colon.
WRITERS: dict[str, Callable[[str], str]] = {
    "params": lambda name: pages_tools.write_params(catalog.find(name)),
    "result": lambda name: pages_tools.write_result(catalog.find(name)),
    "errors": lambda name: pages_tools.write_errors(catalog.find(name)),
    "preview": lambda name: pages_tools.write_preview(catalog.find(name)),
    "words": pages_tools.write_words,
    "routes": pages_api.write_routes,
    "headers": pages_api.write_headers,
    "schema": pages_api.write_schema,
    "problems": lambda _: pages_tools.write_problems(),
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put what is made from the code in the place of its mark. Called by MkDocs for each page."""

    def write(mark: re.Match[str]) -> str:
        what, of = mark.groups()
        if what not in WRITERS:
            raise PluginError(f"{page.file.src_uri}: nobody writes {what}; there are {', '.join(WRITERS)}.")
        return WRITERS[what](of)

    return MARK.sub(write, markdown)
