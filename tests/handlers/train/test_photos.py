"""The photos of a zip."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpu_handlers.train import photos
from storage.datasets import Given, prepare
from tests import photos as pictures
from tools.errors import BadArchive


def pack(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def test_a_prepared_dataset_is_read_with_its_captions_and_manifest(tmp_path: Path) -> None:
    about = {
        "name": "0001.png",
        "source": "r2://b/uploads/a.jpg",
        "width": 3,
        "height": 2,
        "sha256": "x",
        "caption": "",
    }
    given = pack(
        tmp_path / "set.zip",
        **{"images/0002.png": "two", "images/0001.png": "one", "images/0001.txt": "TOK, from above",
           "manifest.json": json.dumps({"images": [about], "trigger_word": "TOK"})},
    )  # fmt: skip
    one, two = photos.unpack(given, tmp_path / "photos")
    assert (one.name, one.path.read_text(), one.text, one.about) == ("images/0001.png", "one", "TOK, from above", about)
    assert (two.name, two.text, two.about) == ("images/0002.png", None, {})
    assert [photo.caption("TOK") for photo in (one, two)] == ["TOK, from above", "TOK"]
    assert one.sha256 != two.sha256


def test_what_the_door_makes_of_photos_is_read_as_they_came(tmp_path: Path) -> None:
    cut = pictures.take(1).convert("RGBA")
    cut.paste((0, 0, 0, 0), (0, 0, 100, 272))
    given = [
        Given("cut.png", pictures.encode(cut), "a bag"),
        *(Given(f"{n}", pictures.encode(pictures.take(n))) for n in (2, 3, 4)),
    ]
    manifest = prepare(given, tmp_path / "set.zip")
    first, *others = photos.unpack(tmp_path / "set.zip", tmp_path / "photos")
    assert (first.caption("TOK"), first.about["source"]) == ("TOK, a bag", "cut.png")
    assert [photo.sha256 for photo in (first, *others)] == [photo.sha256 for photo in manifest.images]
    assert first.cutout is not None
    with Image.open(first.cutout) as kept, Image.open(first.path) as flat:
        assert (np.asarray(kept) == np.asarray(cut)).all()
        assert (flat.mode, flat.getpixel((5, 5))) == ("RGB", (255, 255, 255))
    assert [photo.cutout for photo in others] == [None] * 3


def test_any_zip_of_pictures_will_do(tmp_path: Path) -> None:
    given = pack(tmp_path / "set.zip", **{"b.JPG": "b", "a.webp": "a", "a.txt": "a bag", "readme.txt": "no picture"})
    assert [(photo.name, photo.caption("TOK")) for photo in photos.unpack(given, tmp_path / "photos")] == [
        ("a.webp", "TOK, a bag"), ("b.JPG", "TOK"),
    ]  # fmt: skip


@pytest.mark.parametrize("files", [{"readme.txt": "x"}, {"a.png": "x", "manifest.json": "not JSON"}])
def test_a_zip_that_cannot_be_used_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(BadArchive):
        photos.unpack(pack(tmp_path / "set.zip", **files), tmp_path / "photos")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"no zip")
    with pytest.raises(BadArchive):
        photos.unpack(tmp_path / "set.zip", tmp_path / "photos")
