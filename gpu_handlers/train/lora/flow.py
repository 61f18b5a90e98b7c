"""The loss of flow matching: how far the guessed way from picture to noise is from the real one."""

import math
from collections.abc import Sequence

import torch

from gpu_handlers.train import lesson
from gpu_handlers.train.lora.base import Base
from gpu_handlers.train.lora.family import Family
from gpu_handlers.train.lora.shots import Batch, Shot, gather

#: At so much noise the loss is measured before and after, on so many pictures at most.
MEASURED_AT = (0.2, 0.5, 0.8)
MEASURED = 8


def chance(seed: int) -> torch.Generator:
    """Make chance on the CPU: the same on every device."""
    return torch.Generator().manual_seed(seed)


def draw_noise(family: Family, batch: Batch, chance: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw noise, and how much of it each picture gets: mostly a middling amount, more of it in larger pictures."""
    noise = torch.randn(batch.latents.shape, generator=chance).to(batch.latents)
    drawn = torch.sigmoid(torch.randn(len(noise), generator=chance))
    shift = math.exp(family.shift(noise.shape[1]))
    return noise, (shift * drawn / (1 + (shift - 1) * drawn)).to(batch.latents)


def measure(base: Base, batch: Batch, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Compute the loss of a batch at this noise: the mean of squares, in float32."""
    amount = sigma[:, None, None]
    noisy = ((1 - amount) * batch.latents + amount * noise).to(base.way.dtype)
    with base.way.accelerator.autocast():
        guessed = base.family.guess(base.transformer, noisy, sigma, batch.places, batch.words)
    return torch.nn.functional.mse_loss(guessed.float(), noise - batch.latents)


def examine(base: Base, shots: Sequence[Shot]) -> float:
    """Compute the mean loss on the first pictures, at noise that no step has learnt."""
    losses = []
    with torch.no_grad():
        for number, shot in enumerate(shots[:MEASURED]):
            batch = gather([shot], base.way)
            noise = torch.randn(batch.latents.shape, generator=chance(lesson.seed_of(base.seed, "exam", number)))
            for amount in MEASURED_AT:
                sigma = torch.full((1,), amount, device=base.way.device)
                losses.append(float(measure(base, batch, noise.to(batch.latents), sigma)))
    return sum(losses) / len(losses)
