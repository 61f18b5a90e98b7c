"""Scenes say what their prompt says; holes in them are filled as if nothing had stood there."""

import numpy as np
import pytest

from gpu_handlers import filling, lexicon, pixels, scenery
from gpu_handlers.pixels import Plane, chance, floats
from gpu_handlers.video.stage import Stage, look
from tests.handlers.workbench import difference

WORDS = sorted({word for name in ("colours", "surfaces", "places", "airs") for word in lexicon.table(name)})


def paint(prompt: str, size: int = 96) -> Plane:
    rng = chance(5)
    reading = lexicon.read(prompt)
    return scenery.grade(scenery.paint(reading, 0.7, (size, size), rng), reading, rng)


def test_there_are_words_enough() -> None:
    assert len(WORDS) >= 60


@pytest.mark.parametrize("word", [word for word in WORDS if word not in lexicon.table("places")["studio"]["words"]])
def test_each_word_is_seen_in_the_picture(word: str) -> None:
    assert lexicon.read(word).understood == (word,)
    assert difference(pixels.to_pixels(paint(word)), pixels.to_pixels(paint(""))) > 1


def test_words_that_are_not_known_are_listed_and_change_nothing() -> None:
    reading = lexicon.read("a TOK_BAG on a purring marble")
    assert (reading.understood, reading.ignored) == (("marble",), ("tok_bag", "purring"))
    assert (paint("marble") == paint("a purring marble")).all()


def test_the_trigger_word_is_no_part_of_the_scene() -> None:
    assert lexicon.read("TOK_BAG on marble", trigger="TOK_BAG").ignored == ()


@pytest.mark.parametrize("prompt", ["beach", "wooden table in a cafe", "meadow", "white marble", "night city"])
def test_a_filled_hole_looks_as_if_nothing_had_stood_there(prompt: str) -> None:
    empty = paint(prompt, 384)
    y, x = np.mgrid[0:1:384j, 0:1:384j]
    hole = floats((np.abs(x - 0.5) < 0.2) & (np.abs(y - 0.6) < 0.25))
    product = np.where(hole[..., None] > 0, floats((0.9, 0.05, 0.05)), empty)
    filled = filling.fill(floats(product), hole, chance(1))
    inside = hole > 0
    assert (filled[~inside] == empty[~inside]).all()
    assert np.abs(filled - empty)[inside].mean() < 0.08
    ghost = filled[inside].mean(0) - empty[inside].mean(0)
    assert np.abs(ghost).max() < 0.05, "nothing of the red is left"


def test_what_is_near_moves_more_than_what_is_far() -> None:
    size = 200
    backdrop = np.zeros((size, size, 3), np.uint8)
    backdrop[:, 100] = 255
    depth = np.repeat(np.linspace(0, 1, size, dtype=np.float32)[:, None], size, 1)
    product = floats(np.dstack([np.full((40, 20, 3), (0, 1, 0)), np.ones((40, 20))]))
    stage = Stage(backdrop, depth, product, (40, 160))

    def place(camera: tuple[float, float, float, float]) -> tuple[float, float, float]:
        frame = look(stage, floats(camera)).astype(int)
        line = [np.flatnonzero(frame[row, :, 0] > 60).mean() for row in (2, 150)]
        green = np.flatnonzero((frame[180, :, 1] > 128) & (frame[180, :, 0] < 60))
        return line[0], line[1], float(green.mean())

    before, after = place((0, 0, 0, 0)), place((0.1, 0, 0, 0))
    far, near, nearest = (there - here for here, there in zip(before, after, strict=True))
    assert nearest < near < far < 0, "the camera went to the right: all goes to the left, the near the most"
    assert nearest < 3 * far
