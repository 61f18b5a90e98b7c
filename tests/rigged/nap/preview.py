"""Do nothing for a while, or end as one was told to."""

import os
from pathlib import Path

from PIL import Image

from gpu_handlers.work import Work
from tests.rig import NapParams


def run(params: NapParams, work: Work) -> Path:
    """Sleep, stopping at once when told to, and leave a small picture."""
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
