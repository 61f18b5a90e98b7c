"""What a training is known by, and what is told of it afterwards."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from gpu_handlers.comfyui import manifest
from gpu_handlers.train import lesson
from tools.card import Base, Parameters, Photo, Point
from tools.train import Training, TrainParams

#: Another number here makes every checkpoint that was kept before one of another training.
FORM = 1


def identify(params: TrainParams, pictures: Sequence[Photo], base: str) -> str:
    """Name a training by all that its weights follow from: pictures, captions, parameters, base."""
    learnt = [(picture.sha256, picture.caption) for picture in pictures]
    told = json.dumps([FORM, base, learnt, parameters(params).model_dump()])
    return hashlib.sha256(told.encode()).hexdigest()


def parameters(params: TrainParams) -> Parameters:
    """Take what a training is told of how."""
    return Parameters(**{name: getattr(params, name) for name in Training.model_fields})


def describe(params: TrainParams) -> dict[str, Any]:
    """Tell what was known before a training began."""
    needs, profile = manifest.manifest("train"), manifest.profile("train")
    (file,) = profile.files
    licence = needs.licences[file.licence]
    base = Base(
        name=file.name, source=file.source, licence=licence.name, commercial=licence.commercial,
        generates_with=manifest.profile("generate").name,
    )  # fmt: skip
    named = {"model_name": params.model_name, "trigger_word": params.trigger_word}
    return {**named, "base": base, "parameters": parameters(params)}


def about(params: TrainParams, base: str) -> str:
    """Say in the file itself what it is."""
    named = {"engine": "gpu", "trigger_word": params.trigger_word, "name": params.model_name, "base": base}
    return json.dumps({**named, **parameters(params).model_dump()})


def curve(losses: Sequence[float]) -> tuple[Point, ...]:
    """Draw the curve of the loss."""
    return tuple(Point(step=step, loss=loss) for step, loss in lesson.curve(losses))
