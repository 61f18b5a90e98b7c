"""What a handler is given: its files, its folder, and somebody to report to."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.errors import Cancelled
from tools.outcome import Note

#: Hears of progress: (fraction from 0 to 1, stage).
Report = Callable[[float, str], None]

#: Brings the file at an r2:// address to a path, and returns that path.
Fetch = Callable[[str, Path], Path]

#: Seconds between two reports of one stage.
REPORT_EVERY_S = 1.0


class Work:
    """One attempt, as its handler sees it."""

    def __init__(
        self,
        folder: Path,
        fetch: Fetch,
        report: Report,
        stop: threading.Event,
        found: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        #: A folder of its own, which is gone when the attempt has ended.
        self.folder = folder
        #: Set when nobody wants the result any more.
        self.stop = stop
        #: What the ids in the params stand for, such as found["model_id"]["model_string"].
        self.found = found or {}
        #: Seconds that it may take in all; None = as long as its tool may.
        self.timeout_s = timeout_s
        self.warnings: list[Note] = []
        self.facts: dict[str, Any] = {}
        #: Files to be stored beside the one that is returned, by what they are.
        self.extras: dict[str, Path] = {}
        #: Keys in the bucket that nobody needs any more once the outcome is kept.
        self.spent: list[str] = []
        self._fetch = fetch
        self._report = report
        self._fetched = 0
        self._fraction = 0.0
        self._turn = (0, 1)
        self._stage = ""
        self._told_at = 0.0

    def fetch(self, r2: str) -> Path:
        """Bring the file at an r2:// address into the folder. Raises Cancelled when the work is to stop."""
        self._check()
        self._fetched += 1
        return self._fetch(r2, self.folder / f"input-{self._fetched}")

    def turn(self, n: int, count: int) -> None:
        """Begin the n-th of so many files: progress goes on from there."""
        self._turn = (n, count)

    def report(self, fraction: float, stage: str) -> None:
        """Say how far the work is: never less than before. Raises Cancelled when it is to stop."""
        self._check()
        n, count = self._turn
        self._fraction = max(self._fraction, (n + min(fraction, 1.0)) / count)
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= REPORT_EVERY_S:
            self._stage, self._told_at = stage, now
            self._report(self._fraction, stage)

    def warn(self, code: str, message: str, pointer: str | None = None) -> None:
        """Tell the caller something about an otherwise good result, once; `pointer` is the param's name."""
        note = Note(code=code, message=message, pointer=f"/{pointer}" if pointer else None)
        self.warnings += [note] if note not in self.warnings else []

    def confess(self, *names: str) -> None:
        """Own up to params that do nothing here."""
        for name in names:
            self.warn("no_effect", f"{name} has no effect in the preview engine.", name)

    def note(self, **facts: Any) -> None:
        """Keep facts (JSON) that go with the file."""
        self.facts |= facts

    def keep(self, name: str, path: Path) -> None:
        """Keep a further file (PNG or JSON) beside the one that is returned."""
        self.extras[name] = path

    def _check(self) -> None:
        if self.stop.is_set():
            raise Cancelled
