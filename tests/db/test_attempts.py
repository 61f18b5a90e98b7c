"""Attempts on our own queue: one claim, beats, one outcome."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from db import attempts
from db.base import soon, transaction
from db.traces import Attempt
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


@pytest.fixture(name="running")
def start_one() -> tuple[UUID, UUID]:
    """Start a job; give its id and the attempt's."""
    job_id = rows.accept()
    return job_id, rows.start(job_id)


def change(attempt_id: UUID, **values: object) -> None:
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id == attempt_id).values(**values))


def attempt(attempt_id: UUID) -> Attempt:
    with transaction() as session:
        return session.get_one(Attempt, attempt_id)


def test_a_claim_tells_the_handler_all_that_it_needs(running: tuple[UUID, UUID]) -> None:
    job_id, attempt_id = running
    told = attempts.claim(attempt_id, "here:1")
    assert told == {
        "job_id": str(job_id), "attempt_id": str(attempt_id), "tool": "mask", "params": rows.job(job_id).params,
        "found": {}, "timeout_s": None, "flow_id": None, "request_id": None,
    }  # fmt: skip
    assert attempt(attempt_id).worker == "here:1"


def test_an_attempt_is_claimed_once_by_twenty_at_the_same_moment(running: tuple[UUID, UUID]) -> None:
    claims = rows.at_once(20, lambda: attempts.claim(running[1], str(uuid4())))
    assert [type(claim) for claim in claims if claim is not None] == [dict]


def test_what_has_ended_or_never_was_cannot_be_claimed(running: tuple[UUID, UUID]) -> None:
    rows.end(running[0], "cancelled")
    assert attempts.claim(running[1], "late") is None
    assert attempts.claim(uuid4(), "lost") is None


def test_a_beat_tells_how_far_it_is_and_never_back(running: tuple[UUID, UUID]) -> None:
    job_id, attempt_id = running
    attempts.claim(attempt_id, "here")
    for progress, shown in ((0.5, 0.5), (0.25, 0.5), (0.75, 0.75)):
        assert attempts.beat(attempt_id, progress, "sampling")
        assert (rows.job(job_id).progress, rows.job(job_id).stage) == (shown, "sampling")


def test_nothing_of_an_ended_attempt_is_believed(running: tuple[UUID, UUID]) -> None:
    job_id, attempt_id = running
    attempts.claim(attempt_id, "here")
    rows.end(job_id, "cancelled")
    assert attempts.beat(attempt_id, 0.9, "sampling") is False
    attempts.finish(attempt_id, rows.outcome())
    assert attempts.look(attempt_id).outcome is None
    assert (rows.job(job_id).progress, rows.job(job_id).stage) == (0.0, "cancelled")


def test_what_it_came_to_is_kept(running: tuple[UUID, UUID]) -> None:
    attempts.claim(running[1], "here")
    attempts.finish(running[1], rows.outcome(facts={"coverage": 0.25}))
    seen = attempts.look(running[1])
    assert seen.outcome == rows.outcome(facts={"coverage": 0.25})
    assert (seen.claimed, seen.stale, seen.sends) == (True, False, 0)


def test_an_unclaimed_attempt_counts_how_often_it_was_sent(running: tuple[UUID, UUID]) -> None:
    assert [attempts.look(running[1]).sends for _ in range(3)] == [1, 2, 3]
    attempts.claim(running[1], "here")
    assert [attempts.look(running[1]).sends for _ in range(2)] == [3, 3]


def test_silence_is_measured_by_the_databases_clock(
    running: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.claim(running[1], "here")
    monkeypatch.setattr(attempts, "STALE_S", 0.5)  # the server itself is hardly older
    change(running[1], beat_at=soon(-1))
    assert attempts.look(running[1]).stale
    attempts.beat(running[1], 0.1, "sampling")
    assert not attempts.look(running[1]).stale


def test_after_a_start_of_the_server_workers_get_time_to_beat(
    running: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.claim(running[1], "here")
    monkeypatch.setattr(attempts, "STALE_S", 10**8)  # longer than any server has been up
    change(running[1], beat_at=soon(-(10**8) - 60))
    seen = attempts.look(running[1])
    assert (seen.silent, seen.stale) == (True, False)


def test_an_unclaimed_attempt_is_never_stale(running: tuple[UUID, UUID]) -> None:
    assert not attempts.look(running[1]).stale


def test_the_database_refuses_a_second_live_attempt(running: tuple[UUID, UUID]) -> None:
    row = {"id": uuid4(), "job_id": running[0], "n": 2}
    with pytest.raises(IntegrityError, match="uq_attempts_live"), transaction() as session:
        session.execute(insert(Attempt).values(row))
    change(running[1], ended_at=soon(0))
    with transaction() as session:
        session.execute(insert(Attempt).values(row))
        assert session.scalar(select(func.count()).where(Attempt.job_id == running[0])) == 2
