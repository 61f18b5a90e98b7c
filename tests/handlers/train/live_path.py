"""The whole path: HTTP, Celery, RunPod's own worker, the trainer, the bucket, the model, and a picture with it."""

import io
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import requests
from diffusers import AutoModel
from PIL import ExifTags, Image, ImageFilter
from safetensors.numpy import save_file

from db.jobs import ENDED
from gpu_handlers.comfyui import fit, manifest
from gpu_handlers.train.gpu import FAMILIES
from gpu_handlers.train.lora import soundness
from storage.bucket import bucket
from storage.door import recall_manifest
from tests.api.asking import PATIENCE_S, post
from tests.conftest import Processes, wait_until
from tests.gateway.far import Far, built
from tests.gateway.gateway import ENDPOINT
from tests.handlers.comfyui.standin import StandIn
from tests.handlers.train import school
from tests.handlers.workbench import PHOTOS
from tests.photos import encode, pack
from tools.card import Card

PROFILE = "flux1-dev-fp8"

#: What a caller says; all else is chosen by the photos.
FORM = {"model_name": "Bag", "trigger_word": "TOK_BAG", "steps": "6", "lr": "0.01"}

#: What a photo says of itself in its dataset, and on the card of what was trained on it.
SAID = {"name", "source", "width", "height", "sha256", "caption"}


@pytest.fixture
def comfyui(models: Path, tmp_path: Path) -> Iterator[str]:
    """Give the ComfyUI that there is, or a stand-in that has a base of the tiny one's sizes."""
    if url := os.environ.get("COMFYUI_URL"):
        yield url
        return
    server = StandIn(tmp_path / "comfyui").start()
    transformer = AutoModel.from_pretrained(str(models / "diffusers" / "FLUX.1-dev"), subfolder="transformer")
    sizes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, (out, into) in soundness.measure(transformer, FAMILIES["flux1-dev"].modules).items():
        own = fit.own_name(f"transformer.{name}")
        sizes[own] = [sizes[own][0] + out, into]
    header = {f"{name}.weight": np.zeros(size, np.float32) for name, size in sizes.items()}
    unet = manifest.manifest("generate").find(PROFILE).names["unet"]
    save_file(header, server.home / "models" / "diffusion_models" / unet)
    yield server.url
    server.close()


@pytest.fixture
def far(
    models: Path, comfyui: str, database: str, s3: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Far]:
    """Run the house, with training at RunPod and pictures on our own GPU queue."""
    assert database
    assert s3["S3_ENDPOINT_URL"]
    endpoints = {"RUNPOD_ENDPOINTS": f"train={ENDPOINT}", "COMFYUI_URL": comfyui}
    with (
        school.taught(models, PROFILE),
        built(Processes(tmp_path_factory.mktemp("far")), {**endpoints, "OMP_NUM_THREADS": "1"}) as far,
    ):
        far.house.start("gpu")
        far.hire("trainer")
        yield far


def test_photos_become_a_model_and_the_model_a_picture(far: Far) -> None:
    asked = requests.post(f"{far.site}/api/train", FORM, files={"images": pack_photos()}, timeout=PATIENCE_S)
    assert asked.status_code == 202, asked.text
    told = asked.json()
    job = wait(far, told["job_id"], 1800)
    assert job["status"] == "completed", job
    assert job["engine"] == "gpu"
    assert job["gpu_seconds"] > 0
    (work,) = far.gateway.cloud.works.values()
    assert work.worker == "trainer"
    model = requests.get(f"{far.site}/api/models/{job['result']['model_id']}", timeout=PATIENCE_S).json()
    assert (model["status"], model["trigger_word"]) == ("completed", "TOK_BAG")
    assert model["model_string"] == job["result"]["model_string"]
    assert {name: model[name] for name in ("dataset", "parameters", "because", "reasons")}.items() <= told.items()
    hold_parameters(model)
    hold_photos(model, school.key(job["params"]["images"]))
    hold_files(far, model)
    assert bucket().find("checkpoints/") == []
    assert draw(far, model).size == (256, 256)


