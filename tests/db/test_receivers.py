"""What receivers are to be told stands in the transaction of what happened, and is sent under a lease."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, select, update

from db import course, deliveries, delivery_pages, intake, life, models, receivers, upkeep
from db.base import soon, transaction
from db.course import AskedFlow
from db.deliveries import LEASE_S, SCHEDULE_S, Sending
from db.jobs import Job
from db.receivers import DEFAULT, Callback, Delivery, Receiver, Wish
from tests.db import rows
from tools import flow, plan
from tools.webhooks import BATCH_ENDS, EVENTS, FLOW_ENDS, JOB_ENDS, Change, NewWebhook

HOST = "https://shop.example"
ENTRY = {"at": "now", "status": 500, "error": None, "seconds": 0.1}


@pytest.fixture(autouse=True)
def start_anew(tables: str) -> Iterator[None]:  # noqa: ARG001 - it must run
    yield
    with transaction() as session:
        session.execute(delete(Receiver).where(Receiver.id != DEFAULT))
        session.execute(delete(Callback))
        session.execute(delete(Delivery))


def register(*events: str, url: str = f"{HOST}/hooks") -> UUID:
    asked = NewWebhook.read({"url": url, **({"events": list(events)} if events else {})})
    return UUID(receivers.add(asked, HOST)["webhook_id"])


def wish(*events: str) -> Wish:
    return Wish(f"{HOST}/mine", HOST, list(events))


def told() -> list[tuple[str, UUID, str]]:
    """List what is to be told: the event, the receiver, the job or flow."""
    with transaction() as session:
        listed = session.scalars(select(Delivery).order_by(Delivery.created_at, Delivery.id))
        return [(one.type, one.receiver_id, str(one.job_id or one.flow_id)) for one in listed]


def accept(wished: Wish | None = None, tool: str = "mask") -> UUID:
    asked = rows.asked(tool)
    intake.accept(intake.Asked(asked.id, asked.tool, asked.given, asked.params, 1, wish=wished))
    return asked.id


def accept_flow(steps: list[dict[str, Any]], kind: str = "flow", wished: Wish | None = None) -> UUID:
    parsed = flow.parse({"steps": steps})
    asked = AskedFlow(uuid4(), plan.make(parsed), {}, kind=kind, wish=wished)
    with transaction() as session:
        course.accept(session, asked)
    return asked.id


MASK = {"image_url": "r2://packshot/uploads/a.png", "object_name": "shoe"}


def jobs_of(flow_id: UUID) -> list[UUID]:
    with transaction() as session:
        return list(session.scalars(select(Job.id).where(Job.flow_id == flow_id)))


def claim(host: str = HOST) -> Sending:
    sending = deliveries.claim(host)
    assert sending is not None
    return sending


def read(delivery_id: UUID) -> Delivery:
    with transaction() as session:
        return session.get_one(Delivery, delivery_id)


def due_in(delivery_id: UUID) -> float | None:
    with transaction() as session:
        due_at = session.scalar(select(Delivery.due_at).where(Delivery.id == delivery_id))
        return (due_at - life.now(session)).total_seconds() if due_at else None


def pass_time(seconds: float) -> None:
    ago = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    with transaction() as session:
        session.execute(update(Delivery).values(due_at=Delivery.due_at - ago, created_at=Delivery.created_at - ago))


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_each_end_is_told_to_whoever_registered_and_to_whoever_asked(status: str) -> None:
    ours, job_id = register(), accept(wish(*JOB_ENDS))
    assert told() == []
    rows.end(job_id, status)
    assert sorted(told()) == sorted((f"job.{status}", one, str(job_id)) for one in (ours, DEFAULT))


def test_an_end_that_is_rolled_back_is_told_to_nobody() -> None:
    register()
    job_id = accept(wish(*JOB_ENDS))
    with transaction() as session:
        life.end(session, rows.lock(session, job_id), "completed")
        session.flush()
        assert session.scalar(select(func.count()).select_from(Delivery)) == 2
        session.rollback()
    assert told() == []


def test_a_second_end_is_told_to_nobody() -> None:
    register()
    job_id = accept()
    rows.end(job_id)
    rows.end(job_id, "failed")
    life.settle(job_id)
    assert [event for event, *_ in told()] == ["job.completed"]


def test_what_ends_because_of_another_is_told_too() -> None:
    register("job.cancelled")
    first, second = rows.planned(), rows.planned()
    second.upstream = [first.id]
    rows.canvas(first, second)
    rows.end(first.id, "failed")
    assert [(event, of) for event, _, of in told()] == [("job.cancelled", str(second.id))]


def test_a_receiver_hears_of_the_events_that_it_wants_alone() -> None:
    wants = register("job.failed")
    for status in ("completed", "failed"):
        rows.end(accept(wish("job.cancelled")), status)
    assert [(event, one) for event, one, _ in told()] == [("job.failed", wants)]


def test_one_that_is_disabled_hears_of_nothing_and_what_was_on_its_way_fails() -> None:
    ours = register()
    rows.end(accept())
    receivers.change(ours, Change(enabled=False), None)
    rows.end(accept())
    page = delivery_pages.read_list(ours)["data"]
    assert [(one["status"], one["next_at"]) for one in page] == [("failed", None)]
    receivers.change(ours, Change(enabled=True), None)
    rows.end(accept())
    assert len(told()) == 2


def test_progress_is_told_to_who_wants_it_at_most_every_five_seconds() -> None:
    wants, _ = register("job.progress"), register()
    job_id = accept(wish("job.progress"))
    rows.start(job_id)
    for progress in (0.1, 0.2, 0.2):
        rows.change(job_id, progress=progress)
    assert sorted(told()) == sorted(("job.progress", one, str(job_id)) for one in (wants, DEFAULT))
    pass_time(6)
    rows.change(job_id, progress=0.2)
    assert len(told()) == 2, "it stood still"
    rows.change(job_id, progress=0.3)
    assert len(told()) == 4
    rows.end(job_id)
    assert [event for event, *_ in told()][4:] == ["job.completed"]


def test_a_model_is_told_when_it_is_ready() -> None:
    wants = register("model.ready")
    job_id = accept(tool="train")
    with transaction() as session:
        models.complete(session, job_id, "r2://packshot/models/a.safetensors")
    assert told() == [("model.ready", wants, str(job_id))]


def test_a_flow_is_told_and_its_jobs_to_who_asked_for_them() -> None:
    ours = register("flow.completed", "batch.completed")
    flow_id = accept_flow([{"id": "cut", "tool": "mask", "with": MASK}], wished=wish("flow.completed", "job.completed"))
    job_id = jobs_of(flow_id)[0]
    rows.end(job_id, result={"success": True})
    assert sorted(told()) == sorted([
        ("job.completed", DEFAULT, str(job_id)), ("flow.completed", DEFAULT, str(flow_id)),
        ("flow.completed", ours, str(flow_id)),
    ])  # fmt: skip


def test_a_batch_is_told_as_a_batch() -> None:
    register()
    batch_id = accept_flow([{"id": "item", "tool": "mask", "with": MASK}], kind="batch", wished=wish(*BATCH_ENDS))
    rows.end(jobs_of(batch_id)[0], "failed", result={"success": True})
    assert [event for event, *_ in told()] == ["job.failed", "batch.failed", "batch.failed"]


def test_a_job_that_fails_as_its_step_opens_is_told_too() -> None:
    register("job.failed", "flow.failed")
    film = {"image_url": "${cut.r2_path}", "prompt": "${cut.object_name}"}
    steps = [{"id": "cut", "tool": "mask", "with": MASK}, {"id": "film", "tool": "video", "with": film}]
    flow_id = accept_flow(steps)
    rows.end(jobs_of(flow_id)[0], result={"r2_path": "r2://packshot/masks/a.png", "object_name": "shoe" * 2000})
    assert [event for event, *_ in told()] == ["job.failed", "flow.failed"]


def test_all_events_can_happen() -> None:
    assert {*JOB_ENDS, *FLOW_ENDS, *BATCH_ENDS, "job.progress", "model.ready"} == set(EVENTS)


def test_two_senders_never_get_the_same() -> None:
    register()
    for _ in range(8):
        rows.end(accept())
    taken = rows.at_once(16, lambda: deliveries.claim(HOST))
    ids = [one.id for one in taken if one is not None]
    assert len(set(ids)) == len(ids) == 8


def test_what_is_taken_is_leased_and_each_try_counts_from_its_beginning() -> None:
    register()
    rows.end(accept())
    taken = claim()
    assert (taken.tries, deliveries.claim(HOST), deliveries.find_hosts([])) == (1, None, [])
    assert LEASE_S - 5 < (due_in(taken.id) or 0) <= LEASE_S
    pass_time(LEASE_S)
    assert deliveries.find_hosts([]) == [HOST]
    assert deliveries.find_hosts([HOST]) == []
    again = claim()
    assert (again.id, again.tries) == (taken.id, 2)


def test_it_is_tried_by_the_schedule_and_then_no_more() -> None:
    register()
    rows.end(accept())
    for n, wait_s in enumerate(SCHEDULE_S, 1):
        deliveries.failed(taken := claim(), ENTRY)
        waits_s = due_in(taken.id) or 0
        assert wait_s - 2 < waits_s <= wait_s * 1.1, f"after try {n}"
        pass_time(waits_s)
    deliveries.failed(claim(), ENTRY)
    row = read(taken.id)
    assert (row.status, row.due_at, row.tries, row.log) == ("failed", None, 10, [ENTRY] * 10)
    assert sum(SCHEDULE_S) == pytest.approx(75.6 * 3600, rel=0.01)


def test_those_that_failed_together_do_not_come_back_together() -> None:
    register()
    for _ in range(20):
        rows.end(accept())
        deliveries.failed(claim(), ENTRY)
    pass_time(5)
    with transaction() as session:
        assert session.scalar(select(func.count(func.distinct(Delivery.due_at)))) == 20
        spread = session.scalar(select(func.max(Delivery.due_at) - func.min(Delivery.due_at)))
    assert spread is not None


def test_who_asks_for_a_pause_gets_it_but_no_shorter_one_than_the_schedule() -> None:
    register()
    for pause_s, wait_s in ((77.0, 77.0), (1.0, 5.0)):
        rows.end(accept())
        deliveries.failed(taken := claim(), ENTRY, pause_s)
        assert wait_s - 2 < (due_in(taken.id) or 0) <= wait_s * 1.1
        deliveries.drop(taken)


def test_a_sender_that_stood_still_changes_nothing_any_more() -> None:
    register()
    rows.end(accept())
    slow = claim()
    pass_time(LEASE_S)
    quick = claim()
    deliveries.delivered(quick, {**ENTRY, "status": 200})
    deliveries.failed(slow, ENTRY)
    deliveries.refused(slow, ENTRY)
    row = read(slow.id)
    assert (row.status, row.due_at, [one["status"] for one in row.log]) == ("delivered", None, [200])


def test_who_wants_to_hear_no_more_is_disabled() -> None:
    ours, other = register(), register(url=f"{HOST}/other")
    for _ in range(2):
        rows.end(accept())
    with transaction() as session:
        session.execute(update(Delivery).where(Delivery.receiver_id == other).values(due_at=soon(60)))
    deliveries.refused(claim(), {**ENTRY, "status": 410})
    page = delivery_pages.read_list(ours)["data"]
    assert [(one["status"], one["next_at"]) for one in page] == [("failed", None)] * 2
    shown = receivers.show_one(ours)
    assert (shown["enabled"], shown["disabled_why"]) == (False, "it answered 410 Gone")
    assert [one["status"] for one in delivery_pages.read_list(other)["data"]] == ["pending"] * 2


def test_a_callback_that_wants_to_hear_no_more_is_forgotten() -> None:
    for _ in range(2):
        rows.end(accept(wish(*JOB_ENDS)))
    deliveries.refused(claim(), {**ENTRY, "status": 410})
    assert [one["status"] for one in delivery_pages.read_list(DEFAULT)["data"]] == ["failed"] * 2
    assert receivers.show_one(DEFAULT)["enabled"]
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Callback)) == 0


def test_after_a_rotation_both_secrets_sign_until_the_old_ones_time_is_over() -> None:
    ours = register()
    with transaction() as session:
        old = session.get_one(Receiver, ours).secret
    new = receivers.rotate(ours, 60)["secret"]
    rows.end(accept())
    assert claim().secrets == (new, old)
    with transaction() as session:
        session.execute(update(Receiver).where(Receiver.id == ours).values(old_until=soon(-1)))
    rows.end(accept())
    assert claim().secrets == (new,)


def test_what_is_on_its_way_goes_to_the_new_address() -> None:
    ours = register()
    rows.end(accept())
    receivers.change(ours, Change(url="https://new.example/x"), "https://new.example")
    assert claim("https://new.example").url == "https://new.example/x"


def test_what_was_delivered_can_be_sent_again_under_its_id() -> None:
    ours = register()
    rows.end(accept())
    deliveries.delivered(first := claim(), ENTRY)
    assert deliveries.claim(HOST) is None
    delivery_pages.send_again(ours, first.id)
    again = claim()
    assert (again.id, again.tries, again.log) == (first.id, 1, [ENTRY])


def test_what_was_told_is_forgotten_with_its_job_and_after_its_time() -> None:
    register()
    kept, gone = accept(), accept()
    for job_id in (kept, gone):
        rows.end(job_id)
    with transaction() as session:
        session.execute(delete(Job).where(Job.id == gone))
    assert [of for *_, of in told()] == [str(kept)]
    pass_time(3 * 24 * 3600)
    assert upkeep.forget_deliveries(2) == 0, "it is still on its way"
    deliveries.delivered(claim(), ENTRY)
    assert upkeep.forget_deliveries(2) == 1
