"""What happens to a job together with its neighbours."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from db import life, listen
from db.base import soon, transaction
from db.jobs import BLOCKED, SEND_AGAIN_S, THROTTLED, Job
from tests.db import rows
from tools.catalog import TOOLS
from tools.contract import Limits

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def alone(tables: str) -> Iterator[None]:  # noqa: ARG001 - it must run
    """Let no job of an earlier test be due or in flight."""
    rows.forget_all()
    yield
    rows.forget_all()


def chain(count: int) -> list[UUID]:
    """Take in a chain of jobs."""
    steps = [rows.planned()]
    for _ in range(count - 1):
        steps.append(rows.planned(steps[-1].id, root_id=steps[0].root_id))
    return rows.canvas(*steps)


def status(*job_ids: UUID) -> list[str]:
    return [rows.job(job_id).status for job_id in job_ids]


def test_what_is_due_is_claimed_oldest_first_and_only_once() -> None:
    jobs = [rows.accept() for _ in range(5)]
    assert life.claim_due(10) == []
    for ago, job_id in enumerate(jobs):
        rows.pass_time(job_id, ago + 1)
    assert set(life.claim_due(2)) == set(jobs[-2:])
    assert set(life.claim_due(10)) == set(jobs[:-2])
    assert life.claim_due(10) == []
    assert all(life.LEASE_S - 5 < (rows.due_in(job_id) or 0) <= life.LEASE_S for job_id in jobs)


def test_two_watchers_never_get_the_same_job() -> None:
    jobs = {rows.accept() for _ in range(60)}
    for job_id in jobs:
        rows.pass_time(job_id, 1)
    claims = rows.at_once(6, lambda: [job_id for _ in range(8) for job_id in life.claim_due(3)])
    got = [job_id for claim in claims for job_id in claim]
    assert len(got) == len(set(got))
    got += life.claim_due(100)  # what one had to skip while another held it
    assert sorted(got) == sorted(jobs)


def test_a_claim_does_not_wait_for_a_row_that_somebody_holds() -> None:
    held, free = rows.accept(), rows.accept()
    for job_id in (held, free):
        rows.pass_time(job_id, 1)
    with transaction() as session:
        rows.lock(session, held)
        assert life.claim_due(10) == [free]


def test_a_lock_lets_events_and_attempts_be_written() -> None:
    job_id = rows.accept()
    rows.start(job_id)
    with transaction() as session:
        job = rows.lock(session, job_id)
        assert job.attempt
        assert life.lock(session, uuid4()) is None


@pytest.mark.parametrize("ending", ["failed", "cancelled", "expired"])
def test_what_can_no_longer_run_is_cancelled_down_to_the_last_level(ending: str) -> None:
    first, *rest = chain(5)
    other = rows.accept()
    rows.start(first)
    assert rows.end(first, ending)
    assert status(first, *rest, other) == [ending, *["cancelled"] * 4, "pending"]
    assert {(rows.job(job_id).error or {})["code"] for job_id in rest} == {"upstream_failed"}
    assert [rows.due_in(job_id) for job_id in rest] == [None] * 4
    assert [rows.told(job_id) for job_id in rest] == [["accepted", "cancelled"]] * 4


def test_only_what_comes_after_is_cancelled_and_a_join_too() -> None:
    left, right = rows.planned(), rows.planned()
    rows.canvas(left)
    rows.canvas(right)
    body = rows.planned(left.id, right.id, shared=True)
    after = rows.planned(body.id)
    rows.canvas(rows.planned(), body, after)
    rows.start(left.id)
    rows.end(left.id, "failed")
    assert status(left.id, right.id, body.id, after.id) == ["failed", "pending", "cancelled", "cancelled"]


def test_what_has_ended_downstream_stays_as_it_is() -> None:
    first, second, third = chain(3)
    rows.end(second)
    rows.end(first, "failed")
    assert status(first, second, third) == ["failed", "completed", "cancelled"]


def test_a_job_that_completes_cancels_nobody() -> None:
    first, second = chain(2)
    rows.end(first)
    assert status(first, second) == ["completed", "pending"]
    assert rows.end(first, "failed") is False
    assert status(first, second) == ["completed", "pending"]


def test_a_blocked_job_is_looked_after_soon_after_each_job_before_it_was_settled() -> None:
    left, right = rows.planned(), rows.planned()
    rows.canvas(left)
    rows.canvas(right)
    body = rows.planned(left.id, right.id, shared=True)
    rows.canvas(rows.planned(), body)
    far = rows.due_in(body.id) or 0
    rows.end(left.id)
    assert (rows.due_in(body.id) or 0) > far - 60
    for one in (left, right):
        rows.settle(one.id)
        assert (rows.due_in(body.id) or far) <= SEND_AGAIN_S
        with transaction() as session:
            life.put_off(rows.lock(session, body.id))
            life.put_off(rows.lock(session, body.id))


def test_a_job_that_goes_on_is_not_settled() -> None:
    first, second = chain(2)
    far = rows.due_in(second)
    life.settle(first, well=True)
    assert rows.job(first).settled_at is None
    assert (rows.due_in(second) or 0) > (far or 0) - 60


def test_a_failed_job_unblocks_nobody() -> None:
    first, second = chain(2)
    rows.end(first, "failed")
    life.settle(first, well=False)
    assert rows.job(first).settled_at
    assert (status(second), rows.due_in(second)) == (["cancelled"], None)


@pytest.fixture
def listening(tables: str) -> Iterator[object]:  # noqa: ARG001 - it must run
    """Listen for jobs that become due."""
    connection = listen.connect(life.DUE_CHANNEL)
    yield connection
    connection.close()


def hold(job_id: UUID, seconds: float = 300) -> None:
    with transaction() as session:
        rows.lock(session, job_id).hold(THROTTLED, rows.SIGNATURE, soon(seconds))


def test_a_place_that_frees_goes_to_the_first_in_the_line(listening: object) -> None:
    running = rows.accept("video")
    rows.start(running)
    late, early, urgent, other = (rows.accept(tool, priority) for tool, priority in [
        ("video", 2), ("video", 1), ("video", 0), ("mask", 0)])  # fmt: skip
    for job_id in (late, early, urgent, other):
        hold(job_id)
    rows.end(running)
    assert [(rows.due_in(job_id) or 0) <= 0 for job_id in (urgent, early, late, other)] == [True, False, False, False]
    assert list(listen.wait(listening, 5)) == [""]


def test_a_job_that_never_ran_frees_no_place() -> None:
    waiting, throttled = rows.accept("video"), rows.accept("video")
    hold(throttled)
    rows.end(waiting, "cancelled")
    assert (rows.due_in(throttled) or 0) > 200


def test_a_tool_is_full_at_its_limit() -> None:
    tool = replace(TOOLS["train"], limits=Limits(max_in_flight=2))
    for full in (False, False, True):
        with transaction() as session:
            assert life.is_full(session, tool) is full
        rows.start(rows.accept("train"))


def test_the_last_place_is_taken_by_one_of_many() -> None:
    waiting = [rows.accept() for _ in range(5)]
    with transaction() as session:
        tool = replace(TOOLS["mask"], limits=Limits(max_in_flight=life.in_flight(session, TOOLS["mask"]) + 2))

    def take() -> bool:
        with transaction() as session:
            job = rows.lock(session, waiting.pop())
            if life.is_full(session, tool):
                return False
            job.start({}, {}, rows.SIGNATURE)
            return True

    assert sorted(rows.at_once(5, take)) == [False] * 3 + [True] * 2


def test_early_and_late_are_told_by_the_databases_clock() -> None:
    job_id = rows.accept()
    for values, early, late in (
        ({"not_before": None, "start_by": None}, False, False),
        ({"not_before": soon(60), "start_by": soon(60)}, True, False),
        ({"not_before": soon(-1), "start_by": soon(-1)}, False, True),
    ):
        rows.change(job_id, **values)
        with transaction() as session:
            job = rows.lock(session, job_id)
            assert (life.is_early(session, job), life.is_late(session, job)) == (early, late)


def test_each_time_it_is_put_off_for_longer_up_to_an_end() -> None:
    job_id = rows.accept()
    waits = []
    for _ in range(9):
        with transaction() as session:
            life.put_off(rows.lock(session, job_id))
        waits.append(round(rows.due_in(job_id) or 0, -1))
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_poisoned_job_fails_and_says_so() -> None:
    first, second = chain(2)
    rows.start(first)
    with transaction() as session:
        life.poison(session, rows.lock(session, first))
    assert ((rows.job(first).error or {})["code"], status(first, second)) == ("poisoned", ["failed", "cancelled"])


def test_the_steps_before_a_blocked_job_are_sent_again_only_if_all_were_settled() -> None:
    left, right = rows.planned(), rows.planned()
    rows.canvas(left)
    rows.canvas(right)
    body = rows.planned(left.id, right.id, shared=True)
    rows.canvas(rows.planned(), body)

    def reopen() -> list[UUID]:
        with transaction() as session:
            return [job.id for job in life.reopen_upstream(session, rows.lock(session, body.id))]

    rows.settle(left.id)
    assert reopen() == []
    assert rows.job(left.id).settled_at
    rows.settle(right.id)
    assert set(reopen()) == {left.id, right.id}
    assert [rows.job(job_id).settled_at for job_id in (left.id, right.id)] == [None, None]
    assert reopen() == []


@pytest.mark.parametrize(("settled_s", "sent_again"), [(30, 1), (70, 0)])
def test_steps_are_sent_again_ever_later_for_a_body_whose_other_members_were_never_sent(
    settled_s: int, sent_again: int
) -> None:
    sent = rows.planned()
    rows.canvas(sent)
    body = rows.planned(sent.id, members=[sent.id, uuid4()], shared=True)
    rows.canvas(rows.planned(), body)
    rows.settle(sent.id)
    rows.change(sent.id, ended_at=soon(-100), settled_at=soon(settled_s - 100))
    with transaction() as session:
        assert len(life.reopen_upstream(session, rows.lock(session, body.id))) == sent_again


def test_a_chord_is_counted_only_if_all_its_members_are_ours() -> None:
    def count(job_id: UUID) -> int | None:
        with transaction() as session:
            return life.count_members(session, job_id)

    ours, theirs = [rows.planned() for _ in range(2)], rows.planned()
    for each in (*ours, theirs):
        rows.canvas(each)
    ids = [each.id for each in ours]
    rows.canvas(rows.planned(), rows.planned(*ids, members=ids, shared=True))
    rows.canvas(rows.planned(), rows.planned(theirs.id, members=[theirs.id, uuid4()], shared=True))
    assert [count(ids[0]), count(ids[1]), count(theirs.id), count(uuid4())] == [2, 2, None, None]


def test_a_blocked_job_stays_so_until_it_is_brought() -> None:
    _, second = chain(2)
    job: Job = rows.job(second)
    assert (job.stage, job.blocked) == (BLOCKED, True)
