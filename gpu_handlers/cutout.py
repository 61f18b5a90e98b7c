"""The object in a picture: found, chosen, cut out."""

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_handlers.appearance import Appearance
from gpu_handlers.likeness import match
from gpu_handlers.pixels import Pixels, Plane, fit, floats, resize, to_plane
from gpu_handlers.regions import LOOK, Region, Seed, bound, overlap, swell, to_lab
from gpu_handlers.salience import Wish, guess
from gpu_handlers.work import Work

#: Longest side, in pixels, at which GrabCut draws outlines.
DRAW = 320
#: How much each sign speaks for an object, and a constant: see `rate`.
WEIGHTS = (1.53, 0.49, 0.38, 7.05, -7.3)
#: Less sure than this, an object comes with a warning.
DOUBTFUL = 0.75


@dataclass(frozen=True)
class Found:
    """An object: its alpha (height, width; 0 to 1), and the chance that three quarters of it are right (0 to 1)."""

    alpha: Plane
    confidence: float


@dataclass(frozen=True)
class Drawn:
    """A region, how much of its outline lies on edges, and how much it agrees with its seed (0 to 1)."""

    region: Region
    support: float
    agreed: float


def find(image: Pixels, wish: Wish | None = None, known: Appearance | None = None) -> Found | None:
    """Find the most salient object in an RGB picture, or the one that is wished for, or a known product."""
    outlined = outline(image, wish or Wish(), known)
    if outlined is None:
        return None
    best, drawn = outlined
    return Found(refine(image, resize(floats(best.region), image.shape[1], image.shape[0])), rate(best, drawn))


def see(image: Pixels, wish: Wish | None = None, known: Appearance | None = None) -> Found | None:
    """Find the object in an RGBA picture: by its alpha, if the backdrop is transparent, else as `find` does."""
    alpha = to_plane(image[..., 3])
    if alpha.min() <= 0.5 and (alpha > 0.5).any():
        return Found(alpha, 1.0)
    return find(np.ascontiguousarray(image[..., :3]), wish, known)


def outline(image: Pixels, wish: Wish, known: Appearance | None = None) -> tuple[Drawn, list[Drawn]] | None:
    """Draw the outlines that may be meant: the best one, and all of them."""
    look, small = fit(image, LOOK), fit(image, DRAW)
    edges = measure_edges(small)
    seeds = match(look, known) if known else guess(look, wish)
    drawn = [each for each in (draw(small, seed, edges) for seed in seeds) if each]
    if not drawn:
        return None
    return max(drawn, key=lambda it: it.support * stability(it, drawn) * float(it.region.mean()) ** 0.4), drawn


def doubt(found: Found, work: Work, pointer: str) -> None:
    """Warn of an object that we are not sure of."""
    if found.confidence < DOUBTFUL:
        message = f"The object does not stand out (confidence {found.confidence:.0%}): look at its outline first."
        work.warn("low_confidence", message, pointer)


def draw(image: Pixels, seed: Seed, edges: Plane) -> Drawn | None:
    """Draw the outline with GrabCut, around the core and not in the calm; keep the parts that belong to the seed."""
    likely, calm, core = (
        resize(floats(each), *image.shape[1::-1]) > 0.5 for each in (seed.likely, seed.calm, seed.core)
    )
    inner = ~swell(~likely, max(likely.shape) // LOOK)  # the seed is coarse, and shadows lie at its rim
    inner = inner if inner.sum() > 0.4 * likely.sum() else likely
    labels = np.where(inner, cv2.GC_PR_FGD, np.where(calm, cv2.GC_BGD, cv2.GC_PR_BGD)).astype(np.uint8)
    labels[[0, -1]] = labels[:, [0, -1]] = cv2.GC_BGD
    labels[core] = cv2.GC_FGD
    if not likely[1:-1, 1:-1].any():
        return None
    cv2.setRNGSeed(0)  # GrabCut draws lots: what is found in a picture shall depend on the picture alone
    cv2.grabCut(image, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    drawn = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)) & swell(likely, max(likely.shape) // 8)
    _, parts = cv2.connectedComponents(drawn.astype(np.uint8), connectivity=8)
    sizes = np.bincount(parts[likely & drawn], minlength=parts.max() + 1)
    sizes[0] = 0
    region = close_gaps(np.isin(parts, np.flatnonzero(sizes > 0.1 * sizes.max())))
    if not 0.002 < region.mean() < 0.95:
        return None
    rim = swell(region, 1) & swell(~region, 1)
    return Drawn(region, float(edges[rim].mean()), overlap(region, likely))


def measure_edges(image: Pixels) -> Plane:
    """Measure how steep the picture is, in Lab units a pixel, 12 and more being an edge: (height, width), 0 to 1."""
    lab = to_lab(to_plane(image))
    steep = np.hypot(cv2.Scharr(lab, -1, 1, 0), cv2.Scharr(lab, -1, 0, 1)).sum(-1) / 32
    return floats(np.minimum(cv2.dilate(steep, np.ones((3, 3))) / 12, 1))


def rate(best: Drawn, drawn: list[Drawn]) -> float:
    """Take what was seen to the chance that three quarters of the object are right, as `make calibrate` fits it."""
    seen = (*signs(best, drawn), 1.0)
    return round(float(1 / (1 + np.exp(-np.dot(WEIGHTS, seen)))), 3)


def stability(one: Drawn, drawn: list[Drawn]) -> float:
    """Say how much the other outlines agree with one."""
    return float(np.mean([overlap(one.region, each.region) for each in drawn]))


def signs(best: Drawn, drawn: list[Drawn]) -> tuple[float, float, float, float]:
    """List what speaks for a region: edges, its seed, the other guesses, and that it is solid (0 to 1 each)."""
    outlines, _ = cv2.findContours(best.region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(outlines)))
    solid = sum(map(cv2.contourArea, outlines)) / max(hull, 1.0)  # what a handle frames counts as inside
    return best.support, best.agreed, stability(best, drawn), min(float(solid), 1.0)


def close_gaps(drawn: Region) -> Region:
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
    return floats(np.clip((cv2.GaussianBlur(fitted, (0, 0), max(image.shape) / 700) - 0.5) * 2.2 + 0.5, 0, 1))


def cut(image: Pixels, alpha: Plane) -> Pixels:
    """Crop to the object: RGBA."""
    part = bound(alpha > 0.5) or np.s_[:]
    return np.dstack([image[part], (alpha[part] * 255).astype(np.uint8)])
