"""A worker that scales by itself, as the preview's does, and the figure by which workers are scaled from outside."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from sqlalchemy import text

from db import figures, intake
from db.base import transaction
from db.intake import Asked
from tasks import answers
from tests import rig
from tests.conftest import Process, Processes, renew_celery
from tests.db import rows
from tests.tasks.house import wait_for_end

#: Processes that it may have, and seconds after the last task in which it keeps them.
MOST, KEEPS_S = 3, 1


@pytest.fixture(autouse=True)
def tidy(database: str, s3: object) -> Iterator[None]:  # noqa: ARG001 - they must run
    """Begin and end without a job."""
    renew_celery()
    with transaction() as session:
        session.execute(text("TRUNCATE jobs CASCADE"))
    yield
    rig.app.control.purge()


def scaling(processes: Processes, name: str) -> Process:
    """Start a worker of the queue gpu that scales between one process and three."""
    started = processes.start(
        "celery", "-A", "tests.rig", "worker", "-n", f"{name}@here", "-Q", "gpu", "-l", "INFO",
        f"--autoscale={MOST},1", "--disable-prefetch", "--without-gossip", "--without-mingle",
        env={"AUTOSCALE_KEEPALIVE": str(KEEPS_S)},
    )  # fmt: skip
    started.wait_for(lambda: f"{name}@here ready" in started.said(), 60)
    return started


def hands(worker: Process) -> int:
    """Count the processes that a worker works with."""
    try:
        return len(psutil.Process(worker.popen.pid).children())
    except psutil.NoSuchProcess:
        return 0


def backlog() -> int:
    """Read the figure."""
    return int({row.queue: row.jobs for row in figures.read_now().backlog}["gpu"])


def ask(count: int, seconds: float) -> list[UUID]:
    """Ask for naps, and put their attempts into the queue as a main worker does."""
    asked = [Asked(uuid4(), rig.NAP, {}, {"seconds": seconds, "fate": "", "seed": n}, 1) for n in range(count)]
    for one in asked:
        intake.accept(one)
        rows.start(one.id)
        answers.submit(rows.job(one.id))
    return [one.id for one in asked]


def end(ids: list[UUID], **more: Any) -> None:
    """Wait for their ends, and settle them, as no main worker does here."""
    assert {job["status"] for job in wait_for_end(*map(str, ids), **more)} == {"completed"}


def test_a_worker_grows_with_its_work_and_shrinks_without(
    processes: Processes, wait_until: Callable[..., None]
) -> None:
    worker = scaling(processes, "first")
    assert (hands(worker), backlog()) == (1, 0)
    ids = ask(5, 1)
    assert backlog() == 5
    wait_until(lambda: hands(worker) == MOST, 30, worker.said)
    assert backlog() > 0  # the queue in Redis is shorter by what is under way
    end(ids)
    assert backlog() == 0
    wait_until(lambda: hands(worker) == 1, 30, worker.said)


def test_the_figure_keeps_what_a_killed_worker_had_in_hand(processes: Processes) -> None:
    worker = scaling(processes, "doomed")
    ids = ask(2, 60)
    worker.wait_for(lambda: all(rows.job(one).attempts[0].claimed_at for one in ids))
    redis: Any = rig.app.backend
    assert (redis.client.llen("gpu"), backlog()) == (0, 2)  # by the list alone, nobody would be needed
    worker.kill()
    assert backlog() == 2
    rows.change(ids[0], params={"seconds": 0.0, "fate": "", "seed": 1})
    answers.replace(ids[0], rows.job(ids[0]).attempts[0].id)  # as a watcher does, once it has not beaten for too long
    assert (len(rows.job(ids[0]).attempts), backlog()) == (2, 2)
    scaling(processes, "next")
    end(ids[:1])
    assert backlog() == 1  # the other one is not given up before its time
