"""One service of docker-compose.yml, run from its image's folder within walls, as an engine would run it."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.footprint import descendants, pss
from benchmarks.walls import NOWHERE, Walls
from scripts.images import Stage
from tests.conftest import Process, Processes

#: What Docker sets where an image says nothing else.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: How long Docker lets a container end by itself, in seconds, if nobody says more.
GRACE_S = 10.0

#: What a program says that could not write somewhere.
REFUSED = re.compile(r"Read-only file system|Permission denied|Operation not permitted")

#: What a program is in there, as it says itself.
NOBODY: Mapping[str, Any] = {
    "user": [10001, 10001, 10001], "groups": [], "capabilities": [], "new_privileges": False,
}  # fmt: skip

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass
class Service:
    """What the file says of it, the image that it runs, and what was seen of it."""

    name: str
    said: Mapping[str, Any]
    stage: Stage
    walls: Walls
    env: Mapping[str, str]
    process: Process | None = None
    #: The most that it had at once, in bytes: in /tmp alone, and with its memory.
    tmp: int = 0
    memory: int = 0

    @property
    def running(self) -> Process:
        """The process that made its walls."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process

    @property
    def first(self) -> int:
        """Its first process, as the machine counts them."""
        (child,) = map(
            int, Path(f"/proc/{self.running.popen.pid}/task/{self.running.popen.pid}/children").read_text().split()
        )
        return child

    @property
    def limit(self) -> int:
        """The memory that it may have, in bytes."""
        return size(self.said["deploy"]["resources"]["limits"]["memory"])

    @property
    def grace_s(self) -> float:
        """How long it may take to end, in seconds."""
        return float(self.said["stop_grace_period"].rstrip("s")) if "stop_grace_period" in self.said else GRACE_S

    def start(self, starter: Processes) -> None:
        """Start it."""
        command = self.walls.around(self.stage.starting(self.said.get("command")))
        self.process = starter.start(*command, env=self.env, whole=True)

    def is_healthy(self) -> bool:
        """Ask it what the file would have it asked."""
        how, *rest = self.said["healthcheck"]["test"]
        return self.walls.run(rest if how == "CMD" else ["sh", "-c", *rest], self.env).returncode == 0

    def weigh(self) -> None:
        """See how much it has now: an engine counts what lies in /tmp as memory."""
        disk = os.statvfs(self.scratchpad)
        written = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        self.tmp = max(self.tmp, written)
        self.memory = max(self.memory, written + sum(pss(each) for each in (self.first, *descendants(self.first))))

    def excess(self) -> list[str]:
        """List what a program in there may do that the file does not say."""
        seen = self.walls.look(self.env)
        writable = sorted(set(seen.pop("writable")) - self.scratch)
        others = [f"{name} {value}" for name, value in seen.items() if value != NOBODY[name]]
        return [f"{self.name}: {word}" for word in (*others, *(f"writes {place}" for place in writable))]

    @property
    def scratchpad(self) -> Path:
        """Its /tmp, as we see it from outside."""
        return Path("/proc", str(self.first), "root", "tmp")

    @property
    def scratch(self) -> set[str]:
        """The folders that it may write; in /proc the kernel allows nobody anything."""
        return {"/tmp", "/dev/shm", "/proc", *(["/data"] if self.walls.data else [])}  # noqa: S108 - in there

    def leftovers(self) -> list[str]:
        """Name what handlers and uploads left in its /tmp: all else there is a program's own while it runs."""
        return [f"{self.name}: /tmp/{path.name}" for path in self.scratchpad.glob("packshot-*")]

    def stop(self) -> float:
        """Ask it to end, as an engine does, and kill it after its time; the seconds that it took."""
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        try:
            self.running.popen.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.running.kill()
        return time.monotonic() - began

    def complaints(self) -> list[str]:
        """List the lines in which it says that it could not write."""
        return [f"{self.name}: {line}" for line in self.running.said().splitlines() if REFUSED.search(line)]


def size(text: str) -> int:
    """Read a size as the file writes it."""
    return int(text[:-1]) * UNITS[text[-1].upper()]


def environment(stage: Stage, told: Mapping[str, str], name: str) -> dict[str, str]:
    """Give a process what its image and the file say, and what Docker adds."""
    own = {word: value.replace("$PATH", PATH) for word, value in stage.env.items()}
    return {"PATH": PATH, "HOSTNAME": name, "HOME": NOWHERE, **own, **told}
