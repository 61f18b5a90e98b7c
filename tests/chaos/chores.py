"""Two tools that do nothing for a while and keep a diary: `near` on our own queue, `far` at RunPod."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from pathlib import Path

from celery import current_task
from PIL import Image

import gpu_handlers
from gpu_handlers.work import Work
from tests.chaos import lines
from tests.nap import NAP, NapParams
from tools.catalog import TOOLS
from tools.contract import Limits
from tools.errors import ObjectNotFound

#: The variable that names the file in which every run tells of itself.
DIARY = "CHAOS_DIARY"

#: Seconds between two signs of life in the diary.
BEAT_S = 0.25

#: Whose run this thread does, where no message says so.
ATTEMPT: ContextVar[str] = ContextVar("attempt", default="")

#: Seconds that a job of each tool may run, unless its caller says less.
TIMEOUT_S = 110

LIMITS = Limits(start_within_s=600, timeout_s=TIMEOUT_S, max_in_flight=120)
CHORES = {
    name: replace(NAP, name=name, files=f"{name}s", prefix=f"{name}s/", limits=LIMITS) for name in ("near", "far")
}

TOOLS.update(CHORES)
gpu_handlers.__path__.append(str(Path(__file__).parent / "rigged"))

runs = count(1)


def run(params: NapParams, work: Work) -> Path:
    """Sleep, and leave a small picture."""
    with noted(params.seed or 0) as tell:
        if params.fate == "refuse":
            raise ObjectNotFound("There is no bed in the picture: show one.")
        until = time.monotonic() + params.seconds
        while (left_s := until - time.monotonic()) > 0:
            tell("alive")
            work.report(0.9 - 0.8 * left_s / params.seconds, "napping")
            work.stop.wait(min(left_s, BEAT_S))
        path = work.folder / "nap.png"
        Image.new("RGB", (8, 8), ((params.seed or 0) % 256, 0, 0)).save(path)
        return path


@contextmanager
def noted(seed: int) -> Iterator["Tell"]:
    """Write down when a run begins and ends; one that is killed leaves its last sign of life."""
    attempt_id = str(current_task.request.id) if current_task else ATTEMPT.get()
    tell = Tell(attempt_id, f"{os.getpid()}-{next(runs)}", seed)
    tell("began")
    try:
        yield tell
    finally:
        tell("ended")


class Tell:
    """Adds to the diary of one run."""

    def __init__(self, attempt_id: str, name: str, seed: int) -> None:
        self.attempt_id, self.name, self.seed = attempt_id, name, seed

    def __call__(self, what: str) -> None:
        """Add a line."""
        if diary := os.environ.get(DIARY):
            lines.add(diary, what=what, attempt=self.attempt_id, run=self.name, seed=self.seed)
