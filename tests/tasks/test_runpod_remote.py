"""RunPod as a remote, call by call: what it answers, and what it leaves in the bucket."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from db import intake, runs
from db.base import soon, transaction
from db.intake import Asked
from db.jobs import Job
from db.traces import Attempt
from settings import settings
from storage import claims
from storage.bucket import bucket
from tasks.remotes import runpod, wire
from tasks.remotes.pace import Tokens
from tasks.remotes.remote import Ended, Lost, Running, Taken, live
from tests.db import rows
from tests.gateway.cloud import Fault
from tests.gateway.gateway import ENDPOINT, Gateway
from tests.nap import NAP
from tools.outcome import Outcome

OUTCOME = Outcome(engine="gpu", seconds=1.5, facts={"kept": True})


@pytest.fixture(scope="module", name="gateway")
def run_gateway(database: str, s3: object) -> Iterator[Gateway]:  # noqa: ARG001 - they must run
    """Run RunPod, and speak to it."""
    gateway = Gateway()
    gateway.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gateway.customer_env("nap").items():
            patch.setenv(name, value)
        forget()
        yield gateway
    forget()
    gateway.stop()


def forget() -> None:
    """Read the environment anew."""
    wire.close()
    for cached in (settings, bucket, runpod.tokens):
        cached.cache_clear()


@pytest.fixture(name="job")
def start_one(gateway: Gateway) -> Iterator[Job]:  # noqa: ARG001 - it must run
    """Start a job as an intent; nobody else looks after it."""
    params = {"seconds": 0.0, "fate": "", "seed": 7}
    asked = Asked(uuid4(), NAP, params, params, 1)
    intake.accept(asked)
    with transaction() as session:
        rows.lock(session, asked.id).start(params, {}, rows.SIGNATURE, ENDPOINT)
    rows.change(asked.id, due_at=None)
    yield rows.job(asked.id)
    rows.end(asked.id)
    rows.change(asked.id, due_at=None)


def submitted(job: Job) -> Job:
    """Give it to RunPod, and write its id down."""
    answer = runpod.submit(job)
    assert isinstance(answer, Taken)
    with transaction() as session:
        rows.lock(session, job.id).submitted(answer.remote_id)
    rows.change(job.id, due_at=None)
    return rows.job(job.id)


def change(job: Job, **values: object) -> None:
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id == live(job).id).values(**values))


def claim_of(job: Job) -> str | None:
    """Say who has the claim."""
    claim = claims.find(str(live(job).id))
    return claim.remote_id if claim else None


def accepted(gateway: Gateway, attempt_id: UUID) -> int:
    return gateway.accepted()[str(attempt_id)]


def test_an_attempt_that_somebody_is_just_sending_is_not_sent(gateway: Gateway, job: Job) -> None:
    assert runs.may_send(live(job).id)
    assert isinstance(runpod.submit(rows.job(job.id)), Running)
    assert accepted(gateway, live(job).id) == 0


def test_an_attempt_that_was_sent_is_first_looked_for(gateway: Gateway, job: Job) -> None:
    gateway.fail("run", Fault(status=500))
    assert isinstance(runpod.submit(job), Running)
    change(job, beat_at=soon(-1000))
    claims.take(str(live(job).id), "of-another-u1", "w1")
    assert runpod.submit(rows.job(job.id)) == Taken("of-another-u1", 1.0)
    claims.keep_outcome(str(live(job).id), OUTCOME)
    assert runpod.submit(rows.job(job.id)) == Ended(OUTCOME, runs.Meter(execution_ms=1500))
    assert accepted(gateway, live(job).id) == 0


def test_what_runpod_forgot_and_nobody_began_can_never_begin_again(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    gateway.forget(str(live(job).remote_id))
    assert runpod.look(job) == Lost()
    assert claim_of(job) == ""
    assert runpod.look(job) == Lost()


def test_what_runpod_forgot_and_somebody_began_may_still_run_until_its_time_is_over(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    gateway.forget(str(live(job).remote_id))
    claims.take(str(live(job).id), str(live(job).remote_id), "w1")
    change(job, beat_at=soon(-NAP.limits.timeout_s))
    assert isinstance(runpod.look(job), Running)
    change(job, beat_at=soon(-NAP.limits.timeout_s - runpod.GRACE_S - 1))
    assert runpod.look(job) == Lost()


def test_what_runpod_forgot_and_another_began_is_the_others(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    gateway.forget(str(live(job).remote_id))
    claims.take(str(live(job).id), "other-u1", "w1")
    assert runpod.look(job) == Taken("other-u1", 1.0)


def test_what_runpod_forgot_and_is_done_is_done(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    gateway.forget(str(live(job).remote_id))
    claims.keep_outcome(str(live(job).id), OUTCOME)
    assert runpod.look(job) == Ended(OUTCOME, runs.Meter(execution_ms=1500))
    assert claim_of(job) is None


def test_a_job_whose_claim_the_house_has_is_lost(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    work = gateway.cloud.works[str(live(job).remote_id)]
    gateway.cloud.give(ENDPOINT, "w1")
    gateway.cloud.finish(work, {"output": {"claim": {"remote_id": ""}}})
    assert runpod.look(job) == Lost()


def test_without_a_token_runpod_is_not_asked(gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job, calls = submitted(job), gateway.cloud.calls["status"]
    empty = Tokens(per_s=0, most=0)
    monkeypatch.setattr(runpod, "tokens", lambda _endpoint: empty)
    assert runpod.look(job) == Running(1.0)
    assert gateway.cloud.calls["status"] == calls


def test_without_a_token_runpod_is_given_nothing(gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Tokens(per_s=0, most=0)
    monkeypatch.setattr(runpod, "sends", lambda _endpoint: empty)
    assert runpod.submit(job) == Running(1.0)
    assert accepted(gateway, live(job).id) == 0
    assert runs.may_send(live(job).id), "who may not yet, does not keep others from it"


def test_a_cancelled_intent_that_runpod_may_have_can_never_begin(gateway: Gateway, job: Job) -> None:
    calls = gateway.cloud.calls["cancel"]
    assert runpod.cancel(live(job))
    assert claim_of(job) == ""
    assert gateway.cloud.calls["cancel"] == calls


def test_both_jobs_of_a_cancelled_attempt_are_cancelled(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    other = gateway.cloud.accept(ENDPOINT, {"input": {"attempt_id": str(live(job).id), "params": {"seed": 7}}})
    claims.take(str(live(job).id), other.id, "w1")
    assert runpod.cancel(live(job))
    assert {gateway.cloud.works[name].status for name in (other.id, str(live(job).remote_id))} == {"CANCELLED"}
    gateway.fail("cancel", Fault(), Fault(status=503))
    assert not runpod.cancel(live(job))


def test_what_is_cancelled_and_unknown_there_is_stopped(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    gateway.forget(str(live(job).remote_id))
    assert runpod.cancel(live(job))


def test_what_waits_too_long_expires_and_nobody_can_begin_it(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    assert isinstance(runpod.look(job), Running)
    rows.change(job.id, start_by=soon(-1))
    gateway.fail("cancel", Fault(status=503))
    assert isinstance(runpod.look(job), Running), "not before RunPod has stopped it, else a cold start is paid"
    assert claim_of(job) == ""
    assert runpod.look(job) == Ended(runpod.EXPIRED)
    assert gateway.cloud.works[str(live(job).remote_id)].status == "CANCELLED"


def test_what_is_begun_at_the_last_moment_goes_on(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    rows.change(job.id, start_by=soon(-1))
    claims.take(str(live(job).id), str(live(job).remote_id), "w1")
    assert isinstance(runpod.look(job), Running)
    assert gateway.cloud.works[str(live(job).remote_id)].status == "IN_QUEUE"


def test_what_finds_itself_forestalled_is_expired_and_not_begun_anew(gateway: Gateway, job: Job) -> None:
    job = submitted(job)
    rows.change(job.id, start_by=soon(-1))
    gateway.cloud.give(ENDPOINT, "w1")
    gateway.cloud.finish(gateway.cloud.works[str(live(job).remote_id)], {"output": {"claim": {"remote_id": ""}}})
    assert runpod.look(job) == Ended(runpod.EXPIRED)


def test_runpod_is_told_what_the_caller_said_of_time(job: Job) -> None:
    rows.change(job.id, start_within_s=20, timeout_s=30)
    asked = runpod.body(rows.job(job.id), live(job))
    assert asked["policy"] == {"executionTimeout": 30_000, "ttl": 50_000}
    assert asked["input"]["timeout_s"] == 30


def test_the_time_to_live_stays_within_what_runpod_takes(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runpod, "LONGEST_TTL_S", 900)
    policy = runpod.body(job, live(job))["policy"]
    assert policy == {"executionTimeout": 600_000, "ttl": 900_000}
    assert "webhook" not in runpod.body(job, live(job))
