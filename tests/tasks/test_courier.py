"""What is on its way arrives, signed; whatever a receiver does, it holds up nobody but itself."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import json
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from db import delivery_pages, intake, models, pages, receivers
from db.base import soon, transaction
from db.deliveries import SCHEDULE_S
from db.receivers import DEFAULT, Delivery, Wish
from settings import settings
from tasks.courier import EACH, FAILING, MOST, Courier
from tasks.letter import LARGEST
from tests import receiver as listeners
from tests.conftest import wait_until
from tests.db import hearing, rows
from tests.receiver import Heard
from tools.webhooks import JOB_ENDS, Change, NewWebhook


@pytest.fixture(name="ear")
def listen(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[listeners.Receiver]:  # noqa: ARG001 - it must run
    """Listen on this machine, to which the house may send."""
    with listeners.listening() as ear:
        monkeypatch.setenv("WEBHOOK_HOSTS", "127.0.0.1")
        settings.cache_clear()
        yield ear
    settings.cache_clear()
    hearing.forget()


@pytest.fixture(name="courier")
def hire(ear: listeners.Receiver) -> Iterator[Courier]:
    """Give a courier who waits for an answer for half a second."""
    courier = Courier(wall_s=0.5)
    yield courier
    ear.listener.release.set()
    courier.land()


def register(ear: listeners.Receiver, path: str = "/ok", *events: str) -> dict[str, Any]:
    asked = NewWebhook.read({"url": ear.url(path), **({"events": list(events)} if events else {})})
    return receivers.add(asked, f"http://{ear.host}")


def end(status: str = "completed", **result: Any) -> UUID:
    job_id = rows.accept()
    rows.change(job_id, due_at=None)
    rows.end(job_id, status, {"success": True, **result})
    return job_id


def carry(courier: Courier) -> None:
    """Send what is due, until nothing is under way."""
    while courier.begin() or courier.lanes:
        wait_until(lambda: not courier.lanes)


def log_of(webhook: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = delivery_pages.read_list(UUID(webhook["webhook_id"]))["data"]
    return listed


def verify(heard: Heard, secret: str) -> dict[str, Any]:
    return dict(Webhook(secret).verify(heard.body, heard.headers))


def test_an_end_arrives_signed_in_the_words_of_the_api(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear)
    job_id = end(r2_path="r2://packshot/masks/a.png")
    carry(courier)
    (heard,) = ear.heard()
    told = verify(heard, webhook["secret"])
    assert (told["type"], told["data"]) == ("job.completed", json.loads(json.dumps(pages.read(job_id))))
    assert heard.headers["content-type"] == "application/json"
    (entry,) = log_of(webhook)
    assert (entry["status"], entry["tries"], entry["message_id"]) == ("delivered", 1, heard.id)
    assert entry["log"][0]["status"] == 200
    with pytest.raises(WebhookVerificationError):
        verify(Heard(heard.path, heard.headers, heard.body.replace(b"completed", b"cancelled")), webhook["secret"])
    with pytest.raises(WebhookVerificationError, match="too old"):
        verify(Heard(heard.path, {**heard.headers, "webhook-timestamp": "1700000000"}, heard.body), webhook["secret"])


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [("/fail", 500, None), ("/redirect", 307, None), ("/busy", 429, None), ("/die", None, "no connection"),
     ("/deaf", None, "no connection"), ("/hang", None, "no answer in"), ("/drip", None, "no answer in")],
)  # fmt: skip
def test_what_was_not_taken_is_tried_again_under_its_id(
    ear: listeners.Receiver, courier: Courier, path: str, status: int | None, error: str | None
) -> None:
    webhook = register(ear, path)
    end()
    carry(courier)
    (entry,) = log_of(webhook)
    assert (entry["status"], entry["tries"], entry["log"][0]["status"]) == ("pending", 1, status)
    assert (entry["log"][0]["error"] or "").startswith(error or "")
    with transaction() as session:
        waits = session.scalars(select(func.extract("epoch", Delivery.due_at - soon(0)))).one()
        session.execute(update(Delivery).values(due_at=soon(0)))
    least = 77 if path == "/busy" else SCHEDULE_S[0]
    assert least - 2 < float(waits) <= least * 1.1
    ear.become(path, "/ok")
    receivers.change(UUID(webhook["webhook_id"]), Change(url=ear.url("/ok")), f"http://{ear.host}")
    carry(courier)
    (entry,) = log_of(webhook)
    assert (entry["status"], entry["tries"], len(entry["log"])) == ("delivered", 2, 2)
    assert {one.id for one in ear.heard()} == {entry["message_id"]}


def test_one_that_hangs_holds_up_nobody_else(ear: listeners.Receiver) -> None:
    with listeners.listening() as other:
        hangs, well = register(ear, "/hang"), register(other)
        for _ in range(40):
            end()
        patient = Courier(wall_s=60)  # so that whoever hangs does so until the test says otherwise
        wait_until(lambda: (patient.begin(), len(other.heard()) == 40)[1])
        wait_until(lambda: {one["status"] for one in log_of(well)} == {"delivered"})
        assert 1 <= len(ear.heard()) <= EACH
        assert {one["tries"] for one in log_of(hangs)} == {0, 1}
        ear.listener.release.set()
        patient.land()


def test_those_that_fail_never_have_all_places(ear: listeners.Receiver) -> None:  # noqa: ARG001 - its settings
    courier = Courier()
    courier.failing = {f"https://{n}.example" for n in range(100)}
    entered = [host for host in sorted(courier.failing) if courier.enter(host)]
    assert len(entered) == FAILING
    good = [courier.enter("https://good.example") for _ in range(MOST)]
    assert good.count(True) == MOST - FAILING
    assert (courier.most("https://good.example"), courier.most("https://1.example")) == (EACH, 1)
    courier.leave(entered[0])
    assert entered[0] not in courier.lanes


def test_a_host_that_failed_has_one_lane_until_it_is_well_again(ear: listeners.Receiver, courier: Courier) -> None:
    register(ear, "/fail")
    for _ in range(6):
        end()
    carry(courier)
    host = f"http://{ear.host}"
    assert courier.failing == {host}
    ear.become("/fail", "/ok")
    with transaction() as session:
        session.execute(update(Delivery).values(due_at=soon(0)))
    carry(courier)
    assert (courier.failing, len(ear.heard())) == (set(), 12)


def test_410_disables_it(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear, "/gone")
    end()
    carry(courier)
    shown = receivers.show_one(UUID(webhook["webhook_id"]))
    assert (shown["enabled"], shown["disabled_why"]) == (False, "it answered 410 Gone")
    end()
    carry(courier)
    assert len(ear.heard()) == 1


def test_after_a_rotation_either_secret_proves_it(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear)
    new = receivers.rotate(UUID(webhook["webhook_id"]), 60)["secret"]
    end()
    carry(courier)
    (heard,) = ear.heard()
    assert verify(heard, webhook["secret"]) == verify(heard, new)
    assert len(heard.headers["webhook-signature"].split()) == 2


def test_what_a_request_named_is_signed_by_the_secret_of_all_requests(
    ear: listeners.Receiver, courier: Courier
) -> None:
    secret = receivers.rotate(DEFAULT, 0)["secret"]
    asked = rows.asked()
    wish = Wish(ear.url("/taken"), f"http://{ear.host}", list(JOB_ENDS))
    intake.accept(intake.Asked(asked.id, asked.tool, asked.given, asked.params, 1, wish=wish))
    rows.change(asked.id, due_at=None)
    rows.end(asked.id, "expired")
    end()
    carry(courier)
    (heard,) = ear.heard("/taken")
    assert verify(heard, secret)["data"]["job_id"] == str(asked.id)


def test_a_body_that_would_be_too_large_leaves_out_what_can_be_asked_for(
    ear: listeners.Receiver, courier: Courier
) -> None:
    register(ear)
    job_id = rows.accept()
    rows.change(job_id, due_at=None, given={"prompt": "ü" * 8000}, params={"prompt": "ü" * 8000})
    rows.end(job_id, result={"success": True, "prompt": "short"})
    carry(courier)
    (heard,) = ear.heard()
    assert len(heard.body) <= LARGEST
    data = heard.told["data"]
    assert (data["left_out"], data["result"]["prompt"]) == (["input"], "short")
    assert len(data["params"]["prompt"]) == 8000
    assert data["urls"]["self"] == f"/api/jobs/{job_id}"


def test_a_body_is_never_too_large(ear: listeners.Receiver, courier: Courier) -> None:
    register(ear)
    job_id = rows.accept()
    much = {"prompt": "🐘" * 30_000}
    rows.change(job_id, due_at=None, given=much, params=much)
    rows.end(job_id, result=much)
    carry(courier)
    (heard,) = ear.heard()
    assert len(heard.body) <= LARGEST
    assert heard.told["data"]["left_out"][-1] == "result"
    assert heard.told["data"]["status"] == "completed"


def test_a_model_and_a_test_arrive_too(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear)
    job_id = rows.accept("train")
    rows.change(job_id, due_at=None)
    with transaction() as session:
        models.complete(session, job_id, "r2://packshot/models/a.safetensors")
    delivery_pages.send_test(UUID(webhook["webhook_id"]))
    carry(courier)
    told = {one.told["type"]: one.told["data"] for one in ear.heard()}
    assert told["model.ready"] == json.loads(json.dumps(models.show_made_by(job_id)))
    assert told["webhook.test"]["message"]


def test_progress_is_told_as_it_is_and_not_once_it_is_over(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear, "/ok", "job.progress")
    running, over = [rows.accept() for _ in range(2)]
    for job_id in (running, over):
        rows.start(job_id)
        rows.change(job_id, progress=0.5, due_at=None)
    rows.end(over)
    carry(courier)
    assert [(one.told["type"], one.told["data"]["job_id"]) for one in ear.heard()] == [("job.progress", str(running))]
    assert [one["job_id"] for one in log_of(webhook)] == [str(running)]
    rows.end(running)


def test_what_comes_in_another_order_says_in_which_it_happened(ear: listeners.Receiver, courier: Courier) -> None:
    webhook, job_id = register(ear, "/ok", "job.progress", "job.completed"), rows.accept()
    rows.start(job_id)
    rows.change(job_id, progress=0.5, due_at=None)
    with transaction() as session:
        session.execute(update(Delivery).values(type="job.started", due_at=soon(60)))  # told however late it is
    rows.end(job_id)
    carry(courier)
    with transaction() as session:
        session.execute(update(Delivery).where(Delivery.type == "job.started").values(due_at=soon(0)))
    carry(courier)
    told = [one.told for one in ear.heard()]
    assert [one["type"] for one in told] == ["job.completed", "job.started"]
    assert [one["type"] for one in sorted(told, key=lambda one: int(one["seq"]))] == ["job.started", "job.completed"]
    assert {one["seq"] for one in told} == {one["seq"] for one in log_of(webhook)}


def test_progress_is_not_tried_again(ear: listeners.Receiver, courier: Courier) -> None:
    webhook = register(ear, "/fail", "job.progress")
    job_id = rows.accept()
    rows.start(job_id)
    rows.change(job_id, progress=0.5, due_at=None)
    carry(courier)
    assert [(one["status"], one["tries"]) for one in log_of(webhook)] == [("failed", 1)]
    rows.end(job_id)


def test_no_secret_is_logged(ear: listeners.Receiver, courier: Courier, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        webhook = register(ear, "/fail")
        receivers.rotate(UUID(webhook["webhook_id"]), 60)
        end()
        carry(courier)
    assert "delivery" in caplog.text
    assert webhook["secret"].removeprefix("whsec_") not in caplog.text