def pack_photos() -> bytes:
    """Zip four photos, one as a phone leaves it and two with words; and two more that teach nothing."""
    first, *others = map(shrink, PHOTOS[:4])
    phone = Image.Exif()
    phone[ExifTags.Base.Orientation] = 6  # held upright
    phone[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    files = {"IMG_0.JPG": encode(first.resize((320, 256)), "JPEG", exif=phone, quality=95)}
    files |= {f"IMG_{number}.png": encode(photo) for number, photo in enumerate(others, 1)}
    files |= {"IMG_1.txt": b"a photo of [trigger] from the left", "IMG_3.txt": b"on white"}
    copy, soft = encode(others[1], "JPEG", quality=60), encode(others[2].filter(ImageFilter.GaussianBlur(9)))
    return pack({**files, "IMG_4.jpg": copy, "IMG_5.png": soft})


def shrink(path: Path) -> Image.Image:
    """Load a photo, as small as one may be."""
    with Image.open(path) as image:
        return image.convert("RGB").resize((256, 256))


def wait(far: Far, job_id: str, patience_s: float) -> dict[str, Any]:
    """Ask for a job until it has ended, as a caller does: a busy machine may say 503 now and then."""
    job: dict[str, Any] = {}

    def has_ended() -> bool:
        answer = requests.get(f"{far.site}/api/jobs/{job_id}?wait=10", timeout=PATIENCE_S)
        job.update(answer.json() if answer.status_code == 200 else {})
        return job.get("status") in ENDED

    wait_until(has_ended, patience_s, lambda: repr(job))
    return job


def hold_parameters(model: dict[str, Any]) -> None:
    """Hold what was given to what was asked for, and the rest to what suits the photos; the trainer took both."""
    assert model["parameters"] == {"steps": 6, "lr": 0.01, "lora_rank": 16, "batch_size": 1, "resolution": 256}
    assert model["card"]["parameters"] == model["parameters"]
    assert [name for name, why in model["reasons"].items() if why.startswith("you gave it")] == ["steps", "lr"]


def hold_photos(model: dict[str, Any], key: str) -> None:
    """Hold what was learnt to the photos that were fit for it, as they lie in the dataset: upright and without EXIF."""
    assert model["dataset"]["images"] == 4
    assert [one["source"] for one in model["dataset"]["left_out"]] == ["IMG_4.jpg", "IMG_5.png"]
    known = recall_manifest(key)
    assert known is not None
    told = [photo.model_dump(include=SAID) for photo in known.images]
    assert [{name: photo[name] for name in SAID} for photo in model["card"]["images"]] == told
    assert [photo.caption for photo in known.images] == [
        "TOK_BAG", "a photo of TOK_BAG from the left", "TOK_BAG", "TOK_BAG, on white",
    ]  # fmt: skip
    assert [(photo["trained_width"], photo["trained_height"]) for photo in model["card"]["images"]] == [
        (192, 256), *[(256, 256)] * 3,
    ]  # fmt: skip
    with ZipFile(io.BytesIO(bucket().read(key, 2**28))) as dataset:
        for photo in known.images:
            with Image.open(io.BytesIO(dataset.read(photo.name))) as image:
                assert not image.getexif()


def hold_files(far: Far, model: dict[str, Any]) -> None:
    """Hold the card to what the trainer wrote beside the model, and the samples to a picture that is shown."""
    card = Card.model_validate_json(bucket().read(beside(model["model_string"], "card.json"), 2**24))
    wrote = card.model_dump(mode="json", exclude={"gpu_seconds"})
    assert wrote.items() <= model["card"].items()
    assert (card.model_name, card.base.name, len(card.loss)) == ("Bag", "FLUX.1-dev", 6)
    assert card.loss_after < card.loss_before
    samples = requests.get(f"{far.site}{model['card']['samples_url']}", timeout=PATIENCE_S)
    with Image.open(io.BytesIO(samples.content)) as grid:
        assert grid.size == (2 * 256, 4 * 256)


def draw(far: Far, model: dict[str, Any]) -> Image.Image:
    """Generate a picture with a model, on our own GPU."""
    picture = post(f"{far.site}/api/generate/async", {
        "model_id": model["model_id"], "prompt": "TOK_BAG on a table", "width": 256, "height": 256,
        "num_inference_steps": 4, "seed": 7,
    })  # fmt: skip
    assert picture.status_code == 202, picture.text
    done = wait(far, picture.json()["job_id"], 900)
    assert done["status"] == "completed", done
    return Image.open(io.BytesIO(bucket().read(school.key(done["result"]["r2_path"]), 2**26)))


def beside(model_string: str, name: str) -> str:
    """Name the key of a file beside a model."""
    return school.key(model_string).removesuffix("safetensors") + name
