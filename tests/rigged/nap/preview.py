"""Do nothing for a while, or end as one was told to; and keep a diary of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import current_task
from PIL import Image

from gpu_handlers.work import Work
from tests.nap import DIARY, NapParams
from tools.errors import ObjectNotFound, StorageFailed


def run(params: NapParams, work: Work) -> Path:
    """Sleep, stopping at once when told to, and leave a small picture."""
    with noted(params):
        meet(params.fate, work)
        for tenth in range(1, 10):
            work.report(tenth / 10, "napping")
            if work.stop.wait(params.seconds / 9):
                work.report(0.9, "stopped")
        path = work.folder / "nap.png"
        Image.new("RGB", (8, 8), (params.seed or 0) % 256).save(path)
        return path


def meet(fate: str, work: Work) -> None:
    """End as one was told to."""
    match fate:
        case "die":
            os._exit(9)
        case "fail":
            raise RuntimeError("nap was told to fail")
        case "refuse":
            raise ObjectNotFound("There is no bed in the picture: show one.", {"suggestions": ["sofa"]})
        case "starve":
            raise StorageFailed
        case "overflow":
            raise OutOfMemoryError("CUDA out of memory")
        case "swell":
            work.note(bulk="x" * 11_000_000)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@contextmanager
def noted(params: NapParams) -> Iterator[None]:
    """Write down when a run begins and when it ends; one that is killed leaves only its beginning."""
    write("began", params)
    try:
        yield
    finally:
        write("ended", params)


def write(word: str, params: NapParams) -> None:
    """Add a line to the diary, if there is one. On our own queue a message bears the attempt's id."""
    name = current_task.request.id if current_task else f"seed-{params.seed}"
    if diary := os.environ.get(DIARY):
        line = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(line, f"{word} {name}\n".encode())
        os.close(line)
