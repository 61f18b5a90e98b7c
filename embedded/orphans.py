"""Ends what an earlier run left behind, in case its guard was killed together with its supervisor."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

#: Every child and what it starts carries this variable, so that none is missed, and no stranger is met.
MARK = "PACKSHOT_HOUSE"


def end(data: Path, patience_s: float = 5) -> None:
    """End every process of this house. Only who holds its lock may call this. Does nothing where there is no /proc."""
    for number in (signal.SIGQUIT, signal.SIGKILL):  # every one of ours takes the first as: now, but in order
        for process in find(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        until = time.monotonic() + patience_s
        while any(find(data)) and time.monotonic() < until:
            time.sleep(0.05)


def find(data: Path) -> Iterator[int]:
    """Find the processes of this house by their mark."""
    mark = f"{MARK}={data}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        if mark in environment.split(b"\0"):
            yield int(process.name)
