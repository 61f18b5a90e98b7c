"""How often colours occur."""

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers.pixels import Plane, floats

#: How finely Lab is counted: bins of lightness, of green to red, of blue to yellow; and their ranges.
BINS, RANGES = (6, 24, 24), ((0, 100), (-100, 100), (-100, 100))


def tally(colours: Plane) -> Plane:
    """Count Lab colours, (any number, 3): the share of each bin, a little blurred, as light is never quite the same."""
    counts, _ = np.histogramdd(colours.reshape(-1, 3), BINS, RANGES)
    soft = cv2.GaussianBlur(floats(counts).reshape(BINS[0], -1), (0, 0), 0.6).reshape(BINS)
    return floats(soft / max(float(soft.sum()), 1.0))


def look_up(shares: Plane, lab: Plane) -> Plane:
    """Look the share of each pixel's colour up: (height, width)."""
    return floats(shares[tuple(place(lab[..., n], n) for n in range(3))])


def place(values: Plane, channel: int) -> NDArray[np.int64]:
    """Say in which bins values of a channel of Lab fall."""
    low, high = RANGES[channel]
    return np.clip(((values - low) / (high - low) * BINS[channel]).astype(np.int64), 0, BINS[channel] - 1)
