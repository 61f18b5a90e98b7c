"""What a photo is worth for training, on photos that are known; `make photos` does the same with many more."""

from itertools import islice

from PIL import Image

from benchmarks import photos, report
from storage.appraisal import alike, fingerprint, sharpness


def test_copies_are_found_and_views_of_one_product_are_none() -> None:
    few = list(islice(photos.take_photos(), 4))
    figures = [*photos.judge_likeness(few), *photos.judge_hash(few[:2])]
    assert all(figure.ok for figure in figures), report.table(figures)


def test_blurred_photos_are_told_from_sharp_ones() -> None:
    (photo,) = islice(photos.take_photos(), 1)
    figures = list(photos.judge_sharpness([photo], "one"))
    assert all(figure.ok for figure in figures), report.table(figures)


def test_a_plain_picture_is_sharp_nowhere_and_like_any_other() -> None:
    grey, white = (Image.new("RGB", (300, 300), colour) for colour in ("grey", "white"))
    assert sharpness(grey) == sharpness(white) == 0
    assert alike(fingerprint(grey), fingerprint(white))
