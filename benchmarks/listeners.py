"""Hold many streams on one API process while jobs go on and others poll, and write `var/listeners/latest.json`."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from typing import Any
from uuid import UUID

from benchmarks import ears, polling, report, stack
from benchmarks.report import Figure
from tests.town import children_of


@dataclass(frozen=True)
class Size:
    """How many listen, to how many jobs, and what goes on meanwhile, each second."""

    listeners: int = 300
    jobs: int = 100
    polls: float = 50
    events: float = 30
    seconds: float = 20
    rounds: int = 3


@dataclass
class Found:
    """What was seen, with listeners or without."""

    answers: list[tuple[int, float]] = field(default_factory=list)
    #: Seconds of the API's processor.
    spent_s: float = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    #: Bytes and threads that one more listener costs.
    bytes_each: float = 0
    threads: int = 0

    @property
    def p95_ms(self) -> float:
        """The time in which nineteen of twenty polls are answered."""
        return quantiles([took_s for _, took_s in self.answers], n=20)[-1] * 1000


def measure(port: int, api: int, size: Size) -> list[Figure]:
    """Measure an API process, in turns with nobody and with all who listen."""
    without, full = Found(), Found()
    for n in range(size.rounds):
        go_round(port, api, size, without, listeners=0)
        # The first come one by one, so that it is seen what each costs; those after them all at one moment.
        go_round(port, api, size, full, listeners=size.listeners, at_once=size.listeners if n else 1)
    return list(tell(size, without, full))


def go_round(port: int, api: int, size: Size, found: Found, *, listeners: int, at_once: int = 1) -> None:
    """Let jobs go on, and callers poll; and some listen, until their jobs have ended."""
    from tests.db import rows  # noqa: PLC0415 - the environment must name the database first

    jobs = [rows.accept() for _ in range(size.jobs)]
    paths = [f"/api/jobs/{jobs[n % len(jobs)]}/events" for n in range(listeners)]
    before = look(api)
    listening = ears.start(port, paths, at_once=at_once) if paths else None
    after = look(api)
    with going_on(jobs, size.events):
        began = spent(api)
        found.answers += polling.finish(
            polling.start(port, f"/api/jobs/{jobs[0]}", rate=size.polls, seconds=size.seconds)
        )
        found.spent_s += spent(api) - began
    if listening:
        if at_once == 1:
            found.bytes_each, found.threads = (after[0] - before[0]) / listeners, after[1] - before[1]
        found.heard += ears.finish(listening)


@contextmanager
def going_on(jobs: list[UUID], rate: float) -> Iterator[None]:
    """Let so many events happen each second, to the jobs in turn; in the end, end the jobs."""
    over = Event()
    writer = Thread(target=go_on, args=(jobs, rate, over))
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def go_on(jobs: list[UUID], rate: float, over: Event) -> None:
    """Start the jobs, tell of them in turn, and end them."""
    from db import attempts  # noqa: PLC0415 - the environment must name the database first
    from tests.db import rows  # noqa: PLC0415 - the same

    running = cycle([(n, rows.start(job_id)) for n, job_id in enumerate(jobs)])
    at = time.monotonic()
    for step, (_, attempt_id) in enumerate(running):
        at += 1 / rate
        if over.wait(max(0.0, at - time.monotonic())):
            break
        attempts.beat(attempt_id, 0.5, f"step {step}")
    for job_id in jobs:
        rows.end(job_id, "completed", {"success": True})


def look(pid: int) -> tuple[int, int]:
    """Tell how many bytes and threads a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/task").iterdir()))


def spent(pid: int) -> float:
    """Tell the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count_errors(heard: list[dict[str, Any]]) -> int:
    """Count the listeners who did not hear all that happened to their job, once, in order and to its end."""
    from db import events  # noqa: PLC0415 - the environment must name the database first

    known: dict[str, list[int]] = {}
    for path in {one["path"] for one in heard}:
        job_id = UUID(path.split("/")[3])
        known[path] = [each["id"] for each in events.read_jobs({job_id: 0}, most=10_000)[job_id]]
    return sum(
        not one["ended"] or one["ids"] != [number for number in known[one["path"]] if number > one["since"]]
        for one in heard
    )


def tell(size: Size, without: Found, full: Found) -> Iterator[Figure]:
    """Tell what was found."""
    late_s = quantiles([late for one in full.heard for late in one["late_s"]], n=20)
    yield Figure("listeners at once", size.listeners)
    yield Figure("listeners who missed something, heard it twice or were cut off", count_errors(full.heard), "", "<= 0")
    yield Figure("frames heard", sum(len(one["ids"]) for one in full.heard))
    yield Figure("polls that failed", sum(status != 200 for status, _ in without.answers + full.answers), "", "<= 0")
    yield Figure("polls", len(without.answers + full.answers))
    yield Figure("poll p95, with listeners ÷ without", full.p95_ms / without.p95_ms, "ratio")
    yield Figure("poll p95, with listeners", full.p95_ms, "ms")
    yield Figure("poll p95, without", without.p95_ms, "ms")
    yield Figure("processor time of the API, with listeners ÷ without", full.spent_s / without.spent_s, "ratio")
    yield Figure("memory of a listener", full.bytes_each / 1024, "KiB")
    yield Figure("threads that all listeners take", full.threads, "", "<= 6")
    yield Figure("written to heard, median", late_s[9] * 1000, "ms")
    yield Figure("written to heard, p95", late_s[-1] * 1000, "ms")


def main() -> None:
    """Measure on servers of our own."""
    size = Size(listeners=int(os.environ.get("N") or Size.listeners))
    with stack.servers() as logs, stack.processes(logs, "listeners") as starter:
        port = stack.serve(starter, "benchmarks.ours:create_app()")
        (api,) = children_of(starter.started[-1].popen.pid)
        figures = measure(port, api, size)
    path = report.write("listeners", figures)
    print(report.table(figures))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
