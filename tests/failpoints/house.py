"""The whole house twice over, with the points in it, and one who starts again what has died."""

import io
import json
import os
import signal
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import requests

from db import templates
from embedded.ports import HOST, any_free
from storage.bucket import bucket
from storage.door import take_picture
from tests.api.asking import PATIENCE_S, PHOTOS, post
from tests.conftest import Process, Processes
from tests.failpoints import ledger, points
from tests.failpoints.deeds import World
from tests.gateway.far import SECRET
from tests.gateway.gateway import Gateway
from tests.tasks.house import read, wait_for_end

#: Two of each, so that while one stands still the other goes on; the children of `gpu` and `api` are two as well.
PROGRAMS = ("main-1", "main-2", "watch-1", "watch-2", "gpu", "api", "far-1", "far-2", "client")

CELERY = ("celery", "-A", "tests.failpoints.rig", "worker", "--without-gossip", "--without-mingle", "-l", "INFO")

COMMANDS: dict[str, Sequence[str]] = {
    "main": (*CELERY, "-Q", "main,resume", "-P", "threads", "-c", "8"),
    "gpu": (*CELERY, "-Q", "gpu", "-c", "2"),
    "watch": ("python", "-m", "tests.failpoints.rig"),
    "client": ("python", "-m", "tests.failpoints.rig"),
    "far": ("python", "-m", "tests.failpoints.far"),
}

#: Seconds in which all programs must do their work, started at one moment on two slow cores.
READY_S = 240

#: What a program says when it does its work.
READY = {"main": "ready.", "gpu": "ready.", "watch": "watching as", "api": "Booting worker", "client": "sending"}


class House:
    """What runs, what it is told of the world, and what it wrote down."""

    def __init__(self, starter: Processes, gateway: Gateway, far_tools: Sequence[str]) -> None:
        self.starter, self.gateway, self.far_tools = starter, gateway, far_tools
        self.folder = starter.folder
        for name in ("armed", "fired", "asks"):
            (self.folder / name).mkdir()
        self.port = any_free(set())
        self.site = f"http://{HOST}:{self.port}"
        self.running: dict[str, Process] = {}
        self.starts = 0
        self.over = Event()
        self.guard = Thread(target=self.keep_up, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start it all, and wait until it does its work."""
        for name in PROGRAMS:
            self.start_one(name)
        for name in PROGRAMS:
            self.running[name].wait_for(partial(self.is_ready, name), READY_S)
        self.guard.start()
        self.world = self.furnish()

    def start_one(self, name: str) -> None:
        """Start one program."""
        role, self.starts = name.partition("-")[0], self.starts + 1
        env = {points.FOLDER: str(self.folder), points.ROLE: role, **self.env(name)}
        command = list(self.gunicorn if role == "api" else COMMANDS[role])
        if command[0] == "celery":
            command += ["-n", f"{name}.{self.starts}@here"]
        self.running[name] = self.starter.start(*command, env=env)

    @property
    def gunicorn(self) -> list[str]:
        """Say how the API is started; loaded before its workers are, so that a killed one is soon replaced."""
        return ["gunicorn", "tests.failpoints.served:create_app()", "-k", "gthread", "--threads", "20", "-w", "2",
                "-b", f"{HOST}:{self.port}", "--no-control-socket", "--preload"]  # fmt: skip

    def env(self, name: str) -> Mapping[str, str]:
        """Give a program's environment."""
        if name.startswith("far"):
            return self.gateway.worker_env(name)
        return {**self.gateway.customer_env(*self.far_tools), "HOOK_SECRET": SECRET, "PUBLIC_URL": self.site}

    def is_ready(self, name: str) -> bool:
        """Tell whether a program does its work."""
        if name.startswith("far"):
            return name in self.gateway.cloud.lines
        return READY[name.partition("-")[0]] in self.running[name].said()

    def keep_up(self) -> None:
        """Start again what has died."""
        while not self.over.wait(0.1):
            for name, process in list(self.running.items()):
                if process.popen.poll() is not None:
                    process.kill()  # what is left of its group
                    self.start_one(name)

    def end(self) -> None:
        """Keep it up no more."""
        self.over.set()
        self.guard.join()

    def furnish(self) -> World:
        """Have a model, a template, a picture, photos and a mask made."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for photo in PHOTOS[:2]:
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
def built(starter: Processes, far_tools: Sequence[str]) -> Iterator[House]:
    """Build a house in which RunPod does these tools."""
    gateway = Gateway()
    gateway.start()
    bucket.cache_clear()
    house = House(starter, gateway, far_tools)
    try:
        house.start()
        yield house
    finally:
        house.end() if house.guard.is_alive() else None
        starter.end()
        gateway.stop()
        bucket.cache_clear()
