"""The servers themselves go away and come back, under a house that nobody restarts."""

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.conftest import Processes, wait_until
from tests.tasks.house import House
from tests.town import Town, built

SEND = "import sys; from tests.rig import nap; print(nap.delay(seconds=float(sys.argv[1])).id)"

REST = "import sys; from tests.rig import rest; print(rest.apply_async((float(sys.argv[1]),), ignore_result=True).id)"


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Run servers of our own, with our tables and the bucket."""
    with built() as town:
        yield town


@pytest.fixture(scope="module")
def house(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run the workers and the watcher there."""
    starter = Processes(tmp_path_factory.mktemp("town"))
    yield House(starter, env=town.env)
    starter.end()


def test_workers_and_watcher_outlive_their_servers(town: Town, house: House) -> None:
    running = begin(town, house, runs=1)
    gone = town.stop("postgres", signal.SIGINT), town.stop("valkey", signal.SIGKILL)
    outlive(house, runs=1)
    town.supervisor.start(*gone)
    go_on(town, running)
    running = begin(town, house, runs=3)
    town.freeze("postgres")
    outlive(house, runs=3)
    town.thaw()
    go_on(town, running)
    assert set(house.written("began").values()) == {1}
    assert all(each.popen.poll() is None for each in house.running.values())
    assert house.running["watch"].said().count("The database is away") == 2


def begin(town: Town, house: House, runs: int) -> str:
    """Send a job, and wait until a handler is at it."""
    sent = town.run("-c", SEND, "4").strip()
    wait_until(lambda: len(house.written("began")) == runs)
    return sent


def outlive(house: House, runs: int) -> None:
    """Wait until the handler has ended, and what was paid for waits for the database."""
    wait_until(lambda: len(house.written("ended")) == runs)
    wait_until(lambda: house.running["gpu"].said().count("waits for the database") == (runs + 1) // 2)
    wait_until(lambda: house.running["watch"].said().count("The database is away") == (runs + 1) // 2)


def go_on(town: Town, running: str) -> None:
    """Hold that what ran is done, and what comes later, too."""
    later = town.run("-c", SEND, "0").strip()
    for job_id in (running, later):
        wait_until(partial(town.has_settled, job_id), 60)


def test_a_worker_outlives_a_broker_that_goes_while_a_task_is_in_hand(town: Town, house: House) -> None:
    resting = town.run("-c", REST, "2").strip()
    wait_until(lambda: f"[{resting}] received" in house.running["main"].said())
    gone = town.stop("valkey", signal.SIGKILL)
    wait_until(lambda: f"[{resting}] succeeded" in house.running["main"].said())
    wait_until(lambda: "Connection to broker lost" in house.running["main"].said())
    town.supervisor.start(gone)
    later = town.run("-c", SEND, "0").strip()
    wait_until(partial(town.has_settled, later), 60)
    assert house.running["main"].popen.poll() is None
