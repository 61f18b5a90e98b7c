"""What each part of the house costs: processor time by process, read from the kernel."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

#: The servers, by the name of their program.
SERVERS = {"postgres": "PostgreSQL", "valkey-server": "Valkey", "redis-server": "Valkey", "weed": "bucket"}


#: A process: its program, its parent, and its seconds of processor time, with those of its children that have ended.
Known = tuple[str, int, float]


def read(parts: Mapping[int, str]) -> dict[str, float]:
    """Sum up the processor seconds of our programs (by process id), of all their children, and of the servers."""
    known = dict(read_all())
    spent: Counter[str] = Counter()
    for pid, (_, _, seconds) in known.items():
        if part := name(pid, parts, known):
            spent[part] += seconds
    return dict(spent)


def read_all() -> Iterator[tuple[int, Known]]:
    """Read all processes of the machine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                head, _, tail = (folder / "stat").read_text().rpartition(")")
                fields = tail.split()
                seconds = sum(map(int, fields[11:15])) / TICKS
                yield int(folder.name), (head.partition("(")[2], int(fields[1]), seconds)


def name(pid: int, parts: Mapping[int, str], known: Mapping[int, Known]) -> str | None:
    """Say which part a process belongs to, by the nearest one above it that has a name; None = not ours."""
    server = None
    while pid in known:
        program, parent, _ = known[pid]
        server = server or SERVERS.get(program)
        if pid in parts:
            return server or parts[pid]
        pid = parent
    return None
