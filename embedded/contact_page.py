"""The paper that a contact sheet is drawn on: its ground, its type, and where each picture came to stand."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

Colour = tuple[int, int, int]

PAPER = (247, 245, 241)
INK = (38, 36, 33)
QUIET = (132, 126, 118)
HAIRLINE = (222, 217, 209)

#: Sides in pixels. The page is cut to its length when all stands on it.
WIDTH, LONGEST, MARGIN = 2000, 6000, 120

#: How far the lines of a text stand apart, in heights of its type.
LEADING = 1.4

#: The largest file, in bytes; a page whose pictures are too busy for it is written in 256 colours.
MAX_BYTES = 4 * 10**6


class Box(NamedTuple):
    """A place on the page, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column beyond it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height


class Page:
    """A sheet of paper, which remembers where it put which picture."""

    def __init__(self) -> None:
        self.paper = Image.new("RGB", (WIDTH, LONGEST), PAPER)
        self.pen = ImageDraw.Draw(self.paper)
        self.places: dict[str, Box] = {}

    def paste(self, name: str, picture: Image.Image, box: Box) -> None:
        """Put a picture into a box that it fills; what reaches beyond the box's proportions is left out."""
        fitted = ImageOps.fit(picture, (box.width, box.height), Image.Resampling.LANCZOS)
        self.paper.paste(fitted, (box.left, box.top), fitted if fitted.mode == "RGBA" else None)
        self.places[name] = box

    def fill(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """Colour a box."""
        self.pen.rounded_rectangle((box.left, box.top, box.right - 1, box.bottom - 1), radius, colour)

    def write(
        self, text: str, at: tuple[int, int], size: int, colour: Colour, *, width: int = WIDTH, lines: int = 1
    ) -> int:
        """Write a text in at most so many lines of this width, the last one cut short. Gives where the next begins."""
        left, top = at
        for line in broken(plain(text), size, width, lines):
            self.pen.text((left, top), line, colour, ImageFont.load_default(size))
            top += round(size * LEADING)
        return top

    def save(self, to: Path, bottom: int) -> None:
        """Write the page, cut to this length."""
        page = self.paper.crop((0, 0, WIDTH, bottom))
        page.save(to, "PNG")  # a tighter compression saves three bytes of a hundred, and takes seconds
        if to.stat().st_size > MAX_BYTES:
            page.quantize(256, Image.Quantize.MEDIANCUT).save(to, "PNG", optimize=True)


def plain(text: str) -> str:
    """Write a text with the letters that the typeface has, those of ASCII; empty if more than accents would be lost."""
    letters = [letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)]
    return "".join(letters) if all(map(str.isascii, letters)) else ""


def broken(text: str, size: int, width: int, lines: int) -> Iterator[str]:
    """Break a text at its spaces; a line that is too long, or stands for too many, ends in three dots."""
    words = text.split()
    for last in [False] * (lines - 1) + [True]:
        count = len(words) if last else fitting(words, size, width)
        yield shortened(" ".join(words[:count]), size, width)
        words = words[count:]
        if not words:
            return


def length(text: str, size: int) -> float:
    """Measure a line, in pixels, in the one typeface that Pillow brings along: no machine needs another."""
    return ImageFont.load_default(size).getlength(text)


def fitting(words: list[str], size: int, width: int) -> int:
    """Count the words that a line takes: one at least."""
    count = 1
    while count < len(words) and length(" ".join(words[: count + 1]), size) <= width:
        count += 1
    return count


def shortened(line: str, size: int, width: int) -> str:
    """Cut a line that does not fit."""
    if length(line, size) <= width:
        return line
    while line and length(f"{line}...", size) > width:
        line = line[:-1]
    return f"{line.rstrip(' ,.')}..."
