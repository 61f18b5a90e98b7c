"""Equal seeds give equal films, not only equal frames before they are encoded."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.handlers.workbench import PHOTOS

FILM = """
import shutil, sys, threading
from pathlib import Path
from gpu_handlers.video.preview import run
from gpu_handlers.work import Work
from tools.video import VIDEO
photo, folder = map(Path, sys.argv[1:])
work = Work(folder, lambda _, path: Path(shutil.copy(photo, path)), lambda *_: None, threading.Event())
run(VIDEO.check({"image_url": "r2://b/uploads/a.png", "seed": 7}), work)
"""


def film(folder: Path, dirt: int) -> list[NDArray[np.uint8]]:
    """Make a film in a process whose fresh memory is filled with `dirt`, and decode it."""
    folder.mkdir()
    command = [sys.executable, "-c", FILM, str(PHOTOS[0]), str(folder)]
    subprocess.run(command, env={**os.environ, "MALLOC_PERTURB_": str(dirt)}, check=True)
    with av.open(str(folder / "film.mp4")) as made:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in made.decode(video=0)]


def test_a_film_does_not_depend_on_memory_that_nobody_wrote(tmp_path: Path) -> None:
    first, second = film(tmp_path / "first", 17), film(tmp_path / "second", 203)
    assert len(first) == len(second) == 33
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
