"""How well datasets are told apart: a photo that we have from another one, and a blurred one from a sharp one.

The thresholds of `storage/appraisal.py` were chosen on the photos and the first portraits; the further ones were only
looked at afterwards.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFilter
from skimage import data
from sklearn import datasets

from benchmarks import portraits, report
from benchmarks.report import Figure
from storage.appraisal import ALIKE, SHARP, differ, fingerprint, sharpness

Photo = Image.Image
Change = Callable[[Photo], Photo]

#: Photos, and a few pictures by other instruments. The clock is left out: it is a photo of a moving clock.
SHIPPED = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png",
    "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip


#: Portraits that the choice knew, and as many that it did not.
PAINTED = 40


def take_photos() -> Iterator[Photo]:
    """Open the photos: eight views of one bag, and what ships with scikit-image and scikit-learn."""
    shelf, other = Path(data.__file__).parent, Path(datasets.__file__).parent / "images"
    paths = [*portraits.PHOTOS, *(shelf / name for name in SHIPPED), *sorted(other.glob("*.jpg"))]
    yield from (Image.open(path).convert("RGB") for path in paths if path.exists())


def encode(quality: int) -> Change:
    """Encode as JPEG."""

    def change(photo: Photo) -> Photo:
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=quality)
        return Image.open(out).convert("RGB")

    return change


def scale(factor: float) -> Change:
    """Enlarge or shrink."""
    return lambda photo: photo.resize((round(photo.width * factor), round(photo.height * factor)))


def light(factor: float) -> Change:
    """Make lighter or darker."""
    return lambda photo: photo.point(lambda value: min(255, round(value * factor)))


def crop(share: float) -> Change:
    """Cut off so much at each side."""

    def change(photo: Photo) -> Photo:
        across, down = round(photo.width * share), round(photo.height * share)
        return photo.crop((across, down, photo.width - across, photo.height - down))

    return change


def soften(sigma: float) -> Change:
    """Blur evenly."""
    return lambda photo: photo.filter(ImageFilter.GaussianBlur(sigma))


def smear(length: int, *, down: bool = False) -> Change:
    """Blur as a hand does that moves."""
    kernel = np.full((length, 1) if down else (1, length), 1 / length, np.float32)
    return lambda photo: Image.fromarray(np.asarray(cv2.filter2D(np.asarray(photo), -1, kernel), np.uint8))


def defocus(radius: int) -> Change:
    """Blur as a lens does that is set to another distance."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x**2 + y**2 <= radius**2).astype(np.float32)
    return lambda photo: Image.fromarray(np.asarray(cv2.filter2D(np.asarray(photo), -1, disc / disc.sum()), np.uint8))


def enlarge(factor: int) -> Change:
    """Make a thumbnail large again."""
    return lambda photo: photo.resize((photo.width // factor, photo.height // factor)).resize(
        photo.size, Image.Resampling.BICUBIC
    )


def grain(strength: float) -> Change:
    """Add the noise of a dark room."""

    def change(photo: Photo) -> Photo:
        noise = strength * np.random.default_rng(0).standard_normal((photo.height, photo.width, 3))
        return Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))

    return change


def both(first: Change, then: Change) -> Change:
    """Change twice."""
    return lambda photo: then(first(photo))


#: What is still the same photo, and what is nearly another one: shown, and promised nothing of.
SAME: Mapping[str, Change] = {
    "JPEG 40": encode(40), "halved": scale(0.5), "quarter, JPEG 60": both(scale(0.25), encode(60)), "doubled": scale(2),
    "lighter": light(1.15), "darker": light(0.85), "grey": lambda photo: photo.convert("L").convert("RGB"),
}  # fmt: skip
CROPPED: Mapping[str, Change] = {"cropped by 1 %": crop(0.01), "cropped by 4 %": crop(0.04)}

