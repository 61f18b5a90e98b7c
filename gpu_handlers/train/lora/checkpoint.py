"""What a training has come to so far, in the bucket: another attempt at the same goes on from there."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from storage.bucket import bucket
from tools.errors import FileNotFound, StorageFailed

logger = logging.getLogger(__name__)

#: Steps between two checkpoints.
EVERY = 100

#: The parts of a checkpoint: the weights, and what the optimizer remembers of each.
WEIGHT, MOMENTS = "weight.", ("exp_avg", "exp_avg_sq")


@dataclass
class State:
    """How far a training is: the loss of each step done, and the seconds of all attempts."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)


@dataclass(frozen=True)
class Learner:
    """The weights that learn, what the optimizer remembers of them, and how far they are."""

    weights: dict[str, torch.nn.Parameter]
    optimizer: Any
    state: State


def key_of(fingerprint: str) -> str:
    """Say where the checkpoint of a training lies."""
    return f"checkpoints/{fingerprint}.safetensors"


def keep(fingerprint: str, learner: Learner, folder: Path) -> None:
    """Store a checkpoint in place of the one before; a bucket that is away is no reason to stop training."""
    state, remembered = learner.state, learner.optimizer.state
    tensors = {f"{WEIGHT}{name}": weight.detach().cpu() for name, weight in learner.weights.items()}
    for name, weight in learner.weights.items():
        tensors |= {f"{moment}.{name}": remembered[weight][moment].cpu() for moment in MOMENTS}
    about = json.dumps({"losses": state.losses, "seconds": state.seconds})
    path = folder / "checkpoint.safetensors"
    path.write_bytes(save(tensors, {"packshot": about}))  # not save_file, whose errors do not tell of a full disk
    try:
        bucket().put(key_of(fingerprint), path)
        logger.info("kept a checkpoint at step %s", state.step)
    except StorageFailed as error:
        logger.warning("no checkpoint was kept at step %s: %s", state.step, error)
    finally:
        path.unlink()


def resume(fingerprint: str, weights: dict[str, torch.nn.Parameter], optimizer: Any, folder: Path) -> Learner:
    """Go on from the last checkpoint of this very training, if there is one."""
    return Learner(weights, optimizer, find(fingerprint, weights, optimizer, folder))


def find(fingerprint: str, weights: dict[str, torch.nn.Parameter], optimizer: Any, folder: Path) -> State:
    """Find the last checkpoint and load it; without one the training begins anew. Raises StorageFailed."""
    path = folder / "last.safetensors"
    try:
        bucket().download(key_of(fingerprint), path)
        with safe_open(path, framework="pt") as file:
            state = State(**json.loads(file.metadata()["packshot"]))
            load(file, state, weights, optimizer)
    except FileNotFound:
        return State()
    except SafetensorError as error:
        logger.warning("the checkpoint cannot be read, so the training begins anew: %s", error)
        return State()
    logger.info("going on from step %s", state.step)
    return state


def load(file: Any, state: State, weights: dict[str, torch.nn.Parameter], optimizer: Any) -> None:
    """Load all tensors of a checkpoint, then put them to use: a torn one changes nothing."""
    loaded = {name: file.get_tensor(f"{WEIGHT}{name}") for name in weights}
    moments = {name: {moment: file.get_tensor(f"{moment}.{name}") for moment in MOMENTS} for name in weights}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(loaded[name])
            remembered = {moment: tensor.to(weight.device) for moment, tensor in moments[name].items()}
            optimizer.state[weight] = {"step": torch.tensor(float(state.step)), **remembered}
