"""What photos become before a model is trained on them."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter, ImageOps

from storage.datasets import Given, prepare
from tests import photos
from tools.dataset import LeftOut, Manifest, TooFewPhotos
from tools.errors import TooLarge

BAGS = sorted((Path(__file__).parents[2] / "embedded" / "photos").glob("*.png"))


def some(count: int = 4) -> list[Given]:
    return [Given(f"{n}.png", photos.encode(photos.take(n))) for n in range(count)]


def bag(number: int) -> Image.Image:
    return Image.open(BAGS[number]).convert("RGB")


@pytest.fixture(name="target")
def name_target(tmp_path: Path) -> Path:
    return tmp_path / "dataset.zip"


def reasons(manifest: Manifest) -> dict[str, str]:
    return {one.source: one.reason for one in manifest.left_out}


def read(target: Path, name: str) -> bytes:
    with zipfile.ZipFile(target) as archive:
        return archive.read(name)


def test_a_dataset_says_of_each_photo_what_it_is_and_of_the_others_why_they_are_not_in_it(target: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    copy = bag(2).resize((300, 300), Image.Resampling.LANCZOS)
    whole = photos.encode(bag(3))
    manifest = prepare(
        [
            Given("copy.jpg", photos.encode(copy, "JPEG", quality=60), "a bag from the left"),
            Given("turned.jpg", photos.encode(bag(0).crop((0, 0, 512, 400)), "JPEG", exif=turned)),
            Given("plain.png", photos.encode(bag(2))),
            Given("said.webp", photos.encode(bag(4), "WEBP", lossless=True), "tok_bag on  white"),
            Given("thumb.png", photos.encode(bag(5).resize((255, 300)))),
            Given("soft.png", photos.encode(bag(6).filter(ImageFilter.GaussianBlur(3)))),
            Given("half.png", whole[: len(whole) // 2]),
            Given("page.png", b"<html>"),
            Given("other.png", photos.encode(bag(7))),
        ],
        target,
        "TOK_BAG",
    )
    assert reasons(manifest) == {
        "copy.jpg": "It shows the same as 'plain.png', which is as large or larger: one is enough.",
        "thumb.png": "It is 255x300 pixels: send it with 256 or more on its shorter side.",
        "soft.png": "It is blurred, also at 1024 pixels: send one where the product is sharp.",
        "half.png": "The file is not a picture that we can read: send a whole PNG, JPEG or WebP.",
        "page.png": "The file is not a picture that we can read: send a whole PNG, JPEG or WebP.",
    }
    assert [(one.source, one.width, one.height, one.caption) for one in manifest.images] == [
        ("turned.jpg", 400, 512, "TOK_BAG"),
        ("plain.png", 512, 512, "TOK_BAG, a bag from the left"),
        ("said.webp", 512, 512, "TOK_BAG on white"),
        ("other.png", 512, 512, "TOK_BAG"),
    ]
    assert json.loads(read(target, "manifest.json")) == json.loads(manifest.model_dump_json())
    for photo in manifest.images:
        data = read(target, photo.name)
        image = Image.open(io.BytesIO(data))
        assert (image.mode, image.size) == ("RGB", (photo.width, photo.height))
        assert hashlib.sha256(data).hexdigest() == photo.sha256
        assert read(target, photo.name.replace(".png", ".txt")).decode() == photo.caption
    upright = np.asarray(Image.open(io.BytesIO(read(target, "images/0001.png"))).convert("L"), np.float32)
    wanted = np.asarray(bag(0).crop((0, 0, 512, 400)).convert("L").transpose(Image.Transpose.ROTATE_270), np.float32)
    assert np.abs(upright - wanted).mean() < 3


def test_a_word_that_is_not_known_yet_is_in_no_caption(target: Path) -> None:
    given = [Given("said.png", photos.encode(photos.take(9)), "on white"), *some(3)]
    assert [photo.caption for photo in prepare(given, target).images] == ["on white", "", "", ""]


def test_the_same_photos_make_the_same_bytes(target: Path) -> None:
    made = []
    for _ in range(2):
        prepare(some(), target, "TOK")
        made.append(hashlib.sha256(target.read_bytes()).hexdigest())
    assert made[0] == made[1]
    with zipfile.ZipFile(target) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_cut_out_photo_lies_on_white_and_keeps_its_transparency_beside_it(target: Path) -> None:
    cut = photos.take(7).convert("RGBA")
    cut.paste((255, 0, 0, 0), (0, 0, 160, 272))  # red, if anybody could see it
    opaque = photos.take(8).convert("RGBA")
    given = [Given("cut.png", photos.encode(cut)), Given("opaque.png", photos.encode(opaque)), *some(2)]
    first, second, *_ = prepare(given, target).images
    assert (first.cutout, second.cutout) == ("images/0001.cutout", None)
    flat = Image.open(io.BytesIO(read(target, "images/0001.png")))
    assert flat.getpixel((10, 10)) == (255, 255, 255)
    assert flat.getpixel((300, 10)) == photos.take(7).getpixel((300, 10))
    kept = Image.open(io.BytesIO(read(target, "images/0001.cutout")))
    assert np.array_equal(np.asarray(kept), np.asarray(cut))


def test_no_photo_is_kept_larger_than_it_can_be_learnt(target: Path) -> None:
    given = [Given("large.png", photos.encode(photos.take(5, (2500, 600)))), *some(3)]
    assert (prepare(given, target).images[0].width, prepare(given, target).images[0].height) == (2048, 492)


@pytest.mark.parametrize("usable", [0, 3])
def test_fewer_than_four_are_refused_and_each_of_the_others_is_named(target: Path, usable: int) -> None:
    given = [*some(usable), *(Given(f"bad{n}\x1b.png", b"x") for n in range(7))]
    with pytest.raises(TooFewPhotos, match=f"{usable} of {usable + 7} photos can be used, and at least 4") as refused:
        prepare(given, target)
    assert refused.value.detail.startswith("images: ")
    assert refused.value.detail.endswith("And 2 more.")
    assert refused.value.detail.isprintable()
    assert [one["source"] for one in refused.value.details["left_out"]] == [f"bad{n}\x1b.png" for n in range(7)]
    assert refused.value.details["errors"][0]["pointer"] == "/images"
    assert not target.exists()


def test_four_are_enough(target: Path) -> None:
    assert len(prepare(some(4), target).images) == 4


def test_what_was_left_out_before_stays_named(target: Path) -> None:
    before = LeftOut(source="old.png", reason="It is blurred.")
    assert prepare(some(), target, before=[before]).left_out == (before,)


def test_photos_that_grow_too_large_when_decoded_are_refused(target: Path) -> None:
    size = sum(len(read_png(given)) for given in some())
    assert len(prepare(some(), target, max_bytes=size).images) == 4
    with pytest.raises(TooLarge, match="send fewer"):
        prepare(some(), target, max_bytes=size - 1)


def read_png(given: Given) -> bytes:
    """Encode a photo as the door does."""
    out = io.BytesIO()
    Image.open(io.BytesIO(given.data)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_only_one_photo_is_in_hand_at_a_time(target: Path) -> None:
    """Photos come from a generator, and are not gathered before they are looked at."""
    seen: list[str] = []

    def come() -> Iterator[Given]:
        for number, given in enumerate(some(5)):
            assert len(seen) == number
            yield given
            seen.append(given.source)

    assert len(prepare(come(), target).images) == 5


def test_views_of_one_product_are_no_copies_of_each_other(target: Path) -> None:
    views = [Given(path.name, path.read_bytes()) for path in BAGS]
    assert reasons(prepare(views, target)) == {}
    dimmed = ImageOps.autocontrast(bag(4)).point(lambda value: value * 7 // 8)
    copies = [Given("dark.jpg", photos.encode(dimmed, "JPEG", quality=40)), *views]
    assert list(reasons(prepare(copies, target))) == ["05.png"]
