"""The one door through which foreign bytes come in: what an address or an upload becomes before a job sees it."""

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from settings import settings
from storage.address import ours, readable
from storage.archives import read_manifest, reopen, unpack
from storage.bucket import Stored, bucket
from storage.datasets import Given, prepare
from storage.entries import MAX_PHOTO_BYTES
from storage.fetch import WALL_S, fetch
from storage.pictures import clean
from storage.space import roomy
from tools.contract import Params, Tool
from tools.dataset import LeftOut, Manifest
from tools.errors import FileNotFound, InvalidInput, NotAnImage, PathNotAllowed, UrlBlocked
from tools.tuning import tune

#: Pictures of a list that are fetched at a time, and seconds for all of them together.
AT_A_TIME, GATHER_S = 8, 120.0

MAX_MANIFEST_BYTES = 4 * 2**20

#: Content types that say nothing of the content.
UNTOLD = {"", "application/octet-stream", "binary/octet-stream"}


def admit_picture(given: str) -> str:
    """Answer the r2:// address of the picture that a caller named: ours as it is, https:// fetched and made clean."""
    if given.startswith("r2://"):
        stored = must_exist(given)
        if stored.content_type not in UNTOLD and not stored.content_type.startswith("image/"):
            raise NotAnImage(f"{given} is {stored.content_type}: name a picture.")
        return given
    if "://" not in given:
        raise PathNotAllowed("Give a picture as r2://bucket/key or as https://: a bare path or word is neither.")
    return take_picture(fetch(given, blocked_hosts=own_hosts()))


def own_hosts() -> set[str]:
    """Name the hosts under which the world reaches this house: what is there is in our bucket already."""
    known = settings()
    named = {name.strip(" ./").lower() for name in known.trusted_hosts.split(",")}
    return {*named, urlsplit(known.public_url).hostname or ""} - {""}


def take_picture(data: bytes) -> str:
    """Make an uploaded picture clean, store it under its own hash, and answer its r2:// address."""
    png = clean(data).png
    key = f"uploads/{hashlib.sha256(png).hexdigest()}.png"
    return keep(key, png, "image/png")


@dataclass(frozen=True)
class Admitted:
    """A dataset that has come in: its address in our bucket, and what it says of itself."""

    address: str
    manifest: Manifest


def admit_dataset(given: str | list[str], trigger_word: str | None = None) -> Admitted:
    """Prepare the photos that a caller named, with the trigger word in their captions.

    Args:
        given: A zip in the bucket, a dataset of ours, or a list of pictures, each r2:// or https://.
        trigger_word: The word; None if it is not known yet.

    Raises:
        TooFewPhotos, BadArchive, UrlBlocked, …: nothing was stored.
    """
    if isinstance(given, list):
        return store_dataset(gather(given), trigger_word)
    if not given.startswith("r2://"):
        raise UrlBlocked(
            "Give the photos as a zip, or as a list of pictures: upload it, or name one as r2://bucket/uploads/shoe.zip."
        )
    stored = must_exist(given)
    if not stored.key.startswith(("datasets/", "uploads/")):
        raise PathNotAllowed("A dataset is a zip under uploads/ or datasets/: name one of those.")
    known = recall_manifest(stored.key) if stored.key.startswith("datasets/") else None
    if known and known.trigger_word == trigger_word:
        return Admitted(given, known)
    with roomy(), tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        path = bucket().download(stored.key, Path(folder) / "given.zip")
        own = read_manifest(path) if stored.key.startswith("datasets/") else None
        photos = reopen(path, own) if own else unpack(path)
        return store_dataset(photos, trigger_word, own.left_out if own else ())


def take_archive(path: Path, trigger_word: str | None = None) -> str:
    """Make a dataset of a zip of photos, store it under its own hash, and answer its r2:// address."""
    return store_dataset(unpack(path), trigger_word).address


def store_dataset(photos: Iterable[Given], trigger_word: str | None, before: Iterable[LeftOut] = ()) -> Admitted:
    """Prepare a dataset and store it, and beside it what it says of itself: that is read more often than the photos."""
    with roomy(), tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        packed = Path(folder) / "dataset.zip"
        manifest = prepare(photos, packed, trigger_word, before=before)
        with packed.open("rb") as file:
            key = f"datasets/{hashlib.file_digest(file, 'sha256').hexdigest()}.zip"
        address = keep(key, packed, "application/zip")
        keep(beside(key), manifest.model_dump_json().encode(), "application/json")
    return Admitted(address, manifest)


def recall_manifest(key: str) -> Manifest | None:
    """Read what a dataset of ours says of itself; None where that was not stored, or is of another form by now."""
    try:
        return Manifest.model_validate_json(bucket().read(beside(key), MAX_MANIFEST_BYTES))
    except (FileNotFound, ValueError):
        return None


def beside(key: str) -> str:
    """Name the file beside a dataset's zip."""
    return f"{key.removesuffix('.zip')}.json"


def gather(addresses: list[str]) -> Iterator[Given]:
    """Bring pictures in, some at a time, in their order. Raises UrlBlocked, InputUnreachable, FileNotFound, …."""
    until = monotonic() + GATHER_S
    with ThreadPoolExecutor(AT_A_TIME, "gather") as pool:
        for first in range(0, len(addresses), AT_A_TIME):
            some = addresses[first : first + AT_A_TIME]
            yield from pool.map(bring, range(first, first + len(some)), some, [until] * len(some))


def bring(number: int, address: str, until: float) -> Given:
    """Bring one picture in, as it came; what is wrong with its address is told by its place in the list."""
    try:
        if address.startswith("r2://"):
            return Given(address, bucket().read(must_exist(address).key, MAX_PHOTO_BYTES))
        wall_s = max(0.1, min(WALL_S, until - monotonic()))
        return Given(address, fetch(address, blocked_hosts=own_hosts(), wall_s=wall_s))
    except InvalidInput as error:
        raise type(error).at(f"images/{number}", error.detail) from error


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


#: By `Kind.door`: how one file of that kind comes in.
DOORS: dict[str, Callable[[str], str]] = {"image": admit_picture}

#: The door that takes all the photos of a dataset at once.
ARCHIVE = "archive"


def admit(tool: Tool, params: Params, proved: Collection[str] = ()) -> Params:
    """Let the files in that the params name; from here on they are addresses in our bucket.

    Args:
        tool: Whose params they are.
        params: All that it is told.
        proved: Addresses that jobs of ours handed on: those were proved when their jobs ended.
    """
    given = {name: getattr(params, name) for name in params.model_fields_set}
    return params.model_copy(update=let_in(tool, given, proved))


def let_in(tool: Tool, given: Mapping[str, Any], proved: Collection[str] = ()) -> dict[str, Any]:
    """Let the files in that plain values name: the values of those fields, and what a dataset makes of gaps."""
    found: dict[str, Any] = {}
    for name, kind in tool.takes.items():
        if kind.door == ARCHIVE and given.get(name):
            admitted = admit_dataset(given[name], given.get("trigger_word"))
            found |= {**tune(admitted.manifest, given), name: admitted.address}
        elif kind.door and given.get(name):
            found[name] = pass_through(DOORS[kind.door], given[name], proved)
    return found


def pass_through(door: Callable[[str], str], value: Any, proved: Collection[str]) -> Any:
    """Let one address in, or each of a list."""
    if isinstance(value, list):
        return [pass_through(door, each, proved) for each in value]
    return value if value in proved else door(value)
