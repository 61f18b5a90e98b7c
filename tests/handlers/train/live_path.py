"""The whole path: HTTP, Celery, RunPod's own worker, the trainer, the bucket, the model, and a picture with it."""

import io
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from diffusers import AutoModel
from PIL import Image
from safetensors.numpy import save_file

from gpu_handlers.comfyui import fit, manifest
from gpu_handlers.train.gpu import FAMILIES
from gpu_handlers.train.lora import soundness
from storage.bucket import bucket
from tests.api.asking import PATIENCE_S, post
from tests.conftest import Processes
from tests.gateway.far import Far, built
from tests.gateway.gateway import ENDPOINT
from tests.handlers.comfyui.standin import StandIn
from tests.handlers.train import school
from tests.tasks.house import wait_for_end
from tools.card import Card

PROFILE = "flux1-dev-fp8"


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
    photos = bucket().read(school.key(school.put_photos()), 2**28)
    form = {
        "model_name": "Bag",
        "trigger_word": "TOK_BAG",
        "steps": "6",
        "lr": "0.01",
        "lora_rank": "4",
        "resolution": "256",
    }
    asked = requests.post(f"{far.site}/api/train", form, files={"images": photos}, timeout=PATIENCE_S)
    assert asked.status_code == 202, asked.text
    (job,) = wait_for_end(asked.json()["job_id"], patience_s=1800)
    assert job["status"] == "completed", job
    assert job["engine"] == "gpu"
    assert job["gpu_seconds"] > 0
    (work,) = far.gateway.cloud.works.values()
    assert work.worker == "trainer"
    model = requests.get(f"{far.site}/api/models/{job['result']['model_id']}", timeout=PATIENCE_S).json()
    assert (model["status"], model["trigger_word"]) == ("completed", "TOK_BAG")
    assert model["model_string"] == job["result"]["model_string"]
    card = Card.model_validate_json(bucket().read(beside(model["model_string"], "card.json"), 2**24))
    assert (card.model_name, len(card.images), card.parameters.steps) == ("Bag", 4, 6)
    assert card.loss_after < card.loss_before
    with Image.open(io.BytesIO(bucket().read(beside(model["model_string"], "samples.png"), 2**26))) as grid:
        assert grid.size == (512, 1024)
    assert bucket().find("checkpoints/") == []
    picture = post(f"{far.site}/api/generate/async", {
        "model_id": model["model_id"], "prompt": "TOK_BAG on a table", "width": 256, "height": 256,
        "num_inference_steps": 4, "seed": 7,
    })  # fmt: skip
    assert picture.status_code == 202, picture.text
    (done,) = wait_for_end(picture.json()["job_id"], patience_s=900)
    assert done["status"] == "completed", done
    assert shown(done["result"]).size == (256, 256)


def beside(model_string: str, name: str) -> str:
    """Name the key of a file beside a model."""
    return school.key(model_string).removesuffix("safetensors") + name


def shown(result: dict[str, Any]) -> Image.Image:
    """Load the picture of a result."""
    return Image.open(io.BytesIO(bucket().read(school.key(result["r2_path"]), 2**26)))
