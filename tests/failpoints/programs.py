"""Our programs with the points in them, each by a fork of one process that has loaded them all.

A program that is killed is there again in a moment, and costs no two seconds of imports; it is a process of its own all
the same. `{"role", "arguments", "env", "log"}` comes as a line of JSON, and the process id goes back.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gunicorn.app import wsgiapp  # type: ignore[import-untyped]  # it has no types

from api import app as api  # noqa: F401 - gunicorn asks for it by name
from gpu_handlers import entry
from settings import settings
from tasks import watch
from tests.failpoints import deeds, ledger, points
from tests.rig import app


def main() -> None:
    """Start programs until nobody asks for more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    for line in sys.stdin:
        told = json.loads(line)
        process = os.fork()
        if process == 0:
            begin(told)
            return
        print(process, flush=True)


def begin(told: dict[str, Any]) -> None:
    """Be one of the programs, until it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        os.dup2(os.open(path, flags, 0o600), number)
    os.dup2(1, 2)
    os.environ.update(told["env"])
    settings.cache_clear()
    points.install()
    if told["role"] in {"gpu", "far"}:
        ledger.install()
    PROGRAMS[told["role"]](told["arguments"])


def work(arguments: Sequence[str]) -> None:
    """Be a Celery worker."""
    app.worker_main(["worker", *arguments])


def serve(arguments: Sequence[str]) -> None:
    """Be the API under gunicorn."""
    sys.argv = ["gunicorn", *arguments]
    wsgiapp.run()


def send(_: Sequence[str]) -> None:
    """Be a client."""
    logging.basicConfig(level="INFO")
    deeds.serve(Path(os.environ[points.FOLDER], "asks"))


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    "main": work, "gpu": work, "watch": lambda _: watch.main(), "api": serve, "far": lambda _: entry.main(),
    "client": send,
}  # fmt: skip


if __name__ == "__main__":
    main()
