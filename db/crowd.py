"""Many attempts at RunPod at once: one statement for all of them where one for each would be most of the work."""

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Select, Text, Update, Uuid, bindparam, case, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from db import life, progress, runs, suspicions
from db.base import quick, reachable, soon, transaction, unnest
from db.jobs import Job
from db.runs import Since, Told
from db.traces import Attempt


@dataclass(frozen=True)
class Heard:
    """That an attempt goes on, in how many seconds it is looked at again, and what its remote told, if it did."""

    job_id: UUID
    attempt_id: UUID
    again_s: float
    told: Told | None = None


@dataclass(frozen=True)
class Named:
    """What a remote calls an attempt, and in how many seconds it is looked at."""

    job_id: UUID
    attempt_id: UUID
    remote_id: str
    again_s: float


def claim_due(limit: int) -> list[tuple[Job, Since]]:
    """Take due jobs that go on at RunPod, or are to, under a lease; several watchers never get the same."""
    with reachable(), quick().connect() as connection:
        ids = connection.scalars(claiming(), {"most": limit}).all()
    if not ids:
        return []
    with transaction() as session:
        return [(job, Since(*age)) for *age, job in session.execute(telling(), {"ids": ids})]


def count() -> int:
    """Count the jobs that are with a remote."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Job.status == "processing")) or 0


def name(named: list[Named]) -> list[bool]:
    """Write down what the remote calls these attempts; tells of each whether it goes on and had no name yet."""
    said = {"ids": [one.attempt_id for one in named], "names": [one.remote_id for one in named]}
    with transaction() as session:
        lock(session, [one.job_id for one in named])
        known = set(session.scalars(naming(), said))
        wait(session, [Heard(one.job_id, one.attempt_id, one.again_s) for one in named if one.attempt_id in known])
    return [one.attempt_id in known for one in named]


def hear(heard: list[Heard]) -> list[None]:
    """Note that these attempts go on, how far they are, and when to look again; one that has ended stays as it is."""
    told = [one.attempt_id for one in heard if one.told]
    with transaction() as session:
        lock(session, [one.job_id for one in heard])
        live = Attempt.id.in_([one.attempt_id for one in heard]), Attempt.ended_at.is_(None)
        known = set(session.scalars(select(Attempt.id).where(*live)))
        beat = update(Attempt).where(Attempt.id.in_(told), Attempt.ended_at.is_(None)).values(beat_at=soon(0))
        session.execute(beat.execution_options(synchronize_session=False))
        wait(session, [one for one in heard if one.attempt_id in known])
        for attempt_id in set(told) - known:
            suspicions.suspect_if_replaced(session, attempt_id)
    return [None] * len(heard)


def lock(session: Session, job_ids: list[UUID]) -> None:
    """Lock jobs in the order of their ids, so that two who lock some of the same never wait for each other."""
    wanted = select(Job.id).where(Job.id.in_(job_ids)).order_by(Job.id)
    session.execute(wanted.with_for_update(key_share=True, of=Job))


def wait(session: Session, heard: list[Heard]) -> None:
    """Make locked jobs due again, each in its time; one that was called for meanwhile stays due now."""
    told = [one.told for one in heard]
    said = {
        "ids": [one.job_id for one in heard],
        "seconds": [one.again_s for one in heard],
        "progresses": [one.progress if one else None for one in told],
        "stages": [one.stage if one else None for one in told],
    }
    if any(told):
        session.execute(progress.telling_many(), said)
    session.execute(waiting(), said)


@cache
def claiming() -> ReturningUpdate[UUID]:
    """Make the statement that takes due jobs, once."""
    return life.take(life.far())


@cache
def telling() -> Select[Any]:
    """Make the statement that tells of jobs what is needed of them, once."""
    wanted = Job.id.in_(bindparam("ids", expanding=True))
    return runs.ages(Job).where(wanted, Attempt.ended_at.is_(None))


@cache
def naming() -> ReturningUpdate[UUID]:
    """Make the statement that gives attempts their names, once."""
    said = unnest(ids=Uuid(), names=Text())
    nameless = Attempt.id == said.c.ids, Attempt.remote_id.is_(None), Attempt.ended_at.is_(None)
    named = update(Attempt).where(*nameless).values(remote_id=said.c.names).returning(Attempt.id)
    return named.execution_options(synchronize_session=False)


@cache
def waiting() -> Update:
    """Make the statement that says of each when it is due again, once."""
    said = unnest(ids=Uuid(), seconds=Float(), progresses=Float(), stages=Text())
    going = update(Job).where(Job.id == said.c.ids, Job.status == "processing")
    told = {
        "progress": func.greatest(Job.progress, said.c.progresses),
        "stage": func.coalesce(said.c.stages, Job.stage),
    }
    later = case((Job.due_at > soon(0), soon(said.c.seconds)), else_=Job.due_at)
    return going.values(due_at=later, sends=0, **told).execution_options(synchronize_session=False)
