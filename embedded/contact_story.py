"""What a contact sheet tells: the files of one product, from its photos to a film, opened as pictures."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image

#: A cell of a model's cut-outs, in pixels, and how many make a row of them.
CELL_PX, CELLS = 320, 4


@dataclass(frozen=True)
class Made:
    """A file that a tool made, and the params that it really used."""

    file: Path
    params: Mapping[str, Any]

    def picture(self) -> Image.Image:
        """Open it as a picture."""
        with Image.open(self.file) as image:
            return image.convert("RGB")

    def frames(self, count: int) -> list[Image.Image]:
        """Open it as a film: so many frames, evenly spaced from the first to the last."""
        with av.open(str(self.file)) as film:
            every = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
        return [every[round(number * (len(every) - 1) / (count - 1))] for number in range(count)]


@dataclass(frozen=True)
class Story:
    """One product's files; the first scene is the one that was masked and filled."""

    name: str
    trigger_word: str
    engine: str
    photos: Sequence[bytes]
    reference: bytes
    #: The PNG of the model's cut-outs, and how many they are; None of a model that keeps none.
    cutouts: tuple[bytes, int] | None
    scenes: Sequence[Made]
    mask: Made
    inpainted: Made
    film: Made

    def cut(self) -> Iterator[Image.Image]:
        """Give the cut-outs, one by one."""
        sheet, count = self.cutouts or (b"", 0)
        for row, column in (divmod(number, CELLS) for number in range(count)):
            left, top = column * CELL_PX, row * CELL_PX
            yield opened(sheet, "RGBA").crop((left, top, left + CELL_PX, top + CELL_PX))


def opened(data: bytes, mode: str = "RGB") -> Image.Image:
    """Open a picture."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert(mode)
