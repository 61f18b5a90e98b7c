"""Very many jobs at RunPod at once: one main worker, one watcher, five endpoints, with webhooks and without."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID, uuid4

import requests

from benchmarks import costs, report, stack
from benchmarks.report import Figure
from embedded.ports import HOST, answers, any_free
from embedded.programs import MAIN
from tests.canaries import HOOKS
from tests.conftest import Process, Processes
from tests.gateway.routes import KEY

JOBS = int(os.environ.get("N") or 10_000)

#: Seconds that a job takes at RunPod, from and to, and those that each call of it takes.
SHORTEST_S, LONGEST_S = (float(word) for word in (os.environ.get("SECONDS_EACH") or "120-180").split("-"))
LATENCY_S = 0.2

#: WEBHOOKS=on or off measures one alone; each takes about five minutes.
MODES = {"on": [True], "off": [False]}.get(os.environ.get("WEBHOOKS") or "", [True, False])

#: Jobs in flight at which the worker is weighed first.
FEW = 100

#: Callers that submit at once, and seconds between two readings.
CALLERS, LOOK_S = 4, 0.5

#: Seconds in which all must be over.
PATIENCE_S = 900

WORKER = ("celery", "-A", "benchmarks.naps", "worker", "-n", "main@here", "-Q", "main,resume", "-l", "INFO", *MAIN)


@dataclass
class Reading:
    """One look at everything; processor time in seconds, memory in bytes, time since the epoch."""

    at: float
    #: By part of the house.
    cpu_s: dict[str, float]
    rss: int
    load: float
    counts: dict[str, Any]


@dataclass
class Run:
    """What one run left: readings on the way, RunPod's ledger, and what our table says."""

    hooks: bool
    readings: list[Reading] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    #: When each attempt ended by our clock, in seconds since the epoch, and its job's status.
    ours: dict[str, tuple[float, str]] = field(default_factory=dict)


def main() -> None:
    """Measure both, and then a full table."""
    from benchmarks import million  # noqa: PLC0415 - settings are read only now that the environment names the servers

    figures: list[Figure] = []
    with stack.servers() as logs:
        for hooks in MODES:
            figures += (found := conclude(measure(logs, hooks=hooks)))
            print(report.table(found), end="\n\n", flush=True)
            report.write("bench-inflight", figures)
            million.empty()
        if million.ROWS:
            figures += (full := million.measure(logs))
            print(report.table(full), end="\n\n")
    print(f"written to {report.write('bench-inflight', figures)}")


def measure(logs: Path, *, hooks: bool) -> Run:
    """Run the house, hand in all jobs at once, and watch until they are over."""
    run = Run(hooks)
    with stack.processes(logs, f"crowd-{hooks}") as starter, ExitStack() as at_the_end:
        crowd = start_crowd(starter, hooks=hooks)
        port = stack.serve(starter, "benchmarks.naps:create_app()")
        os.environ["PUBLIC_URL"] = f"http://{HOST}:{port}" if hooks else ""
        at_the_end.callback(os.environ.pop, "PUBLIC_URL")
        worker, watcher = starter.start(*WORKER), starter.start("python", "-m", "benchmarks.naps")
        worker.wait_for(lambda: "ready." in worker.said(), 60)
        watcher.wait_for(lambda: "watching as" in watcher.said(), 60)
        names = ("RunPod", "API", "worker", "watcher")
        parts = {each.popen.pid: name for each, name in zip(starter.started, names, strict=True)}
        read = partial(look, crowd, worker, {**parts, os.getpid(): "caller"})
        with ThreadPoolExecutor(CALLERS) as pool:
            handing_in = [pool.submit(hand_in, range(n, JOBS, CALLERS)) for n in range(CALLERS)]
            follow(run, read)
        for one in handing_in:
            one.result()
        run.ledger = ask(crowd, "ledger")
        run.ours = read_ends()
        keep(logs, run)
    return run


def start_crowd(starter: Processes, *, hooks: bool) -> str:
    """Start RunPod, and name it in the environment; gives where it is reached."""
    from benchmarks.naps import NAPS  # noqa: PLC0415 - settings are read only now
    from storage.bucket import bucket  # noqa: PLC0415 - the same

    stored = bucket().put(f"generated/{uuid4()}.png", b"what all of them leave")
    file = {"r2_path": f"r2://{bucket().name}/{stored.key}", "size": stored.size, "sha256": stored.sha256}
    port = any_free(set())
    nature = {"port": port, "shortest_s": SHORTEST_S, "longest_s": LONGEST_S, "latency_s": LATENCY_S,
              "hooks": int(hooks), "file": file}  # fmt: skip
    starter.start("python", "-m", "tests.gateway.crowd", json.dumps(nature)).wait_for(partial(answers, port), 30)
    base = f"http://{HOST}:{port}/v2"
    endpoints = ",".join(f"{tool.name}=endpoint-{n}" for n, tool in enumerate(NAPS))
    os.environ |= {"RUNPOD_API_KEY": KEY, "RUNPOD_ENDPOINTS": endpoints, "RUNPOD_BASE_URL": base,
                   "HOOK_SECRET": HOOKS}  # fmt: skip
    return base


def hand_in(numbers: range) -> None:
    """Take jobs in as the API does, each for the next tool."""
    from benchmarks.naps import NAPS  # noqa: PLC0415 - settings are read only now
    from db import intake  # noqa: PLC0415 - the same
    from tasks.app import sender  # noqa: PLC0415 - the same

    for n in numbers:
        tool = NAPS[n % len(NAPS)]
        params = tool.params(seed=n).settle().model_dump(mode="json")
        asked = intake.Asked(uuid4(), tool, {"seed": n}, params, 1)
        intake.accept(asked)
        sender.send(asked.id, tool.name, None)


