"""The house with one more tool, `nap`, and with tasks that are not ours: what tests and benchmarks run."""

import time
from typing import Any

from celery.local import Proxy

from tasks import run, watch  # noqa: F401 - run is what makes a task of each tool
from tasks.app import app
from tests.nap import DIARY, NAP
from tests.noop import NOOP

__all__ = ["DIARY", "NAP", "NOOP", "app", "fail", "nap", "note", "pass_on", "rest", "say"]

nap: Any = Proxy(lambda: app.tasks["tasks.nap"])


@app.task(name="foreign.pass_on")
def pass_on(*handed: Any) -> Any:
    """Hand on what comes, as any task of a user might."""
    return handed[0] if len(handed) == 1 else list(handed)


@app.task(name="foreign.fail")
def fail(*_: Any) -> None:
    """Fail, as any task of a user might."""
    raise ValueError("a task of yours failed")


@app.task(name="foreign.rest")
def rest(seconds: float) -> None:
    """Take its time in a worker, as a task of a user may and none of ours does."""
    time.sleep(seconds)


@app.task(name="foreign.say")
def say(*handed: Any, word: str) -> dict[str, str]:
    """Say a word and what came before, as our own tool noop does."""
    flat = [inner for each in handed for inner in (each if isinstance(each, list) else [each])]
    return {"word": "+".join([word, *(each["word"] for each in flat)])}


@app.task(name="foreign.note")
def note(*handed: Any, key: str) -> Any:
    """Write down in Redis that this ran, and with what."""
    client: Any = app.backend.client  # type: ignore[attr-defined]  # it is Redis
    client.rpush(key, repr(handed))
    return handed[0] if handed else None


if __name__ == "__main__":
    watch.main()
