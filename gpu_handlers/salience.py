"""The objects that stand out in a picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from gpu_handlers.pixels import Pixels, Plane, to_plane
from gpu_handlers.regions import LOOK, Region, Seed, overlap, swell, to_lab

#: An object differs from what surrounds it by more than this, in Lab units.
FAINTEST = 14.0


@dataclass(frozen=True)
class Wish:
    """What may be said of the object: colours (RGB, 0 to 255) and places (x, y; −1 to 1)."""

    colours: tuple[tuple[int, int, int], ...] = ()
    places: tuple[tuple[int, int], ...] = ()


def guess(look: Pixels, wish: Wish) -> Iterator[Seed]:
    """Guess at salient objects: the region that stands out most, by looser and by stricter measure."""
    lab = to_lab(to_plane(look))
    barrier = measure_barrier(lab)
    if barrier.max() < FAINTEST:
        return
    limit, seen = max(FAINTEST, otsu(barrier)), [np.zeros(barrier.shape, bool)]
    for strict in (0.7, 1.0, 1.35, 1.8):
        likely = choose(barrier, barrier > limit * strict, lab, wish)
        if likely.any() and not any(overlap(likely, other) > 0.8 for other in seen):
            seen.append(likely)
            calm = (barrier < limit * 0.35) & ~swell(likely, LOOK // 6)
            yield Seed(likely, calm, np.zeros_like(calm))


def choose(barrier: Plane, salient: Region, lab: Plane, wish: Wish) -> Region:
    """Choose one of the salient regions: large, distinct, central, and as wished."""
    count, labels = cv2.connectedComponents(salient.astype(np.uint8), connectivity=8)
    height, width = salient.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    weight = barrier * (1 - 0.3 * (x**2 + y**2))
    regions = [labels == number for number in range(1, count)]
    return max(regions, key=lambda region: weight[region].sum() * meets(wish, region, lab, x, y), default=salient)


def meets(wish: Wish, region: Region, lab: Plane, x: Plane, y: Plane) -> float:
    """Rate from 0 to 1 how well a region meets a wish."""
    mean = lab[region].mean(0)
    dyes = [to_lab(to_plane(np.full((1, 1, 3), colour, np.uint8)))[0, 0] for colour in wish.colours]
    off = [float(np.linalg.norm(mean - dye)) / 12 for dye in dyes]
    off += [3 * (1 - float(x[region].mean()) * right - float(y[region].mean()) * down) for right, down in wish.places]
    return float(np.exp(-sum(off)))


def measure_barrier(lab: Plane) -> Plane:
    """Measure how much the colour must change on the best way in from the border.

    The minimum barrier distance (Zhang et al., ICCV 2015): a gradient or a texture costs little, an outline much.
    """
    high, low = lab.copy(), lab.copy()
    cost = np.full(lab.shape[:2], np.inf, np.float32)
    cost[0] = cost[-1] = cost[:, 0] = cost[:, -1] = 0
    for turn in range(16):
        sweep(*(np.rot90(plane, turn) for plane in (lab, high, low, cost)))
    return cost


def sweep(lab: Plane, high: Plane, low: Plane, cost: Plane) -> None:
    """Carry the ways one row further, row by row, in place."""
    for row in range(1, len(cost)):
        top, bottom = np.maximum(high[row - 1], lab[row]), np.minimum(low[row - 1], lab[row])
        reached = (top - bottom).sum(-1)
        better = reached < cost[row]
        high[row][better], low[row][better], cost[row][better] = top[better], bottom[better], reached[better]


def otsu(plane: Plane) -> float:
    """Find the value that parts high from low best."""
    scaled = np.clip(plane / plane.max() * 255, 0, 255).astype(np.uint8)
    limit, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(limit) / 255 * float(plane.max())
