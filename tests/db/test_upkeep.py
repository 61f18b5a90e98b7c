"""What nobody needs any more is forgotten, in the database's time; what somebody needs is not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, event, func, insert, select, text, update

from db import attempts, intake, runs, suspicions, upkeep, watchers
from db.base import engine, soon, transaction
from db.flows import Flow
from db.intake import IdempotencyKey, Key
from db.jobs import Job
from db.suspicions import Suspicion
from db.traces import DAY_S, Attempt, Event
from db.watchers import Watcher
from settings import settings
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


def count(table: Any, *where: Any) -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0


def change(table: Any, condition: Any, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(table).where(condition).values(**values))


def keyed(*, made_ago: float, ended_ago: float | None) -> str:
    name, asked = str(uuid4()), rows.asked()
    intake.accept_once(Key("mask", name, "f"), asked)
    if ended_ago is not None:
        rows.end(asked.id)
        rows.change(asked.id, ended_at=soon(-ended_ago))
    change(IdempotencyKey, IdempotencyKey.key == name, created_at=soon(-made_ago))
    return name


def test_a_key_is_kept_for_a_day_after_the_end_of_its_job() -> None:
    old = keyed(made_ago=2 * DAY_S, ended_ago=DAY_S + 60)
    kept = [
        keyed(made_ago=2 * DAY_S, ended_ago=DAY_S - 60),
        keyed(made_ago=2 * DAY_S, ended_ago=None),
        keyed(made_ago=60, ended_ago=30),
    ]
    assert upkeep.forget_keys() == 1
    assert count(IdempotencyKey, IdempotencyKey.key == old) == 0
    assert count(IdempotencyKey, IdempotencyKey.key.in_(kept)) == 3
    assert intake.find_key(Key("mask", old, "another")) is None, "the name is free again"


def forget_all_events() -> None:
    with transaction() as session:
        session.execute(delete(Event))


@contextmanager
def counted_reads(table: str) -> Iterator[dict[str, int]]:
    """Count what statements read of a table, also for foreign keys: rows, and whether all of them."""
    read = {"rows": 0, "scans": 0}
    seen = text(
        "SELECT seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = :name"
    )

    def note(sign: int, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            scans, rows_read = connection.execute(seen, {"name": table}).one()
            read["rows"] += sign * rows_read
            read["scans"] += sign * scans

    before, after = partial(note, -1), partial(note, 1)
    event.listen(engine(), "before_cursor_execute", before)
    event.listen(engine(), "after_cursor_execute", after)
    yield read
    event.remove(engine(), "before_cursor_execute", before)
    event.remove(engine(), "after_cursor_execute", after)


def test_while_no_event_is_old_a_round_reads_no_more_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_all_events()
    job_id = rows.accept()
    with transaction() as session:
        session.execute(insert(Event), [{"job_id": job_id, "name": "progress", "data": {}}] * 2000)
        session.execute(text("ANALYZE events"))
    monkeypatch.setattr(upkeep, "BATCH", 10)
    with counted_reads("events") as read:
        assert upkeep.forget_events(30) == 0
    assert 0 < read["rows"] <= 3 * upkeep.BATCH


@pytest.mark.parametrize("forget", [upkeep.forget_jobs, upkeep.forget_flows])
def test_what_is_forgotten_finds_its_keys_by_an_index(forget: Callable[[int], int]) -> None:
    if forget == upkeep.forget_jobs:
        old_job()
    else:
        with transaction() as session:
            session.execute(insert(Flow).values(id=uuid4(), asked={}, remaining=0, status="completed"))
            session.execute(update(Flow).values(created_at=soon(-9 * DAY_S), ended_at=soon(-9 * DAY_S)))
    engine().dispose()  # a connection that has never planned it
    with scanning_only_without_index(), counted_reads("idempotency_keys") as read:
        assert forget(8) == 1
    assert read["scans"] == 0


@contextmanager
def scanning_only_without_index() -> Iterator[None]:
    """Let the planner read a whole table only if there is no other way, however small it is."""

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    event.listen(engine(), "begin", begin)
    yield
    event.remove(engine(), "begin", begin)


def test_events_are_deleted_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_all_events()
    ids = [rows.accept() for _ in range(5)]
    fresh = rows.accept()
    change(Event, Event.job_id.in_(ids), at=soon(-31 * DAY_S))
    monkeypatch.setattr(upkeep, "BATCH", 3)
    assert [upkeep.forget_events(30) for _ in range(3)] == [3, 2, 0]
    assert rows.told(fresh) == ["accepted"]


def old_job(tool: str = "mask", *, swept: bool = True) -> UUID:
    job_id = rows.accept(tool)
    rows.start(job_id)
    rows.end(job_id, "failed")
    rows.change(job_id, created_at=soon(-9 * DAY_S), ended_at=soon(-9 * DAY_S))
    if swept:
        change(Attempt, Attempt.job_id == job_id, sweep_at=None)
    return job_id


def test_only_jobs_that_are_long_over_are_deleted() -> None:
    gone, unswept, trained = old_job(), old_job(swept=False), old_job("train")
    running = rows.accept()
    rows.start(running)
    rows.change(running, created_at=soon(-9 * DAY_S))
    assert upkeep.forget_jobs(8) == 1
    assert count(Job, Job.id.in_([unswept, trained, running])) == 3
    assert (
        count(Job, Job.id == gone) == count(Attempt, Attempt.job_id == gone) == count(Event, Event.job_id == gone) == 0
    )


def test_a_watcher_that_is_long_gone_is_forgotten() -> None:
    watchers.beat("old")
    change(Watcher, Watcher.name == "old", beat_at=soon(-DAY_S - 1))
    watchers.beat("new")
    assert upkeep.forget_watchers() == 1
    assert count(Watcher, Watcher.name == "new") == 1


def test_remains_are_swept_a_day_after_the_end_and_a_claim_outlives_every_queue() -> None:
    ours, theirs = rows.accept(), rows.accept()
    rows.start(ours)
    with transaction() as session:
        rows.lock(session, theirs).start({}, {}, rows.SIGNATURE, "an-endpoint")
    for job_id in (ours, theirs):
        rows.end(job_id, "failed")
    due = {job_id: sweep_due_s(job_id) for job_id in (ours, theirs)}
    assert due[ours] == pytest.approx(DAY_S, abs=60)
    assert due[theirs] == pytest.approx(DAY_S + 24 * 3600 + 300, abs=60)


def sweep_due_s(job_id: UUID) -> float:
    with transaction() as session:
        due = func.extract("epoch", Attempt.sweep_at - soon(0))
        return float(session.scalar(select(due).where(Attempt.job_id == job_id)) or 0)


def test_a_sweep_is_claimed_once_and_tried_again_until_it_came_through() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    rows.end(job_id, "failed")
    assert upkeep.claim_sweeps(100) == []
    change(Attempt, Attempt.id == attempt_id, sweep_at=soon(-1))
    assert [one.attempt_id for one in upkeep.claim_sweeps(100)] == [attempt_id]
    assert upkeep.claim_sweeps(100) == []
    change(Attempt, Attempt.id == attempt_id, sweep_at=soon(-1), stop_at=soon(60))
    assert upkeep.claim_sweeps(100) == [], "what may still run is not swept"
    change(Attempt, Attempt.id == attempt_id, stop_at=None)
    assert len(upkeep.claim_sweeps(100)) == 1
    upkeep.swept([attempt_id])
    change(Attempt, Attempt.sweep_at.is_not(None), sweep_at=soon(-1))
    assert attempt_id not in {one.attempt_id for one in upkeep.claim_sweeps(100)}


def suspected(attempt_id: UUID) -> list[str]:
    with transaction() as session:
        return list(session.scalars(select(Suspicion.what).where(Suspicion.attempt_id == attempt_id)))


def beat(attempt_id: UUID) -> None:
    assert not attempts.beat(attempt_id, 0.2, "sampling")


def charge(attempt_id: UUID) -> None:
    runs.charge(attempt_id, runs.Meter(execution_ms=100))


def count_lost() -> int:
    return suspicions.count(settings().database_url.get_secret_value()).get(suspicions.LOST_ATTEMPT_RAN, 0)


@pytest.mark.parametrize("live", [beat, charge])
def test_a_lost_attempt_that_lives_is_counted_once(live: Callable[[UUID], None]) -> None:
    job_id, before = rows.accept(), count_lost()
    first = rows.start(job_id)
    assert attempts.beat(first, 0.1, "sampling")
    with transaction() as session:
        assert rows.lock(session, job_id).lose()
    assert suspected(first) == []
    for _ in range(2):
        live(first)
    assert suspected(first) == [suspicions.LOST_ATTEMPT_RAN]
    assert count_lost() == before + 1


def test_the_cancelled_that_beats_once_more_is_not_suspected() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    rows.end(job_id, "cancelled")
    assert not attempts.beat(attempt_id, 0.2, "sampling")
    runs.charge(attempt_id, runs.Meter(execution_ms=100))
    assert suspected(attempt_id) == []
