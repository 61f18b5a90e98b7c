"""What each param of the preview engine changes, in pixels and as a picture: makes docs/effects.md and its picture."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gpu_handlers import appearance, pixels
from gpu_handlers.pixels import Pixels
from gpu_handlers.video.preview import frames
from gpu_handlers.video.stage import set_up
from tests.handlers.workbench import PHOTOS, Bench, Done, difference, draw_balls
from tools import catalog
from tools.video import VideoParams

DOCS = Path(__file__).parents[1] / "docs"
SHELF = "r2://packshot/uploads/"

#: Tool → what is asked, and for each param its other end.
GIVEN: dict[str, dict[str, Any]] = {
    "train": {"images": f"{SHELF}red.zip", "model_name": "Bag", "trigger_word": "TOK_BAG"},
    "generate": {
        "model_id": 1, "prompt": "TOK_BAG on a beach at sunset", "seed": 1, "width": 512, "height": 512,
    },
    "mask": {
        "image_url": f"{SHELF}balls.png", "object_name": "red ball", "seed": 1, "mask_dilation": 8, "mask_blur": 4,
    },
    "inpaint": {
        "scene_url": f"{SHELF}cafe.png", "mask_url": f"{SHELF}cafe-mask.png", "reference_url": f"{SHELF}blue.png",
        "prompt": "product on a surface", "seed": 1,
    },
    "video": {
        "image_url": f"{SHELF}cafe.png", "seed": 1, "width": 416, "height": 240, "length": 13, "prompt": "push in",
    },
}  # fmt: skip
OTHER: dict[str, dict[str, Any]] = {
    "train": {
        "images": f"{SHELF}blue.zip", "model_name": "Purse", "trigger_word": "TOK_PURSE", "steps": 1, "lr": 1e-7,
        "lora_rank": 1, "batch_size": 16, "resolution": 256,
    },
    "generate": {
        "model_id": 2, "prompt": "TOK_BAG in a snowy forest", "seed": 2, "width": 768, "height": 768, "lora_scale": 0.0,
        "num_inference_steps": 1, "guidance_scale": 8.0, "negative_prompt": "sunset",
    },
    "mask": {
        "image_url": f"{SHELF}cafe.png", "object_name": "blue ball", "seed": 2, "mask_dilation": 60, "mask_blur": 60,
    },
    "inpaint": {
        "scene_url": f"{SHELF}beach.png", "mask_url": f"{SHELF}small-mask.png", "reference_url": f"{SHELF}bag.png",
        "prompt": "a bag at night in the rain", "seed": 2, "steps": 1, "denoise": 0.0, "guidance": 0.0,
    },
    "video": {
        "image_url": f"{SHELF}beach.png", "seed": 2, "width": 240, "height": 416, "length": 17, "prompt": "orbit left",
        "steps": 1,
    },
}  # fmt: skip
#: What only says what a model is called, or how often to do the same.
NAMES = ("model_name", "trigger_word", "count")
CASES = [(tool, name) for tool in GIVEN for name in catalog.find(tool).params.model_fields if name not in NAMES]

#: The least mean change of a pixel, of 255, that a param may make: some are what a picture is made by.
VISIBLE = 2.0
STRONG = {"prompt": 4.0, "seed": 4.0, "denoise": 4.0}

#: What stands for a change that no pixels can be compared for: of size, or of length.
RESHAPED = 255.0

WORDS = """# What each parameter does

What the preview engine makes of a parameter, measured: the mean change of a pixel, of 255, where change is allowed,
when the parameter goes to its other end and all else stays. Where it says *no effect*, the answer says so too, in its
`warnings`. `make effects` measures anew; a test holds every row of the table.

![Each parameter at one end and at the other](effects.jpg)

| tool | parameter | from | to | mean change |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Look:
    """What a handler did, in a form that can be compared: pixels, frames, or the views of a model."""

    done: Done
    seen: NDArray[np.uint8]


@dataclass(frozen=True)
class Effect:
    """What comes of one param at its other end."""

    tool: str
    name: str
    change: float
    confessed: bool
    pair: tuple[Pixels, Pixels]

    def row(self) -> str:
        """Write a row of the table."""
        usual = catalog.find(self.tool).params.model_fields[self.name].default
        ends = (GIVEN[self.tool].get(self.name, usual), OTHER[self.tool][self.name])
        said = "another size" if self.change == RESHAPED else f"{self.change:.1f}"
        said = "no effect" if self.confessed else said
        cells = [self.tool, f"`{self.name}`", *(str(end).removeprefix(SHELF) for end in ends), said]
        return f"| {' | '.join(cells)} |"


