"""A hole in a picture, filled from around it."""

import cv2
import numpy as np

from gpu_handlers import pixels
from gpu_handlers.pixels import Plane, fit, floats, mix, resize
from gpu_handlers.regions import Region

#: Longest side, in pixels, of the picture on which is decided what comes from where.
PLANNED = 224
#: So many ways to shift the picture over its hole are tried.
SHIFTS = 48


def fill(scene: Plane, mask: Plane, rng: np.random.Generator) -> Plane:
    """Fill a hole (where the mask is above 0.02), so that ground, horizon and sky go on in it.

    What is coarse is led across from side to side. What is fine is taken from elsewhere: the picture is laid over its
    own hole, shifted in many ways, and each part takes from the shift that agrees best with what is around it there
    (after He and Sun, ECCV 2012).
    """
    hole = mask > max(0.02, float(mask.min()))  # a mask so soft that it is nowhere 0 has its best place all the same
    height, width = hole.shape
    small, share = floats(fit(scene, PLANNED)), fit(floats(~hole), PLANNED)
    known = share >= min(0.99, float(share.max()))
    coarse = pixels.spread(pixels.blur(small, max(small.shape) / 60, floats(known)), floats(known))
    led = bridge(coarse, known)
    led = led + pixels.spread(
        coarse - led, floats(known)
    )  # what is wrong at the seam goes, ever less towards the middle
    coarse, led = resize(coarse, width, height), resize(led, width, height)
    plan = floats(cv2.resize(plan_shifts(small, ~known, rng), (width, height), interpolation=cv2.INTER_NEAREST))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    where = x + plan[..., 0] * width, y + plan[..., 1] * height
    fine = (scene - coarse) * floats(~hole)[..., None]
    fine = plan[..., 2:] * cv2.remap(fine, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return mix(scene, floats(np.clip(led + fine, 0, 1)), floats(hole))


def plan_shifts(scene: Plane, hole: Region, rng: np.random.Generator) -> Plane:
    """Say for each pixel from where it is taken: (height, width, 3), the third being how well it fits (0 to 1).

    The first two say how far to the right and down, as parts of the width and the height.
    """
    height, width = hole.shape
    known = floats(~cv2.dilate(hole.astype(np.uint8), np.ones((3, 3)), iterations=2).astype(bool))
    rim = known * floats(cv2.dilate(hole.astype(np.uint8), np.ones((3, 3)), iterations=2 + width // 24) > 0)
    span = int(np.ptp(np.flatnonzero(hole.any(0)))) + 8
    best, plan = np.full(hole.shape, np.inf, np.float32), np.zeros((height, width, 3), np.float32)
    for number in range(SHIFTS):
        right = round(rng.choice([-1, 1]) * span * rng.uniform(0.35, 1.15))
        down = 0 if number % 3 else round(rng.uniform(-0.03, 0.03) * height)
        back = floats([[1, 0, -right], [0, 1, -down]])
        there = cv2.warpAffine(known, back, (width, height), flags=cv2.INTER_NEAREST)
        off = (
            np.abs(cv2.warpAffine(scene, back, (width, height), flags=cv2.INTER_NEAREST) - scene).mean(-1) * rim * there
        )
        reach = width / 9
        cost = (pixels.blur(floats(off), reach) + 2e-4) / (pixels.blur(rim * there, reach) + 1e-3)
        cost = np.where(there > 0, cost + 2 * abs(down) / height, np.inf)
        plan[cost < best] = right / width, down / height, 0
        best = np.minimum(best, cost)
    plan[..., 2] = np.exp(-best / 0.08)
    return plan


def bridge(image: Plane, known: Region) -> Plane:
    """Lead each row from what is known on its left to what is on its right; an empty row follows its neighbours."""
    out, columns = image.copy(), np.arange(image.shape[1])
    full = known.any(1)
    for row in np.flatnonzero(full):
        for channel in range(3):
            out[row, :, channel] = np.interp(columns, columns[known[row]], image[row, known[row], channel])
    rows = np.arange(len(image))
    nearest = rows[full][np.abs(rows[:, None] - rows[full]).argmin(1)]
    return mix(out[nearest], pixels.blur(out[nearest], 1.2), 0.7)
