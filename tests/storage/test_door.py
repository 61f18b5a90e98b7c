"""The one door, between a caller and a real bucket."""

import hashlib
import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from settings import settings
from storage.address import parse
from storage.bucket import Bucket
from storage.door import ARCHIVE, DOORS, admit_dataset, admit_picture, take_picture
from tools import kinds
from tools.errors import FileNotFound, NotAnImage, PathNotAllowed, ToolError, UrlBlocked

Painter = Callable[..., bytes]
OURS = f"r2://{settings().s3_bucket}"


def test_every_kind_of_file_has_its_door() -> None:
    named = {getattr(mark, "door", None) for kind in vars(kinds).values() for mark in getattr(kind, "__metadata__", ())}
    marks = {getattr(kind, "door", None) for kind in vars(kinds).values()}
    assert (named | marks) - {None} == {*DOORS, ARCHIVE}


def test_an_uploaded_picture_is_stored_clean_under_its_own_hash(store: Bucket, paint: Painter) -> None:
    given = paint("JPEG", seed=5, comment=b"secret")
    key = parse(take_picture(given)).key
    data = store.read(key, 2**20)
    assert key == f"uploads/{hashlib.sha256(data).hexdigest()}.png"
    assert store.head(key) == store.put(key, data)
    assert b"secret" not in data
    ours, theirs = (np.asarray(Image.open(io.BytesIO(each))) for each in (data, given))
    assert np.array_equal(ours, theirs)


def test_the_same_picture_twice_is_stored_once(store: Bucket, paint: Painter) -> None:
    first = take_picture(paint(seed=6))
    written = store.open(parse(first).key).headers["Last-Modified"]
    assert take_picture(paint(seed=6)) == first
    assert store.open(parse(first).key).headers["Last-Modified"] == written
    assert take_picture(paint(seed=7)) != first


def test_what_was_taken_is_admitted_as_it_is(store: Bucket, paint: Painter) -> None:
    address = take_picture(paint(seed=8))
    assert admit_picture(address) == address
    store.put("generated/by-hand", paint(seed=8))
    assert admit_picture(f"{OURS}/generated/by-hand") == f"{OURS}/generated/by-hand"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (f"{OURS}/uploads/none.png", FileNotFound),
        (f"{OURS}/models/secret.safetensors", PathNotAllowed),
        (f"{OURS}/uploads/../models/secret.safetensors", PathNotAllowed),
        ("r2://other-bucket/uploads/x.png", PathNotAllowed),
        (f"{OURS}/generated/film.mp4", NotAnImage),
        ("uploads/x.png", PathNotAllowed),
        ("/etc/passwd", PathNotAllowed),
        ("", PathNotAllowed),
        ("file:///etc/passwd", UrlBlocked),
        ("http://example.com/x.png", UrlBlocked),
        ("https://127.0.0.1/x.png", UrlBlocked),
        ("https://[::1]/x.png", UrlBlocked),
    ],
)
def test_what_may_not_come_in_is_refused_with_a_sentence(store: Bucket, given: str, error: type[ToolError]) -> None:
    store.put("models/secret.safetensors", b"x")
    store.put("generated/film.mp4", b"x")
    with pytest.raises(error) as refused:
        DOORS["image"](given)
    assert type(refused.value) is error
    assert refused.value.detail.endswith(".")


@pytest.fixture(name="named")
def name_hosts(store: Bucket) -> Iterator[None]:  # noqa: ARG001 - it must run
    """Give the house names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBLIC_URL", "https://packshot.example/")
        patch.setenv("TRUSTED_HOSTS", "Pictures.example, .other.example")
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.mark.parametrize("host", ["packshot.example", "pictures.example", "other.example", "PACKSHOT.example."])
@pytest.mark.usefixtures("named")
def test_our_own_host_is_no_stranger(host: str) -> None:
    with pytest.raises(UrlBlocked, match="our own"):
        DOORS["image"](f"https://{host}/api/images/x.png")
    with pytest.raises(UrlBlocked, match="our own"):
        admit_dataset([f"https://{host}/api/images/{n}.png" for n in range(4)])


def test_bytes_that_are_no_picture_leave_nothing_behind(store: Bucket) -> None:
    before = keys(store)
    with pytest.raises(NotAnImage):
        take_picture(b"<html>")
    assert keys(store) == before


def keys(store: Bucket) -> set[str]:
    listed = store._client.list_objects_v2(Bucket=store.name)
    return {each["Key"] for each in listed["Contents"]}
