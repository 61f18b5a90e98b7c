"""A shelf of local files with r2:// addresses, and a place to run handlers at."""

import shutil
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from gpu_handlers.work import Work
from settings import settings
from tools import catalog

PHOTOS = sorted((Path(__file__).parents[2] / "embedded" / "photos").glob("*.png"))

Pixels = NDArray[np.uint8]


@dataclass
class Done:
    """What a handler made, and what it said."""

    path: Path
    work: Work
    told: list[tuple[float, str]]

    @property
    def pixels(self) -> Pixels:
        with Image.open(self.path) as image:
            return np.asarray(image)

    @property
    def warned(self) -> set[tuple[str, str | None]]:
        return {(note.code, note.pointer) for note in self.work.warnings}


@dataclass
class Bench:
    """A shelf of files with r2:// addresses, and a place to run handlers at."""

    shelf: Path
    runs: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def put(self, name: str, pixels: Pixels | Path) -> str:
        """Lay a picture (or any file) on the shelf; returns its address."""
        if isinstance(pixels, Path):
            shutil.copy(pixels, self.shelf / name)
        else:
            Image.fromarray(pixels).save(self.shelf / name, "PNG")
        return f"r2://{settings().s3_bucket}/uploads/{name}"

    def zip(self, name: str, *photos: Path) -> str:
        """Lay a zip of photos on the shelf."""
        with zipfile.ZipFile(self.shelf / name, "w") as archive:
            for number, photo in enumerate(photos, 1):
                archive.write(photo, f"{number:04}.png")
                archive.writestr(f"{number:04}.txt", "TOK_BAG, a photo")
        return f"r2://{settings().s3_bucket}/uploads/{name}"

    def do(self, tool: str, params: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]] | None = None) -> Done:
        """Run the preview handler of a tool."""
        self.runs += 1
        folder = self.shelf / f"run-{self.runs}"
        folder.mkdir()
        told: list[tuple[float, str]] = []
        work = Work(folder, self._fetch, lambda *told_now: told.append(told_now), self.stop, found)
        run = import_module(f"gpu_handlers.{tool}.preview").run
        return Done(run(catalog.find(tool).check(params), work), work, told)

    def model(self, name: str, *photos: Path) -> dict[str, dict[str, Any]]:
        """Train a model; returns what its id stands for."""
        images = self.zip(f"{name}.zip", *photos)
        done = self.do("train", {"images": images, "model_name": name, "trigger_word": "TOK_BAG"})
        address = self.put(f"{name}.safetensors", done.path)
        return {"model_id": {"model_string": address, "trigger_word": "TOK_BAG", "name": name}}

    def _fetch(self, r2: str, path: Path) -> Path:
        shutil.copy(self.shelf / r2.rpartition("/")[2], path)
        return path


def draw_balls(size: int = 256) -> Pixels:
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    scene = np.repeat((215 - 60 * y + 6 * np.sin(40 * x))[..., None], 3, -1)
    for centre, radius, colour in ((0.27, 0.13, (205, 45, 40)), (0.7, 0.17, (45, 80, 200))):
        away = np.hypot(x - centre, y - 0.55) / radius
        scene[away < 1] = (np.array(colour) * (1.15 - 0.5 * away[..., None] ** 2))[away < 1]
    return scene.clip(0, 255).astype(np.uint8)


def difference(one: Pixels, other: Pixels) -> float:
    """Measure the mean change of a pixel, of 255."""
    return float(np.abs(one.astype(np.float32) - other).mean())


def read_stranger(name: str) -> Pixels:
    """Read a photo that ships with scikit-image, RGB."""
    photo: Any = getattr(data, name)()
    photo = photo[0] if isinstance(photo, tuple) else photo  # the left one of a pair
    return np.asarray(photo if photo.ndim == 3 else np.dstack([photo] * 3), np.uint8)
