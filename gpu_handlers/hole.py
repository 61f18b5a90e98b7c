"""A scene and the mask of what is to be made anew in it, however they were sent."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gpu_handlers.pixels import Pixels, read
from gpu_handlers.work import Work
from storage.address import readable
from tools.errors import MaskUnusable
from tools.inpaint import InpaintParams
from tools.mask import SCENE_CHUNK

WHAT_TO_SEND = "send the file that mask returns, or the scene as scene_url and its mask as mask_url."


@dataclass(frozen=True)
class Hole:
    """A scene, and the mask of what is to be made anew: (height, width), 255 for the new."""

    scene: Pixels
    mask: Pixels


def open_hole(params: InpaintParams, work: Work) -> Hole:
    """Find scene and mask in what was sent. Raises MaskUnusable, which says what to send."""
    path = work.fetch(params.scene_url)
    sent = read(path)
    if params.mask_url:
        hole = Hole(sent, read(work.fetch(params.mask_url))[..., 0])
    elif address := chunk(path):
        readable(address)  # a file from elsewhere may name what is not its sender's to read
        hole = Hole(read(work.fetch(address)), sent[..., 0])
    elif (sent == sent[..., :1]).all():
        raise MaskUnusable.at("scene_url", f"this is a mask without its scene: {WHAT_TO_SEND}")
    else:
        message = "The red channel was taken as the mask, so the scene's own red is a guess from green and blue."
        work.warn("red_approximated", message, "scene_url")
        hole = Hole(guess_red(sent), sent[..., 0])
    check(hole)
    return hole


def chunk(path: Path) -> str | None:
    """Read the scene's address from the mask's text chunk."""
    with Image.open(path) as image:
        found = getattr(image, "text", {}).get(SCENE_CHUNK)
    return str(found) if found else None


def guess_red(sent: Pixels) -> Pixels:
    """Go on in red as from blue to green: grey stays grey, warm stays warm."""
    green, blue = (sent[..., channel].astype(np.int16) for channel in (1, 2))
    return np.dstack([np.clip(green + (green - blue) // 2, 0, 255).astype(np.uint8), sent[..., 1:]])


def check(hole: Hole) -> None:
    """Refuse a mask that does not fit, is empty, or covers all."""
    (high, wide), (tall, broad) = hole.mask.shape, hole.scene.shape[:2]
    if (high, wide) != (tall, broad):
        sizes = f"the mask is {wide}×{high} pixels and its scene {broad}×{tall}"
        raise MaskUnusable(f"{sizes}: send them in the same size.")
    cover = float((hole.mask > 127).mean())
    if cover < 0.001:
        raise MaskUnusable.at("scene_url", f"the mask is empty, there is nothing to fill: {WHAT_TO_SEND}")
    if cover > 0.95:
        raise MaskUnusable.at("scene_url", f"the mask covers {cover:.0%} and leaves no scene: {WHAT_TO_SEND}")
