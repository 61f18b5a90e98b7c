"""A known product in a picture, found by what it looks like."""

from collections.abc import Iterator

import cv2
import numpy as np

from gpu_handlers.appearance import Appearance
from gpu_handlers.palette import look_up, tally
from gpu_handlers.pixels import Pixels, Plane, fit, floats, resize, to_plane
from gpu_handlers.regions import LOOK, Seed, swell, to_lab

#: A known product agrees with one of its views by more than this, of 1; and it is no smaller than this, in pixels of
#: the small picture.
LIKENESS, SMALLEST = 0.5, 11
#: In so many sizes each view is looked for, from so much of the picture's height to all but the whole.
SIZES = np.geomspace(0.16, 0.95, 10)


def match(image: Pixels, known: Appearance) -> Iterator[Seed]:
    """Find a known product where it agrees best with one of its views."""
    seed, best, plane = np.zeros(image.shape[:2], bool), LIKENESS, to_plane(image)
    views = [known.show(number) for number in range(len(known.clay))]
    for seen in (plane, plane * np.clip(0.5 / (plane.mean((0, 1)) + 0.05), 0.5, 3)):  # as it is, and in neutral light
        lab = to_lab(floats(np.clip(seen, 0, 1)))
        likely = backproject(lab, views)
        for small in (np.clip(resize(view, *size), 0, 1) for view in views for size in sizes(view, lab)):
            score, (left, top) = compare(lab, likely, to_lab(floats(small[..., :3])), small[..., 3])
            if score > best:
                seed, best = np.zeros_like(seed), score
                seed[top : top + small.shape[0], left : left + small.shape[1]] = small[..., 3] > 0.5
    if seed.any():
        yield Seed(seed, ~swell(seed, 4), ~swell(~seed, 2))


def sizes(view: Plane, lab: Plane) -> Iterator[tuple[int, int]]:
    """List the sizes (width, height) in which a view may be in the picture."""
    for high in np.round(SIZES * len(lab)).astype(int):
        wide = round(high * view.shape[1] / view.shape[0])
        if min(high, wide) >= SMALLEST and wide <= lab.shape[1]:
            yield wide, int(high)


def backproject(lab: Plane, views: list[Plane]) -> Plane:
    """Say of each pixel how much more likely its colour is on the product than in the picture (0 to 1)."""
    small = [np.clip(fit(view, LOOK), 0, 1) for view in views]
    product = np.concatenate([to_lab(floats(view[..., :3]))[view[..., 3] > 0.9] for view in small])
    on, off = look_up(tally(product), lab), look_up(tally(lab), lab)
    return floats(on / (on + 0.3 * off + 1e-9))


def compare(lab: Plane, likely: Plane, view: Plane, alpha: Plane) -> tuple[float, tuple[int, int]]:
    """Find the best place for a view, (x, y) of its corner, and rate it.

    Half by its pattern, half by the product's colours being there and not around; and chance likes what is small.
    """
    mask = np.dstack([floats(alpha > 0.5)] * 3)
    pattern = np.nan_to_num(cv2.matchTemplate(lab, view, cv2.TM_CCOEFF_NORMED, mask=mask), posinf=0, neginf=0)
    around = np.clip(1 - alpha, 0, 1)
    kernel = floats(alpha / alpha.sum() - around / max(float(around.sum()), 1.0))
    rated = 0.5 * np.clip(pattern, -1, 1) + 0.5 * cv2.matchTemplate(likely, kernel, cv2.TM_CCORR)
    _, best, _, (left, top) = cv2.minMaxLoc(rated)
    return best + 0.04 * float(np.log2(len(view) / SMALLEST)), (left, top)
