"""How a model is trained whose caller leaves that open."""

import pytest

from tools.dataset import Manifest, Photo
from tools.train import Training
from tools.tuning import advise, explain, tune

#: images, their longer side → steps, rate, rank, resolution.
TABLE = [
    (4, 1024, 500, 5e-5, 16, 1024),
    (5, 4000, 500, 5e-5, 16, 1024),
    (6, 1024, 600, 1e-4, 16, 1024),
    (10, 1024, 1000, 1e-4, 16, 1024),
    (14, 1023, 1400, 1e-4, 16, 992),
    (15, 800, 1500, 1e-4, 32, 800),
    (18, 1024, 1800, 1e-4, 32, 1024),
    (20, 256, 2000, 1e-4, 32, 256),
    (200, 300, 2000, 1e-4, 32, 288),
]


@pytest.mark.parametrize("row", TABLE)
def test_number_and_size_of_the_photos_choose(row: tuple[int, int, int, float, int, int]) -> None:
    images, side_px, steps, lr, lora_rank, resolution = row
    wanted = Training(steps=steps, lr=lr, lora_rank=lora_rank, resolution=resolution)
    assert advise(images, side_px).training == wanted


def test_ten_large_photos_get_the_defaults() -> None:
    assert advise(10).training == Training()


def test_the_reason_is_told_in_a_sentence() -> None:
    assert advise(18).because == (
        "18 images → 1,800 steps, rank 32, learning rate 0.0001, 1024 pixels, because 100 steps go to each image and "
        "15 images or more show more than rank 16 holds."
    )
    assert "500 steps at least" in advise(4).reasons["steps"]
    assert "2,000 steps at most" in advise(40).reasons["steps"]
    assert "known by heart" in advise(5).reasons["lr"]
    assert "300 pixels in the median" in advise(5, 300).reasons["resolution"]
    assert set(advise(5).reasons) == set(Training.model_fields)


def test_what_is_given_is_told_as_given() -> None:
    params = {**advise(18).training.model_dump(), "steps": 500}
    told = explain(18, 1024, params)
    assert told["because"].endswith("Given otherwise: steps.")
    assert told["reasons"]["steps"] == "you gave it; for these images it would be 1800"
    assert told["reasons"]["lora_rank"] == advise(18).reasons["lora_rank"]


def test_only_gaps_are_filled() -> None:
    sides = [(256, 600), (900, 300), (700, 700), (512, 512)]
    images = tuple(
        Photo(name=f"{n}", source=f"{n}", width=width, height=height, sha256="", caption="")
        for n, (width, height) in enumerate(sides)
    )
    manifest = Manifest(images=images, left_out=(), trigger_word=None)
    assert manifest.side_px == 650
    filled = tune(manifest, {"steps": 1000, "lr": 1e-4, "images": "x"})
    assert filled == {"lora_rank": 16, "batch_size": 1, "resolution": 640}
