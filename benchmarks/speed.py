"""Our house against a bare peer, in turns: submits, polls, one job, a chain."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import load, stack
from benchmarks.report import Figure

ROUNDS = 5
LOAD_S = 4.0
JOBS, CHAINS, STEPS = 12, 5, 5
BODY = '{"seconds": 0}'


@dataclass
class Duel:
    """One measurement of both, in turns, so that a busy moment of the machine hits both."""

    ours: Callable[[], float]
    peer: Callable[[], float]
    found: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "peer": []})

    def fight(self, rounds: int) -> None:
        """Measure A B A B …; the first round warms up and is not counted."""
        for n in range(rounds + 1):
            for name, measure in (("ours", self.ours), ("peer", self.peer)):
                value = measure()
                if n:
                    self.found[name].append(value)

    def figures(self, what: str, unit: str, reach: str) -> list[Figure]:
        """Give the ratio of the medians, and both of them."""
        ours, peer = median(self.found["ours"]), median(self.found["peer"])
        return [
            Figure(f"{what}, ours ÷ bare", ours / peer, "ratio", reach),
            Figure(f"{what}, ours", ours, unit),
            Figure(f"{what}, bare", peer, unit),
        ]


def measure(logs: Path) -> list[Figure]:
    """Run both houses on the servers of the environment, and measure them."""
    with stack.processes(logs, "apis") as starter:
        ports = [stack.serve(starter, f"benchmarks.{name}:create_app()") for name in ("ours", "peer")]
        with stack.processes(logs, "workers") as workers:
            stack.live(workers)
            figures = [*measure_jobs(), *measure_polls(*ports)]
        return [*measure_submits(*ports), *figures]  # nobody works off what is submitted here


def measure_jobs() -> list[Figure]:
    """Measure from the sending to the result in hand, of one job and of a chain."""
    from celery import chain  # noqa: PLC0415 - the environment must name the broker first

    from benchmarks.peer import nothing  # noqa: PLC0415 - the same
    from tests.rig import nap  # noqa: PLC0415 - the same

    single = Duel(lambda: wait_for(nap.s), lambda: wait_for(nothing.s))
    single.fight(JOBS)
    many = Duel(
        lambda: wait_for(lambda: chain(*(nap.s() for _ in range(STEPS)))),
        lambda: wait_for(lambda: chain(*(nothing.s() for _ in range(STEPS)))),
    )
    many.fight(CHAINS)
    return [
        *single.figures("submit to completed", "s", "<= 12"),
        *many.figures(f"chain of {STEPS}", "s", "<= 12"),
    ]


def wait_for(make: Callable[[], Any]) -> float:
    """Send a canvas, wait for its result: seconds."""
    canvas, began = make(), time.perf_counter()
    canvas.apply_async().get(timeout=60)
    return time.perf_counter() - began


def measure_polls(ours: int, peer: int) -> list[Figure]:
    """Measure how often a finished job can be read per second."""
    from benchmarks.peer import nothing  # noqa: PLC0415 - the environment must name the broker first
    from tests.rig import nap  # noqa: PLC0415 - the same

    ids = [task.delay(seconds=0) for task in (nap, nothing)]
    for sent in ids:
        sent.get(timeout=60)
    duel = Duel(poller(ours, ids[0].id), poller(peer, ids[1].id))
    duel.fight(ROUNDS)
    return duel.figures("polls per second", "1/s", ">= 0.8")


def poller(port: int, job_id: str) -> Callable[[], float]:
    """Make what measures the polls of one job."""
    return lambda: load.measure(port, "GET", f"/api/jobs/{job_id}", seconds=LOAD_S, expect=200)


def measure_submits(ours: int, peer: int) -> list[Figure]:
    """Measure how many jobs are accepted per second."""
    duel = Duel(submitter(ours), submitter(peer))
    duel.fight(ROUNDS)
    return duel.figures("accepted submits per second", "1/s", ">= 0.5")


def submitter(port: int) -> Callable[[], float]:
    """Make what measures the submits."""
    return lambda: load.measure(port, "POST", "/api/nap/async", BODY, seconds=LOAD_S, expect=202)
