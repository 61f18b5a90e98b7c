"""The guards of the house, read from `guards.toml`, and how one is removed from a copy of the tree."""

import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import make_url

from tests.db.conftest import run
from tests.test_house import called, tracked


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
    def removed(self, root: Path) -> Iterator[None]:
        """Remove it from a copy of the tree, and put it back."""
        path = root / self.file
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


@dataclass(frozen=True)
class Tree:
    """A copy of the tree, and servers that are lent to its tests; without, they start their own."""

    root: Path
    servers: Mapping[str, str]

    def fresh(self) -> dict[str, str]:
        """Give the servers with a new database, whose tables the tests make anew."""
        name = f"sabotage_{uuid4().hex}"
        run(self.servers["DATABASE_URL"], f'CREATE DATABASE "{name}"')
        url = make_url(self.servers["DATABASE_URL"]).set(database=name).render_as_string(hide_password=False)
        return {**self.servers, "DATABASE_URL": url}


@contextmanager
def copied(servers: Mapping[str, str]) -> Iterator[Tree]:
    """Copy the tree to where it can be broken."""
    root = Path(tempfile.mkdtemp(prefix="packshot-sabotage-"))
    try:
        for path in tracked():
            copy = root / called(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        yield Tree(root, servers)
    finally:
        shutil.rmtree(root)
