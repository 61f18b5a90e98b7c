"""Mask, the preview way: a trained product, else the most salient object, or the one of a colour or on a side."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers import cutout, lexicon, pixels
from gpu_handlers.appearance import Appearance, load
from gpu_handlers.salience import Wish
from gpu_handlers.work import Work
from tools.errors import InvalidInput, ObjectNotFound
from tools.mask import SCENE_CHUNK, MaskParams

#: Longest side, in pixels, at which edges are drawn; a larger mask is enlarged from there.
DRAWN = 1536

ADVICE = "send a picture where it stands out from what is around it, and is smaller than the whole."
KNOWN_ADVICE = "none of the views that its model was trained on is in this picture; name a colour or a side instead."


def run(params: MaskParams, work: Work) -> Path:
    """Make the mask: R = G = B, 255 where the object is, of the scene's size; the scene's address is in the file."""
    pixels.chance(params.seed)
    image = pixels.read(work.fetch(params.image_url), "RGBA")
    work.report(0.2, "finding")
    small = pixels.fit(image, DRAWN)
    known = know(work)
    found = cutout.see(small, Wish() if known else wish(params.object_name, work), known)
    work.confess("seed")
    if found is None:
        raise ObjectNotFound(f"No {params.object_name} was found: {KNOWN_ADVICE if known else ADVICE}")
    work.report(0.7, "growing")
    scale = len(small) / len(image)
    soft = grow(found.alpha, params.mask_dilation * scale, params.mask_blur * scale)
    coverage = float((soft > 0.5).mean())
    if coverage > 0.95:
        advice = f"grown by {params.mask_dilation} pixels, the mask covers the whole picture: give less."
        raise InvalidInput.at("mask_dilation", advice)
    cutout.doubt(found, work, "image_url")
    work.note(scene_r2_path=params.image_url, coverage=round(coverage, 4), confidence=found.confidence)
    plane = pixels.resize(pixels.to_pixels(soft), image.shape[1], image.shape[0])
    work.report(0.85, "encoding")
    return pixels.write(work.folder / "mask.png", np.dstack([plane] * 3), {SCENE_CHUNK: params.image_url})


def know(work: Work) -> Appearance | None:
    """Load what we know of the product, if its name is one that was trained."""
    model = work.found.get("object_name")
    if not model:
        return None
    work.note(known_product=model["name"])
    return load(work.fetch(model["model_string"]), "object_name")


def wish(name: str, work: Work) -> Wish:
    """Read colours and sides; confess that nouns are not read."""
    said = lexicon.words(name)
    colours, sides = lexicon.table("colours"), lexicon.table("sides")
    if set(said) - {*colours, *sides, *lexicon.SMALL}:
        message = "The preview engine cannot read nouns: it masks the object that stands out most, or the one of a \
colour or side that you name. A trained product is found by its trigger word."
        work.warn("noun_not_read", message, "object_name")
    named = [tuple(tuple(table[word]) for word in said if word in table) for table in (colours, sides)]
    return Wish(colours=named[0], places=named[1])


def grow(alpha: pixels.Plane, by: float, fade: float) -> pixels.Plane:
    """Grow an outline by so many pixels, and fade its edge over so many: by distance, so that no size costs more."""
    grown = cutout.close_gaps(measure(alpha <= 0.5) <= by)
    ramp = np.clip((measure(grown) - measure(~grown)) / max(fade, 1.0) + 0.5, 0, 1)
    return pixels.floats(ramp * ramp * (3 - 2 * ramp))


def measure(region: NDArray[np.bool_]) -> pixels.Plane:
    """Measure how deep in a region each pixel lies, in pixels."""
    return pixels.floats(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5))
