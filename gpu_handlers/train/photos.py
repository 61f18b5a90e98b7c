"""The photos of a zip, with what it says of each."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tools.captions import caption
from tools.errors import BadArchive

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

#: Says of each picture where it came from, where a dataset was prepared.
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Photo:
    """A picture on disk, the words that lay beside it, and what the manifest says of it."""

    name: str
    path: Path
    text: str | None
    about: dict[str, Any] = field(default_factory=dict)
    #: The same with its transparency, where it came with some.
    cutout: Path | None = None

    @property
    def sha256(self) -> str:
        """Name its content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def caption(self, trigger_word: str) -> str:
        """Say what it shows, by the word that shall mean the product."""
        return caption(self.text, trigger_word)


def unpack(archive: Path, folder: Path) -> list[Photo]:
    """Unpack the pictures of a zip, in the order of their names. Raises BadArchive."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as zipped:
            photos = list(read(zipped, folder))
    except (zipfile.BadZipFile, json.JSONDecodeError) as broken:
        raise BadArchive from broken
    if not photos:
        raise BadArchive("The archive holds no picture: put PNG, JPEG or WebP photos into the zip.")
    return photos


def read(zipped: zipfile.ZipFile, folder: Path) -> Iterator[Photo]:
    """Write the pictures of an open zip into a folder."""
    names = zipped.namelist()
    told = {Path(str(one["name"])).stem: one for one in describe(zipped, names)}
    for number, name in enumerate(sorted(name for name in names if name.lower().endswith(PICTURES))):
        path = folder / f"{number:04}"
        path.write_bytes(zipped.read(name))
        beside = str(PurePosixPath(name).with_suffix(".txt"))
        text = zipped.read(beside).decode("utf-8", "replace") if beside in names else None
        about = told.get(Path(name).stem, {})
        yield Photo(name, path, text, about, unpack_cutout(zipped, about, path))


def unpack_cutout(zipped: zipfile.ZipFile, about: dict[str, Any], path: Path) -> Path | None:
    """Write the transparent twin of a picture beside it, if there is one."""
    if not about.get("cutout"):
        return None
    twin = path.with_suffix(".cutout")
    twin.write_bytes(zipped.read(about["cutout"]))
    return twin


def describe(zipped: zipfile.ZipFile, names: Sequence[str]) -> list[dict[str, Any]]:
    """Read the manifest, if there is one."""
    found: list[dict[str, Any]] = json.loads(zipped.read(MANIFEST))["images"] if MANIFEST in names else []
    return found
