"""Redis as a doorbell: whoever rings is not held up while it is away, and what it forgets is rung for again."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import TimeoutError as Silent
from sqlalchemy import make_url, update

from db import rings
from db.base import soon, transaction
from db.jobs import Job
from tasks.doorbell import Doorbell
from tasks.memory import MARK, Memory
from tests.conftest import wait_until
from tests.gate import Gate, gated
from tests.tasks.house import House, read, wait_for_end
from tests.tasks.test_recovery import accept, is_settled


class Bell:
    """A Redis of few words: it fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.heard = 0

    def __call__(self) -> None:
        self.heard += 1
        if self.failures:
            raise self.failures.pop(0)


def test_a_connection_that_went_stale_is_made_anew_and_nobody_hears_of_it() -> None:
    bell = Bell(Refused())
    assert Doorbell(bell).ring(bell)
    assert bell.heard == 2


def test_a_silent_redis_is_waited_for_once_and_then_left_alone_until_it_answers() -> None:
    knocks = Bell(Silent(), Silent())
    door, bell = Doorbell(knocks), Bell(Silent())
    assert not door.ring(bell)
    assert [door.ring(bell) for _ in range(3)] == [False] * 3
    assert bell.heard == 1
    wait_until(lambda: not door.outage)
    assert knocks.heard == 3
    assert door.ring(bell)


PUBLISH = """
import json, sys, time
from celery import chain, chord, group
from tests.rig import nap
def publish(make):
    began = time.monotonic()
    sent = make.apply_async()
    told.append([sent.id, time.monotonic() - began])
told = []
for _ in range(2):
    publish(chain(nap.s(seed=1), nap.s()))
    publish(chord([nap.s(seed=1), nap.s(seed=2)], nap.s(image_url="${0.r2_path}")))
    publish(group(nap.s(seed=3), nap.s(seed=4)))
print(json.dumps(told))
"""


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with gated(make_url(redis_url).port or 0) as gate:
        yield gate


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("way", ["refuse", "silence"])
def test_a_canvas_counts_as_sent_while_redis_is_away_and_runs_later(
    redis_url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    getattr(gate, way)()
    url = make_url(redis_url).set(port=gate.port).render_as_string(hide_password=False)
    monkeypatch.setenv("REDIS_URL", url)
    done = subprocess.run([sys.executable, "-c", PUBLISH], capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert sum(seconds for _, seconds in told) < 6  # of which two are the timeout, and one the first use
    assert max(seconds for _, seconds in told[1:]) < 0.5
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Redis is away" in done.stderr
    jobs = [told[n][0] for n in (0, 1)]
    assert {read(job_id)["status"] for job_id in jobs} == {"pending"}
    rings.ring_again()
    assert {job["status"] for job in wait_for_end(*jobs, patience_s=60)} == {"completed"}


WAIT = """
from celery import chord, group
from tests.rig import nap
sent = [group(nap.s(seed=3), nap.s(seed=4)).apply_async(), chord([nap.s()], nap.s()).apply_async()]
print("sent", flush=True)
input()
"""


@pytest.mark.usefixtures("database")
def test_a_program_that_ends_with_results_in_hand_is_silent_about_a_redis_that_is_away(
    redis_url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(redis_url).set(port=gate.port).render_as_string(hide_password=False)
    monkeypatch.setenv("REDIS_URL", url)
    command, pipe = [sys.executable, "-c", WAIT], subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as customer:
        assert customer.stdout
        assert customer.stdout.readline() == "sent\n"
        gate.refuse()
        _, said = customer.communicate("\n", timeout=60)
    assert "Traceback" not in said, said


def put_far_off(job_id: UUID | str) -> None:
    """Put a job off as if it had been sent again and again."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == UUID(str(job_id))).values(due_at=soon(500), sends=7))


@pytest.mark.usefixtures("house")
def test_a_flush_is_noticed_and_what_was_put_off_for_long_is_sent_at_once(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        wait_until(lambda: redis.exists(MARK), 30)
        job_id = accept()
        put_far_off(job_id)
        redis.flushall()
        began = time.monotonic()
        wait_until(lambda: is_settled(job_id), 45)
        assert time.monotonic() - began < 45
        wait_until(lambda: redis.exists(MARK))


def test_a_redis_that_was_started_anew_may_have_forgotten(house: House, redis_url: str) -> None:
    assert house
    with Redis.from_url(redis_url) as redis:
        wait_until(lambda: redis.exists(MARK), 30)
        job_id = accept()
        put_far_off(job_id)
        redis.set(MARK, "another one's")
        Memory().look()
        assert redis.get(MARK) == redis.info("server")["run_id"].encode()
    wait_until(lambda: is_settled(job_id), 30)
