"""Datasets: what photos become before a model is trained on them. Clean, upright, each once, each with its words."""

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from PIL import Image

from storage.appraisal import LOOKED_AT_PX, SHARP, alike, fingerprint, sharpness
from storage.pictures import develop, encode
from tools.captions import caption
from tools.dataset import LARGEST_PX, LEAST, SMALLEST_PX, LeftOut, Manifest, Photo, TooFewPhotos
from tools.errors import NotAnImage, TooLarge

MAX_CLEAN_BYTES = 2 * 2**30
NOTHING_NEWER = (1980, 1, 1, 0, 0, 0)  # the first day of zip time: the same photos make the same bytes

#: Its part of a dataset's zip.
MANIFEST = "manifest.json"

#: Photos left out that a sentence names.
NAMED = 5


@dataclass(frozen=True)
class Given:
    """A photo as it came: what its sender calls it, its bytes, and its caption if it has one."""

    source: str
    data: bytes
    caption: str | None = None


@dataclass(frozen=True)
class Print:
    """A photo that may be used: its number, its files on disk, its pixels in number, and what tells it from others."""

    number: int
    source: str
    caption: str | None
    path: Path
    cutout: Path | None
    size: tuple[int, int]
    mark: Image.Image


class Unfit(Exception):
    """A photo cannot be used, for the reason that is said."""


def prepare(
    given: Iterable[Given], target: Path, trigger_word: str | None = None, *, before: Iterable[LeftOut] = (),
    max_bytes: int = MAX_CLEAN_BYTES,
) -> Manifest:  # fmt: skip
    """Write a dataset: `images/0001.png` (RGB), `images/0001.txt` with the trigger word in it, and `manifest.json`.

    The same photos always make the same bytes.

    Args:
        given: The photos as they came.
        target: The zip to write.
        trigger_word: The word for every caption; None if it is not known yet.
        before: What was left out of them already.
        max_bytes: The most that the photos may need as PNG.

    Raises:
        TooFewPhotos: names those that cannot be used, and why.
        TooLarge: the photos need more room than that.
    """
    with TemporaryDirectory(prefix="packshot-") as folder:
        prints, unfit = appraise(given, Path(folder), max_bytes)
        kept, twins = set_apart(prints)
        left_out = (*before, *(one for _, one in sorted([*unfit, *twins], key=lambda each: each[0])))
        check_enough(kept, left_out)
        return pack(kept, left_out, target, trigger_word)


def appraise(
    given: Iterable[Given], folder: Path, max_bytes: int
) -> tuple[list[Print], list[tuple[int, LeftOut]]]:  # fmt: skip
    """Put the photos that may be used on disk, as PNG; and say of the others why not."""
    prints, unfit, size = [], [], 0
    for number, one in enumerate(given):
        try:
            prints.append(develop_one(number, one, folder))
        except Unfit as error:
            unfit.append((number, LeftOut(source=one.source, reason=str(error))))
            continue
        size += sum(path.stat().st_size for path in (prints[-1].path, prints[-1].cutout) if path)
        if size > max_bytes:
            raise TooLarge(f"As PNG the photos need more than {max_bytes / 2**30:.2g} GB: send fewer or smaller ones.")
    return prints, unfit


def develop_one(number: int, given: Given, folder: Path) -> Print:
    """Put one photo on disk, and a second time with its transparency if it has some. Raises Unfit."""
    try:
        image, _ = develop(given.data, LARGEST_PX)
    except (NotAnImage, TooLarge) as error:
        raise Unfit(error.detail) from error
    flat = flatten(image)
    check_fit(flat)
    path, cutout = folder / f"{number}.png", None
    path.write_bytes(encode(flat))
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        cutout = folder / f"{number}.cutout"
        cutout.write_bytes(encode(image))
    return Print(number, given.source, given.caption, path, cutout, flat.size, fingerprint(flat))


def flatten(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white: what lies under its transparency is nobody's business, and any colour."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def check_fit(image: Image.Image) -> None:
    """Refuse a photo that teaches nothing. Raises Unfit."""
    if min(image.size) < SMALLEST_PX:
        raise Unfit(
            f"It is {image.width}x{image.height} pixels: send it with {SMALLEST_PX} or more on its shorter side."
        )
    if sharpness(image) < SHARP:
        raise Unfit(f"It is blurred, also at {LOOKED_AT_PX} pixels: send one where the product is sharp.")


def set_apart(prints: list[Print]) -> tuple[list[Print], list[tuple[int, LeftOut]]]:
    """Keep of photos that show the same the largest, with the words of the first that has some."""
    kept: list[Print] = []
    twins: list[tuple[int, LeftOut]] = []
    for one in sorted(prints, key=lambda each: -each.size[0] * each.size[1]):
        same = next((n for n, other in enumerate(kept) if alike(one.mark, other.mark)), None)
        if same is None:
            kept.append(one)
            continue
        reason = f"It shows the same as {quote(kept[same].source)}, which is as large or larger: one is enough."
        twins.append((one.number, LeftOut(source=one.source, reason=reason)))
        kept[same] = replace(kept[same], caption=kept[same].caption or one.caption)
    return sorted(kept, key=lambda each: each.number), twins


def check_enough(kept: list[Print], left_out: tuple[LeftOut, ...]) -> None:
    """Refuse what is too little to learn from, before anybody pays for it. Raises TooFewPhotos."""
    if len(kept) >= LEAST:
        return
    total = len(kept) + len(left_out)
    why = "".join(f" {quote(one.source)}: {one.reason}" for one in left_out[:NAMED])
    more = f" And {len(left_out) - NAMED} more." if len(left_out) > NAMED else ""
    detail = f"{len(kept)} of {total} photos can be used, and at least {LEAST} are needed.{why}{more}"
    listed = [one.model_dump() for one in left_out]
    raise TooFewPhotos(f"images: {detail}", {**TooFewPhotos.at("images", detail).details, "left_out": listed})


def quote(source: str) -> str:
    """Quote a name so that it is safe to print."""
    return ascii(source[:80])


def pack(kept: list[Print], left_out: tuple[LeftOut, ...], target: Path, trigger_word: str | None) -> Manifest:
    """Write the zip."""
    with ZipFile(target, "w", ZIP_STORED) as out:
        images = tuple(pack_one(out, n, one, trigger_word) for n, one in enumerate(kept, start=1))
        manifest = Manifest(images=images, left_out=left_out, trigger_word=trigger_word)
        out.writestr(fresh(MANIFEST), manifest.model_dump_json(indent=1))
    return manifest


def pack_one(out: ZipFile, n: int, one: Print, trigger_word: str | None) -> Photo:
    """Write one photo and what belongs to it."""
    name, png = f"images/{n:04}", one.path.read_bytes()
    words = (one.caption or "") if trigger_word is None else caption(one.caption, trigger_word)
    out.writestr(fresh(f"{name}.png"), png)
    out.writestr(fresh(f"{name}.txt"), words)
    if one.cutout:
        out.writestr(fresh(f"{name}.cutout"), one.cutout.read_bytes())
    return Photo(
        name=f"{name}.png", source=one.source, width=one.size[0], height=one.size[1],
        sha256=hashlib.sha256(png).hexdigest(), caption=words, given=one.caption,
        cutout=f"{name}.cutout" if one.cutout else None,
    )  # fmt: skip


def fresh(name: str) -> ZipInfo:
    """Describe an entry in the same words on every machine and day."""
    info = ZipInfo(name, NOTHING_NEWER)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info
