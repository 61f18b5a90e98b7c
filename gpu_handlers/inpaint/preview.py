"""Inpaint, the preview way: the hole is filled from around it, and the product is set inside, on the ground."""

from pathlib import Path

import numpy as np

from gpu_handlers import cutout, lexicon, pixels
from gpu_handlers.appearance import clean
from gpu_handlers.filling import fill
from gpu_handlers.hole import Hole, open_hole
from gpu_handlers.pixels import Pixels, Plane, mix
from gpu_handlers.regions import bound
from gpu_handlers.scenery import stand
from gpu_handlers.work import Work
from tools.errors import ObjectNotFound
from tools.inpaint import InpaintParams

#: Longest side, in pixels, at which the new is made; for a larger scene it is enlarged.
MADE = 1024


def run(params: InpaintParams, work: Work) -> Path:
    """Make the picture, of the scene's size; where the mask is 0 every pixel is the scene's."""
    rng = pixels.chance(params.seed)
    hole = open_hole(params, work)
    work.report(0.1, "cutting out")
    product = find_product(pixels.read(work.fetch(params.reference_url), "RGBA"), work)
    work.report(0.3, "filling")
    scene, mask = pixels.to_plane(pixels.fit(hole.scene, MADE)), pixels.to_plane(pixels.fit(hole.mask, MADE))
    reading = lexicon.read(params.prompt)
    ground = light(fill(scene, mask, rng), mask, reading)
    tell(reading, work)
    work.report(0.5, "compositing")
    fitted, corner = place(product, mask, rng)
    fitted = tone(fitted, scene, mask, params.guidance, pixels.floats(reading.tint))
    made = stand(ground, fitted, corner, face_light(scene, mask) * float(rng.uniform(0.5, 1)), 0.12)
    work.report(0.7, "sampling")
    made = pixels.unfinished(made, params.steps * 5, rng)  # a distilled model needs a fifth of the steps
    solid = np.zeros_like(mask)
    solid[corner[1] : corner[1] + len(fitted), corner[0] : corner[0] + fitted.shape[1]] = fitted[..., 3]
    weight = np.maximum(np.clip(mask * 1.6, 0, 1), solid) * params.denoise
    picture = blend(hole, pixels.to_pixels(made), weight, work)
    work.report(0.9, "encoding")
    return pixels.write(work.folder / "picture.png", picture)


def find_product(reference: Pixels, work: Work) -> Plane:
    """Cut the product out of its picture: RGBA, 0 to 1."""
    small = pixels.fit(reference, MADE)
    found = cutout.see(small)
    if found is None:
        advice = "send one on a plain backdrop, or a PNG whose backdrop is transparent."
        raise ObjectNotFound(f"No product was found in the picture at reference_url: {advice}")
    cutout.doubt(found, work, "reference_url")
    return clean(pixels.to_plane(cutout.cut(small[..., :3], found.alpha)))


def light(ground: Plane, mask: Plane, reading: lexicon.Reading) -> Plane:
    """Light the ground as the prompt says, less towards the edge of the mask: around it the scene stays as it is."""
    within = pixels.floats(np.clip(pixels.blur(mask, max(mask.shape) / 16) * 2 - 1, 0, 1))
    lit = pixels.floats(ground * pixels.floats(reading.tint))
    if reading.backdrop is not None:
        lit = mix(lit, pixels.floats(reading.backdrop) / np.float32(255), 0.5)
    return mix(ground, lit, within)


def tell(reading: lexicon.Reading, work: Work) -> None:
    """Say what of the prompt was at work: colours, light and weather alone."""
    used = [word for word in reading.understood if any(word in lexicon.table(name) for name in ("colours", "airs"))]
    work.note(understood=used)
    if not used:
        message = "The preview engine reads colours and light in this prompt, and found neither."
        work.warn("prompt_not_read", message, "prompt")


def place(product: Plane, mask: Plane, rng: np.random.Generator) -> tuple[Plane, tuple[int, int]]:
    """Fit the product inside the mask: as large as it goes with a margin, low in it, the rest by chance."""
    inside = mask > min(0.5, float(mask.max()) / 2)  # a mask of fine lines pales when it is shrunk
    rows, columns = bound(inside) or (slice(0, 1), slice(0, 1))
    room = (columns.stop - columns.start, rows.stop - rows.start)
    scale = min(room[0] / product.shape[1], room[1] / product.shape[0]) * rng.uniform(0.82, 0.9)
    lean = rng.uniform(-1, 1)
    while True:
        wide, high = max(1, round(product.shape[1] * scale)), max(1, round(product.shape[0] * scale))
        left = columns.start + round((room[0] - wide) * (0.5 + 0.3 * lean))
        top = rows.start + round((room[1] - high) * 0.62)
        fitted = pixels.enlarge(product, wide, high)
        there = inside[top : top + high, left : left + wide]
        if fitted[..., 3][~there].sum() <= 0.01 * fitted[..., 3].sum() or min(wide, high) < 12:
            fitted[..., 3] *= there
            return fitted, (int(left), int(top))
        scale *= 0.95


def tone(product: Plane, scene: Plane, mask: Plane, guidance: float, tint: Plane) -> Plane:
    """Lay the scene's light on the product: the more, the less guidance holds it to its own colours."""
    outside = mask < 0.02
    around = scene[outside].mean(0) if outside.any() else scene.mean((0, 1))
    cast = mix(np.ones(3, np.float32), around / max(float(around.mean()), 0.02), 0.6)
    dim = min(1.15, max(0.5, (2.2 * float(around.mean())) ** 0.4))  # a bright product in a dark scene looks pasted
    colours = product[..., :3]
    strayed = mix(colours, pixels.floats(colours.mean(-1, keepdims=True) * cast), 0.9 / (1 + guidance))
    lit = strayed * mix(np.ones(3, np.float32), cast, 0.4) * tint * np.float32(dim)
    return pixels.floats(np.dstack([np.clip(lit, 0, 1), product[..., 3]]))


def face_light(scene: Plane, mask: Plane) -> float:
    """Say from which side the scene is lit: an old shadow beside the hole lies away from the light."""
    rows, columns = bound(mask > 0.02) or (slice(0, 1), slice(0, 1))
    band = scene[(rows.start + 3 * rows.stop) // 4 : rows.stop].mean(-1)
    left, right = band[:, max(0, columns.start - 40) : columns.start + 1], band[:, columns.stop - 1 : columns.stop + 40]
    return 1.0 if left.mean() < right.mean() else -1.0


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
