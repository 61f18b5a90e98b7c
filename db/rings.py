"""Which jobs a message was sent for that may be lost: all of these are rung for again when Redis has forgotten."""

from typing import Any

from sqlalchemy import CursorResult, and_, or_, select, update

from db.base import soon, transaction
from db.jobs import ENDED, THROTTLED, Job
from db.life import LONGEST_S, call_watchers
from db.traces import Attempt

#: What waits for its place or its hour has no message.
UNSENT = (THROTTLED, "delayed")


def ring_again() -> int:
    """Make due at once whatever a message was sent for, however far it was put off. Returns how many."""
    # A handler that has begun needs no message any more, and an attempt at RunPod never had one.
    queued = select(Attempt.job_id).where(
        Attempt.ended_at.is_(None), Attempt.claimed_at.is_(None), Attempt.endpoint.is_(None)
    )  # fmt: skip
    sent = or_(
        and_(Job.status == "pending", Job.stage.not_in(UNSENT)),
        Job.status.in_(ENDED),
        and_(Job.status == "processing", Job.id.in_(queued)),
    )
    # What is due later than that waits for a step before it, which is due itself.
    lost = update(Job).where(Job.due_at > soon(0), Job.due_at <= soon(LONGEST_S), sent)
    # As sent once before: else some of them would wait for the messages of others (see unsent.py).
    with transaction() as session:
        done: CursorResult[Any] = session.execute(  # type: ignore[assignment]  # an update's result counts its rows
            lost.values(due_at=soon(0), sends=1).execution_options(synchronize_session=False)
        )
        call_watchers(session)
        return done.rowcount
