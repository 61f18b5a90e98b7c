"""What RunPod keeps: jobs in a queue, workers that take them, limits of time, webhooks; and a ledger of it all."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}

#: Bytes that RunPod takes as a job or as its result.
LARGEST = 10 * 10**6

#: Seconds without any connection after which a worker is dead, and how often a job is given out again then.
SILENT_S, MOST_RETRIES = 0.5, 1


@dataclass
class Work:
    """A job, in RunPod's words."""

    endpoint: str
    input: dict[str, Any]
    webhook: str | None
    policy: dict[str, Any]
    id: str = field(default_factory=lambda: f"{uuid4()}-u1")
    status: str = "IN_QUEUE"
    output: Any = None
    error: Any = None
    worker: str = ""
    tries: int = 0
    #: The worker has asked to be started anew.
    spoiled: bool = False
    accepted_at: float = field(default_factory=time.monotonic)
    taken_at: float | None = None
    ended_at: float | None = None

    @property
    def attempt_id(self) -> str:
        """Our own id, from the input."""
        return str(self.input.get("attempt_id"))

    def show(self) -> dict[str, Any]:
        """Show it as /status does."""
        shown: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.taken_at is not None:
            shown["delayTime"] = round((self.taken_at - self.accepted_at) * 1000)
            shown["workerId"] = self.worker
        if self.taken_at is not None and self.ended_at is not None:
            shown["executionTime"] = self.execution_ms
        shown |= {name: value for name in ("output", "error") if (value := getattr(self, name)) is not None}
        return shown

    @property
    def execution_ms(self) -> int:
        """What is paid for."""
        return 0 if self.taken_at is None else round(((self.ended_at or time.monotonic()) - self.taken_at) * 1000)


@dataclass
class Fault:
    """What goes wrong with the next calls of an operation; with `after`, only once it has been done."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"no"
    after: bool = False
    drop: bool = False
    hold_s: float = 0


@dataclass
class Told:
    """One try to call a webhook."""

    remote_id: str
    #: Seconds since the epoch.
    at: float
    status: int


class Cloud:
    """All endpoints. Whoever tests may set the plain attributes."""

    def __init__(self) -> None:
        self.works: dict[str, Work] = {}
        self.stops: dict[str, list[str]] = defaultdict(list)
        self.lines: dict[str, set[Any]] = defaultdict(set)
        self.customers: set[Any] = set()
        self.silent_since: dict[str, float] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.calls: Counter[str] = Counter()
        self.told: list[Told] = []
        self.cancelled_at: dict[str, float] = {}
        self.progressed: Counter[str] = Counter()
        self.retried = 0
        #: How many workers each endpoint may have.
        self.scale: dict[str, dict[str, int]] = defaultdict(lambda: {"workersMin": 0, "workersMax": 3})
        #: Each giving out of a job: (attempt id, remote id, worker).
        self.executions: list[tuple[str, str, str]] = []
        #: Workers get no job while it is set.
        self.paused = False
        #: How often each webhook is called: 0 loses it.
        self.hooks = 1
        #: How much faster limits of time pass, seconds that an ended job is kept, and between tries of a webhook.
        self.haste, self.retention_s, self.hook_gap_s = 1.0, 1800.0, 0.3

    def accept(self, endpoint: str, body: dict[str, Any]) -> Work:
        """Take a job in."""
        work = Work(endpoint, body["input"], body.get("webhook"), body.get("policy") or {})
        self.works[work.id] = work
        return work

    def give(self, endpoint: str, worker: str) -> Work | None:
        """Give the oldest waiting job to a worker."""
        waiting = (one for one in self.works.values() if one.endpoint == endpoint and one.status == "IN_QUEUE")
        work = None if self.paused else next(waiting, None)
        if work:
            work.status, work.worker, work.taken_at, work.tries = (
                "IN_PROGRESS",
                worker,
                time.monotonic(),
                work.tries + 1,
            )
            self.executions.append((work.attempt_id, work.id, worker))
        return work

    def progress(self, work: Work, output: Any) -> bool:
        """Take progress; what comes after the end is refused."""
        if work.status == "IN_PROGRESS":
            work.output = output
            self.progressed[work.id] += 1
        return work.status == "IN_PROGRESS"

    def finish(self, work: Work, body: dict[str, Any]) -> bool:
        """Take a result; what comes after the end is refused."""
        if work.status != "IN_PROGRESS":
            return False
        work.output, work.error, work.spoiled = body.get("output"), body.get("error"), bool(body.get("stopPod"))
        self.end(work, "FAILED" if work.error else "COMPLETED")
        return True

    def end(self, work: Work, status: str) -> None:
        """End a job, and have its worker stop."""
        if work.status == "IN_PROGRESS" and status in {"CANCELLED", "TIMED_OUT"}:
            self.stops[work.worker].append(work.id)
            work.output = None
        work.status, work.ended_at = status, time.monotonic()

    def cancel(self, work: Work) -> None:
        """Cancel a job, wherever it is."""
        self.cancelled_at.setdefault(work.id, time.time())
        if work.status not in ENDED:
            self.end(work, "CANCELLED")

    def pass_time(self) -> Iterator[Work]:
        """Let limits of time pass; give the jobs that ended by them."""
        now = time.monotonic()
        for work in list(self.works.values()):
            limits = {name: self.limit_s(work, name) for name in ("ttl", "executionTimeout")}
            if work.ended_at is not None:
                if now - work.ended_at > self.retention_s:
                    del self.works[work.id]
            elif now - work.accepted_at > limits["ttl"]:
                self.end(work, "TIMED_OUT")
                del self.works[work.id]
            elif work.taken_at is not None and now - work.taken_at > limits["executionTimeout"]:
                self.end(work, "TIMED_OUT")
                yield work
        yield from self.bury(now)

    def limit_s(self, work: Work, name: str) -> float:
        """Read a limit of a job's policy, in seconds of ours."""
        return float(work.policy.get(name, 600_000)) / 1000 / self.haste

    def bury(self, now: float) -> Iterator[Work]:
        """Find workers whose every connection is closed, and give their jobs out again, once."""
        for worker, lines in self.lines.items():
            lines -= {line for line in lines if line.is_closing()}
            since = self.silent_since.setdefault(worker, now) if not lines else self.silent_since.pop(worker, now)
            if lines or now - since < SILENT_S:
                continue
            for work in [one for one in self.works.values() if (one.worker, one.status) == (worker, "IN_PROGRESS")]:
                if work.tries > MOST_RETRIES:
                    work.error = f"job timed out after {MOST_RETRIES} retries"
                    self.end(work, "FAILED")
                    yield work
                else:
                    work.status, work.taken_at, self.retried = "IN_QUEUE", None, self.retried + 1

    def health(self, endpoint: str) -> dict[str, Any]:
        """Count."""
        states = Counter(work.status for work in self.works.values() if work.endpoint == endpoint)
        jobs = {"completed": states["COMPLETED"], "failed": states["FAILED"], "inProgress": states["IN_PROGRESS"],
                "inQueue": states["IN_QUEUE"], "retried": self.retried}  # fmt: skip
        return {"jobs": jobs, "workers": {"idle": 0, "running": sum(bool(lines) for lines in self.lines.values())}}
