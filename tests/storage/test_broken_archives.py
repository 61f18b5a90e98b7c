"""Zips that are none, or not whole."""

from pathlib import Path

import numpy as np
import pytest

from storage.archives import unpack
from tests.storage.zips import Entry, Zipper, refused
from tools.errors import BadArchive, NotAnImage, TooLarge


def test_a_zip_without_a_photo_is_refused(zipped: Zipper) -> None:
    assert "0 photos" in refused(zipped())
    assert "0 photos" in refused(zipped(("a/", b""), (".DS_Store", b"x")))


def test_six_thousand_entries_are_refused_before_they_are_read(zipped: Zipper) -> None:
    assert "6000 entries" in refused(zipped(*((f"{n}.png", b"") for n in range(6000))))


def test_a_caption_must_be_short_text(zipped: Zipper, good: Entry) -> None:
    assert "4096" in refused(zipped(good, ("good.txt", b"x" * 4097)), TooLarge)
    assert "UTF-8" in refused(zipped(good, ("good.txt", b"\xff\xfe\0x")))
    assert "not text" in refused(zipped(good, ("good.txt", b"a\0b")))


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"\x89PNG\r\n\x1a\n" + bytes(99), b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18]
)
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "not.zip"
    path.write_bytes(data)
    refused(path)


def test_bytes_around_the_zip_are_refused(zipped: Zipper, good: Entry) -> None:
    whole = zipped(good).read_bytes()
    path = zipped(good)
    for around in (b"MZ" + whole, whole + b"<script>", whole + whole, whole[:-1], whole[1:]):
        path.write_bytes(around)
        refused(path)


def test_a_zip64_or_split_zip_is_refused(zipped: Zipper, good: Entry) -> None:
    whole = zipped(good).read_bytes()
    end = whole.index(b"PK\x05\x06")
    path = zipped(good)
    locator = b"PK\x06\x07" + bytes(16)
    path.write_bytes(whole[:end] + locator + whole[end:])
    assert "zip64" in refused(path)
    path.write_bytes(whole[: end + 4] + b"\1\0" + whole[end + 6 :])
    assert "split" in refused(path)


def test_a_broken_entry_is_refused(zipped: Zipper, good: Entry) -> None:
    path = zipped(good)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in refused(path)


def test_no_broken_zip_gets_past_our_own_errors(zipped: Zipper, good: Entry) -> None:
    whole = zipped(good, ("good.txt", b"a shoe")).read_bytes()
    path = zipped(good)
    chance = np.random.default_rng(3)
    ended = 0
    listed = whole.index(b"PK\x01\x02")
    for round_ in range(600):
        broken = bytearray(whole)
        start = 0 if round_ % 2 else listed
        for _ in range(chance.integers(1, 4)):
            broken[chance.integers(start, len(broken))] = chance.integers(256)
        path.write_bytes(broken)
        try:
            list(unpack(path))
        except (BadArchive, NotAnImage, TooLarge):
            ended += 1
    assert ended > 0
