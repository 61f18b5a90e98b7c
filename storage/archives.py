"""Zips of training photos: read with suspicion, and packed anew from clean pictures."""

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from storage.entries import PICTURES, check_end, check_entries, is_junk, same_name, shown, stem, suffix
from storage.pictures import clean
from tools.errors import BadArchive, NotAnImage, TooLarge

MAX_CLEAN_BYTES = 2 * 2**30
MAX_CAPTION_BYTES = 4096
NOTHING_NEWER = (1980, 1, 1, 0, 0, 0)  # the first day of zip time: the same photos make the same bytes

#: What `zipfile` raises on broken files.
READ_ERRORS = (BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError, struct.error, zlib.error)


@dataclass(frozen=True)
class Photo:
    """One clean photo of a dataset, as PNG, and its caption if it came with one."""

    png: bytes
    caption: str | None


def repack(given: Path, target: Path, *, max_bytes: int = MAX_CLEAN_BYTES) -> int:
    """Write the photos of a zip, clean, as `0001.png` and `0001.txt` into another; answer how many they are.

    Raises BadArchive, NotAnImage or TooLarge. The same photos always make the same bytes.
    """
    count, size = 0, 0
    with ZipFile(target, "w", ZIP_STORED) as out:
        for count, photo in enumerate(unpack(given), start=1):
            size += len(photo.png)
            if size > max_bytes:
                raise TooLarge(
                    f"As PNG the photos need more than {max_bytes / 2**30:.2g} GB: send fewer or smaller ones."
                )
            out.writestr(fresh(f"{count:04}.png"), photo.png)
            if photo.caption is not None:
                out.writestr(fresh(f"{count:04}.txt"), photo.caption)
    return count


def unpack(path: Path) -> Iterator[Photo]:
    """Read the photos of a zip one by one, in the order of their names, each decoded and written anew."""
    check_end(path)
    with reading():
        archive = ZipFile(path)
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and not is_junk(entry)]
        check_entries(archive, entries)
        captions = {stem(entry): entry for entry in entries if suffix(entry) == ".txt"}
        for entry in sorted(entries, key=lambda entry: same_name(entry.filename)):
            if suffix(entry) in PICTURES:
                yield photo(archive, entry, captions.get(stem(entry)))


def photo(archive: ZipFile, entry: ZipInfo, caption: ZipInfo | None) -> Photo:
    """Read one photo, and what is wrong with it under its own name."""
    try:
        picture = clean(content(archive, entry))
    except (NotAnImage, TooLarge) as error:
        raise type(error)(f"{shown(entry)}: {error.detail}") from error
    return Photo(picture.png, None if caption is None else caption_text(archive, caption))


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


def fresh(name: str) -> ZipInfo:
    """Describe an entry in the same words on every machine and day."""
    info = ZipInfo(name, NOTHING_NEWER)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info
