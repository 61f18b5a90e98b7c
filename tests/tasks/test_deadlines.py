"""A job that waits or runs longer than its caller allows is ended, and its canvas hears of it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import chain
from sqlalchemy import select

from db import intake, life
from db.base import soon, transaction
from db.intake import Asked
from db.jobs import Job
from db.traces import Attempt
from tasks import answers
from tasks.remotes import queue
from tasks.remotes.remote import Ended, Running
from tests import rig
from tests.conftest import wait_until
from tests.db import rows
from tests.tasks.house import House, read, wait_for_end
from tools.deadlines import Deadlines
from tools.errors import ExecutionTimeout, Expired, InvalidInput

nap: Any = rig.nap
pytestmark = pytest.mark.usefixtures("house")

PARAMS = {"seconds": 0.0, "fate": "", "seed": 1}


def attempt_of(job_id: str | UUID) -> Attempt:
    with transaction() as session:
        return session.scalars(select(Attempt).where(Attempt.job_id == UUID(str(job_id)))).one()


def waiting() -> Job:
    """Take in a job and start it, but let nobody run it or look after it."""
    asked = Asked(uuid4(), rig.NAP, PARAMS, PARAMS, 1, Deadlines(start_within_seconds=60, timeout_seconds=30))
    intake.accept(asked)
    rows.start(asked.id)
    rows.change(asked.id, due_at=None)
    return rows.job(asked.id)


def change(job: Job, **values: Any) -> None:
    with transaction() as session:
        attempt = rows.lock(session, job.id).attempt
        assert attempt
        for name, value in values.items():
            setattr(attempt, name, value)


def test_a_run_that_takes_too_long_is_stopped_and_fails(house: House) -> None:
    sent: Any = chain(nap.s(seconds=60, timeout_seconds=5), nap.s()).apply_async()
    with pytest.raises(ExecutionTimeout, match="did not end within its time"):
        sent.parent.get(timeout=30)
    job, after = wait_for_end(sent.parent.id, sent.id)
    assert (job["status"], job["error"]["code"], after["error"]["code"]) == (
        "failed", "execution_timeout", "upstream_failed",
    )  # fmt: skip
    attempt = attempt_of(job["job_id"])
    assert attempt.claimed_at
    assert attempt.ended_at
    assert 5 <= (attempt.ended_at - attempt.claimed_at).total_seconds() < 8
    wait_until(lambda: house.written("ended")[str(attempt.id)], 8)


def test_deadlines_are_not_among_the_params() -> None:
    sent: Any = nap.delay(seed=3, start_within_seconds=60, timeout_seconds=60)
    assert set(sent.get(timeout=30)["nap_params"]) == {"seconds", "fate", "seed"}
    job = read(sent.id)
    assert job["input"] == {"seed": 3, "start_within_seconds": 60, "timeout_seconds": 60}
    assert set(job["params"]) == {"image_url", "seconds", "fate", "seed"}


def test_a_later_step_has_its_whole_time_once_the_step_before_is_over() -> None:
    sent: Any = chain(nap.s(seconds=6), nap.s(start_within_seconds=5)).apply_async()
    (job,) = wait_for_end(sent.id)
    assert job["status"] == "completed"


def test_nonsense_in_a_canvas_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidInput, match="timeout_seconds: Input should be less than or equal to 600"):
        chain(nap.s(), nap.s(timeout_seconds=601)).apply_async()


def test_nonsense_in_a_message_that_no_canvas_announced_fails_its_job() -> None:
    job_id = str(uuid4())
    nap.apply_async(kwargs={"timeout_seconds": -1}, task_id=job_id, known=True)
    wait_until(lambda: is_known(job_id))
    (job,) = wait_for_end(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "invalid_input")


def is_known(job_id: str) -> bool:
    with transaction() as session:
        return session.get(Job, UUID(job_id)) is not None


def test_a_message_that_comes_too_late_starts_nothing() -> None:
    asked = Asked(uuid4(), rig.NAP, PARAMS, PARAMS, 1)
    intake.accept(asked)
    rows.change(asked.id, start_by=soon(-1))
    nap.apply_async(task_id=str(asked.id), known=True)
    (job,) = wait_for_end(str(asked.id))
    assert (job["status"], job["error"]["code"], job["started_at"]) == ("expired", "expired", None)


def test_an_attempt_that_nobody_takes_in_time_expires() -> None:
    job = waiting()
    rows.change(job.id, start_by=soon(-1))
    answer = queue.look(job)
    assert isinstance(answer, Ended)
    assert answer.outcome.error == Expired().problem()
    assert queue.look(job) == answer, "also when whoever looked died"
    answers.look(rows.job(job.id))
    assert read(job.id)["status"] == "expired"


def test_an_attempt_that_somebody_has_taken_does_not_expire() -> None:
    job = waiting()
    change(job, claimed_at=soon(0), beat_at=soon(0), worker="w")
    rows.change(job.id, start_by=soon(-1))
    assert isinstance(queue.look(job), Running)
    change(job, claimed_at=soon(-29))
    look = queue.look(job)
    assert isinstance(look, Running)
    assert look.again_s <= 1, "it is looked at when its time is over"
    change(job, claimed_at=soon(-31))
    wait_until(lambda: isinstance(queue.look(job), Ended))  # not before the database has been up for a while
    ended = queue.look(job)
    assert isinstance(ended, Ended)
    assert ended.outcome.error == ExecutionTimeout().problem()
    with transaction() as session:
        life.end(session, rows.lock(session, job.id), "cancelled")
