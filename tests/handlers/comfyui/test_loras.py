"""LoRAs beside ComfyUI: under their hash, whole, fitting, and within their budget."""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from gpu_handlers.comfyui import fit, loras
from settings import settings
from tests.handlers.comfyui.conftest import BLOCKS, make_lora
from tests.handlers.comfyui.desk import Desk
from tests.handlers.comfyui.standin import StandIn
from tools.errors import InvalidInput
from tools.outcome import Outcome

BASE = {f"{name}.weight": list(shape) for name, shape in BLOCKS.items()}


def generate(desk: Desk, content: bytes, name: str = "lora.safetensors") -> Outcome:
    found = {"model_id": {"model_string": desk.put(name, content), "trigger_word": "TOK"}}
    return desk.ask("generate", found, model_id=1, prompt="TOK", width=256, height=256, num_inference_steps=1)


def kept(comfy: StandIn) -> list[Path]:
    return sorted((comfy.home / "models" / "loras").rglob("*.*"))


def test_a_lora_is_kept_under_the_hash_of_its_content(desk: Desk, comfy: StandIn) -> None:
    content = make_lora()
    assert generate(desk, content).file
    digest = hashlib.sha256(content).hexdigest()
    assert [path.name for path in kept(comfy)] == [f"{digest}.safetensors"]
    assert comfy.graphs[0]["20"]["inputs"]["lora_name"] == f"packshot/{digest}.safetensors"


def test_it_is_fetched_once(desk: Desk, comfy: StandIn) -> None:
    assert generate(desk, make_lora()).file
    (path,) = kept(comfy)
    before = path.stat()
    desk.told.clear()
    assert generate(desk, make_lora(), "the-same.safetensors").file
    assert path.stat().st_ino == before.st_ino
    assert "fetching the model" not in [stage for _, stage in desk.told]


def test_the_same_address_with_another_content_is_another_lora(desk: Desk, comfy: StandIn) -> None:
    assert generate(desk, make_lora(1.0)).file
    assert generate(desk, make_lora(2.0)).file
    assert len(kept(comfy)) == 2
    assert len({graph["20"]["inputs"]["lora_name"] for graph in comfy.graphs}) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (make_lora(width=64), "such as double_blocks_0_img_attn_qkv"),
        (save({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": np.zeros((4, 32), np.float32),
               "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": np.zeros((32, 4), np.float32)}),
         "such as down_blocks_0_attentions_0_proj_in"),
        (save({"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": np.zeros((4, 32), np.float32),
               "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": np.zeros((32, 4), np.float32)}),
         "it has no block of it"),
        (save({"cutout": np.zeros((8, 8, 4), np.uint8)}), "it has no block of it"),
        (make_lora()[:-100], "cannot be read"),
        (b"not a model at all", "cannot be read"),
    ],
    ids=["another size", "SDXL", "text alone", "the preview's own", "torn", "nonsense"],
)  # fmt: skip
def test_one_that_comfyui_would_leave_out_is_refused(desk: Desk, comfy: StandIn, content: bytes, told: str) -> None:
    outcome = generate(desk, content)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["errors"][0]["pointer"]) == ("invalid_input", "/model_id")
    assert told in outcome.error["detail"]
    assert (kept(comfy), comfy.graphs) == ([], [])


@pytest.mark.parametrize(
    "prefix", ["lora_unet_", "diffusion_model.", "transformer.", "base_model.model.diffusion_model.", "lycoris_"]
)
def test_the_names_of_every_trainer_are_known(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "lora.safetensors").write_bytes(make_lora(prefix=prefix))
    fit.check(fit.read_header(tmp_path / "lora.safetensors"), BASE)


def diffusers(module: str, out: int, width: int) -> fit.Header:
    return {f"transformer.{module}.lora_A.weight": [4, width], f"transformer.{module}.lora_B.weight": [out, 4]}


