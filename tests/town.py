"""Servers of a test's own, to be killed, frozen and started again: those of the other tests are left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from embedded import guard
from embedded.child import Child
from embedded.house import lived_in
from embedded.ports import Wishes
from embedded.servers import servers
from embedded.supervisor import Running, Supervisor, silent, supervised
from tests.canaries import furnish
from tests.conftest import opened
from tests.lookout import keeping


@dataclass
class Town:
    """PostgreSQL, Valkey and S3, with our tables and the bucket."""

    supervisor: Supervisor
    env: dict[str, str]
    logs: Path
    #: The processes that stand still.
    frozen: list[int] = field(default_factory=list)

    def run(self, *arguments: str) -> str:
        """Run Python there."""
        env = {**os.environ, **self.env}
        return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, check=True).stdout

    def find(self, name: str) -> Running:
        """Find a server."""
        return next(each for each in self.supervisor.running if each.child.name == name)

    def stop(self, name: str, number: signal.Signals) -> Child:
        """Stop a server; give what starts it again."""
        now = self.find(name)
        guard.tell(now.process.pid, number)
        now.process.wait()
        self.supervisor.running.remove(now)
        return now.child

    def freeze(self, name: str) -> None:
        """Let a server and all its processes stand still: their sockets stay open, and nothing answers."""
        leader = self.find(name).process.pid
        guard.tell(leader, signal.SIGSTOP)  # it first, so that it makes no more of them
        self.frozen = [leader, *children_of(leader)]
        for each in self.frozen:
            guard.tell(each, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for each in reversed(self.frozen):
            guard.tell(each, signal.SIGCONT)
        self.frozen = []

    def has_settled(self, job_id: str) -> bool:
        """Tell whether a job has completed, and its canvas has heard of it."""
        with psycopg2.connect(self.env["DATABASE_URL"]) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT status, settled_at IS NOT NULL FROM jobs WHERE id = %s", (job_id,))
            found = cursor.fetchone()
        connection.close()
        return found == ("completed", True)


def children_of(leader: int) -> list[int]:
    """Find the processes that one has started."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [map(int, row.split()) for row in rows.splitlines()]
    return [pid for pid, parent in pairs if parent == leader]


@contextmanager
def built() -> Iterator[Town]:
    """Build one, and take it down."""
    with opened() as data:
        furnish(data)
        with lived_in(data, Wishes()) as house, supervised(data, silent) as supervisor:
            supervisor.start(*map(keeping, servers(house, {})))
            made = Town(supervisor, house.env({}), house.logs)
            made.run("-m", "embedded.cli", "migrate")
            try:
                yield made
            finally:
                made.thaw()
