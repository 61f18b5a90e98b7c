"""LoRAs beside ComfyUI: fetched once under their own hash, checked against the base, the least used let go."""

import hashlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpu_handlers.comfyui import fit
from gpu_handlers.comfyui.disk import Disk
from gpu_handlers.work import Work
from settings import settings
from storage.address import parse
from storage.bucket import bucket
from tools.errors import FileNotFound, HandlerFailed

logger = logging.getLogger(__name__)

#: Our folder among ComfyUI's LoRAs: those of others are never touched.
OURS = "packshot"

#: Seconds for which a used LoRA stays, whatever the budget: a job that waits in the queue has still to load it.
IN_USE_S = 3600.0


def keep(r2: str, disk: Disk, base: str, work: Work) -> str:
    """Have the LoRA at an r2:// address beside ComfyUI; returns what LoraLoader calls it.

    ComfyUI reads a name once and then believes it, so the name is the hash of the content. Raises InvalidInput for a
    file that would do nothing to the base model, which ComfyUI would not say.
    """
    folder = disk.loras / OURS
    if not disk.loras.is_dir():
        raise HandlerFailed(f"ComfyUI's folder {disk.loras} is not on this machine: run the handler beside ComfyUI.")
    digest = known_digest(r2)
    path = folder / f"{digest}.safetensors"
    if not path.is_file():
        work.report(0.02, "fetching the model")
        path = bring(r2, folder, digest, fit.find_base(disk.bases, base), work)
    with suppress(OSError):
        os.utime(path)  # the mark of use that `make_room` goes by
    return f"{OURS}/{path.name}"


def known_digest(r2: str) -> str:
    """Ask the bucket for the hash of a file: its address may be given to another content later."""
    stored = bucket().head(parse(r2).key)
    if stored is None:
        raise FileNotFound(f"There is no file at {r2}: train the model again.")
    return stored.sha256 or ""


def bring(r2: str, folder: Path, digest: str, base: fit.Header | None, work: Work) -> Path:
    """Fetch, prove and check a LoRA, then let ComfyUI see it: at once and whole, under its final name."""
    fetched = work.fetch(r2)
    with fetched.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if digest and found != digest:
        raise HandlerFailed(f"The file at {r2} came with another content than the bucket says: try again.")
    fit.check(fit.read_header(fetched), base)
    folder.mkdir(exist_ok=True)
    make_room(folder, fetched.stat().st_size, settings().lora_cache_bytes)
    path = folder / f"{found}.safetensors"
    with unfinished(folder) as copy:
        shutil.copyfile(fetched, copy)
        copy.replace(path)
    return path


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Name a file that ComfyUI does not take for a LoRA yet, and that does not stay if it comes to nothing."""
    path = folder / f"{uuid.uuid4().hex}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def make_room(folder: Path, size: int, budget: int) -> None:
    """Delete the LoRAs that were not used for longest, until `size` more bytes fit the budget; those in use stay."""
    idle = [(path, about) for path, about in look(folder) if time.time() - about.st_mtime > IN_USE_S]
    spare = size + sum(about.st_size for _, about in look(folder)) - budget
    for path, about in sorted(idle, key=lambda pair: (pair[0].suffix != ".part", pair[1].st_mtime)):
        if path.suffix == ".part" or spare > 0:  # the first are of processes that were killed
            spare -= about.st_size
            path.unlink(missing_ok=True)
            logger.info("let go of %s", path.name)


def look(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """List what is kept; another process may be letting go of some of it."""
    found = []
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.part")]:
        with suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found
