"""The photos that the demo is about: those that we ship, or a folder of the user's own."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.entries import PICTURES
from storage.pictures import clean
from tools.dataset import LEAST
from tools.errors import InvalidInput, NotAnImage, TooLarge
from tools.train import TRAIN, Training

SHIPPED = Path(__file__).parent / "photos"

MOST = 20

#: What phones write, and Pillow cannot read.
UNREADABLE = {".heic", ".heif"}
HEIC = "HEIC, as iPhones write it, cannot be read here: save such photos as JPEG"


@dataclass(frozen=True)
class Product:
    """What the photos show. Each of them is a clean PNG, no larger than training looks at."""

    name: str
    trigger_word: str
    photos: Sequence[bytes]
    #: What is worth knowing of the folder they came from.
    remark: str = ""

    @property
    def reference(self) -> bytes:
        """What inpaint puts into the scene: a photo from the middle, as people walk around a product."""
        return self.photos[len(self.photos) // 2]


def shipped() -> Product:
    """Read the photos that come with us."""
    return Product("Red handbag", "TOK_HANDBAG", [read(path) for path in find(SHIPPED)])


def own(folder: Path, name: str | None) -> Product:
    """Read the photos in a folder. Raises InvalidInput, with a sentence, for what would fail later on."""
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}: name the one that your photos are in.")
    try:
        paths = find(folder)
        heic = [path for path in folder.iterdir() if path.suffix.lower() in UNREADABLE]
    except OSError as no:
        raise InvalidInput(f"{folder} cannot be read ({no.strerror}): mend that, or name another folder.") from no
    if len(paths) > MOST:
        raise InvalidInput(f"{folder} holds {len(paths)} photos: keep the best, {MOST} at most.")
    if len(paths) < LEAST:
        why = f" {HEIC}." if heic else ""
        held = f"only {len(paths)} photos" if paths else "no photo"
        raise InvalidInput(f"{folder} holds {held}: put {LEAST} to {MOST} PNG, JPEG or WebP files into it.{why}")
    named = (name or folder.resolve().name).encode(errors="replace").decode().strip() or "Product"
    word = trigger_word(named)
    TRAIN.check({"images": "r2://", "model_name": named, "trigger_word": word})
    remark = f"{len(heic)} HEIC left out. {HEIC}." if heic else ""
    return Product(named, word, [read(path) for path in paths], remark)


def find(folder: Path) -> list[Path]:
    """List the photos in a folder by their names; what begins with a dot is left over by a file manager."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.name[0] != "." and path.is_file()
    )


def read(path: Path) -> bytes:
    """Read a photo, upright, as small as training will make it: a phone's has twelve times the pixels."""
    try:
        return clean(path.read_bytes(), Training().resolution).png
    except OSError as no:
        raise InvalidInput(f"{path} cannot be read ({no.strerror}): mend that, or take it out of the folder.") from no
    except (NotAnImage, TooLarge) as problem:
        raise type(problem)(f"{path}: {problem.detail}") from problem


def trigger_word(name: str) -> str:
    """Derive a word that no language has: Tasche Müller gives TOK_TASCHE_MULLER."""
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return f"TOK_{re.sub('[^A-Z0-9]+', '_', letters.upper())[:60].strip('_') or 'PRODUCT'}"
