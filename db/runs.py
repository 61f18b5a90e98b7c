"""Attempts at RunPod: who may send one, what was heard of it, and whether it has stopped."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Integer, Select, bindparam, cast, func, or_, select, text, update
from sqlalchemy.sql.dml import ReturningUpdate

from db import life, suspicions
from db.base import quick, reachable, soon, transaction
from db.jobs import Job
from db.traces import Attempt

#: Seconds in which nobody else sends an attempt: whoever may, has its answer or gives up before.
SEND_S = 30

#: Seconds after which a stop is tried again that did not come through.
STOP_AGAIN_S = 5

#: RunPod itself forgets a job after a week; then there is nothing left to stop.
STOP_WITHIN_S = 8 * 24 * 3600

#: Jobs from which it is learned how long a tool takes.
SAMPLE = 20


@dataclass(frozen=True)
class Meter:
    """What a remote says that an attempt took, in milliseconds, and who did it."""

    delay_ms: int | None = None
    execution_ms: int | None = None
    worker: str | None = None


@dataclass(frozen=True)
class Told:
    """What a remote tells of an attempt that goes on: how far it is (0 to 1), and what it does."""

    progress: float
    stage: str


def may_send(*attempt_ids: UUID) -> set[UUID]:
    """Take the right to send attempts that no remote is known to have; two never have it at once."""
    free = or_(Attempt.beat_at.is_(None), Attempt.beat_at < soon(-SEND_S))
    intent = update(Attempt).where(
        Attempt.id.in_(attempt_ids), Attempt.remote_id.is_(None), Attempt.ended_at.is_(None), free
    )  # fmt: skip
    with reachable(), quick().connect() as connection:
        taken = intent.values(beat_at=soon(0), sends=Attempt.sends + 1).returning(Attempt.id)
        return set(connection.scalars(taken))


def give_back(attempt_id: UUID) -> None:
    """Give the right back: the remote surely has not taken the attempt, so that it was not sent."""
    intent = update(Attempt).where(Attempt.id == attempt_id, Attempt.remote_id.is_(None))
    with reachable(), quick().connect() as connection:
        connection.execute(intent.values(beat_at=None, sends=func.greatest(Attempt.sends - 1, 0)))


@dataclass(frozen=True)
class Since:
    """Seconds since an attempt was made, and since it was last heard of; and whether it should have begun by now."""

    age_s: float
    silent_s: float
    late: bool


def since(attempt_id: UUID) -> Since:
    """Read how old an attempt is, by the database's clock."""
    with reachable(), quick().connect() as connection:
        return Since(*connection.execute(ages().where(Attempt.id == attempt_id)).one())


def ages(*more: Any) -> Select[Any]:
    """Select how old attempts are, and more of what is known of them."""
    age, heard = (cast(func.extract("epoch", soon(0) - at), Float) for at in (Attempt.created_at, Attempt.beat_at))
    late = func.coalesce(Job.start_by < soon(0), text("false"))
    return select(age, func.coalesce(heard, age), late, *more).join_from(Attempt, Job, Job.id == Attempt.job_id)


def usual_s(tool: str) -> float | None:
    """Learn how long a tool takes, from its last completed jobs: the median, in seconds; None without any."""
    took = func.extract("epoch", Job.ended_at - Job.started_at).label("took")
    last = select(took).where(Job.tool == tool, Job.status == "completed", Job.started_at.is_not(None))
    recent = last.order_by(Job.created_at.desc()).limit(SAMPLE).subquery()
    with reachable(), quick().connect() as connection:
        median = connection.scalar(select(func.percentile_cont(0.5).within_group(recent.c.took)))
    return None if median is None else float(median)


def call(attempt_id: UUID) -> None:
    """Have an attempt looked at now. One that has ended, or is due anyway, needs nobody."""
    with reachable(), quick().connect() as connection:
        connection.execute(calling(), {"called_id": attempt_id})


@cache
def calling() -> Select[Any]:
    """Make the statement that each doorbell of a remote runs, once. The watchers hear only of what it changed."""
    live = select(Attempt.job_id).where(Attempt.id == bindparam("called_id"), Attempt.ended_at.is_(None))
    waiting = update(Job).where(Job.id.in_(live), Job.status == "processing", Job.due_at > soon(0))
    called = waiting.values(due_at=soon(0)).returning(Job.id).cte("called")
    return select(func.pg_notify(life.DUE_CHANNEL, "")).select_from(called)


def claim_stops(limit: int) -> list[Attempt]:
    """Take attempts that a remote must be told to stop; one that is not, is taken again soon."""
    with reachable(), quick().connect() as connection:
        ids = connection.scalars(claiming_stops(), {"most": limit}).all()
    if not ids:
        return []
    with transaction() as session:
        return list(session.scalars(select(Attempt).where(Attempt.id.in_(ids))))


@cache
def claiming_stops() -> ReturningUpdate[UUID]:
    """Make the statement that takes them, once."""
    due = select(Attempt.id).where(
        Attempt.stop_at <= func.statement_timestamp(), Attempt.ended_at > soon(-STOP_WITHIN_S)
    )
    first = due.order_by(Attempt.stop_at).limit(bindparam("most", type_=Integer)).with_for_update(skip_locked=True)
    return update(Attempt).where(Attempt.id.in_(first)).values(stop_at=soon(STOP_AGAIN_S)).returning(Attempt.id)


def stopped(attempt_id: UUID) -> None:
    """Note that an attempt does not run any more, nor ever will."""
    with reachable(), quick().connect() as connection:
        connection.execute(update(Attempt).where(Attempt.id == attempt_id).values(stop_at=None))


def charge(attempt_id: UUID, meter: Meter) -> None:
    """Note what an attempt cost that we ended ourselves."""
    with transaction() as session:
        job_id = session.scalar(select(Attempt.job_id).where(Attempt.id == attempt_id))
        if job_id and (job := life.lock(session, job_id)):
            job.charge(attempt_id, **asdict(meter))
            if meter.execution_ms:
                suspicions.suspect_if_replaced(session, attempt_id)
