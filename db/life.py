"""What happens to a job together with its neighbours, in one transaction each."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Integer, Select, Update, and_, bindparam, func, not_, select, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from db import course, models, templates
from db.base import quick, reachable, soon
from db.jobs import BLOCKED, ENDED, SEND_AGAIN_S, THROTTLED, Job, Status
from db.traces import Attempt
from tools import references
from tools.allowance import GpuSecondsSpent
from tools.contract import Params, Tool
from tools.errors import Poisoned, ToolError, UpstreamFailed
from tools.plan import Ready, blame_item

#: The channel on which a watcher hears that a job has become due.
DUE_CHANNEL = "packshot_due"

#: Seconds that a watcher has for the jobs that it claimed, before another one may.
LEASE_S = 30

#: The longest that anything is put off, in seconds.
LONGEST_S = 600

#: More jobs of a tool than this are never being started at one moment.
CROWD = 100

#: How the ids among the params are looked up, by kind.
LOOKUPS: dict[str, Callable[[Session, Any], dict[str, Any]]] = {
    "lora": models.find_ready, "object": models.find_named, "template": templates.find,
}  # fmt: skip

#: Those that are ids, so that what they name may not be there; an object's name is none, and means itself.
IDS = frozenset(LOOKUPS) - {"object"}


def lock(session: Session, job_id: UUID) -> Job | None:
    """Lock a job for a transition."""
    return session.get(Job, job_id, with_for_update={"of": Job, "key_share": True}, populate_existing=True)


def lock_all(session: Session, job_ids: Iterable[UUID]) -> dict[UUID, Job]:
    """Lock jobs in the order of their ids, so that two who lock some of the same never wait for each other."""
    wanted = select(Job).where(Job.id.in_(list(job_ids))).order_by(Job.id)
    locked = wanted.with_for_update(of=Job, key_share=True).execution_options(populate_existing=True)
    return {job.id: job for job in session.scalars(locked)}


def claim_due(limit: int) -> list[UUID]:
    """Take due jobs, but those at RunPod (db.crowd), under a lease; several watchers never get the same."""
    with reachable(), quick().connect() as connection:
        return list(connection.scalars(claiming(), {"most": limit}))


@cache
def claiming() -> ReturningUpdate[UUID]:
    """Make the statement that takes due jobs, once."""
    return take(not_(far()))


def take(wanted: ColumnElement[bool]) -> ReturningUpdate[UUID]:
    """Make a statement that takes `most` of the due jobs that are wanted, the longest due first."""
    # By the clock at the statement's start: one that goes on would be read anew for each job that is not due.
    due = select(Job.id).where(Job.due_at <= func.statement_timestamp(), wanted).order_by(Job.due_at)
    first = due.limit(bindparam("most", type_=Integer)).with_for_update(skip_locked=True, key_share=True, of=Job)
    return update(Job).where(Job.id.in_(first)).values(due_at=soon(LEASE_S)).returning(Job.id)


def far() -> ColumnElement[bool]:
    """Say in SQL that a job goes on at RunPod, or is to: what it needs is done for many at once."""
    live = select(Attempt.id).where(Attempt.job_id == Job.id, Attempt.ended_at.is_(None))
    return and_(Job.status == "processing", live.where(Attempt.endpoint.is_not(None)).exists())


def look_up(session: Session, tool: Tool, params: Params) -> dict[str, dict[str, Any]]:
    """Read what the ids and names among the params stand for. Raises ModelNotFound, ModelNotReady, TemplateNotFound."""
    return {
        name: LOOKUPS[kind.name](session, getattr(params, name))
        for name, kind in tool.takes.items()
        if kind.name in LOOKUPS
    }


def check_ids(session: Session, steps: Sequence[Ready]) -> None:
    """Look up the ids in what the steps of a flow are told, each once; what a reference will give comes later.

    Raises:
        ModelNotFound, ModelNotReady, TemplateNotFound, …: with the place in the request.
    """
    seen: set[tuple[str, Any]] = set()
    told = [(step, n, item) for step in steps for n, item in enumerate(step.items)]
    for ready, n, item in told:
        kinds = {name: kind.name for name, kind in ready.tool.takes.items() if kind.name in IDS and name in item}
        for name, kind in kinds.items():
            if (kind, item[name]) in seen or any(references.find(item[name])):
                continue
            seen.add((kind, item[name]))
            try:
                LOOKUPS[kind](session, item[name])
            except ToolError as error:
                raise blame_item(ready, n, name, error) from None


def end(
    session: Session, job: Job, status: Status, *, result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None, outcome: dict[str, Any] | None = None, free: bool = True,
) -> bool:  # fmt: skip
    """End a locked job, and with it what it blocks or what can no longer run. False if it had ended.

    Without `free`, whoever ends many jobs lets those come that wait for their places.
    """
    was_in_flight = job.status == "processing"
    if not job.end(status, result=result, error=error, outcome=outcome):
        return False
    if status != "completed":
        drop_downstream(session, job.id)
    if was_in_flight and free:
        free_places(session, [job.tool])
    if any(attempt.stop_at is not None for attempt in job.attempts):
        call_watchers(session)
    if job.flow_id:
        course.advance(session, job)  # last, as the ends of one flow wait for each other from here to the commit
    return True


def drop_downstream(session: Session, job_id: UUID) -> None:
    """Cancel the jobs that would have followed one that did not complete."""
    drop(session, session.scalars(downstream(job_id)).all())


def drop(session: Session, job_ids: Sequence[UUID]) -> None:
    """Cancel those of these jobs that still wait, as nothing will ever bring their message."""
    waiting = select(Job).where(Job.id.in_(job_ids), Job.status == "pending").order_by(Job.id)
    for job in session.scalars(waiting.with_for_update(key_share=True, of=Job)):
        job.end("cancelled", error=UpstreamFailed().problem())


def downstream(job_id: UUID) -> Any:
    """Select the ids of all jobs that come after one."""
    waits = func.cardinality(Job.upstream) > 0
    after = select(Job.id).where(waits, Job.upstream.contains([job_id])).cte(recursive=True)
    further = select(Job.id).join(after, and_(waits, Job.upstream.contains(array([after.c.id]))))
    return select(after.union(further).c.id)


def read_end(job_id: UUID) -> tuple[Any, Any] | None:
    """Read the error and the result of a job that has ended: nothing changes them any more, so no row is locked."""
    with reachable(), quick().connect() as connection:
        row = connection.execute(reading_end(), {"ended_id": job_id}).one_or_none()
    return (row.error, row.result) if row else None


@cache
def reading_end() -> Select[Any, Any]:
    """Make that statement, once."""
    return select(Job.error, Job.result).where(Job.id == bindparam("ended_id"), Job.status.in_(ENDED))


def settle(job_id: UUID, *, well: bool) -> None:
    """Settle a job, if it has ended as well as its task; else what follows was not sent on, and it stays due.

    The jobs behind it have some seconds to appear, or somebody looks after them.
    """
    with reachable(), quick().connect() as connection:
        connection.execute(settling(), {"settled_id": job_id, "well": well})


@cache
def settling() -> Update:
    """Make the statement that each job runs last, once.

    Whoever waits for other jobs too becomes due all the same: to look at those here would overlook one that is
    settled at the same moment. The watcher looks, and puts off what still has to wait.
    """
    alike = (Job.status == "completed") == bindparam("well", type_=Boolean)
    over = update(Job).where(Job.id == bindparam("settled_id"), Job.status.in_(ENDED), alike)
    ended = over.values(due_at=None, settled_at=soon(0)).returning(Job.id, Job.status).cte("ended")
    behind = update(Job).where(
        func.cardinality(Job.upstream) > 0, Job.upstream.contains(array([ended.c.id])), ended.c.status == "completed",
        Job.status == "pending", Job.stage == BLOCKED,
    )  # fmt: skip
    waiting = behind.values(due_at=soon(SEND_AGAIN_S), sends=0)
    return waiting.add_cte(ended).execution_options(synchronize_session=False)


def now(session: Session) -> datetime:
    """Read the database's clock."""
    clock: datetime = session.scalars(select(soon(0))).one()
    return clock


