"""Do nothing for a while, or end as one was told to; and keep a diary of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import current_task
from PIL import Image

from gpu_handlers.work import Work
from tests.rig import DIARY, NapParams


def run(params: NapParams, work: Work) -> Path:
    """Sleep, stopping at once when told to, and leave a small picture."""
    with noted():
        if params.fate == "die":
            os._exit(9)
        if params.fate == "fail":
            raise RuntimeError("nap was told to fail")
        work.report(0.1, "napping")
        if work.stop.wait(params.seconds):
            work.report(0.5, "stopped")
        path = work.folder / "nap.png"
        Image.new("RGB", (8, 8), (params.seed or 0) % 256).save(path)
        return path


@contextmanager
def noted() -> Iterator[None]:
    """Write down when a run begins and when it ends; one that is killed leaves only its beginning."""
    write("began")
    try:
        yield
    finally:
        write("ended")


def write(word: str) -> None:
    """Add a line to the diary, if there is one. The message of an attempt bears the attempt's id."""
    if diary := os.environ.get(DIARY):
        line = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(line, f"{word} {current_task.request.id}\n".encode())
        os.close(line)
