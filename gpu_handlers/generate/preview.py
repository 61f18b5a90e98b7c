"""Generate, the preview way: the trained product in a painted scene."""

import re
from pathlib import Path

import numpy as np

from gpu_handlers import appearance, lexicon, pixels, scenery
from gpu_handlers.pixels import Plane, mix
from gpu_handlers.work import Work
from tools.generate import GenerateParams

#: A picture is painted with at most so many pixels, and enlarged from there: the cut-outs hold no more detail.
PAINTED = 2**20


def run(params: GenerateParams, work: Work) -> Path:
    """Make a picture of the size that was asked for."""
    rng = pixels.chance(params.seed)
    known = appearance.load(work.fetch(str(work.found["model_id"]["model_string"])), "model_id")
    reading = lexicon.read(params.prompt, params.negative_prompt, str(work.found["model_id"]["trigger_word"]))
    tell(params, reading, work)
    work.report(0.2, "painting")
    shrink = min(1.0, (PAINTED / (params.width * params.height)) ** 0.5)
    size = (round(params.width * shrink), round(params.height * shrink))
    light = float(rng.choice([-1, 1]) * rng.uniform(0.5, 1))
    product = known.show(int(rng.integers(len(known.clay))), params.lora_scale)
    scene = guide(scenery.paint(reading, light, size, rng), params.guidance_scale)
    work.report(0.5, "compositing")
    product, corner = place(product, size, rng)
    picture = scenery.stand(scene, dress(product, reading, light), corner, light, reading.surface.get("gloss", 0.12))
    picture = scenery.grade(picture, reading, rng)
    work.report(0.7, "sampling")
    picture = pixels.unfinished(picture, params.num_inference_steps, rng)
    if "blurry" in lexicon.words(params.negative_prompt):
        picture = mix(pixels.blur(picture, 1.2), picture, 1.35)
    work.report(0.85, "encoding")
    made = pixels.resize(pixels.to_pixels(picture), params.width, params.height)
    return pixels.write(work.folder / "picture.png", made)


def tell(params: GenerateParams, reading: lexicon.Reading, work: Work) -> None:
    """Say what was understood, and what was not."""
    work.note(understood=list(reading.understood), ignored=list(reading.ignored))
    trigger = str(work.found["model_id"]["trigger_word"])
    if not re.search(rf"\b{re.escape(trigger)}\b", params.prompt, re.IGNORECASE):
        work.warn("trigger_word_missing", f"The prompt does not name {trigger}: a LoRA then does little.", "prompt")
    if not reading.understood:
        work.warn("prompt_not_read", "The preview engine knows no word of this prompt: it shows a studio.", "prompt")
    taken_out = set(lexicon.read(params.prompt, trigger=trigger).understood) - set(reading.understood)
    if params.negative_prompt and "blurry" not in lexicon.words(params.negative_prompt) and not taken_out:
        message = "The preview engine only takes words of the prompt out again, or sharpens for 'blurry'."
        work.warn("no_effect", message, "negative_prompt")


def guide(scene: Plane, guidance: float) -> Plane:
    """Follow the prompt less (towards a grey studio), or more (stronger colours)."""
    if guidance < 1:
        return mix(np.full_like(scene, 0.8), scene, 0.25 + 0.75 * guidance)
    grey = scene.mean(-1, keepdims=True)
    strong = np.clip(grey + (scene - grey) * (1 + 0.45 * np.log(guidance)), 0, 1)
    return np.asarray(mix(strong, strong * strong * (3 - 2 * strong), min(1.0, 0.25 * np.log(guidance))))


def place(product: Plane, size: tuple[int, int], rng: np.random.Generator) -> tuple[Plane, tuple[int, int]]:
    """Choose the product's size and its upper left corner."""
    width, height = size
    part = rng.uniform(0.46, 0.54)
    scale = min(part * height / product.shape[0], 0.62 * width / product.shape[1])
    wide, high = max(1, round(product.shape[1] * scale)), max(1, round(product.shape[0] * scale))
    left = round((width - wide) * (0.5 + rng.uniform(-0.18, 0.18)))
    top = round(height * (0.83 + rng.uniform(-0.03, 0.03))) - high
    return pixels.enlarge(product, wide, high), (left, top)


def dress(product: Plane, reading: lexicon.Reading, light: float) -> Plane:
    """Put the product into the light of the scene: its colour, and the side it comes from."""
    side = np.linspace(-1, 1, product.shape[1], dtype=np.float32)[None, :, None]
    colour = 0.25 + 0.75 * pixels.floats(reading.tint)  # whoever takes the picture lights the product a little more
    lit = product[..., :3] * (1 + 0.15 * light * side) * colour
    alpha = product[..., 3:]
    rim = np.clip(
        alpha[..., 0]
        - np.roll(pixels.blur(alpha[..., 0], len(product) / 120), -int(np.sign(light)) * len(product) // 90, 1),
        0,
        1,
    )
    return pixels.floats(np.concatenate([np.clip(lit + 0.35 * rim[..., None] * colour, 0, 1), alpha], -1))
