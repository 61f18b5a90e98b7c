"""The processes that run jobs, and what a test asks of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import func, update

from db import pages
from db.base import transaction
from db.jobs import Job
from db.traces import Attempt
from tests.conftest import Process, Processes, wait_until
from tests.rig import DIARY

ENDED = {"completed", "failed", "cancelled", "expired"}


class House:
    """A main worker, a gpu worker and a watcher, all real."""

    def __init__(
        self, processes: Processes, gpus: int = 2, env: Mapping[str, str] | None = None,
        parts: Sequence[str] = ("main", "gpu", "watch"),
    ) -> None:  # fmt: skip
        self.processes = processes
        self.gpus = gpus
        self.diary = processes.folder / "diary"
        self.env = {**(env or {}), DIARY: str(self.diary)}
        self.generation = 0
        self.running: dict[str, Process] = {}
        self.start(*parts)

    def start(self, *names: str) -> None:
        """Start some of them, and wait until they do their work."""
        self.generation += "gpu" in names
        for name in names:
            self.running[name] = self.processes.start(*self.command(name), env=self.env)
        for name in names:
            self.running[name].wait_for(partial(self.is_ready, name), 60)

    def is_ready(self, name: str) -> bool:
        """Tell whether one says that it does its work."""
        return ("watching as" if name == "watch" else "ready.") in self.running[name].said()

    def command(self, name: str) -> list[str]:
        """Say how one is started."""
        if name == "watch":
            return ["python", "-m", "tests.rig"]
        worker = ["celery", "-A", "tests.rig", "worker", "--without-gossip", "--without-mingle", "-l", "INFO"]
        pools = {"main": ["-Q", "main,resume", "-P", "threads", "-c", "8"], "gpu": ["-Q", "gpu", "-c", str(self.gpus)]}
        return [*worker, *pools[name], "-n", f"{name}{self.generation}@here"]

    def kill(self, *names: str) -> None:
        """End some of them as a power cut would."""
        for name in names:
            self.running.pop(name).kill()

    def written(self, word: str) -> Counter[str]:
        """Count by attempt what the handlers wrote down themselves: `began`, `ended`."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(f"{word} "))

    def pass_time(self, seconds: float = 60) -> None:
        """Let the database's clock run: what is due comes so much sooner, and the dead were last heard of long ago."""
        ago = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
        dead = Attempt.worker.not_like(f"%:gpu{self.generation}@here")
        with transaction() as session:
            session.execute(update(Attempt).where(dead).values(beat_at=Attempt.beat_at - ago))
            session.execute(update(Job).where(Job.due_at.is_not(None)).values(due_at=Job.due_at - ago))


def read(job_id: str | UUID) -> dict[str, Any]:
    """Read a job."""
    return pages.read(UUID(str(job_id)))


def wait_for_end(*job_ids: str, patience_s: float = 30) -> list[dict[str, Any]]:
    """Wait until all of these have ended, and read them."""
    wait_until(lambda: all(read(job_id)["status"] in ENDED for job_id in job_ids), patience_s,
               lambda: repr([read(job_id) for job_id in job_ids]))  # fmt: skip
    return [read(job_id) for job_id in job_ids]
