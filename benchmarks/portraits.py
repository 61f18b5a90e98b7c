"""Pictures of objects whose outline is known, to judge the preview engine's segmentation by.

An object is the bag of the photos, or a shape that is drawn here; it stands in a painted scene or before a photo that
ships with scikit-image or scikit-learn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_image

from gpu_handlers import lexicon, scenery
from gpu_handlers.pixels import Pixels, Plane, chance, fit, floats, mix, read, resize, to_pixels, to_plane

PHOTOS = sorted((Path(__file__).parents[1] / "embedded" / "photos").glob("*.png"))

SCENES = (
    "studio", "white marble", "beach at sunset", "forest", "wooden table in a cafe", "city at night", "black marble",
    "pink backdrop", "neon party", "snow on a mountain", "foggy lake", "sunny meadow", "golden desert", "kitchen",
    "rainy concrete street", "red velvet, moody", "metal", "stone rooftop",
)  # fmt: skip


@dataclass(frozen=True)
class Portrait:
    """A picture, and what of it is the object."""

    image: Pixels
    truth: Plane
    name: str


def take(count: int, size: int = 512) -> Iterator[Portrait]:
    """Make so many portraits, the same each time."""
    for number in range(count):
        rng = chance(number + 1000)
        where, backdrop = choose_backdrop(number, size, rng)
        what, product = choose_product(number, rng)
        scale = size * rng.uniform(0.22, 0.62) / max(product.shape[:2])
        if number % 2:  # hard to tell from what is behind it
            colours = mix(product[..., :3], backdrop[size // 2 :].mean((0, 1)), float(rng.uniform(0.3, 0.85)))
            product = floats(np.dstack([colours, product[..., 3]]))
        small = np.clip(resize(product, *(max(8, round(side * scale)) for side in product.shape[1::-1])), 0, 1)
        high, wide = small.shape[:2]
        corner = int(rng.uniform(0.04, 0.96) * (size - wide)), int(min(size * rng.uniform(0.7, 0.95), size) - high)
        corner = corner[0], max(0, corner[1])
        truth = np.zeros((size, size), np.float32)
        truth[corner[1] : corner[1] + high, corner[0] : corner[0] + wide] = small[..., 3]
        picture = scenery.stand(backdrop, small, corner, float(rng.choice([-1, 1])), 0.1)
        noisy = picture + 0.015 * rng.standard_normal(picture.shape, np.float32)
        yield Portrait(to_pixels(floats(noisy)), truth, f"{what}, {where}")


def choose_backdrop(number: int, size: int, rng: np.random.Generator) -> tuple[str, Plane]:
    """Paint a scene, or take a part of a photo: two of five."""
    if number % 5 > 1:
        name = SCENES[number % len(SCENES)]
        return name, scenery.paint(lexicon.read(name), float(rng.choice([-1, 1])), (size, size), rng)
    name = ("china.jpg", "gravel", "brick", "grass", "rocket", "coffee")[number // 5 % 6]
    photo: Any = load_sample_image(name) if name.endswith("jpg") else getattr(data, name)()
    if photo.ndim == 2:
        photo = np.asarray(np.clip(photo[..., None] * rng.uniform(0.55, 1.15, 3), 0, 255), np.uint8)
    side = min(photo.shape[:2]) // 2
    top, left = (int(rng.uniform(0, each - side)) for each in photo.shape[:2])
    return name, to_plane(np.asarray(resize(photo[top : top + side, left : left + side], size, size), np.uint8))


def choose_product(number: int, rng: np.random.Generator) -> tuple[str, Plane]:
    """Take a bag from its photo, or draw a shape: RGBA, 0 to 1."""
    if number % 7 == 0:
        return "bag", bag(number // 7 % len(PHOTOS))
    name = ("bottle", "box", "ball", "mug", "shoe")[number % 7 % 5]
    return name, draw(name, floats(rng.uniform(0.08, 0.95, 3)), rng)


@cache
def bag(number: int) -> Plane:
    """Cut the bag out of a photo by its colour, which nothing else there has; its brass and stitches by their place."""
    photo = fit(read(PHOTOS[number]), 512)
    colour = floats(photo)
    mask = (colour[..., 0] > 1.35 * colour[..., 2]).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.uint8)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return floats(np.dstack([to_plane(photo)[box], floats(mask[box])]))


def draw(name: str, colour: Plane, rng: np.random.Generator) -> Plane:
    """Draw a shape with shading, a highlight and a band of another colour: RGBA, 0 to 1."""
    mask = np.zeros((400, 400), np.uint8)
    if name == "bottle":
        cv2.rectangle(mask, (140, 150), (260, 390), 255, -1)
        cv2.ellipse(mask, (200, 150), (60, 50), 0, 180, 360, 255, -1)
        cv2.rectangle(mask, (178, 20), (222, 130), 255, -1)
    elif name == "box":
        cv2.fillPoly(mask, [np.array([(60, 120), (230, 80), (350, 130), (350, 330), (190, 390), (60, 320)])], 255)
    elif name == "ball":
        cv2.circle(mask, (200, 200), 180, 255, -1)
    elif name == "mug":
        cv2.rectangle(mask, (70, 90), (270, 380), 255, -1)
        cv2.ellipse(mask, (280, 230), (70, 90), 0, -90, 90, 255, 34)
    else:
        cv2.fillPoly(
            mask, [np.array([(30, 210), (90, 150), (150, 200), (260, 230), (370, 270), (375, 320), (35, 320)])], 255
        )
    y, x = np.mgrid[0:1:400j, 0:1:400j].astype(np.float32)
    shade = 1.15 - 0.5 * np.abs(x - 0.4) + 0.35 * np.exp(-((x - 0.33) ** 2 + (y - 0.35) ** 2) / 0.006)
    band = floats(rng.uniform(0.05, 1, 3))
    painted = mix(np.broadcast_to(colour, (400, 400, 3)), band, floats(np.abs(y - rng.uniform(0.4, 0.8)) < 0.07))
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    whole = np.dstack([np.clip(painted * shade[..., None], 0, 1), cv2.GaussianBlur(mask, (0, 0), 1) / 255])
    return floats(whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
