"""The whole house twice over, with the points in it, and one who starts again what has died."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import requests

from db import templates
from embedded import guard
from embedded.ports import HOST, any_free
from storage.bucket import bucket
from storage.door import take_picture
from tests.api.asking import PATIENCE_S, PHOTOS, post
from tests.canaries import HOOKS
from tests.conftest import wait_until
from tests.failpoints import ledger, points
from tests.failpoints.deeds import World
from tests.gateway.gateway import Gateway
from tests.tasks.house import read, wait_for_end

#: Two of each, so that while one stands still the other goes on; the children of `gpu` and `api` are two as well.
PROGRAMS = ("main-1", "main-2", "watch-1", "watch-2", "gpu", "api", "far-1", "far-2", "client")

WORKER = ("--without-gossip", "--without-mingle", "-l", "INFO")

ARGUMENTS: dict[str, Sequence[str]] = {
    "main": (*WORKER, "-Q", "main,resume", "-P", "threads", "-c", "8"), "gpu": (*WORKER, "-Q", "gpu", "-c", "2"),
    "api": ("api.app:create_app()", "-k", "api.reception.Reception", "--threads", "20", "-w", "2",
            "--no-control-socket"),
}  # fmt: skip

#: Seconds in which all programs must do their work, and must have ended.
READY_S, ENDING_S = 240, 10

#: What a program says when it does its work.
READY = {"main": "ready.", "gpu": "ready.", "watch": "watching as", "api": "Booting worker", "client": "sending"}


@dataclass(frozen=True)
class Program:
    """A program under test, in a group of its own."""

    process: int
    log: Path

    def said(self) -> str:
        """Give all that it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """End the whole group, as a power cut would."""
        guard.tell(-self.process, signal.SIGKILL)


