"""Zips of strangers."""

import hashlib
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from storage.archives import unpack
from storage.datasets import Given
from tests.storage.zips import Entry, Painter, Zipper, entry, patched, refused
from tools.errors import TooLarge


# What is taken.
def test_photos_come_in_order_with_their_captions(zipped: Zipper, paint: Painter) -> None:
    shoe, lamp, cup = paint("JPEG", seed=1), paint("WEBP", seed=2), paint("PNG", seed=3)
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
    assert list(unpack(path)) == [
        Given("set/a.jpg", shoe),
        Given("set/A1.webp", lamp),
        Given("set/b.PNG", cup, "a red cup — größer"),
    ]


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".png", "ключ 鞋 é.png", "a\nb\x1b[31m.png", "photos\\a.png", "a..b.png", "=cmd().png"]
)
def test_an_odd_name_does_no_harm(zipped: Zipper, paint: Painter, name: str) -> None:
    assert [photo.source for photo in unpack(zipped((name, paint())))] == [name[:200]]


def test_two_hundred_photos_with_captions_are_taken(zipped: Zipper, paint: Painter) -> None:
    photo = paint(size=(8, 8))
    entries = [
        (f"photos of a shoe/{n}{end}", body) for n in range(200) for end, body in ((".png", photo), (".txt", b"x"))
    ]
    junk = [(f"__MACOSX/photos of a shoe/._{n}.png", b"x") for n in range(200)]
    assert len(list(unpack(zipped(*entries, *junk)))) == 200
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
