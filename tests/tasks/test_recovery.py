"""Whatever is killed or flushed: each job ends, and no attempt runs twice."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult
from redis import Redis
from sqlalchemy import func, select, text, update

from db import intake, life
from db.base import soon, transaction
from db.intake import Asked
from db.jobs import Job
from db.traces import Attempt, Event
from embedded.ports import any_free
from tasks import ending
from tasks.app import app
from tests import rig
from tests.conftest import Processes, wait_until
from tests.tasks.house import ENDED, House, read, wait_for_end
from tools.errors import JobNotFound

nap: Any = rig.nap


@pytest.fixture(scope="module", name="house")
def run_house(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    """Run processes of our own: here they are killed."""
    starter = Processes(tmp_path_factory.mktemp("recovery"))
    yield House(starter, gpus=6)
    starter.end()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Reach the broker."""
    with Redis.from_url(redis_url) as client:
        yield client


def accept(seconds: float = 0.0) -> UUID:
    """Take in a job as HTTP does, but send nothing."""
    asked = Asked(uuid4(), rig.NAP, {"seconds": seconds}, {"seconds": seconds, "fate": "", "seed": 1}, 1)
    intake.accept(asked)
    return asked.id


def age(job_id: UUID | str, seconds: float = 60) -> None:
    """Let so much time pass for one job."""
    ago, known = func.make_interval(0, 0, 0, 0, 0, 0, seconds), UUID(str(job_id))
    with transaction() as session:
        session.execute(update(Job).where(Job.id == known).values(due_at=Job.due_at - ago))
        session.execute(update(Attempt).where(Attempt.job_id == known).values(beat_at=Attempt.beat_at - ago))


def attempts_of(*job_ids: UUID | str) -> list[Attempt]:
    """Read the attempts of jobs."""
    ids = [UUID(str(job_id)) for job_id in job_ids]
    with transaction() as session:
        return list(session.scalars(select(Attempt).where(Attempt.job_id.in_(ids)).order_by(Attempt.n)))


def count_ended(*job_ids: str) -> int:
    """Count those that have ended."""
    return sum(read(job_id)["status"] in ENDED for job_id in job_ids)


def is_settled(job_id: UUID | str) -> bool:
    """Tell whether what follows has been sent on."""
    with transaction() as session:
        return session.get_one(Job, UUID(str(job_id))).settled_at is not None


def test_chains_outlive_two_kills_and_a_flush(house: House, redis: Redis) -> None:
    sent: list[Any] = [chain(nap.s(seconds=0.3), nap.s(seconds=0.3)).apply_async() for _ in range(12)]
    last, first = [one.id for one in sent], [one.parent.id for one in sent]
    wait_until(lambda: count_ended(*first) >= 3)
    house.kill("main", "gpu", "watch")
    house.start("main", "gpu", "watch")
    house.pass_time()
    wait_until(lambda: count_ended(*last) >= 3)
    redis.flushall()
    house.pass_time()
    wait_until(lambda: count_ended(*last) >= 6)
    house.kill("main", "gpu", "watch")
    house.start("main", "gpu", "watch")
    house.pass_time()
    jobs = wait_for_end(*first, *last, patience_s=90)
    assert {job["status"] for job in jobs} == {"completed"}
    prove_single_runs(house, *first, *last)


def prove_single_runs(house: House, *job_ids: str) -> None:
    """Hold the handlers' own diary against the attempts: each ran at most once, and never two of a job at once."""
    attempts, began, ended = attempts_of(*job_ids), house.written("began"), house.written("ended")
    assert {began[str(one.id)] for one in attempts if one.worker} <= {0, 1}
    assert not any(began[str(one.id)] for one in attempts if not one.worker)
    for job_id in job_ids:
        *lost, final = [one for one in attempts if str(one.job_id) == job_id]
        assert began[str(final.id)] == ended[str(final.id)] == 1
        assert all(one.ended_at and one.ended_at <= final.created_at for one in lost)


