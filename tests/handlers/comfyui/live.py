"""The four handlers against a living ComfyUI: `make test-comfyui COMFYUI_URL=http://127.0.0.1:8188`.

On a CPU, where it can only have toy weights, pictures are small. It needs nothing but the nodes and models that
`packshot models` lists, and leaves nothing there but its LoRAs.
"""

import io
import os
import statistics
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from safetensors.numpy import save
from websockets.sync.client import connect

from gpu_handlers.comfyui import client, disk, fit, manifest
from gpu_handlers.inpaint import gpu as inpaint
from gpu_handlers.work import Work
from storage.bucket import bucket
from tests.handlers.comfyui.conftest import told
from tests.handlers.comfyui.desk import Desk, Pixels, draw_ball, encode
from tools.outcome import Outcome
from tools.video import VIDEO

URL = os.environ.get("COMFYUI_URL", "http://127.0.0.1:8188")

Found = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def live(s3: Mapping[str, str]) -> Iterator[None]:
    """Tell the handlers of the living ComfyUI, and let them send it little where it has no GPU."""
    assert s3
    with pytest.MonkeyPatch.context() as patch, told(patch, COMFYUI_URL=URL):
        bucket.cache_clear()
        if has_no_gpu():
            patch.setattr(inpaint, "MEGAPIXELS", 0.0625)
        yield
    bucket.cache_clear()


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def has_no_gpu() -> bool:
    device: dict[str, Any] = httpx.get(f"{URL}/system_stats").json()["devices"][0]
    return bool(device["type"] == "cpu")


@pytest.fixture(scope="module")
def scene(desk: Desk) -> str:
    return desk.put("scene.png", draw_ball())


@pytest.fixture(scope="module")
def mask(desk: Desk, scene: str) -> str:
    outcome = desk.ask("mask", image_url=scene, object_name="ball", mask_dilation=6, mask_blur=12)
    assert outcome.file is not None, outcome.error
    return outcome.file.r2_path


def lora(desk: Desk, *, model: float, clip: float) -> Found:
    """Make a LoRA that fits the base model and CLIP that this ComfyUI has, so strong in each."""
    there = client.comfy().wire
    names = manifest.profile("generate").names
    base = fit.find_base(disk.find(there).bases, names["unet"])
    words = fit.find_base([Path(path) for path in there.folders()["text_encoders"]], names["clip_l"])
    assert base is not None
    assert words is not None
    block = next(key for key in base if key.endswith("double_blocks.0.img_attn.qkv.weight"))
    layer = "text_model.encoder.layers.0.mlp.fc1"
    tensors = {
        **pair("lora_unet_double_blocks_0_img_attn_qkv", base[block], model),
        **pair("lora_te1_" + layer.replace(".", "_"), words[f"{layer}.weight"], clip),
    }
    name = f"lora-{model}-{clip}.safetensors"
    return {"model_id": {"model_string": desk.put(name, save(tensors)), "trigger_word": "TOK"}}


def pair(module: str, shape: list[int], scale: float) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    down, up = rng.normal(0, 0.3, (4, shape[1])), rng.normal(0, 0.3, (shape[0], 4))
    return {
        f"{module}.lora_down.weight": down.astype(np.float32),
        f"{module}.lora_up.weight": (up * scale).astype("f4"),
    }


def differ(one: Pixels, other: Pixels) -> bool:
    return bool((one != other).any())


PICTURE: dict[str, Any] = {
    "model_id": 1,
    "prompt": "TOK on a table",
    "width": 256,
    "height": 256,
    "num_inference_steps": 4,
    "seed": 7,
}


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


def test_a_cancel_interrupts_within_a_second(found: Found) -> None:
    desk, ended = Desk(), threading.Event()
    size = 512 if has_no_gpu() else 1024
    long = {**PICTURE, "num_inference_steps": 100, "width": size, "height": size, "guidance_scale": 3.0}
    outcomes: list[Outcome] = []

    def go() -> None:
        outcomes.append(desk.ask("generate", found, **long))
        ended.set()

    threading.Thread(target=go).start()
    while "sampling" not in [stage for _, stage in desk.told]:
        assert not ended.wait(0.02), outcomes
    began = time.monotonic()
    desk.stop.set()
    assert ended.wait(10)
    told_after = time.monotonic() - began
    while httpx.get(f"{URL}/queue").json()["queue_running"]:
        assert time.monotonic() - began < 10
    print(f"\ncancel told after {told_after:.2f} s, ComfyUI free after {time.monotonic() - began:.2f} s")
    assert outcomes[0].error is not None
    assert outcomes[0].error["code"] == "cancelled"
    assert told_after < 1


def test_the_handler_adds_little_to_a_bare_prompt(tmp_path: Path) -> None:
    image = tmp_path / "noise.png"
    image.write_bytes(encode(np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8)))
    bare, ours = [], []
    for _ in range(15):
        bare.append(time_bare(image))
        ours.append(time_ours(image, tmp_path))
    added = statistics.median(ours) - statistics.median(bare)
    print(f"\nbare {statistics.median(bare):.3f} s, handler {statistics.median(ours):.3f} s, added {added:.3f} s")
    assert added <= 0.15


def graph(image: str, prefix: str) -> dict[str, Any]:
    return {
        "10": {"class_type": "LoadImage", "inputs": {"image": image}},
        "70": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": prefix}},
    }


def time_bare(image: Path) -> float:
    """Time a graph from its submission to the message of its success; its picture is there already."""
    there, name = client.comfy(), str(uuid.uuid4())
    told_name = there.wire.upload(image, f"packshot-{name}", "noise.png")
    with connect(f"{URL.replace('http', 'ws')}/ws?clientId={name}", proxy=None) as socket:
        began = time.monotonic()
        there.wire.submit(graph(told_name, f"packshot-{name}/out"), name)
        while "execution_success" not in str(socket.recv(20)):
            pass
        took = time.monotonic() - began
    there.wire.forget(name)
    disk.find(there.wire).clean(f"packshot-{name}")
    return took


def time_ours(image: Path, folder: Path) -> float:
    """Time all that a handler does around the same graph: readiness, decode, upload, follow, download, clean."""
    work = Work(folder, lambda _r2, path: path, lambda *_: None, threading.Event())
    began = time.monotonic()
    with client.visit(VIDEO, work) as stay:
        stay.make(graph(stay.send(image, "noise"), ""), folder / "made.png")
    return time.monotonic() - began
