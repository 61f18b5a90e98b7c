"""What happened is read in order, and nothing is passed over that is yet to be committed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from db import attempts, course, crowd, events, upkeep
from db.base import soon, transaction
from db.course import AskedFlow
from db.crowd import Heard
from db.jobs import Job
from db.runs import Told
from db.traces import DAY_S, Event
from tests.conftest import wait_until
from tests.db import rows
from tools import flow, plan
from tools.errors import JobNotFound, Unavailable
from tools.flow import FlowNotFound

pytestmark = pytest.mark.usefixtures("tables")


def running(job_id: UUID | None = None) -> tuple[UUID, UUID]:
    """Start a job, and claim its attempt."""
    job_id = job_id or rows.accept()
    attempt_id = rows.start(job_id)
    attempts.claim(attempt_id, "here")
    return job_id, attempt_id


def tell(job_id: UUID) -> list[dict[str, Any]]:
    return events.read_jobs({job_id: 0})[job_id]


def make_flow(many: int = 2) -> tuple[UUID, list[UUID]]:
    """Take in a flow of jobs side by side, and one step that waits for the first; give the jobs that are out."""
    each = [{"id": f"s{n}", "tool": "mask", "with": rows.GIVEN["mask"]} for n in range(many)]
    last = {"id": "last", "tool": "mask", "with": {"image_url": "${s0.r2_path}", "object_name": "shoe"}}
    asked = AskedFlow(uuid4(), plan.make(flow.parse({"steps": [*each, last]})), {"steps": each})
    with transaction() as session:
        course.accept(session, asked)
    with transaction() as session:
        return asked.id, list(session.scalars(select(Job.id).where(Job.flow_id == asked.id).order_by(Job.step)))


def test_each_event_shows_the_job_as_it_was_then() -> None:
    job_id, attempt_id = running()
    attempts.beat(attempt_id, 0.5, "sampling")
    rows.end(job_id, "completed", {"success": True})
    seen = [(one["event"], one["status"], one["stage"], one["progress"], one["ended"]) for one in tell(job_id)]
    assert seen == [
        ("accepted", "pending", "queued", 0.0, False),
        ("started", "processing", "waiting_for_gpu", 0.0, False),
        ("progress", "processing", "sampling", 0.5, False),
        ("completed", "completed", "completed", 1.0, True),
    ]
    assert [one["result"] for one in tell(job_id)] == [None, None, None, {"success": True}]


def test_progress_is_told_by_stage_and_by_parts_and_not_at_each_beat() -> None:
    job_id, attempt_id = running()
    for beat in range(128):
        assert attempts.beat(attempt_id, beat / 256, "sampling")
    attempts.beat(attempt_id, 0.5 - 1 / 256, "uploading")
    attempts.beat(attempt_id, 0.25, "uploading")
    told = [one["progress"] for one in tell(job_id) if one["event"] == "progress"]
    assert [int(progress * 50) for progress in told] == [*range(25), 24]
    assert told[-1] == 127 / 256


def test_progress_at_runpod_is_told_for_many_at_once() -> None:
    jobs = [running() for _ in range(3)]
    for far, stage in ((0.5, "sampling"), (0.501, "sampling"), (0.3, "uploading")):
        crowd.hear([Heard(job_id, attempt_id, 5.0, Told(far, stage)) for job_id, attempt_id in jobs[:2]])
    crowd.hear([Heard(*jobs[2], 5.0)])
    told = [[(one["stage"], one["progress"]) for one in tell(job_id)[2:]] for job_id, _ in jobs]
    assert told == [[("sampling", 0.5), ("uploading", 0.501)]] * 2 + [[]]


def test_nothing_is_told_of_a_job_that_has_ended() -> None:
    job_id, attempt_id = running()
    rows.end(job_id, "cancelled")
    attempts.beat(attempt_id, 0.5, "sampling")
    crowd.hear([Heard(job_id, attempt_id, 5.0, Told(0.5, "sampling"))])
    assert rows.told(job_id) == ["accepted", "started", "cancelled"]


def test_a_snapshot_shows_what_its_event_tells() -> None:
    job_id, attempt_id = running()
    attempts.beat(attempt_id, 0.5, "sampling")
    opening = events.open_job(job_id)
    assert opening.newest == opening.shown["id"] == tell(job_id)[-1]["id"]
    assert (opening.shown["stage"], opening.shown["progress"], opening.ended) == ("sampling", 0.5, False)
    assert set(opening.shown) == set(tell(job_id)[0])


def test_who_goes_on_after_an_event_that_was_forgotten_is_not_taken_for_one_who_missed_nothing() -> None:
    job_id, _ = running()
    accepted, started = (one["id"] for one in tell(job_id))
    assert events.open_job(job_id, accepted).known
    with transaction() as session:
        session.execute(update(Event).where(Event.id == accepted).values(at=soon(-31 * DAY_S)))
    upkeep.forget_events(30)
    assert not events.open_job(job_id, accepted).known
    assert events.open_job(job_id, started).known
    assert not events.open_job(rows.accept(), started).known, "another's"


def test_pages_end_where_they_are_told_to() -> None:
    job_id, attempt_id = running()
    for n in range(8):
        attempts.beat(attempt_id, 0.1, f"stage {n}")
    numbers = [one["id"] for one in tell(job_id)]
    page = events.read_jobs({job_id: numbers[1]}, numbers[6], 3)[job_id]
    assert [one["id"] for one in page] == numbers[2:5]
    assert [one["id"] for one in events.read_jobs({job_id: numbers[4]}, numbers[6], 3)[job_id]] == numbers[5:7]


def test_many_are_read_each_after_its_own_event() -> None:
    one, other = running()[0], running()[0]
    last = tell(one)[-1]["id"]
    assert {job_id: len(told) for job_id, told in events.read_jobs({one: last, other: 0}).items()} == {other: 2}


def test_a_flow_tells_of_its_jobs_of_its_steps_and_last_of_its_end() -> None:
    flow_id, jobs = make_flow()
    for job_id in jobs:
        running(job_id)
        rows.end(job_id, "failed")
    told = events.read_flows({flow_id: 0})[flow_id]
    assert [one["event"] for one in told] == ["accepted", "accepted", *["started", "failed"] * 2, "failed"]
    assert [one["ended"] for one in told] == [*[False] * 6, True]
    assert [one["job"] and one["job"]["step"] for one in told] == ["s0", "s1", "s0", "s0", "s1", "s1", None]
    assert told[-1]["steps"] == [
        {"id": "s0", "tool": "mask", "status": "failed", "jobs": 1, "remaining": 0, "missed": 1},
        {"id": "s1", "tool": "mask", "status": "failed", "jobs": 1, "remaining": 0, "missed": 1},
        {"id": "last", "tool": "mask", "status": "cancelled", "jobs": 0, "remaining": 0, "missed": 0},
    ]
    opening = events.open_flow(flow_id)
    assert (opening.newest, opening.ended, opening.shown["status"]) == (told[-1]["id"], True, "failed")
    assert set(opening.shown) == set(told[0])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_an_event_waits_for_an_older_one_of_its_flow_that_is_not_committed(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_id, (one, other) = make_flow()
    newest, looks, find_writers = events.open_flow(flow_id).newest, list[set[str]](), events.find_writers

    def look() -> set[str]:
        looks.append(find_writers())
        return looks[-1]

    monkeypatch.setattr(events, "find_writers", look)
    with transaction() as session:
        rows.lock(session, one).start({}, {}, rows.SIGNATURE)
        session.flush()  # it has its id
        running(other)  # and this one a higher one
        reading = pool.submit(events.read_flows, {flow_id: newest})
        listing = pool.submit(events.open_flow, flow_id)
        wait_until(lambda: len(looks) > 8 or reading.done() or listing.done())
        assert not any(one.done() for one in (reading, listing))
    told = reading.result()[flow_id]
    assert [step["job"]["step"] for step in told] == ["s0", "s1"]
    assert listing.result().newest == told[-1]["id"]


def test_a_flow_that_ends_just_then_is_not_taken_for_one_whose_end_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    flow_id, jobs = make_flow()
    last, settle = events.open_flow(flow_id).newest, events.settle

    def settle_and_end() -> int:
        newest = settle()
        for job_id in jobs:
            rows.end(job_id, "cancelled")
        return newest

    monkeypatch.setattr(events, "settle", settle_and_end)
    opening = events.open_flow(flow_id, last)
    monkeypatch.undo()
    assert (opening.ended, opening.newest) == (True, events.read_flows({flow_id: 0})[flow_id][-1]["id"])


def test_nobody_waits_for_ever_for_who_does_not_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE_S", 0.05)
    job_id = rows.accept()
    with transaction() as session:
        rows.lock(session, job_id)
        with pytest.raises(Unavailable):
            events.settle()
    assert events.settle() >= tell(job_id)[-1]["id"]


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(JobNotFound):
        events.open_job(uuid4())
    with pytest.raises(FlowNotFound):
        events.open_flow(uuid4())
    assert events.read_flows({uuid4(): 0}) == events.read_jobs({uuid4(): 0}) == {}