def test_a_chord_outlives_a_flush_in_its_middle(house: House, redis: Redis) -> None:
    sent: Any = chord([nap.s(seed=1), nap.s(seed=2, seconds=2)], nap.s(image_url="${1.r2_path}")).apply_async()
    quick, slow = (one.id for one in sent.parent.results)
    wait_until(lambda: is_settled(quick))
    redis.flushall()
    wait_until(lambda: is_settled(slow))
    age(sent.id, 20)
    (body,) = wait_for_end(sent.id)
    assert body["status"] == "completed"
    assert set(body["drawn_from"]) == {quick, slow}
    prove_single_runs(house, quick, slow, sent.id)


def test_a_member_that_is_sent_again_does_not_uncount_the_others(house: House) -> None:
    # Were the chord counted afresh for it alone, the body would have to wait until all of them are sent once more.
    header = [nap.s(seed=1), nap.s(seed=2), nap.s(seed=3, seconds=6)]
    sent: Any = chord(header, nap.s(image_url="${0.r2_path}")).apply_async()
    first, again, slow = (one.id for one in sent.parent.results)
    wait_until(lambda: is_settled(first) and is_settled(again))
    with transaction() as session:
        unsettled = {"settled_at": None, "sends": 1, "due_at": soon(0)}
        session.execute(update(Job).where(Job.id == UUID(again)).values(unsettled))
    wait_until(lambda: is_settled(again))
    assert not is_settled(slow)
    wait_until(lambda: is_settled(slow))
    (body,) = wait_for_end(sent.id, patience_s=5)
    assert body["status"] == "completed"
    prove_single_runs(house, first, again, slow, sent.id)


@pytest.mark.usefixtures("house")
def test_a_job_whose_message_was_lost_is_sent_again() -> None:
    job_id = accept()
    age(job_id)
    (job,) = wait_for_end(str(job_id))
    assert job["status"] == "completed"


@pytest.mark.usefixtures("house")
def test_an_intent_that_no_remote_has_heard_of_is_submitted_again() -> None:
    job_id = accept()
    with transaction() as session:
        job = life.lock(session, job_id)
        assert job
        attempt = job.start(job.params or {}, {}, dict(nap.signature((), {}, task_id=str(job_id), queue="resume")))
    age(job_id)
    (ended,) = wait_for_end(str(job_id))
    assert ended["status"] == "completed"
    assert [one.id for one in attempts_of(job_id)] == [attempt.id]
    assert AsyncResult(str(job_id), app=app).get(timeout=30)["job_id"] == str(job_id)


def test_what_follows_an_ended_job_is_sent_again(house: House, redis: Redis) -> None:
    sent: Any = chain(nap.s(seconds=1), nap.s()).apply_async()
    wait_until(lambda: read(sent.parent.id)["status"] == "processing")
    house.kill("main")
    wait_for_end(sent.parent.id)
    redis.flushall()
    house.start("main")
    assert read(sent.id)["stage"] == "waiting_for_upstream"
    age(sent.parent.id)
    (job,) = wait_for_end(sent.id)
    assert job["status"] == "completed"
    assert len(attempts_of(sent.parent.id)) == 1


def test_three_dead_attempts_are_enough(house: House) -> None:
    sent: Any = chain(nap.s(fate="die"), nap.s()).apply_async()
    for n in (1, 2, 3):
        wait_until(partial(has_died, house, sent.parent.id, n))
        wait_until(partial(is_given_up, sent.parent.id, n), 60)
    job, after = wait_for_end(sent.parent.id, sent.id)
    assert (job["status"], job["error"]["code"]) == ("failed", "poisoned")
    assert (after["status"], after["error"]["code"]) == ("cancelled", "upstream_failed")
    assert len(attempts_of(sent.parent.id)) == 3


