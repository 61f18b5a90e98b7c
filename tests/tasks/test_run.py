"""What one message does to its job, and in which order."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.jobs import Job
from tasks import answers, run
from tasks.app import app
from tasks.run import Call, ToolTask, advance
from tests.db import rows
from tools.catalog import TOOLS
from tools.contract import Params, Tool
from tools.errors import StorageFailed


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


@pytest.mark.parametrize(
    ("tool", "given"),
    [("mask", {"image_url": 7}), ("resolve_template", {"template_id": str(uuid4()), "trigger_word": "TOK"})],
)
def test_a_later_step_that_ends_in_its_first_run_is_sent_again_if_its_worker_dies(
    job_id: UUID, tool: str, given: dict[str, Any]
) -> None:
    later = rows.planned(job_id, tool=tool)
    rows.canvas(rows.planned(), later)
    assert advance(Call(TOOLS[tool], later.id, job_id, (), given, lambda: rows.SIGNATURE))[0]
    job = rows.job(later.id)
    assert (job.status, job.settled_at) == ("failed", None)
    assert job.due_at is not None
    assert job.signature == rows.SIGNATURE
    rows.change(later.id, due_at=None)


@pytest.mark.usefixtures("database")
def test_photos_that_a_worker_lets_in_are_let_in_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, seen = rows.accept("train"), list[Any]()
    rows.change(job_id, params=None)
    call = Call(TOOLS["train"], job_id, job_id, (), rows.GIVEN["train"], lambda: rows.SIGNATURE)

    def admit(_tool: Tool, params: Params, _proved: object) -> Params:
        seen.append("admitted")
        if len(seen) == 1:
            seen.append(advance(call))
        return params

    monkeypatch.setattr(run, "admit", admit)
    advance(call)
    assert seen == ["admitted", (None, None)], "who comes meanwhile has nothing to do"
    assert rows.job(job_id).status == "processing"
    rows.end(job_id)


def test_a_job_that_ended_while_the_bucket_was_away_answers(job_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(*_: object) -> None:
        raise StorageFailed

    monkeypatch.setattr(run, "admit", admit)
    call = Call(TOOLS["mask"], job_id, job_id, (), rows.GIVEN["mask"], lambda: rows.SIGNATURE)
    with pytest.raises(StorageFailed):
        advance(call)
    assert 10 < (rows.due_in(job_id) or 0) <= 15, "its message comes again by itself"
    rows.end(job_id, "cancelled")
    assert advance(call) == (None, None)
    assert rows.job(job_id).status == "cancelled"


def test_a_parked_message_has_no_deadline(task: ToolTask) -> None:
    parked = task.park()
    assert parked["options"]["task_id"] == "an-id"
    assert not parked["options"].get("expires"), "the job has ended by then: Celery would drop its answer"


@pytest.mark.parametrize(
    ("ended", "status", "settled"),
    [
        ("completed", "SUCCESS", True), ("failed", "FAILURE", True), ("completed", "FAILURE", False),
        ("completed", "RETRY", False),
    ],
)  # fmt: skip
def test_a_task_settles_its_job_once_celery_has_sent_on_what_follows(
    job_id: UUID, task: ToolTask, ended: str, status: str, *, settled: bool
) -> None:
    rows.end(job_id, ended)
    task.after_return(status, None, str(job_id))
    assert (rows.job(job_id).settled_at is not None) is settled
