"""What is on its way is sent under a lease, by the schedule, and marked by what came of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import delete, func, select, text, update

from db import deliveries, delivery_pages, receivers, upkeep
from db.base import quick, soon, transaction
from db.deliveries import LEASE_S, SCHEDULE_S
from db.jobs import Job
from db.receivers import DEFAULT, Callback, Delivery, Receiver, Wish
from tests.db import hearing, rows
from tools.webhooks import JOB_ENDS, Change

pytestmark = pytest.mark.usefixtures("start_anew")


def test_two_senders_never_get_the_same() -> None:
    hearing.register()
    for _ in range(8):
        rows.end(hearing.accept())
    taken = rows.at_once(16, lambda: deliveries.claim(hearing.HOST))
    ids = [one.id for one in taken if one is not None]
    assert len(set(ids)) == len(ids) == 8


def test_what_is_taken_is_leased_and_each_try_counts_from_its_beginning() -> None:
    hearing.register()
    rows.end(hearing.accept())
    taken = hearing.claim()
    assert (taken.tries, deliveries.claim(hearing.HOST), deliveries.find_hosts([])) == (1, None, [])
    assert LEASE_S - 5 < (hearing.due_in(taken.id) or 0) <= LEASE_S
    hearing.pass_time(LEASE_S)
    assert deliveries.find_hosts([]) == [hearing.HOST]
    assert deliveries.find_hosts([hearing.HOST]) == []
    again = hearing.claim()
    assert (again.id, again.tries) == (taken.id, 2)


def test_it_is_tried_by_the_schedule_and_then_no_more() -> None:
    hearing.register()
    rows.end(hearing.accept())
    for n, wait_s in enumerate(SCHEDULE_S, 1):
        deliveries.failed(taken := hearing.claim(), hearing.ENTRY)
        waits_s = hearing.due_in(taken.id) or 0
        assert wait_s - 2 < waits_s <= wait_s * 1.1, f"after try {n}"
        hearing.pass_time(waits_s)
    deliveries.failed(hearing.claim(), hearing.ENTRY)
    row = hearing.read(taken.id)
    assert (row.status, row.due_at, row.tries, row.log) == ("failed", None, 10, [hearing.ENTRY] * 10)
    assert sum(SCHEDULE_S) == pytest.approx(75.6 * 3600, rel=0.01)


def test_those_that_failed_together_do_not_come_back_together() -> None:
    hearing.register()
    for _ in range(20):
        rows.end(hearing.accept())
        deliveries.failed(hearing.claim(), hearing.ENTRY)
    hearing.pass_time(5)
    with transaction() as session:
        assert session.scalar(select(func.count(func.distinct(Delivery.due_at)))) == 20
        spread = session.scalar(select(func.max(Delivery.due_at) - func.min(Delivery.due_at)))
    assert spread is not None


def test_who_asks_for_a_pause_gets_it_but_no_shorter_one_than_the_schedule() -> None:
    hearing.register()
    for pause_s, wait_s in ((77.0, 77.0), (1.0, 5.0)):
        rows.end(hearing.accept())
        deliveries.failed(taken := hearing.claim(), hearing.ENTRY, pause_s)
        assert wait_s - 2 < (hearing.due_in(taken.id) or 0) <= wait_s * 1.1
        deliveries.drop(taken)


def test_a_sender_that_stood_still_changes_nothing_any_more() -> None:
    hearing.register()
    rows.end(hearing.accept())
    slow = hearing.claim()
    hearing.pass_time(LEASE_S)
    quick = hearing.claim()
    deliveries.delivered(quick, {**hearing.ENTRY, "status": 200})
    deliveries.failed(slow, hearing.ENTRY)
    deliveries.refused(slow, hearing.ENTRY)
    row = hearing.read(slow.id)
    assert (row.status, row.due_at, [one["status"] for one in row.log]) == ("delivered", None, [200])


def test_who_wants_to_hear_no_more_is_disabled() -> None:
    ours, other = hearing.register(), hearing.register(url=f"{hearing.HOST}/other")
    for _ in range(2):
        rows.end(hearing.accept())
    with transaction() as session:
        session.execute(update(Delivery).where(Delivery.receiver_id == other).values(due_at=soon(60)))
    deliveries.refused(hearing.claim(), {**hearing.ENTRY, "status": 410})
    page = delivery_pages.read_list(ours)["data"]
    assert [(one["status"], one["next_at"]) for one in page] == [("failed", None)] * 2
    shown = receivers.show_one(ours)
    assert (shown["enabled"], shown["disabled_why"]) == (False, "it answered 410 Gone")
    assert [one["status"] for one in delivery_pages.read_list(other)["data"]] == ["pending"] * 2


@pytest.mark.parametrize("wish", [None, hearing.wish(*JOB_ENDS)], ids=["registered", "asked for"])
def test_many_who_are_told_so_at_once_wait_for_each_other_in_one_order(
    wish: Wish | None, wait_until: Callable[..., None]
) -> None:
    ours = DEFAULT if wish else hearing.register()
    for _ in range(3):
        rows.end(hearing.accept(wish))
    gone: list[Callable[[], object]] = [
        partial(deliveries.refused, hearing.claim(), {**hearing.ENTRY, "status": 410}) for _ in range(2)
    ]
    gone.append(partial(receivers.change, ours, Change(name="x") if wish else Change(enabled=False), None))
    with ThreadPoolExecutor(3) as pool:
        with transaction() as session:
            receivers.find(session, ours, lock=True)
            all_at_once = [pool.submit(do) for do in gone]
            wait_until(lambda: waiting() == 3)
        for one in all_at_once:
            one.result()
    assert [one["status"] for one in delivery_pages.read_list(ours)["data"]] == ["failed"] * 3


def waiting() -> int:
    """Count those who wait for a lock."""
    with quick().connect() as connection:
        locks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return int(connection.scalar(text(locks)) or 0)


def test_a_callback_that_wants_to_hear_no_more_is_forgotten() -> None:
    for _ in range(2):
        rows.end(hearing.accept(hearing.wish(*JOB_ENDS)))
    deliveries.refused(hearing.claim(), {**hearing.ENTRY, "status": 410})
    assert [one["status"] for one in delivery_pages.read_list(DEFAULT)["data"]] == ["failed"] * 2
    assert receivers.show_one(DEFAULT)["enabled"]
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Callback)) == 0


def test_after_a_rotation_both_secrets_sign_until_the_old_ones_time_is_over() -> None:
    ours = hearing.register()
    with transaction() as session:
        old = session.get_one(Receiver, ours).secret
    new = receivers.rotate(ours, 60)["secret"]
    rows.end(hearing.accept())
    assert hearing.claim().secrets == (new, old)
    with transaction() as session:
        session.execute(update(Receiver).where(Receiver.id == ours).values(old_until=soon(-1)))
    rows.end(hearing.accept())
    assert hearing.claim().secrets == (new,)


def test_what_is_on_its_way_goes_to_the_new_address() -> None:
    ours = hearing.register()
    rows.end(hearing.accept())
    receivers.change(ours, Change(url="https://new.example/x"), "https://new.example")
    assert hearing.claim("https://new.example").url == "https://new.example/x"


def test_what_was_delivered_can_be_sent_again_under_its_id() -> None:
    ours = hearing.register()
    rows.end(hearing.accept())
    deliveries.delivered(first := hearing.claim(), hearing.ENTRY)
    assert deliveries.claim(hearing.HOST) is None
    delivery_pages.send_again(ours, first.id)
    again = hearing.claim()
    assert (again.id, again.tries, again.log) == (first.id, 1, [hearing.ENTRY])


def test_what_was_told_is_forgotten_with_its_job_and_after_its_time() -> None:
    hearing.register()
    kept, gone = hearing.accept(), hearing.accept()
    for job_id in (kept, gone):
        rows.end(job_id)
    with transaction() as session:
        session.execute(delete(Job).where(Job.id == gone))
    assert [of for *_, of in hearing.told()] == [str(kept)]
    hearing.pass_time(3 * 24 * 3600)
    assert upkeep.forget_deliveries(2) == 0, "it is still on its way"
    deliveries.delivered(hearing.claim(), hearing.ENTRY)
    assert upkeep.forget_deliveries(2) == 1
