"""How jobs become rows: from HTTP with a key, from Python with their whole canvas."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from db import cards, intake
from db.base import engine, transaction
from db.intake import Key
from db.jobs import BLOCKED, SEND_AGAIN_S, Job
from tests.db import rows
from tools.errors import CanvasReused, IdempotencyInProgress, IdempotencyMismatch, JobNotFound

pytestmark = pytest.mark.usefixtures("tables")


def key(fingerprint: str = "a", name: str | None = None) -> Key:
    return Key("mask", name or str(uuid4()), fingerprint)


def count() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_a_job_is_due_from_its_first_moment() -> None:
    job_id = rows.accept(priority=0)
    job = rows.job(job_id)
    assert (job.status, job.stage, job.root_id, job.priority) == ("pending", "queued", job_id, 0)
    assert (job.given, job.upstream, job.members, job.drawn) == (rows.GIVEN["mask"], [], [], [])
    assert job.params
    assert job.params["seed"] is not None
    assert SEND_AGAIN_S - 2 < (rows.due_in(job_id) or 0) <= SEND_AGAIN_S
    assert job.start_by
    assert job.start_by > job.created_at + timedelta(hours=23)
    assert rows.told(job_id) == ["accepted"]


def test_a_training_has_its_model_from_the_start() -> None:
    job_id = rows.accept("train")
    shown = cards.show_training(cards.find_trained(job_id))
    assert (shown["model_name"], shown["trigger_word"], shown["status"], shown["model_string"]) == (
        "Shoe", "TOK_SHOE", "pending", None,
    )  # fmt: skip
    with pytest.raises(JobNotFound):
        cards.find_trained(rows.accept("mask"))


def test_the_order_of_keys_is_kept() -> None:
    job = rows.asked()
    wanted = {"z": 1, "a": {"y": 1, "b": 2}, "m": [1]}
    intake.accept(intake.Asked(job.id, job.tool, wanted, job.params, 1))
    assert repr(rows.job(job.id).given) == repr(wanted)


def test_a_key_makes_one_job() -> None:
    mine, first = key(), rows.asked()
    assert intake.find_key(mine) is None
    assert intake.accept_once(mine, first) == (first.id, True)
    assert intake.accept_once(mine, rows.asked()) == (first.id, False)
    assert intake.find_key(mine) == first.id


def test_the_same_key_on_another_route_is_another_key() -> None:
    mine = key()
    first, _ = intake.accept_once(mine, rows.asked())
    second, new = intake.accept_once(Key("video", mine.key, mine.fingerprint), rows.asked("video"))
    assert new
    assert second != first


def test_a_key_cannot_mean_two_things() -> None:
    mine = key("a")
    intake.accept_once(mine, rows.asked())
    before = count()
    other = key("b", mine.key)
    with pytest.raises(IdempotencyMismatch):
        intake.accept_once(other, rows.asked())
    with pytest.raises(IdempotencyMismatch):
        intake.find_key(other)
    assert count() == before


def test_a_key_that_is_just_being_used_says_so() -> None:
    mine = key()
    with engine().begin() as first:
        lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"{mine.route}\n{mine.key}", 0))
        assert first.scalar(select(lock))
        with pytest.raises(IdempotencyInProgress):
            intake.accept_once(mine, rows.asked())
    assert intake.accept_once(mine, rows.asked())[1]


def test_eight_callers_with_one_key_make_one_job() -> None:
    mine, before = key(), count()
    came = rows.at_once(8, lambda: intake.accept_once(mine, rows.asked()))
    kinds = Counter(type(one) if isinstance(one, Exception) else one[1] for one in came)
    assert kinds[True] == 1
    assert set(kinds) <= {True, False, IdempotencyInProgress}
    assert len({one[0] for one in came if isinstance(one, tuple)}) == 1
    assert count() == before + 1


def test_a_canvas_becomes_rows_of_which_only_the_first_is_to_be_sent() -> None:
    first = rows.planned()
    second = rows.planned(first.id, tool="video")
    rows.canvas(first, second)
    one, two = rows.job(first.id), rows.job(second.id)
    assert (one.stage, one.signature, one.blocked) == ("queued", rows.SIGNATURE, False)
    assert (two.stage, two.signature, two.blocked) == (BLOCKED, None, True)
    assert (one.upstream, two.upstream) == ([], [first.id])
    assert SEND_AGAIN_S - 2 < (rows.due_in(first.id) or 0) <= SEND_AGAIN_S
    assert (rows.due_in(second.id) or 0) > 6 * 24 * 3600  # due when its time is over, not before
    assert [rows.told(job_id) for job_id in (first.id, second.id)] == [["accepted"]] * 2


def test_delay_and_deadline_are_times_of_the_row() -> None:
    hour = datetime.now(UTC) + timedelta(hours=1)
    first = rows.planned(not_before=hour, start_by=hour + timedelta(minutes=5))
    rows.canvas(first)
    job = rows.job(first.id)
    assert (job.due_at, job.not_before, job.start_by) == (hour, hour, hour + timedelta(minutes=5))


def test_a_canvas_that_is_sent_twice_is_refused_whole() -> None:
    first = rows.planned()
    second = rows.planned(first.id)
    rows.canvas(first, second)
    before = count()
    fresh = rows.planned()
    # Celery gives the first task a new id, and uses those that follow again.
    with pytest.raises(CanvasReused):
        rows.canvas(fresh, second)
    assert count() == before


def test_a_canvas_that_begins_with_a_foreign_task_is_refused_too() -> None:
    follower = rows.planned()
    intake.remember([follower], root=True)
    with pytest.raises(CanvasReused):
        intake.remember([follower], root=True)
    intake.remember([follower], root=False)  # the worker sends what is known already


def test_a_job_that_is_sent_again_keeps_its_row() -> None:
    first = rows.planned()
    second = rows.planned(first.id)
    rows.canvas(first, second)
    rows.start(first.id)
    rows.canvas(first, second)
    assert rows.job(first.id).status == "processing"
    assert rows.told(first.id) == ["accepted", "started"]


def test_a_body_that_each_member_names_is_one_row_with_all_their_edges() -> None:
    members = [rows.planned() for _ in range(3)]
    foreign = uuid4()
    body_id = uuid4()
    for member, leaf in zip(members, [members[0].id, members[1].id, foreign], strict=True):
        body = rows.planned(member.id, tool="video", members=[leaf], shared=True)
        body.id = body_id
        rows.canvas(member, body)
    found = rows.job(body_id)
    assert set(found.upstream) == {member.id for member in members}
    assert set(found.members) == {members[0].id, members[1].id, foreign}
    assert rows.told(body_id) == ["accepted"]
    assert found.blocked


def test_members_that_are_remembered_at_once_lose_no_edge() -> None:
    body_id, members = uuid4(), [rows.planned() for _ in range(6)]
    left = list(members)  # popped by one thread each

    def remember() -> list[UUID]:
        member = left.pop()
        body = rows.planned(member.id, members=[member.id], shared=True)
        body.id = body_id
        return rows.canvas(member, body)

    assert [one for one in rows.at_once(6, remember) if isinstance(one, Exception)] == []
    assert set(rows.job(body_id).members) == {member.id for member in members}
    assert set(rows.job(body_id).upstream) == {member.id for member in members}
