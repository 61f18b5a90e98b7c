"""Generate, the preview way: the cut-out of the trained product in a painted scene."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from gpu_handlers import lexicon, pixels, scenery
from gpu_handlers.pixels import Plane, mix
from gpu_handlers.work import Work
from tools.errors import InvalidInput
from tools.generate import GenerateParams

#: A picture is painted with at most so many pixels, and enlarged from there: the cut-out holds no more detail.
PAINTED = 2**20


def run(params: GenerateParams, work: Work) -> Path:
    """Make a picture of the size that was asked for."""
    rng = pixels.chance(params.seed)
    product = load(work)
    reading = lexicon.read(params.prompt, params.negative_prompt)
    tell(params, reading, work)
    work.report(0.2, "painting")
    shrink = min(1.0, (PAINTED / (params.width * params.height)) ** 0.5)
    size = (round(params.width * shrink), round(params.height * shrink))
    light = float(rng.choice([-1, 1]) * rng.uniform(0.4, 1))
    surface = scenery.find_surface(reading)
    scene = guide(scenery.paint(reading, light, size, rng), params.guidance_scale)
    work.report(0.5, "compositing")
    product, corner = place(product, size, rng)
    product = dress(product, params.lora_scale, reading.light, light)
    picture = scenery.stand(scene, product, corner, -light, surface.gloss if surface else 0.1)
    work.report(0.7, "sampling")
    picture = pixels.unfinished(picture, params.num_inference_steps, rng)
    if "blurry" in params.negative_prompt.lower():
        picture = mix(pixels.blur(picture, 1.5), picture, 1.4)
    work.report(0.85, "encoding")
    return pixels.write(
        work.folder / "picture.png", pixels.resize(pixels.to_pixels(picture), params.width, params.height)
    )


def load(work: Work) -> Plane:
    """Load the cut-out of the model, RGBA, 0 to 1."""
    path = work.fetch(str(work.found["model_id"]["model_string"]))
    try:
        return pixels.to_plane(load_file(path)["cutout"])
    except (SafetensorError, KeyError) as other:
        advice = "this model was not trained by the preview engine: train it again here, or set ENGINE=gpu."
        raise InvalidInput.at("model_id", advice) from other


def tell(params: GenerateParams, reading: lexicon.Reading, work: Work) -> None:
    """Say what was understood, and what was not."""
    work.note(understood=list(reading.understood))
    trigger = str(work.found["model_id"]["trigger_word"])
    if trigger.lower() not in params.prompt.lower():
        work.warn("trigger_word_missing", f"The prompt does not name {trigger}: a LoRA then does little.", "prompt")
    if not reading.understood:
        work.warn("prompt_not_read", "The preview engine knows no word of this prompt: it shows a studio.", "prompt")
    wanted = lexicon.read(params.prompt).understood
    if "blurry" not in params.negative_prompt.lower() and wanted == reading.understood:
        message = "The preview engine only takes words of the prompt out again, or sharpens for 'blurry'."
        work.warn("no_effect", message, "negative_prompt")


def guide(scene: Plane, guidance: float) -> Plane:
    """Follow the prompt less (towards a grey studio), or more (stronger colours)."""
    if guidance < 1:
        return mix(np.full_like(scene, 0.8), scene, 0.25 + 0.75 * guidance)
    grey = scene.mean(-1, keepdims=True)
    strong = grey + (scene - grey) * (1 + 0.45 * np.log(guidance))
    return np.asarray(np.clip(mix(strong, strong * strong * (3 - 2 * strong), min(1.0, 0.25 * np.log(guidance))), 0, 1))


def place(product: Plane, size: tuple[int, int], rng: np.random.Generator) -> tuple[Plane, tuple[int, int]]:
    """Choose the product's size and its upper left corner."""
    width, height = size
    part = rng.uniform(0.5, 0.6)
    scale = min(part * height / product.shape[0], 0.7 * width / product.shape[1])
    wide, high = max(1, round(product.shape[1] * scale)), max(1, round(product.shape[0] * scale))
    left = round((width - wide) * (0.5 + rng.uniform(-0.2, 0.2)))
    top = round(height * (0.84 + rng.uniform(-0.03, 0.03))) - high
    return np.asarray(pixels.resize(product, wide, high)), (left, top)


def dress(product: Plane, strength: float, colour: tuple[float, float, float], light: float) -> Plane:
    """Go from grey clay (strength 0) to the product (1) and beyond, under the light of the scene."""
    colours, alpha = product[..., :3], np.clip(product[..., 3:], 0, 1)
    clay = 0.35 + 0.5 * pixels.blur(np.ascontiguousarray(colours.mean(-1)), 2)[..., None]
    dressed = mix(np.repeat(clay, 3, -1), colours, strength)
    side = np.linspace(-1, 1, product.shape[1], dtype=np.float32)[None, :, None]
    lit = dressed * (1 + 0.16 * light * side) * (0.35 + 0.65 * pixels.floats(colour))
    return pixels.floats(np.concatenate([np.clip(lit, 0, 1), alpha], -1))
