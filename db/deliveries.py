"""How a delivery is sent: claimed under a lease, and marked by what came of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, Update, bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from db import receivers
from db.base import quick, reachable, soon, transaction
from db.receivers import DEFAULT, Callback, Delivery, Receiver, giving_up

#: Seconds after the first try, and each that failed, as the specification of Standard Webhooks recommends.
SCHEDULE_S = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)

#: How much later than that a try may be, as a part of it: what failed together shall not come back together.
JITTER = 0.1

#: Seconds in which nobody else sends a delivery: whoever does, has its answer or gives up before.
LEASE_S = 30


@dataclass(frozen=True)
class Sending:
    """A delivery that somebody has set out to send, and the secrets that sign it, the newest first."""

    id: UUID
    receiver_id: UUID
    url: str
    type: str
    job_id: UUID | None
    flow_id: UUID | None
    tries: int
    log: list[dict[str, Any]]
    created_at: datetime
    seq: int | None
    secrets: tuple[str, ...]


def find_hosts(but: Collection[str]) -> list[str]:
    """Find the hosts for which something is due, but for those that have enough of us."""
    with reachable(), quick().connect() as connection:
        return list(connection.scalars(finding_hosts(), {"but": list(but)}))


@cache
def finding_hosts() -> Select[str]:
    """Make the statement by which each watcher looks, once."""
    due = select(Delivery.host).where(Delivery.due_at <= func.statement_timestamp())
    return due.where(Delivery.host != func.all(bindparam("but", type_=ARRAY(Text)))).distinct()


def claim(host: str) -> Sending | None:
    """Set out to send what has been due longest for a host, under a lease; two never get the same."""
    with reachable(), quick().connect() as connection:
        row = connection.execute(claiming(), {"of_host": host}).one_or_none()
    if row is None:
        return None
    told = row._asdict()
    secrets = told.pop("secret"), told.pop("old_secret")
    return Sending(**told, secrets=tuple(secret for secret in secrets if secret))


@cache
def claiming() -> ReturningUpdate[Any]:
    """Make that statement, once. A try counts when it begins: whoever dies of one must not do so for ever."""
    due = select(Delivery.id).where(
        Delivery.host == bindparam("of_host"), Delivery.due_at <= func.statement_timestamp()
    )
    first = due.order_by(Delivery.due_at).limit(1).with_for_update(skip_locked=True)
    taken = update(Delivery).where(Delivery.id == first.scalar_subquery(), Receiver.id == Delivery.receiver_id)
    old = case((Receiver.old_until > soon(0), Receiver.old_secret)).label("old_secret")
    columns = (Delivery.id, Delivery.receiver_id, Delivery.url, Delivery.type, Delivery.job_id, Delivery.flow_id,
               Delivery.tries, Delivery.log, Delivery.created_at, Delivery.seq)  # fmt: skip
    changed = taken.values(due_at=soon(LEASE_S), tries=Delivery.tries + 1)
    return changed.returning(*columns, Receiver.secret, old).execution_options(synchronize_session=False)


def delivered(sending: Sending, entry: dict[str, Any]) -> None:
    """Note that the receiver has it."""
    mark(sending, entry, status="delivered", due_at=None)


def failed(sending: Sending, entry: dict[str, Any], pause_s: float = 0.0, *, last: bool = False) -> None:
    """Note that a try came to nothing; the next comes by the schedule, or when the receiver said. None after the last.

    Args:
        sending: What was sent.
        entry: What the log shall say of it.
        pause_s: For how many seconds the receiver wants to be left alone.
        last: Whether nobody shall try again.
    """
    if last or sending.tries > len(SCHEDULE_S):
        mark(sending, entry, status="failed", due_at=None)
        return
    wait_s = SCHEDULE_S[sending.tries - 1] * (1 + JITTER * func.random())
    mark(sending, entry, due_at=soon(func.greatest(wait_s, pause_s)))


def mark(sending: Sending, entry: dict[str, Any], **values: Any) -> None:
    """Write down what came of a try, unless somebody else has had the delivery since."""
    with reachable(), quick().connect() as connection:
        connection.execute(marking(sending).values(log=[*sending.log, entry], **values))


def marking(sending: Sending) -> Update:
    """Select the delivery as it was when it was taken."""
    return update(Delivery).where(
        Delivery.id == sending.id, Delivery.tries == sending.tries, Delivery.status == "pending"
    )  # fmt: skip


def refused(sending: Sending, entry: dict[str, Any]) -> None:
    """Note that the receiver wants to hear no more: it is disabled, and a callback is forgotten."""
    with transaction() as session:
        receivers.hold(session, sending.receiver_id)  # several lanes may be told so at once
        session.execute(marking(sending).values(log=[*sending.log, entry]).execution_options(synchronize_session=False))
        if sending.receiver_id == DEFAULT:
            session.execute(delete(Callback).where(Callback.url == sending.url))
        else:
            receivers.disable(session, sending.receiver_id, "it answered 410 Gone")
        session.execute(giving_up(sending.receiver_id, sending.url))


def drop(sending: Sending) -> None:
    """Forget a delivery that tells nothing any more."""
    with reachable(), quick().connect() as connection:
        connection.execute(delete(Delivery).where(Delivery.id == sending.id))
