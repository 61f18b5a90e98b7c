"""RunPod answers too late, wrongly or not at all: no job is lost, and none is paid for twice."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from db.base import soon
from storage import claims
from tests.conftest import wait_until
from tests.db import rows
from tests.gateway.cloud import Fault
from tests.gateway.far import LONG_S, Call, Far


@pytest.fixture(autouse=True)
def no_fault_is_left(far: Far) -> Iterator[None]:
    """Hold that each fault was met."""
    yield
    assert not any(far.gateway.cloud.faults.values())


def end_in_time(call: Call) -> dict[str, object]:
    """Let the database's time run until the job ends."""
    call.hurry(lambda: call.now["ended_at"])
    return call.now


def test_a_lost_webhook_is_made_up_for_by_looking(far: Far) -> None:
    with far.gateway.having(hooks=0):
        call = far.call()
        assert call.end()["status"] == "completed"
    assert call.ran_once()


def test_a_webhook_may_come_before_the_answer_to_the_submission(far: Far) -> None:
    far.gateway.fail("run", Fault(after=True, hold_s=4))
    call = far.call()
    assert call.end(3)["status"] == "completed"
    assert call.attempts[0].remote_id is None
    wait_until(lambda: call.attempts[0].remote_id == call.work.id)
    assert call.attempts[0].stop_at is None
    assert call.now["gpu_seconds"] > 0
    assert call.ran_once()


def test_a_submission_that_is_refused_is_made_again(far: Far) -> None:
    far.gateway.fail("run", *[Fault(status=429, headers={"Retry-After": "1"})] * 2)
    call = far.call()
    assert call.end()["status"] == "completed"
    assert call.attempts[0].sends == 1, "what was surely refused was not sent"
    assert call.ran_once()


def test_a_submission_that_is_refused_for_as_long_as_it_may_wait_is_given_up(far: Far) -> None:
    far.gateway.fail("run", *[Fault(status=401)] * 2)
    call = far.call()
    wait_until(lambda: len(far.gateway.cloud.faults["run"]) == 1)
    wait_until(lambda: (call.attempts[0].sends, call.attempts[0].beat_at) == (0, None))
    rows.change(UUID(call.job_id), start_by=soon(-1))
    call.age(25 * 3600)
    job = call.end()
    assert (job["status"], job["error"]["code"]) == ("expired", "expired")
    assert call.works == []


def test_a_submission_that_nobody_has_heard_of_is_made_again_under_the_same_id(far: Far) -> None:
    far.gateway.fail("run", Fault(status=500), Fault(drop=True), Fault(status=200, body=b"{}"))
    call = far.call()
    assert end_in_time(call)["status"] == "completed"
    assert [one.sends for one in call.attempts] == [4]
    assert call.ran_once()


def test_a_submission_whose_answer_was_lost_is_found_by_its_webhook(far: Far) -> None:
    far.gateway.fail("run", Fault(status=502, after=True))
    call = far.call()
    assert call.end()["status"] == "completed"
    assert call.attempts[0].sends == 1
    assert call.ran_once()


def test_a_submission_whose_answer_was_lost_is_found_by_its_claim(far: Far) -> None:
    far.gateway.fail("run", Fault(drop=True, after=True))
    with far.gateway.having(hooks=0):
        call = far.call(seconds=2)
        wait_until(lambda: call.began)
        call.age(LONG_S)
        wait_until(lambda: call.attempts[0].remote_id == call.work.id)
        assert call.end()["status"] == "completed"
    assert call.attempts[0].sends == 1
    assert call.ran_once()


def test_of_two_jobs_for_one_attempt_only_one_touches_the_gpu(far: Far) -> None:
    far.gateway.fail("run", Fault(status=500, after=True))
    with far.gateway.having(hooks=0, paused=True):
        call = far.call(seconds=4)
        call.wait("IN_QUEUE")
        call.hurry(lambda: len(call.works) == 2)
        wait_until(lambda: call.attempts[0].remote_id)
    other = call.wait("COMPLETED")  # at once: it leaves the attempt to the one that has its claim
    claim = claims.find(str(call.attempts[0].id))
    assert claim
    assert other.output["claim"]["remote_id"] == claim.remote_id != other.id
    call.age(LONG_S)
    wait_until(lambda: call.attempts[0].remote_id == claim.remote_id)
    assert end_in_time(call)["status"] == "completed"
    assert len(call.attempts) == 1
    assert len(call.works) == 2
    assert far.house.written("began")[f"seed-{call.seed}"] == 1


def test_looks_that_fail_end_no_job(far: Far) -> None:
    storm = [Fault(status=429, headers={"Retry-After": "1"}), Fault(status=500), Fault(drop=True), Fault(status=401)]
    far.gateway.fail("status", *storm)
    call = far.call()
    assert end_in_time(call)["status"] == "completed"
    assert call.ran_once()


def test_a_job_that_runpod_lost_before_anybody_began_it_is_made_anew(far: Far) -> None:
    with far.gateway.having(paused=True):
        call = far.call()
        wait_until(lambda: call.attempts and call.attempts[0].remote_id)
        far.gateway.forget(call.work.id)
        call.age(LONG_S)
        wait_until(lambda: len(call.attempts) == 2 and call.attempts[1].remote_id)
    assert call.end()["status"] == "completed"
    lost, fresh = call.attempts
    claim = claims.find(str(lost.id))
    assert claim
    assert claim.remote_id == ""
    assert far.gateway.executed()[str(lost.id)] == 0
    assert far.gateway.executed()[str(fresh.id)] == 1
    assert far.gateway.accepted()[str(fresh.id)] == 1


def test_a_job_that_runpod_lost_while_it_runs_is_not_begun_again(far: Far) -> None:
    with far.gateway.having(hooks=0):
        call = far.call(seconds=2)
        wait_until(lambda: call.began and call.attempts[0].remote_id)
        far.gateway.forget(call.work.id)
        wait_until(lambda: far.gateway.cloud.calls["status"] and far.house.written("ended")[f"seed-{call.seed}"])
        wait_until(lambda: claims.find_outcome(str(call.attempts[0].id)))
        assert end_in_time(call)["status"] == "completed"
    assert [one.sends for one in call.attempts] == [1]
    assert far.house.written("began")[f"seed-{call.seed}"] == 1


def test_a_result_that_runpod_refused_is_found_in_the_bucket(far: Far) -> None:
    far.gateway.fail("job-done", Fault(status=400))
    call = far.call()
    call.wait("IN_PROGRESS")
    assert end_in_time(call)["status"] == "completed"
    assert call.work.status == "IN_PROGRESS"
    assert far.house.written("began")[f"seed-{call.seed}"] == 1
    far.gateway.cloud.cancel(call.work)


def test_a_result_whose_file_is_gone_is_no_result(far: Far) -> None:
    far.gateway.fail("status", Fault(status=500), Fault(status=500))
    call = far.call()
    call.wait("COMPLETED")
    outcome = claims.find_outcome(str(call.attempts[0].id))
    assert outcome
    assert outcome.file
    far.lose_file(outcome.file.r2_path)
    job = end_in_time(call)
    assert (job["status"], dict(job["error"])["code"]) == ("failed", "no_output")  # type: ignore[call-overload]  # JSON
