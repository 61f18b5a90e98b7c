"""Generate with FLUX.1 or FLUX.2 Klein and the product's LoRA, in ComfyUI."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_handlers.comfyui import loras, manifest
from gpu_handlers.comfyui.client import visit
from gpu_handlers.comfyui.fill import fill
from gpu_handlers.work import Work
from tools.generate import GENERATE, GenerateParams


def run(params: GenerateParams, work: Work) -> Path:
    """Make a picture of the size that was asked for."""
    profile = manifest.profile("generate")
    tell(params, work)
    with visit(GENERATE, work) as stay:
        lora = loras.keep(str(work.found["model_id"]["model_string"]), stay.disk, profile.names["unet"], work)
        return stay.make(graph(params, {**profile.names, "lora": lora}), work.folder / "picture.png")


def graph(params: GenerateParams, files: Mapping[str, str]) -> dict[str, Any]:
    """Fill the graph of FLUX.1, or of FLUX.2 where the files are its: the LoRA works on the model and on CLIP."""
    shared: dict[str, dict[str, Any]] = {
        "10": {"unet_name": files["unet"]},
        "12": {"vae_name": files["vae"]},
        "20": {"lora_name": files["lora"], "strength_model": params.lora_scale, "strength_clip": params.lora_scale},
        "30": {"text": params.prompt},
        "31": {"text": params.negative_prompt},
        "40": {"width": params.width, "height": params.height},
    }
    if "clip" in files:
        return fill("generate", "graph_flux2.json", shared | {
            "11": {"clip_name": files["clip"]},
            "50": {"noise_seed": params.seed},
            "52": {"steps": params.num_inference_steps, "width": params.width, "height": params.height},
            "54": {"cfg": params.guidance_scale},
        })  # fmt: skip
    return fill("generate", "graph.json", shared | {
        "11": {"clip_name1": files["clip_l"], "clip_name2": files["t5"]},
        "50": {"seed": params.seed, "steps": params.num_inference_steps, "cfg": params.guidance_scale},
    })  # fmt: skip


def tell(params: GenerateParams, work: Work) -> None:
    """Own up to what does nothing with these params."""
    trigger = str(work.found["model_id"]["trigger_word"])
    if trigger.lower() not in params.prompt.lower():
        work.warn("trigger_word_missing", f"The prompt does not name {trigger}: a LoRA then does little.", "prompt")
    if params.guidance_scale == 1.0 and params.negative_prompt:
        message = "At guidance_scale 1.0 the negative prompt is not computed: it works at any other value, in twice \
the time."
        work.warn("no_effect", message, "negative_prompt")
    if params.lora_scale == 0:
        work.warn("no_effect", "At lora_scale 0 the product's model does nothing.", "model_id")