def follow(run: Run, read: Any) -> None:
    """Read until all jobs of ours have ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        run.readings.append(read())
        counts = run.readings[-1].counts
        if counts["accepted"] >= JOBS and not counts["under_way"] and ended() >= JOBS:
            return
        time.sleep(LOOK_S)


def look(crowd: str, worker: Process, parts: Mapping[int, str]) -> Reading:
    """Look at everything once."""
    return Reading(time.time(), costs.read(parts), weight(worker.popen.pid), os.getloadavg()[0], ask(crowd, "counts"))


def ask(crowd: str, what: str) -> dict[str, Any]:
    """Ask RunPod for what nobody else may see."""
    answer = requests.get(f"{crowd}/{what}", headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    return dict(answer.json())


def weight(process: int) -> int:
    """Read the resident memory of a process: bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ended() -> int:
    """Count our jobs that have ended and whose ends were sent on."""
    from sqlalchemy import func, select  # noqa: PLC0415 - beside the next one

    from db.base import transaction  # noqa: PLC0415 - settings are read only now
    from db.jobs import Job  # noqa: PLC0415 - the same

    with transaction() as session:
        return session.scalar(select(func.count()).where(Job.settled_at.is_not(None))) or 0


def read_ends() -> dict[str, tuple[float, str]]:
    """Read from our table when each attempt ended."""
    from sqlalchemy import func, select  # noqa: PLC0415 - beside the next one

    from db.base import transaction  # noqa: PLC0415 - settings are read only now
    from db.jobs import Attempt, Job  # noqa: PLC0415 - the same

    at = func.extract("epoch", Job.ended_at)
    with transaction() as session:
        rows = session.execute(select(Attempt.id, at, Job.status).join(Job, Job.id == Attempt.job_id)).all()
    return {str(UUID(str(row[0]))): (float(row[1] or 0), row[2]) for row in rows}


def keep(logs: Path, run: Run) -> None:
    """Keep what the programs said, and the readings, beside the figures."""
    kept = Path("var", "bench-inflight", "hooks-on" if run.hooks else "hooks-off")
    kept.mkdir(parents=True, exist_ok=True)
    for log in (logs / f"crowd-{run.hooks}").glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())
    lines = (json.dumps(vars(reading)) for reading in run.readings)
    (kept / "readings.jsonl").write_text("\n".join(lines) + "\n")


def conclude(run: Run) -> list[Figure]:
    """Make the figures of a run."""
    works, many = run.ledger["works"], "on" if run.hooks else "off"
    accepted = sorted(work["accepted_at"] for work in works)
    once = Counter(work["attempt_id"] for work in works)
    completed = sum(status == "completed" for _, status in run.ours.values())
    delays = [run.ours[work["attempt_id"]][0] - work["ended_at"] for work in works if work["ended_at"]]
    waits = [one for one in run.readings if one.at >= accepted[-1] and one.at <= min(w["ended_at"] for w in works)]
    first = next(one for one in run.readings if one.counts["accepted"] >= FEW)
    most = max(run.readings, key=lambda one: one.counts["under_way"])
    calm = busy(waits) if len(waits) > 1 else float("nan")
    figures = [
        ("in flight at once", run.ledger["most_under_way"], "", f">= {JOBS}"),
        ("completed", completed, "", f">= {JOBS}"),
        ("submitted more than once", sum(count > 1 for count in once.values()), "", "<= 0"),
        ("submitted per second", len(accepted) / (accepted[-1] - accepted[0]), "1/s", ">= 150"),
        ("CPU of worker and watcher while all wait", calm * 100, "% core", "<= 5" if run.hooks else "<= 40"),
        (f"main worker, {FEW} in flight", first.rss / 2**20, "MB RSS", "<= 200"),
        ("main worker, most in flight", most.rss / 2**20, "MB RSS", "<= 200"),
        ("main worker, most ÷ few", most.rss / first.rss, "ratio", "<= 1.1"),
        ("looks per job", sum(work["looks"] for work in works) / len(works), "", "<= 2" if run.hooks else "<= 8"),
        ("calls refused as too many", run.ledger["calls"].get("refused", 0), "", "<= 0"),
        ("RunPod's end to ours, p95", quantiles(delays, n=20)[-1], "s", "<= 1" if run.hooks else "<= 15"),
        ("load of the machine, median", sorted(one.load for one in run.readings)[len(run.readings) // 2], ""),
        *cost(run),
    ]  # fmt: skip
    return [Figure(f"webhooks {many}: {figure[0]}", *figure[1:]) for figure in figures]


def busy(readings: Sequence[Reading]) -> float:
    """Say how much of a core the worker and the watcher take."""
    spent_s = sum(readings[-1].cpu_s[part] - readings[0].cpu_s[part] for part in ("worker", "watcher"))
    return spent_s / (readings[-1].at - readings[0].at)


def cost(run: Run) -> Iterator[tuple[str, float, str]]:
    """Say what a job costs each part of the house until all are handed in, and from then on."""
    began, over = run.readings[0], run.readings[-1]
    handed = next((one for one in run.readings if one.counts["accepted"] >= JOBS), over)
    for what, since, until in (("handing in", began, handed), ("the rest", handed, over)):
        each = {part: (until.cpu_s[part] - since.cpu_s[part]) * 1000 / JOBS for part in sorted(until.cpu_s)}
        for part, spent_ms in {**each, "all": sum(each.values())}.items():
            yield f"processor per job, {what}: {part}", spent_ms, "ms"


if __name__ == "__main__":
    main()
