"""Train, the preview way: keep the best cut-out of the product, and its colours."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from gpu_handlers import cutout, pixels
from gpu_handlers.work import Work
from tools.errors import BadArchive, ObjectNotFound
from tools.train import TrainParams

#: Longest side of the cut-out that is kept, in pixels.
KEPT = 512


def run(params: TrainParams, work: Work) -> Path:
    """Make a model file: a cut-out (height, width, 4; uint8) and a palette (5, 3; float32)."""
    pixels.chance(0)
    rated = list(cut_out(params, work))
    kept = [(rating, product) for rating, product in rated if product is not None]
    if not kept:
        raise ObjectNotFound("No product was found in the photos: send photos where it stands out from the backdrop.")
    product = max(kept, key=lambda each: each[0])[1]
    work.note(photos=len(rated), kept=len(kept), confidence=max(rating for rating, _ in kept))
    work.confess("steps", "lr", "lora_rank", "batch_size")
    if params.resolution >= KEPT:
        work.warn("little_effect", f"The preview engine keeps at most {KEPT} pixels a side.", "resolution")
    about = {"engine": "preview", "trigger_word": params.trigger_word, "name": params.model_name}
    path = work.folder / "model.safetensors"
    # One key alone: safetensors does not keep the order of several, and equal input shall give equal bytes.
    save_file({"cutout": product, "palette": cutout.palette(product)}, path, {"packshot": json.dumps(about)})
    return path


def cut_out(params: TrainParams, work: Work) -> Iterator[tuple[float, pixels.Pixels | None]]:
    """Cut the product out of each photo, with a rating: how sure we are, and whether it is all in the photo."""
    photos = unpack(work.fetch(params.images), work.folder / "photos")
    for number, path in enumerate(photos):
        work.report(0.05 + 0.85 * number / len(photos), "cutting out")
        image = pixels.fit(pixels.read(path), 2 * KEPT)
        found = cutout.find(image)
        if found is None:
            yield 0.0, None
            continue
        product = pixels.fit(cutout.cut(image, found.alpha), min(KEPT, params.resolution))
        yield found.confidence, np.ascontiguousarray(product)


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack the pictures of a zip, in the order of their names."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as zipped:
            names = sorted(
                name for name in zipped.namelist() if name.lower().endswith((".png", ".jpg", ".jpeg", ".webp"))
            )
            photos = [folder / f"{number:04}" for number in range(len(names))]
            for name, photo in zip(names, photos, strict=True):
                photo.write_bytes(zipped.read(name))
    except zipfile.BadZipFile as broken:
        raise BadArchive from broken
    if not photos:
        raise BadArchive("The archive holds no picture: put PNG, JPEG or WebP photos into the zip.")
    return photos
