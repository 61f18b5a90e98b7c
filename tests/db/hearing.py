"""Receivers to test with, and what is asked of what they are told."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update

from db import course, deliveries, intake, life, receivers
from db.base import transaction
from db.course import AskedFlow
from db.deliveries import Sending
from db.jobs import Job
from db.receivers import DEFAULT, Callback, Delivery, Receiver, Wish
from tests.db import rows
from tools import flow, plan
from tools.webhooks import NewWebhook

HOST = "https://shop.example"
ENTRY = {"at": "now", "status": 500, "error": None, "seconds": 0.1}


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


def forget() -> None:
    """Let nobody hear of anything."""
    with transaction() as session:
        session.execute(delete(Receiver).where(Receiver.id != DEFAULT))
        session.execute(delete(Callback))
        session.execute(delete(Delivery))
