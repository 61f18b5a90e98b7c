"""Files of JSON, one line for each thing that happened: many processes add to one, and a killed one leaves it whole."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def add(path: Path | str, **told: Any) -> None:
    """Add a line, in one piece; `at` is in seconds since the epoch, now unless it is given."""
    text = json.dumps({"at": time.time(), **told})
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{text}\n".encode())
    finally:
        os.close(file)


def read(path: Path) -> list[Line]:
    """Read all lines; a file that nobody wrote has none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write them all at once."""
    path.write_text("".join(json.dumps(line, default=str) + "\n" for line in lines))
