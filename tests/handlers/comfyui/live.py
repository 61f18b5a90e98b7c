"""The four handlers against a living ComfyUI: `make test-comfyui COMFYUI_URL=http://127.0.0.1:8188`.

On a CPU, where it can only have toy weights, pictures are small. It needs nothing but the nodes and models that
`packshot models` lists, and leaves nothing there but its LoRAs.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import av
import numpy as np
import pytest

from gpu_handlers.comfyui import manifest
from tests.handlers.comfyui.conftest import told
from tests.handlers.comfyui.desk import Desk, Pixels, draw_ball
from tests.handlers.comfyui.living import PICTURE, URL, Found, beside_comfyui, has_no_gpu, lora
from tools.outcome import Outcome


@pytest.fixture(scope="module", autouse=True)
def live(s3: Mapping[str, str]) -> Iterator[None]:
    assert s3
    with beside_comfyui():
        yield


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def scene(desk: Desk) -> str:
    return desk.put("scene.png", draw_ball())


@pytest.fixture(scope="module")
def mask(desk: Desk, scene: str) -> str:
    outcome = desk.ask("mask", image_url=scene, object_name="ball", mask_dilation=6, mask_blur=12)
    assert outcome.file is not None, outcome.error
    return outcome.file.r2_path


def differ(one: Pixels, other: Pixels) -> bool:
    return bool((one != other).any())


@pytest.fixture(scope="module")
def found(desk: Desk) -> Found:
    return lora(desk, model=1.0, clip=1.0)


@pytest.fixture(scope="module")
def picture(desk: Desk, found: Found) -> Pixels:
    return desk.make("generate", found, **PICTURE)


def test_equal_seeds_give_equal_pictures(desk: Desk, found: Found, picture: Pixels) -> None:
    assert picture.shape == (256, 256, 3)
    assert not differ(picture, desk.make("generate", found, **PICTURE))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"seed": 0},
        {"prompt": "TOK in the snow"},
        {"lora_scale": 0.5},
        {"guidance_scale": 3.0},
        {"num_inference_steps": 5},
    ],
)
def test_each_param_of_generate_changes_the_picture(
    desk: Desk, found: Found, picture: Pixels, change: dict[str, Any]
) -> None:
    assert differ(picture, desk.make("generate", found, **{**PICTURE, **change}))


@pytest.mark.parametrize("part", ["model", "clip"])
def test_the_lora_works_on_model_and_clip(desk: Desk, part: str) -> None:
    only = lora(desk, **{"model": 0.0, "clip": 0.0, part: 1.0})
    full, none = (desk.make("generate", only, **PICTURE, lora_scale=scale) for scale in (1.0, 0.0))
    assert differ(full, none)


def test_the_negative_prompt_works_with_guidance_and_not_without(desk: Desk, found: Found, picture: Pixels) -> None:
    assert not differ(picture, desk.make("generate", found, **PICTURE, negative_prompt="red"))
    guided = {**PICTURE, "guidance_scale": 3.0}
    one, other = (desk.make("generate", found, **guided, negative_prompt=text) for text in ("red", "blurry"))
    assert differ(one, other)


def test_a_size_is_given_to_the_pixel(desk: Desk, found: Found) -> None:
    assert desk.make("generate", found, **{**PICTURE, "width": 272, "height": 304}).shape == (304, 272, 3)


MASK: dict[str, Any] = {"object_name": "ball", "mask_dilation": 6, "mask_blur": 12}


def test_dilation_and_blur_shape_the_mask(desk: Desk, scene: str) -> None:
    plain, again, grown, soft = (
        desk.make("mask", image_url=scene, **{**MASK, **change})[..., 0].astype(int)
        for change in ({"seed": 3}, {"seed": 3}, {"mask_dilation": 20}, {"mask_blur": 40})
    )
    assert not differ(plain, again)
    assert (grown > 127).sum() > (plain > 127).sum()
    assert edge(soft) > edge(plain) > 0
    assert (plain[128, 128], plain[1, 1]) == (255, 0)


def edge(plane: Any) -> int:
    return int(((plane > 5) & (plane < 250)).sum())


def test_a_large_picture_and_the_largest_growth_stay_within_the_limit(desk: Desk) -> None:
    large = desk.put("large.png", draw_ball(4000, 3000))
    outcome = desk.ask("mask", image_url=large, object_name="ball", mask_dilation=512, mask_blur=512)
    assert desk.pixels(outcome).shape == (3000, 4000, 3)
    print(f"\n4000×3000, dilation 512, blur 512: {outcome.seconds} s")


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    if not has_no_gpu():
        pytest.skip(reason="real weights find something under every name")
    plain = desk.put("plain.png", np.full((128, 128, 3), 120, np.uint8))
    outcome = desk.ask("mask", image_url=plain, object_name="nothing")
    assert outcome.error is not None
    assert outcome.error["code"] == "object_not_found"


@pytest.fixture(scope="module")
def asked(mask: str, desk: Desk) -> dict[str, Any]:
    y, x = np.mgrid[:192, :160].astype(np.uint8)
    reference = desk.put("reference.png", np.dstack([x, y, np.full_like(x, 60)]))
    return {"scene_url": mask, "reference_url": reference, "seed": 7}


@pytest.fixture(scope="module")
def filled(desk: Desk, asked: dict[str, Any]) -> Pixels:
    return desk.make("inpaint", **asked)


def test_the_scene_stays_around_the_mask(desk: Desk, filled: Pixels, mask: str) -> None:
    plane = read(desk, mask)[..., 0]
    assert filled.shape == draw_ball().shape
    assert (filled[plane == 0] == draw_ball()[plane == 0]).all()
    assert differ(filled[plane > 200], draw_ball()[plane > 200])


def read(desk: Desk, r2: str) -> Pixels:
    file = {"r2_path": r2, "size": 0, "sha256": ""}
    return desk.pixels(Outcome.model_validate({"engine": "gpu", "seconds": 0, "file": file}))


def test_equal_seeds_fill_equally(desk: Desk, asked: dict[str, Any], filled: Pixels) -> None:
    assert not differ(filled, desk.make("inpaint", **asked))


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"prompt": "a shoe"}, {"denoise": 0.5}, {"steps": 6}, {"reference_url": ""}]
)
def test_each_param_of_inpaint_changes_the_picture(
    desk: Desk, asked: dict[str, Any], filled: Pixels, change: dict[str, Any], scene: str
) -> None:
    change = {"reference_url": scene} if "reference_url" in change else change
    assert differ(filled, desk.make("inpaint", **{**asked, **change}))


def test_guidance_does_nothing_as_its_warning_says(desk: Desk, asked: dict[str, Any], filled: Pixels) -> None:
    assert not differ(filled, desk.make("inpaint", **asked, guidance=30.0))


def skip_if_not_there(outcome: Outcome) -> None:
    """Pass over a profile whose models this ComfyUI does not have."""
    if outcome.error and outcome.error["code"] == "model_missing":
        pytest.skip(reason=outcome.error["detail"])


@pytest.mark.parametrize("profile", [profile.name for profile in manifest.manifest("inpaint").profiles])
def test_every_profile_of_inpaint_fills(
    desk: Desk, asked: dict[str, Any], profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with told(monkeypatch, COMFYUI_URL=URL, INPAINT_PROFILE=profile):
        outcome = desk.ask("inpaint", **asked)
        skip_if_not_there(outcome)
        assert desk.pixels(outcome).shape == draw_ball().shape


FILM: dict[str, Any] = {"width": 128, "height": 144, "length": 5, "steps": 4, "seed": 7}


def frames(desk: Desk, **asked: Any) -> Pixels:
    with av.open(io.BytesIO(desk.read(desk.ask("video", **asked))), "r") as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


@pytest.mark.parametrize("profile", [profile.name for profile in manifest.manifest("video").profiles])
def test_each_param_of_video_changes_the_film(
    desk: Desk, scene: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with told(monkeypatch, COMFYUI_URL=URL, VIDEO_PROFILE=profile):
        skip_if_not_there(desk.ask("video", image_url=scene, **FILM))
        first = frames(desk, image_url=scene, **FILM)
        assert first.shape == (5, 144, 128, 3)
        assert not differ(first, frames(desk, image_url=scene, **FILM))
        assert frames(desk, image_url=scene, **{**FILM, "length": 9}).shape == (9, 144, 128, 3)
        other = desk.put("other.png", draw_ball()[::-1, :, ::-1])
        for change in ({"seed": 8}, {"prompt": "zoom out"}, {"steps": 6}, {"steps": 1}, {"image_url": other}):
            assert differ(first, frames(desk, **{"image_url": scene, **FILM, **change})), change
