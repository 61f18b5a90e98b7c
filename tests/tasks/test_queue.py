"""Our own queue as a remote: what is lost of it is put there again, and soon; what waits there is left alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from sqlalchemy import text, update

from db import attempts, intake
from db.attempts import Seen
from db.base import transaction
from db.intake import Asked
from db.jobs import Job
from db.traces import Attempt
from tasks import handle
from tasks.remotes import queue
from tasks.remotes.remote import Ended, Lost, Running
from tests import rig
from tests.conftest import renew_celery
from tests.db import rows
from tools.errors import Unavailable

PARAMS = {"seconds": 0.0, "fate": "", "seed": 1}


@pytest.fixture
def redis(database: str, redis_url: str) -> Iterator[Redis]:  # noqa: ARG001 - it must run
    """Reach a queue that nobody reads."""
    renew_celery()
    with Redis.from_url(redis_url) as client:
        client.delete(queue.QUEUE)
        yield client
        client.delete(queue.QUEUE)
    with transaction() as session:
        session.execute(text("TRUNCATE jobs CASCADE"))


def waiting() -> Job:
    """Start a job that nobody runs."""
    asked = Asked(uuid4(), rig.NAP, PARAMS, PARAMS, 1)
    intake.accept(asked)
    rows.start(asked.id)
    return rows.job(asked.id)


def again_s(job: Job) -> float:
    """Look, and say when to look again."""
    answer = queue.look(job)
    assert isinstance(answer, Running)
    return answer.again_s


def test_a_message_that_is_lost_time_and_again_is_put_again_within_a_minute(redis: Redis) -> None:
    job = waiting()
    for _ in range(8):
        assert again_s(job) <= 40
        assert redis.llen(queue.QUEUE) == 1
        redis.delete(queue.QUEUE)


def test_an_attempt_may_wait_for_days(redis: Redis) -> None:  # noqa: ARG001 - it cleans up
    job = waiting()
    with transaction() as session:
        session.execute(update(Attempt).values(sends=10_000))
    assert again_s(job) == 40


def test_where_all_messages_wait_none_is_added(redis: Redis) -> None:
    first, second = waiting(), waiting()
    for _ in range(4):
        again_s(first)
        again_s(second)
    assert redis.llen(queue.QUEUE) == 2


def test_after_the_database_was_away_nobodys_time_is_over_before_he_could_say_that_he_is_through(redis: Redis) -> None:  # noqa: ARG001 - it cleans up
    job = waiting()
    seen = Seen(None, claimed=True, silent=False, stale=False, sends=0, ran_s=job.limits.timeout_s + 1, waits_s=60)
    assert isinstance(queue.watch(job, seen), Ended)
    assert isinstance(queue.watch(job, replace(seen, young=True)), Running)
    assert isinstance(queue.watch(job, replace(seen, young=True, silent=True, stale=True)), Lost)


def test_a_silent_worker_counts_as_lost_and_not_as_late_however_often_the_database_was_away(redis: Redis) -> None:  # noqa: ARG001 - it cleans up
    job = waiting()
    seen = Seen(None, claimed=True, silent=True, stale=False, sends=0, ran_s=job.limits.timeout_s + 1, waits_s=60)
    assert isinstance(queue.watch(job, seen), Running)
    assert isinstance(queue.watch(job, replace(seen, stale=True)), Lost)


def test_a_claim_waits_for_a_database_that_is_away(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it cleans up
    claim, away = attempts.claim, [Unavailable(), Unavailable()]

    def claim_later(*asked: Any) -> dict[str, Any] | None:
        if away:
            raise away.pop()
        return claim(*asked)

    monkeypatch.setattr(attempts, "claim", claim_later)
    monkeypatch.setattr(handle, "AGAIN_S", 0)
    attempt = waiting().attempt
    assert attempt
    told = handle.insist(lambda: attempts.claim(UUID(str(attempt.id)), "w"), "the claim")
    assert told
    assert told["attempt_id"] == str(attempt.id)
