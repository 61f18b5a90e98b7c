"""The attempts on our own queue: claimed once, beating while they run, and their outcome."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, text, update

from db import progress, suspicions
from db.base import quick, reachable, soon, transaction
from db.jobs import Job
from db.traces import Attempt

#: An attempt whose worker has not been heard of for so long is lost, in seconds.
STALE_S = 30

#: So long after the database's start, workers may still have to tell what they did while it was away, in seconds.
YOUNG_S = 15

#: Who has the claim of an attempt that nobody shall begin any more.
HOUSE = "house"


@dataclass(frozen=True)
class Seen:
    """What is known of an attempt. Times in seconds, by the database's clock."""

    outcome: dict[str, Any] | None
    claimed: bool
    #: Its worker was not heard of for long; and that is no fault of the database, so that the attempt is lost.
    silent: bool
    stale: bool
    sends: int
    #: For how long it has been running, and for how long its job may still wait for its start.
    ran_s: float
    waits_s: float
    #: The database has just come back.
    young: bool = False


def claim(attempt_id: UUID, worker: str) -> dict[str, Any] | None:
    """Take an attempt, once and for all: what its handler is told, or None if another has it or it has ended."""
    mine = update(Attempt).where(
        Attempt.id == attempt_id, Attempt.claimed_at.is_(None), Attempt.ended_at.is_(None)
    )  # fmt: skip
    taken = mine.values(claimed_at=soon(0), beat_at=soon(0), worker=worker).returning(Attempt.job_id)
    with reachable(), quick().connect() as connection:
        job_id = connection.scalar(taken)
        if job_id is None:
            return None
        wanted = select(Job.tool, Job.params, Job.found, Job.timeout_s, Job.flow_id, Job.request_id).where(
            Job.id == job_id
        )
        told = dict(connection.execute(wanted).one()._asdict())
    return {"job_id": str(job_id), "attempt_id": str(attempt_id), **told}


def forestall(attempt_id: UUID) -> bool:
    """Take an attempt that waits so that nobody can begin it any more; False: somebody has."""
    waiting = or_(Attempt.claimed_at.is_(None), Attempt.worker == HOUSE)
    unbegun = update(Attempt).where(Attempt.id == attempt_id, Attempt.ended_at.is_(None), waiting)
    with reachable(), quick().connect() as connection:
        taken = unbegun.values(claimed_at=soon(0), beat_at=soon(0), worker=HOUSE).returning(Attempt.id)
        return connection.scalar(taken) is not None


def beat(attempt_id: UUID, far: float, stage: str) -> bool:
    """Say that the attempt goes on, and how far it is (0 to 1). False: it was ended meanwhile, so stop."""
    alive = update(Attempt).where(Attempt.id == attempt_id, Attempt.ended_at.is_(None)).values(beat_at=soon(0))
    # Each statement is a transaction of its own: whoever holds both rows took the job's first.
    with reachable(), quick().connect() as connection:
        job_id = connection.scalar(alive.returning(Attempt.job_id))
        if job_id is None:
            suspicions.suspect_if_replaced(connection, attempt_id)
            return False
        connection.execute(progress.telling_one(), {"told_id": job_id, "told_progress": far, "told_stage": stage})
    return True


def finish(attempt_id: UUID, outcome: dict[str, Any]) -> bool:
    """Write down what the attempt came to; False if it was ended meanwhile."""
    live = update(Attempt).where(Attempt.id == attempt_id, Attempt.ended_at.is_(None))
    with reachable(), quick().connect() as connection:
        return connection.execute(live.values(outcome=outcome, beat_at=soon(0))).rowcount > 0


def count_waiting() -> int:
    """Count the attempts on our own queue that nobody has claimed yet."""
    waiting = select(func.count()).where(
        Attempt.ended_at.is_(None), Attempt.claimed_at.is_(None), Attempt.endpoint.is_(None)
    )  # fmt: skip
    with reachable(), quick().connect() as connection:
        return connection.scalar(waiting) or 0


def look(attempt_id: UUID) -> Seen:
    """Look at an attempt; one that nobody has claimed yet is counted as sent once more."""
    unclaimed = update(Attempt).where(Attempt.id == attempt_id, Attempt.claimed_at.is_(None))
    # While PostgreSQL was away nobody could beat: after its start, workers get time to.
    silent = func.coalesce(Attempt.beat_at < soon(-STALE_S), text("false"))
    stale = and_(silent, func.pg_postmaster_start_time() < soon(-STALE_S))
    ran, waits = (func.extract("epoch", span) for span in (soon(0) - Attempt.claimed_at, Job.start_by - soon(0)))
    young = func.pg_postmaster_start_time() > soon(-YOUNG_S)
    known = select(
        Attempt.outcome, Attempt.claimed_at, silent.label("silent"), stale.label("stale"), Attempt.sends,
        young.label("young"),
        func.coalesce(ran, 0.0).label("ran_s"), func.coalesce(waits, float("inf")).label("waits_s"),
    )  # fmt: skip
    with transaction() as session:
        session.execute(unclaimed.values(sends=Attempt.sends + 1))
        row = session.execute(known.join(Job, Job.id == Attempt.job_id).where(Attempt.id == attempt_id)).one()
    times = float(row.ran_s), float(row.waits_s)
    heard = row.claimed_at is not None, row.silent, row.stale
    return Seen(row.outcome, *heard, row.sends, *times, young=row.young)
