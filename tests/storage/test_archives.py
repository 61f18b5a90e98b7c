"""Zips of strangers."""

import hashlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.archives import repack, unpack
from tests.storage.zips import Entry, Painter, Zipper, entry, patched, refused
from tools.errors import TooLarge


# What is taken.
def test_photos_come_out_clean_in_order_with_their_captions(zipped: Zipper, paint: Painter, tmp_path: Path) -> None:
    shoe, lamp, cup = paint("JPEG", seed=1, comment=b"secret"), paint("WEBP", seed=2), paint("PNG", seed=3)
    path = zipped(
        ("set/", b""),
        ("set/b.PNG", cup),
        ("set/a.jpg", shoe),
        ("set/A1.webp", lamp),
        ("set/b.txt", "\ufeffa red cup — größer\n".encode()),
        ("__MACOSX/set/._a.jpg", b"junk"),
        ("set/.DS_Store", b"junk"),
        ("Thumbs.db", b"junk"),
    )
    clean = tmp_path / "clean.zip"
    assert repack(path, clean) == 3
    with zipfile.ZipFile(clean) as archive:
        assert archive.namelist() == ["0001.png", "0002.png", "0003.png", "0003.txt"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("0003.txt").decode() == "a red cup — größer"
        for name, given in (("0001.png", shoe), ("0002.png", lamp), ("0003.png", cup)):
            data = archive.read(name)
            assert b"secret" not in data
            ours, theirs = (np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in (data, given))
            assert np.array_equal(ours, theirs)


def test_the_same_photos_make_the_same_bytes(zipped: Zipper, paint: Painter, tmp_path: Path) -> None:
    made = []
    for names in (("a.png", "b.png"), ("x/1.png", "x/2.png")):
        repack(zipped((names[1], paint(seed=2)), (names[0], paint(seed=1))), tmp_path / "clean.zip")
        made.append(hashlib.sha256((tmp_path / "clean.zip").read_bytes()).hexdigest())
    assert made[0] == made[1]
    with zipfile.ZipFile(tmp_path / "clean.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_was_packed_stays_what_it_is_when_packed_again(zipped: Zipper, good: Entry, tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    repack(zipped(good, ("good.txt", b"a shoe")), first)
    repack(first, second)
    assert [photo.caption for photo in unpack(first)] == ["a shoe"]
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".png", "ключ 鞋 é.png", "a\nb\x1b[31m.png", "photos\\a.png", "a..b.png", "=cmd().png"]
)
def test_an_odd_name_does_no_harm(zipped: Zipper, paint: Painter, tmp_path: Path, name: str) -> None:
    assert repack(zipped((name, paint())), tmp_path / "clean.zip") == 1
    with zipfile.ZipFile(tmp_path / "clean.zip") as archive:
        assert archive.namelist() == ["0001.png"]


def test_two_hundred_photos_with_captions_are_taken(zipped: Zipper, paint: Painter, tmp_path: Path) -> None:
    photo = paint(size=(8, 8))
    entries = [
        (f"photos of a shoe/{n}{end}", body) for n in range(200) for end, body in ((".png", photo), (".txt", b"x"))
    ]
    junk = [(f"__MACOSX/photos of a shoe/._{n}.png", b"x") for n in range(200)]
    assert repack(zipped(*entries, *junk), tmp_path / "clean.zip") == 200
    assert "201 photos" in refused(zipped(*entries, *junk, ("201.png", photo)))


# What is refused.
@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "a/../../x.png",
        "/tmp/x.png",
        "..\\x.png",
        "\\x.png",
        "\\\\host\\share\\x.png",
        "C:\\x.png",
        "c:x.png",
        "a/..",
    ],
)
def test_a_name_that_points_outside_is_refused(zipped: Zipper, good: Entry, name: str) -> None:
    assert "points outside" in refused(zipped(good, (name, good[1])))


