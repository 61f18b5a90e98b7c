"""What the preview engine learns of a product: cut-outs in grey clay, and their colours as a low-rank matrix."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from gpu_handlers.pixels import Pixels, Plane, floats, resize, spread, to_pixels, to_plane
from gpu_handlers.regions import bound
from tools.errors import InvalidInput

#: Colours are learnt at so much of the cut-outs' size: the detail is in the clay.
COARSE = 0.5
#: How fast the fit in closed form goes: at the default of 1000 steps at 1e-4 it is all but done.
PACE = 600.0


@dataclass(frozen=True)
class Appearance:
    """The views of a product: colour = clay + up @ down, as a LoRA adds to its base.

    Shapes: alpha and clay (views, height, width; 0 to 255), up (views, height / 2, rank) and down (views, rank,
    width / 2 × 3).
    """

    alpha: Pixels
    clay: Pixels
    up: Plane
    down: Plane

    def show(self, number: int, strength: float = 1.0) -> Plane:
        """Show a view, RGBA, 0 to 1: at strength 0 in grey clay, at 1 in its colours, beyond that more than those."""
        height, width = self.clay.shape[1:]
        coarse = (self.up[number] @ self.down[number]).reshape(self.up.shape[1], -1, 3)
        colours = to_plane(self.clay[number])[..., None] + strength * resize(coarse, width, height)
        alpha = to_plane(self.alpha[number])
        return floats(np.dstack([np.clip(colours, 0, 1), alpha])[bound(alpha > 0.02) or np.s_[:]])

    def save(self, path: Path, about: dict[str, str]) -> Path:
        """Write a safetensors file."""
        # One key alone: safetensors does not keep the order of several, and equal input shall give equal bytes.
        tensors = {
            name: np.ascontiguousarray(tensor) for name, tensor in vars(self).items()
        }  # it writes strides as they lie
        save_file(tensors, path, {"packshot": json.dumps(about)})
        return path


def load(path: Path, pointer: str) -> Appearance:
    """Read a model file. Raises InvalidInput, which blames that param, if another engine has trained it."""
    try:
        return Appearance(**load_file(path))
    except (SafetensorError, TypeError) as other:
        advice = "this model was not trained by the preview engine: train it again here, or set ENGINE=gpu."
        raise InvalidInput.at(pointer, advice) from other


def learn(cutouts: list[Pixels], size: int, rank: int, effort: float) -> Appearance:
    """Fit RGBA cut-outs: the rest between colour and clay by gradient flow in closed form, at most of this rank.

    Gradient descent on ‖X − up @ down‖² from zero moves each singular direction by 1 − exp(−effort × its strength);
    `effort` is steps × learning rate. No iteration is made, so there is no loss curve to show.
    """
    scale = size / max(max(cutout.shape[:2]) for cutout in cutouts)
    fitted = [resize(each, *(max(8, round(side * min(scale, 1.0))) for side in each.shape[1::-1])) for each in cutouts]
    height, width = (max(each.shape[axis] for each in fitted) // 2 * 2 + 2 for axis in (0, 1))
    boxes = np.stack([center(clean(to_plane(each)), height, width) for each in fitted])
    clay = 0.2 + 0.68 * boxes[..., :3].mean(-1)
    rest = boxes[..., :3] - clay[..., None]
    coarse = np.stack([resize(one, round(width * COARSE), round(height * COARSE)) for one in rest])
    left, strong, right = np.linalg.svd(coarse.reshape(*coarse.shape[:2], -1), full_matrices=False)
    rank = min(rank, strong.shape[1])
    done = strong * (1 - np.exp(-effort * PACE * strong / strong[:, :1]))
    up = left[..., :rank] * done[:, None, :rank]
    return Appearance(to_pixels(boxes[..., 3]), to_pixels(clay), floats(up), floats(right[:, :rank]))


def clean(cutout: Plane) -> Plane:
    """Carry the product's colours out over its edge, so that no backdrop shines through there."""
    return np.dstack([spread(cutout[..., :3], floats(cutout[..., 3] > 0.97 * cutout[..., 3].max())), cutout[..., 3]])


def center(cutout: Plane, height: int, width: int) -> Plane:
    """Set a cut-out on the middle of the floor of a box."""
    high, wide = cutout.shape[:2]
    left = (width - wide) // 2
    edges = ((height - high, 0), (left, width - wide - left), (0, 0))
    box = np.pad(cutout, edges, mode="edge")
    box[..., 3] = np.pad(cutout[..., 3], edges[:2])
    return box
