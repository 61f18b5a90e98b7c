"""How the photos of a training come in, between a caller and a real bucket."""

import hashlib
import io
import socket
import zipfile
from pathlib import Path

import pytest

from settings import settings
from storage.address import parse
from storage.bucket import Bucket
from storage.door import admit, admit_dataset, recall_manifest, take_archive, take_picture
from storage.pictures import clean
from tests import photos
from tests.storage.internet import PUBLIC, REAL_CONNECT, Internet
from tools.dataset import TooFewPhotos
from tools.errors import BadArchive, FileNotFound, InputUnreachable, PathNotAllowed, ToolError, UrlBlocked
from tools.train import TRAIN

OURS = f"r2://{settings().s3_bucket}"
FILES = {f"{n}.png": photos.encode(photos.take(n)) for n in range(4)}


def names(store: Bucket, address: str, folder: Path) -> list[str]:
    path = store.download(parse(address).key, folder / "read.zip")
    return zipfile.ZipFile(io.BytesIO(path.read_bytes())).namelist()


def test_a_zip_becomes_a_dataset_under_its_own_hash(store: Bucket, tmp_path: Path) -> None:
    given = photos.pack({**FILES, "3.txt": b"on white", "soft.png": b"x"})
    store.put("uploads/photos", given)
    admitted = admit_dataset(f"{OURS}/uploads/photos", "TOK")
    key = parse(admitted.address).key
    data = store.download(key, tmp_path / "clean.zip").read_bytes()
    assert key == f"datasets/{hashlib.sha256(data).hexdigest()}.zip"
    pairs = [f"images/000{n}{end}" for n in (1, 2, 3, 4) for end in (".png", ".txt")]
    assert names(store, admitted.address, tmp_path) == [*pairs, "manifest.json"]
    assert recall_manifest(key) == admitted.manifest
    assert [photo.caption for photo in admitted.manifest.images] == ["TOK", "TOK", "TOK", "TOK, on white"]
    (tmp_path / "given").write_bytes(given)
    assert take_archive(tmp_path / "given", "TOK") == admitted.address
    assert admit_dataset(admitted.address, "TOK") == admitted


def test_a_dataset_that_is_named_again_gets_the_new_word_for_the_old_one(store: Bucket) -> None:
    cut = photos.take(9).convert("RGBA")
    cut.putalpha(photos.take(10).convert("L"))
    files = {**FILES, "0.txt": b"on white", "4.png": photos.encode(cut), "page.png": b"<html>"}
    store.put("uploads/again.zip", photos.pack(files))
    first = admit_dataset(f"{OURS}/uploads/again.zip", "TOK_ONE")
    second = admit_dataset(first.address, "TOK_TWO")
    assert [photo.caption for photo in second.manifest.images] == ["TOK_TWO, on white", *["TOK_TWO"] * 4]
    nameless = admit_dataset(first.address).manifest
    assert [photo.caption for photo in nameless.images] == ["on white", "", "", "", ""]
    same = {"images": first.manifest.images, "trigger_word": "TOK_ONE"}
    assert second.manifest.left_out == first.manifest.left_out
    assert first.manifest.images[4].cutout is not None
    assert admit_dataset(second.address, "TOK_ONE").manifest == first.manifest.model_copy(update=same)


def test_a_dataset_without_its_manifest_beside_it_gets_that_again(store: Bucket) -> None:
    store.put("uploads/lost.zip", photos.pack({**FILES, "a.png": b"x"}))
    admitted = admit_dataset(f"{OURS}/uploads/lost.zip", "TOK_LOST")
    store.delete(parse(admitted.address).key.replace(".zip", ".json"))
    assert admit_dataset(admitted.address, "TOK_LOST") == admitted
    assert recall_manifest(parse(admitted.address).key) == admitted.manifest


