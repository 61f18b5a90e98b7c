"""Video with Wan, in ComfyUI: 2.2 with an expert for the first half of the steps and one for the second, or 2.1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_handlers.comfyui import manifest
from gpu_handlers.comfyui.client import visit
from gpu_handlers.comfyui.fill import fill
from gpu_handlers.work import Work
from tools.video import VIDEO, VideoParams


def run(params: VideoParams, work: Work) -> Path:
    """Make the film, of the size and length that were asked for."""
    profile = manifest.profile("video")
    with visit(VIDEO, work) as stay:
        files = {**profile.names, "image": stay.send(work.fetch(params.image_url), "scene")}
        return stay.make(graph(params, files), work.folder / "film.mp4")


def graph(params: VideoParams, files: Mapping[str, str]) -> dict[str, Any]:
    """Fill the graph of Wan 2.2, or of 2.1 where the files are its."""
    shared: dict[str, dict[str, Any]] = {
        "12": {"clip_name": files["clip"]},
        "13": {"vae_name": files["vae"]},
        "20": {"image": files["image"]},
        "30": {"text": params.prompt},
        "40": {"width": params.width, "height": params.height, "length": params.length},
    }
    if "high" in files:
        return fill("video", "graph.json", shared | experts(params, files))
    return fill("video", "graph_wan21.json", shared | {
        "10": {"unet_name": files["unet"]},
        "16": {"clip_name": files["vision"]},
        "50": {"seed": params.seed, "steps": params.steps},
    })  # fmt: skip


def experts(params: VideoParams, files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Share the steps between the experts: a single step is the first one's, who knows noise."""
    half = max(1, params.steps // 2)
    return {
        "10": {"unet_name": files["high"]},
        "11": {"unet_name": files["low"]},
        "50": {"noise_seed": params.seed, "steps": params.steps, "end_at_step": half},
        "51": {"steps": params.steps, "start_at_step": half},
    }
