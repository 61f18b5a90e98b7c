"""Inpaint, the preview way: the hole is filled from around it, and the product is set inside."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers import cutout, lexicon, pixels
from gpu_handlers.hole import Hole, open_hole
from gpu_handlers.pixels import Pixels, Plane, mix
from gpu_handlers.scenery import stand
from gpu_handlers.work import Work
from tools.errors import ObjectNotFound
from tools.inpaint import InpaintParams

#: Longest side, in pixels, of the picture on which seams are healed.
HEALED = 256

#: Longest side, in pixels, at which the new is made; for a larger scene it is enlarged.
MADE = 1024


def run(params: InpaintParams, work: Work) -> Path:
    """Make the picture, of the scene's size; where the mask is 0 every pixel is the scene's."""
    rng = pixels.chance(params.seed)
    hole = open_hole(params, work)
    work.report(0.1, "cutting out")
    product = find_product(pixels.read(work.fetch(params.reference_url), "RGBA"))
    work.report(0.3, "filling")
    scene, mask = pixels.to_plane(pixels.fit(hole.scene, MADE)), pixels.to_plane(pixels.fit(hole.mask, MADE))
    ground = fill(scene, mask, rng)
    reading = lexicon.read(params.prompt)
    ground = ground * pixels.floats(reading.light)
    if reading.backdrop is not None:
        ground = mix(ground, pixels.floats(reading.backdrop) / np.float32(255), 0.4)
    tell(reading, work)
    work.report(0.5, "compositing")
    fitted, corner = place(product, mask, rng)
    around = scene[mask < 0.02].mean(0) if (mask < 0.02).any() else scene.mean((0, 1))
    fitted = match(fitted, around, params.guidance, reading.light)
    made = stand(ground, fitted, corner, float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)), 0.0)
    work.report(0.7, "sampling")
    made = pixels.unfinished(made, params.steps * 5, rng)  # a distilled model needs a fifth of the steps
    solid = np.zeros_like(mask)
    solid[corner[1] : corner[1] + len(fitted), corner[0] : corner[0] + fitted.shape[1]] = fitted[..., 3]
    weight = np.maximum(np.clip(mask * 1.6, 0, 1), solid) * params.denoise
    picture = blend(hole, pixels.to_pixels(made), weight, work)
    work.report(0.9, "encoding")
    return pixels.write(work.folder / "picture.png", picture)


def find_product(reference: Pixels) -> Plane:
    """Cut the product out of its picture, by its alpha channel if it has one: RGBA, 0 to 1."""
    small = pixels.fit(reference, MADE)
    rgb, alpha = np.ascontiguousarray(small[..., :3]), pixels.to_plane(small[..., 3])
    if alpha.min() > 0.5 or not (alpha > 0.5).any():
        found = cutout.find(rgb)
        if found is None:
            advice = "send one on a plain backdrop, or a PNG whose backdrop is transparent."
            raise ObjectNotFound(f"No product was found in the picture at reference_url: {advice}")
        alpha = found.alpha
    return pixels.to_plane(cutout.cut(rgb, alpha))


def fill(scene: Plane, mask: Plane, rng: np.random.Generator) -> Plane:
    """Fill the hole from around it, more from its sides than from above, so that a horizon goes on."""
    hole = (mask > 0.02).astype(np.uint8)
    height, width = hole.shape
    low = (96, min(256, height))
    rough = bridge(pixels.resize(scene, *low), pixels.resize(hole * np.float32(1), *low) < 0.01)
    filled = mix(scene, np.asarray(pixels.resize(rough, width, height)), hole.astype(np.float32))
    grain = scene - pixels.blur(scene, 4)
    columns = np.flatnonzero(hole.any(0))
    shift = int((columns[-1] - columns[0] + 1) * rng.uniform(1.0, 1.3)) * int(rng.choice([-1, 1]))
    borrowed, also_hole = np.roll(grain, shift, 1), np.roll(hole, shift, 1)
    return heal(pixels.floats(filled + borrowed * (hole & (1 - also_hole))[..., None]), scene, hole)


def heal(filled: Plane, scene: Plane, hole: NDArray[np.uint8]) -> Plane:
    """Take the seam away by Poisson blending (Pérez et al. 2003).

    What the blending adds to the filled hole is smooth, so it is found on a small picture and enlarged. The edge is
    doubled outwards, as the solver takes no mask that touches it.
    """
    height, width = hole.shape
    small = (max(16, width * HEALED // max(width, height)), max(16, height * HEALED // max(width, height)))
    source, target = (doubled(pixels.to_pixels(pixels.resize(plane, *small))) for plane in (filled, scene))
    covered = cv2.copyMakeBorder(cv2.resize(hole, small) * 255, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0)
    left, top, wide, high = cv2.boundingRect(covered)
    cloned = cv2.seamlessClone(source, target, covered, (left + wide // 2, top + high // 2), cv2.NORMAL_CLONE)
    added = (pixels.to_plane(np.asarray(cloned, np.uint8)) - pixels.to_plane(source))[4:-4, 4:-4]
    return pixels.floats(filled + pixels.resize(added, width, height) * hole[..., None])


def doubled(image: Pixels) -> Pixels:
    """Repeat the edge outwards."""
    return np.asarray(cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REPLICATE))


def bridge(image: Plane, known: NDArray[np.bool_]) -> Plane:
    """Lead each row from what is known on its left to what is on its right; an empty row follows its neighbours."""
    out, columns = image.copy(), np.arange(image.shape[1])
    full = known.any(1)
    for row in np.flatnonzero(full):
        for channel in range(3):
            out[row, :, channel] = np.interp(columns, columns[known[row]], image[row, known[row], channel])
    rows = np.arange(len(image))
    nearest = rows[full][np.abs(rows[:, None] - rows[full]).argmin(1)]
    return mix(out[nearest], pixels.blur(out[nearest], 1.2), 0.7)


def tell(reading: lexicon.Reading, work: Work) -> None:
    """Say what of the prompt was at work: colours and light alone."""
    used = [word for word in reading.understood if word in lexicon.COLOURS or word in lexicon.LIGHTS]
    work.note(understood=used)
    if not used:
        message = "The preview engine reads colours and light in this prompt, and found neither."
        work.warn("prompt_not_read", message, "prompt")


def place(product: Plane, mask: Plane, rng: np.random.Generator) -> tuple[Plane, tuple[int, int]]:
    """Fit the product inside the mask: as large as it goes, low in it, the rest by chance."""
    inside = mask > 0.5
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    room = (columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    scale = 0.94 * min(room[0] / product.shape[1], room[1] / product.shape[0])
    lean = rng.uniform(-1, 1)
    while True:
        wide, high = max(1, round(product.shape[1] * scale)), max(1, round(product.shape[0] * scale))
        left = columns[0] + round((room[0] - wide) * (0.5 + 0.25 * lean))
        top = rows[0] + round((room[1] - high) * 0.75)
        fitted = np.clip(pixels.resize(product, wide, high), 0, 1)
        there = inside[top : top + high, left : left + wide]
        if fitted[..., 3][~there].sum() <= 0.01 * fitted[..., 3].sum() or min(wide, high) < 12:
            fitted[..., 3] *= there
            return fitted, (int(left), int(top))
        scale *= 0.95


def match(product: Plane, around: Plane, guidance: float, light: tuple[float, float, float]) -> Plane:
    """Lay the scene's colour on the product: the more, the less guidance holds it to its own."""
    colours, alpha = product[..., :3], product[..., 3]
    cast = colours.mean(-1, keepdims=True) * (around / max(float(around.mean()), 0.02))
    dim = min(1.15, max(0.6, (2 * float(around.mean())) ** 0.3))  # a bright product in a dark scene looks pasted
    lit = mix(colours, pixels.floats(cast), 0.7 / (1 + guidance)) * pixels.floats(light) * np.float32(dim)
    return pixels.floats(np.dstack([np.clip(lit, 0, 1), alpha]))


def blend(hole: Hole, made: Pixels, weight: Plane, work: Work) -> Pixels:
    """Lay the new over the scene, in strips to spare memory; where the mask is 0 nothing changes."""
    height, width = hole.mask.shape
    out, full = hole.scene.copy(), pixels.resize(made, width, height)
    cover = pixels.resize(pixels.to_pixels(weight), width, height)
    for top in range(0, height, 512):
        work.report(0.8, "blending")
        strip = np.s_[top : top + 512]
        part = pixels.to_plane(cover[strip]) * (hole.mask[strip] > 0)
        laid = mix(hole.scene[strip].astype(np.float32), full[strip].astype(np.float32), part)
        out[strip] = np.rint(laid).astype(np.uint8)
    return out
