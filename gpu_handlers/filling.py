"""A hole in a picture, filled from around it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers import pixels
from gpu_handlers.pixels import Pixels, Plane, fit, floats, mix, resize

#: Longest side, in pixels, of the picture on which is decided what comes from where; and on which seams are healed.
PLANNED, HEALED = 224, 256
#: So many ways to shift the picture over its hole are tried.
SHIFTS = 48

Region = NDArray[np.bool_]


def fill(scene: Plane, mask: Plane, rng: np.random.Generator) -> Plane:
    """Fill a hole (mask above 0.02), so that ground, horizon and sky go on in it.

    What is coarse is led across from side to side. What is fine is taken from elsewhere: the picture is laid over its
    own hole, shifted in many ways, and each part takes from the shift that agrees best with what is around it there
    (after He and Sun, ECCV 2012). The seam is healed by Poisson blending.
    """
    hole = mask > 0.02
    height, width = hole.shape
    known = floats(~hole)
    soft = max(height, width) / 60
    coarse = pixels.blur(scene * known[..., None], soft) / np.maximum(pixels.blur(known, soft), 0.02)[..., None]
    plan = plan_shifts(floats(fit(scene, PLANNED)), fit(floats(hole), PLANNED) > 0.01, rng)
    plan = floats(cv2.resize(plan, (width, height), interpolation=cv2.INTER_NEAREST))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    where = x + plan[..., 0] * width, y + plan[..., 1] * height
    fine = plan[..., 2:] * cv2.remap(
        (scene - coarse) * known[..., None], *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    led = bridge(resize(coarse, 96, 256), resize(floats(hole), 96, 256) < 0.01)
    return heal(mix(scene, resize(led, width, height) + fine, floats(hole)), scene, hole.astype(np.uint8))


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


def heal(filled: Plane, scene: Plane, hole: NDArray[np.uint8]) -> Plane:
    """Take the seam away by Poisson blending (Pérez et al. 2003).

    What the blending adds to the filled hole is smooth, so it is found on a small picture and enlarged. The edge is
    doubled outwards, as the solver takes no mask that touches it.
    """
    height, width = hole.shape
    small = (max(16, width * HEALED // max(width, height)), max(16, height * HEALED // max(width, height)))
    source, target = (doubled(pixels.to_pixels(resize(plane, *small))) for plane in (filled, scene))
    covered = cv2.copyMakeBorder(cv2.resize(hole, small) * 255, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0)
    left, top, wide, high = cv2.boundingRect(covered)
    cloned = cv2.seamlessClone(source, target, covered, (left + wide // 2, top + high // 2), cv2.NORMAL_CLONE)
    added = pixels.blur(pixels.to_plane(np.asarray(cloned, np.uint8)) - pixels.to_plane(source), 3)[4:-4, 4:-4]
    return floats(np.clip(filled + resize(added, width, height) * hole[..., None], 0, 1))


def doubled(image: Pixels) -> Pixels:
    """Repeat the edge outwards."""
    return np.asarray(cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REPLICATE))


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
