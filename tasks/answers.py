"""What follows from a remote's answer, whoever asked for it."""

from uuid import UUID

from sqlalchemy.orm import Session

from db import crowd, life, suspicions
from db.base import soon, transaction
from db.crowd import Heard
from db.jobs import Job
from tasks import ending
from tasks.remotes import queue
from tasks.remotes.choice import endpoint_of, remote_of
from tasks.remotes.remote import Answer, Ended, Lost, Running, Taken, live


def submit(job: Job) -> None:
    """Hand the job's attempt to its remote, always under the same id."""
    follow(job, remote_of(live(job)).submit(job))


def look(job: Job) -> None:
    """Ask the remote how the attempt is."""
    follow(job, remote_of(live(job)).look(job))


def follow(job: Job, answer: Answer) -> None:
    """Do what an answer asks for."""
    attempt = live(job)
    match answer:
        case Taken(remote_id, again_s):
            if remote_id != attempt.remote_id:
                note(job.id, attempt.id, remote_id, again_s)
        case Running(again_s, told):
            crowd.hear([Heard(job.id, attempt.id, again_s, told)])
        case Ended(outcome, meter):
            ending.conclude(job.id, attempt.id, ending.confirm(outcome), meter)
        case Lost():
            replace(job.id, attempt.id)


def note(job_id: UUID, attempt_id: UUID, remote_id: str, again_s: float) -> None:
    """Write down what the remote calls the attempt, which may have ended before the answer came."""
    with transaction() as session:
        job = life.lock(session, job_id)
        known = {one.remote_id for one in job.attempts if one.id == attempt_id} if job else set()
        if known - {None, remote_id}:
            suspicions.suspect(session, job_id, attempt_id, suspicions.SECOND_REMOTE_ID)
        if job and job.attempt and job.attempt.id == attempt_id:
            job.submitted(remote_id, again_s)
        elif job and job.submitted_late(attempt_id, remote_id):
            life.call_watchers(session)


def replace(job_id: UUID, attempt_id: UUID) -> None:
    """Make a new attempt for one that is proved dead, or give the job up after the last."""
    with ending.transition() as session:
        job = life.lock(session, job_id)
        if job is None or job.attempt is None or job.attempt.id != attempt_id:
            return
        lost = job.attempt
        if fresh := job.lose(endpoint_of(job.tool)):
            name(session, job)
            session.flush()
            session.refresh(lost)  # the database has told the time of its end, which is read below
        else:
            life.poison(session, job)
    if not fresh:
        ending.send(job)
    elif fresh.endpoint is None:
        submit(job)


def name(session: Session, job: Job) -> None:
    """Write down what our own queue will call a new attempt; RunPod names it only when the watcher has submitted it."""
    attempt = live(job)
    if attempt.endpoint is None:
        job.submitted(queue.name(attempt.id), queue.first_look_s(job))
    else:
        job.due_at = soon(0)
        life.call_watchers(session)
