"""Who hears of what happens, and what each is told: receivers hear of all, callbacks of one job or one flow."""

import base64
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CursorResult,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Update,
    delete,
    func,
    insert,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import Text

from db.base import Base, Moment, soon, transaction
from tools.errors import InvalidInput
from tools.webhooks import EVENTS, Change, NewWebhook, WebhookNotFound

#: The receiver whose secret signs what callbacks are told: an address of its own it has none.
DEFAULT = UUID(int=0)

#: Receivers that there can be: each hears of every end, so each costs a row for every job.
MOST = 50

#: Deliveries that are deleted at once with their receiver.
BATCH = 1000

#: Bytes of a secret; the specification asks for 24 to 64.
SECRET_BYTES = 32


@dataclass(frozen=True)
class Wish:
    """Where a request wants to hear of its own job or flow, and of which events: judged by the door."""

    url: str
    host: str
    events: list[str]


class Receiver(Base):
    """An address that hears of all jobs, flows and models. A trigger writes what it is to be told."""

    __tablename__ = "receivers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    url: Mapped[str]
    #: Scheme, host and port of the address: so much is sent to one of these at once.
    host: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: They must be readable, as they sign; the old one does so until its time is over.
    secret: Mapped[str]
    old_secret: Mapped[str | None]
    old_until: Mapped[datetime | None] = mapped_column(Moment)
    enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    #: Why it hears of nothing any more, if its caller did not say so.
    disabled_why: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))


class Callback(Base):
    """An address that a request named, to hear of its own job or flow."""

    __tablename__ = "callbacks"
    __table_args__ = (
        Index("ix_callbacks_job_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_callbacks_flow_id", "flow_id", postgresql_where=text("flow_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    flow_id: Mapped[UUID | None] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"))
    url: Mapped[str]
    host: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))


class Delivery(Base):
    """One event on its way to one receiver. Its id is what the receiver knows it by, at each try."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_host_due_at", "host", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_deliveries_receiver_id", "receiver_id", "created_at", "id"),
        Index("ix_deliveries_created_at", "created_at"),
        Index("ix_deliveries_job_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_deliveries_flow_id", "flow_id", postgresql_where=text("flow_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    receiver_id: Mapped[UUID] = mapped_column(ForeignKey("receivers.id", ondelete="CASCADE"))
    url: Mapped[str]
    host: Mapped[str]
    type: Mapped[str]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    flow_id: Mapped[UUID | None] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"))
    #: Grows with what happens to one job or flow, whose row is locked for each; NULL for those before there was one.
    seq: Mapped[int | None] = mapped_column(BigInteger, server_default=text("nextval('deliveries_seq'::regclass)"))
    #: pending, delivered or failed.
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    #: How often somebody set out to send it; what came of each.
    tries: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list, server_default="[]")
    #: When it is sent next; NULL = never.
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))

    @property
    def message_id(self) -> str:
        """What the receiver knows it by."""
        return name_message(self.id)


def name_message(delivery_id: UUID) -> str:
    """Name a delivery to its receiver: the same at each try."""
    return f"msg_{delivery_id.hex}"


def make_secret() -> str:
    """Make a secret, as the specification of Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def call_back(session: Session, wish: Wish, flow_id: UUID) -> None:
    """Keep where a request wants to hear of its flow."""
    session.execute(insert(Callback).values(flow_id=flow_id, **asdict(wish)))


def add(asked: NewWebhook, host: str) -> dict[str, Any]:
    """Keep a receiver; its secret is shown this once. Raises InvalidInput if there are too many."""
    made = Receiver(id=uuid4(), name=asked.name, url=asked.url, host=host, events=asked.events, secret=make_secret())
    with transaction() as session:
        if (session.scalar(select(func.count()).select_from(Receiver)) or 0) > MOST:
            raise InvalidInput(f"There are {MOST} webhooks already: delete one that nobody needs.")
        session.add(made)
        session.flush()
        session.refresh(made)
        return show(made) | {"secret": made.secret}


def show_all() -> list[dict[str, Any]]:
    """List the receivers, the oldest first."""
    with transaction() as session:
        registered = select(Receiver).where(Receiver.id != DEFAULT)
        return [show(one) for one in session.scalars(registered.order_by(Receiver.created_at, Receiver.id))]


