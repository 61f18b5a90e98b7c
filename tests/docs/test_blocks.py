"""What a reader can copy does what the page says, on a real house."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, RUN, SHOWN, Block, pages, read_blocks, runnable
from tests.docs.reader import Reader

#: What the targets of make that a page names run, as `make --dry-run` shows it.
TARGETS = {
    "demo": "packshot demo", "up": "packshot up", "test": "-m pytest", "lint": "ruff check", "docs": "mkdocs build",
    "chaos": "-m tests.chaos", "hooks": "-m tests.hooks", "test-comfyui": "comfyui/live.py",
}  # fmt: skip


#: Statements of Python that have others within them.
COMPOUND = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in pages() if any(runnable(page))], ids=name)
def test_every_block_runs_and_prints_what_the_page_says(page: Path, reader: Reader) -> None:
    for block in runnable(page):
        said = reader.run(block)
        assert block.agrees(said), f"{block.page}:{block.line} says\n{block.prints}\nand prints\n{said}"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_no_block_hides_behind_another_language(page: Path) -> None:
    assert [block for block in read_blocks(page) if block.language not in RUN | SHOWN] == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_can_be_pasted_into_any_terminal(page: Path) -> None:
    blocks = [block for block in read_blocks(page) if block.language in RUN]
    # zsh, which is what a Mac opens, takes a comment for words; and what lies in /tmp may be somebody else's.
    assert [block for block in blocks if re.search(r"(^|\s)# |/tmp\b", block.code) and block.language == "sh"] == []
    # Python wants an empty line behind what is indented, where it is typed.
    assert [block for block in blocks if block.language == "python" and typed_wrong(block.code)] == []


def typed_wrong(code: str) -> bool:
    """Tell whether a prompt of Python would refuse it: each statement of several lines is over at an empty one."""
    ends = [statement.end_lineno or 0 for statement in ast.parse(code).body if isinstance(statement, COMPOUND)]
    lines = code.splitlines()
    return any(lines[end : end + 1] not in ([], [""]) for end in ends)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_targets_are_there_and_looked_up_but_not_run(target: str) -> None:
    shown = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert TARGETS[target] in shown


def test_no_page_names_a_target_that_is_not_looked_up() -> None:
    named = {target for page in pages() for block in read_blocks(page) for target in block.targets}
    assert named <= TARGETS.keys()
    assert {"demo", "test", "up"} <= named


def test_a_block_may_print_any_part_of_a_line_where_the_page_has_dots() -> None:
    block = Block("page", 1, "sh", "", "from … to …\n")
    assert block.agrees("from here to there\n")
    assert not block.agrees("from here")
    assert not block.agrees("from here to there\nand back")
    assert not Block("page", 1, "sh", "", "all").agrees("all and more")
