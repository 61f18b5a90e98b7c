"""A stream on its way in, put on disk and hashed as it comes."""

import hashlib
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.space import roomy
from tools.errors import TooLarge

CHUNK_BYTES = 256 * 1024


class Readable(Protocol):
    """What can be read from: a request body, a form part, an open file."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102  # as everywhere in Python


@dataclass(frozen=True)
class Spooled:
    """A stream that came in whole: where it lies, its sha256 in hex, its size in bytes."""

    path: Path
    sha256: str
    size: int


@contextmanager
def spool(stream: Readable, max_bytes: int) -> Generator[Spooled]:
    """Keep a stream in a temporary file for as long as the block lasts; TooLarge as soon as it passes `max_bytes`."""
    with roomy(), tempfile.NamedTemporaryFile(prefix="packshot-") as file:
        digest, size = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge(f"The upload is larger than {max_bytes // 2**20} MB: send a smaller file.")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        yield Spooled(Path(file.name), digest.hexdigest(), size)
