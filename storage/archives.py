"""Zips of training photos, read with suspicion."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from storage.datasets import MANIFEST, Given
from storage.entries import PICTURES, check_end, check_entries, is_junk, same_name, shown, stem, suffix
from tools.dataset import Manifest
from tools.errors import BadArchive, TooLarge

MAX_CAPTION_BYTES = 4096
LONGEST_NAME = 200

#: What `zipfile` raises on broken files.
READ_ERRORS = (BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError, struct.error, zlib.error)


def unpack(path: Path) -> Iterator[Given]:
    """Read the photos of a stranger's zip one by one, in the order of their names. Raises BadArchive, TooLarge."""
    with opened(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and not is_junk(entry)]
        check_entries(archive, entries)
        captions = {stem(entry): entry for entry in entries if suffix(entry) == ".txt"}
        for entry in sorted(entries, key=lambda entry: same_name(entry.filename)):
            if suffix(entry) in PICTURES:
                caption = captions.get(stem(entry))
                text = None if caption is None else caption_text(archive, caption)
                yield Given(entry.filename[:LONGEST_NAME], content(archive, entry), text)


def reopen(path: Path, manifest: Manifest) -> Iterator[Given]:
    """Read the photos of a dataset of ours once more, each as it came."""
    with opened(path) as archive:
        for photo in manifest.images:
            data = content(archive, archive.getinfo(photo.cutout or photo.name))
            yield Given(photo.source, data, photo.given)


def read_manifest(path: Path) -> Manifest | None:
    """Read what a zip says of itself; None if it is no dataset of ours."""
    with opened(path) as archive:
        if MANIFEST not in archive.namelist():
            return None
        return Manifest.model_validate_json(content(archive, archive.getinfo(MANIFEST)))


@contextmanager
def opened(path: Path) -> Iterator[ZipFile]:
    """Open a zip whose end is as it should be."""
    check_end(path)
    with reading():
        archive = ZipFile(path)
    with archive:
        yield archive


def caption_text(archive: ZipFile, entry: ZipInfo) -> str:
    """Read a caption: short UTF-8 text."""
    if entry.file_size > MAX_CAPTION_BYTES:
        raise TooLarge(f"{shown(entry)} is longer than {MAX_CAPTION_BYTES} bytes: shorten the caption.")
    try:
        text = content(archive, entry).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise BadArchive(f"{shown(entry)} is not UTF-8: save the caption as UTF-8 text.") from error
    if "\0" in text:
        raise BadArchive(f"{shown(entry)} is not text: save the caption as UTF-8 text.")
    return text


def content(archive: ZipFile, entry: ZipInfo) -> bytes:
    """Read an entry. To ask for a number of bytes bounds the memory; `archive.read()` would believe in a lying size."""
    with reading(), archive.open(entry) as file:
        return file.read(entry.file_size + 1)


@contextmanager
def reading() -> Iterator[None]:
    """Turn what `zipfile` raises on a broken file into one sentence."""
    try:
        yield
    except READ_ERRORS as error:
        raise BadArchive("The zip is damaged or of an uncommon kind: pack the photos anew as a plain zip.") from error
