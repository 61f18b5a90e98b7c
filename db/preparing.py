"""Jobs that a worker prepares: the watcher and other workers leave them alone, for as long as that worker lives."""

from uuid import UUID

from sqlalchemy import select, update

from db import life
from db.base import quick, reachable, soon, transaction
from db.jobs import BLOCKED, SEND_AGAIN_S, Job

#: How a job is shown while all the photos of a dataset come in, and for how many seconds it is then one worker's.
PREPARING, LEASE_S = "preparing", 30.0


def begin(job_id: UUID) -> bool:
    """Take what takes long; False: another worker is at it, and will go on. One that is lost comes due."""
    with transaction() as session:
        job = life.lock(session, job_id)
        if job is None or job.status != "pending" or job.blocked:
            return True  # nobody else can be at it, or the row says what is to be done
        if job.stage == PREPARING and job.due_at is not None and life.now(session) < job.due_at:
            return False
        job.stage, job.due_at = PREPARING, soon(LEASE_S)
    return True


def renew(job_id: UUID) -> None:
    """Keep it for another while."""
    mine = update(Job).where(Job.id == job_id, Job.status == "pending", Job.stage == PREPARING)
    with reachable(), quick().connect() as connection:
        connection.execute(mine.values(due_at=soon(LEASE_S)))


def expect(job_id: UUID, seconds: float) -> bool:
    """Note that a job's message comes again in so many seconds, and none else need be sent; False: it is past that."""
    waits = update(Job).where(Job.id == job_id, Job.status == "pending", Job.stage != BLOCKED)
    with reachable(), quick().connect() as connection:
        connection.execute(waits.values(due_at=soon(seconds + SEND_AGAIN_S)))
        return connection.scalar(select(Job.status).where(Job.id == job_id)) in {None, "pending"}
