"""RunPod as a remote: our client and our entry, with RunPod's own worker between them."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from db import intake
from db.base import transaction
from db.intake import Asked
from db.traces import Event
from storage import claims
from tasks import ending
from tasks.remotes import reading
from tests.api.asking import post
from tests.conftest import wait_until
from tests.gateway.cloud import Fault
from tests.gateway.far import Call, Far
from tests.gateway.gateway import ENDPOINT
from tests.nap import NAP
from tests.tasks.house import read


def test_a_job_goes_to_runpod_and_comes_back(far: Far) -> None:
    call = far.call(seconds=0.2)
    job = call.end()
    assert job["status"] == "completed"
    assert job["engine"] == "preview"
    assert job["result"]["nap_params"]["seed"] == call.seed
    assert call.ran_once()
    (attempt,) = call.attempts
    assert (attempt.remote_id, attempt.worker) == (call.work.id, call.work.worker)
    assert (attempt.execution_ms, attempt.delay_ms) == (call.work.execution_ms, call.work.show()["delayTime"])
    assert job["gpu_seconds"] == call.work.execution_ms / 1000 > 0.2
    assert call.work.policy == {"executionTimeout": 600_000, "ttl": (24 * 3600 + 600) * 1000}
    assert call.work.webhook
    assert call.work.webhook.startswith(f"{far.site}/hooks/runpod/{attempt.id}/")


def test_a_waiting_caller_hears_what_it_cost(far: Far) -> None:
    answer = post(f"{far.site}/api/nap", {"seconds": 0.1})
    assert answer.status_code == 200
    job = read(answer.headers["X-Job-Id"])
    assert answer.headers["X-GPU-Seconds"] == f"{job['gpu_seconds']:g}"
    assert job["gpu_seconds"] > 0.1


def test_progress_is_seen_while_it_runs(far: Far) -> None:
    call = far.call(seconds=5)
    wait_until(lambda: call.now["stage"] == "napping" and 0 < call.now["progress"] < 1, why=lambda: repr(call.now))
    assert call.end()["progress"] == 1
    assert 1 <= far.gateway.progressed(call.work.id) <= 6


@pytest.mark.parametrize(
    ("fate", "code", "retryable", "spoiled"),
    [
        ("fail", "handler_failed", True, False),
        ("refuse", "object_not_found", False, False),
        ("overflow", "out_of_memory", False, True),
    ],
)
def test_an_error_of_the_handler_is_the_error_of_the_job(
    far: Far, fate: str, code: str, *, retryable: bool, spoiled: bool
) -> None:
    call = far.call(fate=fate)
    job = call.end()
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", code, retryable)
    assert job["error"].get("suggestions") == (["sofa"] if fate == "refuse" else None)
    assert (call.work.status, call.work.spoiled) == ("FAILED", spoiled)
    assert job["gpu_seconds"] > 0
    assert call.ran_once()


def test_an_outcome_that_is_too_large_for_runpod_is_read_from_the_bucket(far: Far) -> None:
    call = far.call(fate="swell")
    job = call.end()
    assert job["status"] == "completed"
    assert len(job["facts"]["bulk"]) > 10**7
    assert call.work.output == {"kept": True}
    assert call.ran_once()


def test_a_job_that_was_cancelled_before_its_start_never_reaches_runpod(far: Far) -> None:
    calls, params = far.gateway.cloud.calls["run"], {"seconds": 0.0, "fate": "", "seed": 0}
    asked = Asked(uuid4(), NAP, params, params, 1)
    intake.accept(asked)
    ending.cancel(asked.id)
    call = Call(far, str(asked.id), 0)
    assert call.end()["status"] == "cancelled"
    call.age(60)
    assert far.call().end()["status"] == "completed"
    assert far.gateway.cloud.calls["run"] == calls + 1
    assert call.attempts == []


def test_a_job_that_is_cancelled_while_it_is_being_submitted_is_stopped_once_its_id_is_known(far: Far) -> None:
    far.gateway.fail("run", Fault(after=True, hold_s=1))
    with far.gateway.having(paused=True):
        call = far.call()
        call.wait("IN_QUEUE")
        call.cancel()
        assert call.attempts[0].remote_id is None
        call.wait("CANCELLED")
        wait_until(lambda: call.attempts[0].stop_at is None)
    assert call.attempts[0].remote_id == call.work.id
    assert far.gateway.executed()[str(call.attempts[0].id)] == 0


def test_a_job_that_waits_at_runpod_is_cancelled_there(far: Far) -> None:
    with far.gateway.having(paused=True):
        call = far.call()
        wait_until(lambda: call.attempts and call.attempts[0].remote_id)
        call.cancel()
        call.wait("CANCELLED", patience_s=1)
    assert call.now["status"] == "cancelled"
    assert far.gateway.executed()[str(call.attempts[0].id)] == 0
    wait_until(lambda: call.attempts[0].stop_at is None)


def test_a_job_that_runs_is_cancelled_down_to_its_handler(far: Far) -> None:
    call = far.call(seconds=60)
    wait_until(lambda: call.began)
    call.cancel()
    call.wait("CANCELLED", patience_s=1)
    wait_until(lambda: far.house.written("ended")[f"seed-{call.seed}"], 3)
    wait_until(lambda: call.now["gpu_seconds"] > 0)
    assert call.now["status"] == "cancelled"
    assert claims.find_outcome(str(call.attempts[0].id)) is None
    assert far.call().end()["status"] == "completed"


def test_a_cancel_is_not_lost_while_runpod_is_away(far: Far) -> None:
    far.gateway.fail("cancel", Fault(status=500), Fault(status=429), Fault(drop=True))
    with far.gateway.having(paused=True):
        call = far.call()
        wait_until(lambda: call.attempts and call.attempts[0].remote_id)
        call.cancel()
        call.hurry(lambda: call.is_with("CANCELLED"))
    assert not far.gateway.cloud.faults["cancel"]
    wait_until(lambda: call.attempts[0].stop_at is None)


def test_a_job_that_somebody_cancels_at_runpod_is_cancelled(far: Far) -> None:
    with far.gateway.having(paused=True):
        call = far.call()
        far.gateway.cloud.cancel(call.wait("IN_QUEUE"))
    assert call.end()["status"] == "cancelled"


def test_a_job_that_takes_too_long_is_stopped_and_says_so(far: Far) -> None:
    with far.gateway.having(haste=600.0):
        call = far.call(seconds=60)
        job = call.end()
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "execution_timeout", True)
    assert call.work.status == "TIMED_OUT"
    wait_until(lambda: far.house.written("ended")[f"seed-{call.seed}"], 3)
    assert call.ran_once()


def test_a_job_that_takes_longer_than_its_caller_allows_is_stopped(far: Far) -> None:
    call = far.call(seconds=60, timeout_seconds=5)
    job = call.end()
    assert (job["status"], job["error"]["code"]) == ("failed", "execution_timeout")
    assert 5 <= job["gpu_seconds"] < 10
    wait_until(lambda: far.house.written("ended")[f"seed-{call.seed}"])
    assert call.ran_once()


def test_a_worker_that_is_killed_costs_no_job(far: Far) -> None:
    call = far.call(seconds=2)
    wait_until(lambda: call.began)
    killed = call.work.worker
    far.kill(killed)
    far.hire("w3")
    assert call.end()["status"] == "completed"
    (attempt,) = call.attempts
    assert attempt.worker == call.work.worker != killed
    assert far.gateway.accepted()[str(attempt.id)] == 1
    assert [work for _, work, _ in far.gateway.cloud.executions].count(call.work.id) == 2
    claim = claims.find(str(attempt.id))
    assert claim
    assert (claim.remote_id, claim.worker) == (call.work.id, killed)


def test_each_end_is_told_once_however_often_runpod_tells_it(far: Far) -> None:
    with far.gateway.having(hooks=3):
        call = far.call()
        call.end()
    wait_until(lambda: [one.status for one in far.gateway.cloud.told if one.remote_id == call.work.id] == [200] * 3)
    with transaction() as session:
        names = session.scalars(select(Event.name).where(Event.job_id == call.attempts[0].job_id)).all()
    assert names.count("completed") == 1
    assert call.ran_once()


def test_what_their_worker_makes_of_an_exception_is_read(far: Far) -> None:
    work = far.gateway.cloud.accept(ENDPOINT, {"input": {"not": "one of ours"}})
    wait_until(lambda: work.status == "FAILED")
    meant = reading.read(work.show())
    assert isinstance(meant, reading.Over)
    assert meant.outcome.error
    assert (meant.outcome.error["code"], meant.outcome.error["exception"]) == ("handler_failed", "<class 'KeyError'>")


def test_a_job_that_kills_its_workers_is_given_up_by_runpod(far: Far) -> None:  # the last test: no worker is left
    call = far.call(fate="die")
    job = call.end()
    assert (job["status"], job["error"]["code"]) == ("failed", "handler_failed")
    assert far.gateway.executed()[str(call.attempts[0].id)] == 2
    assert [far.gateway.accepted()[str(one.id)] for one in call.attempts] == [1]