def is_early(session: Session, job: Job) -> bool:
    """Tell whether the job's hour has not come yet."""
    return job.not_before is not None and now(session) < job.not_before


def is_full(session: Session, tool: Tool) -> bool:
    """Tell whether as many jobs of a tool are with their remote as may be.

    Near the limit the answer is held until the commit, so that two do not take the last place; far from it, nobody
    waits for that.
    """
    if in_flight(session, tool) < tool.limits.max_in_flight - CROWD:
        return False
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"in flight: {tool.name}", 0))))
    return in_flight(session, tool) >= tool.limits.max_in_flight


def in_flight(session: Session, tool: Tool) -> int:
    """Count the jobs of a tool that are with their remote."""
    return session.scalar(select(func.count()).where(Job.tool == tool.name, Job.status == "processing")) or 0


def is_late(session: Session, job: Job) -> bool:
    """Tell whether the time in which the job had to start is over."""
    return job.start_by is not None and now(session) > job.start_by


def put_off(job: Job) -> None:
    """Make a locked due job due again, ever later: what is done for it now may be lost too."""
    job.sends = min(job.sends + 1, 100)
    again = soon(min(SEND_AGAIN_S * 2.0 ** min(job.sends - 1, 6), LONGEST_S))
    if job.status == "pending" and job.start_by is not None:  # its time ends then, however seldom it is sent
        again = func.least(again, func.greatest(job.start_by, soon(SEND_AGAIN_S)))
    job.due_at = again


