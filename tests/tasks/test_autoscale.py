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


def test_the_figure_follows_a_worker_that_grows_is_killed_and_shrinks(
    processes: Processes, wait_until: Callable[..., None]
) -> None:
    worker = scaling(processes, "first")
    assert (hands(worker), backlog()) == (1, 0)
    doomed = ask(4, 60)
    assert backlog() == 4
    wait_until(lambda: hands(worker) == MOST, 30, worker.said)
    wait_until(lambda: sum(bool(rows.job(one).attempts[0].claimed_at) for one in doomed) == MOST, 30, worker.said)
    assert (waiting(), backlog()) == (1, 4)  # by the list alone, one worker more would do
    worker.kill()
    assert backlog() == 4
    for job_id in doomed:  # as somebody who has changed his mind, and a watcher who has found out about the worker
        rows.change(job_id, params={"seconds": 0.5, "fate": "", "seed": 1})
        if (attempt := rows.job(job_id).attempts[0]).claimed_at:
            answers.replace(job_id, attempt.id)
    assert (sum(len(rows.job(one).attempts) for one in doomed), backlog()) == (4 + MOST, 4)
    heir = scaling(processes, "next")
    end(doomed)
    assert backlog() == 0
    wait_until(lambda: hands(heir) == 1 and "Scaling down" in heir.said(), 30, heir.said)


def waiting() -> int:
    """Count what waits in Redis."""
    redis: Any = rig.app.backend
    return int(redis.client.llen("gpu"))
