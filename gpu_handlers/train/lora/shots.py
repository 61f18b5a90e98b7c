"""What is learnt from: each picture's latents and each caption's embeddings, computed once and kept in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from gpu_handlers.train import lesson
from gpu_handlers.train.lora.family import Family, Words
from gpu_handlers.train.lora.way import Way
from gpu_handlers.train.photos import Photo
from tools import card
from tools.errors import NotAnImage

#: Hears how many of how many are done; may raise Cancelled.
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Shot:
    """A picture as the transformer sees it: latents (length, channels), their places, and its caption. On the CPU."""

    latents: torch.Tensor
    places: torch.Tensor
    words: Words


@dataclass(frozen=True)
class Batch:
    """Shots of one size, one after the other along the first axis."""

    latents: torch.Tensor
    places: torch.Tensor
    words: Words


def prepare(photo: Photo, trigger_word: str, longest: int) -> card.Photo:
    """Bring a photo to its size in training, as a PNG beside it; tell what it is. Raises NotAnImage."""
    try:
        with Image.open(photo.path) as image:
            turned = on_white(ImageOps.exif_transpose(image))
    except (OSError, ValueError) as broken:
        raise NotAnImage(f"{photo.name} cannot be read as a picture: send it anew, or leave it out.") from broken
    size = lesson.fit(*turned.size, longest)
    ImageOps.fit(turned, size, Image.Resampling.LANCZOS).save(photo.path.with_suffix(".png"))
    return card.Photo(
        name=photo.name, caption=photo.caption(trigger_word), width=turned.width, height=turned.height,
        trained_width=size[0], trained_height=size[1], sha256=photo.sha256, source=photo.about.get("source"),
    )  # fmt: skip


def on_white(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white."""
    seen = image.convert("RGBA")
    ground = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(ground, seen).convert("RGB")


def read(family: Family, base: Path, way: Way, texts: Sequence[str], tick: Tick) -> dict[str, Words]:
    """Read all texts with the text encoders of a base model, which are let go again."""
    pipe = family.pipeline.from_pretrained(base, transformer=None, vae=None, dtype=way.dtype).to(way.device)
    pipe.set_progress_bar_config(disable=True)
    told: dict[str, Words] = {}
    with torch.no_grad():
        for number, text in enumerate(dict.fromkeys(texts)):
            tick(number, len(texts))
            told[text] = {name: tensor.cpu() for name, tensor in family.read(pipe, text).items()}
    return told


def look(family: Family, vae: Any, pictures: Iterable[Path], tick: Tick) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """See pictures through the VAE: their latents, and the places of these."""
    listed = list(pictures)
    with torch.no_grad():
        for number, path in enumerate(listed):
            tick(number, len(listed))
            latents, places = family.look(vae, to_tensor(path).to(vae.device, vae.dtype))
            yield latents.float().cpu(), places.cpu()


def to_tensor(path: Path) -> torch.Tensor:
    """Load a picture: (1, 3, height, width), -1 to 1."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]


def gather(shots: Sequence[Shot], way: Way) -> Batch:
    """Put shots of one size into a batch, on the device: latents stay float32, as noise is mixed in precisely."""
    words = {
        name: torch.stack([shot.words[name] for shot in shots]).to(way.device, way.dtype) for name in shots[0].words
    }
    latents = torch.stack([shot.latents for shot in shots]).to(way.device)
    return Batch(latents, torch.stack([shot.places for shot in shots]).to(way.device), words)
