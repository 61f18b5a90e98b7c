"""The walls of a container, made of the kernel's namespaces: an image's disk, read-only, and nothing allowed."""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("walls.sh")

#: The user of our images, whose home is not there.
NOWHERE = "/nonexistent"
USER = f"packshot:x:10001:10001::{NOWHERE}:/bin/sh\n"

#: What a container would call the servers, all of them on this machine.
HOSTS = "127.0.0.1 localhost postgres valkey s3\n"

#: Raises a network interface: the request, and the flags "up" and "running".
SET_FLAGS, UP = 0x8914, 0x41

#: Says what a program in there is, and every folder below which somebody could write, whoever it is.
LOOK = """
import json, os
told = dict(line.split(":", 1) for line in open("/proc/self/status"))
mounts = [line.split()[1:4:2] for line in open("/proc/self/mounts")]
print(json.dumps({
    "user": os.getresuid(), "groups": sorted({*os.getgroups()} - {os.getgid()}),
    "capabilities": [name for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb") if int(told[name], 16)],
    "new_privileges": told["NoNewPrivs"].strip() != "1",
    "writable": [place for place, options in mounts if "ro" not in options.split(",") and os.path.isdir(place)],
}))
"""


def missing() -> str:
    """Say why this machine cannot make such walls; empty if it can."""
    command = ["unshare", *stranger("--map-root-user"), "--net", "--mount", "--pid", "--fork", "--uts",
               "setpriv", "--inh-caps=-all", "true"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return done.stderr.strip() if done.returncode else ""


def stranger(*options: str) -> list[str]:
    """Give what somebody needs for namespaces who is not root: one of users before."""
    return ["--user", *options] if os.geteuid() else []


def apart(*command: str) -> int:
    """Run a command in a network of its own, where every port is free and nobody else is; what it ends with."""
    own = ["unshare", *stranger("--map-current-user", "--keep-caps"), "--net"]
    with subprocess.Popen([*own, *command]) as running:  # noqa: S603 - ours
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())  # who ends us means it
        return running.wait()


def raise_loopback() -> None:
    """Let programs of one network reach each other: a new one begins without."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


@dataclass(frozen=True)
class Walls:
    """What is around the programs of one container."""

    #: Holds the image's `app` and `venv`.
    place: Path
    name: str
    #: Options of /tmp, as a compose file has them.
    tmp: str = ""
    #: A folder that is its volume /data.
    data: Path | None = None

    def __post_init__(self) -> None:
        etc = self.place / "etc"
        etc.mkdir(exist_ok=True)
        (self.place / "root").mkdir(exist_ok=True)
        for name, said in (("hosts", HOSTS), ("passwd", USER), ("group", "packshot:x:10001:\n")):
            (etc / name).write_text(said)
        if self.data and not os.geteuid():
            os.chown(self.data, 10001, 10001)

    def around(self, command: Sequence[str]) -> list[str]:
        """Say how a command is run in there: as the first process, like in a container."""
        spaces = ["--mount", "--pid", "--fork", "--kill-child", "--uts"]
        told = [str(self.place), sys.base_prefix, self.name, self.tmp or "rw", str(self.data or "")]
        return ["unshare", *stranger("--map-root-user"), *spaces, "sh", str(SCRIPT), *told, *command]

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, as `docker exec` would."""
        return subprocess.run(self.around(command), env=env, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    def look(self, env: Mapping[str, str]) -> dict[str, Any]:
        """Say what a program in there is and may do."""
        done = self.run(["python", "-c", LOOK], env)
        if done.returncode:
            raise RuntimeError(done.stderr)
        seen: dict[str, Any] = json.loads(done.stdout)
        return seen
