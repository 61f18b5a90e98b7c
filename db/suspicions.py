"""What may have been paid twice: each sign of it is counted once, and kept for good."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Identity, Index, create_engine, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from db.base import Base, Moment, reachable
from db.traces import Attempt
from settings import use_psycopg2

#: The remote has, or had, two jobs for one attempt. A claim lets only one of them run.
SECOND_REMOTE_ID = "second_remote_id"
#: An attempt left a file although its job had been ended otherwise, or had been given to another attempt.
LATE_OUTCOME = "late_outcome"
#: A remote says that an attempt was at work which was given up for a new one.
LOST_ATTEMPT_RAN = "lost_attempt_ran"

KINDS = (SECOND_REMOTE_ID, LATE_OUTCOME, LOST_ATTEMPT_RAN)


class Suspicion(Base):
    """A sign that something was paid twice. It outlives its job."""

    __tablename__ = "suspicions"
    __table_args__ = (Index("uq_suspicions_attempt_id_what", "attempt_id", "what", unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    job_id: Mapped[UUID]
    attempt_id: Mapped[UUID]
    what: Mapped[str]


def suspect(session: Session | Connection, job_id: UUID, attempt_id: UUID, what: str) -> None:
    """Count a sign; the same one again counts no further."""
    row = {"job_id": job_id, "attempt_id": attempt_id, "what": what}
    session.execute(insert(Suspicion).values(row).on_conflict_do_nothing())


def suspect_if_replaced(connection: Session | Connection, attempt_id: UUID) -> None:
    """Count a sign of life from an attempt that was given up for a newer one."""
    newer = aliased(Attempt)
    replaced = (
        select(Attempt.job_id, Attempt.id, literal(LOST_ATTEMPT_RAN))
        .join(newer, newer.job_id == Attempt.job_id)
        .where(Attempt.id == attempt_id, newer.n > Attempt.n)
        .limit(1)
    )
    names = ["job_id", "attempt_id", "what"]
    connection.execute(insert(Suspicion).from_select(names, replaced, include_defaults=False).on_conflict_do_nothing())


def count(url: str) -> dict[str, int]:
    """Count the signs of each kind, in the database at this URL. Raises Unavailable."""
    engine = create_engine(use_psycopg2(url), connect_args={"connect_timeout": 2})
    try:
        with reachable(), engine.connect() as connection:
            found = connection.execute(select(Suspicion.what, func.count()).group_by(Suspicion.what))
            return {what: number for what, number in found}  # noqa: C416 - a row is no pair to mypy
    finally:
        engine.dispose()
