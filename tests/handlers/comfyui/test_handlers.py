"""The four handlers as whole attempts, beside a stand-in for ComfyUI."""

import io
from collections.abc import Mapping
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from settings import settings
from tests.handlers.comfyui.desk import Desk, draw_ball, encode
from tests.handlers.comfyui.standin import StandIn
from tools.mask import SCENE_CHUNK
from tools.outcome import Outcome


def test_a_picture_is_made_with_the_products_lora(desk: Desk, comfy: StandIn, found: Mapping[str, Any]) -> None:
    outcome = desk.ask("generate", found, model_id=1, prompt="TOK_BAG on a beach", width=320, height=256, seed=0)
    assert desk.pixels(outcome).shape == (256, 320, 3)
    assert (outcome.engine, outcome.params["seed"]) == ("gpu", 0)
    (graph,) = comfy.graphs
    name = graph["20"]["inputs"]["lora_name"]
    assert (comfy.home / "models" / "loras" / name).is_file()
    assert [(note.code, note.pointer) for note in outcome.warnings] == [("no_effect", "/negative_prompt")]


def test_guidance_makes_the_negative_prompt_work_and_ends_its_warning(desk: Desk, found: Mapping[str, Any]) -> None:
    asked = {"model_id": 1, "prompt": "TOK_BAG", "width": 256, "height": 256, "seed": 1, "guidance_scale": 3.0}
    assert desk.ask("generate", found, **asked).warnings == []


def test_a_prompt_without_the_trigger_word_is_told(desk: Desk, found: Mapping[str, Any]) -> None:
    outcome = desk.ask("generate", found, model_id=1, prompt="a bag", width=256, height=256, lora_scale=0.0)
    codes = [(note.code, note.pointer) for note in outcome.warnings]
    assert codes == [("trigger_word_missing", "/prompt"), ("no_effect", "/negative_prompt"), ("no_effect", "/model_id")]


@pytest.fixture(name="scene")
def store_scene(desk: Desk) -> str:
    return desk.put("scene.png", draw_ball())


def test_a_mask_carries_its_scene_and_is_grey(desk: Desk, scene: str) -> None:
    outcome = desk.ask("mask", image_url=scene, object_name="ball", mask_dilation=6, mask_blur=10, seed=0)
    pixels = desk.pixels(outcome)
    assert (pixels == pixels[..., :1]).all()
    assert (pixels[128, 128, 0], pixels[2, 2, 0]) == (255, 0)
    assert 0 < pixels[128, :, 0][pixels[128, :, 0] > 0].min() < 128, "its edge is soft"
    assert Image.open(io.BytesIO(desk.read(outcome))).info[SCENE_CHUNK] == scene
    assert outcome.facts["scene_r2_path"] == scene
    assert 0.1 < outcome.facts["coverage"] < 0.3
    assert (outcome.facts["width"], outcome.facts["height"]) == (256, 256)


def test_a_trained_product_is_looked_for_by_its_name(desk: Desk, comfy: StandIn, scene: str) -> None:
    known = {"object_name": {"name": "blue ball", "trigger_word": "TOK_BALL", "model_string": "r2://packshot/models/a"}}
    outcome = desk.ask("mask", known, image_url=scene, object_name="TOK_BALL", mask_dilation=6)
    assert comfy.graphs[-1]["21"]["inputs"]["text_input"] == "blue ball"
    assert outcome.params["object_name"] == "TOK_BALL"


def test_a_large_picture_is_masked_in_its_own_size_and_pixels(desk: Desk, comfy: StandIn) -> None:
    large = desk.put("large.png", draw_ball(3072, 1024))
    outcome = desk.ask("mask", image_url=large, object_name="ball", mask_dilation=40, mask_blur=0)
    assert comfy.graphs[-1]["40"]["inputs"]["expand"] == 20, "ComfyUI sees half of it"
    plane = desk.pixels(outcome)[..., 0]
    assert plane.shape == (1024, 3072)
    radius = 1024 / 5
    assert plane[512, int(1536 + radius + 30)] > 200
    assert plane[512, int(1536 + radius + 50)] < 50


@pytest.mark.parametrize("name", ["nothing", "ball"])
def test_an_object_that_is_not_there_is_never_a_mask(desk: Desk, name: str) -> None:
    plain = draw_ball() if name == "nothing" else np.full((64, 64, 3), 180, np.uint8)
    outcome = desk.ask("mask", image_url=desk.put("plain.png", plain), object_name=name)
    assert outcome.file is None
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("object_not_found", False)


def test_a_mask_of_the_whole_picture_found_nothing(desk: Desk, scene: str) -> None:
    outcome = desk.ask("mask", image_url=scene, object_name="ball", mask_dilation=512)
    assert outcome.error is not None
    assert outcome.error["code"] == "object_not_found"
    assert "the whole picture" in outcome.error["detail"]


def mask_of(desk: Desk, scene: str) -> Outcome:
    return desk.ask("mask", image_url=scene, object_name="ball", mask_dilation=6, mask_blur=10)


