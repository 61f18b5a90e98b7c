"""Mask with Florence-2 and SAM2, in ComfyUI."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gpu_handlers.comfyui import manifest, media
from gpu_handlers.comfyui.client import visit
from gpu_handlers.comfyui.fill import fill
from gpu_handlers.work import Work
from tools.contract import LARGEST_SEED
from tools.errors import ObjectNotFound
from tools.mask import MASK, SCENE_CHUNK, MaskParams

#: Longest side, in pixels, of what ComfyUI sees. Both models look at about 1000; each pixel of growth is a pass there.
SEEN = 1536

#: Width of a fade in standard deviations of the Gaussian that makes it: 512 pixels are then 100, its node's limit.
FADE = 5.12

#: A mask that covers more of the picture found nothing in it, and one that covers less is empty.
MOST, LEAST = 0.95, 0.0005


def run(params: MaskParams, work: Work) -> Path:
    """Make the mask: R = G = B, 255 where the object is, of the scene's size; the scene's address is in the file."""
    with visit(MASK, work) as stay:
        scene = work.fetch(params.image_url)
        files = {**manifest.profile("mask").names, "image": stay.send(scene, "scene", SEEN)}
        size = media.measure(scene)
        made = stay.make(graph(put(params, work), files, min(1.0, SEEN / max(size))), work.folder / "made.png")
    plane = enlarge(made, size)
    judge(plane, params, work)
    work.note(scene_r2_path=params.image_url, width=size[0], height=size[1])
    return label(plane, params.image_url, work.folder / "mask.png")


def put(params: MaskParams, work: Work) -> MaskParams:
    """Put a trained product into words: no detector has ever heard of a trigger word, but it reads the model's name."""
    known = work.found.get("object_name")
    return params.model_copy(update={"object_name": known["name"]}) if known else params


def graph(params: MaskParams, files: Mapping[str, str], scale: float = 1.0) -> dict[str, Any]:
    """Fill the graph; `scale` is the size of what ComfyUI sees, of the picture's own."""
    return fill("mask", "graph.json", {
        "10": {"image": files["image"]},
        "20": {"model": files["florence"]},
        "21": {"text_input": params.object_name, "seed": params.seed or LARGEST_SEED + 1},  # it refuses 0
        "30": {"model": files["sam2"]},
        "40": {"expand": round(params.mask_dilation * scale),
               "blur_radius": round(params.mask_blur * scale / FADE, 2)},
    })  # fmt: skip


def enlarge(path: Path, size: tuple[int, int]) -> Image.Image:
    """Bring the mask to the scene's size."""
    with Image.open(path, formats=["PNG"]) as made:
        plane = made.getchannel("R")
    return plane if plane.size == size else plane.resize(size, Image.Resampling.BICUBIC)


def judge(plane: Image.Image, params: MaskParams, work: Work) -> None:
    """Measure the mask. Raises ObjectNotFound for one that shows nothing."""
    counts = plane.histogram()
    coverage = sum(counts[128:]) / sum(counts)
    if not LEAST < coverage < MOST:
        what = "nothing" if coverage <= LEAST else "the whole picture"
        advice = "name it otherwise, give less mask_dilation, or send a picture in which it is smaller."
        raise ObjectNotFound(f"For {params.object_name} the mask shows {what}: {advice}")
    work.note(coverage=round(coverage, 4))


def label(plane: Image.Image, scene: str, path: Path) -> Path:
    """Write the mask, with the address of its scene inside."""
    chunks = PngInfo()
    chunks.add_text(SCENE_CHUNK, scene)
    Image.merge("RGB", [plane] * 3).save(path, "PNG", pnginfo=chunks, compress_level=3)
    return path
