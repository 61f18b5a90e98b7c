"""One attempt at a job, from JSON to a stored and proven file."""

import importlib
import logging
import mimetypes
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpu_handlers.patience import insist
from gpu_handlers.proof import prove
from gpu_handlers.work import Report, Work
from settings import settings
from storage.address import ours, parse
from storage.bucket import BUDGET_S, bucket
from storage.space import is_full
from tools import catalog
from tools.contract import LARGEST_SEED, Params, Tool
from tools.errors import DiskFull, HandlerFailed, OutOfMemory, StorageFailed, ToolError
from tools.outcome import Outcome, StoredFile

logger = logging.getLogger(__name__)

#: Makes one file in the work's folder.
Run = Callable[[Params, Work], Path]

#: Writes down what an attempt came to; True if that will outlive this process.
Keep = Callable[[Outcome], bool]


def run_attempt(task: Mapping[str, Any], *, report: Report, stop: threading.Event, keep: Keep) -> Outcome:
    """Do a tool once; whatever goes wrong is in the outcome.

    Args:
        task: `job_id`, `attempt_id`, `tool`, `params` (JSON), `found`: what the ids in the params stand for, and
            `timeout_s`, if it may not take as long as its tool may.
        report: Hears of progress, at most once a second while a stage lasts.
        stop: Set it to end the attempt; the outcome is then the error `cancelled`.
        keep: Hears of the outcome. Only once that is kept does what the attempt could have gone on from go.
    """
    began = time.monotonic()
    outcome: dict[str, Any] = {"engine": settings().engine}
    spent: list[str] = []
    try:
        outcome |= attempt(task, report, stop, spent)
    except ToolError as error:
        outcome["error"] = error.problem()
    except Exception as error:
        logger.exception("handler failed", extra={"job_id": task.get("job_id"), "attempt_id": task.get("attempt_id")})
        outcome["error"] = failure(error).problem()
    done = Outcome(seconds=round(time.monotonic() - began, 3), **outcome)
    if keep(done):
        forget(spent)
    return done


def attempt(task: Mapping[str, Any], report: Report, stop: threading.Event, spent: list[str]) -> dict[str, Any]:
    """Run the handler in a folder of its own; prove and store what it made, and say what is `spent` by then."""
    tool = catalog.find(task["tool"])
    params = tool.check(task["params"]).settle()
    run = find_handler(tool, settings().engine)
    with tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        fetch, found = partial(download, stop), task.get("found")
        work = Work(Path(folder), fetch, report, stop, found, timeout_s=task.get("timeout_s"))
        work.report(0.0, "loading")
        path = make(run, tool, params, work)
        work.report(0.97, "uploading")
        extras = {
            name: store(extra, f"{tool.prefix}{task['attempt_id']}.{name}{extra.suffix}", stop)
            for name, extra in work.extras.items()
        }
        file = store(path, f"{tool.prefix}{task['attempt_id']}{tool.suffix}", stop)
        spent += work.spent
    used = params.model_dump(mode="json")
    return {"params": used, "file": file, "extras": extras, "facts": work.facts, "warnings": work.warnings}


def make(run: Run, tool: Tool, params: Params, work: Work) -> Path:
    """Make the file, and prove it; of several, each with the seed after the last, the others are kept beside it."""
    count, made = getattr(params, "count", 1), []
    for n, one in enumerate(vary(params, count)):
        work.turn(n, count)
        path = run(one, work)
        work.report(0.95, "verifying")
        prove(path, tool.suffix, one)
        made.append(path.rename(path.with_name(f"{n + 1}-{path.name}")))
    for n, path in enumerate(made[1:], 2):
        work.keep(f"image_{n}", path)
    return made[0]


def vary(params: Params, count: int) -> Iterator[Params]:
    """Give the params of each of several files."""
    for n in range(count):
        yield params if n == 0 else params.model_copy(update={"seed": next_seed(params, n)})


def next_seed(params: Params, n: int) -> int:
    """Count seeds on; after the largest comes 0."""
    return int((getattr(params, "seed", 0) + n) % (LARGEST_SEED + 1))


def find_handler(tool: Tool, engine: str) -> Run:
    """Import the code that does a tool, and nothing else."""
    try:
        module = importlib.import_module(f"gpu_handlers.{tool.name}.{engine}")
    except ModuleNotFoundError as missing:
        name = missing.name or ""
        if name.startswith("gpu_handlers."):
            raise ToolError(f"There is no {engine} engine for {tool.name} here: set ENGINE to another one.") from None
        extra = "train" if (tool.name, engine) == ("train", "gpu") else engine
        advice = f"pip install 'packshot[{extra}]'"
        raise ToolError(f"The {engine} engine of {tool.name} needs the package {name}: {advice}.") from None
    run: Run = module.run
    return run


def download(stop: threading.Event, r2: str, path: Path) -> Path:
    """Bring a file of ours to a path, with the patience of one call."""
    return insist(lambda: bucket().download(parse(r2).key, path), stop, BUDGET_S)


def store(path: Path, key: str, stop: threading.Event) -> StoredFile:
    """Put a file into the bucket, with patience."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    stored = insist(lambda: bucket().put(key, path, content_type=kind), stop)
    return StoredFile(r2_path=str(ours(key)), size=stored.size, sha256=str(stored.sha256))


def forget(keys: Iterable[str]) -> None:
    """Delete what is spent; a bucket that does not let us is no reason to lose what was made of it."""
    for key in keys:
        try:
            bucket().delete(key)
        except StorageFailed as error:
            logger.warning("%s stays in the bucket: %s", key, error)


def failure(error: Exception) -> ToolError:
    """Say it plainly: the traceback is in the log and not for the caller."""
    kind = type(error).__qualname__
    if is_full(error):
        return DiskFull("The disk of the worker is full: make room there, or ask for less, then try again.")
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":  # torch's, which is not imported here
        return OutOfMemory(details={"exception": kind, "text": str(error)[:500]})
    sentence = f"The handler failed, for a reason of its own ({kind}): try again, or with another picture."
    return HandlerFailed(sentence, {"exception": kind, "text": str(error)[:500]})