def test_what_is_outside_of_the_mask_stays_to_the_pixel_in_the_scenes_size(desk: Desk) -> None:
    drawn = draw_ball(300, 201)  # no multiple of 16
    mask = mask_of(desk, desk.put("odd.png", drawn))
    assert mask.file is not None
    picture = desk.ask("inpaint", scene_url=mask.file.r2_path, reference_url=desk.put("ref.png", draw_ball(64, 64)))
    made, plane = desk.pixels(picture), desk.pixels(mask)[..., 0]
    assert made.shape == drawn.shape
    assert (made[plane == 0] == drawn[plane == 0]).all()
    assert (made[plane == 255] != drawn[plane == 255]).any(-1).mean() > 0.9
    assert [(note.code, note.pointer) for note in picture.warnings] == [("no_effect", "/guidance")]


def test_the_sampler_gets_a_hard_mask_and_the_composite_the_soft_one(desk: Desk, comfy: StandIn) -> None:
    scene = desk.put("scene.png", np.full((64, 64, 3), 100, np.uint8))
    soft = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    kept: list[Any] = []
    comfy.uploaded = lambda name, data: kept.append((name, data))
    desk.make("inpaint", scene_url=scene, mask_url=desk.put("soft.png", soft), reference_url=scene)
    (anew,) = [np.asarray(Image.open(io.BytesIO(data))) for name, data in kept if name == "mask.png"]
    assert set(np.unique(anew)) == {0, 255}
    assert ((anew[..., 0] == 255) == (soft[..., 0] > 12)).all()


def test_a_rounded_denoise_is_told(desk: Desk, scene: str) -> None:
    mask = mask_of(desk, scene)
    assert mask.file is not None
    outcome = desk.ask("inpaint", scene_url=mask.file.r2_path, reference_url=scene, denoise=0.9)
    assert [(note.code, note.pointer) for note in outcome.warnings] == [
        ("no_effect", "/guidance"),
        ("rounded", "/denoise"),
    ]
    assert "done as 1.00" in outcome.warnings[1].message


def test_a_transparent_reference_is_laid_on_white(desk: Desk, comfy: StandIn, scene: str) -> None:
    clear = np.dstack([draw_ball(64, 64), np.zeros((64, 64), np.uint8)])
    kept: dict[str, bytes] = {}
    comfy.uploaded = kept.__setitem__
    mask = mask_of(desk, scene)
    assert mask.file is not None
    desk.make("inpaint", scene_url=mask.file.r2_path, reference_url=desk.put("clear.png", clear))
    assert (np.asarray(Image.open(io.BytesIO(kept["reference.png"]))) == 255).all()


def test_more_than_a_model_looks_at_is_not_sent(desk: Desk, comfy: StandIn) -> None:
    kept: dict[str, bytes] = {}
    comfy.uploaded = kept.__setitem__
    desk.ask("video", image_url=desk.put("huge.png", draw_ball(3000, 1500)), width=128, height=128, length=5, steps=1)
    assert Image.open(io.BytesIO(kept["scene.png"])).size == (2048, 1024)


@pytest.mark.parametrize("profile", ["", "wan2.1-480p-14b"])
def test_a_film_has_its_size_and_length(desk: Desk, scene: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_PROFILE", profile)
    settings.cache_clear()
    outcome = desk.ask("video", image_url=scene, width=128, height=160, length=9, steps=3)
    with av.open(io.BytesIO(desk.read(outcome)), "r") as film:
        assert [(frame.width, frame.height) for frame in film.decode(video=0)] == [(128, 160)] * 9


def test_every_stage_is_told_and_progress_never_falls(desk: Desk, scene: str) -> None:
    desk.ask("video", image_url=scene, width=128, height=128, length=5, steps=4)
    fractions = [fraction for fraction, _ in desk.told]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    stages = [stage for _, stage in desk.told]
    assert {"loading", "sampling", "verifying", "uploading"} <= set(stages)


def test_nothing_of_a_job_stays_in_comfyui(desk: Desk, comfy: StandIn, scene: str) -> None:
    mask_of(desk, scene)
    desk.ask("mask", image_url=scene, object_name="nothing")
    left = [path for folder in ("input", "output") for path in (comfy.home / folder).rglob("*")]
    assert left == []
    assert comfy.history == {}


def test_the_same_request_again_is_made_again(desk: Desk, scene: str) -> None:
    asked: dict[str, Any] = {"image_url": scene, "width": 128, "height": 128, "length": 5, "steps": 2, "seed": 7}
    first, second = desk.ask("video", **asked), desk.ask("video", **asked)
    assert desk.read(first) == desk.read(second)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\nbut torn", encode(draw_ball())[:-100]])
def test_a_file_that_is_no_whole_picture_never_reaches_comfyui(desk: Desk, comfy: StandIn, data: bytes) -> None:
    outcome = desk.ask("video", image_url=desk.put("torn.png", data))
    assert outcome.error is not None
    assert outcome.error["code"] == "not_an_image"
    assert comfy.graphs == []


def test_an_unknown_profile_is_named_with_those_that_exist(
    desk: Desk, scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEO_PROFILE", "sora")
    settings.cache_clear()
    outcome = desk.ask("video", image_url=scene)
    assert outcome.error is not None
    assert outcome.error["detail"] == "There is no profile sora here: choose one of wan2.2-14b, wan2.1-480p-14b."
