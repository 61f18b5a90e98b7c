"""Views of one product, held against each other."""

import cv2
import numpy as np

from gpu_handlers.palette import look_up, tally
from gpu_handlers.pixels import Pixels, Plane, to_plane
from gpu_handlers.regions import to_lab

#: So many views can be held against each other, and so many must be left.
SEVERAL, LEFT = 4, 3
#: A colour that makes up less than this of all other views but one is foreign; a view with more than so much of it is.
COMMON, MUCH = 2e-4, 0.03


def agree(products: list[Pixels]) -> list[Pixels]:
    """Leave out the RGBA cut-outs that show what no others do, such as the backdrop of one photo through a handle."""
    if len(products) < SEVERAL:
        return products
    labs = [to_lab(to_plane(product[..., :3])) for product in products]
    seen = [tally(lab[product[..., 3] > 200]) for lab, product in zip(labs, products, strict=True)]
    kept = [
        product
        for number, (lab, product) in enumerate(zip(labs, products, strict=True))
        if measure_foreign(product, lab, np.sort(seen[:number] + seen[number + 1 :], 0)[-2]) < MUCH
    ]
    return kept if len(kept) >= LEFT else products


def measure_foreign(product: Pixels, lab: Plane, others: Plane) -> float:
    """Measure how much of a view has colours that the others have not, specks apart."""
    inside = product[..., 3] > 128
    foreign = ((look_up(others, lab) < COMMON) & inside).astype(np.uint8)
    return float(cv2.morphologyEx(foreign, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).sum() / max(inside.sum(), 1))
