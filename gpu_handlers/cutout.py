"""The object in a picture: found, chosen, cut out."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers.pixels import Pixels, Plane, fit, floats, resize, to_plane

#: Longest side, in pixels, at which objects are looked for, and at which GrabCut draws their outline.
LOOK, DRAW = 72, 320
#: An object differs from what surrounds it by more than this, in Lab units.
FAINTEST = 14.0


@dataclass(frozen=True)
class Found:
    """An object: its alpha (height, width; 0 to 1), and how sure we are (0 to 1, not calibrated)."""

    alpha: Plane
    confidence: float

    @property
    def coverage(self) -> float:
        """The part of the picture that it covers."""
        return float((self.alpha > 0.5).mean())


@dataclass(frozen=True)
class Wish:
    """What may be said of the object: colours (RGB, 0 to 255) and places (x, y; −1 to 1)."""

    colours: tuple[tuple[int, int, int], ...] = ()
    places: tuple[tuple[int, int], ...] = ()


def find(image: Pixels, wish: Wish | None = None) -> Found | None:
    """Find the most salient object in an RGB picture, or the one that is wished for."""
    look = fit(image, LOOK)
    lab = to_lab(look)
    barrier = measure_barrier(lab)
    if barrier.max() < FAINTEST:
        return None
    limit = max(FAINTEST, otsu(barrier))
    chosen = choose(barrier, barrier > limit, lab, wish or Wish())
    small = fit(image, DRAW)
    seed = resize(chosen.astype(np.float32), small.shape[1], small.shape[0]) > 0.5
    calm = resize((barrier < limit * 0.35).astype(np.float32), small.shape[1], small.shape[0]) > 0.5
    drawn = draw(small, seed, calm)
    if not 0.002 < drawn.mean() < 0.95:
        return None
    agreed = (drawn & seed).sum() / (drawn | seed).sum()
    distinct = 1 - np.exp(-float(barrier[chosen].mean()) / 40)
    alpha = refine(image, resize(drawn.astype(np.float32), image.shape[1], image.shape[0]))
    return Found(alpha, round(float(agreed * distinct), 3))


def to_lab(image: Pixels) -> Plane:
    """Take RGB to Lab, where distance is difference to the eye."""
    return floats(cv2.cvtColor(cv2.GaussianBlur(to_plane(image), (0, 0), 0.8), cv2.COLOR_RGB2LAB))


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


def choose(barrier: Plane, salient: NDArray[np.bool_], lab: Plane, wish: Wish) -> NDArray[np.bool_]:
    """Choose one of the salient regions: large, distinct, central, and as wished."""
    count, labels = cv2.connectedComponents(salient.astype(np.uint8), connectivity=8)
    height, width = salient.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    weight = barrier * (1 - 0.3 * (x**2 + y**2))
    regions = [labels == number for number in range(1, count)]
    return max(regions, key=lambda region: weight[region].sum() * meets(wish, region, lab, x, y))


def meets(wish: Wish, region: NDArray[np.bool_], lab: Plane, x: Plane, y: Plane) -> float:
    """Rate from 0 to 1 how well a region meets a wish."""
    mean = lab[region].mean(0)
    off = [
        np.linalg.norm(mean - colour) / 12
        for colour in (to_lab(np.full((1, 1, 3), c, np.uint8))[0, 0] for c in wish.colours)
    ]
    off += [3 * (1 - x[region].mean() * right - y[region].mean() * down) for right, down in wish.places]
    return float(np.exp(-sum(off)))


def draw(image: Pixels, seed: NDArray[np.bool_], calm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Draw the outline with GrabCut, and keep the parts that belong to the seed."""
    near = cv2.dilate(seed.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(2, max(seed.shape) // 5)) > 0
    labels = np.where(seed, cv2.GC_PR_FGD, np.where(calm & ~near, cv2.GC_BGD, cv2.GC_PR_BGD)).astype(np.uint8)
    labels[[0, -1]] = labels[:, [0, -1]] = cv2.GC_BGD
    if not seed[1:-1, 1:-1].any():
        return seed
    cv2.grabCut(image, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    drawn = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)) & near
    _, parts = cv2.connectedComponents(drawn.astype(np.uint8), connectivity=8)
    ours = np.unique(parts[seed & drawn])
    return close_gaps(np.isin(parts, ours[ours > 0]))


def close_gaps(drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close small gaps, such as a buckle that shines like the backdrop; what a handle frames stays open."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats((~drawn).astype(np.uint8), connectivity=4)
    small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < 0.02 * drawn.sum())
    return np.asarray(drawn | np.isin(parts, small))


def refine(image: Pixels, alpha: Plane) -> Plane:
    """Lay the outline on the picture's own edges with a guided filter (He et al., 2010)."""
    grey = to_plane(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)))
    size = (max(image.shape) // 100 * 2 + 3,) * 2
    mean, cover, both, square = (
        np.asarray(cv2.blur(plane, size)) for plane in (grey, alpha, grey * alpha, grey * grey)
    )
    slope = (both - mean * cover) / (square - mean * mean + 1e-4)
    fitted = np.asarray(cv2.blur(slope, size)) * grey + np.asarray(cv2.blur(cover - slope * mean, size))
    return floats(np.clip((fitted - 0.5) * 2 + 0.5, 0, 1))


def cut(image: Pixels, alpha: Plane) -> Pixels:
    """Crop to the object: RGBA."""
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.dstack([image[part], (alpha[part] * 255).astype(np.uint8)])


def palette(product: Pixels, colours: int = 5) -> Plane:
    """Name the main colours of an RGBA cut-out: (colours, 3), 0 to 255, the most frequent first."""
    seen = fit(product, 96).reshape(-1, 4)
    seen = seen[seen[:, 3] > 128][:, :3].astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    count = min(colours, len(seen))
    _, labels, centres = cv2.kmeans(seen, count, np.empty((0,), np.int32), stop, 2, cv2.KMEANS_PP_CENTERS)
    order: Iterable[int] = np.argsort(-np.bincount(labels.ravel(), minlength=count), kind="stable")
    return floats([centres[index] for index in order])
