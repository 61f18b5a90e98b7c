"""What is forgotten, and when: a little at a time, by the database's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Delete, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import array

from db.base import soon, transaction
from db.flows import Flow, Step
from db.intake import IdempotencyKey
from db.jobs import ENDED, Job
from db.models import Model
from db.receivers import Delivery
from db.traces import DAY_S, Attempt, Event
from db.watchers import Watcher

#: Rows that are deleted at once: few enough that nobody waits for their locks.
BATCH = 500

#: Seconds after which a sweep is tried again that did not come through.
SWEEP_AGAIN_S = 3600


@dataclass(frozen=True)
class Remains:
    """What an ended attempt may have left in the bucket."""

    attempt_id: UUID
    tool: str
    endpoint: str | None
    #: The file that is its job's result, whichever attempt made it.
    r2_path: str | None


def forget_keys() -> int:
    """Delete idempotency keys a day after their job or their flow has ended. Returns how many."""
    key = tuple_(IdempotencyKey.route, IdempotencyKey.key)
    over = (
        select(IdempotencyKey.route, IdempotencyKey.key)
        .outerjoin(Job, Job.id == IdempotencyKey.job_id)
        .outerjoin(Flow, Flow.id == IdempotencyKey.flow_id)
    )
    ended_at = func.coalesce(Job.ended_at, Flow.ended_at)
    old = over.where(IdempotencyKey.created_at < soon(-DAY_S), ended_at < soon(-DAY_S))
    first = old.order_by(IdempotencyKey.created_at).limit(BATCH)
    return run(delete(IdempotencyKey).where(key.in_(first.with_for_update(skip_locked=True, of=IdempotencyKey))))


def forget_events(days: int) -> int:
    """Delete events that are older than so many days. Returns how many."""
    # By time they have no index; their ids grow with it, so that what is old is found among the first.
    first = func.array(select(Event.id).order_by(Event.id).limit(BATCH).scalar_subquery())
    old = select(Event.id).where(Event.id == func.any(first), Event.at < soon(-days * DAY_S))
    return run(delete(Event).where(Event.id.in_(old.with_for_update(skip_locked=True))))


def forget_deliveries(days: int) -> int:
    """Delete what receivers were told more than so many days ago, and what is given up. Returns how many."""
    old = select(Delivery.id).where(Delivery.created_at < soon(-days * DAY_S), Delivery.due_at.is_(None))
    first = old.order_by(Delivery.created_at).limit(BATCH)
    return run(delete(Delivery).where(Delivery.id.in_(first.with_for_update(skip_locked=True))))


def forget_jobs(days: int) -> int:
    """Delete jobs that ended so many days ago, but for those that made a model. Returns how many."""
    unswept = select(Attempt.id).where(
        Attempt.job_id == Job.id, or_(Attempt.sweep_at.is_not(None), Attempt.stop_at.is_not(None))
    )  # fmt: skip
    # A flow that goes on hands their results on, also where it took them over from another.
    going = select(Step.flow_id).join(Flow, Flow.id == Step.flow_id).where(Flow.ended_at.is_(None))
    wanted = going.where(Step.jobs.contains(array([Job.id])))
    old = select(Job.id).where(
        Job.created_at < soon(-days * DAY_S), Job.ended_at < soon(-days * DAY_S), Job.status.in_(ENDED),
        ~select(Model.id).where(Model.job_id == Job.id).exists(), ~unswept.exists(), ~wanted.exists(),
    )  # fmt: skip
    first = old.order_by(Job.created_at).limit(BATCH)
    return run(delete(Job).where(Job.id.in_(first.with_for_update(skip_locked=True, of=Job))))


def forget_watchers() -> int:
    """Delete watchers that were not seen for a day. Returns how many."""
    return run(delete(Watcher).where(Watcher.beat_at < soon(-DAY_S)))


def forget_flows(days: int) -> int:
    """Delete flows that ended so many days ago; their jobs go by themselves. Returns how many."""
    old = select(Flow.id).where(Flow.created_at < soon(-days * DAY_S), Flow.ended_at < soon(-days * DAY_S))
    first = old.order_by(Flow.created_at).limit(BATCH)
    return run(delete(Flow).where(Flow.id.in_(first.with_for_update(skip_locked=True, of=Flow))))


def run(statement: Delete) -> int:
    """Run one deletion as a transaction of its own."""
    with transaction() as session:
        done: CursorResult[Any] = session.execute(statement.execution_options(synchronize_session=False))  # type: ignore[assignment]  # a deletion's result counts its rows
        return done.rowcount


def claim_sweeps(limit: int) -> list[Remains]:
    """Take ended attempts whose remains can go; those that are not swept are taken again, later."""
    due = select(Attempt.id).where(Attempt.sweep_at <= soon(0), Attempt.stop_at.is_(None)).order_by(Attempt.sweep_at)
    first = due.limit(limit).with_for_update(skip_locked=True)
    claimed = update(Attempt).where(Attempt.id.in_(first)).values(sweep_at=soon(SWEEP_AGAIN_S))
    with transaction() as session:
        taken = claimed.returning(Attempt.id).execution_options(synchronize_session=False)
        ids = list(session.scalars(taken))
        known = select(Attempt.id, Job.tool, Attempt.endpoint, Job.outcome["file"]["r2_path"].as_string())
        rows = session.execute(known.join(Job, Job.id == Attempt.job_id).where(Attempt.id.in_(ids))).all()
    return [Remains(*row) for row in rows]


def swept(attempt_ids: Sequence[UUID]) -> None:
    """Note that nothing is left of these attempts but their rows, and their jobs' results."""
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id.in_(attempt_ids)).values(sweep_at=None))
