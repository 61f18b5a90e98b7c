"""The user's own photos: taken as phones and cameras write them, or refused with a sentence before anything starts."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from embedded import demo_photos
from tests.conftest import NO_SERVERS
from tools.errors import InvalidInput, NotAnImage
from tools.train import Training

TURNED_LEFT = 6  # the EXIF orientation of a phone held upright


def half_red(width: int = 80, height: int = 40) -> Image.Image:
    """Make a picture that is red on its left and blue on its right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def save_some(folder: Path, count: int = 4) -> None:
    for number in range(count):
        half_red().save(folder / f"photo-{number}.png")


def decoded(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Tasche Müller"
    made.mkdir()
    return made


def test_all_kinds_and_cases_are_read_in_the_order_of_their_names(folder: Path) -> None:
    for side, name in [(40, "a.JPG"), (50, "b.jpeg"), (60, "c.PNG"), (70, "d.WebP")]:
        half_red(side, side).save(folder / name)
    (folder / "._a.JPG").write_bytes(b"left by a file manager")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "more.png").mkdir()
    product = demo_photos.own(folder, None)
    assert [decoded(photo).shape[0] for photo in product.photos] == [40, 50, 60, 70]
    assert (product.name, product.trigger_word, product.remark) == ("Tasche Müller", "TOK_TASCHE_MULLER", "")
    assert product.reference == product.photos[2]


def test_a_photo_of_a_phone_is_set_upright_and_made_small(folder: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = TURNED_LEFT
    half_red(4032, 3024).save(folder / "IMG_0001.jpg", exif=exif)
    save_some(folder, 3)
    photo, *_ = demo_photos.own(folder, None).photos
    shown = decoded(photo).astype(int)
    longest = Training().resolution
    assert shown.shape[:2] == (longest, longest * 3 // 4)
    top, bottom = shown[: longest // 2 - 8], shown[longest // 2 + 8 :]
    assert np.abs(top - [254, 0, 0]).mean() < 3  # what was left is above now
    assert np.abs(bottom - [0, 0, 254]).mean() < 3


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Red handbag", "TOK_RED_HANDBAG"),
        ("  --Straße №5!  ", "TOK_STRASSE_NO5"),
        ("手提包", "TOK_PRODUCT"),
        ("x" * 150, f"TOK_{'X' * 60}"),
    ],
)
def test_any_name_gives_a_trigger_word(folder: Path, name: str, word: str) -> None:
    save_some(folder)
    product = demo_photos.own(folder, name)
    assert (product.name, product.trigger_word) == (name.strip(), word)


def test_heic_beside_other_photos_is_left_out_and_told(folder: Path) -> None:
    save_some(folder)
    (folder / "IMG_2.HEIC").write_bytes(b"....ftypheic")
    product = demo_photos.own(folder, None)
    assert len(product.photos) == 4
    assert product.remark.startswith("1 HEIC left out")


def test_heic_alone_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / "IMG_2.HEIC").write_bytes(b"....ftypheic")
    with pytest.raises(InvalidInput, match=r"holds no photo.*HEIC.*save such photos as JPEG"):
        demo_photos.own(folder, None)


def test_three_photos_are_refused_before_anything_starts(folder: Path) -> None:
    save_some(folder, 3)
    with pytest.raises(InvalidInput, match="holds only 3 photos: put 4 to 20 PNG, JPEG or WebP files into it"):
        demo_photos.own(folder, None)


def test_twenty_photos_are_taken_and_one_more_is_refused(folder: Path) -> None:
    for number in range(20):
        half_red().save(folder / f"{number:02}.png")
    assert len(demo_photos.own(folder, None).photos) == 20
    half_red().save(folder / "20.png")
    with pytest.raises(InvalidInput, match="holds 21 photos: keep the best, 20 at most"):
        demo_photos.own(folder, None)


def test_a_broken_photo_is_named(folder: Path) -> None:
    save_some(folder)
    (folder / "b.jpg").write_bytes((folder / "photo-1.png").read_bytes()[:60])
    with pytest.raises(NotAnImage, match=r"b\.jpg: The file is not a picture that we can read"):
        demo_photos.own(folder, None)


def test_a_name_that_is_too_long_is_refused_before_anything_starts(folder: Path) -> None:
    save_some(folder)
    with pytest.raises(InvalidInput, match="model_name"):
        demo_photos.own(folder, "x" * 201)


def test_our_own_photos_are_as_they_were_rendered() -> None:
    product = demo_photos.shipped()
    assert len(product.photos) == 8
    for path, photo in zip(sorted(demo_photos.SHIPPED.glob("*.png")), product.photos, strict=True):
        assert np.array_equal(decoded(photo), decoded(path.read_bytes()))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--photos", "nowhere"), "Error: There is no folder nowhere: name the one that your photos are in."),
        (("--photos", "empty"), "Error: empty holds no photo: put 4 to 20 PNG, JPEG or WebP files into it."),
        (("--name", "Bag"), "Error: --name goes with --photos"),
    ],
)
def test_the_command_says_what_is_wrong_and_starts_nothing(
    processes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    env = {**NO_SERVERS, "PACKSHOT_DATA_DIR": str(tmp_path / "data")}
    shown = processes.start("packshot", "demo", *options, env=env)
    assert shown.popen.wait(60) in {1, 2}
    assert sentence in shown.said()
    assert "Traceback" not in shown.said()
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "var").exists()