def show_one(receiver_id: UUID) -> dict[str, Any]:
    """Show one. Raises WebhookNotFound."""
    with transaction() as session:
        return show(find(session, receiver_id))


def find(session: Session, receiver_id: UUID, *, lock: bool = False) -> Receiver:
    """Find one. Raises WebhookNotFound."""
    found = hold(session, receiver_id) if lock else session.get(Receiver, receiver_id)
    if found is None:
        raise WebhookNotFound
    return found


def hold(session: Session, receiver_id: UUID) -> Receiver | None:
    """Lock a receiver, if it is there: before its deliveries, as all do who lock both, or they wait in a circle."""
    return session.get(Receiver, receiver_id, with_for_update={"key_share": True})


def change(receiver_id: UUID, wanted: Change, host: str | None) -> dict[str, Any]:
    """Change one; what is on its way goes to the new address, or nowhere. Raises WebhookNotFound."""
    given = wanted.model_dump(exclude_none=True) | ({"host": host} if host else {})
    with transaction() as session:
        found = find(session, receiver_id, lock=True)
        for name, value in given.items():
            setattr(found, name, value)
        if wanted.enabled is False:
            session.execute(giving_up(receiver_id))
        elif wanted.enabled:
            found.disabled_why = None
        if wanted.url:
            moved = update(Delivery).where(Delivery.receiver_id == receiver_id, Delivery.due_at.is_not(None))
            session.execute(moved.values(url=found.url, host=found.host).execution_options(synchronize_session=False))
        return show(found)


def rotate(receiver_id: UUID, overlap_s: int) -> dict[str, Any]:
    """Give a receiver a new secret, which is shown this once; the old one signs, too, for so long."""
    with transaction() as session:
        found = find(session, receiver_id, lock=True)
        found.old_secret, found.old_until = found.secret, soon(float(overlap_s))
        found.secret = make_secret()
        session.flush()
        session.refresh(found)
        return show(found) | {"secret": found.secret}


def remove(receiver_id: UUID) -> None:
    """Forget a receiver, and what it was told: first of all, it is told no more. Raises WebhookNotFound."""
    with transaction() as session:
        find(session, receiver_id, lock=True).enabled = False
    while forget_told(receiver_id) == BATCH:
        continue
    with transaction() as session:
        session.delete(find(session, receiver_id, lock=True))


def forget_told(receiver_id: UUID) -> int:
    """Forget a little of what a receiver was told, as all of it may take minutes. Returns how much."""
    some = select(Delivery.id).where(Delivery.receiver_id == receiver_id).limit(BATCH)
    forgotten = delete(Delivery).where(Delivery.id.in_(some)).execution_options(synchronize_session=False)
    with transaction() as session:
        find(session, receiver_id, lock=True)
        done: CursorResult[Any] = session.execute(forgotten)  # type: ignore[assignment]  # a deletion's result counts its rows
        return done.rowcount


def disable(session: Session, receiver_id: UUID, why: str) -> None:
    """Tell a receiver nothing any more."""
    gone = update(Receiver).where(Receiver.id == receiver_id, Receiver.enabled)
    session.execute(gone.values(enabled=False, disabled_why=why))


def giving_up(receiver_id: UUID, url: str | None = None) -> Update:
    """Make the statement that lets all fail that is on its way to a receiver; of callbacks, to one address."""
    waiting = update(Delivery).where(Delivery.receiver_id == receiver_id, Delivery.due_at.is_not(None))
    if receiver_id == DEFAULT:
        waiting = waiting.where(Delivery.url == url)
    return waiting.values(status="failed", due_at=None).execution_options(synchronize_session=False)


def show(row: Receiver) -> dict[str, Any]:
    """Show a receiver, but for its secrets."""
    own = row.id == DEFAULT
    return {
        "webhook_id": "default" if own else str(row.id),
        "name": row.name,
        "url": None if own else row.url,
        "events": None if own else [name for name in EVENTS if name in row.events],
        "enabled": row.enabled,
        "disabled_why": row.disabled_why,
        "created_at": row.created_at.isoformat(),
        "old_secret_until": row.old_until.isoformat() if row.old_until else None,
    }
