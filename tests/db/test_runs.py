"""Attempts at RunPod, in the database's time."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from db import crowd, life, runs
from db.base import soon, transaction
from db.crowd import Heard
from db.jobs import Job
from db.runs import Meter, Told
from db.traces import Attempt
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


@pytest.fixture(name="running")
def start_one() -> tuple[UUID, UUID]:
    """Start a job at an endpoint; give its id and the attempt's."""
    job_id = rows.accept()
    with transaction() as session:
        job = rows.lock(session, job_id)
        return job_id, job.start(job.params or {}, {}, rows.SIGNATURE, "an-endpoint").id


def change(attempt_id: UUID, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id == attempt_id).values(**values))


def attempt(attempt_id: UUID) -> Attempt:
    with transaction() as session:
        return session.get_one(Attempt, attempt_id)


def submitted(job_id: UUID, remote_id: str = "r-1") -> None:
    with transaction() as session:
        rows.lock(session, job_id).submitted(remote_id)


def test_of_twenty_at_once_one_may_send(running: tuple[UUID, UUID]) -> None:
    assert rows.at_once(20, lambda: runs.may_send(running[1])).count({running[1]}) == 1
    assert attempt(running[1]).sends == 1


def test_the_right_to_send_ends_by_itself_or_when_it_is_given_back(running: tuple[UUID, UUID]) -> None:
    assert runs.may_send(running[1])
    assert not runs.may_send(running[1])
    runs.give_back(running[1])
    assert attempt(running[1]).sends == 0, "it surely was not sent"
    assert runs.may_send(running[1])
    change(running[1], beat_at=soon(-runs.SEND_S - 1))
    assert runs.may_send(running[1])


def test_what_has_an_id_or_an_end_is_not_sent(running: tuple[UUID, UUID]) -> None:
    submitted(running[0])
    assert not runs.may_send(running[1])
    change(running[1], remote_id=None)
    rows.end(running[0], "cancelled")
    assert not runs.may_send(running[1])
    assert not runs.may_send(uuid4())


def test_what_is_heard_of_an_attempt_tells_its_age(running: tuple[UUID, UUID]) -> None:
    change(running[1], created_at=soon(-100))
    assert runs.since(running[1]).silent_s == pytest.approx(100, abs=5)
    crowd.hear([Heard(*running, 77, Told(0.25, "sampling"))])
    assert 70 < (rows.due_in(running[0]) or 0) <= 77
    assert runs.since(running[1]).age_s == pytest.approx(100, abs=5)
    assert (rows.job(running[0]).progress, rows.job(running[0]).stage) == (0.25, "sampling")
    assert runs.since(running[1]).silent_s < 5


def test_how_long_a_tool_takes_is_learned_from_its_last_jobs() -> None:
    assert runs.usual_s("video") is None
    for seconds in (10, 20, 90):
        job_id = rows.accept("video")
        rows.start(job_id)
        rows.end(job_id)
        rows.change(job_id, started_at=soon(-seconds), ended_at=soon(0))
    failed = rows.accept("video")
    rows.end(failed, "failed")
    assert runs.usual_s("video") == pytest.approx(20, abs=1)


def test_a_call_makes_a_job_due_now(running: tuple[UUID, UUID]) -> None:
    rows.change(running[0], due_at=soon(100))
    runs.call(running[1])
    assert (rows.due_in(running[0]) or 0) <= 0


def test_a_call_for_what_has_ended_or_never_was_changes_nothing(running: tuple[UUID, UUID]) -> None:
    rows.end(running[0])
    due_in = rows.due_in(running[0])
    runs.call(running[1])
    runs.call(uuid4())
    assert rows.due_in(running[0]) == pytest.approx(due_in, abs=5)


def test_a_look_that_was_under_way_does_not_undo_a_call(running: tuple[UUID, UUID]) -> None:
    runs.call(running[1])
    crowd.hear([Heard(*running, 100)])
    assert (rows.due_in(running[0]) or 0) <= 0


def stops(limit: int = 10) -> list[UUID]:
    return [one.id for one in runs.claim_stops(limit)]


def test_an_attempt_that_we_end_is_stopped_until_that_is_sure(running: tuple[UUID, UUID]) -> None:
    submitted(running[0])
    with transaction() as session:
        assert life.end(session, rows.lock(session, running[0]), "cancelled")
    assert stops() == [running[1]]
    assert stops() == []
    assert attempt(running[1]).stop_at, "whoever took it may die before the remote has heard"
    change(running[1], stop_at=soon(-1))
    assert stops() == [running[1]]
    runs.stopped(running[1])
    change(running[1], ended_at=soon(0))
    assert stops() == []


def test_what_is_older_than_runpods_memory_is_not_stopped(running: tuple[UUID, UUID]) -> None:
    change(running[1], stop_at=soon(-1), ended_at=soon(-runs.STOP_WITHIN_S - 1))
    assert stops() == []


def test_an_attempt_that_ended_by_itself_is_not_stopped(running: tuple[UUID, UUID]) -> None:
    rows.end(running[0])
    assert attempt(running[1]).stop_at is None


def test_what_runs_on_our_own_queue_hears_of_it_there() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    with transaction() as session:
        life.end(session, rows.lock(session, job_id), "cancelled")
    assert attempt(attempt_id).stop_at is None


def test_a_job_costs_what_all_its_attempts_cost(running: tuple[UUID, UUID]) -> None:
    job_id, first = running
    with transaction() as session:
        fresh = rows.lock(session, job_id).lose("an-endpoint")
        assert fresh
    runs.charge(first, Meter(execution_ms=1500))
    runs.charge(fresh.id, Meter(200, 2500, "w7"))
    runs.charge(fresh.id, Meter())
    assert rows.job(job_id).gpu_seconds == 4.0
    known = attempt(fresh.id)
    assert (known.delay_ms, known.execution_ms, known.worker) == (200, 2500, "w7")
    with transaction() as session:
        assert session.scalar(select(Job.gpu_seconds).where(Job.id == job_id)) == 4.0
