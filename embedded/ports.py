"""Which ports the embedded servers listen on: chosen free once, kept as long as they stay free."""

import json
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.errors import Unavailable

HOST = "127.0.0.1"

#: Ports that nobody is given unasked: on Linux those for outgoing connections begin at 32768, elsewhere higher.
LOWEST, HIGHEST = 20_000, 32_767


@dataclass(frozen=True)
class Wishes:
    """What somebody wants of the ports, by name."""

    #: These, or we do not start.
    fixed: Mapping[str, int] = field(default_factory=dict)
    #: These, if they are free.
    preferred: Mapping[str, int] = field(default_factory=dict)


def choose(names: tuple[str, ...], kept: Path, wishes: Wishes) -> dict[str, int]:
    """Give each name a free port: the one it had, else the preferred one, else any; and write them down in `kept`."""
    for name, port in wishes.fixed.items():
        if list(wishes.fixed.values()).count(port) > 1 or not is_free(port):
            raise Unavailable(
                f"Port {port} is taken: end what uses it, or set {name.upper()}_PORT to another, or to 0."
            )
    had: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
    chosen = dict(wishes.fixed)
    for name in names:
        if name not in chosen:
            taken, wished = set(chosen.values()), (had.get(name, 0), wishes.preferred.get(name, 0))
            free = (port for port in wished if port and port not in taken and is_free(port))
            chosen[name] = next(free, 0) or any_free(taken)
    kept.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen


def any_free(taken: set[int]) -> int:
    """Find a port that is free now and not among `taken`.

    Not one that the kernel would choose: it takes from the same ones for connections that go out, and whoever connects
    may have it before our server has begun to listen.
    """
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1)
        if port not in taken and is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Tell whether somebody listens on this port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
