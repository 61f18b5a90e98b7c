"""What the world reads of deliveries, and asks of them: the log, once more, and a test."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, tuple_, update
from sqlalchemy.orm import Session

from db import life, pages, receivers
from db.base import soon, transaction
from db.receivers import Delivery
from tools.webhooks import TEST, DeliveryNotFound, WebhookDisabled

STATUSES = ("pending", "delivered", "failed")


def read_list(
    receiver_id: UUID, *, status: str | None = None, job_id: UUID | None = None, cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:  # fmt: skip
    """List what a receiver was told, the newest first, a page at a time: `{data, next_cursor, has_more}`."""
    newest = Delivery.created_at.desc(), Delivery.id.desc()
    wanted = select(Delivery).where(Delivery.receiver_id == receiver_id).order_by(*newest).limit(limit + 1)
    if status:
        wanted = wanted.where(Delivery.status == status)
    if job_id:
        wanted = wanted.where(Delivery.job_id == job_id)
    if cursor:
        wanted = wanted.where(tuple_(Delivery.created_at, Delivery.id) < tuple_(*pages.unpack(cursor)))
    with transaction() as session:
        receivers.find(session, receiver_id)
        rows = session.scalars(wanted).all()
    page, more = rows[:limit], len(rows) > limit
    return {
        "data": [show(row) for row in page],
        "next_cursor": pages.pack(page[-1]) if more else None,
        "has_more": more,
    }


def show(row: Delivery) -> dict[str, Any]:
    """Show a delivery: what it tells of, how it is, and each try."""
    return {
        "delivery_id": str(row.id),
        "message_id": row.message_id,
        "seq": row.seq,
        "type": row.type,
        "url": row.url,
        "job_id": row.job_id and str(row.job_id),
        "flow_id": row.flow_id and str(row.flow_id),
        "status": row.status,
        "tries": row.tries,
        "log": row.log,
        "created_at": row.created_at.isoformat(),
        "next_at": row.due_at.isoformat() if row.due_at else None,
    }


def send_again(receiver_id: UUID, delivery_id: UUID) -> dict[str, Any]:
    """Send a delivery once more, with all its tries before it: under the id that the receiver knows.

    Raises WebhookNotFound, DeliveryNotFound, WebhookDisabled.
    """
    with transaction() as session:
        must_be_enabled(session, receiver_id)
        again = update(Delivery).where(Delivery.id == delivery_id, Delivery.receiver_id == receiver_id)
        changed = again.values(status="pending", tries=0, due_at=soon(0)).returning(Delivery)
        row = session.scalars(changed, execution_options={"synchronize_session": False}).one_or_none()
        if row is None:
            raise DeliveryNotFound
        life.call_watchers(session)
        return show(row)


def send_test(receiver_id: UUID) -> dict[str, Any]:
    """Send an event that means nothing. Raises WebhookNotFound, WebhookDisabled."""
    with transaction() as session:
        found = must_be_enabled(session, receiver_id)
        row = Delivery(id=uuid4(), receiver_id=receiver_id, url=found.url, host=found.host, type=TEST, due_at=soon(0))
        session.add(row)
        session.flush()
        session.refresh(row)
        life.call_watchers(session)
        return show(row)


def must_be_enabled(session: Session, receiver_id: UUID) -> receivers.Receiver:
    """Find a receiver that hears of things. Raises WebhookNotFound, WebhookDisabled."""
    found = receivers.find(session, receiver_id)
    if not found.enabled:
        raise WebhookDisabled
    return found
