"""Which handler ran when: written by the handlers' processes themselves, beside all our own tables."""

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from tests.failpoints import points
from tests.oracle import Run

Line = dict[str, Any]

#: Seconds between the end of a run and the death of its process before anything of it was kept.
SOON_S = 2.0


def install() -> None:
    """Let this process write down each run of a handler."""
    points.put("gpu_handlers.attempt:attempt", noted)


def noted(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what runs a handler: one that is killed leaves only its beginning."""

    @wraps(original)
    def run(task: Mapping[str, Any], *args: Any) -> Any:
        known = {"attempt_id": task["attempt_id"], "job_id": task["job_id"]}
        write(Path(os.environ[points.FOLDER]), word="began", **known)
        try:
            return original(task, *args)
        finally:
            write(Path(os.environ[points.FOLDER]), word="ended", **known)

    return run


def write(folder: Path, **line: Any) -> None:
    """Add a line, whole: `began` and `ended` of a run, `died`, `stood` and `went` of a process."""
    text = json.dumps({"pid": os.getpid(), "at": time.time(), **line}) + "\n"
    file = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, text.encode())
    os.close(file)


def read(folder: Path) -> list[Run]:
    """Read all runs."""
    path = folder / "ledger"
    lines: list[Line] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [make_run(line, lines[n + 1 :]) for n, line in enumerate(lines) if line["word"] == "began"]


def make_run(began: Line, later: list[Line]) -> Run:
    """Make a run of its first line and what its process did later."""
    own = [line for line in later if line["pid"] == began["pid"]]
    end = next((one for one in own if one["word"] == "died" or (one["word"] == "ended" and of_one(one, began))), None)
    stood = [line["at"] for line in own if line["word"] == "stood"]
    went = [line["at"] for line in own if line["word"] == "went"]
    still = tuple(zip(stood, [*went, *[float("inf")] * (len(stood) - len(went))], strict=True))
    died = bool(end and (end["word"] == "died" or died_with_it(own, end)))
    spans = tuple(span for span in still if not end or span[0] < end["at"])
    ended = end["at"] if end else None
    return Run(began["attempt_id"], began["job_id"], began["at"], ended, died=died, still=spans)


def died_with_it(own: list[Line], end: Line) -> bool:
    """Tell whether a process died just when a run of its had ended: nobody has heard of what that came to."""
    later = own[own.index(end) + 1 :]
    return bool(later) and later[0]["word"] == "died" and later[0]["at"] - end["at"] < SOON_S


def of_one(line: Line, other: Line) -> bool:
    """Tell whether two lines are of one run."""
    return bool(line["attempt_id"] == other["attempt_id"])
