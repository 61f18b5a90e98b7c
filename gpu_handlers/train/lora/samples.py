"""The grid of samples: prompts with the trigger word, drawn without the LoRA and with it, from the file itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gpu_handlers.train import lesson
from gpu_handlers.train.lora.base import Base, load_part
from gpu_handlers.train.lora.family import Words
from gpu_handlers.train.lora.shots import Tick
from tools.card import Grid, Sample
from tools.train import LoraUnsound

#: What is drawn of a product.
PROMPTS = (
    "a studio photo of {} on a plain white backdrop",
    "{} on a marble table in soft daylight",
    "{} on a beach at sunset",
    "{} in a cosy living room, shallow depth of field",
)

#: Pixels of a sample's sides, at most.
SIDE = 512


def name(trigger_word: str) -> list[str]:
    """Write the prompts of a product."""
    return [prompt.format(trigger_word) for prompt in PROMPTS]


def draw(base: Base, lora: Path, words: Mapping[str, Words], side: int, tick: Tick) -> tuple[Image.Image, Grid]:
    """Draw a row of two for each prompt: without, and with what is in the file `lora`.

    Args:
        base: The base model; its own adapter is taken off.
        lora: A file that has been proven.
        words: The embeddings of each prompt, and of the one without words, which is no row.
        side: Pixels of a picture's sides.
        tick: Hears of each picture.

    Raises:
        LoraUnsound: no picture is changed by it.
    """
    base.transformer.unload_lora()
    pipe = open_pipeline(base)
    prompts = [prompt for prompt in words if prompt]
    rows = tuple(Sample(prompt=prompt, seed=lesson.seed_of(base.seed, "sample", n)) for n, prompt in enumerate(prompts))
    told = [base.family.paint(words[row.prompt], words[""]) for row in rows]
    drawn: list[list[Any]] = []
    for lap in (0, 1):
        if lap:
            pipe.load_lora_weights(lora)
        drawn.append([])
        for number, (row, one) in enumerate(zip(rows, told, strict=True)):
            tick(lap * len(rows) + number, 2 * len(rows))
            drawn[-1].append(paint(pipe, base, one, row.seed, side))
    if np.array_equal(drawn[0], drawn[1]):
        raise LoraUnsound("The model changes no picture: raise lr or steps, and train again.")
    return lay_out(drawn[0], drawn[1], side), Grid(side=side, rows=rows)


def open_pipeline(base: Base) -> Any:
    """Make a pipeline that is told embeddings, and has nothing to read words with."""
    vae = load_part(base.folder, "vae", base.way)
    none = dict.fromkeys(base.family.readers)
    pipe = base.family.pipeline.from_pretrained(base.folder, **none, transformer=base.transformer, vae=vae)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def paint(pipe: Any, base: Base, told: Mapping[str, torch.Tensor], seed: int, side: int) -> Any:
    """Draw one picture: (side, side, 3), 0 to 255."""
    on_device = {name: tensor.to(base.way.device, base.way.dtype) for name, tensor in told.items()}
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = pipe(
            **on_device, **base.family.sampling, height=side, width=side, generator=chance, output_type="pil"
        )  # fmt: skip
    return np.asarray(drawn.images[0])


def lay_out(without: Sequence[Any], with_it: Sequence[Any], side: int) -> Image.Image:
    """Lay pictures out: a row for each prompt."""
    grid = Image.new("RGB", (2 * side, side * len(without)))
    for row, pair in enumerate(zip(without, with_it, strict=True)):
        for column, pixels in enumerate(pair):
            grid.paste(Image.fromarray(pixels), (column * side, row * side))
    return grid
