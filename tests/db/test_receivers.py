"""What receivers are to be told stands in the transaction of what happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select, text

from db import delivery_pages, life, models, receivers
from db.base import engine, transaction
from db.receivers import DEFAULT, Delivery, Receiver
from tests.db import hearing, rows
from tools.errors import InvalidInput
from tools.webhooks import BATCH_ENDS, EVENTS, FLOW_ENDS, JOB_ENDS, Change, WebhookNotFound

pytestmark = pytest.mark.usefixtures("start_anew")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_each_end_is_told_to_whoever_registered_and_to_whoever_asked(status: str) -> None:
    ours, job_id = hearing.register(), hearing.accept(hearing.wish(*JOB_ENDS))
    assert hearing.told() == []
    rows.end(job_id, status)
    assert sorted(hearing.told()) == sorted((f"job.{status}", one, str(job_id)) for one in (ours, DEFAULT))


def test_an_end_that_is_rolled_back_is_told_to_nobody() -> None:
    hearing.register()
    job_id = hearing.accept(hearing.wish(*JOB_ENDS))
    with transaction() as session:
        life.end(session, rows.lock(session, job_id), "completed")
        session.flush()
        assert session.scalar(select(func.count()).select_from(Delivery)) == 2
        session.rollback()
    assert hearing.told() == []


def test_a_second_end_is_told_to_nobody() -> None:
    hearing.register()
    job_id = hearing.accept()
    rows.end(job_id)
    rows.end(job_id, "failed")
    life.settle(job_id, well=True)
    assert [name for name, *_ in hearing.told()] == ["job.completed"]


def test_what_ends_because_of_another_is_told_too() -> None:
    hearing.register("job.cancelled")
    first, second = rows.planned(), rows.planned()
    second.upstream = [first.id]
    rows.canvas(first, second)
    rows.end(first.id, "failed")
    assert [(name, of) for name, _, of in hearing.told()] == [("job.cancelled", str(second.id))]


def test_a_receiver_hears_of_the_events_that_it_wants_alone() -> None:
    wants = hearing.register("job.failed")
    for status in ("completed", "failed"):
        rows.end(hearing.accept(hearing.wish("job.cancelled")), status)
    assert [(name, one) for name, one, _ in hearing.told()] == [("job.failed", wants)]


def test_one_that_is_disabled_hears_of_nothing_and_what_was_on_its_way_fails() -> None:
    ours = hearing.register()
    rows.end(hearing.accept())
    receivers.change(ours, Change(enabled=False), None)
    rows.end(hearing.accept())
    page = delivery_pages.read_list(ours)["data"]
    assert [(one["status"], one["next_at"]) for one in page] == [("failed", None)]
    receivers.change(ours, Change(enabled=True), None)
    rows.end(hearing.accept())
    assert len(hearing.told()) == 2


def test_progress_is_told_to_who_wants_it_at_most_every_five_seconds() -> None:
    wants, _ = hearing.register("job.progress"), hearing.register()
    job_id = hearing.accept(hearing.wish("job.progress"))
    rows.start(job_id)
    for progress in (0.1, 0.2, 0.2):
        rows.change(job_id, progress=progress)
    assert sorted(hearing.told()) == sorted(("job.progress", one, str(job_id)) for one in (wants, DEFAULT))
    hearing.pass_time(6)
    rows.change(job_id, progress=0.2)
    assert len(hearing.told()) == 2, "it stood still"
    rows.change(job_id, progress=0.3)
    assert len(hearing.told()) == 4
    rows.end(job_id)
    assert [name for name, *_ in hearing.told()][4:] == ["job.completed"]


def test_a_model_is_told_when_it_is_ready() -> None:
    wants = hearing.register("model.ready")
    job_id = hearing.accept(tool="train")
    with transaction() as session:
        models.complete(session, job_id, "r2://packshot/models/a.safetensors")
    assert hearing.told() == [("model.ready", wants, str(job_id))]


def test_a_model_of_a_flow_is_told_to_who_asked_for_the_flow() -> None:
    told = {"images": "r2://packshot/uploads/a.zip", "model_name": "x", "trigger_word": "TOK"}
    steps = [{"id": "learn", "tool": "train", "with": told}]
    flow_id = hearing.accept_flow(steps, wished=hearing.wish("model.ready"))
    (job_id,) = hearing.jobs_of(flow_id)
    with transaction() as session:
        models.expect(session, job_id, told)
        models.complete(session, job_id, "r2://packshot/models/a.safetensors")
    assert hearing.told() == [("model.ready", DEFAULT, str(job_id))]


def test_an_end_neither_waits_for_a_receiver_that_is_being_deleted_nor_fails_by_it() -> None:
    going, stays = hearing.register(), hearing.register()
    job_id = hearing.accept()
    with engine().connect() as other:
        other.execute(delete(Receiver).where(Receiver.id == going))
        rows.end(job_id, "failed")
        other.commit()
    assert hearing.told() == [("job.failed", stays, str(job_id))]
    with pytest.raises(WebhookNotFound):
        receivers.show_one(going)


def test_who_changes_a_receiver_keeps_no_end_from_being_told_to_it() -> None:
    ours = hearing.register()
    with transaction() as session:
        receivers.find(session, ours, lock=True)
        rows.end(hearing.accept())
    assert [(name, one) for name, one, _ in hearing.told()] == [("job.completed", ours)]


def test_a_receiver_that_was_told_much_is_deleted_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = hearing.register(), hearing.register()
    for _ in range(7):
        rows.end(hearing.accept())
    monkeypatch.setattr(receivers, "BATCH", 3)
    with noted() as did:
        receivers.remove(ours)
    assert did == ["commit", 3, "commit", 3, "commit", 1, "commit", "0 left", "commit"]
    assert {one for _, one, _ in hearing.told()} == {other}


@contextmanager
def noted() -> Iterator[list[object]]:
    """Note how many deliveries each statement deletes, how many go with a receiver, and each end of a transaction."""
    did: list[object] = []

    def after(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM deliveries"):
            did.append(cursor.rowcount)

    def before(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("DELETE FROM receivers"):
            left = text("SELECT count(*) FROM deliveries WHERE receiver_id = :id")
            did.append(f"{connection.scalar(left, parameters)} left")

    def end(_connection: Any) -> None:
        did.append("commit")

    heard: dict[str, Callable[..., Any]] = {
        "after_cursor_execute": after,
        "before_cursor_execute": before,
        "commit": end,
    }
    for name, hear in heard.items():
        event.listen(engine(), name, hear)
    yield did
    for name, hear in heard.items():
        event.remove(engine(), name, hear)


def test_there_is_an_end_to_how_many_can_hear_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "MOST", 2)
    for _ in range(2):
        hearing.register()
    with pytest.raises(InvalidInput, match="2 webhooks already"):
        hearing.register()


def test_a_flow_is_told_and_its_jobs_to_who_asked_for_them() -> None:
    ours = hearing.register("flow.completed", "batch.completed")
    flow_id = hearing.accept_flow(
        [{"id": "cut", "tool": "mask", "with": hearing.MASK}], wished=hearing.wish("flow.completed", "job.completed")
    )
    job_id = hearing.jobs_of(flow_id)[0]
    rows.end(job_id, result={"success": True})
    assert sorted(hearing.told()) == sorted([
        ("job.completed", DEFAULT, str(job_id)), ("flow.completed", DEFAULT, str(flow_id)),
        ("flow.completed", ours, str(flow_id)),
    ])  # fmt: skip


def test_a_batch_is_told_as_a_batch() -> None:
    hearing.register()
    batch_id = hearing.accept_flow(
        [{"id": "item", "tool": "mask", "with": hearing.MASK}], kind="batch", wished=hearing.wish(*BATCH_ENDS)
    )
    rows.end(hearing.jobs_of(batch_id)[0], "failed", result={"success": True})
    assert [name for name, *_ in hearing.told()] == ["job.failed", "batch.failed", "batch.failed"]


def test_a_job_that_fails_as_its_step_opens_is_told_too() -> None:
    hearing.register("job.failed", "flow.failed")
    film = {"image_url": "${cut.r2_path}", "prompt": "${cut.object_name}"}
    steps = [{"id": "cut", "tool": "mask", "with": hearing.MASK}, {"id": "film", "tool": "video", "with": film}]
    flow_id = hearing.accept_flow(steps)
    rows.end(hearing.jobs_of(flow_id)[0], result={"r2_path": "r2://packshot/masks/a.png", "object_name": "shoe" * 2000})
    assert [name for name, *_ in hearing.told()] == ["job.failed", "flow.failed"]


def test_all_events_can_happen() -> None:
    assert {*JOB_ENDS, *FLOW_ENDS, *BATCH_ENDS, "job.progress", "model.ready"} == set(EVENTS)