def poison(session: Session, job: Job) -> None:
    """End a locked job that has killed enough workers, or may take no more GPU seconds."""
    end(session, job, "failed", error=(GpuSecondsSpent() if job.spent else Poisoned()).problem())


def reopen_upstream(session: Session, job: Job) -> list[Job]:
    """Take back that the jobs before a blocked one were settled; none, if one of them still has something to do."""
    before = select(Job).where(Job.id.in_(job.upstream)).order_by(Job.id).with_for_update(key_share=True, of=Job)
    found = list(session.scalars(before))
    if any(step.settled_at is None for step in found) or (found and misses_members(job) and is_soon(session, found)):
        return []
    for step in found:
        step.unsettle()
    return found


def misses_members(job: Job) -> bool:
    """Tell whether a chord's body has members of which we know nothing: not ours, or never sent."""
    return not set(job.members) <= set(job.upstream)


def is_soon(session: Session, before: Sequence[Job]) -> bool:
    """Tell whether ended steps were sent again not long ago, measured by how long before that they had ended."""
    times = [(step.ended_at, step.settled_at) for step in before if step.ended_at and step.settled_at]
    ended, settled = (max(at) for at in zip(*times, strict=True))
    again: datetime = settled + (settled - ended)
    return now(session) < again


def count_members(session: Session, job_id: UUID) -> int | None:
    """Count the members of the chord that a job is in; None if it is in none, or if not all of them are ours."""
    body = select(Job).where(func.cardinality(Job.members) > 0, Job.members.contains([job_id]))
    found = session.scalars(body).first()
    return len(found.members) if found and set(found.members) == set(found.upstream) else None


def free_places(session: Session, tools: Iterable[str]) -> None:
    """Let as many throttled jobs come as have ended, each for one of its tool."""
    for tool, places in Counter(tools).items():
        if session.execute(next_in_line(), {"freed_tool": tool, "places": places}).all():
            call_watchers(session)


def call_watchers(session: Session) -> None:
    """Let the watchers hear, at the commit, that something is due."""
    session.execute(select(func.pg_notify(DUE_CHANNEL, "")))


@cache
def next_in_line() -> ReturningUpdate[UUID]:
    """Make the statement that the ends of jobs run, once."""
    held = select(Job.id).where(
        Job.tool == bindparam("freed_tool"), Job.status == "pending", Job.stage == THROTTLED, Job.due_at > soon(1)
    )  # fmt: skip
    first = held.order_by(Job.priority, Job.created_at).limit(bindparam("places", type_=Integer))
    first = first.with_for_update(skip_locked=True)
    freed = update(Job).where(Job.id.in_(first)).values(due_at=soon(0)).returning(Job.id)
    return freed.execution_options(synchronize_session=False)
