"""A RunPod whose jobs are done by our own handler's entry, and whose memory is a file: it can be killed and goes on."""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from gpu_handlers.entry import attend
from tests.chaos import lines
from tests.chaos.chores import ATTEMPT
from tests.gateway.cloud import ENDED, Cloud, Work

#: Seconds that a worker takes to come.
COLD_S = 0.1


class Branch(Cloud):
    """Jobs, and the ledger of what became of each: accepted, started, ended, forgotten."""

    def __init__(self, ledger: Path) -> None:
        super().__init__()
        self.ledger = ledger
        self.halts: dict[str, Event] = defaultdict(Event)
        #: What handlers answered, until it is taken in.
        self.answers: deque[tuple[Work, dict[str, Any]]] = deque()
        self.doing: set[asyncio.Task[None]] = set()
        #: What goes wrong with so many of the next jobs: forget_waiting, forget_running, early, deaf.
        self.troubles: Counter[str] = Counter()

    def note(self, what: str, work: Work, **more: Any) -> None:
        """Write a line."""
        lines.add(self.ledger, what=what, id=work.id, attempt=work.attempt_id, **more)

    def trouble(self, name: str) -> bool:
        """Tell whether this one is to go wrong."""
        if not self.troubles[name]:
            return False
        self.troubles[name] -= 1
        return True

    def accept(self, endpoint: str, body: dict[str, Any]) -> Work:
        """Take a job in, and have it done."""
        work = super().accept(endpoint, body)
        self.note("accepted", work, endpoint=endpoint, body=body)
        self.begin(work)
        return work

    def begin(self, work: Work) -> None:
        """Have a job done."""
        task = asyncio.ensure_future(self.do(work))
        self.doing.add(task)
        task.add_done_callback(self.doing.discard)

    async def do(self, work: Work) -> None:
        """Do a job as their worker would: in a thread, by our entry, and hear when it shall stop."""
        await asyncio.sleep(COLD_S)
        if work.status == "IN_QUEUE" and self.trouble("forget_waiting"):
            self.forget(work)
        if work.status != "IN_QUEUE" or work.id not in self.works:
            return
        work.status, work.worker, work.taken_at = "IN_PROGRESS", f"worker of {work.id}", time.monotonic()
        self.note("started", work)
        if self.trouble("forget_running"):
            self.forget(work)
        ATTEMPT.set(work.attempt_id)
        halt, job = self.halts[work.id], {"id": work.id, "input": work.input}
        said = await asyncio.to_thread(attend, job, halt, lambda _, told: self.hear(work, told))
        self.note("answered", work, file="file" in said and said["file"] is not None)
        if work.id in self.works:
            self.answers.append((work, said))

    def hear(self, work: Work, told: dict[str, Any]) -> None:
        """Take progress, from the handler's thread."""
        if work.status == "IN_PROGRESS":
            work.output = told

    def end(self, work: Work, status: str) -> None:
        """End a job; one that did not say so itself is told to stop."""
        super().end(work, status)
        self.note("ended", work, status=status, output=work.output, error=work.error, paid_ms=work.execution_ms)
        if status in {"CANCELLED", "TIMED_OUT"} and not self.trouble("deaf"):
            self.halts[work.id].set()

    def pass_time(self) -> Iterator[Work]:
        """Take in what handlers answered, and let limits of time pass."""
        while self.answers:
            work, said = self.answers.popleft()
            output = {name: value for name, value in said.items() if name not in {"error", "refresh_worker"}}
            if self.finish(work, {"output": output, "error": said.get("error")}):
                yield work
        yield from super().pass_time()

    def forget(self, work: Work) -> None:
        """Lose a job, as a Redis of theirs may; a handler that has it goes on."""
        self.note("forgotten", work, status=work.status)
        self.works.pop(work.id, None)

    def recall(self) -> None:
        """Read the ledger: what had not ended is done again, as another worker of theirs would."""
        shift_s = time.monotonic() - time.time()
        for line in lines.read(self.ledger):
            match line:
                case {"what": "accepted", "id": remote_id, "endpoint": endpoint, "body": body}:
                    work = Work(endpoint, body["input"], body.get("webhook"), body.get("policy") or {}, id=remote_id)
                    work.accepted_at = line["at"] + shift_s
                    self.works[remote_id] = work
                case {"what": "ended", "id": remote_id, "status": status} if remote_id in self.works:
                    work = self.works[remote_id]
                    work.status, work.output, work.error = status, line["output"], line["error"]
                    work.ended_at = line["at"] + shift_s
                    work.taken_at = work.ended_at - line["paid_ms"] / 1000
                    work.worker = f"worker of {remote_id}"
                case {"what": "forgotten", "id": remote_id}:
                    self.works.pop(remote_id, None)
        for work in self.works.values():
            if work.status not in ENDED:
                self.begin(work)
