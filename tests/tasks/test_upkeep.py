"""What attempts left in the bucket goes, and what is a job's result stays."""

from collections.abc import Iterator
from time import monotonic
from uuid import UUID

import pytest
from sqlalchemy import event, select, update

from db.base import engine, soon, transaction
from db.suspicions import Suspicion
from db.traces import Attempt
from embedded.ports import any_free
from settings import settings
from storage import claims
from storage.bucket import bucket
from tasks import answers, ending, upkeep, watch
from tests.db import rows
from tools.errors import StorageFailed
from tools.outcome import Outcome, StoredFile


@pytest.fixture(autouse=True)
def use_bucket(database: str, s3: object) -> Iterator[None]:  # noqa: ARG001 - they must run
    """Work on the real bucket."""
    bucket.cache_clear()
    yield
    bucket.cache_clear()


def begin(endpoint: str | None = "an-endpoint") -> tuple[UUID, UUID]:
    job_id = rows.accept()
    rows.change(job_id, due_at=None)
    with transaction() as session:
        attempt = rows.lock(session, job_id).start({}, {}, rows.SIGNATURE, endpoint)
    rows.change(job_id, due_at=None)
    return job_id, attempt.id


def leave(attempt_id: UUID) -> StoredFile:
    """Leave in the bucket all that a handler leaves."""
    claims.take(str(attempt_id), "remote", "w")
    key = f"masks/{attempt_id}.png"
    stored = bucket().put(key, b"a file")
    bucket().put(f"masks/{attempt_id}.extra.png", b"beside it")
    file = StoredFile(r2_path=f"r2://{bucket().name}/{key}", size=stored.size, sha256=str(stored.sha256))
    claims.keep_outcome(str(attempt_id), Outcome(engine="gpu", seconds=1, file=file, params=dict(rows.GIVEN["mask"])))
    return file


def outcome_with(file: StoredFile) -> Outcome:
    return Outcome(engine="gpu", seconds=1, file=file, params=dict(rows.GIVEN["mask"]))


def end(job_id: UUID, attempt_id: UUID, outcome: Outcome) -> None:
    ending.conclude(job_id, attempt_id, outcome)
    rows.change(job_id, due_at=None)


def let_a_day_pass(*attempt_ids: UUID) -> None:
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id.in_(attempt_ids)).values(sweep_at=soon(-1), stop_at=None))


def left(attempt_id: UUID) -> set[str]:
    prefixes = ("claims/", "results/", "masks/")
    return {key.replace(str(attempt_id), "") for prefix in prefixes for key in bucket().find(f"{prefix}{attempt_id}")}


def test_a_result_stays_and_an_orphan_goes() -> None:
    (good_job, good), (bad_job, bad), (_, live) = begin(), begin(), begin()
    file = leave(good)
    leave(bad)
    leave(live)
    end(good_job, good, outcome_with(file))
    ending.cancel(bad_job)
    rows.change(bad_job, due_at=None)
    upkeep.tidy()
    assert len(left(bad)) == len(left(good)) == 4, "not before their time"
    let_a_day_pass(good, bad)
    upkeep.tidy()
    assert left(good) == {"masks/.png", "masks/.extra.png"}
    assert left(bad) == set()
    assert len(left(live)) == 4
    assert swept(good)
    assert swept(bad)


def swept(attempt_id: UUID) -> bool:
    with transaction() as session:
        return session.get_one(Attempt, attempt_id).sweep_at is None


def test_while_the_bucket_is_away_nothing_is_called_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, attempt_id = begin()
    leave(attempt_id)
    ending.cancel(job_id)
    let_a_day_pass(attempt_id)
    monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{any_free(set())}")
    settings.cache_clear()
    bucket.cache_clear()
    with pytest.raises(StorageFailed):
        upkeep.sweep()
    monkeypatch.undo()
    settings.cache_clear()
    bucket.cache_clear()
    assert not swept(attempt_id)
    let_a_day_pass(attempt_id)
    upkeep.sweep()
    assert left(attempt_id) == set()


def suspected(attempt_id: UUID) -> list[str]:
    with transaction() as session:
        return list(session.scalars(select(Suspicion.what).where(Suspicion.attempt_id == attempt_id)))


def test_a_file_for_a_job_that_was_ended_otherwise_is_counted() -> None:
    job_id, attempt_id = begin(None)
    file = leave(attempt_id)
    ending.cancel(job_id)
    for _ in range(2):
        end(job_id, attempt_id, outcome_with(file))
    assert suspected(attempt_id) == ["late_outcome"]


def test_the_same_end_told_twice_is_no_suspicion() -> None:
    job_id, attempt_id = begin(None)
    file = leave(attempt_id)
    for _ in range(2):
        end(job_id, attempt_id, outcome_with(file))
    assert suspected(attempt_id) == []


def test_a_second_remote_id_is_counted() -> None:
    job_id, attempt_id = begin()
    for remote_id in ("one", "one", "two", "two"):
        answers.note(job_id, attempt_id, remote_id, 60)
    rows.change(job_id, due_at=None)
    assert suspected(attempt_id) == ["second_remote_id"]


def test_a_chore_that_fails_keeps_none_of_the_others_from_being_done_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    job_id, attempt_id = begin()
    leave(attempt_id)
    ending.cancel(job_id)
    rows.change(job_id, due_at=None)
    event.listen(engine(), "before_cursor_execute", let_events_be_slow, retval=True)
    try:
        for _ in range(2):
            let_a_day_pass(attempt_id)
            upkeep.tidy()
    finally:
        event.remove(engine(), "before_cursor_execute", let_events_be_slow)
    assert swept(attempt_id)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1
    assert "events" in said[0]
    caplog.clear()
    upkeep.tidy()
    assert "events are forgotten again" in caplog.text


def let_events_be_slow(
    _connection: object, _cursor: object, statement: str, parameters: object, *_: object
) -> tuple[str, object]:
    """Let PostgreSQL cancel what deletes events, as it does after ten seconds."""
    if statement.startswith("DELETE FROM events"):
        return "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)", None
    return statement, parameters


def test_upkeep_is_due_once_in_a_while_and_never_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chores, did = watch.Chores(), []
    assert chores.due() == []
    chores.next_at = 0
    ((_, do),) = chores.due()
    assert chores.due() == [], "it is being done"
    monkeypatch.setattr(upkeep, "tidy", lambda: did.append("once"))
    do()
    assert did == ["once"]
    assert watch.CHORES_S - 5 < chores.next_at - monotonic() <= watch.CHORES_S
