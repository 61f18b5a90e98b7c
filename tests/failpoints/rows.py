"""What the rows say of the jobs that bear a mark; and how their time is let pass."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, func, select, update

from db import jobs as tables
from db import life, traces
from db.base import transaction
from storage import claims
from tests import oracle
from tests.failpoints.points import ID
from tests.gateway.cloud import Work

#: As much of the database's time passes at once: more than every deadline of ours that is not of a caller's making.
LONG_S = 400


def bearing(mark: str) -> Any:
    """Say which jobs are meant."""
    return cast(tables.Job.given, Text).like(f"%{mark}%")


def count_over(mark: str) -> int:
    """Count the jobs that have ended and need nobody any more."""
    over = bearing(mark), tables.Job.status.in_(tables.ENDED), tables.Job.due_at.is_(None)
    with transaction() as session:
        return session.scalar(select(func.count()).where(*over)) or 0


def read(mark: str) -> list[tables.Job]:
    """Read the jobs, in the order of their numbers."""
    with transaction() as session:
        found = list(session.scalars(select(tables.Job).where(bearing(mark))))
    return sorted(found, key=lambda job: number_of(job, mark))


def number_of(job: tables.Job, mark: str) -> int:
    """Read a job's number in its canvas: two digits behind the mark."""
    return int(str(job.given).partition(mark)[2][:2] or 0)


def hurry(mark: str) -> None:
    """Let time pass: whatever is due later is due now, and who was sending an attempt has had its time.

    Not for rows that somebody holds: to wait for several of them could be to wait for each other.
    """
    ago = func.make_interval(0, 0, 0, 0, 0, 0, LONG_S)
    with transaction() as session:
        meant = session.scalars(select(tables.Job.id).where(bearing(mark)).with_for_update(skip_locked=True)).all()
        due = update(tables.Job).where(tables.Job.id.in_(meant), tables.Job.due_at > func.clock_timestamp())
        session.execute(due.values(due_at=tables.Job.due_at - ago))
        own = update(traces.Attempt).where(traces.Attempt.job_id.in_(meant))
        session.execute(own.where(traces.Attempt.stop_at.is_not(None)).values(stop_at=traces.Attempt.stop_at - ago))
        intent = own.where(traces.Attempt.endpoint.is_not(None), traces.Attempt.remote_id.is_(None))
        session.execute(intent.values(beat_at=traces.Attempt.beat_at - ago))
        life.call_watchers(session)


def end_wait(mark: str) -> None:
    """Let the week pass in which a job may wait for the steps before it."""
    blocked = update(tables.Job).where(bearing(mark), tables.Job.stage == tables.BLOCKED)
    with transaction() as session:
        session.execute(blocked.values(start_by=func.clock_timestamp(), due_at=func.clock_timestamp()))


def silence(mark: str) -> None:
    """Let it be long since anything was heard of who is at these jobs."""
    ago = func.make_interval(0, 0, 0, 0, 0, 0, LONG_S)
    with transaction() as session:
        meant = select(tables.Job.id).where(bearing(mark)).scalar_subquery()
        live = update(traces.Attempt).where(traces.Attempt.job_id.in_(meant), traces.Attempt.ended_at.is_(None))
        session.execute(live.values(beat_at=traces.Attempt.beat_at - ago))


def show(jobs: Sequence[tables.Job], expected: Mapping[int, str], mark: str, works: Sequence[Work]) -> list[oracle.Job]:
    """Put rows, events and RunPod's ledger before the judge."""
    events = read_events([job.id for job in jobs])
    return [show_one(job, expected[number_of(job, mark)], events[job.id], works) for job in jobs]


def show_one(job: tables.Job, expected: str, events: Sequence[str], works: Sequence[Work]) -> oracle.Job:
    """Put one job before the judge."""
    return oracle.Job(
        str(job.id), job.status, expected, seconds(job.ended_at), tuple(events), has_result=job.result is not None,
        due=job.due_at is not None, settled=job.settled_at is not None, upstream=texts(job.upstream),
        drawn=texts(job.drawn), attempts=tuple(show_attempt(attempt) for attempt in job.attempts),
        author=next(iter(ID.findall(((job.outcome or {}).get("file") or {}).get("r2_path", ""))), ""),
        remote=tuple(work.status for work in works if work.input.get("job_id") == str(job.id)),
    )  # fmt: skip


def show_attempt(attempt: traces.Attempt) -> oracle.Attempt:
    """Put an attempt before the judge; RunPod's handlers keep their outcome in the bucket."""
    kept = attempt.outcome or {}
    if attempt.endpoint and (outcome := claims.find_outcome(str(attempt.id))):
        kept = outcome.model_dump()
    return oracle.Attempt(
        str(attempt.id), attempt.n, ended=attempt.ended_at is not None, to_stop=attempt.stop_at is not None,
        good=kept.get("file") is not None,
    )  # fmt: skip


def read_events(ids: Sequence[UUID]) -> Mapping[UUID | None, list[str]]:
    """Read what happened to jobs, in order."""
    found: dict[UUID | None, list[str]] = defaultdict(list)
    told = select(traces.Event.job_id, traces.Event.name).where(traces.Event.job_id.in_(ids)).order_by(traces.Event.id)
    with transaction() as session:
        for job_id, name in session.execute(told):
            found[job_id].append(name)
    return found


def seconds(moment: datetime | None) -> float | None:
    """Give a moment in seconds since the epoch."""
    return moment.timestamp() if moment else None


def texts(ids: Sequence[UUID]) -> tuple[str, ...]:
    """Write ids down."""
    return tuple(str(one) for one in ids)
