"""Pictures as arrays, and the chance of the preview engine."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from tools.errors import NotAnImage

#: (height, width, 3 or 4), 0 to 255.
Pixels = NDArray[np.uint8]
#: (height, width) or (height, width, 3), mostly 0 to 1.
Plane = NDArray[np.float32]


def chance(seed: int | None) -> np.random.Generator:
    """Make all chance repeatable, OpenCV's own too.

    OpenCV gets one thread: the worker scales by processes, its pool does not outlive a fork, and sums of floats
    stay the same on every machine.
    """
    cv2.setNumThreads(1)
    cv2.setRNGSeed((seed or 0) % 2**31)
    return np.random.default_rng(seed or 0)


def read(path: Path, mode: str = "RGB") -> Pixels:
    """Decode a picture. Raises NotAnImage."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode))
    except (UnidentifiedImageError, OSError, ValueError) as broken:
        raise NotAnImage from broken


def write(path: Path, pixels: Pixels, text: dict[str, str] | None = None) -> Path:
    """Encode a PNG, with text chunks."""
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=chunks, compress_level=3)
    return path


def floats(values: Any) -> Plane:
    """Take numbers to an array of float32."""
    return np.asarray(values, np.float32)


def to_plane(pixels: Pixels) -> Plane:
    """Take 0…255 to 0…1."""
    return np.asarray(pixels, np.float32) / np.float32(255)


def to_pixels(plane: Plane) -> Pixels:
    """Take 0…1 to 0…255, rounded."""
    return np.asarray(np.clip(plane * 255 + 0.5, 0, 255), np.uint8)


def resize(image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Resize: averaged when it shrinks, cubic when it grows."""
    smaller = width * height < image.shape[0] * image.shape[1]
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))


def enlarge(product: Plane, width: int, height: int) -> Plane:
    """Resize an RGBA cut-out (0 to 1); one that grows keeps a smooth and firm edge."""
    out = np.clip(resize(product, width, height), 0, 1)
    if (grown := height / product.shape[0]) > 1:
        out[..., 3] = np.clip((cv2.GaussianBlur(out[..., 3], (0, 0), 0.8 * grown) - 0.5) * 1.8 + 0.5, 0, 1)
        out[..., :3] = np.clip(mix(blur(out[..., :3], grown), out[..., :3], 1.5), 0, 1)
    return floats(out)


def fit(image: NDArray[Any], longest: int) -> NDArray[Any]:
    """Shrink until no side is longer; never grow."""
    scale = min(1.0, longest / max(image.shape[:2]))
    return resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))


def blur(plane: Plane, sigma: float, known: Plane | None = None) -> Plane:
    """Blur (sigma in pixels), of what is `known` (height, width; 0 to 1) alone; a wide one on a smaller copy."""
    if known is not None:
        share = np.maximum(blur(known, sigma), 1e-4)
        return floats(blur(floats(plane * known[..., None]), sigma) / share[..., None])
    height, width = plane.shape[:2]
    factor = max(1, int(sigma / 4))
    small = resize(plane, max(1, width // factor), max(1, height // factor)) if factor > 1 else plane
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), max(sigma / factor, 0.1)), np.float32)
    if factor == 1:
        return soft
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def spread(plane: Plane, known: Plane) -> Plane:
    """Carry what is known (height, width; 0 or 1) of a picture into what is not, from as near by as there is."""
    out = plane
    for sigma in (1.5, 4, 10, 25, 60, 150):
        near = np.clip(blur(known, sigma) * 3, 0, 1)
        out = mix(blur(out, sigma, known), out, known)
        known = np.maximum(known, floats(near > 0.3))
    return out


def mix(start: Plane, end: Plane | float, weight: Plane | float) -> Plane:
    """Go from one picture to another; a (height, width) weight counts for all channels."""
    if isinstance(weight, np.ndarray) and weight.ndim < start.ndim:
        weight = weight[..., None]
    return floats(start + (end - start) * weight)


def unfinished(plane: Plane, steps: int, rng: np.random.Generator) -> Plane:
    """Show what few sampling steps leave behind: grain and softness, gone after some twenty."""
    left = float(np.exp(-(steps - 1) / 5))
    if left < 0.03:
        return plane
    grain = rng.standard_normal(plane.shape, np.float32) * np.float32(0.15)
    return mix(plane, blur(plane, max(plane.shape) / 100) + grain, 0.7 * left)
