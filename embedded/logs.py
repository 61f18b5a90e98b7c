"""What the children say: a file each, which the terminal follows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COLOURS = (36, 33, 35, 32, 34, 31, 96, 93, 95)


@dataclass
class Log:
    """One log file. The child writes it itself, so a terminal that stands still holds nobody up."""

    path: Path
    _seen: int = 0
    _rest: bytes = b""

    def __post_init__(self) -> None:
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".log.1"))

    def new_lines(self) -> Iterator[str]:
        """Give the whole lines that were written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._seen)
            new = file.read()
        self._seen += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")

    def last_lines(self, count: int) -> list[str]:
        """Give the end of it."""
        return self.path.read_text(errors="replace").splitlines()[-count:]


def prefixed(name: str, line: str, place: int, *, colour: bool) -> str:
    """Put the name of the child before its line."""
    label = f"{name:<10}│"
    return f"\x1b[{COLOURS[place % len(COLOURS)]}m{label}\x1b[0m {line}" if colour else f"{label} {line}"
