"""Photos that can be trained on: sharp, large enough, and each another one. Made here, as none is needed of a thing."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image


def take(seed: int = 0, size: tuple[int, int] = (320, 272)) -> Image.Image:
    """Take a photo: tiles in colours of its own, sharp at their edges."""
    tiles = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST)


def encode(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    """Write a picture file."""
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def pack(files: Mapping[str, bytes]) -> bytes:
    """Zip files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def pack_some(count: int = 4, first: int = 0) -> bytes:
    """Zip so many photos."""
    return pack({f"{n}.png": encode(take(first + n)) for n in range(count)})