def test_a_zip_that_was_put_among_the_datasets_is_looked_at_like_any_other(store: Bucket) -> None:
    store.put("datasets/by-hand.zip", photos.pack({f"000{n}.png": data for n, data in enumerate(FILES.values())}))
    assert len(admit_dataset(f"{OURS}/datasets/by-hand.zip", "TOK").manifest.images) == 4
    store.put("datasets/few.zip", photos.pack({"1.png": FILES["1.png"]}))
    with pytest.raises(TooFewPhotos):
        admit_dataset(f"{OURS}/datasets/few.zip", "TOK")


def test_a_list_comes_in_through_the_same_door(
    store: Bucket, internet: Internet, tls: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tls is None
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", REAL_CONNECT)  # the bucket is no stranger
        ours = [take_picture(photos.encode(photos.take(n))) for n in (20, 21)]
    far = [f"https://good.example/photo.{n}" for n in (22, 23)]
    internet.at_home.add("127.0.0.1")
    admitted = admit_dataset([ours[0], far[0], "https://good.example/html.png", *far[1:], ours[1]], "TOK")
    assert [photo.source for photo in admitted.manifest.images] == [ours[0], *far, ours[1]]
    assert [photo.sha256 for photo in admitted.manifest.images] == [hash_of(n) for n in (20, 22, 23, 21)]
    assert [one.source for one in admitted.manifest.left_out] == ["https://good.example/html.png"]
    assert store.head(parse(admitted.address).key) is not None
    assert PUBLIC in internet.dialled


def hash_of(number: int) -> str:
    """Hash the file that a photo becomes."""
    return hashlib.sha256(clean(photos.encode(photos.take(number))).png).hexdigest()


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("https://good.example/missing", InputUnreachable),
        ("https://private.example/a.png", UrlBlocked),
        ("http://good.example/photo.1", UrlBlocked),
        ("uploads/a.png", UrlBlocked),
        (f"{OURS}/models/secret.safetensors", PathNotAllowed),
        (f"{OURS}/uploads/none.png", FileNotFound),
    ],
)
def test_an_address_in_a_list_that_leads_nowhere_is_refused_with_its_place(
    store: Bucket, internet: Internet, tls: None, address: str, error: type[ToolError]
) -> None:
    assert tls is None
    assert store
    internet.at_home.add("127.0.0.1")
    with pytest.raises(error) as refused:
        admit_dataset([f"https://good.example/photo.{n}" for n in range(9)] + [address], "TOK")
    assert type(refused.value) is error
    if error is not FileNotFound:
        assert refused.value.details["errors"][0]["pointer"] == "/images/9"


def test_a_dataset_advises_what_its_caller_left_open(store: Bucket) -> None:
    store.put("uploads/open.zip", photos.pack(FILES))
    told = {"images": f"{OURS}/uploads/open.zip", "model_name": "Bag", "trigger_word": "TOK"}
    params = admit(TRAIN, TRAIN.check(told))
    left = TRAIN.check({**told, "lora_rank": 16, "steps": 1000})
    assert {name: getattr(params, name) for name in ("steps", "lr", "lora_rank", "batch_size", "resolution")} == {
        "steps": 500, "lr": 5e-5, "lora_rank": 16, "batch_size": 1, "resolution": 320,
    }  # fmt: skip
    assert getattr(admit(TRAIN, left), "steps") == 1000  # noqa: B009 - which params these are, only the tool knows


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (f"{OURS}/uploads/none.zip", FileNotFound),
        (f"{OURS}/datasets/none.zip", FileNotFound),
        (f"{OURS}/generated/film.mp4", PathNotAllowed),
        (f"{OURS}/uploads/text", BadArchive),
        (f"{OURS}/claims/x", PathNotAllowed),
        ("https://example.com/photos.zip", UrlBlocked),
        ("photos.zip", UrlBlocked),
    ],
)
def test_a_dataset_that_is_none_is_refused(store: Bucket, given: str, error: type[ToolError]) -> None:
    store.put("generated/film.mp4", b"x")
    store.put("uploads/text", b"not a zip")
    with pytest.raises(error) as refused:
        admit_dataset(given)
    assert type(refused.value) is error
    assert refused.value.detail.endswith(".")
