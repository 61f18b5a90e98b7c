"""Every param is at work in the file, or a warning names it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gpu_handlers import pixels
from gpu_handlers.video.preview import frames
from tests.handlers.workbench import PHOTOS, Bench, Done, difference, draw_balls
from tools import catalog
from tools.errors import Cancelled
from tools.video import VideoParams

#: The least mean change of a pixel, of 255, that counts as "at work".
VISIBLE = 2.0

SCENE, MASKED = "r2://packshot/uploads/table.png", "r2://packshot/uploads/masked.png"

#: Tool → what is asked, and for each param another value of it.
GIVEN: dict[str, dict[str, Any]] = {
    "train": {"images": "r2://packshot/uploads/red.zip", "model_name": "Bag", "trigger_word": "TOK_BAG"},
    "generate": {"model_id": 1, "prompt": "TOK_BAG on a beach at sunset", "seed": 1, "width": 256, "height": 256},
    "mask": {"image_url": SCENE, "object_name": "ball", "seed": 1, "mask_dilation": 8, "mask_blur": 4},
    "inpaint": {
        "scene_url": SCENE, "reference_url": "r2://packshot/uploads/bag.png", "mask_url": MASKED, "seed": 1,
        "prompt": "a bag",
    },
    "video": {"image_url": SCENE, "seed": 1, "width": 256, "height": 144, "length": 9, "prompt": "zoom"},
}  # fmt: skip
OTHER: dict[str, dict[str, Any]] = {
    "train": {
        "images": "r2://packshot/uploads/blue.zip", "model_name": "Purse", "trigger_word": "TOK_PURSE", "steps": 1,
        "lr": 1.0, "lora_rank": 1, "batch_size": 16, "resolution": 256,
    },
    "generate": {
        "model_id": 2, "prompt": "TOK_BAG in a forest", "seed": 2, "width": 512, "height": 512, "lora_scale": 0.0,
        "num_inference_steps": 1, "guidance_scale": 8.0, "negative_prompt": "sunset",
    },
    "mask": {
        "image_url": "r2://packshot/uploads/bag.png", "object_name": "red ball", "seed": 2, "mask_dilation": 24,
        "mask_blur": 60,
    },
    "inpaint": {
        "scene_url": "r2://packshot/uploads/inverted.png", "reference_url": "r2://packshot/uploads/table.png",
        "mask_url": "r2://packshot/uploads/masked_left.png", "seed": 5, "prompt": "a bag at night", "steps": 1,
        "denoise": 0.0, "guidance": 0.0,
    },
    "video": {
        "image_url": "r2://packshot/uploads/bag.png", "seed": 2, "width": 144, "height": 256, "length": 13,
        "prompt": "pan left", "steps": 1,
    },
}  # fmt: skip


CASES = [(tool, name) for tool in GIVEN for name in catalog.find(tool).params.model_fields]


@pytest.fixture(scope="module", name="stocked")
def stock(tmp_path_factory: pytest.TempPathFactory, trained: tuple[Path, Path]) -> Bench:
    """Give a shelf with all that the cases ask for."""
    bench = Bench(tmp_path_factory.mktemp("stocked"))
    scene = draw_balls()
    bench.put("table.png", scene)
    bench.put("bag.png", PHOTOS[4])
    bench.put("masked.png", hole(0.7))
    bench.put("masked_left.png", hole(0.27))
    bench.put("inverted.png", 255 - scene)
    bench.put("blue.png", np.ascontiguousarray(pixels.read(PHOTOS[4])[..., ::-1]))
    bench.zip("red.zip", PHOTOS[4])
    bench.zip("blue.zip", bench.shelf / "blue.png")
    for number, model in enumerate(trained, 1):
        bench.put(f"{number}.safetensors", model)
    return bench


@pytest.fixture(scope="module", name="first")
def do_as_given(stocked: Bench) -> dict[str, "Look"]:
    """Do each tool as given."""
    return {tool: look(stocked, tool, params) for tool, params in GIVEN.items()}


def hole(centre: float) -> pixels.Pixels:
    y, x = np.mgrid[0:1:256j, 0:1:256j]
    away = np.hypot(x - centre, y - 0.55)
    return np.repeat(((1 - (away - 0.2) / 0.04).clip(0, 1) * 255).astype(np.uint8)[..., None], 3, -1)


@dataclass
class Look:
    """What a handler did, in a form that can be compared."""

    done: Done
    seen: NDArray[np.uint8]


def look(bench: Bench, tool: str, params: Mapping[str, Any]) -> Look:
    """Do a tool. Of a model all bytes are compared, of a video the frames before they are encoded."""
    model = f"r2://packshot/uploads/{params.get('model_id')}.safetensors"
    done = bench.do(tool, params, {"model_id": {"model_string": model, "trigger_word": "TOK_BAG"}})
    if tool == "train":
        return Look(done, np.frombuffer(done.path.read_bytes(), np.uint8))
    if tool == "video":
        shown = pixels.read(bench.shelf / str(params["image_url"]).rpartition("/")[2])
        return Look(done, np.stack(list(frames(shown, VideoParams.model_validate(dict(params))))))
    return Look(done, done.pixels)


def change(tool: str, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Measure the mean change, of 255, where change is allowed; another shape or another model is all change."""
    if one.shape != other.shape or (tool == "train" and (one != other).any()):
        return 255.0
    place = hole(0.7)[..., 0] > 0 if tool == "inpaint" else np.s_[:]
    return difference(one[place], other[place])


@pytest.mark.parametrize(("tool", "name"), CASES)
def test_a_param_is_visible_or_confessed(stocked: Bench, first: dict[str, Look], tool: str, name: str) -> None:
    second = look(stocked, tool, {**GIVEN[tool], name: OTHER[tool][name]})
    measured = change(tool, first[tool].seen, second.seen)
    if second.done.warned & {("no_effect", f"/{name}"), ("little_effect", f"/{name}")}:
        assert measured < VISIBLE, "it says that it has no effect, and has one"
    else:
        assert measured >= VISIBLE


@pytest.mark.parametrize("tool", GIVEN)
def test_the_same_seed_gives_the_same_pixels(stocked: Bench, first: dict[str, Look], tool: str) -> None:
    again = look(stocked, tool, GIVEN[tool])
    assert (again.seen == first[tool].seen).all()


@pytest.mark.parametrize("tool", GIVEN)
def test_progress_rises_and_leaves_room_for_the_upload(first: dict[str, Look], tool: str) -> None:
    fractions = [fraction for fraction, _ in first[tool].done.told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] <= 0.95


@pytest.mark.parametrize("tool", GIVEN)
def test_a_handler_stops_when_it_is_told_to(stocked: Bench, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    told = threading.Event()
    told.set()
    monkeypatch.setattr(stocked, "stop", told)
    with pytest.raises(Cancelled):
        look(stocked, tool, GIVEN[tool])
