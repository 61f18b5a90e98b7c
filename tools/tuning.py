"""How to train on a dataset that its caller says nothing of: params by the number and the size of its photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.dataset import SMALLEST_PX, Manifest
from tools.train import Training

#: Steps for each photo, within these bounds. A rule of thumb: trainers for FLUX advise 500 to 4,000 in all, ranks of 16
#: and rates of 1e-4; nobody here has compared them on a GPU.
TIMES, FEWEST, HIGHEST = 100, 500, 2000

#: From so many photos on there is more to learn than the usual rank holds; under so many they are soon known by heart.
MANY, FEW = 15, 6

#: The sides of pictures in training are multiples of it.
GRAIN = 32

USUAL = Training()


@dataclass(frozen=True)
class Advice:
    """Params for a dataset, why each is so, and that in one sentence."""

    training: Training
    reasons: dict[str, str]
    because: str


def advise(images: int, side_px: int = USUAL.resolution) -> Advice:
    """Choose params for so many photos, whose longer side is so many pixels in the median."""
    steps = min(max(TIMES * images, FEWEST), HIGHEST)
    lora_rank = 2 * USUAL.lora_rank if images >= MANY else USUAL.lora_rank
    lr = USUAL.lr / 2 if images < FEW else USUAL.lr
    resolution = max(SMALLEST_PX, min(USUAL.resolution, side_px // GRAIN * GRAIN))
    training = Training(steps=steps, lr=lr, lora_rank=lora_rank, batch_size=USUAL.batch_size, resolution=resolution)
    reasons = {
        "steps": say_steps(steps),
        "lr": say_lr(lr),
        "lora_rank": say_rank(lora_rank),
        "batch_size": "one image a step needs the least memory",
        "resolution": say_resolution(resolution, side_px),
    }
    chosen = f"{steps:,} steps, rank {lora_rank}, learning rate {lr:g}, {resolution} pixels"
    because = f"{images} images → {chosen}, because {reasons['steps']} and {reasons['lora_rank']}."
    return Advice(training, reasons, because)


def say_steps(steps: int) -> str:
    """Say why so many steps."""
    if steps == FEWEST:
        return f"a training has {FEWEST} steps at least, however few its images"
    if steps == HIGHEST:
        return f"a training has {HIGHEST:,} steps at most, however many its images"
    return f"{TIMES} steps go to each image"


def say_rank(rank: int) -> str:
    """Say why this rank."""
    if rank > USUAL.lora_rank:
        return f"{MANY} images or more show more than rank {USUAL.lora_rank} holds"
    return f"rank {rank} holds what fewer than {MANY} images show"


def say_lr(lr: float) -> str:
    """Say why this learning rate."""
    if lr < USUAL.lr:
        return f"fewer than {FEW} images are soon known by heart, so they are learnt at half the usual rate"
    return f"it is the usual one from {FEW} images on"


def say_resolution(resolution: int, side_px: int) -> str:
    """Say why this resolution."""
    if side_px < USUAL.resolution:
        return f"the longer side of the images is {side_px} pixels in the median, and they are not to be enlarged"
    return f"the images are large enough for {resolution}, at which the bases were made"


def tune(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the training params for a dataset that its caller left open."""
    advised = advise(len(manifest.images), manifest.side_px).training.model_dump()
    return {name: value for name, value in advised.items() if name not in given}


def explain(images: int, side_px: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """Explain the params that a model is trained with: `{because, reasons}`; those of its caller are the caller's."""
    advice = advise(images, side_px)
    advised = advice.training.model_dump()
    others = {name: value for name, value in advised.items() if name in params and params[name] != value}
    reasons = {
        name: f"you gave it; for these images it would be {value:g}" if name in others else advice.reasons[name]
        for name, value in advised.items()
    }
    because = f"{advice.because} Given otherwise: {', '.join(others)}." if others else advice.because
    return {"because": because, "reasons": reasons}