def stock(folder: Path) -> Bench:
    """Lay out all that the cases ask for."""
    bench = Bench(folder)
    bench.put("balls.png", draw_balls(512))
    bench.put("bag.png", PHOTOS[4])
    bench.put("blue.png", np.ascontiguousarray(pixels.read(PHOTOS[4])[..., ::-1]))
    bench.zip("red.zip", PHOTOS[4])
    bench.zip("blue.zip", bench.shelf / "blue.png")
    for number, colour in enumerate(("red", "blue"), 1):
        done = bench.do("train", {**GIVEN["train"], "images": f"{SHELF}{colour}.zip"})
        bench.put(f"{number}.safetensors", done.path)
    for name, prompt in (("cafe", "TOK_BAG on a wooden table in a cafe"), ("beach", "TOK_BAG on a beach")):
        bench.put(f"{name}.png", look(bench, "generate", {**GIVEN["generate"], "prompt": prompt}).seen)
    asked = {"image_url": f"{SHELF}cafe.png", "object_name": "bag", "mask_dilation": 25, "mask_blur": 25}
    bench.put("cafe-mask.png", look(bench, "mask", asked).seen)
    small = np.zeros((512, 512, 3), np.uint8)
    small[330:440, 10:120] = 255
    bench.put("small-mask.png", small)
    return bench


def look(bench: Bench, tool: str, params: Mapping[str, Any]) -> Look:
    """Do a tool; of a model its views are seen, of a video its frames before they are encoded."""
    model = f"{SHELF}{params.get('model_id')}.safetensors"
    found = {"model_id": {"model_string": model, "trigger_word": "TOK_BAG"}} if tool == "generate" else {}
    done = bench.do(tool, params, found)
    if tool == "train":
        view = appearance.load(done.path, "model_id").show(0)
        return Look(done, pixels.to_pixels(pixels.mix(np.ones_like(view[..., :3]), view[..., :3], view[..., 3])))
    if tool == "video":
        shown = pixels.read(bench.shelf / str(params["image_url"]).rpartition("/")[2])
        asked = VideoParams.model_validate(dict(params))
        return Look(done, np.stack(list(frames(set_up(shown, asked), asked))))
    return Look(done, done.pixels)


def measure(bench: Bench, first: Look, tool: str, name: str) -> Effect:
    """Take one param to its other end."""
    second = look(bench, tool, {**GIVEN[tool], name: OTHER[tool][name]})
    confessed = bool(second.done.warned & {("no_effect", f"/{name}"), ("little_effect", f"/{name}")})
    return Effect(tool, name, compare(bench, tool, first.seen, second.seen), confessed, (show(first), show(second)))


def compare(bench: Bench, tool: str, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Measure the mean change, of 255, where change is allowed; another shape is all change."""
    if one.shape != other.shape:
        return RESHAPED
    place = pixels.read(bench.shelf / "cafe-mask.png")[..., 0] > 0 if tool == "inpaint" else np.s_[:]
    return difference(one[place], other[place])


def show(look: Look) -> Pixels:
    """Give a picture of what was done: of a video its last frame."""
    return np.asarray(look.seen[-1] if look.seen.ndim == 4 else look.seen, np.uint8)


def effects() -> Iterator[Effect]:
    """Measure all of them."""
    with tempfile.TemporaryDirectory() as folder:
        bench = stock(Path(folder))
        first = {tool: look(bench, tool, params) for tool, params in GIVEN.items()}
        for tool, name in CASES:
            yield measure(bench, first[tool], tool, name)


def draw(measured: list[Effect], thumb: int = 150, columns: int = 4) -> Image.Image:
    """Draw each param's pair under its name."""
    shown = [each for each in measured if not each.confessed and each.change != RESHAPED]
    wide, high = 2 * thumb + 26, thumb + 44
    sheet = Image.new("RGB", (columns * wide + 20, -(-len(shown) // columns) * high + 24), (250, 249, 247))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, each in enumerate(shown):
        left, top = 20 + number % columns * wide, 16 + number // columns * high
        pen.text((left, top), f"{each.tool} · {each.name}", (60, 58, 55), font)
        for side, picture in enumerate(each.pair):
            small = Image.fromarray(picture)
            small.thumbnail((thumb, thumb), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + side * (thumb + 4), top + 24))
    return sheet


def main() -> None:
    """Write the page and its picture."""
    measured = list(effects())
    draw(measured).save(DOCS / "effects.jpg", quality=86, optimize=True)
    (DOCS / "effects.md").write_text(WORDS + "\n".join(each.row() for each in measured) + "\n")
    print("\n".join(each.row() for each in measured))


if __name__ == "__main__":
    main()
