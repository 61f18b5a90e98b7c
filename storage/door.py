"""The one door through which foreign bytes come in: what an address or an upload becomes before a job sees it."""

import hashlib
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.address import ours, readable
from storage.archives import repack
from storage.bucket import Stored, bucket
from storage.fetch import fetch
from storage.pictures import clean
from storage.space import roomy
from tools.contract import Params, Tool
from tools.errors import FileNotFound, NotAnImage, PathNotAllowed, UrlBlocked

#: Content types that say nothing of the content.
UNTOLD = {"", "application/octet-stream", "binary/octet-stream"}


def admit_picture(given: str, *, blocked_hosts: Collection[str] = ()) -> str:
    """Answer the r2:// address of the picture that a caller named: ours as it is, https:// fetched and made clean."""
    if given.startswith("r2://"):
        stored = must_exist(given)
        if stored.content_type not in UNTOLD and not stored.content_type.startswith("image/"):
            raise NotAnImage(f"{given} is {stored.content_type}: name a picture.")
        return given
    if "://" not in given:
        raise PathNotAllowed("Give a picture as r2://bucket/key or as https://: a bare path or word is neither.")
    return take_picture(fetch(given, blocked_hosts=blocked_hosts))


def take_picture(data: bytes) -> str:
    """Make an uploaded picture clean, store it under its own hash, and answer its r2:// address."""
    png = clean(data).png
    key = f"uploads/{hashlib.sha256(png).hexdigest()}.png"
    return keep(key, png, "image/png")


def admit_dataset(given: str) -> str:
    """Answer the r2:// address of the clean dataset that a caller named: a zip of photos in the bucket."""
    if not given.startswith("r2://"):
        raise UrlBlocked("Give the photos as a zip: upload it, or name one as r2://bucket/uploads/photos.zip.")
    stored = must_exist(given)
    if stored.key.startswith("datasets/"):
        return given
    if not stored.key.startswith("uploads/"):
        raise PathNotAllowed("A dataset is a zip under uploads/ or datasets/: name one of those.")
    with roomy(), tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        return take_archive(bucket().download(stored.key, Path(folder) / "given.zip"))


def take_archive(path: Path) -> str:
    """Make a zip of photos clean, store it under its own hash, and answer its r2:// address."""
    with roomy(), tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        packed = Path(folder) / "clean.zip"
        repack(path, packed)
        with packed.open("rb") as file:
            key = f"datasets/{hashlib.file_digest(file, 'sha256').hexdigest()}.zip"
        return keep(key, packed, "application/zip")


def keep(key: str, body: bytes | Path, content_type: str) -> str:
    """Store what is named by its own hash. If it is there already, it is the same."""
    with suppress(FileExistsError):
        bucket().put(key, body, content_type=content_type, if_absent=True)
    return str(ours(key))


def must_exist(given: str) -> Stored:
    """Find the file that a caller named."""
    stored = bucket().head(readable(given).key)
    if stored is None:
        raise FileNotFound(f"There is no file at {given}: check the address, or upload the file first.")
    return stored


#: By `Kind.door`: how a file of that kind comes in.
DOORS: dict[str, Callable[[str], str]] = {"image": admit_picture, "archive": admit_dataset}


def admit(tool: Tool, params: Params, proved: Collection[str] = ()) -> Params:
    """Let the files in that the params name; from here on they are addresses in our bucket.

    Args:
        tool: Whose params they are.
        params: All that it is told.
        proved: Addresses that jobs of ours handed on: those were proved when their jobs ended.
    """
    return params.model_copy(update=let_in(tool, dict(params), proved))


def let_in(tool: Tool, values: Mapping[str, Any], proved: Collection[str] = ()) -> dict[str, Any]:
    """Let the files in that plain values name; gives the values of those fields."""
    doors = {name: DOORS[kind.door] for name, kind in tool.takes.items() if kind.door and values.get(name)}
    return {name: pass_through(door, values[name], proved) for name, door in doors.items()}


def pass_through(door: Callable[[str], str], value: Any, proved: Collection[str]) -> Any:
    """Let one address in, or each of a list."""
    if isinstance(value, list):
        return [pass_through(door, each, proved) for each in value]
    return value if value in proved else door(value)