def test_a_name_with_an_end_in_its_middle_is_refused(zipped: Zipper, good: Entry) -> None:
    assert "points outside" in refused(patched(zipped(good, ("evil.exe_.png", good[1])), b"evil.exe_", b"evil.exe\0"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_link_or_device_is_refused(zipped: Zipper, good: Entry, kind: int) -> None:
    assert "is a link" in refused(zipped(good, (entry("link.png", kind | 0o777), b"/etc/passwd")))


def test_a_bomb_is_refused_by_its_sizes(zipped: Zipper, good: Entry) -> None:
    large = entry("large.png", 0)  # stored as it is, so that only its size speaks against it
    assert "too large" in refused(zipped(good, (large, bytes(20 * 2**20 + 1))), TooLarge)
    assert "tightly" in refused(zipped(good, ("bomb.png", bytes(15 * 2**20))), TooLarge)


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(zipped: Zipper, good: Entry) -> None:
    size = 32 * 2**20 + 12345  # four bytes that stand nowhere else
    path = zipped(good, ("bomb.png", bytes(size)))
    assert "damaged" in refused(patched(path, struct.pack("<L", size), struct.pack("<L", 10)))


def test_too_much_altogether_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.zip"
    body = hashlib.shake_256(b"x").digest(200 * 1024)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(56):
            archive.writestr(f"{number}.png", body)
        for info in archive.infolist():
            info.file_size = 19 * 2**20  # as the list at the end will say
    assert "1 GB" in refused(path, TooLarge)


def test_photos_that_grow_too_large_when_decoded_are_refused(zipped: Zipper, paint: Painter, tmp_path: Path) -> None:
    path = zipped(*((f"{n}.png", paint(seed=n)) for n in range(4)))
    size = sum(len(photo.png) for photo in unpack(path))
    assert repack(path, tmp_path / "clean.zip", max_bytes=size) == 4
    with pytest.raises(TooLarge, match="send fewer"):
        repack(path, tmp_path / "clean.zip", max_bytes=size - 1)


def test_entries_that_share_bytes_are_refused(tmp_path: Path, good: Entry) -> None:
    """Write one file's data once, and list it twice under two names of the same length."""
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(*good)
        twin = entry("gooe.png", 0)
        first = archive.infolist()[0]
        for field in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
            setattr(twin, field, getattr(first, field))
        archive.filelist.append(twin)
    assert "overlaps" in refused(path)


@pytest.mark.parametrize("twin", ["a.png", "A.PNG", "./a.png"])
def test_a_name_that_comes_twice_is_refused(zipped: Zipper, paint: Painter, twin: str) -> None:
    path = patched(zipped(("a.png", paint(seed=1)), ("?" * len(twin), paint(seed=2))), b"?" * len(twin), twin.encode())
    assert "twice" in refused(path)


def test_names_that_differ_only_in_how_unicode_is_written_are_refused(zipped: Zipper, paint: Painter) -> None:
    assert "twice" in refused(zipped(("é.png", paint(seed=1)), ("e\u0301.png", paint(seed=2))))


def test_a_zip_in_a_zip_is_refused_and_named(zipped: Zipper, good: Entry) -> None:
    inner = zipped(good).read_bytes()
    assert "'more.zip'" in refused(zipped(good, ("more.zip", inner)))


@pytest.mark.parametrize(
    "name", ["setup.exe", "train.py", "x.svg", "x.gif", "x.png.html", "noending", "readme.txt", "a/good.txt"]
)
def test_what_is_neither_photo_nor_caption_is_refused_and_named(zipped: Zipper, good: Entry, name: str) -> None:
    assert repr(name) in refused(zipped(good, (name, b"x")))


def test_of_many_strangers_some_are_named(zipped: Zipper, good: Entry) -> None:
    sentence = refused(zipped(good, *((f"{n}\x1b.exe", b"x") for n in range(9))))
    assert "'4\\x1b.exe' and more" in sentence


@pytest.mark.parametrize("bit", [0, 6, 13])
def test_an_encrypted_entry_is_refused(zipped: Zipper, good: Entry, bit: int) -> None:
    path = zipped(good)
    listed = path.read_bytes().index(b"PK\x01\x02")
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, listed + 8, 1 << bit)
    path.write_bytes(data)
    assert "password" in refused(path)


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_uncommon_compression_is_refused(zipped: Zipper, good: Entry, how: int) -> None:
    assert "uncommon way" in refused(zipped(good, how=how))


@pytest.mark.parametrize("method", [9, 93, 99])
def test_an_unknown_compression_is_refused(zipped: Zipper, good: Entry, method: int) -> None:
    path = zipped(good)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, method)
    path.write_bytes(data)
    assert "uncommon way" in refused(path)
