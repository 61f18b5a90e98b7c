"""The servers themselves go away and come back, under a house that nobody restarts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg2
import pytest

from embedded import guard
from embedded.house import lived_in
from embedded.ports import Wishes
from embedded.servers import servers
from embedded.supervisor import Running, Supervisor, silent, supervised
from tests.conftest import Processes, wait_until
from tests.tasks.house import House

SEND = "import sys; from tests.rig import nap; print(nap.delay(seconds=float(sys.argv[1])).id)"

REST = "import sys; from tests.rig import rest; print(rest.apply_async((float(sys.argv[1]),), ignore_result=True).id)"


@dataclass
class Town:
    """A house with servers of its own: those of the other tests are left alone."""

    supervisor: Supervisor
    env: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Run Python there."""
        env = {**os.environ, **self.env}
        return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, check=True).stdout

    def stop(self, name: str, number: signal.Signals) -> Running:
        """Stop a server."""
        now = next(each for each in self.supervisor.running if each.child.name == name)
        guard.tell(now.process.pid, number)
        now.process.wait()
        self.supervisor.running.remove(now)
        return now

    def has_settled(self, job_id: str) -> bool:
        """Tell whether a job has completed, and its canvas has heard of it."""
        with psycopg2.connect(self.env["DATABASE_URL"]) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT status, settled_at IS NOT NULL FROM jobs WHERE id = %s", (job_id,))
            found = cursor.fetchone()
        connection.close()
        return found == ("completed", True)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Run servers of our own, with our tables and the bucket."""
    data = Path(tempfile.mkdtemp(prefix="packshot-town-"))
    data.chmod(0o711)  # root's PostgreSQL runs as nobody
    with lived_in(data, Wishes()) as house, supervised(data, silent) as supervisor:
        supervisor.start(*servers(house, {}))
        made = Town(supervisor, house.env({}))
        made.run("-m", "embedded.cli", "migrate")
        yield made
    shutil.rmtree(data)


@pytest.fixture(scope="module")
def house(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run the workers and the watcher there."""
    starter = Processes(tmp_path_factory.mktemp("town"))
    yield House(starter, env=town.env)
    starter.end()


def test_workers_and_watcher_outlive_their_servers(town: Town, house: House) -> None:
    running = town.run("-c", SEND, "4").strip()
    wait_until(lambda: house.written("began"))
    gone = town.stop("postgres", signal.SIGINT), town.stop("valkey", signal.SIGKILL)
    wait_until(lambda: house.written("ended"))  # what was paid for waits for the database
    wait_until(lambda: "waits for the database" in house.running["gpu"].said())
    wait_until(lambda: "does not answer" in house.running["watch"].said())
    town.supervisor.start(*(each.child for each in gone))
    later = town.run("-c", SEND, "0").strip()
    for job_id in (running, later):
        wait_until(partial(town.has_settled, job_id), 60)
    assert set(house.written("began").values()) == {1}
    assert all(each.popen.poll() is None for each in house.running.values())


def test_a_worker_outlives_a_broker_that_goes_while_a_task_is_in_hand(town: Town, house: House) -> None:
    resting = town.run("-c", REST, "2").strip()
    wait_until(lambda: f"[{resting}] received" in house.running["main"].said())
    gone = town.stop("valkey", signal.SIGKILL)
    wait_until(lambda: f"[{resting}] succeeded" in house.running["main"].said())
    wait_until(lambda: "Connection to broker lost" in house.running["main"].said())
    town.supervisor.start(gone.child)
    later = town.run("-c", SEND, "0").strip()
    wait_until(partial(town.has_settled, later), 60)
    assert house.running["main"].popen.poll() is None