class House:
    """What runs, what it is told of the world, and what it wrote down."""

    def __init__(self, folder: Path, gateway: Gateway, far_tools: Sequence[str]) -> None:
        self.folder, self.gateway, self.far_tools = folder, gateway, far_tools
        for name in ("armed", "fired", "asks"):
            (folder / name).mkdir()
        self.port = any_free(set())
        self.site = f"http://{HOST}:{self.port}"
        self.running: dict[str, Program] = {}
        self.starts = 0
        self.over = Event()
        self.guard = Thread(target=self.keep_up, name="supervisor", daemon=True)
        self.mother = subprocess.Popen(
            [sys.executable, "-m", "tests.failpoints.programs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self) -> None:
        """Start it all, and wait until it does its work."""
        for name in PROGRAMS:
            self.start_one(name)
        for name in PROGRAMS:
            wait_until(partial(self.is_ready, name), READY_S, self.running[name].said)
        self.guard.start()
        self.world = self.furnish()

    def start_one(self, name: str) -> None:
        """Start one program."""
        role, self.starts = name.partition("-")[0], self.starts + 1
        arguments = [*ARGUMENTS.get(role, ())]
        arguments += {"api": ["-b", f"{HOST}:{self.port}"]}.get(role, ["-n", f"{name}.{self.starts}@here"])
        env = {points.FOLDER: str(self.folder), points.ROLE: role, "PYTHONUNBUFFERED": "1", **self.env(name)}
        log = self.folder / f"{self.starts}-{name}.log"
        told = {"role": role, "arguments": arguments, "env": env, "log": str(log)}
        assert self.mother.stdin
        assert self.mother.stdout
        self.mother.stdin.write(json.dumps(told) + "\n")
        self.mother.stdin.flush()
        self.running[name] = Program(int(self.mother.stdout.readline()), log)

    def env(self, name: str) -> Mapping[str, str]:
        """Give a program's environment."""
        if name.startswith("far"):
            return self.gateway.worker_env(name)
        return {**self.gateway.customer_env(*self.far_tools), "HOOK_SECRET": HOOKS, "PUBLIC_URL": self.site}

    def is_ready(self, name: str) -> bool:
        """Tell whether a program does its work."""
        if name.startswith("far"):
            return name in self.gateway.cloud.lines
        return READY[name.partition("-")[0]] in self.running[name].said()

    def keep_up(self) -> None:
        """Start again what has died."""
        while not self.over.wait(0.1):
            for name, program in list(self.running.items()):
                if not state(program.process):
                    program.kill()  # what is left of its group
                    self.start_one(name)

    def end(self) -> None:
        """Ask all to end, so that they can write down which lines they ran; kill what does not, and what is left."""
        self.over.set()
        if self.guard.is_alive():
            self.guard.join()
        for program in self.running.values():
            guard.tell(program.process, signal.SIGTERM)
        until = time.monotonic() + ENDING_S
        while time.monotonic() < until and any(state(program.process) for program in self.running.values()):
            time.sleep(0.05)
        for program in self.running.values():
            program.kill()
        self.mother.communicate()

    def furnish(self) -> World:
        """Have a model, a template, a picture, photos and a mask made."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for photo in PHOTOS[:4]:
                archive.write(photo, photo.name)
        form = {"model_name": "Bag", "trigger_word": "TOK_BAG", "steps": "5", "resolution": "256"}
        files = {"images": ("photos.zip", packed.getvalue())}
        trained = requests.post(f"{self.site}/api/train", data=form, files=files, timeout=PATIENCE_S).json()
        picture = take_picture(PHOTOS[0].read_bytes())
        told = {"image_url": picture, "object_name": "handbag", "mask_dilation": 4, "mask_blur": 4}
        masked = post(f"{self.site}/api/mask/async", told).json()
        training, mask = wait_for_end(trained["job_id"], masked["job_id"], patience_s=READY_S)
        template = templates.create("On marble", "trigger_keyword on a marble table", None)
        return World(self.site, training["result"]["model_id"], template["id"], picture,
                     given_of(trained["job_id"])["images"], mask["result"]["r2_path"])  # fmt: skip

    def runs(self) -> list[Any]:
        """Read which handler ran when."""
        return ledger.read(self.folder)

    def arm(self, point: str, mark: str, fault: str) -> None:
        """Let a fault wait at a point for a job with this mark."""
        (self.folder / "armed" / f"{point}!{mark}!{fault}").touch()

    def disarm(self) -> None:
        """Let no fault wait any more."""
        for armed in (self.folder / "armed").iterdir():
            armed.unlink(missing_ok=True)

    def ask(self, deed: str, mark: str) -> None:
        """Have the client send a canvas."""
        made = self.folder / "asks" / f"{mark}.new"
        made.write_text(json.dumps([deed, mark, asdict(self.world)]))
        made.rename(made.with_suffix(".ask"))

    def met(self, point: str, mark: str) -> int | None:
        """Give the process that has met the fault."""
        found = next((self.folder / "fired").glob(f"{point}!{mark}!*"), None)
        return int(found.name.rpartition("!")[2]) if found else None

    def tell(self, process: int, word: str) -> None:
        """Write down that a process has died, or stands, or goes on."""
        ledger.write(self.folder, word=word, pid=process)


def given_of(job_id: str) -> dict[str, Any]:
    """Read what a job was given, with its files let in."""
    return dict(read(job_id)["params"])


def state(process: int) -> str:
    """Give the state of a process, as T for one that stands still; empty when it is gone, or only to be buried."""
    try:
        found = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if found in "ZX" else found


def go_on(process: int) -> None:
    """Let a process that stands still go on."""
    os.kill(process, signal.SIGCONT)


@contextmanager
def built(folder: Path, far_tools: Sequence[str]) -> Iterator[House]:
    """Build a house in which RunPod does these tools."""
    gateway = Gateway()
    gateway.start()
    bucket.cache_clear()
    house = House(folder, gateway, far_tools)
    try:
        house.start()
        yield house
    finally:
        house.end()
        gateway.stop()
        bucket.cache_clear()
