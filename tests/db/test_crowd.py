"""Many attempts at RunPod in one statement each."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from db import crowd, life
from db.base import soon, transaction
from db.crowd import Heard, Named
from db.jobs import Job
from db.runs import Told
from db.suspicions import Suspicion
from db.traces import Attempt
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


def start(endpoint: str | None = "an-endpoint") -> tuple[UUID, UUID]:
    """Start a job; give its id and its attempt's."""
    job_id = rows.accept()
    with transaction() as session:
        job = rows.lock(session, job_id)
        return job_id, job.start(job.params or {}, {}, rows.SIGNATURE, endpoint).id


def attempt(job_id: UUID) -> Attempt:
    return rows.job(job_id).attempts[-1]


def test_only_what_is_due_at_runpod_is_taken_and_each_once() -> None:
    due, later, ours = start()[0], start()[0], start(None)[0]
    for job_id in (due, ours):
        rows.change(job_id, due_at=soon(-1))
    ((job, since),) = crowd.claim_due(10)
    assert (job.id, job.attempts[0].endpoint) == (due, "an-endpoint")
    assert 0 <= since.age_s < 60
    assert not since.late
    assert 20 < (rows.due_in(due) or 0) <= life.LEASE_S
    assert crowd.claim_due(10) == []
    assert life.claim_due(10) == [ours]
    assert rows.due_in(later)


def test_of_many_watchers_each_gets_others() -> None:
    for _ in range(12):
        rows.change(start()[0], due_at=soon(-1))
    taken = [job.id for due in rows.at_once(6, lambda: crowd.claim_due(2)) for job, _ in due]
    assert len(taken) == len(set(taken))


def test_names_are_given_once_and_only_to_what_goes_on() -> None:
    fresh, named, ended = start(), start(), start()
    assert crowd.name([Named(*named, "r-0", 5)]) == [True]
    rows.end(ended[0])
    told = crowd.name([Named(*ended, "r-1", 77), Named(*named, "r-2", 77), Named(*fresh, "r-3", 77)])
    assert told == [False, False, True]
    assert [attempt(one[0]).remote_id for one in (fresh, named, ended)] == ["r-3", "r-0", None]
    assert 70 < (rows.due_in(fresh[0]) or 0) <= 77
    assert (rows.due_in(named[0]) or 0) <= 5


def test_a_name_does_not_undo_a_call() -> None:
    fresh = start()
    rows.change(fresh[0], due_at=soon(-1))
    assert crowd.name([Named(*fresh, "r-1", 77)]) == [True]
    assert (rows.due_in(fresh[0]) or 0) <= 0


def test_what_is_heard_of_many_is_written_and_progress_never_goes_back() -> None:
    one, other, ended = start(), start(), start()
    rows.settle(ended[0])
    crowd.hear([Heard(*one, 50, Told(0.5, "sampling")), Heard(*other, 60), Heard(*ended, 70, Told(0.1, "late"))])
    crowd.hear([Heard(*one, 55, Told(0.25, "decoding"))])
    first, second, third = (rows.job(each[0]) for each in (one, other, ended))
    assert (first.progress, first.stage) == (0.5, "decoding")
    assert (second.progress, second.stage) == (0.0, "waiting_for_gpu")
    assert (third.stage, rows.due_in(ended[0])) == ("completed", None)
    assert 50 < (rows.due_in(one[0]) or 0) <= 55
    assert attempt(one[0]).beat_at
    assert attempt(other[0]).beat_at is None


def test_a_word_of_what_was_given_up_for_a_newer_attempt_is_a_suspicion() -> None:
    job_id, lost = start()
    with transaction() as session:
        rows.lock(session, job_id).lose("an-endpoint")
    crowd.hear([Heard(job_id, lost, 50, Told(0.5, "sampling"))])
    assert rows.job(job_id).progress == 0
    with transaction() as session:
        assert session.scalars(select(Suspicion.what).where(Suspicion.attempt_id == lost)).all() == ["lost_attempt_ran"]


def test_those_with_a_remote_are_counted() -> None:
    before = crowd.count()
    start()
    assert crowd.count() == before + 1


def test_ends_free_as_many_places_as_there_are_of_each_tool() -> None:
    held = [rows.accept() for _ in range(3)]
    with transaction() as session:
        for job in session.scalars(select(Job).where(Job.id.in_(held))):
            job.hold("throttled", rows.SIGNATURE, soon(300))
    with transaction() as session:
        life.free_places(session, ["mask", "mask", "video"])
    assert sorted((rows.due_in(job_id) or 0) > 100 for job_id in held) == [False, False, True]


def test_jobs_are_locked_together_and_what_is_none_is_left_out() -> None:
    one, other = start()[0], start()[0]
    with transaction() as session:
        assert set(life.lock_all(session, [other, uuid4(), one])) == {one, other}
