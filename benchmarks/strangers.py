"""The preview engine on photos that it was not made for, as a sheet: what it finds, and what it says of that."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from gpu_handlers import cutout
from gpu_handlers.pixels import Pixels, chance, fit, mix, to_pixels, to_plane
from gpu_handlers.regions import swell
from tests.handlers.workbench import read_stranger

#: Photos that ship with scikit-image; no outline in them is known, so the sheet is for eyes.
NAMES = (
    "astronaut", "camera", "chelsea", "coffee", "coins", "rocket", "moon", "hubble_deep_field", "retina", "page",
    "stereo_motorcycle",
)  # fmt: skip
CELL = 300


def main() -> None:
    """Draw the sheet, the most doubtful first."""
    photos = {name: read_stranger(name) for name in NAMES} | {
        name: load_sample_image(name) for name in ("china.jpg", "flower.jpg")
    }
    chance(0)
    found = {name: cutout.find(fit(photo, 1024)) for name, photo in photos.items()}
    order = sorted(photos, key=lambda name: one.confidence if (one := found[name]) else -1.0)
    for name in order:
        one = found[name]
        said = (
            "object_not_found"
            if one is None
            else "low_confidence"
            if one.confidence < cutout.DOUBTFUL
            else "no warning"
        )
        print(f"{name:<20} {one.confidence if one else 0:>6.2f}  {said}")
    cells = [draw(fit(photos[name], 1024), found[name]) for name in order]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % 5)
    path = Path("var", "calibrate", "strangers.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack([np.hstack(cells[row : row + 5]) for row in range(0, len(cells), 5)])).save(path)
    print(path)


def draw(photo: Pixels, found: cutout.Found | None) -> Pixels:
    """Darken what was not found, and write down how sure we are."""
    shown = photo.copy()
    if found:
        shown = to_pixels(mix(to_plane(photo) * np.float32(0.35), to_plane(photo), found.alpha))
        region = found.alpha > 0.5
        shown[swell(region, max(2, len(photo) // 200)) & ~region] = (0, 230, 90)
    cell, small = np.full((CELL, CELL, 3), 255, np.uint8), fit(shown, CELL)
    cell[: small.shape[0], : small.shape[1]] = small
    cv2.putText(cell, f"{found.confidence:.2f}" if found else "none", (8, CELL - 10), 0, 0.8, (200, 40, 30), 2)
    return cell


if __name__ == "__main__":
    main()
