"""Zips of strangers: how they are made, and how they are refused."""

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.archives import unpack
from tools.errors import BadArchive, ToolError

Painter = Callable[..., bytes]
Entry = tuple[str | zipfile.ZipInfo, bytes]
Zipper = Callable[..., Path]


@pytest.fixture(name="zipped")
def give_zipped(tmp_path: Path) -> Zipper:
    """Give the function that makes a zip of entries."""

    def zipped(*entries: Entry, how: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "given.zip"
        with zipfile.ZipFile(path, "w", how) as archive:
            for name, data in entries:
                archive.writestr(name, data)
        return path

    return zipped


@pytest.fixture(name="good")
def paint_good(paint: Painter) -> Entry:
    return ("good.png", paint())


def refused(path: Path, error: type[ToolError] = BadArchive) -> str:
    """Assert that a zip is refused as a whole, without unpacking much, with a sentence, and give that."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            list(unpack(path))
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    assert ": " in caught.value.detail or ". Send" in caught.value.detail
    assert caught.value.detail.endswith(".")
    assert caught.value.detail.isprintable()
    return caught.value.detail


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def patched(path: Path, old: bytes, new: bytes) -> Path:
    """Change bytes of a zip, which `zipfile` itself would not write."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path
