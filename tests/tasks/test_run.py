"""What one message does to its job, and in which order."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from db.jobs import Job
from tasks import answers
from tasks.app import app
from tasks.run import Call, ToolTask, advance
from tests.db import rows
from tools.catalog import TOOLS


@pytest.fixture(name="job_id")
def accept_one(database: str) -> Iterator[UUID]:  # noqa: ARG001 - it must run
    """Take in a job after which nobody looks."""
    job_id = rows.accept()
    rows.change(job_id, due_at=None)
    yield job_id
    rows.end(job_id)
    rows.change(job_id, due_at=None)


@pytest.fixture
def task() -> Iterator[ToolTask]:
    """Give the task as it runs a message with a deadline."""
    found: Any = app.tasks["tasks.mask"]
    found.push_request(id="an-id", root_id="an-id", expires="2026-01-01T00:00:00+00:00", args=(), kwargs={})
    yield found
    found.pop_request()


def test_what_is_handed_over_stands_as_an_intent_already(job_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    stood: list[Job] = []
    monkeypatch.setattr(answers, "submit", lambda job: stood.append(rows.job(job.id)))
    assert advance(Call(TOOLS["mask"], job_id, job_id, (), {}, lambda: rows.SIGNATURE)) == (None, None)
    assert [(job.status, len(job.attempts), job.signature) for job in stood] == [("processing", 1, rows.SIGNATURE)]


def test_a_parked_message_has_no_deadline(task: ToolTask) -> None:
    parked = task.park()
    assert parked["options"]["task_id"] == "an-id"
    assert not parked["options"].get("expires"), "the job has ended by then: Celery would drop its answer"


@pytest.mark.parametrize(("status", "settled"), [("SUCCESS", True), ("FAILURE", True), ("RETRY", False)])
def test_a_task_settles_its_job_once_celery_has_sent_on_what_follows(
    job_id: UUID, task: ToolTask, status: str, *, settled: bool
) -> None:
    rows.end(job_id)
    task.after_return(status, None, str(job_id))
    assert (rows.job(job_id).settled_at is not None) is settled
