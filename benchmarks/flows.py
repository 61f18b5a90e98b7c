"""A flow against a bare Celery canvas of the same shape, on the same servers, in turns."""

import time
from pathlib import Path
from typing import Any

import requests

from benchmarks import stack
from benchmarks.report import Figure
from benchmarks.speed import Duel, wait_for

STEPS, WIDE = 5, 200
LONG_ROUNDS, WIDE_ROUNDS = 5, 3
PATIENCE_S = 120


def measure(logs: Path) -> list[Figure]:
    """Run both houses, and measure a chain of steps and a wide fan with a join."""
    with stack.processes(logs, "flows") as starter:
        port = stack.serve(starter, "benchmarks.ours:create_app()")
        stack.live(starter)
        return [*measure_long(port), *measure_wide(port)]


def measure_long(port: int) -> list[Figure]:
    """Measure one step after the other: seconds from the sending to the result in hand."""
    from celery import chain  # noqa: PLC0415 - the environment must name the broker first

    from benchmarks.peer import nothing  # noqa: PLC0415 - the same

    first: list[dict[str, Any]] = [{"id": "s0", "tool": "noop", "with": {"word": "x"}}]
    steps = first + [step(f"s{n}", [f"s{n - 1}"]) for n in range(1, STEPS)]
    duel = Duel(
        lambda: run(port, steps), lambda: wait_for(lambda: chain(*(nothing.s() for _ in range(STEPS))))
    )  # fmt: skip
    duel.fight(LONG_ROUNDS)
    return duel.figures(f"flow of {STEPS} steps", "s", "<= 12")


def measure_wide(port: int) -> list[Figure]:
    """Measure many steps side by side and one that takes all their results: steps per second."""
    from celery import chord  # noqa: PLC0415 - the environment must name the broker first

    from benchmarks.peer import nothing  # noqa: PLC0415 - the same

    names = [f"s{n}" for n in range(WIDE)]
    steps = [*({"id": name, "tool": "noop", "with": {"word": "x"}} for name in names), step("join", names)]
    duel = Duel(
        lambda: WIDE / run(port, steps),
        lambda: WIDE / wait_for(lambda: chord([nothing.s() for _ in range(WIDE)], nothing.s())),
    )
    duel.fight(WIDE_ROUNDS)
    return duel.figures(f"{WIDE} steps and a join, per second", "1/s", ">= 0.12")


def step(name: str, heard: list[str]) -> dict[str, Any]:
    """Write down a step that takes the results of others."""
    return {"id": name, "tool": "noop", "with": {"word": "", "heard": [f"${{{each}.word}}" for each in heard]}}


def run(port: int, steps: list[dict[str, Any]]) -> float:
    """Ask for a flow, and wait for its end: seconds. Raises RuntimeError if it does not complete."""
    began = time.perf_counter()
    answer = requests.post(
        f"http://127.0.0.1:{port}/api/flows", json={"steps": steps}, headers={"Prefer": f"wait={PATIENCE_S}"},
        timeout=PATIENCE_S + 10,
    )  # fmt: skip
    if answer.status_code != 200 or answer.json()["status"] != "completed":
        raise RuntimeError(f"a flow answered {answer.status_code}: {answer.text[:500]}")
    return time.perf_counter() - began
