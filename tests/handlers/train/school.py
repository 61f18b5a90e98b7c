"""What the tests of the real trainer share: tiny base models, photos, and attempts on a real bucket."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load

from gpu_handlers.comfyui import manifest
from gpu_handlers.train.gpu import FAMILIES
from gpu_handlers.train.lora import learning
from settings import settings
from storage.bucket import bucket
from tests.handlers.comfyui.desk import Desk
from tests.handlers.train import tiny
from tests.handlers.workbench import PHOTOS, Pixels
from tools.card import Card
from tools.outcome import Outcome

#: The profiles of training, and what makes a tiny base of each.
MAKERS = {"flux1-dev": tiny.make_flux1, "flux2-klein-4b": tiny.make_flux2, "flux2-klein-9b": tiny.make_flux2}

#: What is asked for, if a test does not say otherwise.
SMALL: dict[str, Any] = {
    "model_name": "Bag", "trigger_word": "TOK_BAG", "steps": 6, "lr": 1e-3, "lora_rank": 4, "resolution": 256,
}  # fmt: skip


def make_bases(models: Path) -> Path:
    """Make a folder of model files that holds a tiny base for each profile."""
    for profile in manifest.manifest("train").profiles:
        MAKERS[profile.name](models / "diffusers" / profile.names["base"])
    return models


@contextmanager
def taught(models: Path, base: str) -> Iterator[None]:
    """Train on a base from this folder, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINE", "gpu")
        patch.setenv("MODELS_DIR", str(models))
        patch.setenv("GENERATE_PROFILE", base)
        for family in FAMILIES.values():
            patch.setitem(family.sampling, "num_inference_steps", 4)
        patch.setattr(learning, "TELL_EVERY_S", 0)
        settings.cache_clear()
        bucket.cache_clear()
        torch.set_num_threads(1)  # on a busy machine two wait for each other
        yield
    settings.cache_clear()


def put_photos(name: str = "photos.zip", count: int = 4, note: str = "") -> str:
    """Store a zip of small photos, of two forms, some with words beside them; gives its address."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for number, path in enumerate(PHOTOS[:count]):
            with Image.open(path) as image:
                photo = image.convert("RGB").resize((320 if number % 2 else 256, 256))
            picture = io.BytesIO()
            photo.save(picture, "PNG")
            zipped.writestr(f"images/{number:04}.png", picture.getvalue())
            if number % 2:
                zipped.writestr(f"images/{number:04}.txt", f"a bag, view {number}{note}")
    bucket().put(f"datasets/train/{name}", out.getvalue())
    return f"r2://{settings().s3_bucket}/datasets/train/{name}"


def train(desk: Desk, images: str, **params: Any) -> Outcome:
    """Make an attempt."""
    return desk.ask("train", None, **{**SMALL, "images": images, **params})


def read_lora(outcome: Outcome) -> Mapping[str, Any]:
    """Load the tensors that an attempt has stored."""
    return load(Desk().read(outcome))


def read_card(outcome: Outcome) -> Card:
    """Load the card beside a model."""
    assert outcome.file is not None, outcome.error
    return Card.model_validate_json(bucket().read(key(outcome.extras["card"].r2_path), 2**24))


def read_samples(outcome: Outcome) -> Pixels:
    """Load the grid of samples beside a model."""
    with Image.open(io.BytesIO(bucket().read(key(outcome.extras["samples"].r2_path), 2**26))) as image:
        return np.asarray(image)


def key(r2_path: str) -> str:
    """Take an address of ours for its key."""
    return r2_path.split("/", 3)[3]
