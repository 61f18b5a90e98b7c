"""The blocks of a page: what a reader would copy, and what the page says that it prints."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

#: Languages that are run, and those that are only shown.
RUN, SHOWN = {"sh", "python"}, {"text", "json", "ini", "javascript"}

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<said>[^`\n]*)\n(?P<code>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)

#: A block of such lines starts the house, or does what tests do: a test cannot run that inside of itself.
MAKE = re.compile(r"make ([\w-]+)(?:\s+[A-Z]+=\S+)*(?:\s+#.*)?")


@dataclass(frozen=True)
class Block:
    """One fenced block; `prints` is the `text` that follows it directly, with … for any part of a line."""

    page: str
    line: int
    language: str
    code: str
    prints: str | None = None

    @property
    def targets(self) -> list[str]:
        """The targets of make that it names, if it does nothing else."""
        lines = [MAKE.fullmatch(line) for line in self.code.strip().splitlines()]
        return [line[1] for line in lines if line] if all(lines) else []

    def agrees(self, said: str) -> bool:
        """Tell whether what it printed is what the page says."""
        if self.prints is None:
            return True
        pattern = ".*".join(re.escape(part) for part in self.prints.strip().split("…"))
        return re.fullmatch(pattern, said.strip()) is not None


def pages() -> list[Path]:
    """List the pages whose blocks are run."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """Read all blocks of a page, in order."""
    text = page.read_text()
    name = page.relative_to(ROOT).as_posix()
    found = list(FENCE.finditer(text))
    return [read_block(name, text, one, after) for one, after in zip_longest(found, found[1:])]


def read_block(name: str, text: str, fence: re.Match[str], after: re.Match[str] | None) -> Block:
    """Read one block, and the one after it if that says what this one prints."""
    told = after and language_of(after) == "text" and not text[fence.end() : after.start()].strip()
    return Block(
        page=name,
        line=text.count("\n", 0, fence.start()) + 1,
        language=language_of(fence),
        code=textwrap.dedent(fence["code"]),
        prints=textwrap.dedent(after["code"]) if after and told else None,
    )


def language_of(fence: re.Match[str]) -> str:
    """Tell the language of a block; one in any other form than a single word has none that we know."""
    return fence["said"].strip()


def runnable(page: Path) -> Iterator[Block]:
    """List the blocks of a page that a reader can copy into the session that he is in."""
    return (block for block in read_blocks(page) if block.language in RUN and not block.targets)