def test_the_names_of_diffusers_are_parts_of_our_own() -> None:
    for module, out in (
        ("transformer_blocks.0.attn.to_q", 32), ("single_transformer_blocks.0.proj_mlp", 128),
        ("single_transformer_blocks.0.attn.to_qkv_mlp_proj", 224),  # FLUX.2's
    ):  # fmt: skip
        fit.check(diffusers(module, out, 32), BASE)
    for module, width in (("transformer_blocks.0.attn.to_q", 48), ("transformer_blocks.7.attn.to_q", 32)):
        with pytest.raises(InvalidInput):
            fit.check(diffusers(module, 32, width), BASE)


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("transformer_blocks.3.ff.net.0.proj", "double_blocks_3_img_mlp_0"),
        ("transformer_blocks.3.ff.linear_in", "double_blocks_3_img_mlp_0"),
        ("transformer_blocks.3.ff_context.linear_out", "double_blocks_3_txt_mlp_2"),
        ("transformer_blocks.3.attn.to_out.0", "double_blocks_3_img_attn_proj"),
        ("single_transformer_blocks.9.proj_out", "single_blocks_9_linear2"),
        ("single_transformer_blocks.9.attn.to_out", "single_blocks_9_linear2"),
    ],
)
def test_the_modules_of_both_families_have_their_own_names(module: str, own: str) -> None:
    assert fit.own_name(f"transformer.{module}") == own


def test_without_the_bases_file_names_alone_decide() -> None:
    fit.check(diffusers("transformer_blocks.0.attn.to_q", 7, 9), None)
    with pytest.raises(InvalidInput):
        fit.check(diffusers("down_blocks.0.attentions.0.to_q", 7, 9), None)


def fill(folder: Path, **ages: float) -> None:
    for name, hours in ages.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - hours * 3600,) * 2)


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def test_the_least_used_are_let_go_for_a_new_one(tmp_path: Path) -> None:
    fill(tmp_path, oldest=30, older=20, recent=2)
    loras.make_room(tmp_path, 100, budget=300)
    assert names(tmp_path) == ["older", "recent"]


def test_what_a_waiting_job_may_still_load_stays_over_the_budget(tmp_path: Path) -> None:
    fill(tmp_path, old=30, used=0.1)
    loras.make_room(tmp_path, 100, budget=0)
    assert names(tmp_path) == ["used"]


def test_what_a_killed_process_left_half_done_is_taken_away(tmp_path: Path) -> None:
    fill(tmp_path, old=30)
    for name, hours in (("killed", 30), ("under-way", 0)):
        (tmp_path / f"{name}.part").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.part", (time.time() - hours * 3600,) * 2)
    loras.make_room(tmp_path, 100, budget=10_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.safetensors", "under-way.part"]


def test_a_use_keeps_a_lora_from_being_let_go(desk: Desk, comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert generate(desk, make_lora(1.0)).file
    (first,) = kept(comfy)
    fill(first.parent, other=10)
    os.utime(first, (0, 0))
    assert generate(desk, make_lora(1.0)).file
    monkeypatch.setenv("LORA_CACHE_BYTES", str(first.stat().st_size * 2))
    settings.cache_clear()
    assert generate(desk, make_lora(2.0)).file
    assert first.is_file()
    assert not (first.parent / "other.safetensors").exists()


def test_others_loras_are_never_touched(desk: Desk, comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(comfy.home / "models" / "loras", theirs=1000)
    monkeypatch.setenv("LORA_CACHE_BYTES", "0")
    settings.cache_clear()
    assert generate(desk, make_lora()).file
    assert (comfy.home / "models" / "loras" / "theirs.safetensors").is_file()


def test_nothing_half_done_stays(desk: Desk, comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(_source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loras.shutil, "copyfile", fill_up)  # type: ignore[attr-defined]  # a full disk
    outcome = generate(desk, make_lora())
    assert outcome.error is not None
    assert kept(comfy) == []


def test_a_model_that_is_gone_is_said(desk: Desk, found: Mapping[str, Any]) -> None:
    gone = {"model_id": {**found["model_id"], "model_string": f"r2://{settings().s3_bucket}/models/gone.safetensors"}}
    outcome = desk.ask("generate", gone, model_id=1, prompt="TOK_BAG", width=256, height=256)
    assert outcome.error is not None
    assert outcome.error["code"] == "file_not_found"
