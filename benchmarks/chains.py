"""Sixty chains through two kills of everything that works and one flush of the broker."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks import stack
from benchmarks.report import Figure

CHAINS = 60
NAP_S = 0.3
#: How many chains have ended when the kill, the flush, and the second kill come.
BLOWS = (10, 25, 40)
#: A dead attempt is noticed after half a minute; a message of a dead worker comes back after a whole one.
PATIENCE_S = 300.0


def prove(logs: Path) -> list[Figure]:
    """Send the chains, strike three times, and count."""
    from tests.tasks.house import House  # noqa: PLC0415 - settings are read only now that the environment is set

    with stack.processes(logs, "chains") as starter:
        house = House(starter, gpus=4)
        sent = send()
        for least, strike in zip(BLOWS, (kill, flush, kill), strict=True):
            wait(sent, least)
            strike(house)
        wait(sent, CHAINS)
        began = house.written("began")
    twice = sum(count > 1 for count in began.values()) + count_overlaps(sent)
    return [
        Figure(f"chains that ended of {CHAINS}", count_ended(sent), "", f">= {CHAINS}"),
        Figure("attempts that ran twice", twice, "", "<= 0"),
        Figure("attempts for 120 jobs", len(began)),
    ]


def send() -> list[Any]:
    """Send all chains; give the results of their last steps."""
    from celery import chain  # noqa: PLC0415 - the environment must name the broker first

    from tests.rig import nap  # noqa: PLC0415 - the same

    return [chain(nap.s(seconds=NAP_S), nap.s(seconds=NAP_S)).apply_async() for _ in range(CHAINS)]


def kill(house: Any) -> None:
    """End all workers and the watcher as a power cut would, and start others."""
    house.kill("main", "gpu", "watch")
    house.start("main", "gpu", "watch")


def flush(_house: Any) -> None:
    """Let the broker forget everything."""
    from tasks.app import app  # noqa: PLC0415 - the environment must name the broker first

    client: Any = app.backend.client  # type: ignore[attr-defined]  # it is Redis
    client.flushall()


def wait(sent: list[Any], least: int) -> None:
    """Wait until so many chains have ended, but not for ever: what is missing is the figure."""
    until = time.monotonic() + PATIENCE_S
    while count_ended(sent) < least and time.monotonic() < until:
        time.sleep(0.1)


def count_ended(sent: list[Any]) -> int:
    """Count the chains whose last step has completed."""
    from db import pages  # noqa: PLC0415 - the environment must name the database first

    return sum(pages.read(UUID(one.id))["status"] == "completed" for one in sent)


def count_overlaps(sent: list[Any]) -> int:
    """Count the attempts that were made before the one before them had ended."""
    from sqlalchemy import func, select  # noqa: PLC0415 - only here
    from sqlalchemy.orm import aliased  # noqa: PLC0415 - only here

    from db.base import transaction  # noqa: PLC0415 - the environment must name the database first
    from db.jobs import Attempt  # noqa: PLC0415 - the same

    before = aliased(Attempt)
    pairs = select(func.count()).join(before, (before.job_id == Attempt.job_id) & (before.n == Attempt.n - 1))
    ids = [UUID(each) for one in sent for each in (one.id, one.parent.id)]
    early = (before.ended_at.is_(None)) | (before.ended_at > Attempt.created_at)
    with transaction() as session:
        return session.scalar(pairs.select_from(Attempt).where(Attempt.job_id.in_(ids), early)) or 0
