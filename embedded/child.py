"""One process of the house, as a value: how it is run, seen to be ready, and stopped."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Owner(NamedTuple):
    """Whom a process runs as."""

    uid: int
    gid: int


def at_once() -> bool:
    """Say of a process without a probe that it is ready as soon as it runs."""
    return True


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Child:
    """What the supervisor must know about one process."""

    name: str
    command: tuple[str, ...]
    #: The whole environment; nothing is inherited.
    env: Mapping[str, str]
    cwd: Path
    #: Only root can give a process to another user.
    owner: Owner | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    #: What it gets when the supervisor itself was killed: a server is asked, everything else is ended.
    lost_signal: signal.Signals = signal.SIGKILL
    stop_s: float = 10
    ready_s: float = 30
    #: Done right before the start, such as making a data directory.
    prepare: Callable[[], None] = nothing
    ready: Callable[[], bool] = at_once
    #: It does one thing and ends, and only then the next child starts.
    once: bool = False
    #: The next child starts only when this one is ready; the others are waited for at the end, together.
    first: bool = True
