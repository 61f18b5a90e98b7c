"""`make load`: 20 submits and 200 polls a second on the whole embedded house, for 300 s or SECONDS=n.

The submits are of a tool that needs no GPU, so that what is measured is the house and not a handler.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from benchmarks import report, stack
from benchmarks.footprint import FOREIGN, descendants, pss
from benchmarks.report import Figure
from embedded.ports import any_free

SECONDS_LONG = float(os.environ.get("SECONDS_LONG") or 300)
SUBMITS_PER_S, POLLS_PER_S, THREADS = 20, 200, 48

#: Seconds in which the queue must be empty when nobody submits any more, and within which no figure of memory counts.
DRAIN_S, WARM_UP_S = 60, 30

#: How much the memory may have grown from the first quarter after the start to the last one, as a share.
GROWTH = 0.15


@dataclass
class Calls:
    """What was asked, how long it took, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"submit": [], "poll": []})
    errors: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    #: By how much the generator itself was late, in seconds: what it could not send says nothing of the house.
    late_s: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def ask(self, kind: str, url: str, body: bytes | None = None) -> bytes:
        """Ask once, and note how it went; empty if it went wrong."""
        began = time.monotonic()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
                said: bytes = answer.read()
        except (urllib.error.URLError, OSError) as error:
            with self.lock:
                self.errors.append(f"{kind}: {error}")
            return b""
        with self.lock:
            self.seconds[kind].append(time.monotonic() - began)
        return said


@contextmanager
def house() -> Iterator[tuple[str, int]]:
    """Run `packshot up`; where its API is, and its process."""
    with stack.folder() as data:
        env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        env |= {"PACKSHOT_DATA_DIR": str(data), "API_PORT": str(any_free(set())), "FLOWER_PORT": str(any_free(set()))}
        with stack.processes(data, "up") as starter:
            up = starter.start("packshot", "up", env=env)
            up.wait_for(lambda: "Packshot is up." in up.said(), 180)
            try:
                yield f"http://127.0.0.1:{env['API_PORT']}", up.popen.pid
            finally:
                up.popen.terminate()
                up.popen.wait(120)


def press(base: str, pid: int, seconds: float) -> tuple[Calls, list[float]]:
    """Submit and poll at an even pace; the calls, and what all processes weighed each second."""
    calls, weights = Calls(), list[float]()
    template = json.loads(calls.ask("submit", f"{base}/api/templates", b'{"name": "n", "prompt": "trigger_keyword"}'))
    body = json.dumps({"steps": [{"id": "a", "tool": "resolve_template", "with": {
        "template_id": template["id"], "trigger_word": "TOK_LOAD"}}]}).encode()  # fmt: skip

    def submit() -> None:
        if said := calls.ask("submit", f"{base}/api/flows", body):
            calls.jobs.append(json.loads(said)["flow_id"])

    def poll() -> None:
        if calls.jobs:
            calls.ask("poll", f"{base}/api/flows/{random.choice(calls.jobs)}")  # noqa: S311 - no secret

    with ThreadPoolExecutor(THREADS) as pool:
        for beat in beats(seconds, calls):
            if beat % SUBMITS_PER_S == 0:
                weights.append(weigh(pid))
            pool.submit(submit)
            for _ in range(POLLS_PER_S // SUBMITS_PER_S):
                pool.submit(poll)
    return calls, weights


def beats(seconds: float, calls: Calls) -> Iterator[int]:
    """Give each moment at which something is submitted, at an even pace."""
    began = time.monotonic()
    for beat in range(round(seconds * SUBMITS_PER_S)):
        wait_s = began + beat / SUBMITS_PER_S - time.monotonic()
        calls.late_s = max(calls.late_s, -wait_s)
        time.sleep(max(wait_s, 0))
        yield beat


def weigh(pid: int) -> float:
    """Weigh all processes of the house, in MB."""
    weights = []
    for process in (pid, *descendants(pid)):
        try:
            weights.append(pss(process))
        except OSError:  # it has just ended
            continue
    return sum(weights) / 2**20


def drain(base: str) -> float:
    """Wait until no job is open; seconds, or infinity."""
    began = time.monotonic()
    while time.monotonic() - began < DRAIN_S:
        open_jobs = [
            json.loads(urllib.request.urlopen(f"{base}/api/jobs?limit=1&status={status}", timeout=30).read())["data"]  # noqa: S310 - ours
            for status in ("pending", "processing")
        ]
        if not any(open_jobs):
            return time.monotonic() - began
        time.sleep(0.25)
    return float("inf")


def percentile(values: list[float], share: float) -> float:
    """Read a percentile, in milliseconds."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1000 if values else float("inf")


def growth(weights: list[float]) -> float:
    """Say by how much memory grew, as a share: the last quarter against the first one after the start."""
    warm = weights[min(WARM_UP_S, len(weights) // 4) :]
    quarter = max(len(warm) // 4, 1)
    first, last = (sum(part) / len(part) for part in (warm[:quarter], warm[-quarter:]))
    return last / first - 1


def judge(calls: Calls, weights: list[float], drained_s: float) -> list[Figure]:
    """Say what was found, and whether that is well."""
    kinds: list[tuple[str, Callable[[list[float]], float]]] = [
        ("p50", lambda values: percentile(values, 0.5)), ("p99", lambda values: percentile(values, 0.99)),
    ]  # fmt: skip
    latencies = [
        Figure(f"{kind}, {name}", read(calls.seconds[kind]), "ms")
        for kind in ("submit", "poll")
        for name, read in kinds
    ]
    return [
        Figure("submitted", len(calls.jobs), "flows"),
        Figure("polled", len(calls.seconds["poll"]), "times"),
        Figure("errors", len(calls.errors), "", "<= 0"),
        Figure("until the queue was empty", drained_s, "s", f"<= {DRAIN_S}"),
        *latencies,
        Figure("memory at the end", weights[-1], "MB PSS"),
        Figure("growth of memory", growth(weights), "", f"<= {GROWTH}"),
        Figure("the generator was late by", calls.late_s, "s"),
    ]


def main() -> int:
    """Press the house, and say what came of it."""
    with house() as (base, pid):
        calls, weights = press(base, pid, SECONDS_LONG)
        figures = judge(calls, weights, drain(base))
    print(*sorted(set(calls.errors))[:5], sep="\n")
    print(f"{SUBMITS_PER_S} submits and {POLLS_PER_S} polls a second for {SECONDS_LONG:g} s:\n{report.table(figures)}")
    print(Path(report.write("load", figures)))
    return not all(figure.ok for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
