"""Which ports the embedded servers listen on: chosen free once, kept as long as they stay free."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"


def choose(names: tuple[str, ...], kept: Path, preferred: Mapping[str, int]) -> dict[str, int]:
    """Give each name a free port: the one it had, else the preferred one, else any; and write them down in `kept`."""
    had: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
    chosen: dict[str, int] = {}
    for name in names:
        wished = (had.get(name, 0), preferred.get(name, 0))
        chosen[name] = next((port for port in wished if port and is_free(port)), 0) or any_free(set(chosen.values()))
    kept.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen


def any_free(taken: set[int]) -> int:
    """Ask the kernel for a port that is free now and not among `taken`."""
    while True:
        with socket.socket() as listener:
            listener.bind((HOST, 0))
            port: int = listener.getsockname()[1]
        if port not in taken:
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