#: What does no harm to sharpness, and what ruins it.
SOUND: Mapping[str, Change] = {
    "as it is": lambda photo: photo, "JPEG 60": encode(60), "halved": scale(0.5), "noise 4": grain(4),
}  # fmt: skip
BLURRED: Mapping[str, Change] = {
    "blur 2": soften(2), "blur 3": soften(3), "blur 5": soften(5), "blur 3, noise 4": both(soften(3), grain(4)),
    "blur 3, JPEG 60": both(soften(3), encode(60)), "moved 9": smear(9), "moved 15": smear(15),
    "moved 9 down": smear(9, down=True), "defocus 4": defocus(4), "defocus 6": defocus(6), "thumbnail ×4": enlarge(4),
    "thumbnail ×6": enlarge(6),
}  # fmt: skip
#: In between: shown, and promised nothing of.
SOFT: Mapping[str, Change] = {"blur 0.7": soften(0.7), "blur 1": soften(1), "blur 1.5": soften(1.5)}


def hash_bits(photo: Photo) -> int:
    """Hash a photo as others do: which of neighbouring greys is the lighter one, across and down, in 128 bits."""
    bits = ""
    for size, step in (((9, 8), (0, 1)), ((8, 9), (1, 0))):
        grey = np.asarray(photo.convert("L").resize(size, Image.Resampling.LANCZOS), np.int16)
        shifted = grey[step[0] :, step[1] :]
        bits += "".join(str(int(bit)) for bit in (grey[: shifted.shape[0], : shifted.shape[1]] < shifted).ravel())
    return int(bits, 2)


def judge_hash(photos: list[Photo]) -> Iterator[Figure]:
    """Measure what a hash would tell apart, for comparison."""
    hashes = [hash_bits(photo) for photo in photos]
    yield Figure("by dHash, two photos: nearest", min((a ^ b).bit_count() for a, b in combinations(hashes, 2)), "bits")
    for name, change in SAME.items():
        gone = [(one ^ hash_bits(change(photo))).bit_count() for one, photo in zip(hashes, photos, strict=True)]
        yield Figure(f"by dHash, {name}: furthest", max(gone), "bits")


def judge_likeness(photos: list[Photo]) -> Iterator[Figure]:
    """Hold all photos against each other and against their own copies."""
    prints = [fingerprint(photo) for photo in photos]
    apart = [differ(one, other) for one, other in combinations(prints, 2)]
    yield Figure("two photos: nearest", min(apart))
    yield Figure("two photos: taken for one", sum(each <= ALIKE for each in apart) / len(apart), "", "<= 0")
    found = []
    for name, change in {**SAME, **CROPPED}.items():
        gone = [differ(one, fingerprint(change(photo))) for one, photo in zip(prints, photos, strict=True)]
        found += gone if name in SAME else []
        yield Figure(f"{name}: furthest", max(gone))
        yield Figure(f"{name}: found", sum(each <= ALIKE for each in gone) / len(gone))
    yield Figure("copies: found", sum(each <= ALIKE for each in found) / len(found), "", ">= 0.95")


def judge_sharpness(photos: list[Photo], whose: str, wrong: float = 0) -> Iterator[Figure]:
    """Measure sound and blurred photos; so large a part of the sound ones may be called blurred."""
    for kinds, all_, reach in (
        (SOUND, "sound: called blurred", f"<= {wrong}"),
        (BLURRED, "blurred: found", ">= 0.9"),
        (SOFT, "", ""),
    ):
        found = []
        for name, change in kinds.items():
            measured = [sharpness(change(photo)) for photo in photos]
            found += measured
            edge = min(measured) if kinds is SOUND else max(measured)
            yield Figure(f"{whose}, {name}: {'least' if kinds is SOUND else 'most'} sharp", edge)
            yield Figure(f"{whose}, {name}: called blurred", sum(each < SHARP for each in measured) / len(measured))
        if all_:
            yield Figure(f"{whose}, {all_}", sum(each < SHARP for each in found) / len(found), "", reach)


def main() -> None:
    """Measure it, and write it down."""
    photos = list(take_photos())
    painted = [Image.fromarray(each.image) for each in portraits.take(2 * PAINTED)]
    known, unknown = painted[:PAINTED], painted[PAINTED:]
    figures = [
        *judge_hash(photos), *judge_likeness(photos), *judge_sharpness(photos, f"{len(photos)} photos"),
        *judge_sharpness(known, f"{PAINTED} portraits"),
        *judge_sharpness(unknown, f"{PAINTED} unknown portraits", wrong=0.05),
    ]  # fmt: skip
    report.write("photos", figures)
    print(report.table(figures))


if __name__ == "__main__":
    main()
