"""Train, the preview way: cut the product out of its photos, and fit its colours in closed form."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gpu_handlers import appearance, cutout, pixels
from gpu_handlers.pixels import Pixels
from gpu_handlers.train import photos
from gpu_handlers.train.agreement import agree
from gpu_handlers.work import Work
from tools.errors import ObjectNotFound
from tools.train import TrainParams

#: Longest side, in pixels, at which photos are looked at, and at which cut-outs are kept.
SEEN, KEPT = 1024, 640
#: So many views are kept at most, those that we are surest of; and a view half as sure as the best is none.
VIEWS, DOUBTFUL = 8, 0.5
#: The contact sheet of the cut-outs: cells of so many pixels a side, in so many columns.
CELL, COLUMNS = 320, 4


def run(params: TrainParams, work: Work) -> Path:
    """Make a model file, and beside it a contact sheet of the cut-outs (RGBA, 320×320 cells in 4 columns)."""
    pixels.chance(0)
    found = list(cut_out(params, work))
    rated = sorted((each for each in found if each[0] > 0), key=lambda each: -each[0])
    if not rated:
        raise ObjectNotFound("No product was found in the photos: send photos where it stands out from the backdrop.")
    clean = agree([product for confidence, product in rated if confidence > DOUBTFUL * rated[0][0]])
    kept = clean[:VIEWS]
    work.note(photos=len(found), kept=len(kept), confidence=rated[0][0])
    tell(params, work, len(found) - len(clean))
    work.report(0.9, "fitting")
    size = min(KEPT, params.resolution)
    learnt = appearance.learn(kept, size, params.lora_rank, params.steps * params.lr)
    work.keep("cutouts", pixels.write(work.folder / "cutouts.png", lay_out(kept)))
    about = {"engine": "preview", "trigger_word": params.trigger_word, "name": params.model_name}
    return learnt.save(work.folder / "model.safetensors", about)


def cut_out(params: TrainParams, work: Work) -> Iterator[tuple[float, Pixels]]:
    """Cut the product out of each photo, RGBA, with how sure we are; 0 if there is none."""
    given = photos.unpack(work.fetch(str(params.images)), work.folder / "photos")
    for number, photo in enumerate(given):
        work.report(0.05 + 0.85 * number / len(given), "cutting out")
        image = pixels.fit(pixels.read(photo.cutout or photo.path, "RGBA"), SEEN)
        found = cutout.see(image)
        yield (found.confidence, cutout.cut(image[..., :3], found.alpha)) if found else (0.0, image)


def tell(params: TrainParams, work: Work, without: int) -> None:
    """Say how this model was made, and what was left out."""
    work.warn(
        "closed_form", "The preview engine fits the product's colours in closed form: it iterates nothing.", "steps"
    )
    work.confess("batch_size")
    if params.resolution >= KEPT:
        work.warn("little_effect", f"The preview engine keeps at most {KEPT} pixels a side.", "resolution")
    if without:
        message = f"{without} of the photos were left out: no product stands out in them, or another one than in most."
        work.warn("photos_left_out", message, "images")


def lay_out(products: list[Pixels]) -> Pixels:
    """Lay cut-outs out on a transparent sheet, row by row."""
    rows = -(-len(products) // COLUMNS)
    sheet = np.zeros((rows * CELL, COLUMNS * CELL, 4), np.uint8)
    for number, product in enumerate(products):
        small = pixels.fit(product, CELL - 32)
        high, wide = small.shape[:2]
        top, left = number // COLUMNS * CELL + (CELL - high) // 2, number % COLUMNS * CELL + (CELL - wide) // 2
        sheet[top : top + high, left : left + wide] = small
    return sheet