def has_died(house: House, job_id: str, n: int) -> bool:
    """Tell whether so many attempts were begun, each once."""
    began = house.written("began")
    return [began[str(one.id)] for one in attempts_of(job_id)] == [1] * n


def is_given_up(job_id: str, n: int) -> bool:
    """Let time pass until the nth attempt is given up: PostgreSQL itself may have started only now."""
    age(job_id)
    return attempts_of(job_id)[n - 1].ended_at is not None


def test_a_cancelled_job_stops_its_handler_and_what_follows(house: House) -> None:
    sent: Any = chain(nap.s(seconds=60), nap.s()).apply_async()
    wait_until(lambda: any(house.written("began")[str(one.id)] for one in attempts_of(sent.parent.id)))
    ending.cancel(UUID(sent.parent.id))
    (attempt,) = attempts_of(sent.parent.id)
    wait_until(lambda: house.written("ended")[str(attempt.id)], 6)
    jobs = wait_for_end(sent.parent.id, sent.id)
    assert [(job["status"], job["error"]["code"]) for job in jobs] == [
        ("cancelled", "cancelled"), ("cancelled", "upstream_failed"),
    ]  # fmt: skip
    wait_until(lambda: is_settled(sent.parent.id))


@pytest.mark.usefixtures("house")
def test_a_waiting_job_is_cancelled_once() -> None:
    sent = nap.apply_async(countdown=60)
    wait_until(lambda: read(sent.id)["stage"] == "delayed")
    ending.cancel(UUID(sent.id))
    job = read(sent.id)
    ending.cancel(UUID(sent.id))
    assert read(sent.id) == job
    assert job["status"] == "cancelled"
    assert attempts_of(sent.id) == []
    with transaction() as session:
        names = session.scalars(select(Event.name).where(Event.job_id == UUID(sent.id))).all()
    assert names.count("cancelled") == 1


def test_a_job_that_nobody_knows_cannot_be_cancelled(database: str) -> None:  # noqa: ARG001 - it must run
    with pytest.raises(JobNotFound):
        ending.cancel(uuid4())


@pytest.mark.usefixtures("house")
def test_no_more_than_the_limit_are_under_way_at_once() -> None:
    # Six at a time for a second each: the forty places fill long before the first ones are free again.
    sent: Any = group(nap.s(seconds=1) for _ in range(60)).apply_async()
    ids = [one.id for one in sent.results]
    assert {job["status"] for job in wait_for_end(*ids, patience_s=60)} == {"completed"}
    held = text("""SELECT count(DISTINCT job_id) FROM events WHERE name = 'throttled' AND job_id = ANY(:ids)""")
    most = text("""SELECT max(busy) FROM (SELECT (SELECT count(*) FROM jobs b WHERE b.id = ANY(:ids)
        AND b.started_at <= a.started_at AND b.ended_at > a.started_at) busy FROM jobs a WHERE a.id = ANY(:ids)) x""")
    with transaction() as session:
        assert session.scalar(held, {"ids": [UUID(job_id) for job_id in ids]})
        assert session.scalar(most, {"ids": [UUID(job_id) for job_id in ids]}) <= rig.NAP.limits.max_in_flight


SEND = """
import sys, time
from uuid import UUID
from tasks.app import sender
for _ in range(2):
    began = time.monotonic()
    print(sender.send(UUID(sys.argv[1]), "nap", None), time.monotonic() - began)
"""


@pytest.mark.usefixtures("house")
def test_a_broker_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = accept()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{any_free(set())}/0")
    program = [sys.executable, "-c", SEND, str(job_id)]
    told = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    (first, first_s), (second, second_s) = (line.split() for line in told.stdout.splitlines())
    assert (first, second) == ("False", "False")
    assert float(first_s) < 3
    assert float(second_s) < 0.01
    age(job_id)
    (job,) = wait_for_end(str(job_id))
    assert job["status"] == "completed"
