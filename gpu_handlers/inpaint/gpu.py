"""Inpaint with FLUX.2 Klein, in ComfyUI; what is outside of the mask stays the scene's, to the pixel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpu_handlers.comfyui import manifest, media
from gpu_handlers.comfyui.client import Visit, visit
from gpu_handlers.comfyui.fill import fill
from gpu_handlers.hole import Hole, open_hole
from gpu_handlers.work import Work
from tools.inpaint import INPAINT, InpaintParams

#: A mask above this is made anew as a whole: the sampler would else keep of the old as much as the mask is soft, and
#: the composite, which is soft too, keep it again.
ANEW = 12

#: Size in which scene and product are worked on, in units of 2^20 pixels: what the model was trained on.
MEGAPIXELS = 1.0

#: Steps of the finest schedule that the scheduler makes.
FINEST = 4096


def run(params: InpaintParams, work: Work) -> Path:
    """Make the picture, of the scene's size; where the mask is 0 every pixel is the scene's."""
    tell(params, work)
    with visit(INPAINT, work) as stay:
        hole = open_hole(params, work)
        files = {**manifest.profile("inpaint").names, **send(hole, params, work, stay)}
        made = stay.make(graph(params, files), work.folder / "made.png")
    work.report(0.92, "compositing")
    work.note(width=hole.scene.shape[1], height=hole.scene.shape[0])
    return media.write(lay(made, hole), work.folder / "picture.png")


def send(hole: Hole, params: InpaintParams, work: Work, stay: Visit) -> dict[str, str]:
    """Upload the scene, what of it is to be made anew, and the product."""
    scene = media.write(Image.fromarray(hole.scene), work.folder / "scene.png")
    anew = np.dstack([np.where(hole.mask > ANEW, 255, 0).astype(np.uint8)] * 3)
    mask = media.write(Image.fromarray(anew), work.folder / "anew.png")
    reference = work.fetch(params.reference_url)
    return {
        "scene": stay.send(scene, "scene"),
        "mask": stay.send(mask, "mask"),
        "reference": stay.send(reference, "reference"),
    }


def graph(params: InpaintParams, files: Mapping[str, str]) -> dict[str, Any]:
    """Fill the graph; of a longer schedule its last `steps` steps are done, as KSampler does for its denoise."""
    total, share = schedule(params.steps, params.denoise)
    return fill("inpaint", "graph.json", {
        "10": {"unet_name": files["unet"]},
        "11": {"clip_name": files["clip"]},
        "12": {"vae_name": files["vae"]},
        "20": {"image": files["scene"]},
        "21": {"megapixels": MEGAPIXELS},
        "22": {"image": files["mask"]},
        "26": {"image": files["reference"]},
        "27": {"megapixels": MEGAPIXELS},
        "30": {"text": params.prompt},
        "31": {"guidance": params.guidance},
        "50": {"noise_seed": params.seed},
        "52": {"steps": total},
        "53": {"denoise": share},
    })  # fmt: skip


def schedule(steps: int, denoise: float) -> tuple[int, float]:
    """Give the steps of the whole schedule, and the share of them that is done."""
    if denoise < steps / FINEST:  # fewer steps than were asked for, or none
        return FINEST, denoise
    total = round(steps / denoise)
    return total, steps / total


def tell(params: InpaintParams, work: Work) -> None:
    """Own up to what does nothing, or not quite what was asked for."""
    work.warn("no_effect", "FLUX.2 Klein takes no guidance: it is distilled to do without.", "guidance")
    share = schedule(params.steps, params.denoise)[1]
    if abs(share - params.denoise) > 0.005:
        message = f"With {params.steps} steps, denoise {params.denoise:g} is done as {share:.2f}: give more steps."
        work.warn("rounded", message, "denoise")


def lay(made: Path, hole: Hole) -> Image.Image:
    """Lay what was made over the scene, as strongly as the mask says."""
    height, width = hole.mask.shape
    with Image.open(made, formats=["PNG"]) as image:
        new = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
    out = hole.scene.copy()
    for top in range(0, height, 512):  # in strips: a large scene in floats would fill the memory
        strip = np.s_[top : top + 512]
        weight = hole.mask[strip, :, None].astype(np.float32) / 255
        mixed = out[strip] * (1 - weight) + new[strip] * weight
        out[strip] = np.where(weight > 0, np.rint(mixed).astype(np.uint8), out[strip])
    return Image.fromarray(out)
