"""A stand-in for ComfyUI, and handlers that are told of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from gpu_handlers.comfyui import client
from settings import settings
from storage.bucket import bucket
from tests.handlers.comfyui.desk import Desk
from tests.handlers.comfyui.standin import StandIn

#: A block of FLUX.1, in small: name, and the sizes of what it gives and takes.
BLOCKS = {"double_blocks.0.img_attn.qkv": (96, 32), "single_blocks.0.linear1": (224, 32)}


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Run a stand-in, and tell the handlers its address."""
    server = StandIn(tmp_path / "comfyui").start()
    save_file({f"{name}.weight": np.zeros(shape, np.float32) for name, shape in BLOCKS.items()},
              server.home / "models" / "diffusion_models" / "flux1-dev-fp8.safetensors")  # fmt: skip
    with told(monkeypatch, COMFYUI_URL=server.url):
        yield server
    server.close()


class told:  # noqa: N801 - it is read as a verb
    """Tell the process another environment, for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **env: str) -> None:
        self.monkeypatch, self.env = monkeypatch, {"ENGINE": "gpu", **env}

    def __enter__(self) -> None:
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)
        self.forget()

    def __exit__(self, *_: object) -> None:
        self.monkeypatch.undo()
        self.forget()

    def forget(self) -> None:
        if client.comfy.cache_info().currsize:
            client.comfy().wire.close()
            client.comfy().process.stop()
        client.comfy.cache_clear()
        settings.cache_clear()


@pytest.fixture
def desk(comfy: StandIn, s3: Mapping[str, str]) -> Iterator[Desk]:
    """Give a desk beside the stand-in."""
    assert comfy.url
    assert s3["S3_ENDPOINT_URL"]
    bucket.cache_clear()
    settings.cache_clear()
    yield Desk()
    bucket.cache_clear()


def make_lora(scale: float = 1.0, prefix: str = "lora_unet_", width: int = 32) -> bytes:
    """Make a LoRA for the small FLUX.1."""
    tensors = {}
    for name, (out, _) in BLOCKS.items():
        module = prefix + (name.replace(".", "_") if prefix.endswith("_") else name)
        tensors[f"{module}.lora_down.weight"] = np.full((4, width), scale, np.float32)
        tensors[f"{module}.lora_up.weight"] = np.full((out, 4), scale, np.float32)
    return save(tensors)


@pytest.fixture
def found(desk: Desk) -> dict[str, Any]:
    """Give what the id of a trained model stands for."""
    return {"model_id": {"model_string": desk.put("lora.safetensors", make_lora()), "trigger_word": "TOK_BAG"}}
