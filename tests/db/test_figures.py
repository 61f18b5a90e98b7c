"""What is counted of the house, on jobs of every state."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db import figures, life, runs, suspicions
from db.base import soon, transaction
from db.runs import Meter
from settings import settings
from tests.db import rows


@pytest.fixture(autouse=True)
def empty(tables: str) -> Iterator[None]:  # noqa: ARG001 - they must be there
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, suspicions CASCADE"))
    yield
    settings.cache_clear()


def backlog() -> dict[str, int]:
    return {row.queue: row.jobs for row in figures.read_now().backlog}


def test_a_job_is_counted_in_each_state_that_it_goes_through() -> None:
    assert backlog() == {"main": 0, "gpu": 0}
    job_id = rows.accept("mask")
    now = figures.read_now()
    ((*told, age_s),) = now.open_jobs
    assert (told, now.attempts, backlog()) == (["mask", "pending", "queued", 1], [], {"main": 1, "gpu": 0})
    assert 0 <= age_s < 60
    rows.start(job_id)
    now = figures.read_now()
    assert [row[:4] for row in now.open_jobs] == [("mask", "processing", "processing", 1)]
    assert now.attempts == [("mask", "own", "waiting", 1)]
    assert backlog() == {"main": 0, "gpu": 1}
    rows.change(job_id, stage="sampling")
    assert figures.read_now().attempts == [("mask", "own", "running", 1)]
    assert backlog() == {"main": 0, "gpu": 1}  # who runs something is needed
    rows.end(job_id)
    assert (figures.read_now().open_jobs, backlog()) == ([], {"main": 1, "gpu": 0})  # it must be sent on
    life.settle(job_id, well=True)
    assert backlog() == {"main": 0, "gpu": 0}


def test_what_waits_for_others_or_is_at_runpod_is_no_work_of_ours() -> None:
    rows.canvas(rows.planned(), (first := rows.planned()), rows.planned(first.id))
    far = rows.accept("video")
    with transaction() as session:
        rows.lock(session, far).start({}, {}, rows.SIGNATURE, "an-endpoint")
    assert backlog() == {"main": 1, "gpu": 0}
    assert figures.read_now().attempts == [("video", "runpod", "waiting", 1)]


@pytest.mark.parametrize(("stage", "in_s", "counts"), [("throttled", 300, 0), ("throttled", -1, 1), ("delayed", -1, 1)])
def test_what_is_held_is_work_once_it_is_due(stage: str, in_s: float, counts: int) -> None:
    job_id = rows.accept()
    with transaction() as session:
        rows.lock(session, job_id).hold(stage, rows.SIGNATURE, soon(in_s))
    assert backlog()["main"] == counts


def test_a_sign_of_double_payment_is_told() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    with transaction() as session:
        suspicions.suspect(session, job_id, attempt_id, suspicions.LATE_OUTCOME)
    assert figures.read_now().suspicions == [("late_outcome", 1)]


def ends_of(job_id: UUID, **more: Any) -> figures.Ends:
    """Let a job end a minute ago, and read it as one who asks every now and then."""
    rows.end(job_id)
    rows.change(job_id, ended_at=soon(-60), **more)
    since = figures.read_ends(None).until - timedelta(minutes=5)
    return figures.read_ends(since)


def test_an_end_is_told_with_what_its_attempts_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_TYPES", "video=H100")
    monkeypatch.setenv("GPU_PRICES", "H100=4")
    settings.cache_clear()
    job_id = rows.accept("video")
    with transaction() as session:
        attempt_id = rows.lock(session, job_id).start({}, {}, rows.SIGNATURE, "an-endpoint").id
    runs.charge(attempt_id, Meter(delay_ms=1500, execution_ms=9000))
    ends = ends_of(job_id, created_at=soon(-70), started_at=soon(-67))
    ((tool, status, engine, queued_s, settled_s),) = ends.jobs
    assert (tool, status, engine, settled_s) == ("video", "completed", "preview", None)
    assert float(queued_s) == pytest.approx(3, abs=0.5)
    ((tool, gpu, delay_ms, execution_ms, cost, ran_s),) = ends.attempts
    assert (tool, gpu, delay_ms, execution_ms, ran_s) == ("video", "H100", 1500, 9000, None)
    assert cost == pytest.approx(9 / 3600 * 4)


def test_what_has_just_ended_is_told_the_next_time_and_then_no_more() -> None:
    job_id = rows.accept()
    rows.start(job_id)
    rows.end(job_id)
    first = figures.read_ends(figures.read_ends(None).until - timedelta(minutes=5))
    assert first.jobs == []  # whoever ends jobs may still be at it
    rows.change(job_id, ended_at=soon(-figures.LAG_S - 1))
    second = figures.read_ends(first.until - timedelta(minutes=5))
    assert len(second.jobs) == 1
    assert figures.read_ends(second.until).jobs == []
