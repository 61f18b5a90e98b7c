"""What follows from an answer that comes twice, or too late."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from db.base import transaction
from storage.bucket import bucket
from tasks import answers, ending
from tasks.remotes.remote import Ended
from tests.db import rows
from tools.errors import HandlerFailed
from tools.outcome import Outcome, StoredFile


@pytest.fixture
def running(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[UUID, UUID]]:  # noqa: ARG001 - it must run
    """Start a job at RunPod, where nobody listens; the ids of the job and of its attempt."""
    monkeypatch.setattr(answers, "submit", lambda _job: None)
    job_id = rows.accept()
    with transaction() as session:
        attempt = rows.lock(session, job_id).start({}, {}, rows.SIGNATURE, "an-endpoint")
    rows.change(job_id, due_at=None)
    yield job_id, attempt.id
    rows.end(job_id)
    rows.change(job_id, due_at=None)


def test_a_loss_that_is_found_out_twice_costs_one_attempt(running: tuple[UUID, UUID]) -> None:
    job_id, lost = running
    for _ in range(2):
        answers.replace(job_id, lost)
    assert [attempt.n for attempt in rows.job(job_id).attempts] == [1, 2]


def test_a_lost_attempt_does_not_end_the_job_of_a_newer_one(running: tuple[UUID, UUID]) -> None:
    job_id, lost = running
    answers.replace(job_id, lost)
    ending.conclude(job_id, lost, Outcome(engine="gpu", seconds=1, error=HandlerFailed("It fell over.").problem()))
    job = rows.job(job_id)
    assert job.status == "processing"
    assert job.attempt
    assert job.attempt.n == 2


@pytest.mark.usefixtures("s3")
def test_a_file_that_is_not_there_is_no_result(running: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "send", lambda _job: None)
    bucket.cache_clear()
    file = StoredFile(r2_path=f"r2://packshot/masks/{running[1]}.png", size=6, sha256="0" * 64)
    params = rows.GIVEN["mask"] | {"seed": 1}
    answers.follow(rows.job(running[0]), Ended(Outcome(engine="gpu", seconds=1, file=file, params=params)))
    job = rows.job(running[0])
    assert (job.status, (job.error or {}).get("code")) == ("failed", "no_output")
