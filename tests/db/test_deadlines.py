"""What a caller says of time is written down with the job, and kept by the database's clock."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from db import attempts, intake, life
from db.base import soon, transaction
from db.jobs import BLOCKED, THROTTLED, THROTTLED_S
from tests.db import rows
from tools.catalog import TOOLS
from tools.deadlines import Deadlines

pytestmark = pytest.mark.usefixtures("tables")

HASTY = Deadlines(start_within_seconds=7, timeout_seconds=30)


def accept(deadlines: Deadlines) -> intake.Asked:
    asked = rows.asked()
    hasty = intake.Asked(uuid4(), asked.tool, asked.given, asked.params, 1, deadlines)
    intake.accept(hasty)
    return hasty


def test_a_hasty_job_is_looked_after_when_its_time_is_over() -> None:
    job = rows.job(accept(HASTY).id)
    assert (job.limits.start_within_s, job.limits.timeout_s) == (7, 30)
    assert job.start_by
    assert abs(job.start_by - job.created_at - timedelta(seconds=7)) < timedelta(seconds=1)
    assert 5 < (rows.due_in(job.id) or 0) <= 7
    with transaction() as session:
        locked = rows.lock(session, job.id)
        locked.sends = 5
        life.put_off(locked)
    assert 5 < (rows.due_in(job.id) or 0) <= 10, "not ten minutes later"


def test_without_a_word_the_tools_own_limits_hold() -> None:
    job = rows.job(accept(Deadlines()).id)
    assert job.limits == TOOLS["mask"].limits


def test_a_job_that_waits_for_its_place_does_not_overstay() -> None:
    job_id = accept(HASTY).id
    with transaction() as session:
        rows.lock(session, job_id).hold(THROTTLED, rows.SIGNATURE, soon(THROTTLED_S))
    assert 5 < (rows.due_in(job_id) or 0) <= 7


def test_the_time_of_a_later_step_begins_with_its_message() -> None:
    first = rows.planned()
    second = rows.planned(first.id, root_id=first.id, deadlines=HASTY)
    rows.canvas(first, second)
    job = rows.job(second.id)
    assert (job.stage, job.limits.start_within_s) == (BLOCKED, 7)
    assert job.start_by
    assert job.start_by > job.created_at + timedelta(days=6)
    with transaction() as session:
        rows.lock(session, second.id).arrive(rows.SIGNATURE)
    arrived = rows.job(second.id).start_by
    assert arrived
    assert arrived < job.created_at + timedelta(seconds=20)


def test_a_job_whose_hour_comes_later_waits_from_then_on() -> None:
    job = rows.planned(deadlines=HASTY)
    with transaction() as session:
        job.not_before = life.now(session) + timedelta(hours=1)
    rows.canvas(job)
    start_by = rows.job(job.id).start_by
    assert start_by == job.not_before + timedelta(seconds=7)


def test_the_shorter_of_two_words_holds() -> None:
    job = rows.planned(deadlines=Deadlines(start_within_seconds=3600))
    with transaction() as session:
        job.start_by = life.now(session) + timedelta(minutes=1)
    rows.canvas(job)
    assert rows.job(job.id).start_by == job.start_by


def test_each_attempt_has_its_time_to_wait() -> None:
    job_id = accept(HASTY).id
    rows.start(job_id)
    rows.change(job_id, start_by=soon(-100))
    with transaction() as session:
        assert rows.lock(session, job_id).lose()
    with transaction() as session:
        assert not life.is_late(session, rows.lock(session, job_id))


def test_an_attempt_is_either_begun_or_forestalled() -> None:
    begun, waiting = (rows.start(accept(HASTY).id) for _ in range(2))
    assert attempts.claim(begun, "w")
    assert not attempts.forestall(begun)
    assert attempts.forestall(waiting)
    assert attempts.forestall(waiting), "again, if whoever did it died"
    assert attempts.claim(waiting, "w") is None


def test_of_one_instant_only_one_has_it() -> None:
    for _ in range(5):
        attempt_id = rows.start(accept(HASTY).id)
        turns: Iterator[Callable[[], object]] = iter(
            [partial(attempts.forestall, attempt_id), partial(attempts.claim, attempt_id, "w")]
        )
        took = rows.at_once(2, partial(take_turn, turns))
        assert sorted(map(bool, took)) == [False, True]


def take_turn(turns: Iterator[Callable[[], object]]) -> object:
    return next(turns)()


def test_a_look_tells_how_long_it_ran_and_may_wait() -> None:
    attempt_id = rows.start(accept(HASTY).id)
    seen = attempts.look(attempt_id)
    assert seen.ran_s == 0
    assert 5 < seen.waits_s <= 7
    attempts.claim(attempt_id, "w")
    assert 0 < attempts.look(attempt_id).ran_s < 5
