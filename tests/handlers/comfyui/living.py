"""What the tests against a living ComfyUI share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from gpu_handlers.comfyui import client, disk, fit, manifest
from gpu_handlers.inpaint import gpu as inpaint
from storage.bucket import bucket
from tests.handlers.comfyui.conftest import told
from tests.handlers.comfyui.desk import Desk

URL = os.environ.get("COMFYUI_URL", "http://127.0.0.1:8188")

Found = dict[str, Any]

PICTURE: dict[str, Any] = {
    "model_id": 1,
    "prompt": "TOK on a table",
    "width": 256,
    "height": 256,
    "num_inference_steps": 4,
    "seed": 7,
}


@contextmanager
def beside_comfyui() -> Iterator[None]:
    """Tell the handlers of the living ComfyUI, and let them send it little where it has no GPU."""
    with pytest.MonkeyPatch.context() as patch, told(patch, COMFYUI_URL=URL):
        bucket.cache_clear()
        if has_no_gpu():
            patch.setattr(inpaint, "MEGAPIXELS", 0.0625)
        yield
    bucket.cache_clear()


def has_no_gpu() -> bool:
    device: dict[str, Any] = httpx.get(f"{URL}/system_stats").json()["devices"][0]
    return bool(device["type"] == "cpu")


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
