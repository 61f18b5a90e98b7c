"""What the demo asks of each tool, in all of its runs: the same, with fixed seeds."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedded.demo_photos import Product

#: The scene that is masked and filled, and that all runs come to; its prompt is a template's.
TEMPLATE = {
    "name": "On a marble table",
    "prompt": "trigger_keyword on a white marble table in a studio, warm light",
}

#: The scenes beside it, with the seed of each, by a word for the name of its step.
SCENES = {
    "beach": ("{} on a sandy beach at sunset, golden light", 11),
    "forest": ("{} on the grass of a misty green forest, morning light", 23),
    "night": ("{} in a neon city at night, on wet glossy concrete", 42),
}

#: Differences that make it quick, where nobody looks at the pictures.
SMALLER: Mapping[str, Mapping[str, Any]] = {
    "generate": {"width": 256, "height": 256},
    "mask": {"mask_dilation": 8, "mask_blur": 8},
    "video": {"width": 256, "height": 144, "length": 5},
}


@dataclass(frozen=True)
class Script:
    """What is asked for."""

    product: Product
    small: bool

    def ask(self, tool: str) -> dict[str, Any]:
        """Give the params of a tool that no step before it gives."""
        word = self.product.trigger_word
        asked: dict[str, dict[str, Any]] = {
            "train": {"model_name": self.product.name, "trigger_word": word},
            "generate": {"seed": 7},
            "mask": {"object_name": word, "seed": 7},
            "inpaint": {"prompt": f"{word} on a marble table", "seed": 7},
            "video": {"seed": 7},
        }
        return {**asked[tool], **(SMALLER.get(tool, {}) if self.small else {})}

    def scenes(self, resolved: str) -> dict[str, dict[str, Any]]:
        """Give the params of each picture; the first, without a word, has the resolved prompt."""
        others: dict[str, dict[str, Any]] = {
            scene: {"prompt": prompt.format(self.product.trigger_word), "seed": seed}
            for scene, (prompt, seed) in SCENES.items()
        }
        asked: dict[str, dict[str, Any]] = {"": {"prompt": resolved}, **others}
        return {scene: {**self.ask("generate"), **params} for scene, params in asked.items()}

    def zip_photos(self) -> bytes:
        """Pack the photos as a user would."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for number, photo in enumerate(self.product.photos, start=1):
                archive.writestr(f"{number:02}.png", photo)
        return packed.getvalue()
