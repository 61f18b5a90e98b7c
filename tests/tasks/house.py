"""The processes that run jobs, and what a test asks of them."""

from typing import Any
from uuid import UUID

from db import pages
from tests.conftest import Process, Processes, wait_until

ENDED = {"completed", "failed", "cancelled", "expired"}


class House:
    """A main worker, a gpu worker and a watcher, all real."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.generation = 0
        self.running: dict[str, Process] = {}
        self.start("main", "gpu", "watch")

    def start(self, *names: str) -> None:
        """Start some of them, and wait until they do their work."""
        self.generation += 1
        for name in names:
            self.running[name] = self.processes.start(*self.command(name))
        for name in names:
            said = self.running[name].said
            words = "watching as" if name == "watch" else "ready."
            self.running[name].wait_for(lambda said=said, words=words: words in said(), 60)

    def command(self, name: str) -> list[str]:
        """Say how one is started."""
        if name == "watch":
            return ["python", "-m", "tests.rig"]
        worker = ["celery", "-A", "tests.rig", "worker", "--without-gossip", "--without-mingle", "-l", "INFO"]
        pools = {"main": ["-Q", "main,resume", "-P", "threads", "-c", "8"], "gpu": ["-Q", "gpu", "-c", "2"]}
        return [*worker, *pools[name], "-n", f"{name}{self.generation}@here"]

    def kill(self, *names: str) -> None:
        """End some of them as a power cut would."""
        for name in names:
            self.running.pop(name).kill()


def read(job_id: str | UUID) -> dict[str, Any]:
    """Read a job."""
    return pages.read(UUID(str(job_id)))


def wait_for_end(*job_ids: str, patience_s: float = 30) -> list[dict[str, Any]]:
    """Wait until all of these have ended, and read them."""
    wait_until(lambda: all(read(job_id)["status"] in ENDED for job_id in job_ids), patience_s,
               lambda: repr([read(job_id) for job_id in job_ids]))  # fmt: skip
    return [read(job_id) for job_id in job_ids]
