"""Train a LoRA of a product by gradient descent on a base model of the FLUX families."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from gpu_handlers.comfyui import manifest
from gpu_handlers.train import lesson, photos, record
from gpu_handlers.train.lora import base as bases
from gpu_handlers.train.lora import checkpoint, flow, learning, samples, shots, soundness, way
from gpu_handlers.train.lora.family import Family, Words
from gpu_handlers.train.lora.flux1 import Flux1
from gpu_handlers.train.lora.flux2 import Flux2
from gpu_handlers.train.lora.learning import Course
from gpu_handlers.train.lora.shots import Shot, Tick
from gpu_handlers.train.lora.way import Way
from gpu_handlers.work import Work
from settings import settings
from tools.card import CARD, SAMPLES, Card, Grid, Photo
from tools.errors import ModelMissing, OutOfMemory
from tools.train import TrainParams

#: By the profile of the base.
FAMILIES: dict[str, Family] = {"flux1-dev": Flux1(), "flux2-klein-4b": Flux2(), "flux2-klein-9b": Flux2()}

#: What a CPU says when its memory is not enough; a GPU has a class for it.
NO_MEMORY = "can't allocate memory"


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and on which base."""

    family: Family
    folder: Path
    way: Way
    pictures: tuple[Photo, ...]
    fingerprint: str

    @property
    def seed(self) -> int:
        """The seed of all chance: it follows from what is learnt, so that the same training is the same again."""
        return int(self.fingerprint[:13], 16)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The size of each picture in training."""
        return [(picture.trained_width, picture.trained_height) for picture in self.pictures]


def run(params: TrainParams, work: Work) -> Path:
    """Make the LoRA, and beside it the grid of samples and the card."""
    began = time.monotonic()
    task = plan(params, work)
    try:
        return make(task, params, work, began)
    finally:
        task.way.free()  # for whatever else uses this GPU, such as ComfyUI


def make(task: Task, params: TrainParams, work: Work, began: float) -> Path:
    """Learn, prove and show; the attempt began at this time of the monotonic clock."""
    with enough_memory(params):
        words = read(task, params, work)
        seen = look(task, words, work)
        base = bases.load(task.family, task.folder, task.way, params.lora_rank, task.seed)
        batches = lesson.draw(task.seed, task.sizes, params.batch_size, params.steps)
        before = flow.examine(base, seen)
        learnt = learning.learn(Course(base, seen, batches, task.fingerprint), params, work, began)
        after = flow.examine(base, seen)
        path = base.save(work.folder / "model.safetensors", record.about(params, base.folder.name))
        proven = soundness.prove(path, base.transformer, task.family.modules)
        grid = draw(base, path, words, params, work)
    work.spent.append(checkpoint.key_of(task.fingerprint))
    keep(Card(
        **record.describe(params), images=task.pictures, seed=task.seed, resumed_from=learnt.first,
        loss=record.curve(learnt.losses), loss_before=before, loss_after=after, samples=grid,
        modules=proven.modules, trained_numbers=proven.numbers, device=task.way.device.type,
        precision=task.way.precision, gpu_seconds=round(learnt.earlier_s + time.monotonic() - began, 1),
        versions={name: version(name) for name in ("torch", "diffusers", "peft", "accelerate", "transformers")},
    ), work)  # fmt: skip
    return path


def plan(params: TrainParams, work: Work) -> Task:
    """Find the base, and bring the photos to their sizes. Raises ModelMissing, BadArchive, NotAnImage."""
    profile, folder = manifest.profile("train"), work.folder / "photos"
    base = find_base(profile.names["base"])
    given = photos.unpack(work.fetch(str(params.images)), folder)
    prepared = [shots.prepare(photo, params.trigger_word, params.resolution) for photo in given]
    pictures = tuple(prepared)
    return Task(FAMILIES[profile.name], base, way.find(), pictures, record.identify(params, pictures, base.name))


def find_base(name: str) -> Path:
    """Find the folder of a base model. Raises ModelMissing."""
    folder = Path(settings().models_dir) / "diffusers" / name
    if not (folder / "model_index.json").is_file():
        told = f"The base model {name} is not in {folder}: `packshot models train` says where it is from."
        raise ModelMissing(told, {"file": name, "folder": "diffusers"})
    return folder


def read(task: Task, params: TrainParams, work: Work) -> dict[str, Words]:
    """Read all captions, the prompts of the samples, and the prompt without words."""
    texts = [picture.caption for picture in task.pictures] + samples.name(params.trigger_word) + [""]
    told = shots.read(task.family, task.folder, task.way, texts, stage(work, 0.02, 0.05, "reading captions"))
    task.way.free()
    return told


def look(task: Task, words: Mapping[str, Words], work: Work) -> list[Shot]:
    """See all pictures through the VAE, which is let go again."""
    tick = stage(work, 0.05, 0.1, "looking at the photos")
    vae = bases.load_part(task.folder, "vae", task.way)
    paths = sorted((work.folder / "photos").glob("*.png"))
    seen = list(shots.look(task.family, vae, paths, tick))
    del vae
    task.way.free()
    return [
        Shot(latents, places, words[picture.caption])
        for (latents, places), picture in zip(seen, task.pictures, strict=True)
    ]


def draw(base: bases.Base, path: Path, words: Mapping[str, Words], params: TrainParams, work: Work) -> Grid:
    """Draw the grid of samples from the file, and keep it."""
    prompts = {prompt: words[prompt] for prompt in [*samples.name(params.trigger_word), ""]}
    side = min(samples.SIDE, params.resolution)
    picture, grid = samples.draw(base, path, prompts, side, stage(work, 0.86, 0.94, "drawing samples"))
    sheet = work.folder / "samples.png"
    picture.save(sheet)
    work.keep(SAMPLES, sheet)
    return grid


def keep(told: Card, work: Work) -> None:
    """Keep the card beside the model, and say the most of it in the outcome."""
    path = work.folder / "card.json"
    path.write_text(told.model_dump_json())
    work.keep(CARD, path)
    work.note(
        seed=told.seed, photos=len(told.images), loss_before=told.loss_before, loss_after=told.loss_after,
        base=told.base.name, resumed_from=told.resumed_from,
    )  # fmt: skip


def stage(work: Work, first: float, last: float, name: str) -> Tick:
    """Report a part of the progress."""
    return lambda number, count: work.report(first + (last - first) * number / count, name)


@contextmanager
def enough_memory(params: TrainParams) -> Iterator[None]:
    """Tell memory that was not enough in words that help here. Raises OutOfMemory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and NO_MEMORY not in str(error):
            raise
        told = f"The memory was not enough for resolution {params.resolution}, batch_size {params.batch_size} and \
lora_rank {params.lora_rank}: lower one of them, or train on a larger GPU."
        raise OutOfMemory(told, {"exception": type(error).__qualname__}) from error
