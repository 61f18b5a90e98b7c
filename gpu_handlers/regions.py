"""Parts of a picture, and where in it an object may be."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_handlers.pixels import Plane, floats

#: (height, width): which pixels belong to it.
Region = NDArray[np.bool_]

#: Longest side, in pixels, of the small picture in which objects are looked for.
LOOK = 96


@dataclass(frozen=True)
class Seed:
    """Where an object may be, in the small picture: most likely there, surely not, surely."""

    likely: Region
    calm: Region
    core: Region


def overlap(one: Region, other: Region) -> float:
    """Say how much two regions agree (intersection over union)."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def swell(region: Region, by: int) -> Region:
    """Let a region grow by so many pixels."""
    return np.asarray(cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=by) > 0)


def to_lab(plane: Plane) -> Plane:
    """Take RGB (0 to 1) to Lab, where distance is difference to the eye."""
    return floats(cv2.cvtColor(cv2.GaussianBlur(plane, (0, 0), 0.8), cv2.COLOR_RGB2LAB))


def bound(region: Region) -> tuple[slice, slice] | None:
    """Find the rows and columns that a region spans; None if it is empty."""
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else None
