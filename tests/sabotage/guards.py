"""The guards of the house, read from `guards.toml`, and how one is removed from a copy of the tree."""

import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.test_house import ROOT, called, tracked


@dataclass(frozen=True)
class Guard:
    """One guard: `text` stands in `file` once, and `without` is what is left when the guard is gone."""

    name: str
    file: str
    text: str
    without: str
    #: Below `tests/`: files, or `file::test`. One of them at least must see that the guard is gone.
    tests: tuple[str, ...]

    @contextmanager
    def removed(self, tree: Path) -> Iterator[None]:
        """Remove it from a copy of the tree, and put it back."""
        path = tree / self.file
        whole = path.read_text()
        path.write_text(whole.replace(self.text, self.without))
        try:
            yield
        finally:
            path.write_text(whole)


def read() -> list[Guard]:
    """Read the table."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    return [Guard(name, **{**row, "tests": tuple(row["tests"])}) for name, row in table.items()]


@contextmanager
def copied() -> Iterator[Path]:
    """Copy the tree to where it can be broken."""
    tree = Path(tempfile.mkdtemp(prefix="packshot-sabotage-"))
    try:
        for path in tracked():
            copy = tree / called(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        yield tree
    finally:
        shutil.rmtree(tree)


__all__ = ["ROOT", "Guard", "copied", "read"]
