"""What the demo asks of each tool, in both of its runs: the same, with fixed seeds."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PHOTOS = Path(__file__).parent / "photos"

#: What inpaint puts into the scene: the product seen from another side than in most photos.
REFERENCE = PHOTOS / "05.png"

TEMPLATE = {
    "name": "On a marble table",
    "prompt": "a photo of trigger_keyword handbag on a white marble table, warm light",
}

#: The params of each tool that no step before it gives.
Script = Mapping[str, Mapping[str, Any]]

FULL: Script = {
    "train": {"model_name": "Red handbag", "trigger_word": "TOK_HANDBAG"},
    "generate": {"seed": 7},
    "mask": {"object_name": "handbag", "seed": 7},
    "inpaint": {"prompt": "handbag on a table", "seed": 7},
    "video": {"seed": 7},
}

#: Differences that make it quick, where nobody looks at the pictures.
SMALLER: Script = {
    "generate": {"width": 256, "height": 256},
    "mask": {"mask_dilation": 8, "mask_blur": 8},
    "video": {"width": 256, "height": 144, "length": 5},
}


def script(*, small: bool) -> Script:
    """Say what is asked of each tool."""
    return {tool: {**params, **(SMALLER.get(tool, {}) if small else {})} for tool, params in FULL.items()}


def zip_photos() -> bytes:
    """Pack the photos as a user would."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for photo in sorted(PHOTOS.glob("*.png")):
            archive.write(photo, photo.name)
    return packed.getvalue()
