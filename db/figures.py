"""What the house is at, in figures: read for Prometheus, a few cheap statements at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, column, func, literal_column, select, table

from db import watchers
from db.base import quick, reachable, soon
from db.jobs import Job
from db.suspicions import Suspicion
from db.traces import Attempt

#: How long after its end a job is counted, in seconds: by then every transaction that ended one has been committed.
LAG_S = 30

#: What the workers of each queue have to do, as a view: whoever scales them may read it by itself.
BACKLOG = table("backlog", column("queue"), column("jobs"))


@dataclass(frozen=True)
class Now:
    """What is so at this moment."""

    #: (tool, status, stage, jobs, seconds since the oldest was made) of each job that has not ended.
    open_jobs: Sequence[Any]
    #: (tool, remote, state, attempts): `own` or `runpod`, `waiting` or `running`.
    attempts: Sequence[Any]
    #: (queue, jobs)
    backlog: Sequence[Any]
    #: (what, how many) for good.
    suspicions: Sequence[Any]
    watchers: int


def read_now() -> Now:
    """Read what is so now. Raises Unavailable."""
    count = func.count()
    stage = case((Job.status == word("pending"), Job.stage), else_=Job.status)  # what runs says too many
    age = func.extract("epoch", soon(0) - func.min(Job.created_at))
    # Whatever has not ended is due at some time, so that this reads no job that has.
    going = select(Job.tool, Job.status, stage, count, age).where(Job.due_at.is_not(None), Job.ended_at.is_(None))
    remote = case((Attempt.endpoint.is_(None), word("own")), else_=word("runpod"))
    state = case((Job.stage == word("waiting_for_gpu"), word("waiting")), else_=word("running"))
    live = select(Job.tool, remote, state, count).join(Job, Job.id == Attempt.job_id).where(Attempt.ended_at.is_(None))
    with reachable(), quick().connect() as connection:
        return Now(
            open_jobs=connection.execute(going.group_by(Job.tool, Job.status, stage)).all(),
            attempts=connection.execute(live.group_by(Job.tool, remote, state)).all(),
            backlog=connection.execute(select(BACKLOG)).all(),
            suspicions=connection.execute(select(Suspicion.what, count).group_by(Suspicion.what)).all(),
            watchers=watchers.count(),
        )


@dataclass(frozen=True)
class Ends:
    """What has ended in a span of time, and until when that reaches."""

    until: datetime
    #: (tool, status, engine, seconds until it started or None, seconds from its end until it was settled or None)
    jobs: Sequence[Any]
    #: (tool, gpu, seconds waited, seconds on a GPU, US dollars, seconds under way), each None where nobody knows.
    attempts: Sequence[Any]


def read_ends(since: datetime | None) -> Ends:
    """Read what has ended since then, but for what ended just now; without `since`, only until when that is."""
    with reachable(), quick().connect() as connection:
        until: datetime = connection.execute(select(soon(-LAG_S))).scalar_one()
        if since is None:
            return Ends(until, [], [])
        span = (Job.ended_at > since, Job.ended_at <= until)
        ended = select(Job.tool, Job.status, Job.outcome["engine"].as_string(), queued_s(), settled_s()).where(*span)
        tried = select(Job.tool, Attempt.gpu, Attempt.delay_ms, Attempt.execution_ms, Attempt.cost_usd, ran_s())
        tried = tried.join_from(Job, Attempt, Attempt.job_id == Job.id).where(*span)
        return Ends(until, connection.execute(ended).all(), connection.execute(tried).all())


def queued_s() -> Any:
    """Say in SQL how long a job was queued before its start; of one that waited for others nobody can say."""
    queued = func.extract("epoch", Job.started_at - Job.created_at)
    return case((func.cardinality(Job.upstream) == 0, queued))


def settled_s() -> Any:
    """Say in SQL how long it took to send on what follows an ended job."""
    return func.extract("epoch", Job.settled_at - Job.ended_at)


def ran_s() -> Any:
    """Say in SQL how long an attempt of ours was under way."""
    return func.extract("epoch", Attempt.ended_at - Attempt.claimed_at)


def word(text: str) -> Any:
    """Write a word into the statement itself, so that it can be grouped by."""
    return literal_column(f"'{text}'")
